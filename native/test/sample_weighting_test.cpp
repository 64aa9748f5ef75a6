// Weights of samples by their losses: the rules against their formulas in plain
// loops, and the stage of training against weights that the caller gives.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "krylov/sample_weights.h"
#include "support/comparison.h"
#include "support/training_fixture.h"

namespace krylov {
namespace {

using test::Log;
using test::make_model;
using test::parameters_of;
using test::Values;

SampleWeightsSpec rule_of(WeightRule rule, double a, double b = 0, bool normalize = false) {
  SampleWeightsSpec spec;
  spec.rule = rule;
  spec.a.value = a;
  spec.b.value = b;
  spec.normalize = normalize;
  return spec;
}

const SampleWeightsSpec kSpecs[] = {
    rule_of(WeightRule::kFocal, 1.5),
    rule_of(WeightRule::kFocalLoss, 2),
    rule_of(WeightRule::kGeneralizedCrossEntropy, 0.7),
    rule_of(WeightRule::kTruncatedCrossEntropy, 0.7, 0.2),
    rule_of(WeightRule::kHuberizedCrossEntropy, 4),
    rule_of(WeightRule::kInverseLoss, 0.6),
    rule_of(WeightRule::kConfidence, 2),
    rule_of(WeightRule::kTilted, 0.5),
    rule_of(WeightRule::kLossThreshold, 1.4),
    rule_of(WeightRule::kHardExamples, 0.25),
    rule_of(WeightRule::kSmallLoss, 0.3),
    rule_of(WeightRule::kFocal, 1, 0, true),
    rule_of(WeightRule::kHardExamples, 0.4, 0, true)};

struct Figures {
  Values p, rest, loss, confidence;
  SampleFigures spans() const { return {loss, p, rest, confidence, {}}; }
};

Figures figures_of(const Values& logits, std::size_t width, const std::vector<std::int32_t>& labels) {
  Figures f;
  for (std::size_t r = 0; r < labels.size(); ++r) {
    const LabelFigures own = label_figures(logits.data() + r * width, std::int64_t(width), labels[r]);
    f.p.push_back(own.probability);
    f.rest.push_back(own.complement);
    f.loss.push_back(own.loss);
    f.confidence.push_back(own.confidence);
  }
  return f;
}

// The formulas, one by one.
double plain(const SampleWeightsSpec& spec, const Figures& f, std::size_t i) {
  const double a = spec.a.value, p = f.p[i], loss = f.loss[i], n = double(f.p.size());
  // Samples before this one in the order of losses, the first of equal ones first.
  double smaller = 0, larger = 0, tilt = 0;
  for (std::size_t j = 0; j < f.loss.size(); ++j) {
    smaller += f.loss[j] < loss || (f.loss[j] == loss && j < i);
    larger += f.loss[j] > loss || (f.loss[j] == loss && j < i);
    tilt += std::exp(f.loss[j] / a);
  }
  switch (spec.rule) {
    case WeightRule::kFocal: return std::pow(1 - p, a);
    case WeightRule::kFocalLoss: return std::pow(1 - p, a) - a * p * std::pow(1 - p, a - 1) * std::log(p);
    case WeightRule::kGeneralizedCrossEntropy: return std::pow(p, a);
    case WeightRule::kTruncatedCrossEntropy: return p > spec.b.value ? std::pow(p, a) : 0;
    case WeightRule::kHuberizedCrossEntropy: return std::min(1.0, a * p);
    case WeightRule::kInverseLoss: return a / (a + loss);
    case WeightRule::kConfidence: return std::pow(f.confidence[i], a);
    case WeightRule::kTilted: return n * std::exp(loss / a) / tilt;
    case WeightRule::kLossThreshold: return loss < a ? 1 : 0;
    case WeightRule::kHardExamples: return larger < std::floor(a * n) ? 1 : 0;
    case WeightRule::kSmallLoss: return smaller < std::floor((1 - a) * n) ? n / std::floor((1 - a) * n) : 0;
    case WeightRule::kAlignment:
    case WeightRule::kFunction: break;
  }
  return NAN;
}

TEST_CASE("rules of sample weights are their formulas") {
  constexpr std::size_t kWidth = 4, kSamples = 21;
  const Values logits = test::random_values(kSamples * kWidth, 3, 3);
  std::vector<std::int32_t> labels;
  for (std::size_t r = 0; r < kSamples; ++r) labels.push_back(std::int32_t(r % kWidth));
  Figures f = figures_of(logits, kWidth, labels);
  for (std::size_t r = 0; r < kSamples; ++r) {
    double sum = 0, most = 0;
    for (std::size_t c = 0; c < kWidth; ++c) sum += std::exp(logits[r * kWidth + c]);
    for (std::size_t c = 0; c < kWidth; ++c) most = std::max(most, std::exp(logits[r * kWidth + c]) / sum);
    const double p = std::exp(logits[r * kWidth + std::size_t(labels[r])]) / sum;
    CHECK(f.p[r] == doctest::Approx(p).epsilon(1e-13));
    CHECK(f.rest[r] == doctest::Approx(1 - p).epsilon(1e-12));
    CHECK(f.loss[r] == doctest::Approx(-std::log(p)).epsilon(1e-12));
    CHECK(f.confidence[r] == doctest::Approx(most).epsilon(1e-13));
  }
  f.loss[7] = f.loss[3];  // a tie
  std::vector<std::uint32_t> order(kSamples);
  Values weights(kSamples);
  for (const SampleWeightsSpec& spec : kSpecs) {
    CAPTURE(int(spec.rule));
    REQUIRE(sample_weights(spec, 0, f.spans(), order, weights));
    Values expected;
    for (std::size_t i = 0; i < kSamples; ++i) expected.push_back(plain(spec, f, i));
    const double mean = spec.normalize ? std::accumulate(expected.begin(), expected.end(), 0.0) / kSamples : 1;
    for (std::size_t i = 0; i < kSamples; ++i) {
      CHECK(weights[i] == doctest::Approx(expected[i] / mean).epsilon(1e-12));
    }
  }
  const Values alignments = {3, -2, 1};
  SampleFigures aligned;
  aligned.alignments = alignments;
  Values three(3);
  CHECK(sample_weights(rule_of(WeightRule::kAlignment, 0), 0, aligned, order, three));
  CHECK((three == Values{2.25, 0, 0.75}));
}

TEST_CASE("a single sigmoid is a softmax of two, linear in the target") {
  for (const double z : {-40.0, -1.5, 0.0, 2.0, 800.0}) {
    const double two[2] = {0, z};
    for (const int label : {0, 1}) {
      const LabelFigures a = binary_figures(z, label), b = label_figures(two, 2, label);
      CHECK(a.probability == b.probability);
      CHECK(a.complement == b.complement);
      CHECK(a.loss == b.loss);
      CHECK(a.confidence == b.confidence);
    }
    const LabelFigures mixed = binary_figures(z, 0.25), yes = binary_figures(z, 1), no = binary_figures(z, 0);
    CHECK(mixed.probability == doctest::Approx(0.25 * yes.probability + 0.75 * no.probability));
    CHECK(mixed.probability + mixed.complement == doctest::Approx(1));
    CHECK(mixed.loss == doctest::Approx(0.25 * yes.loss + 0.75 * no.loss));
  }
}

TEST_CASE("weights that cannot be divided by their mean stay 0, and shares are at least a sample") {
  const Values losses = {2, 3, 4};
  SampleFigures f;
  f.losses = losses;
  std::uint32_t order[3];
  Values weights = {9, 9, 9};
  CHECK_FALSE(sample_weights(rule_of(WeightRule::kLossThreshold, 1, 0, true), 0, f, order, weights));
  CHECK((weights == Values{0, 0, 0}));
  CHECK(sample_weights(rule_of(WeightRule::kHardExamples, 1e-9), 0, f, order, weights));
  CHECK((weights == Values{0, 0, 1}));
  CHECK(sample_weights(rule_of(WeightRule::kSmallLoss, 1), 0, f, order, weights));
  CHECK((weights == Values{3, 0, 0}));
}

TEST_CASE_TEMPLATE("a step with a rule is the step with its weights given", T, float, double) {
  const test::TaskCase c = test::task_cases()[0];
  for (const SampleWeightsSpec& spec : kSpecs) {
    CAPTURE(int(spec.rule));
    TrainingOptions options = test::options_of(c.tasks, test::adam(0.01));
    const auto by_rule = make_model<T>(c.spec), given = make_model<T>(c.spec);
    TrainingOptions asking = options;
    options.weights = spec;
    asking.weights = rule_of(WeightRule::kFunction, 0);
    std::unique_ptr<Trainer<T>> one, other;
    REQUIRE(Trainer<T>::create(by_rule, options, one).ok());
    REQUIRE(Trainer<T>::create(given, asking, other).ok());
    std::int64_t asked = 0;
    other->set_weight_function([&](const WeightRequest& request, std::span<double> weights) {
      CHECK(request.updates == asked++);
      SampleFigures f = request.figures;
      REQUIRE(f.losses.size() == weights.size());
      REQUIRE(f.probabilities.size() == weights.size());
      std::vector<std::uint32_t> order(weights.size());
      CHECK(sample_weights(spec, request.updates, f, order, weights));
    });
    for (std::int64_t s = 0; s < 3; ++s) {
      const auto batch = c.table.dataset(s * test::kBatch, test::kBatch);
      StepResult a, b;
      REQUIRE(one->step(*batch, a).ok());
      REQUIRE(other->step(*batch, b).ok());
      CHECK(a.loss == b.loss);
      CHECK(a.finite);
      REQUIRE(a.step.numbers.size() >= 5);
      for (std::size_t i = 0; i < a.step.numbers.size(); ++i) {
        CHECK(std::string(a.step.numbers[i].first) == b.step.numbers[i].first);
        CHECK(a.step.numbers[i].second == b.step.numbers[i].second);
      }
    }
    CHECK(asked == 3);
    CHECK((parameters_of(*by_rule) == parameters_of(*given)));
  }
}

TEST_CASE("weights of 0 and 1 select samples") {
  // Without dropout, whose masks go by the place in the batch.
  NetworkSpec spec;
  spec.inputs = 6;
  spec.layers = {test::dense(8, Activation::kTanh), test::dense(3)};
  const test::Table table = test::random_table(16, 6, {{3, true}}, 11);
  const std::vector<HeadTask> tasks = {{test::loss_spec(Loss::kSoftmaxCrossEntropy, true), {}}};
  TrainingOptions options = test::options_of(tasks, test::sgd(0.5, 0));
  TrainingOptions asking = options;
  asking.weights = rule_of(WeightRule::kFunction, 0);
  const auto part = make_model<double>(spec), all = make_model<double>(spec);
  std::unique_ptr<Trainer<double>> few, whole;
  REQUIRE(Trainer<double>::create(part, options, few).ok());
  REQUIRE(Trainer<double>::create(all, asking, whole).ok());
  whole->set_weight_function([](const WeightRequest&, std::span<double> weights) {
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = i < 4 ? 4 : 0;
  });
  StepResult a, b;
  REQUIRE(few->step(*table.dataset(0, 4), a).ok());
  REQUIRE(whole->step(*table.dataset(), b).ok());
  const Values x = parameters_of(*part), y = parameters_of(*all);
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(y[i] == doctest::Approx(x[i]).epsilon(1e-12));
  CHECK(x != parameters_of(*make_model<double>(spec)));
}

TEST_CASE_TEMPLATE("weights: the same bits for any number of threads, and after a resume", T, float, double) {
  const test::TaskCase c = test::task_cases()[0];
  for (const SampleWeightsSpec& spec : {kSpecs[0], kSpecs[7], kSpecs[8], kSpecs[10]}) {
    CAPTURE(int(spec.rule));
    TrainingOptions options = test::options_of(c.tasks, test::classical_momentum(0.05, 0.9, "lookahead"));
    options.weights = spec;
    Values first;
    for (const int threads : {1, 2, 3}) {
      const auto model = make_model<T>(c.spec);
      options.threads = threads;
      Log log;
      test::train<T>(model, c.table.dataset(), options, log);
      if (threads == 1) first = parameters_of(*model);
      CHECK((parameters_of(*model) == first));
    }
    const auto begun = make_model<T>(c.spec);
    Log part, rest;
    TrainingOptions again = options;
    again.state = test::train_until<T>(begun, c.table.dataset(), options, 8, part);
    again.has_state = true;
    test::train<T>(begun, c.table.dataset(), again, rest);
    CHECK((parameters_of(*begun) == first));
  }
}

TEST_CASE("weights are refused where they have no meaning") {
  const auto cases = test::task_cases();
  const auto two = make_model<double>(cases[1].spec);
  TrainingOptions options = test::options_of(cases[1].tasks, test::sgd(0.1, 0));
  std::unique_ptr<Trainer<double>> trainer;
  options.weights = rule_of(WeightRule::kFocal, 2);
  CHECK(Trainer<double>::create(two, options, trainer).code == ErrorCode::kOption);
  // Means and sums over samples do not go together.
  options.weights = rule_of(WeightRule::kInverseLoss, 2);
  CHECK(Trainer<double>::create(two, options, trainer).code == ErrorCode::kOption);
  options.tasks[1].loss.sum_reduction = false;
  CHECK(Trainer<double>::create(two, options, trainer).ok());
  options.weights = rule_of(WeightRule::kAlignment, 0);
  CHECK(Trainer<double>::create(two, options, trainer).code == ErrorCode::kOption);
  options.weights = rule_of(WeightRule::kFunction, 0);
  REQUIRE(Trainer<double>::create(two, options, trainer).ok());
  StepResult result;
  CHECK(trainer->step(*cases[1].table.dataset(0, 8), result).code == ErrorCode::kState);
}

}  // namespace
}  // namespace krylov
