// Domain generalisation by aligning the classifier's gradients and Hessians
// across domains: the loss with its penalties on a linear softmax head, and the
// derivatives by the head and by the features that it is given.
#pragma once

#include <cstdint>
#include <span>

#include "krylov/dtype.h"
#include "krylov/status.h"

namespace krylov {

// o = W x + b, W [classes, inputs] row-major; a flat vector of the head is W row by row, then b.
template <Scalar T>
struct SoftmaxHead {
  const T* weight = nullptr;
  const T* bias = nullptr;
  std::int64_t inputs = 0, classes = 0;
};

template <Scalar T>
struct AlignmentDomain {
  const T* features = nullptr;           // [rows, inputs]
  const std::int32_t* labels = nullptr;  // [rows]
  std::int64_t rows = 0;
  T* feature_gradient = nullptr;  // [rows, inputs], or null
};

enum class AlignmentPenalty : std::uint8_t { kHessianGradient, kHessianDiagonal };

struct AlignmentOptions {
  AlignmentPenalty penalty = AlignmentPenalty::kHessianGradient;
  double alpha = 0, beta = 0;  // of the Hessian's term and of the gradient's
  // Estimates the diagonals as the mean of z * Hz: [probe_count, classes * (inputs + 1)]; without probes they are
  // exact.
  const double* probes = nullptr;
  std::int64_t probe_count = 0;
};

struct AlignmentResult {
  double loss = 0;           // mean over domains of their mean losses
  double gradient_term = 0;  // means over domains, without alpha and beta
  double hessian_gradient_term = 0;
  double hessian_diagonal_term = 0;
  double value = 0;  // loss + alpha * the term of the penalty + beta * gradient_term
};

// head_gradient, where not empty: of `value` by the head, [classes * (inputs + 1)]. On the calling thread.
template <Scalar T>
Status hessian_alignment(const SoftmaxHead<T>& head, std::span<const AlignmentDomain<T>> domains,
                         const AlignmentOptions& options, AlignmentResult& result, std::span<T> head_gradient);

}  // namespace krylov
