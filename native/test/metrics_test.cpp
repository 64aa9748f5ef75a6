// Metric accumulators against definitions written out over whole batches, and
// against figures that scikit-learn's documentation prints.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <vector>

#include "krylov/metrics.h"

namespace krylov {
namespace {

using Matrix = std::vector<std::vector<double>>;

LossSpec loss_of(Loss kind, bool class_targets = false) {
  LossSpec loss;
  loss.kind = kind;
  loss.class_targets = class_targets;
  return loss;
}

struct Data {
  Matrix outputs, targets;
  std::vector<std::int32_t> classes;  // used when not empty
  std::vector<double> weights;        // may be empty
};

// Adds in blocks of `block` rows with padded rows, as a network would.
template <Scalar T>
double run(const MetricSpec& spec, const LossSpec& loss, const Data& data, std::size_t block) {
  const std::int64_t width = static_cast<std::int64_t>(data.outputs[0].size());
  REQUIRE(check_metric(spec, loss, width).ok());
  MetricAccumulator metric(spec, loss, width);
  metric.reserve(static_cast<std::int64_t>(data.outputs.size()));
  for (int pass = 0; pass < 2; ++pass) {  // the second time after a reset
    metric.reset();
    for (std::size_t first = 0; first < data.outputs.size(); first += block) {
      const std::size_t count = std::min(block, data.outputs.size() - first);
      const std::size_t ld = static_cast<std::size_t>(width) + 3;
      std::vector<T> outputs(count * ld, T(1e9)), targets(count * ld, T(-1e9));
      for (std::size_t r = 0; r < count; ++r) {
        for (std::size_t k = 0; k < static_cast<std::size_t>(width); ++k) {
          outputs[r * ld + k] = static_cast<T>(data.outputs[first + r][k]);
          if (data.classes.empty()) targets[r * ld + k] = static_cast<T>(data.targets[first + r][k]);
        }
      }
      metric.add<T>(outputs.data(), static_cast<std::int64_t>(ld), static_cast<std::int64_t>(count),
                    data.classes.empty() ? nullptr : data.classes.data() + first,
                    data.classes.empty() ? targets.data() : nullptr, static_cast<std::int64_t>(ld),
                    data.weights.empty() ? nullptr : data.weights.data() + first);
    }
  }
  return metric.value();
}

// Exact in float32. Steps of 1/8 make ties; finer ones keep probabilities of different rows apart,
// which otherwise tie or not by the rounding of the softmax.
Data random_data(std::size_t rows, std::size_t width, bool labels, bool weighted, unsigned seed, bool ties = true) {
  std::mt19937 random(seed);
  Data data;
  for (std::size_t r = 0; r < rows; ++r) {
    data.outputs.emplace_back();
    data.targets.emplace_back();
    for (std::size_t k = 0; k < width; ++k) {
      data.outputs.back().push_back(ties ? static_cast<double>(random() % 33) / 8 - 2
                                         : static_cast<double>(random() % (1u << 20)) / (1u << 18) - 2);
      data.targets.back().push_back(static_cast<double>(random() % 9) / 8);
    }
    if (labels) data.classes.push_back(static_cast<std::int32_t>(random() % width));
    if (weighted) data.weights.push_back(static_cast<double>(1 + random() % 8) / 4);
  }
  return data;
}

double weight_of(const Data& data, std::size_t r) { return data.weights.empty() ? 1 : data.weights[r]; }

std::size_t first_largest(const std::vector<double>& row) {
  std::size_t best = 0;
  for (std::size_t k = 1; k < row.size(); ++k) {
    if (row[k] > row[best]) best = k;
  }
  return best;
}

std::size_t label_of(const Data& data, std::size_t r) {
  return data.classes.empty() ? first_largest(data.targets[r]) : static_cast<std::size_t>(data.classes[r]);
}

// Area under the curve from its definition: all pairs.
double pair_auc(const std::vector<double>& score, const std::vector<bool>& positive, const Data& data) {
  double wins = 0, pairs = 0;
  for (std::size_t i = 0; i < score.size(); ++i) {
    for (std::size_t j = 0; j < score.size(); ++j) {
      if (!positive[i] || positive[j]) continue;
      const double w = weight_of(data, i) * weight_of(data, j);
      pairs += w;
      wins += w * (score[i] > score[j] ? 1 : score[i] == score[j] ? 0.5 : 0);
    }
  }
  return wins / pairs;
}

double probability(const std::vector<double>& row, std::size_t k) {
  double sum = 0;
  for (const double o : row) sum += std::exp(o - row[k]);
  return 1 / sum;
}

MetricSpec metric_of(MetricKind kind) {
  MetricSpec spec;
  spec.kind = kind;
  return spec;
}

// A quantity made of about n sums and products of positive numbers.
void check_close(double got, double want) { CHECK(std::abs(got - want) <= 1e-13 * std::max(1.0, std::abs(want))); }

}  // namespace

TEST_CASE("errors are the metrics to be minimised") {
  CHECK(maximizes(MetricKind::kAuc));
  CHECK_FALSE(maximizes(MetricKind::kMeanAbsoluteError));
}

TEST_CASE("metrics that a head cannot have are refused") {
  const LossSpec squared = loss_of(Loss::kMeanSquaredError), binary = loss_of(Loss::kBinaryCrossEntropy),
                 softmax = loss_of(Loss::kSoftmaxCrossEntropy, true);
  CHECK(check_metric(metric_of(MetricKind::kAccuracy), squared, 1).code == ErrorCode::kOption);
  CHECK(check_metric(metric_of(MetricKind::kAccuracy), squared, 2).ok());
  CHECK(check_metric(metric_of(MetricKind::kAccuracy), binary, 1).ok());
  CHECK(check_metric(metric_of(MetricKind::kAuc), squared, 3).code == ErrorCode::kOption);
  CHECK(check_metric(metric_of(MetricKind::kF1), squared, 1).code == ErrorCode::kOption);
  CHECK(check_metric(metric_of(MetricKind::kTopK), softmax, 4).code == ErrorCode::kOption);  // k = 5
  CHECK(check_metric(metric_of(MetricKind::kTopK), softmax, 5).ok());
  CHECK(check_metric(metric_of(MetricKind::kTopK), binary, 9).code == ErrorCode::kOption);
  MetricSpec positive = metric_of(MetricKind::kRecall);
  positive.averaging = Averaging::kBinary;
  CHECK(check_metric(positive, softmax, 3).code == ErrorCode::kOption);
  CHECK(check_metric(positive, softmax, 2).ok());
  CHECK(check_metric(positive, binary, 1).ok());
  positive.threshold = 1;
  CHECK(check_metric(positive, binary, 1).code == ErrorCode::kOption);
}

TEST_CASE_TEMPLATE("metrics of classes equal their definitions", T, float, double) {
  for (const bool weighted : {false, true}) {
    for (const bool labels : {false, true}) {
      for (const std::size_t width : {2u, 3u, 7u}) {
        for (const std::size_t rows : {1u, 5u, 60u}) {
          const Data data =
              random_data(rows, width, labels, weighted, 40 + static_cast<unsigned>(width + rows), width == 2);
          const LossSpec loss = loss_of(Loss::kSoftmaxCrossEntropy, labels);
          CAPTURE(weighted);
          CAPTURE(labels);
          CAPTURE(width);
          CAPTURE(rows);
          double hits = 0, top = 0, total = 0, squares = 0;
          for (std::size_t r = 0; r < rows; ++r) {
            const double w = weight_of(data, r);
            const std::size_t label = label_of(data, r);
            total += w;
            if (first_largest(data.outputs[r]) == label) hits += w;
            std::vector<std::size_t> order(width);
            for (std::size_t k = 0; k < width; ++k) order[k] = k;
            std::stable_sort(order.begin(), order.end(),
                             [&](std::size_t a, std::size_t b) { return data.outputs[r][a] > data.outputs[r][b]; });
            if (order[0] == label || order[1] == label) top += w;
            for (std::size_t k = 0; k < width; ++k) {
              const double y = labels ? (k == label ? 1 : 0) : data.targets[r][k];
              const double d = probability(data.outputs[r], k) - y;
              squares += w * d * d / static_cast<double>(width);
            }
          }
          check_close(run<T>(metric_of(MetricKind::kAccuracy), loss, data, 7), hits / total);
          MetricSpec two = metric_of(MetricKind::kTopK);
          two.k = 2;
          check_close(run<T>(two, loss, data, 7), top / total);
          check_close(run<T>(metric_of(MetricKind::kMeanSquaredError), loss, data, 7), squares / total);
          check_close(run<T>(metric_of(MetricKind::kRootMeanSquaredError), loss, data, 7), std::sqrt(squares / total));

          double precision = 0, recall = 0, f1 = 0, area = 0;
          std::size_t occurring = 0, curves = 0;
          for (std::size_t k = 0; k < width; ++k) {
            double both = 0, predicted = 0, actual = 0;
            std::vector<double> score;
            std::vector<bool> positive;
            for (std::size_t r = 0; r < rows; ++r) {
              const bool p = first_largest(data.outputs[r]) == k, a = label_of(data, r) == k;
              const double w = weight_of(data, r);
              both += p && a ? w : 0;
              predicted += p ? w : 0;
              actual += a ? w : 0;
              // Of two classes the difference decides, and equal differences tie.
              score.push_back(width == 2 ? data.outputs[r][k] - data.outputs[r][1 - k]
                                         : probability(data.outputs[r], k));
              positive.push_back(a);
            }
            if (predicted + actual > 0) {
              ++occurring;
              const double p = predicted > 0 ? both / predicted : 0, q = actual > 0 ? both / actual : 0;
              precision += p;
              recall += q;
              f1 += p + q > 0 ? 2 * p * q / (p + q) : 0;
            }
            if (actual > 0 && actual < total && (width > 2 || k == 1)) {
              area += pair_auc(score, positive, data);
              ++curves;
            }
          }
          const double classes = static_cast<double>(occurring);
          check_close(run<T>(metric_of(MetricKind::kPrecision), loss, data, 7), precision / classes);
          check_close(run<T>(metric_of(MetricKind::kRecall), loss, data, 7), recall / classes);
          check_close(run<T>(metric_of(MetricKind::kF1), loss, data, 7), f1 / classes);
          for (const MetricKind kind : {MetricKind::kPrecision, MetricKind::kRecall, MetricKind::kF1}) {
            MetricSpec micro = metric_of(kind);
            micro.averaging = Averaging::kMicro;  // every miss is one false positive and one false negative
            check_close(run<T>(micro, loss, data, 7), hits / total);
          }
          const double auc = run<T>(metric_of(MetricKind::kAuc), loss, data, 7);
          if (curves == 0) {
            CHECK(std::isnan(auc));
          } else {
            check_close(auc, area / static_cast<double>(curves));
          }
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("metrics of binary logits equal their definitions", T, float, double) {
  for (const std::size_t width : {1u, 4u}) {
    for (const double threshold : {0.5, 0.75}) {
      const Data data = random_data(50, width, false, true, 9);
      const LossSpec loss = loss_of(Loss::kBinaryCrossEntropy);
      double hits = 0, total = 0, f1 = 0, area = 0;
      double all_both = 0, all_predicted = 0, all_actual = 0;
      for (std::size_t k = 0; k < width; ++k) {
        double both = 0, predicted = 0, actual = 0;
        std::vector<double> score;
        std::vector<bool> positive;
        for (std::size_t r = 0; r < 50; ++r) {
          const bool p = 1 / (1 + std::exp(-data.outputs[r][k])) > threshold, a = data.targets[r][k] > 0.5;
          const double w = weight_of(data, r);
          total += w;
          hits += p == a ? w : 0;
          both += p && a ? w : 0;
          predicted += p ? w : 0;
          actual += a ? w : 0;
          score.push_back(data.outputs[r][k]);
          positive.push_back(a);
        }
        f1 += 2 * both / (predicted + actual) / static_cast<double>(width);
        area += pair_auc(score, positive, data) / static_cast<double>(width);
        all_both += both;
        all_predicted += predicted;
        all_actual += actual;
      }
      const auto with = [&](MetricKind kind, Averaging averaging) {
        MetricSpec spec = metric_of(kind);
        spec.averaging = averaging;
        spec.threshold = threshold;
        return run<T>(spec, loss, data, 8);
      };
      check_close(with(MetricKind::kAccuracy, Averaging::kMacro), hits / total);
      check_close(with(MetricKind::kF1, Averaging::kMacro), f1);
      check_close(with(MetricKind::kPrecision, Averaging::kMicro), all_both / all_predicted);
      check_close(with(MetricKind::kRecall, Averaging::kMicro), all_both / all_actual);
      check_close(with(MetricKind::kAuc, Averaging::kMacro), area);
      if (width == 1) check_close(with(MetricKind::kF1, Averaging::kBinary), f1);
    }
  }
}

TEST_CASE_TEMPLATE("errors and r2 of regressions equal their definitions", T, float, double) {
  for (const bool weighted : {false, true}) {
    for (const std::size_t width : {1u, 3u}) {
      const Data data = random_data(41, width, false, weighted, 21);
      const LossSpec loss = loss_of(Loss::kHuber);
      double total = 0, absolute = 0, squares = 0, r2 = 0;
      for (std::size_t r = 0; r < 41; ++r) total += weight_of(data, r);
      for (std::size_t k = 0; k < width; ++k) {
        double mean = 0, around = 0, residual = 0;
        for (std::size_t r = 0; r < 41; ++r) mean += weight_of(data, r) * data.targets[r][k] / total;
        for (std::size_t r = 0; r < 41; ++r) {
          const double w = weight_of(data, r), d = data.outputs[r][k] - data.targets[r][k];
          around += w * (data.targets[r][k] - mean) * (data.targets[r][k] - mean);
          residual += w * d * d;
          absolute += w * std::abs(d) / static_cast<double>(width);
        }
        squares += residual / static_cast<double>(width);
        r2 += (1 - residual / around) / static_cast<double>(width);
      }
      check_close(run<T>(metric_of(MetricKind::kMeanAbsoluteError), loss, data, 6), absolute / total);
      check_close(run<T>(metric_of(MetricKind::kMeanSquaredError), loss, data, 6), squares / total);
      check_close(run<T>(metric_of(MetricKind::kRootMeanSquaredError), loss, data, 6), std::sqrt(squares / total));
      check_close(run<T>(metric_of(MetricKind::kR2), loss, data, 6), r2);
    }
  }
}

TEST_CASE("figures of scikit-learn's documentation") {
  const LossSpec squared = loss_of(Loss::kMeanSquaredError);
  const Data one{{{2.5}, {0.0}, {2}, {8}}, {{3}, {-0.5}, {2}, {7}}, {}, {}};
  CHECK(run<double>(metric_of(MetricKind::kR2), squared, one, 2) == doctest::Approx(0.9486081370449679).epsilon(1e-12));
  CHECK(run<double>(metric_of(MetricKind::kMeanSquaredError), squared, one, 2) == doctest::Approx(0.375));
  const Data curve{{{0.1}, {0.4}, {0.35}, {0.8}}, {{0}, {0}, {1}, {1}}, {}, {}};
  CHECK(run<double>(metric_of(MetricKind::kAuc), loss_of(Loss::kBinaryCrossEntropy), curve, 3) == 0.75);
  Data classes;
  classes.classes = {0, 1, 2, 0, 1, 2};
  for (const int predicted : {0, 2, 1, 0, 0, 1}) {
    classes.outputs.push_back({0, 0, 0});
    classes.outputs.back()[static_cast<std::size_t>(predicted)] = 1;
  }
  const LossSpec softmax = loss_of(Loss::kSoftmaxCrossEntropy, true);
  CHECK(run<double>(metric_of(MetricKind::kPrecision), softmax, classes, 4) == doctest::Approx(2.0 / 9));
  CHECK(run<double>(metric_of(MetricKind::kRecall), softmax, classes, 4) == doctest::Approx(1.0 / 3));
  CHECK(run<double>(metric_of(MetricKind::kF1), softmax, classes, 4) == doctest::Approx(4.0 / 15));
}

TEST_CASE("edges") {
  const LossSpec squared = loss_of(Loss::kMeanSquaredError), binary = loss_of(Loss::kBinaryCrossEntropy);
  const Data hit{{{2}, {2}}, {{2}, {2}}, {}, {}}, miss{{{2}, {3}}, {{2}, {2}}, {}, {}}, single{{{2}}, {{2}}, {}, {}};
  CHECK(run<double>(metric_of(MetricKind::kR2), squared, hit, 1) == 1);
  CHECK(run<double>(metric_of(MetricKind::kR2), squared, miss, 1) == 0);
  CHECK(std::isnan(run<double>(metric_of(MetricKind::kR2), squared, single, 1)));
  const Data negatives{{{-1}, {-2}}, {{0}, {0}}, {}, {}};
  CHECK(run<double>(metric_of(MetricKind::kF1), binary, negatives, 1) == 0);
  CHECK(std::isnan(run<double>(metric_of(MetricKind::kAuc), binary, negatives, 1)));
  const MetricAccumulator nothing(metric_of(MetricKind::kAccuracy), binary, 1);
  CHECK(std::isnan(nothing.value()));
}

}  // namespace krylov
