// Minimizers in runs and trainers: the same bits for any number of threads and
// after a resume, aborts within an update, ends, and which samples are used.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "support/all_minimizers.h"
#include "support/training_fixture.h"

namespace krylov {
namespace {

using test::Log;
using test::make_model;
using test::parameters_of;
using test::TaskCase;
using test::Values;

constexpr std::int64_t kUpdates = 4;

// A few updates of all rows, or of batches with curvature in chunks of its own.
TrainingOptions options_of(const TaskCase& c, const OptimizerSpec& spec, bool whole) {
  TrainingOptions options = test::options_of(c.tasks, spec);
  options.l2 = 1e-3;
  options.step_every = 1;
  options.epochs = whole ? kUpdates : 1;
  options.batch_size = whole ? test::kRows : 100;
  options.curvature_batch_size = 90;
  return options;
}

void check_same(const TrainingState& a, const TrainingState& b) {
  CHECK(a.updates == b.updates);
  CHECK(a.names == b.names);
  CHECK((a.arrays == b.arrays));
  CHECK((a.numbers == b.numbers));
  CHECK((a.plain == b.plain));
  CHECK(a.epoch == b.epoch);
  CHECK(a.position == b.position);
  CHECK(a.loss_sum == b.loss_sum);
}

bool same_number(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

TEST_CASE_TEMPLATE("minimizers: one, two and three threads give the same bits, and the loss falls", T, float, double) {
  const TaskCase c = test::task_cases()[0];
  for (const bool whole : {true, false}) {
    for (const OptimizerSpec& spec : test::minimizers_for_networks()) {
      CAPTURE(spec.kind);
      CAPTURE(whole);
      TrainingOptions options = options_of(c, spec, whole);
      Values first;
      TrainingState first_state;
      std::vector<StepRecord> first_steps;
      for (const int threads : {1, 2, 3}) {
        CAPTURE(threads);
        const auto model = make_model<T>(c.spec);
        options.threads = threads;
        Log log;
        const TrainingState state = test::train<T>(model, c.table.dataset(), options, log);
        CHECK(log.end.reason == EndReason::kCompleted);
        CHECK(log.end.converged.empty());
        CHECK(log.end.updates == kUpdates);
        REQUIRE(log.steps.size() == std::size_t(kUpdates));
        if (threads == 1) {
          first = parameters_of(*model), first_state = state, first_steps = log.steps;
          if (whole) CHECK(log.steps.back().loss < log.steps.front().loss);
          CHECK_FALSE(log.steps.back().step.numbers.empty());
          CHECK_FALSE(log.epochs.back().step.numbers.empty());
          continue;
        }
        CHECK((parameters_of(*model) == first));
        check_same(state, first_state);
        for (std::size_t s = 0; s < first_steps.size(); ++s) {
          CHECK(log.steps[s].loss == first_steps[s].loss);
          REQUIRE(log.steps[s].step.numbers.size() == first_steps[s].step.numbers.size());
          for (std::size_t i = 0; i < first_steps[s].step.numbers.size(); ++i) {
            CHECK(same_number(log.steps[s].step.numbers[i].second, first_steps[s].step.numbers[i].second));
          }
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("minimizers: an aborted run that is resumed gives the bits of an unbroken one", T, float, double) {
  const TaskCase c = test::task_cases()[1];
  for (const bool whole : {true, false}) {
    for (const OptimizerSpec& spec : test::minimizers_for_networks()) {
      CAPTURE(spec.kind);
      CAPTURE(whole);
      const TrainingOptions options = options_of(c, spec, whole);
      const auto data = c.table.dataset();
      const auto model = make_model<T>(c.spec);
      Log unbroken;
      const TrainingState end = test::train<T>(model, data, options, unbroken);
      REQUIRE(unbroken.end.reason == EndReason::kCompleted);
      const auto begun = make_model<T>(c.spec);
      Log first, second;
      TrainingOptions rest = options;
      rest.state = test::train_until<T>(begun, data, options, 2, first);
      rest.has_state = true;
      CHECK(first.end.converged == "");
      CHECK(first.end.reason == EndReason::kAborted);
      // The update under way may have been finished before the abort was seen.
      CHECK(rest.state.updates >= 2);
      CHECK(rest.state.updates <= 3);
      const auto resumed = make_model<T>(c.spec, 99);
      resumed->template write<double>(parameters_of(*begun));
      const TrainingState state = test::train<T>(resumed, data, rest, second);
      CHECK((parameters_of(*resumed) == parameters_of(*model)));
      check_same(state, end);
    }
  }
}

TEST_CASE("a run on all rows is a trainer's steps on all rows") {
  const TaskCase c = test::task_cases()[0];
  for (const OptimizerSpec& spec : test::minimizers_for_networks()) {
    CAPTURE(spec.kind);
    TrainingOptions options = options_of(c, spec, true);
    options.curvature_batch_size = 0;
    const auto model = make_model<double>(c.spec), stepped = make_model<double>(c.spec);
    Log log;
    const TrainingState state = test::train<double>(model, c.table.dataset(), options, log);
    std::unique_ptr<Trainer<double>> trainer;
    REQUIRE(Trainer<double>::create(stepped, options, trainer).ok());
    StepResult result;
    for (std::size_t s = 0; s < std::size_t(kUpdates); ++s) {
      REQUIRE(trainer->step(*c.table.dataset(), result).ok());
      CHECK(result.finite);
      CHECK(result.loss == log.steps[s].loss);
      CHECK(result.updates == std::int64_t(s) + 1);
      CHECK(result.head_losses.size() == 1);
      CHECK(result.sample_losses.size() == std::size_t(test::kRows));
      double mean = 0;
      for (const double loss : result.sample_losses) mean += loss / double(test::kRows);
      CHECK(mean == doctest::Approx(result.head_losses[0]).epsilon(1e-12));
      // l2's term is what the loss has besides.
      CHECK(result.loss > result.head_losses[0]);
    }
    CHECK((parameters_of(*stepped) == parameters_of(*model)));
    CHECK((trainer->state().arrays == state.arrays));
  }
}

TEST_CASE("curvature of its own samples changes the step, and only with a minimizer") {
  const TaskCase c = test::task_cases()[0];
  const auto batch = c.table.dataset(0, 200), other = c.table.dataset(200, 80);
  TrainingOptions options = options_of(c, test::minimizers_for_networks()[0], true);
  const auto a = make_model<double>(c.spec), b = make_model<double>(c.spec);
  StepResult first, second;
  std::unique_ptr<Trainer<double>> trainer;
  REQUIRE(Trainer<double>::create(a, options, trainer).ok());
  REQUIRE(trainer->step(*batch, first).ok());
  REQUIRE(Trainer<double>::create(b, options, trainer).ok());
  REQUIRE(trainer->step(*batch, *other, second).ok());
  CHECK(first.loss == second.loss);
  CHECK(parameters_of(*a) != parameters_of(*b));
  options.optimizer = test::adam(0.01);
  REQUIRE(Trainer<double>::create(b, options, trainer).ok());
  CHECK(trainer->step(*batch, *other, second).code == ErrorCode::kOption);
}

TEST_CASE("a minimizer that is done ends the run, with its word") {
  NetworkSpec spec;
  spec.inputs = 2;
  spec.layers = {test::dense(1)};
  const auto table = test::random_table(40, 2, {{1, false}}, 3);
  TrainingOptions options = test::options_of({{test::loss_spec(Loss::kMeanSquaredError), {}}}, test::lbfgs(10, 1e-9));
  options.batch_size = 40;
  options.epochs = 1000;
  const auto model = make_model<double>(spec);
  Log log;
  const TrainingState state = test::train<double>(model, table.dataset(), options, log);
  CHECK(log.end.reason == EndReason::kCompleted);
  CHECK_FALSE(log.end.converged.empty());
  CHECK(log.end.epochs < 50);
  CHECK(log.epochs.size() == std::size_t(log.end.epochs));
  CHECK(state.epoch == log.end.epochs);
  CHECK(state.position == 0);
  CHECK_FALSE(model->busy());
}

TEST_CASE_TEMPLATE("an update that is not finite ends the run and is taken back", T, float, double) {
  const TaskCase c = test::task_cases()[1];
  TrainingOptions options = options_of(c, test::adahessian_spec(double(std::numeric_limits<T>::max())), true);
  const auto model = make_model<T>(c.spec);
  Log log;
  test::train<T>(model, c.table.dataset(), options, log);
  CHECK(log.end.reason == EndReason::kNotFinite);
  bool named = log.end.not_finite_in == "loss" || log.end.not_finite_in == "gradient";
  for (const TensorInfo& tensor : model->network().tensors()) named = named || tensor.name == log.end.not_finite_in;
  CHECK_MESSAGE(named, log.end.not_finite_in);
  const Values parameters = parameters_of(*model);
  CHECK(std::all_of(parameters.begin(), parameters.end(), [](double x) { return std::isfinite(x); }));
}

TEST_CASE("early stopping and validation watch a minimizer's epochs") {
  const TaskCase c = test::task_cases()[0];
  TrainingOptions options = options_of(c, test::lbfgs(5, 1e-9), true);
  options.validation = c.table.dataset(0, 50);
  options.has_early_stopping = true;
  options.early_stopping.patience = 1;
  options.early_stopping.min_delta = 1e9;
  options.epochs = 10;
  const auto model = make_model<float>(c.spec);
  Log log;
  test::train<float>(model, c.table.dataset(), options, log);
  CHECK(log.end.reason == EndReason::kEarlyStopped);
  CHECK(log.end.best_epoch == 1);
  REQUIRE(log.epochs.size() == 2);
  CHECK(log.epochs[0].validated);
}

TEST_CASE("optimizers refuse what the losses do not have") {
  const auto refused = [](Loss loss, const OptimizerSpec& spec) {
    NetworkSpec network;
    network.inputs = 2;
    network.layers = {test::dense(3, Activation::kTanh), test::dense(2)};
    std::unique_ptr<Trainer<double>> trainer;
    const TrainingOptions options = test::options_of({{test::loss_spec(loss), {}}}, spec);
    const Status status = Trainer<double>::create(make_model<double>(network), options, trainer);
    if (!status.ok()) CHECK(std::string(status.argument) == "optimizer");
    return !status.ok();
  };
  CHECK(refused(Loss::kMeanAbsoluteError, test::hessian_free_spec()));
  CHECK(refused(Loss::kMeanAbsoluteError, test::newton_cg_spec()));
  CHECK(refused(Loss::kHuber, test::levenberg_marquardt_spec("trainlm")));
  CHECK(refused(Loss::kHuber, test::sophia_spec("gaussNewtonBartlett")));
  CHECK_FALSE(refused(Loss::kMeanAbsoluteError, test::lbfgs(5, 1e-9)));
  CHECK_FALSE(refused(Loss::kHuber, test::hessian_free_spec()));
  CHECK_FALSE(refused(Loss::kMeanSquaredError, test::levenberg_marquardt_spec("nielsen")));
}

}  // namespace
}  // namespace krylov
