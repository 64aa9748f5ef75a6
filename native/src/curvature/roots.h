// Vectors S z on the heads, S S' = the losses' second derivatives by the outputs
// with all factors of the batch loss: sent back through the network they are
// gradients whose second moments are Gauss-Newton quantities.
#pragma once

#include <cstdint>

#include "curvature/point_task.h"

namespace krylov {

enum class RootKind : std::uint8_t {
  kColumn,  // z = a unit vector: column `draw` of S, counted over the outputs of all heads
  kSigns,   // independent signs (Stream::kProbe)
  kLabels,  // S z is the gradient for targets drawn from the model (Stream::kLabel), see seed_roots
};

struct RootSeeds {
  RootKind kind = RootKind::kColumn;
  std::uint64_t draw = 0;
  std::uint64_t seed = 0;
};

// Adjoints of the heads = S z for rows of a part, in its second set.
//
// For kLabels E[z z'] = I, and S z is a factor times the derivative of the loss for y drawn from the model:
//   softmaxCrossEntropy  y ~ Cat(p)              S z = p - e_y
//   binaryCrossEntropy   y_k ~ Bernoulli(s(o_k)) S z = (s(o) - y) sqrt(K) with the mean over K outputs
//   others               y = o + noise           S z = S e, e standard normal
// The second moment of the loss's own derivative would be 1 / K of its curvature for binaryCrossEntropy (Martens,
// arXiv 1412.1193): the factor sqrt(K) makes it the Gauss-Newton matrix. Weights of samples enter by their root.
// Numbers belong to the row's place among the point's rows, and to the output.
template <Scalar T>
void seed_roots(const PointPart<T>& part, const RootSeeds& seeds, std::int64_t first, std::int64_t count) noexcept;

// Outputs of all heads: columns of S.
template <Scalar T>
std::int64_t root_columns(const Network<T>& network) noexcept;

}  // namespace krylov
