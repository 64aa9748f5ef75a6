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

struct ClippingSpec {
  ClippingMode mode = ClippingMode::kClip;
  bool by_layer = false;           // each layer's own norm and factor, weight and bias together
  std::vector<double> thresholds;  // one; by layer: one for all or one for each layer with parameters
  double epsilon = 0;
};

// Of one step.
struct ClippingSummary {
  double mean_norm = 0, largest_norm = 0;  // of whole gradients
  double clipped = 0;                      // share of the factors that are not 1
};

double clipping_factor(const ClippingSpec& spec, double threshold, double norm) noexcept;

}  // namespace krylov
