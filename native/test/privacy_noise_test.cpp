// The noise of private steps: its variance, that it is a function of seed, update and public index alone, and that
// without it a private step is a clipped one.
#include "training/privacy_noise.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "krylov/rng.h"
#include "support/training_fixture.h"
#include "training/step_engine.h"

namespace krylov {
namespace {

using test::Log;
using test::make_model;
using test::parameters_of;
using test::Values;

PrivacySpec noise_of(double multiplier, double rows) {
  PrivacySpec spec;
  spec.noise_multiplier = spec.gradient_noise = multiplier;
  spec.expected_rows = rows;
  spec.seed = 77;
  return spec;
}

ClippingSpec clipping_of(double threshold) {
  ClippingSpec spec;
  spec.thresholds = {threshold};
  spec.drop_not_finite = true;
  return spec;
}

TEST_CASE_TEMPLATE("every element has the normal draw of its public index", T, float, double) {
  for (const int c : {0, 1}) {
    const test::TaskCase task = test::task_cases()[std::size_t(c)];
    const auto model = make_model<T>(task.spec);
    const Network<T>& network = model->network();
    ClippingSpec clipping = clipping_of(0.25);
    SampleClipping<T> stage(network, clipping, 8);
    PrivacyNoise<T> noise(network, noise_of(3, 50), stage);
    noise.begin_update(41);
    std::vector<T> arena(std::size_t(network.arena_size()), T(0));
    for (const GradientUnit& unit : network.units()) noise.add(unit, arena.data() + unit.offset);
    Values flat(std::size_t(network.parameter_count()));
    network.template to_public<double>(arena, flat);
    const double deviation = 3 * 0.25 / 50;
    double squares = 0;
    for (std::size_t i = 0; i < flat.size(); ++i) {
      CHECK(flat[i] == double(T(deviation * normal(77, Stream::kNoise, 41, i))));
      squares += flat[i] * flat[i];
    }
    // Five standard errors.
    CHECK(std::abs(squares / (double(flat.size()) * deviation * deviation) - 1) < 5 * std::sqrt(2 / double(flat.size())));
  }
}

// Two heads of different reductions have no common divisor: the case of one output.
TEST_CASE_TEMPLATE("a private step without noise is a clipped step, to the bit", T, float, double) {
  const test::TaskCase c = test::task_cases()[0];
  const auto clipped = make_model<T>(c.spec), silent = make_model<T>(c.spec);
  TrainingOptions options = test::options_of(c.tasks, test::adam(0.01));
  options.clipping = clipping_of(0.5);
  std::unique_ptr<Trainer<T>> a, b;
  REQUIRE(Trainer<T>::create(clipped, options, a).ok());
  options.privacy = noise_of(0, double(test::kBatch));
  REQUIRE(Trainer<T>::create(silent, options, b).ok());
  StepResult result;
  for (int s = 0; s < 5; ++s) {
    const auto batch = c.table.dataset(s * test::kBatch, test::kBatch);
    REQUIRE(a->step(*batch, result).ok());
    REQUIRE(b->step(*batch, result).ok());
  }
  CHECK((parameters_of(*clipped) == parameters_of(*silent)));
}

TEST_CASE_TEMPLATE("a step without samples is noise alone", T, float, double) {
  const test::TaskCase c = test::task_cases()[0];
  const auto model = make_model<T>(c.spec);
  const Network<T>& network = model->network();
  const auto data = c.table.dataset();
  for (const double multiplier : {0.0, 2.0}) {
    CAPTURE(multiplier);
    TrainingOptions options = test::options_of(c.tasks, test::sgd(1, 0));
    options.clipping = clipping_of(0.5);
    options.privacy = noise_of(multiplier, 20);
    std::unique_ptr<StepEngine<T>> engine;
    REQUIRE(StepEngine<T>::create(network, options, 16, engine).ok());
    CHECK(engine->takes_empty());
    std::vector<T> parameters(std::size_t(network.arena_size()), T(0));
    engine->attach(parameters.data());
    const std::vector<std::uint32_t> rows = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    // Of an engine that has seen rows before.
    engine->begin(*data, rows.data(), 10);
    engine->take(nullptr, 0, 1);
    REQUIRE(engine->updated());
    engine->end();
    std::fill(parameters.begin(), parameters.end(), T(0));
    engine->attach(parameters.data());
    engine->begin(*data, rows.data(), 0);
    engine->take(nullptr, 0, 1);
    REQUIRE(engine->updated());
    engine->end();
    CHECK(engine->step() == 2);
    CHECK(engine->loss() == 0);
    Values flat(std::size_t(network.parameter_count()));
    network.template to_public<double>(parameters, flat);
    for (std::size_t i = 0; i < flat.size(); ++i) {
      CHECK(flat[i] == -double(T(multiplier * 0.5 / 20 * normal(77, Stream::kNoise, 1, i))));
    }
  }
}

TEST_CASE_TEMPLATE("a private run has the same bits for one, two and three threads", T, float, double) {
  const test::TaskCase c = test::task_cases()[0];
  TrainingOptions options = test::options_of(c.tasks, test::adam(0.01));
  ClippingSpec clipping = clipping_of(0.5);
  clipping.rule = ThresholdRule::kQuantile;
  options.clipping = clipping;
  options.privacy = noise_of(1, double(test::kBatch));
  options.privacy->sample_rate = double(test::kBatch) / double(test::kRows);
  options.privacy->count_noise = 3;
  options.sampling.emplace().kind = SamplingKind::kPoisson;
  Values first;
  for (const int threads : {1, 2, 3}) {
    CAPTURE(threads);
    options.threads = threads;
    const auto model = make_model<T>(c.spec);
    Log log;
    test::train<T>(model, c.table.dataset(), options, log);
    CHECK(log.end.reason == EndReason::kCompleted);
    if (threads == 1) first = parameters_of(*model);
    CHECK((parameters_of(*model) == first));
  }
}

TEST_CASE("what would break the guarantee is refused") {
  const test::TaskCase c = test::task_cases()[0];
  const auto refused = [&](auto change) {
    TrainingOptions options = test::options_of(c.tasks, test::adam(0.01));
    options.clipping = clipping_of(0.5);
    options.privacy = noise_of(1, double(test::kBatch));
    options.privacy->sample_rate = double(test::kBatch) / double(test::kRows);
    options.sampling.emplace().kind = SamplingKind::kPoisson;
    change(options);
    const auto model = make_model<float>(c.spec);
    REQUIRE(model->try_acquire());
    Log log;
    std::shared_ptr<TrainingRun> run;
    const Status status =
        create_run<float>(model, c.table.dataset(), options, std::make_unique<test::Recorder>(log), run);
    model->release();
    return std::string(status.ok() ? "" : status.argument);
  };
  CHECK(refused([](TrainingOptions&) {}).empty());
  CHECK(refused([](TrainingOptions& o) { o.clipping.reset(); }) == "clipping");
  CHECK(refused([](TrainingOptions& o) { o.clipping->drop_not_finite = false; }) == "clipping.notFinite");
  CHECK(refused([](TrainingOptions& o) { o.step_size.emplace(); }) == "stepSize");
  CHECK(refused([](TrainingOptions& o) { o.sampling.reset(); }) == "sampling");
  CHECK(refused([](TrainingOptions& o) { o.sampling->rate = 0.5; }) == "sampling");
  CHECK(refused([](TrainingOptions& o) { o.privacy->expected_rows = 1; }) == "privacy.expectedRows");
  CHECK(refused([](TrainingOptions& o) { o.tasks[0].loss.sum_reduction = true; }) == "loss");
  CHECK(refused([](TrainingOptions& o) {
          o.weights.emplace().rule = WeightRule::kTilted;
          o.weights->a.value = 1;
        }) == "weights");
}

}  // namespace
}  // namespace krylov
