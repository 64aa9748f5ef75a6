#include "reference/reference_losses.h"

#include <algorithm>
#include <cmath>

namespace krylov::reference {

namespace {

// The targets that softmax cross-entropy compares with: smoothed, and weighted class by class.
std::vector<double> softmax_targets(const LossSpec& spec, std::size_t width, const Target& target) {
  std::vector<double> y(width, 0.0);
  for (std::size_t k = 0; k < width; ++k) {
    const double raw = spec.class_targets ? (static_cast<std::int64_t>(k) == target.label ? 1 : 0) : target.values[k];
    y[k] = (1 - spec.label_smoothing) * raw + spec.label_smoothing / static_cast<double>(width);
    if (spec.class_weights.empty()) continue;
    y[k] *= spec.class_weights[spec.class_targets ? static_cast<std::size_t>(target.label) : k];
  }
  return y;
}

double log_sum_exp(const std::vector<double>& o) {
  const double shift = *std::max_element(o.begin(), o.end());
  double sum = 0;
  for (const double x : o) sum += std::exp(x - shift);
  return shift + std::log(sum);
}

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

double smoothed_binary(const LossSpec& spec, double y) {
  return (1 - spec.label_smoothing) * y + spec.label_smoothing / 2;
}

double positive_weight(const LossSpec& spec, std::size_t k) {
  return spec.class_weights.empty() ? 1 : spec.class_weights[k];
}

// Second derivative of each output's own loss, for losses that are sums over outputs.
double output_curvature(const LossSpec& spec, std::size_t k, std::size_t width, double o, double target) {
  double h = 0;
  switch (spec.kind) {
    case Loss::kMeanSquaredError: h = 2; break;
    case Loss::kHuber: h = std::abs(o - target) < spec.delta ? 1 : 0; break;
    case Loss::kBinaryCrossEntropy: {
      const double y = smoothed_binary(spec, target), e = std::exp(-std::abs(o));
      h = (positive_weight(spec, k) * y + 1 - y) * e / ((1 + e) * (1 + e));
      break;
    }
    case Loss::kMeanAbsoluteError: case Loss::kSoftmaxCrossEntropy: break;
  }
  return spec.scale * h / (spec.sum_outputs ? 1 : static_cast<double>(width));
}

}  // namespace

double sample_loss(const LossSpec& spec, const std::vector<double>& o, const Target& target) {
  double total = 0;
  if (spec.kind == Loss::kSoftmaxCrossEntropy) {
    const std::vector<double> y = softmax_targets(spec, o.size(), target);
    const double log_sum = log_sum_exp(o);
    for (std::size_t k = 0; k < o.size(); ++k) total += y[k] * (log_sum - o[k]);
    return spec.scale * total;
  }
  for (std::size_t k = 0; k < o.size(); ++k) {
    const double d = o[k] - target.values[k];
    switch (spec.kind) {
      case Loss::kMeanSquaredError: total += d * d; break;
      case Loss::kMeanAbsoluteError: total += std::abs(d); break;
      case Loss::kHuber:
        total += std::abs(d) < spec.delta ? 0.5 * d * d : spec.delta * (std::abs(d) - 0.5 * spec.delta);
        break;
      case Loss::kBinaryCrossEntropy: {
        const double y = smoothed_binary(spec, target.values[k]);
        total += positive_weight(spec, k) * y * softplus(-o[k]) + (1 - y) * softplus(o[k]);
        break;
      }
      case Loss::kSoftmaxCrossEntropy: break;
    }
  }
  return spec.scale * total / (spec.sum_outputs ? 1 : static_cast<double>(o.size()));
}

std::vector<double> sample_loss_slope(const LossSpec& spec, const std::vector<double>& o, const Target& target) {
  std::vector<double> slope(o.size());
  if (spec.kind == Loss::kSoftmaxCrossEntropy) {
    const std::vector<double> y = softmax_targets(spec, o.size(), target);
    const double log_sum = log_sum_exp(o);
    double mass = 0;
    for (const double t : y) mass += t;
    for (std::size_t k = 0; k < o.size(); ++k) slope[k] = spec.scale * (mass * std::exp(o[k] - log_sum) - y[k]);
    return slope;
  }
  for (std::size_t k = 0; k < o.size(); ++k) {
    const double d = o[k] - target.values[k];
    switch (spec.kind) {
      case Loss::kMeanSquaredError: slope[k] = 2 * d; break;
      case Loss::kMeanAbsoluteError: slope[k] = d > 0 ? 1 : d < 0 ? -1 : 0; break;
      case Loss::kHuber: slope[k] = std::clamp(d, -spec.delta, spec.delta); break;
      case Loss::kBinaryCrossEntropy: {
        const double y = smoothed_binary(spec, target.values[k]);
        slope[k] = (1 - y) / (1 + std::exp(-o[k])) - positive_weight(spec, k) * y / (1 + std::exp(o[k]));
        break;
      }
      case Loss::kSoftmaxCrossEntropy: break;
    }
    slope[k] *= spec.scale / (spec.sum_outputs ? 1 : static_cast<double>(o.size()));
  }
  return slope;
}

std::vector<double> sample_loss_curvature(const LossSpec& spec, const std::vector<double>& o, const Target& target,
                                          const std::vector<double>& u) {
  const std::size_t width = o.size();
  std::vector<double> out(width, 0.0);
  if (spec.kind != Loss::kSoftmaxCrossEntropy) {
    for (std::size_t k = 0; k < width; ++k) out[k] = output_curvature(spec, k, width, o[k], target.values[k]) * u[k];
    return out;
  }
  double mass = 0;
  for (const double y : softmax_targets(spec, width, target)) mass += y;
  const double log_sum = log_sum_exp(o);
  for (std::size_t k = 0; k < width; ++k) {
    for (std::size_t j = 0; j < width; ++j) out[k] += std::exp(o[k] + o[j] - 2 * log_sum) * (u[k] - u[j]);
    out[k] *= spec.scale * mass;
  }
  return out;
}

std::vector<double> sample_loss_root(const LossSpec& spec, const std::vector<double>& o, const Target& target,
                                     const std::vector<double>& z) {
  const std::size_t width = o.size();
  std::vector<double> out(width, 0.0);
  if (spec.kind != Loss::kSoftmaxCrossEntropy) {
    for (std::size_t k = 0; k < width; ++k) {
      out[k] = std::sqrt(output_curvature(spec, k, width, o[k], target.values[k])) * z[k];
    }
    return out;
  }
  double mass = 0;
  for (const double y : softmax_targets(spec, width, target)) mass += y;
  // sqrt(p_k) z_k - p_k sum_j sqrt(p_j) z_j, with 1 - p_k as the sum of the others.
  const double log_sum = log_sum_exp(o);
  for (std::size_t k = 0; k < width; ++k) {
    const double log_p = o[k] - log_sum;
    for (std::size_t j = 0; j < width; ++j) {
      if (j == k) continue;
      const double log_q = o[j] - log_sum;
      out[k] += std::exp(0.5 * log_p + log_q) * z[k] - std::exp(log_p + 0.5 * log_q) * z[j];
    }
    out[k] *= std::sqrt(spec.scale * mass);
  }
  return out;
}

}  // namespace krylov::reference
