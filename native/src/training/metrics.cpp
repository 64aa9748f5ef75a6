#include "krylov/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace krylov {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

bool is_count(MetricKind kind) noexcept {
  return kind == MetricKind::kPrecision || kind == MetricKind::kRecall || kind == MetricKind::kF1;
}
bool is_error(MetricKind kind) noexcept {
  return kind == MetricKind::kMeanAbsoluteError || kind == MetricKind::kMeanSquaredError ||
         kind == MetricKind::kRootMeanSquaredError;
}
bool is_regression(Loss loss) noexcept {
  return loss != Loss::kBinaryCrossEntropy && loss != Loss::kSoftmaxCrossEntropy;
}

std::int64_t argmax(const std::vector<double>& row) noexcept {
  return std::max_element(row.begin(), row.end()) - row.begin();
}

double ratio(double numerator, double denominator) noexcept { return denominator > 0 ? numerator / denominator : 0; }

double sigmoid(double x) noexcept {
  const double e = std::exp(-std::abs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

double log_sum_exp(const std::vector<double>& row) noexcept {
  const double shift = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const double x : row) sum += std::exp(x - shift);
  return shift + std::log(sum);
}

}  // namespace

bool maximizes(MetricKind kind) noexcept { return !is_error(kind); }

Status check_metric(const MetricSpec& spec, const LossSpec& loss, std::int64_t width) noexcept {
  const auto option = [](const char* argument, const char* expected, std::int64_t received) {
    return Status::error(ErrorCode::kOption, argument, expected, received);
  };
  if (width < 1) return Status::error(ErrorCode::kShape, "width", "one output or more", width);
  const bool regression = is_regression(loss.kind), binary = loss.kind == Loss::kBinaryCrossEntropy;
  if (!(spec.threshold > 0 && spec.threshold < 1)) {
    return Status::error(ErrorCode::kOption, "metric.threshold", "a probability between 0 and 1");
  }
  switch (spec.kind) {
    case MetricKind::kAccuracy:
      if (regression && width == 1) {
        return option("metric", "accuracy of a classification, not of one regression output", width);
      }
      break;
    case MetricKind::kTopK:
      if (binary || width == 1) return option("metric", "topK of two or more classes, one a sample", width);
      if (spec.k < 1 || spec.k > width) return option("metric.k", "1 to the number of classes", spec.k);
      break;
    case MetricKind::kPrecision:
    case MetricKind::kRecall:
    case MetricKind::kF1:
      if (regression && width == 1) {
        return option("metric", "precision, recall and f1 of a classification, not of one regression output", width);
      }
      if (spec.averaging == Averaging::kBinary && width != (binary ? 1 : 2)) {
        return option("metric.averaging", "macro or micro, or binary with two classes or a single logit", width);
      }
      break;
    case MetricKind::kAuc:
      if (regression) return option("metric", "auc with binary or softmax cross-entropy", width);
      if (!binary && width == 1) return option("metric", "auc of two or more classes", width);
      break;
    default: break;
  }
  return Status::success();
}

MetricAccumulator::MetricAccumulator(const MetricSpec& spec, const LossSpec& loss, std::int64_t width)
    : spec_(spec),
      loss_(loss.kind),
      width_(width),
      logit_threshold_(std::log(spec.threshold / (1 - spec.threshold))),
      output_(static_cast<std::size_t>(width)),
      target_(static_cast<std::size_t>(width)) {
  if (is_count(spec.kind)) counts_.resize(static_cast<std::size_t>(width));
  if (spec.kind == MetricKind::kR2) columns_.resize(static_cast<std::size_t>(width));
}

void MetricAccumulator::reset() noexcept {
  rows_ = 0;
  weight_sum_ = sum_ = 0;
  std::fill(counts_.begin(), counts_.end(), Counts{});
  std::fill(columns_.begin(), columns_.end(), Column{});
  scores_.clear();
  labels_.clear();
  weights_.clear();
}

void MetricAccumulator::reserve(std::int64_t rows) {
  if (spec_.kind != MetricKind::kAuc) return;
  const std::size_t n = static_cast<std::size_t>(rows), width = static_cast<std::size_t>(width_);
  const bool binary = loss_ == Loss::kBinaryCrossEntropy;
  scores_.reserve(binary || width_ > 2 ? n * width : n);
  labels_.reserve(binary ? n * width : n);
  weights_.reserve(n);
}

