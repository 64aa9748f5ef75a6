// Differentially private steps: DP-SGD of Abadi et al. 2016 (arXiv 1607.00133),
//
//   g = (sum_i c_i g_i + sigma C xi) / B
//
// over a Poisson sample of the rows, with factors c_i that keep each c_i g_i
// within C (ClippingSpec), xi standard normal, and B the expected size of the
// sample, whatever its size is.
#pragma once

#include <cstdint>

namespace krylov {

struct PrivacySpec {
  double noise_multiplier = 0;  // what a step is accounted with
  double gradient_noise = 0;    // sigma; more than that where the count below is told too
  // Standard deviation of the noise on how many norms are within the threshold, of each layer: with
  // ThresholdRule::kQuantile.
  double count_noise = 0;
  double sample_rate = 1;     // of each row
  double expected_rows = 1;   // B
  std::uint64_t seed = 0;     // of the noise and of the samples; whoever knows it can take the noise away
};

}  // namespace krylov
