// Curvature recorded during training: the numbers against a dense matrix, the
// same for any number of threads and after a resume, and a run that is not
// changed by them to the bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "curvature/network_point.h"
#include "solvers/dense.h"
#include "support/all_minimizers.h"
#include "support/training_fixture.h"
#include "training/stability_probe.h"
#include "training/tasks.h"

namespace krylov {
namespace {

using test::Log;
using test::make_model;
using test::parameters_of;
using test::TaskCase;
using test::Values;

constexpr std::uint64_t kSeed = 9;  // of test::options_of

// Everything but the seconds.
void check_same(const StabilityRecord& a, const StabilityRecord& b) {
  CHECK(a.largest_eigenvalue == b.largest_eigenvalue);
  CHECK(a.residual == b.residual);
  CHECK(a.trace == b.trace);
  CHECK(a.trace_error == b.trace_error);
  CHECK(a.iterations == b.iterations);
  CHECK(a.probes == b.probes);
  CHECK(a.samples == b.samples);
  CHECK(a.seed == b.seed);
  CHECK(a.reason == b.reason);
}

TEST_CASE("the sample: distinct rows in their order, drawn by the seed") {
  const std::vector<std::uint32_t> drawn = stability_rows(3, 1000, {}, 100);
  CHECK(drawn.size() == 100);
  CHECK(std::is_sorted(drawn.begin(), drawn.end()));
  CHECK(std::set<std::uint32_t>(drawn.begin(), drawn.end()).size() == 100);
  CHECK(drawn.back() < 1000);
  CHECK(stability_rows(3, 1000, {}, 100) == drawn);
  CHECK(stability_rows(4, 1000, {}, 100) != drawn);
  const std::vector<std::uint32_t> all = stability_rows(3, 5, {}, 9);
  CHECK(all == std::vector<std::uint32_t>{0, 1, 2, 3, 4});
  const std::vector<std::uint32_t> subset{7, 9, 11, 20};
  const std::vector<std::uint32_t> part = stability_rows(3, 4, subset, 2);
  CHECK(part.size() == 2);
  for (const std::uint32_t row : part) CHECK(std::find(subset.begin(), subset.end(), row) != subset.end());
}

TEST_CASE("seeds of epochs are exact as doubles and differ") {
  std::set<std::uint64_t> seeds;
  for (const std::uint64_t seed : {0, 1, 2}) {
    for (std::int64_t epoch = 1; epoch <= 20; ++epoch) seeds.insert(stability_seed(seed, epoch));
  }
  CHECK(seeds.size() == 60);
  CHECK(*seeds.rbegin() < std::uint64_t{1} << 53);
}

// A network of 38 parameters, with l2 and weights, on some of the rows.
TaskCase small_case() {
  NetworkSpec spec;
  spec.inputs = 4;
  spec.layers = {test::dense(5, Activation::kTanh), test::dense(2)};
  test::Table table = test::random_table(60, 4, {{2, true}}, 3);
  for (std::int64_t r = 0; r < table.rows; ++r) table.weights.push_back(1 + double(r % 3));
  return {"small", spec, {{test::loss_spec(Loss::kSoftmaxCrossEntropy, true), {}}}, table};
}

// B [n, n] on the parameters in public order.
Values dense_curvature(const Model<double>& model, std::shared_ptr<const Network<double>> network,
                       const TaskCase& c, const TrainingOptions& options, Curvature kind) {
  const std::vector<std::uint32_t> rows =
      stability_rows(options.seed, std::ssize(options.rows), options.rows, options.stability->samples);
  std::unique_ptr<NetworkPoint<double>> point;
  REQUIRE(NetworkPoint<double>::create(network, losses_of(c.tasks), options.l2, std::ssize(rows), point).ok());
  REQUIRE(point->set_data(c.table.dataset(), rows.data(), std::ssize(rows)).ok());
  const auto n = static_cast<std::size_t>(network->parameter_count());
  std::vector<double> arena(static_cast<std::size_t>(network->arena_size())), product(arena.size());
  network->to_arena<double>(parameters_of(model), arena);
  point->set_parameters(arena.data());
  Team team;
  Values b(n * n), unit(n), column(n);
  for (std::size_t j = 0; j < n; ++j) {
    std::fill(unit.begin(), unit.end(), 0.0);
    unit[j] = 1;
    std::fill(arena.begin(), arena.end(), 0.0);
    network->to_arena<double>(unit, arena);
    point->product(team, kind, arena.data(), product.data());
    network->to_public<double>(product, column);
    for (std::size_t i = 0; i < n; ++i) b[i * n + j] = column[i];
  }
  return b;
}

TEST_CASE("eigenvalue and trace are those of the dense matrix at the epoch's parameters") {
  const TaskCase c = small_case();
  for (const Curvature kind : {Curvature::kGaussNewton, Curvature::kHessian}) {
    CAPTURE(int(kind));
    TrainingOptions options = test::options_of(c.tasks, test::sgd(0.1, 0.9));
    options.l2 = 1e-3;
    options.batch_size = 10;
    for (std::uint32_t r = 0; r < 60; r += 2) options.rows.push_back(r);
    options.has_rows = true;
    options.stability = StabilityOptions{.samples = 20, .curvature = kind, .tolerance = 1e-9, .probes = 50};
    const auto model = make_model<double>(c.spec);
    Log log;
    test::train<double>(model, c.table.dataset(), options, log);
    REQUIRE(log.epochs.size() == 3);
    REQUIRE(log.epochs.back().stability.has_value());
    const StabilityRecord record = *log.epochs.back().stability;
    CHECK(record.reason == SpectrumReason::kConverged);
    CHECK(record.samples == 20);
    CHECK(record.probes == 50);
    CHECK(record.seed == stability_seed(kSeed, 3));
    CHECK(record.seconds > 0);

    const std::shared_ptr<const Network<double>> network(model, &model->network());
    const Values b = dense_curvature(*model, network, c, options, kind);
    const auto n = static_cast<std::size_t>(network->parameter_count());
    Values eigenvalues(n);
    symmetric_eigen(b.data(), std::int64_t(n), eigenvalues.data(), nullptr);
    const double largest = eigenvalues.back();
    CHECK(std::abs(record.largest_eigenvalue - largest) <= record.residual + 1e-12 * largest);
    CHECK(record.residual <= 1e-8 * largest);

    // The estimate is the mean of z'Bz over its own probes; the trace lies within a few of its standard errors.
    Probes<double> probes;
    probes.seed = record.seed;
    double mean = 0, exact = 0, off = 0;
    Values z(n);
    for (std::uint64_t draw = 0; draw < 50; ++draw) {
      fill_probe<double>(probes, draw, z);
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) mean += z[i] * b[i * n + j] * z[j] / 50;
      }
    }
    for (std::size_t i = 0; i < n; ++i) {
      exact += b[i * n + i];
      for (std::size_t j = 0; j < n; ++j) off += i == j ? 0 : 2 * b[i * n + j] * b[i * n + j];
    }
    CHECK(record.trace == doctest::Approx(mean).epsilon(1e-11));
    // Signs: the variance of one sample is 2 sum of B_ij^2 off the diagonal.
    CHECK(std::abs(record.trace - exact) <= 4 * std::sqrt(off / 50));
    CHECK(record.trace_error == doctest::Approx(std::sqrt(off / 50)).epsilon(0.5));
  }
}

