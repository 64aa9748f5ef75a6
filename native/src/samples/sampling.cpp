#include "krylov/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace krylov {

namespace {

double sum_of(std::span<const double> values) noexcept {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

RowScore score_of(const std::optional<SamplingSpec>& spec) noexcept {
  if (!spec) return RowScore::kNone;
  if (spec->kind == SamplingKind::kHistory) return RowScore::kUpperBound;
  return spec->kind == SamplingKind::kImportance ? spec->score : RowScore::kNone;
}

std::int64_t poisson_steps(double rate) noexcept {
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::llround(1 / rate)));
}

std::int64_t largest_draw(const SamplingSpec& spec, std::int64_t rows, std::int64_t batch_size) noexcept {
  const auto batch = static_cast<double>(batch_size), all = static_cast<double>(rows);
  // As far as whole numbers are exact.
  if (spec.kind == SamplingKind::kImportance) {
    return static_cast<std::int64_t>(std::min(std::ceil(spec.presample * batch), 0x1p53));
  }
  if (spec.kind != SamplingKind::kPoisson) return batch_size;
  // A binomial number exceeds mean + 10 deviations + 35 with probability below 1e-20 (Bernstein's inequality).
  const double rate = spec.rate > 0 ? spec.rate : batch / all;
  const double most = rate * all + 10 * std::sqrt(rate * (1 - rate) * all) + 35;
  return static_cast<std::int64_t>(std::min(all, std::ceil(most)));
}

void mixed_probabilities(std::span<const double> scores, double mix, std::span<double> out) noexcept {
  const double uniform = 1 / static_cast<double>(scores.size());
  const double sum = sum_of(scores);
  if (!(sum > 0) || !std::isfinite(sum)) {
    std::fill(out.begin(), out.end(), uniform);
    return;
  }
  for (std::size_t i = 0; i < scores.size(); ++i) out[i] = mix * scores[i] / sum + (1 - mix) * uniform;
}

void importance_probabilities(std::span<const double> scores, double constant, std::span<double> out) noexcept {
  for (std::size_t i = 0; i < scores.size(); ++i) out[i] = scores[i] + constant;
  mixed_probabilities(out, 1, out);
}

void importance_weights(std::span<const double> probabilities, std::span<const std::uint32_t> picked,
                        std::span<double> out) noexcept {
  const auto pool = static_cast<double>(probabilities.size());
  for (std::size_t i = 0; i < picked.size(); ++i) out[i] = 1 / (pool * probabilities[picked[i]]);
}

void soften_weights(std::span<double> weights, std::span<const std::uint32_t> picked, std::span<const double> scores,
                    double power) noexcept {
  if (power == 1) return;
  const auto total = [&] {
    double sum = 0;
    for (std::size_t i = 0; i < picked.size(); ++i) sum += weights[i] * scores[picked[i]];
    return sum;
  };
  const double before = total();
  for (double& weight : weights) weight = std::pow(weight, power);
  const double after = total();
  if (!(after > 0)) return;
  for (double& weight : weights) weight *= before / after;
}

double variance_reduction(std::span<const double> probabilities) noexcept {
  double squares = 0;
  for (const double p : probabilities) squares += p * p;
  return std::max(1.0, std::sqrt(static_cast<double>(probabilities.size()) * squares));
}

double importance_threshold(double pool, double batch, double passes) noexcept {
  return (passes * pool + 3 * batch) / (3 * batch);
}

double effective_sample_size(std::span<const double> weights) noexcept {
  double squares = 0;
  for (const double w : weights) squares += w * w;
  const double sum = sum_of(weights);
  return squares > 0 ? sum * sum / squares : 0;
}

void record_history(std::span<double> figures, std::span<const std::uint32_t> index,
                    std::span<const double> records) noexcept {
  for (std::size_t i = 0; i < index.size(); ++i) {
    double& figure = figures[index[i]];
    figure = figure == kUnseen ? records[i] : (figure + records[i]) / 2;
  }
}

void DiscreteDistribution::assign(std::span<const double> weights) noexcept {
  double sum = 0;
  size_ = weights.size();
  for (std::size_t i = 0; i < size_; ++i) {
    if (weights[i] > 0) last_ = static_cast<std::uint32_t>(i);
    sums_[i] = sum += weights[i];
  }
}

std::uint32_t DiscreteDistribution::at(double uniform) const noexcept {
  const auto end = sums_.begin() + static_cast<std::ptrdiff_t>(size_);
  const auto found = std::upper_bound(sums_.begin(), end, uniform * *(end - 1));
  // The product may round up to the sum of all.
  return std::min(static_cast<std::uint32_t>(found - sums_.begin()), last_);
}

}  // namespace krylov
