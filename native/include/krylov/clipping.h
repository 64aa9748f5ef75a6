// Clipping of single samples' gradients before they are added up.
#pragma once

#include <cstdint>
#include <vector>

namespace krylov {

// The factor of a gradient of norm n, with threshold C and e = epsilon.
enum class ClippingMode : std::uint8_t {
  kClip,       // min(1, C / (n + e)); 1 where n is 0
  kAutomatic,  // C / (n + e)
  kGlobal      // 1 where n <= C, else 0
};

// Where thresholds come from.
enum class ThresholdRule : std::uint8_t {
  kFixed,
  // C <- C exp(-rate (b - quantile)), b the share of norms within C, after each step (Andrew, Thakkar, McMahan &
  // Ramaswamy 2021, arXiv 1905.03871).
  kQuantile,
  // U_l = mu_l + kappa_l sqrt(nu_l) from moving averages of the mean and variance of a layer's norms; a definition of
  // this project. By layer, and with ClippingMode::kClip.
  kLayerStatistics
};

struct ClippingSpec {
  ClippingMode mode = ClippingMode::kClip;
  bool by_layer = false;           // each layer's own norm and factor, weight and bias together
  std::vector<double> thresholds;  // one; by layer: one for all or one for each layer with parameters
  double epsilon = 0;
  ThresholdRule rule = ThresholdRule::kFixed;
  double quantile = 0.5, rate = 0.2, least = 1e-8, largest = 1e8;  // kQuantile
  double decay = 0.99, kappa_first = 1, kappa_last = 3;            // kLayerStatistics
  // Samples whose loss or gradient is not finite are left out of the sum, instead of ending the step.
  bool drop_not_finite = false;
};

// Of one step.
struct ClippingSummary {
  double mean_norm = 0, largest_norm = 0;  // of whole gradients; those that are finite
  double clipped = 0;                      // share of the factors that are not 1
};

double clipping_factor(const ClippingSpec& spec, double threshold, double norm) noexcept;

}  // namespace krylov
