// Runs and trainers as a whole: the same bits for any number of threads, after
// a resume and beside another run; ends, records, and that anything is learnt.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "support/comparison.h"
#include "support/training_fixture.h"

namespace krylov {
namespace {

using test::Log;
using test::make_model;
using test::parameters_of;
using test::Table;
using test::TaskCase;
using test::Values;

const OptimizerSpec kRules[] = {test::sgd(0.05, 0.9), test::classical_momentum(0.05, 0.9, "lookahead"),
                                test::adam(0.01)};

void check_same(const TrainingState& a, const TrainingState& b) {
  CHECK(a.updates == b.updates);
  CHECK(a.names == b.names);
  CHECK((a.arrays == b.arrays));
  CHECK(a.epoch == b.epoch);
  CHECK(a.position == b.position);
  CHECK(a.loss_sum == b.loss_sum);
  CHECK(a.weight_sum == b.weight_sum);
}

TEST_CASE_TEMPLATE("one, two and three threads give the same bits", T, float, double) {
  for (const TaskCase& c : test::task_cases()) {
    for (const OptimizerSpec& rule : kRules) {
      CAPTURE(c.name);
      CAPTURE(rule.kind);
      TrainingOptions options = test::options_of(c.tasks, rule);
      options.l2 = 1e-3;
      options.step_every = 1;
      Values first;
      TrainingState first_state;
      std::vector<double> first_losses;
      for (const int threads : {1, 2, 3}) {
        CAPTURE(threads);
        const auto model = make_model<T>(c.spec);
        REQUIRE(useful_threads(model->network().step_cost() * double(test::kBatch), test::kBatch, threads) == threads);
        options.threads = threads;
        Log log;
        const TrainingState state = test::train<T>(model, c.table.dataset(), options, log);
        CHECK(ComputeThread::instance().team_size() >= threads);
        CHECK(log.end.reason == EndReason::kCompleted);
        CHECK(log.end.updates == 3 * test::kSteps);
        std::vector<double> losses;
        for (const StepRecord& step : log.steps) losses.push_back(step.loss);
        CHECK(losses.size() == std::size_t(3 * test::kSteps));
        if (threads == 1) {
          first = parameters_of(*model), first_state = state, first_losses = losses;
          CHECK(first != parameters_of(*make_model<T>(c.spec)));
        } else {
          CHECK((parameters_of(*model) == first));
          CHECK((losses == first_losses));
          check_same(state, first_state);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("an aborted run that is resumed gives the bits of an unbroken one", T, float, double) {
  for (const TaskCase& c : test::task_cases()) {
    for (const OptimizerSpec& rule : kRules) {
      TrainingOptions options = test::options_of(c.tasks, rule);
      const auto data = c.table.dataset();
      const auto whole = make_model<T>(c.spec);
      Log unbroken;
      const TrainingState end = test::train<T>(whole, data, options, unbroken);
      for (const std::int64_t cut : {1, 4, 6, 11, 17}) {
        CAPTURE(c.name);
        CAPTURE(rule.kind);
        CAPTURE(cut);
        const auto begun = make_model<T>(c.spec);
        Log first, second;
        TrainingOptions rest = options;
        rest.state = test::train_until<T>(begun, data, options, cut, first);
        rest.has_state = true;
        CHECK(first.end.reason == EndReason::kAborted);
        CHECK(first.end.updates == cut);
        CHECK(rest.state.updates == cut);
        CHECK(rest.state.epoch * test::kRows + rest.state.position ==
              std::min(cut / test::kSteps * test::kRows + cut % test::kSteps * test::kBatch, 3 * test::kRows));
        // In a model of its own, as after a restart: only parameters and state are carried over.
        const auto resumed = make_model<T>(c.spec, 99);
        resumed->template write<double>(parameters_of(*begun));
        const TrainingState state = test::train<T>(resumed, data, rest, second);
        CHECK((parameters_of(*resumed) == parameters_of(*whole)));
        check_same(state, end);
        REQUIRE(first.epochs.size() + second.epochs.size() == 3);
        const std::size_t done = first.epochs.size();
        for (std::size_t e = 0; e < 3; ++e) {
          const EpochRecord& record = e < done ? first.epochs[e] : second.epochs[e - done];
          CHECK(record.epoch == std::int64_t(e) + 1);
          CHECK(record.loss == unbroken.epochs[e].loss);
          CHECK(record.samples == test::kRows);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("a trainer's steps are the run's steps", T, float, double) {
  for (const TaskCase& c : test::task_cases()) {
    for (const OptimizerSpec& rule : kRules) {
      CAPTURE(c.name);
      CAPTURE(rule.kind);
      TrainingOptions options = test::options_of(c.tasks, rule);
      options.epochs = 1;
      options.shuffle = false;
      options.step_every = 1;
      options.l2 = 1e-2;
      const auto model = make_model<T>(c.spec), stepped = make_model<T>(c.spec);
      Log log;
      const TrainingState state = test::train<T>(model, c.table.dataset(), options, log);
      // A trainer made for less grows with the batch and keeps its state.
      options.batch_size = 10;
      std::unique_ptr<Trainer<T>> trainer;
      REQUIRE(Trainer<T>::create(stepped, options, trainer).ok());
      StepResult result;
      for (std::int64_t s = 0; s < test::kSteps; ++s) {
        const std::int64_t first = s * test::kBatch, count = std::min(test::kBatch, test::kRows - first);
        REQUIRE(trainer->step(*c.table.dataset(first, count), result).ok());
        CHECK(result.finite);
        CHECK(result.updates == s + 1);
        CHECK(result.loss == log.steps[std::size_t(s)].loss);
        CHECK(result.learning_rate == log.steps[std::size_t(s)].learning_rate);
        CHECK(result.head_losses.size() == c.tasks.size());
        CHECK(result.sample_losses.size() == std::size_t(count));
      }
      CHECK((parameters_of(*stepped) == parameters_of(*model)));
      CHECK((trainer->state().arrays == state.arrays));
    }
  }
}

TEST_CASE("a trainer sees parameters that were set between its steps, and takes a state") {
  const TaskCase c = test::task_cases()[0];
  const TrainingOptions options = test::options_of(c.tasks, test::adam(0.01));
  const auto a = make_model<double>(c.spec), b = make_model<double>(c.spec, 2);
  std::unique_ptr<Trainer<double>> first, second;
  REQUIRE(Trainer<double>::create(a, options, first).ok());
  REQUIRE(Trainer<double>::create(b, options, second).ok());
  const auto batch = c.table.dataset(0, 30);
  StepResult one, two;
  for (int i = 0; i < 3; ++i) REQUIRE(first->step(*batch, one).ok());
  REQUIRE(second->step(*batch, two).ok());
  CHECK(two.loss != one.loss);
  b->write<double>(parameters_of(*a));
  REQUIRE(second->set_state(first->state()).ok());
  REQUIRE(first->step(*batch, one).ok());
  REQUIRE(second->step(*batch, two).ok());
  CHECK(two.loss == one.loss);
  CHECK(two.updates == 4);
  CHECK((parameters_of(*a) == parameters_of(*b)));
}

// One weight, targets 2 x: the gradient and the penalty are taken at the place that the rule names.
TEST_CASE("momentum that looks ahead equals its sequence written out, with l2") {
  constexpr double lr = 0.1, beta = 0.8, l2 = 0.3;
  NetworkSpec spec;
  spec.inputs = 1;
  spec.layers = {test::dense(1, Activation::kIdentity, 1, false)};
  Table table;
  table.rows = 2, table.columns = 1;
  table.inputs = {1, -0.5};
  table.targets.push_back({{}, {2, -1}, 1});
  for (const char* place : {"none", "lookahead", "literal"}) {
    CAPTURE(std::string(place));
    TrainingOptions options =
        test::options_of({{test::loss_spec(Loss::kMeanSquaredError), {}}}, test::classical_momentum(lr, beta, place));
    options.l2 = l2;
    const auto model = make_model<double>(spec);
    double w = 0.25, p = 0;
    model->write<double>(std::vector<double>{w});
    std::unique_ptr<Trainer<double>> trainer;
    REQUIRE(Trainer<double>::create(model, options, trainer).ok());
    StepResult result;
    for (int t = 0; t < 6; ++t) {
      const double ahead = place[0] == 'n' ? 0 : place[1] == 'o' ? beta * lr * p : beta * p;
      const double at = w - ahead, squares = (1 + 0.25) / 2;
      p = beta * p + 2 * (at - 2) * squares + l2 * at;
      w -= lr * p;
      REQUIRE(trainer->step(*table.dataset(), result).ok());
      CHECK(result.loss == doctest::Approx((at - 2) * (at - 2) * squares + l2 / 2 * at * at).epsilon(1e-13));
      CHECK(parameters_of(*model)[0] == doctest::Approx(w).epsilon(1e-13));
    }
  }
}

TEST_CASE_TEMPLATE("dropout drops other units at every step, and others for another seed", T, float, double) {
  const TaskCase c = test::task_cases()[0];
  const auto batch = c.table.dataset(0, test::kBatch);
  TrainingOptions options = test::options_of(c.tasks, test::sgd(0, 0));
  std::vector<double> losses[2];
  for (const std::uint64_t seed : {0, 1}) {
    options.seed = seed;
    const auto model = make_model<T>(c.spec);
    std::unique_ptr<Trainer<T>> trainer;
    REQUIRE(Trainer<T>::create(model, options, trainer).ok());
    StepResult result;
    for (int s = 0; s < 4; ++s) {
      REQUIRE(trainer->step(*batch, result).ok());
      losses[seed].push_back(result.loss);
    }
  }
  std::vector<double> all = losses[0];
  all.insert(all.end(), losses[1].begin(), losses[1].end());
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
}

// The loss of an epoch is the mean over its samples, so the smaller last batch counts less.
TEST_CASE("observers see every epoch, and steps as often as they asked") {
  const TaskCase c = test::task_cases()[0];
  TrainingOptions options = test::options_of(c.tasks, test::sgd(0.1, 0));
  options.epochs = 4;
  options.optimizer.numbers[0].second = test::linear_schedule(0.1, 4 * test::kSteps);
  for (const std::int64_t every : {0, 1, 5}) {
    CAPTURE(every);
    options.step_every = every;
    const auto model = make_model<float>(c.spec);
    Log log;
    test::train<float>(model, c.table.dataset(), options, log);
    REQUIRE(log.epochs.size() == 4);
    for (std::size_t e = 0; e < 4; ++e) {
      const EpochRecord& record = log.epochs[e];
      CHECK(record.epoch == std::int64_t(e) + 1);
      CHECK(record.updates == std::int64_t(e + 1) * test::kSteps);
      CHECK(record.samples == test::kRows);
      CHECK_FALSE(record.validated);
      CHECK(record.learning_rate == doctest::Approx(0.1 * (1 - double(record.updates - 1) / (4 * test::kSteps))));
    }
    REQUIRE(log.steps.size() == (every == 0 ? 0u : std::size_t(4 * test::kSteps / every)));
    for (std::size_t s = 0; s < log.steps.size(); ++s) {
      CHECK(log.steps[s].updates == std::int64_t(s + 1) * every);
      CHECK(log.steps[s].samples == test::kRows);
      CHECK(log.steps[s].epoch == (log.steps[s].updates - 1) / test::kSteps + 1);
    }
    if (every == 1) {
      double sum = 0;
      for (std::size_t s = 0; s < test::kSteps; ++s)
        sum += log.steps[s].loss * (s + 1 == test::kSteps ? 19.0 : double(test::kBatch));
      CHECK(log.epochs[0].loss == doctest::Approx(sum / double(test::kRows)).epsilon(1e-14));
    }
    CHECK(log.end.epochs == 4);
    CHECK_FALSE(model->busy());
  }
}

TEST_CASE("only the rows that were asked for are trained on") {
  const TaskCase c = test::task_cases()[0];
  TrainingOptions options = test::options_of(c.tasks, test::sgd(0.1, 0.9));
  options.shuffle = false;
  const auto part = make_model<double>(c.spec), subset = make_model<double>(c.spec);
  Log log, other;
  test::train<double>(part, c.table.dataset(100, 150), options, log);
  options.has_rows = true;
  for (std::uint32_t r = 100; r < 250; ++r) options.rows.push_back(r);
  test::train<double>(subset, c.table.dataset(), options, other);
  CHECK((parameters_of(*part) == parameters_of(*subset)));
  CHECK(other.epochs[0].samples == 150);
}

// Validation targets are the opposite: every epoch that trains makes them worse.
TEST_CASE("early stopping waits for its patience and restores the best parameters") {
  NetworkSpec spec;
  spec.inputs = 3;
  spec.layers = {test::dense(4, Activation::kTanh), test::dense(1)};
  Table table = test::random_table(40, 3, {{1, false}}, 3), opposite = table;
  for (std::size_t i = 0; i < 40; ++i) {
    table.targets[0].values[i] = 3;
    opposite.targets[0].values[i] = -3;
  }
  MetricSpec error;
  error.kind = MetricKind::kMeanAbsoluteError;
  TrainingOptions options = test::options_of({{test::loss_spec(Loss::kMeanSquaredError), {error}}}, test::sgd(0.01, 0));
  options.batch_size = 8;
  options.epochs = 1;
  const auto once = make_model<double>(spec);
  Log single;
  test::train<double>(once, table.dataset(), options, single);
  options.epochs = 50;
  options.has_early_stopping = true;
  options.validation = opposite.dataset();
  for (const int metric : {-1, 0}) {
    for (const bool restore : {true, false}) {
      for (const std::int64_t patience : {1, 2}) {
        CAPTURE(metric);
        CAPTURE(restore);
        CAPTURE(patience);
        options.early_stopping = {0, metric, false, patience, 0, restore};
        const auto model = make_model<double>(spec);
        Log log;
        test::train<double>(model, table.dataset(), options, log);
        CHECK(log.end.reason == EndReason::kEarlyStopped);
        CHECK(log.end.best_epoch == 1);
        CHECK(log.end.epochs == std::int64_t(log.epochs.size()));
        CHECK(log.end.epochs == patience + 1);  // so many epochs without progress end the run
        for (const EpochRecord& e : log.epochs) {
          CHECK(e.validated);
          CHECK(e.best == (e.epoch == 1));
        }
        CHECK((parameters_of(*model) == parameters_of(*once)) == restore);
      }
    }
  }
  SUBCASE("a metric to be maximised, and one that never gets worse") {
    options.early_stopping = {0, 0, true, 0, 0, true};
    options.epochs = 6;
    const auto model = make_model<double>(spec);
    Log log;
    test::train<double>(model, table.dataset(), options, log);
    CHECK(log.end.reason == EndReason::kCompleted);
    CHECK(log.end.best_epoch == 6);
  }
  SUBCASE("progress below minDelta is none") {
    options.early_stopping = {0, -1, false, 2, 1e9, true};
    options.validation = table.dataset();
    const auto model = make_model<double>(spec);
    Log log;
    test::train<double>(model, table.dataset(), options, log);
    CHECK(log.end.reason == EndReason::kEarlyStopped);
    CHECK(log.end.epochs == 3);
  }
}

TEST_CASE_TEMPLATE("a run that diverges ends with the reason and finite parameters", T, float, double) {
  const TaskCase c = test::task_cases()[1];
  for (const double rate : {1e10, double(std::numeric_limits<T>::max()) / 2}) {
    EndRecord first;
    Values left;
    for (const int threads : {1, 3}) {
      TrainingOptions options = test::options_of(c.tasks, test::sgd(rate, 0));
      options.threads = threads;
      options.epochs = 100;
      const auto model = make_model<T>(c.spec);
      Log log;
      test::train<T>(model, c.table.dataset(), options, log);
      CHECK(log.end.reason == EndReason::kNotFinite);
      bool named = log.end.not_finite_in == "loss";
      for (const TensorInfo& tensor : model->network().tensors()) named = named || tensor.name == log.end.not_finite_in;
      CHECK_MESSAGE(named, log.end.not_finite_in);
      const Values parameters = parameters_of(*model);
      CHECK(std::all_of(parameters.begin(), parameters.end(), [](double x) { return std::isfinite(x); }));
      CHECK_FALSE(model->busy());
      if (threads == 1) first = log.end, left = parameters;
      CHECK(log.end.not_finite_in == first.not_finite_in);
      CHECK(log.end.updates == first.updates);
      CHECK((parameters == left));
    }
  }
}

// The first would never end by itself: that the second ends shows that they take turns.
TEST_CASE("two runs take turns and each gives the bits that it gives alone") {
  const auto cases = test::task_cases();
  TrainingOptions endless = test::options_of(cases[0].tasks, kRules[0]),
                  finite = test::options_of(cases[1].tasks, kRules[2]);
  endless.epochs = 1 << 20;
  finite.epochs = 40;
  const auto model = make_model<float>(cases[0].spec), other = make_model<float>(cases[1].spec);
  Log first, second;
  const auto a = test::create<float>(model, cases[0].table.dataset(), endless, first);
  const auto b = test::create<float>(other, cases[1].table.dataset(), finite, second);
  first.on_epoch = [&](const EpochRecord& record) {
    if (record.epoch == 1) ComputeThread::instance().submit(b);
  };
  second.on_epoch = [&](const EpochRecord& record) {
    if (record.epoch == finite.epochs) a->abort();
  };
  ComputeThread::instance().submit(a);
  first.wait();
  second.wait();
  CHECK(first.end.reason == EndReason::kAborted);
  CHECK(second.end.reason == EndReason::kCompleted);
  const auto model_alone = make_model<float>(cases[0].spec), other_alone = make_model<float>(cases[1].spec);
  Log third, fourth;
  test::train_until<float>(model_alone, cases[0].table.dataset(), endless, first.end.updates, third);
  test::train<float>(other_alone, cases[1].table.dataset(), finite, fourth);
  CHECK((parameters_of(*model) == parameters_of(*model_alone)));
  CHECK((parameters_of(*other) == parameters_of(*other_alone)));
}

// All outputs begin equal and have equal targets, so after whole steps they are equal.
TEST_CASE("a model that trains is read in whole steps, and is busy for everything else") {
  NetworkSpec spec;
  spec.inputs = 6;
  spec.layers = {test::dense(16, Activation::kTanh), test::dense(40)};
  spec.layers[0].weight_initialiser.kind = Initialiser::kXavierUniform;
  spec.layers[1].weight_initialiser = {.kind = Initialiser::kConstant, .value = 0.1};
  std::shared_ptr<Model<float>> model;
  REQUIRE(Model<float>::create(spec, 1, model).ok());
  Table table = test::random_table(256, 6, {{40, false}}, 8);
  for (std::size_t i = 0; i < table.targets[0].values.size(); ++i)
    table.targets[0].values[i] = table.inputs[i / 40 * 6];
  TrainingOptions options = test::options_of({{test::loss_spec(Loss::kMeanSquaredError), {}}}, test::adam(1e-3));
  options.epochs = 1 << 20;
  Log log;
  const auto run = test::create<float>(model, table.dataset(), options, log);
  ComputeThread::instance().submit(run);
  const float input[6] = {0.5f, -1, 0.25f, 0, 1, 0.75f};
  const Link links[] = {Link::kIdentity};
  test::Comparison comparison;
  const std::uint64_t begin = model->version();
  // Until newer parameters have been published twice.
  for (int reads = 0; model->version() < begin + 2 || reads < 200; ++reads) {
    float outputs[40];
    void* const out[] = {outputs};
    model->predict(input, DType::kFloat32, 1, Output::kRaw, links, out);
    for (int c = 1; c < 40; ++c) comparison.equal(reads, c, outputs[c], outputs[0]);
    const Values flat = parameters_of(*model);
    for (int c = 1; c < 40; ++c)
      comparison.equal(reads, c, flat[flat.size() - 40 + std::size_t(c)], flat[flat.size() - 40]);
    std::this_thread::yield();
  }
  CHECK(model->busy());
  CHECK_FALSE(model->try_acquire());
  std::unique_ptr<Trainer<float>> trainer;
  StepResult result;
  REQUIRE(Trainer<float>::create(model, options, trainer).ok());
  CHECK(trainer->step(*table.dataset(0, 4), result).code == ErrorCode::kBusy);
  run->abort();
  log.wait();
  CHECK(log.end.reason == EndReason::kAborted);
  CHECK(model->try_acquire());
  model->release();
  comparison.check("outputs and biases");
}

// Two rings: no line separates them.
TEST_CASE_TEMPLATE("a separable problem is learnt", T, float, double) {
  Table table = test::random_table(400, 2, {{2, true}}, 12);
  for (std::size_t r = 0; r < 400; ++r) {
    const double angle = 3.14159265358979 * table.inputs[2 * r];
    const double radius = 1 + 0.2 * table.inputs[2 * r + 1] + (r % 2 == 0 ? 0 : 1);
    table.inputs[2 * r] = radius * std::cos(angle);
    table.inputs[2 * r + 1] = radius * std::sin(angle);
    table.targets[0].labels[r] = r % 2 == 0 ? 0 : 1;
  }
  NetworkSpec spec;
  spec.inputs = 2;
  spec.layers = {test::dense(16, Activation::kRelu), test::dense(2)};
  TrainingOptions options =
      test::options_of({{test::loss_spec(Loss::kSoftmaxCrossEntropy, true), {MetricSpec{}}}}, test::adam(0.01));
  options.epochs = 60;
  options.batch_size = 32;
  options.validation = table.dataset();
  const auto model = make_model<T>(spec);
  Log log;
  test::train<T>(model, table.dataset(), options, log);
  CHECK(log.epochs.back().validation.heads[0].metrics[0] > 0.99);
  CHECK(log.epochs.back().loss < 0.2 * log.epochs.front().loss);
}

}  // namespace
}  // namespace krylov
