// Cosines between gradients, of samples, tasks or steps, from their inner products.
#pragma once

#include <cstdint>
#include <span>

#include "krylov/dtype.h"

namespace krylov {

// Over pairs i < j; NaN where there are none.
struct CosineSummary {
  double mean = 0;
  double negative_share = 0;              // of pairs with a cosine below 0
  double within = 0, between = 0;         // means over pairs of one class, and of two
};

// v_i . v_j [n, n] of vectors of one length, summed in float64.
template <Scalar T>
void gram_of_vectors(std::span<const T* const> vectors, std::int64_t length, double* out) noexcept;

// cosines [n, n] from a Gram matrix [n, n]; the two may be the same memory. A zero vector has cosine 0 with all, itself
// too. classes: [n] or empty.
CosineSummary cosines_of_gram(const double* gram, std::int64_t n, std::span<const std::int32_t> classes,
                              double* cosines) noexcept;

}  // namespace krylov
