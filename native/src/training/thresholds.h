// Thresholds of per-sample clipping, fixed or following the norms (see
// ThresholdRule): one for the whole gradient or one for each layer.
#pragma once

#include <span>
#include <vector>

#include "krylov/clipping.h"
#include "krylov/privacy.h"
#include "krylov/status.h"
#include "krylov/training.h"

namespace krylov {

class Thresholds {
 public:
  static Status check(const ClippingSpec& spec, std::int64_t layers);
  Thresholds(const ClippingSpec& spec, std::size_t parts, const PrivacySpec* privacy);

  std::size_t parts() const noexcept { return values_.size(); }
  bool follows() const noexcept { return spec_.rule != ThresholdRule::kFixed; }
  // Of the next step, or after it of that step until advance().
  double operator[](std::size_t part) const noexcept { return values_[part]; }
  double norm() const noexcept;  // of all of them as a vector

  // After a step, by one thread. norms: [parts][stride], the first `rows` of each those of the step; NaN: left out.
  void advance(const double* norms, std::int64_t stride, std::int64_t rows, std::int64_t update) noexcept;

  void save(TrainingState& state) const;
  Status restore(const TrainingState& state);
  // The thresholds of the newest step.
  void describe(StepNumbers& numbers) const;

 private:
  void follow_quantile(std::size_t part, std::span<const double> norms, std::int64_t update) noexcept;
  void follow_statistics(std::size_t part, std::span<const double> norms) noexcept;
  void set_limits() noexcept;  // from the averages

  ClippingSpec spec_;
  bool private_ = false;
  PrivacySpec privacy_;
  std::vector<double> values_, used_;
  // Moving averages, without the correction of their bias.
  std::vector<double> means_, variances_;
  std::int64_t batches_ = 0;  // in the averages
};

}  // namespace krylov