TEST_CASE_TEMPLATE("recording changes no bit of a run, and has the same bits for one, two and three threads", T, float,
                   double) {
  for (const TaskCase& c : test::task_cases()) {
    for (const OptimizerSpec& spec : {test::adam(0.01), test::newton_cg_spec()}) {
      CAPTURE(c.name);
      CAPTURE(spec.kind);
      TrainingOptions options = test::options_of(c.tasks, spec);
      options.validation = c.table.dataset();
      options.step_every = 1;
      const auto plain = make_model<T>(c.spec);
      Log without;
      test::train<T>(plain, c.table.dataset(), options, without);
      options.stability = StabilityOptions{.every = 2, .samples = 200, .probes = 3};
      options.epochs = 4;
      Log first;
      for (const int threads : {1, 2, 3}) {
        CAPTURE(threads);
        options.threads = threads;
        const auto model = make_model<T>(c.spec);
        Log log, shorter;
        test::train<T>(model, c.table.dataset(), options, log);
        REQUIRE(log.epochs.size() == 4);
        for (std::size_t e = 0; e < 4; ++e) CHECK(log.epochs[e].stability.has_value() == (e % 2 == 1));
        for (std::size_t e = 0; e < 3; ++e) {
          CHECK(log.epochs[e].loss == without.epochs[e].loss);
          CHECK(log.epochs[e].validation.loss == without.epochs[e].validation.loss);
        }
        TrainingOptions three = options;
        three.epochs = 3;
        const auto same = make_model<T>(c.spec);
        test::train<T>(same, c.table.dataset(), three, shorter);
        CHECK((parameters_of(*same) == parameters_of(*plain)));
        check_same(*shorter.epochs[1].stability, *log.epochs[1].stability);
        if (threads == 1) {
          first.epochs = log.epochs;
          CHECK(first.epochs[1].stability->largest_eigenvalue != first.epochs[3].stability->largest_eigenvalue);
          continue;
        }
        for (const std::size_t e : {1, 3}) check_same(*log.epochs[e].stability, *first.epochs[e].stability);
      }
    }
  }
}

