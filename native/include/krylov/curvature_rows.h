// The Gauss-Newton matrix sample by sample: H_i = sum over the rows r of sample
// i of r r', for questions about single samples (stability of SGD, kernels).
#pragma once

#include <cstdint>

#include "krylov/dtype.h"
#include "krylov/status.h"

namespace krylov {

template <Scalar T>
class NetworkPoint;

// Rows of one sample: the outputs of all heads. Row c is J_i' s_c, s_c column c of a root of the second derivative of
// the sample's own weighted loss by the outputs; nothing is divided by the number of samples.
template <Scalar T>
std::int64_t curvature_rows_per_sample(const NetworkPoint<T>& point) noexcept;

// Both run on the threads that pay off for the point, from any thread.

// Samples first .. first + count into out [count * rows per sample, P], public order.
template <Scalar T>
Status curvature_rows(NetworkPoint<T>& point, std::int64_t first, std::int64_t count, T* out);

// |H_i|_F of every sample, without the rows: a backward pass for each pair of outputs.
template <Scalar T>
Status curvature_norms(NetworkPoint<T>& point, double* out);

}  // namespace krylov
