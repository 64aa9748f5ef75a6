// Losses of one sample by their definitions, in double.
#pragma once

#include <cstdint>
#include <vector>

#include "krylov/spec.h"

namespace krylov::reference {

// What one head should give for one sample: a class, or a row of targets.
struct Target {
  std::int64_t label = -1;
  std::vector<double> values = {};
};

// scale * loss, before sample weight and the head's weight. With class targets the class weight
// of the label is included.
double sample_loss(const LossSpec& spec, const std::vector<double>& outputs, const Target& target);
// Its derivative by the outputs.
std::vector<double> sample_loss_slope(const LossSpec& spec, const std::vector<double>& outputs, const Target& target);
// H u with its second derivative H by the outputs, and S z with S S' = H. Without cancellation.
std::vector<double> sample_loss_curvature(const LossSpec& spec, const std::vector<double>& outputs, const Target& target,
                                          const std::vector<double>& u);
std::vector<double> sample_loss_root(const LossSpec& spec, const std::vector<double>& outputs, const Target& target,
                                     const std::vector<double>& z);

}  // namespace krylov::reference
