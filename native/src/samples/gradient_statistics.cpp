#include "krylov/gradient_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace krylov {
namespace {

double ratio(double numerator, double denominator) noexcept {
  return denominator != 0 ? numerator / denominator : std::numeric_limits<double>::quiet_NaN();
}

// McCandlish, Kaplan, Amodei et al. 2018 (arXiv 1812.06162), appendix A.1, with batches of 1 and N samples: m = mean of
// |g_i|^2, q = |gbar|^2.
NoiseScale noise_scale(double m, double q, double n) noexcept {
  NoiseScale scale;
  scale.trace_unbiased = ratio((m - q) * n, n - 1);
  scale.squared_gradient_unbiased = ratio(n * q - m, n - 1);
  scale.simple_unbiased = ratio(scale.trace_unbiased, scale.squared_gradient_unbiased);
  scale.simple_plain = ratio(m - q, q);
  return scale;
}

}  // namespace

// Diversity: Yin et al. 2018 (arXiv 1706.05699). Tests: Byrd, Chin, Nocedal & Wu 2012; Bollapragada, Byrd & Nocedal 2018
// (arXiv 1710.11258).
GradientStatistics statistics_of_samples(std::span<const double> squares, std::span<const double> products,
                                         double squared_mean_norm, std::span<double> cosines) noexcept {
  const auto n = static_cast<double>(squares.size());
  const double q = squared_mean_norm;
  double sum = 0, spread = 0;
  for (std::size_t i = 0; i < squares.size(); ++i) {
    sum += squares[i];
    spread += (products[i] - q) * (products[i] - q);
    const double norms = std::sqrt(squares[i]) * std::sqrt(q);
    cosines[i] = norms > 0 ? std::clamp(products[i] / norms, -1.0, 1.0) : 0.0;
  }
  GradientStatistics s;
  s.mean_squared_norm = sum / n;
  s.squared_mean_norm = q;
  s.noise_scale = noise_scale(s.mean_squared_norm, q, n);
  s.diversity = ratio(sum, n * n * q);
  s.coherence = ratio(n * n * q, sum);
  s.norm_test = ratio(ratio(sum - n * q, n * (n - 1)), q);
  s.inner_product_test = ratio(ratio(spread, n * (n - 1)), q * q);
  return s;
}

}  // namespace krylov
