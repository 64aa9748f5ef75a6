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

}  // namespace krylov::reference
