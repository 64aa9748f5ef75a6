// How often the units of a network's activations pass on next to nothing at the
// samples of a point. Runs as the quantities of per_sample.h do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "krylov/dtype.h"
#include "krylov/spec.h"

namespace krylov {

template <Scalar T>
class NetworkPoint;

// A layer with an activation.
struct LayerActivity {
  std::string name;  // what the names of its tensors begin with
  Activation activation = Activation::kIdentity;
  // By unit: rows in which the slope of the activation is at most the threshold in size.
  std::vector<std::int64_t> flat;
};

template <Scalar T>
std::vector<LayerActivity> unit_activity(NetworkPoint<T>& point, double slope_threshold);

}  // namespace krylov