template <Scalar T>
void MetricAccumulator::add(const T* outputs, std::int64_t ld, std::int64_t rows, const std::int32_t* classes,
                            const T* targets, std::int64_t ldt, const double* weights) {
  const bool labelled = loss_ != Loss::kBinaryCrossEntropy;
  for (std::int64_t r = 0; r < rows; ++r) {
    std::copy_n(outputs + r * ld, width_, output_.begin());
    std::int64_t label = 0;
    if (classes != nullptr) {
      label = classes[r];
      std::fill(target_.begin(), target_.end(), 0.0);
      target_[static_cast<std::size_t>(label)] = 1;
    } else {
      std::copy_n(targets + r * ldt, width_, target_.begin());
      if (labelled) label = argmax(target_);
    }
    add_row(label, weights != nullptr ? weights[r] : 1.0);
  }
}

void MetricAccumulator::add_row(std::int64_t label, double weight) {
  ++rows_;
  weight_sum_ += weight;
  switch (spec_.kind) {
    case MetricKind::kAccuracy:
    case MetricKind::kTopK: add_hits(label, weight); break;
    case MetricKind::kPrecision:
    case MetricKind::kRecall:
    case MetricKind::kF1: add_counts(label, weight); break;
    case MetricKind::kAuc: add_scores(label, weight); break;
    default: add_errors(weight); break;
  }
}

void MetricAccumulator::add_hits(std::int64_t label, double weight) noexcept {
  if (loss_ == Loss::kBinaryCrossEntropy) {
    std::int64_t hits = 0;
    for (std::size_t i = 0; i < output_.size(); ++i) hits += (output_[i] > logit_threshold_) == (target_[i] > 0.5);
    sum_ += weight * static_cast<double>(hits) / static_cast<double>(width_);
    return;
  }
  // The rank of the label's output; accuracy is the case of k = 1.
  const double own = output_[static_cast<std::size_t>(label)];
  std::int64_t before = 0;
  for (std::int64_t i = 0; i < width_; ++i) {
    const double other = output_[static_cast<std::size_t>(i)];
    before += other > own || (other == own && i < label);
  }
  const bool hit = before < (spec_.kind == MetricKind::kTopK ? spec_.k : 1) && !std::isnan(own);
  if (hit) sum_ += weight;
}

void MetricAccumulator::add_counts(std::int64_t label, double weight) noexcept {
  if (loss_ == Loss::kBinaryCrossEntropy) {
    for (std::size_t i = 0; i < output_.size(); ++i) {
      const bool predicted = output_[i] > logit_threshold_, actual = target_[i] > 0.5;
      if (predicted && actual) counts_[i].true_positive += weight;
      if (predicted && !actual) counts_[i].false_positive += weight;
      if (!predicted && actual) counts_[i].false_negative += weight;
    }
    return;
  }
  const std::int64_t predicted = argmax(output_);
  if (predicted == label) {
    counts_[static_cast<std::size_t>(label)].true_positive += weight;
  } else {
    counts_[static_cast<std::size_t>(predicted)].false_positive += weight;
    counts_[static_cast<std::size_t>(label)].false_negative += weight;
  }
}

// One curve a column: the logits; the difference of two logits, which orders
// like the probability of class 1; or log-probabilities of three classes and more.
void MetricAccumulator::add_scores(std::int64_t label, double weight) {
  weights_.push_back(weight);
  if (loss_ == Loss::kBinaryCrossEntropy) {
    scores_.insert(scores_.end(), output_.begin(), output_.end());
    for (const double y : target_) labels_.push_back(y > 0.5 ? 1 : 0);
    return;
  }
  labels_.push_back(static_cast<double>(label));
  if (width_ == 2) {
    scores_.push_back(output_[1] - output_[0]);
  } else {
    const double log_sum = log_sum_exp(output_);
    for (const double o : output_) scores_.push_back(o - log_sum);
  }
}

void MetricAccumulator::apply_link() noexcept {
  if (loss_ == Loss::kBinaryCrossEntropy) {
    for (double& o : output_) o = sigmoid(o);
  } else if (loss_ == Loss::kSoftmaxCrossEntropy) {
    const double log_sum = log_sum_exp(output_);
    for (double& o : output_) o = std::exp(o - log_sum);
  }
}

void MetricAccumulator::add_errors(double weight) noexcept {
  apply_link();
  if (spec_.kind == MetricKind::kR2) {
    if (weight_sum_ == 0) return;
    const double share = weight / weight_sum_;
    for (std::size_t i = 0; i < output_.size(); ++i) {
      Column& column = columns_[i];
      // Weighted running variance (West 1979): exactly 0 for a constant target.
      const double before = target_[i] - column.mean;
      column.mean += share * before;
      column.total_squares += weight * before * (target_[i] - column.mean);
      const double residual = target_[i] - output_[i];
      column.residual_squares += weight * residual * residual;
    }
    return;
  }
  double sum = 0;
  for (std::size_t i = 0; i < output_.size(); ++i) {
    const double d = output_[i] - target_[i];
    sum += spec_.kind == MetricKind::kMeanAbsoluteError ? std::abs(d) : d * d;
  }
  sum_ += weight * sum / static_cast<double>(width_);
}

