// Metrics of a network's outputs, accumulated block by block in double. Every
// figure is weighted by the sample weights.
#pragma once

#include <cstdint>
#include <vector>

#include "krylov/dtype.h"
#include "krylov/spec.h"
#include "krylov/status.h"

namespace krylov {

enum class MetricKind : std::uint8_t {
  kAccuracy,
  kTopK,
  kPrecision,
  kRecall,
  kF1,
  kAuc,
  kR2,
  kMeanAbsoluteError,
  kMeanSquaredError,
  kRootMeanSquaredError
};

enum class Averaging : std::uint8_t { kMacro, kMicro, kBinary };

struct MetricSpec {
  MetricKind kind = MetricKind::kAccuracy;
  int k = 5;                                // topK
  Averaging averaging = Averaging::kMacro;  // precision, recall, f1
  double threshold = 0.5;                   // probability above which a logit of binary cross-entropy is positive
};

bool maximizes(MetricKind kind) noexcept;

// Whether the metric is defined for a head of `width` outputs trained with this loss.
Status check_metric(const MetricSpec& spec, const LossSpec& loss, std::int64_t width) noexcept;

// What an output means follows from the loss:
// - softmax cross-entropy: one class a row, the largest logit (the first of equals); the label is the class
//   index, or the largest entry of the row of probabilities;
// - binary cross-entropy: each column is a label of its own, positive where sigmoid(logit) > threshold, and
//   truly positive where the target is above one half;
// - regression losses: the metrics of classes need two or more outputs and take the largest output and target.
//
// accuracy          share of labels that are right; binary: over rows and columns
// topK              the label is among the k largest outputs; of equal outputs the first ranks higher
// precision, recall, f1   macro: the mean over the classes that occur among labels or predictions (binary: over
//                   all columns); micro: from the summed counts; binary: of the positive class (class 1 of two,
//                   or the single logit). A zero denominator gives 0.
// auc               area under the ROC curve, ties counted half. Binary: mean over columns; two classes: class 1
//                   against class 0; more: one-vs-rest, mean over classes, ranked by probability. Classes without
//                   both a positive and a negative sample are left out; NaN when none is left. Keeps all scores.
// r2                per output 1 - sum (y - o)^2 / sum (y - mean)^2, mean over outputs. As scikit-learn: a constant
//                   target gives 1 if it is met exactly, else 0; NaN for fewer than two rows.
// mean*Error        mean over rows and outputs; the root is taken once, at the end.
// The last four compare targets (class indices as one-hot rows) with raw outputs of regression losses, with
// probabilities under the cross-entropies. Without rows, or with weights that sum to zero, means are NaN.
class MetricAccumulator {
 public:
  // The spec must have passed check_metric.
  MetricAccumulator(const MetricSpec& spec, const LossSpec& loss, std::int64_t width);

  void reset() noexcept;
  // Room for the scores of so many rows, so that add() does not allocate (auc only).
  void reserve(std::int64_t rows);
  // Raw outputs [rows, width]. `classes` are given for class targets, else `targets`; weights may be null for 1.
  template <Scalar T>
  void add(const T* outputs, std::int64_t ld, std::int64_t rows, const std::int32_t* classes, const T* targets,
           std::int64_t ldt, const double* weights);
  double value() const;
  bool maximize() const noexcept { return maximizes(spec_.kind); }
  const MetricSpec& spec() const noexcept { return spec_; }

 private:
  struct Counts {
    double true_positive = 0, false_positive = 0, false_negative = 0;
  };
  struct Column {
    double mean = 0, total_squares = 0, residual_squares = 0;
  };

  void add_row(std::int64_t label, double weight);
  void add_hits(std::int64_t label, double weight) noexcept;
  void add_counts(std::int64_t label, double weight) noexcept;
  void add_scores(std::int64_t label, double weight);
  void add_errors(double weight) noexcept;
  void apply_link() noexcept;
  double count_value() const noexcept;
  double auc_value() const;
  double r2_value() const noexcept;

  MetricSpec spec_;
  Loss loss_;
  std::int64_t width_;
  double logit_threshold_;
  std::int64_t rows_ = 0;
  double weight_sum_ = 0, sum_ = 0;
  std::vector<double> output_, target_;  // the row at hand
  std::vector<Counts> counts_;
  std::vector<Column> columns_;
  std::vector<double> scores_, labels_, weights_;  // [rows, curves]; labels [rows, curves] or classes [rows]
};

}  // namespace krylov
