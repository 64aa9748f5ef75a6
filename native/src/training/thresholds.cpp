#include "training/thresholds.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "krylov/rng.h"
#include "training/stage.h"

namespace krylov {

Status Thresholds::check(const ClippingSpec& spec, std::int64_t layers) {
  const auto option = [](const char* argument, const char* expected) {
    return Status::error(ErrorCode::kOption, argument, expected);
  };
  for (const double threshold : spec.thresholds) {
    if (!(threshold > 0) || !std::isfinite(threshold)) {
      return option("clipping.threshold", "a finite number above 0");
    }
  }
  const auto given = static_cast<std::int64_t>(spec.thresholds.size());
  if (given != 1 && !(spec.by_layer && given == layers)) {
    return Status::error(ErrorCode::kShape, "clipping.threshold", "one number, or one for each layer with parameters",
                         given, layers);
  }
  if (spec.rule == ThresholdRule::kQuantile) {
    if (spec.mode == ClippingMode::kAutomatic) {
      return option("clipping.adapt", "a fixed threshold for automatic clipping, which no norm is within");
    }
    if (!(spec.quantile > 0) || !(spec.quantile < 1)) {
      return option("clipping.adapt.quantile", "a number above 0 and below 1");
    }
    if (!(spec.rate > 0) || !std::isfinite(spec.rate)) return option("clipping.adapt.rate", "a finite number above 0");
    if (!(spec.least > 0) || !(spec.least <= spec.largest) || !std::isfinite(spec.largest)) {
      return option("clipping.adapt.min", "a number above 0 and at most the largest threshold");
    }
  }
  if (spec.rule == ThresholdRule::kLayerStatistics) {
    if (!spec.by_layer || spec.mode != ClippingMode::kClip) {
      return option("clipping.adapt", "clipping by layer for thresholds from statistics by layer");
    }
    if (!(spec.decay >= 0) || !(spec.decay < 1)) {
      return option("clipping.adapt.decay", "a number from 0 and below 1");
    }
    if (!(spec.kappa_first >= 0) || !(spec.kappa_last >= 0) || !std::isfinite(spec.kappa_first + spec.kappa_last)) {
      return option("clipping.adapt.kappaFirst", "finite numbers that are not negative");
    }
  }
  return Status::success();
}

Thresholds::Thresholds(const ClippingSpec& spec, std::size_t parts, const PrivacySpec* privacy)
    : spec_(spec), private_(privacy != nullptr), values_(spec.thresholds) {
  if (privacy != nullptr) privacy_ = *privacy;
  values_.resize(parts, values_.front());
  if (spec_.rule == ThresholdRule::kQuantile) {
    for (double& value : values_) value = std::clamp(value, spec_.least, spec_.largest);
  }
  if (spec_.rule == ThresholdRule::kLayerStatistics) {
    means_.resize(parts);
    variances_.resize(parts);
    set_limits();
  }
  used_ = values_;
}

double Thresholds::norm() const noexcept {
  if (values_.size() == 1) return values_[0];
  double sum = 0;
  for (const double value : values_) sum += value * value;
  return std::sqrt(sum);
}

void Thresholds::advance(const double* norms, std::int64_t stride, std::int64_t rows, std::int64_t update) noexcept {
  std::copy(values_.begin(), values_.end(), used_.begin());
  if (!follows() || (rows == 0 && !private_)) return;
  const auto of = [&](std::size_t part) {
    return std::span<const double>(norms + static_cast<std::int64_t>(part) * stride, static_cast<std::size_t>(rows));
  };
  if (spec_.rule == ThresholdRule::kQuantile) {
    for (std::size_t part = 0; part < parts(); ++part) follow_quantile(part, of(part), update);
    return;
  }
  const bool any = std::any_of(norms, norms + rows, [](double norm) { return std::isfinite(norm); });
  if (!any) return;
  for (std::size_t part = 0; part < parts(); ++part) follow_statistics(part, of(part));
  ++batches_;
  set_limits();
}

// b = 1/2 + (sum_i (b_i - 1/2) + sigma_b xi) / B with b_i = 1 where a norm is within the threshold. Without noise, and B
// the size of the batch, that is the share within. Differences from the released code: the halves, by which a sample moves
// the sum by 1/2 and no more, as the paper's theorem 1 has it; and B does not depend on the sample that was drawn.
void Thresholds::follow_quantile(std::size_t part, std::span<const double> norms, std::int64_t update) noexcept {
  double excess = 0;
  for (const double norm : norms) excess += norm + spec_.epsilon <= values_[part] ? 0.5 : -0.5;
  double size = static_cast<double>(norms.size());
  if (private_) {
    // Far above the indices of any parameter.
    constexpr std::uint64_t kFirstIndex = std::uint64_t{1} << 62;
    if (privacy_.count_noise > 0) {
      excess += privacy_.count_noise *
                normal(privacy_.seed, Stream::kNoise, static_cast<std::uint64_t>(update), kFirstIndex + part);
    }
    size = privacy_.expected_rows;
  }
  const double share = 0.5 + excess / size;
  values_[part] = std::clamp(values_[part] * std::exp(-spec_.rate * (share - spec_.quantile)), spec_.least, spec_.largest);
}

void Thresholds::follow_statistics(std::size_t part, std::span<const double> norms) noexcept {
  double sum = 0, squares = 0;
  std::int64_t count = 0;
  for (const double norm : norms) {
    if (!std::isfinite(norm)) continue;
    sum += norm;
    ++count;
  }
  const double mean = sum / static_cast<double>(count);
  for (const double norm : norms) {
    if (std::isfinite(norm)) squares += (norm - mean) * (norm - mean);
  }
  const double variance = squares / static_cast<double>(count);
  means_[part] = spec_.decay * means_[part] + (1 - spec_.decay) * mean;
  variances_[part] = spec_.decay * variances_[part] + (1 - spec_.decay) * variance;
}

void Thresholds::set_limits() noexcept {
  const double correction = 1 - std::pow(spec_.decay, static_cast<double>(batches_));
  for (std::size_t part = 0; part < parts(); ++part) {
    const double depth = parts() == 1 ? 1 : static_cast<double>(part) / static_cast<double>(parts() - 1);
    const double kappa = spec_.kappa_first + depth * (spec_.kappa_last - spec_.kappa_first);
    values_[part] = batches_ == 0 ? std::numeric_limits<double>::infinity()
                                  : means_[part] / correction + kappa * std::sqrt(variances_[part] / correction);
  }
}

void Thresholds::save(TrainingState& state) const {
  if (spec_.rule == ThresholdRule::kQuantile) state.plain.emplace_back("clipping.thresholds", values_);
  if (spec_.rule != ThresholdRule::kLayerStatistics) return;
  state.plain.emplace_back("clipping.means", means_);
  state.plain.emplace_back("clipping.variances", variances_);
  state.numbers.emplace_back("clipping.batches", static_cast<double>(batches_));
}

Status Thresholds::restore(const TrainingState& state) {
  const auto find = [&](const char* name, double least) -> const std::vector<double>* {
    for (const auto& [key, values] : state.plain) {
      if (key != name || values.size() != parts()) continue;
      const bool fine = std::all_of(values.begin(), values.end(),
                                    [&](double value) { return value >= least && std::isfinite(value); });
      return fine ? &values : nullptr;
    }
    return nullptr;
  };
  if (spec_.rule == ThresholdRule::kQuantile) {
    const std::vector<double>* values = find("clipping.thresholds", std::numeric_limits<double>::min());
    if (values == nullptr) {
      return Status::error(ErrorCode::kState, "state.arrays.clipping.thresholds", "the threshold of each part, above 0");
    }
    values_ = *values;
  }
  if (spec_.rule == ThresholdRule::kLayerStatistics) {
    const std::vector<double>*means = find("clipping.means", 0), *variances = find("clipping.variances", 0);
    const double* batches = find_number(state, "clipping.batches");
    if (means == nullptr || variances == nullptr || batches == nullptr || !(*batches >= 0)) {
      return Status::error(ErrorCode::kState, "state.arrays.clipping.means", "the averages of each layer's norms");
    }
    means_ = *means;
    variances_ = *variances;
    batches_ = static_cast<std::int64_t>(*batches);
    set_limits();
  }
  used_ = values_;
  return Status::success();
}

void Thresholds::describe(StepNumbers& numbers) const {
  if (!follows()) return;
  if (parts() == 1 && !spec_.by_layer) {
    numbers.numbers.emplace_back("clippingThreshold", used_[0]);
    return;
  }
  const auto [least, largest] = std::minmax_element(used_.begin(), used_.end());
  if (!std::isfinite(*largest)) return;  // of the first step there are none
  numbers.numbers.emplace_back("smallestClippingThreshold", *least);
  numbers.numbers.emplace_back("largestClippingThreshold", *largest);
}

}  // namespace krylov