double MetricAccumulator::count_value() const noexcept {
  const auto score = [this](const Counts& c) {
    switch (spec_.kind) {
      case MetricKind::kPrecision: return ratio(c.true_positive, c.true_positive + c.false_positive);
      case MetricKind::kRecall: return ratio(c.true_positive, c.true_positive + c.false_negative);
      default: return ratio(2 * c.true_positive, 2 * c.true_positive + c.false_positive + c.false_negative);
    }
  };
  if (spec_.averaging == Averaging::kBinary) return score(counts_.back());
  if (spec_.averaging == Averaging::kMicro) {
    Counts all;
    for (const Counts& c : counts_) {
      all.true_positive += c.true_positive;
      all.false_positive += c.false_positive;
      all.false_negative += c.false_negative;
    }
    return score(all);
  }
  double sum = 0, classes = 0;
  for (const Counts& c : counts_) {
    const bool occurs = c.true_positive + c.false_positive + c.false_negative > 0;
    if (!occurs && loss_ != Loss::kBinaryCrossEntropy) continue;
    sum += score(c);
    ++classes;
  }
  return ratio(sum, classes);
}

// Area under the ROC curve as the probability that a positive outranks a
// negative (Mann-Whitney), ties half: one sort a curve, then a walk over runs of equal scores.
double MetricAccumulator::auc_value() const {
  const bool binary = loss_ == Loss::kBinaryCrossEntropy;
  const std::size_t curves = binary || width_ > 2 ? static_cast<std::size_t>(width_) : 1;
  const std::size_t rows = weights_.size();
  if (std::any_of(scores_.begin(), scores_.end(), [](double s) { return std::isnan(s); })) return kNaN;
  std::vector<std::size_t> order(rows);
  double sum = 0, defined = 0;
  for (std::size_t curve = 0; curve < curves; ++curve) {
    const auto score = [&](std::size_t r) { return scores_[r * curves + curve]; };
    const auto positive = [&](std::size_t r) {
      if (binary) return labels_[r * curves + curve] > 0;
      return labels_[r] == (curves == 1 ? 1.0 : static_cast<double>(curve));
    };
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score(a) < score(b); });
    double negatives = 0, positives = 0, area = 0;
    for (std::size_t i = 0; i < rows;) {
      double tied_negatives = 0, tied_positives = 0;
      const double s = score(order[i]);
      do {
        (positive(order[i]) ? tied_positives : tied_negatives) += weights_[order[i]];
        ++i;
      } while (i < rows && score(order[i]) == s);
      area += tied_positives * (negatives + 0.5 * tied_negatives);
      negatives += tied_negatives;
      positives += tied_positives;
    }
    if (negatives > 0 && positives > 0) {
      sum += area / (negatives * positives);
      ++defined;
    }
  }
  return defined > 0 ? sum / defined : kNaN;
}

double MetricAccumulator::r2_value() const noexcept {
  if (rows_ < 2 || weight_sum_ == 0) return kNaN;
  double sum = 0;
  for (const Column& c : columns_) {
    if (c.total_squares > 0 || std::isnan(c.residual_squares)) {
      sum += 1 - c.residual_squares / c.total_squares;
    } else {
      sum += c.residual_squares == 0 ? 1 : 0;
    }
  }
  return sum / static_cast<double>(width_);
}

double MetricAccumulator::value() const {
  switch (spec_.kind) {
    case MetricKind::kPrecision:
    case MetricKind::kRecall:
    case MetricKind::kF1: return count_value();
    case MetricKind::kAuc: return auc_value();
    case MetricKind::kR2: return r2_value();
    default: break;
  }
  const double mean = weight_sum_ > 0 ? sum_ / weight_sum_ : kNaN;
  return spec_.kind == MetricKind::kRootMeanSquaredError ? std::sqrt(mean) : mean;
}

template void MetricAccumulator::add<float>(const float*, std::int64_t, std::int64_t, const std::int32_t*, const float*,
                                            std::int64_t, const double*);
template void MetricAccumulator::add<double>(const double*, std::int64_t, std::int64_t, const std::int32_t*,
                                             const double*, std::int64_t, const double*);

}  // namespace krylov