TEST_CASE("a run that is aborted before a record makes the same one when it is resumed") {
  const TaskCase c = test::task_cases()[0];
  TrainingOptions options = test::options_of(c.tasks, test::adam(0.01));
  options.optimizer.numbers[0].second = test::linear_schedule(0.01, 100);
  // Long enough for the abort to come first: the last step's record is told before anything is measured.
  options.stability = StabilityOptions{.samples = 300, .probes = 200};
  const auto whole = make_model<double>(c.spec), part = make_model<double>(c.spec);
  Log unbroken, before, after;
  test::train<double>(whole, c.table.dataset(), options, unbroken);
  TrainingOptions rest = options;
  rest.state = test::train_until<double>(part, c.table.dataset(), options, 2 * test::kSteps, before);
  rest.has_state = true;
  CHECK(before.end.reason == EndReason::kAborted);
  REQUIRE(before.epochs.size() == 1);
  CHECK(rest.state.position == test::kRows);
  test::train<double>(part, c.table.dataset(), rest, after);
  REQUIRE(after.epochs.size() == 2);
  check_same(*before.epochs[0].stability, *unbroken.epochs[0].stability);
  check_same(*after.epochs[0].stability, *unbroken.epochs[1].stability);
  check_same(*after.epochs[1].stability, *unbroken.epochs[2].stability);
  CHECK(after.epochs[0].learning_rate == unbroken.epochs[1].learning_rate);
  CHECK((parameters_of(*part) == parameters_of(*whole)));
}

TEST_CASE("a loss without curvature is refused by the option's name") {
  TaskCase c = small_case();
  c.tasks = {{test::loss_spec(Loss::kMeanAbsoluteError), {}}};
  c.table = test::random_table(60, 4, {{2, false}}, 3);
  TrainingOptions options = test::options_of(c.tasks, test::adam(0.01));
  options.stability = StabilityOptions{};
  const auto model = make_model<double>(c.spec);
  Log log;
  REQUIRE(model->try_acquire());
  std::shared_ptr<TrainingRun> run;
  const Status status = create_run<double>(model, c.table.dataset(), options,
                                           std::make_unique<test::Recorder>(log), run);
  CHECK(status.code == ErrorCode::kOption);
  CHECK(std::string(status.argument) == "record.stability");
  model->release();
}

}  // namespace
}  // namespace krylov
