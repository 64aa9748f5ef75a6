// Statistics of the gradients of a batch's samples from their norms and their
// inner products with the mean. Specification: docs/per-sample.md.
#pragma once

#include <span>

namespace krylov {

// McCandlish et al. 2018, from batches of 1 and N; NaN where N = 1 leaves them undefined, or a divisor is 0.
struct NoiseScale {
  double trace_unbiased = 0;             // of the covariance of g_i
  double squared_gradient_unbiased = 0;  // of the true gradient; may be negative
  double simple_unbiased = 0;            // their ratio
  double simple_plain = 0;               // (mean |g_i|^2 - |mean|^2) / |mean|^2
};

// With gbar the mean of g_i and s_i = g_i . gbar.
struct GradientStatistics {
  double mean_squared_norm = 0;  // of g_i
  double squared_mean_norm = 0;  // |gbar|^2
  NoiseScale noise_scale;
  double diversity = 0;  // sum |g_i|^2 / |sum g_i|^2
  double coherence = 0;  // its inverse, 0 to N
  // sum |g_i - gbar|^2 / (N (N - 1)) over |gbar|^2, and sum (s_i - |gbar|^2)^2 / (N (N - 1)) over |gbar|^4.
  double norm_test = 0, inner_product_test = 0;
};

// From |g_i|^2, s_i and |gbar|^2 alone. cosines [N], of g_i with gbar: 0 where either is zero.
GradientStatistics statistics_of_samples(std::span<const double> squares, std::span<const double> products,
                                         double squared_mean_norm, std::span<double> cosines) noexcept;

}  // namespace krylov
