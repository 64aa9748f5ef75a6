// Training on the gradients of several tasks: the same bits for any number of threads and method, the plain sum against
// the step without the stage, what is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include "support/training_fixture.h"

namespace krylov {
namespace {

using test::Values;

const test::TaskCase& two_heads() {
  static const test::TaskCase task = test::task_cases().back();
  return task;
}

TrainingOptions with(TaskMethod method) {
  TrainingOptions options = test::options_of(two_heads().tasks, test::adam(0.01));
  options.multitask.emplace();
  options.multitask->method = method;
  options.l2 = 1e-3;
  return options;
}

TEST_CASE_TEMPLATE("task stage: one, two and three threads give the same bits", T, float, double) {
  for (int method = 0; method <= static_cast<int>(TaskMethod::kGCond); ++method) {
    CAPTURE(method);
    TrainingOptions options = with(static_cast<TaskMethod>(method));
    // Modulation, which needs the other threads.
    options.multitask->sam_gs.gamma = 0;
    Values first;
    for (const int threads : {1, 2, 3}) {
      CAPTURE(threads);
      options.threads = threads;
      const auto model = test::make_model<T>(two_heads().spec);
      test::Log log;
      test::train<T>(model, two_heads().table.dataset(), options, log);
      CHECK(log.end.reason == EndReason::kCompleted);
      const Values after = test::parameters_of(*model);
      if (threads == 1) {
        first = after;
        CHECK(first != test::parameters_of(*test::make_model<T>(two_heads().spec)));
      } else {
        CHECK((after == first));
      }
    }
  }
}

TEST_CASE("task stage: the sum of the tasks is the step without it") {
  Values results[2];
  for (const bool staged : {false, true}) {
    TrainingOptions options = with(TaskMethod::kWeightedSum);
    if (!staged) options.multitask.reset();
    const auto model = test::make_model<double>(two_heads().spec);
    test::Log log;
    test::train<double>(model, two_heads().table.dataset(), options, log);
    results[staged ? 1 : 0] = test::parameters_of(*model);
  }
  double largest = 0;
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    largest = std::max(largest, std::abs(results[0][i] - results[1][i]));
  }
  CHECK(largest < 1e-9);
}

TEST_CASE("task stage: what it refuses") {
  const auto refused = [](const NetworkSpec& spec, const TrainingOptions& options) {
    std::unique_ptr<Trainer<double>> trainer;
    return std::string(Trainer<double>::create(test::make_model<double>(spec), options, trainer).argument);
  };
  const TrainingOptions sum = with(TaskMethod::kWeightedSum);
  CHECK(refused(two_heads().spec, sum).empty());

  const test::TaskCase single = test::task_cases().front();
  TrainingOptions options = sum;
  options.tasks = single.tasks;
  CHECK(refused(single.spec, options) == "multitask");

  NetworkSpec apart = two_heads().spec;
  apart.layers = {test::dropout(0.1)};
  CHECK(refused(apart, sum) == "multitask");

  options = sum;
  options.multitask->weights = {1};
  CHECK(refused(two_heads().spec, options) == "weights");

  options = sum;
  options.tasks[1].loss.sum_reduction = false;
  options.clipping.emplace();
  options.clipping->thresholds = {1};
  CHECK(refused(two_heads().spec, options) == "clipping");
}

}  // namespace
}  // namespace krylov
