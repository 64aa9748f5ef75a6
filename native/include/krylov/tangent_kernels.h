// Tangent kernels of networks with surrogate derivatives, and what regression
// with a tangent kernel predicts. Float64, row-major, on the calling thread;
// memory for copies may run out (std::bad_alloc).
#pragma once

#include <cstdint>
#include <span>

#include "krylov/spec.h"

namespace krylov {

// In place of the derivative of a sign (range -1 to 1); half of it for a step.
double surrogate_slope(Surrogate surrogate, double beta, double z) noexcept;

// Dense layers in the tangent parametrisation, z = weight_std / sqrt(inputs) W a + bias_std b, with one output. The
// activation is erf(sharpness z), or the sign of z where sharpness is infinite (0 at 0).
struct SurrogateNetwork {
  double weight_std = 1, bias_std = 0;
  double sharpness = 1;
  Surrogate surrogate = Surrogate::kErf;
  double beta = 1;  // of the surrogate
};

// Rows of inputs.
struct KernelRows {
  const double* data = nullptr;
  std::int64_t rows = 0, columns = 0;
};

// The kernel of learning with surrogate derivatives at infinite width: I(x, x') with the true derivative at x (left) and
// the surrogate at x' (right), [left rows, right rows]; surrogates kErf and kStraightThrough. covariances, where not
// null: those of the sums of each layer, [layers, left rows, right rows].
void surrogate_kernel(const SurrogateNetwork& network, std::int64_t layers, const KernelRows& left,
                      const KernelRows& right, double* kernel, double* covariances);

// The same of one network, any surrogate. widths: of the layers, the last is 1; parameters: W, b of each layer in order.
// left_true: the true derivative at the left, else the surrogate there too. outputs: at the left rows, or null.
void finite_surrogate_kernel(const SurrogateNetwork& network, std::span<const std::int64_t> widths,
                             const double* parameters, bool left_true, const KernelRows& left, const KernelRows& right,
                             double* kernel, double* outputs);

// x of A x = b for each of `columns` columns of b [n, columns], in place, by elimination with row pivots; false where A
// [n, n], which is spoilt, is singular.
bool solve_general(double* a, std::int64_t n, double* b, std::int64_t columns) noexcept;

// S [n, n] such that gradient descent on 1/(2n) |K c - r|^2 in function space has the coefficients c = S r: after `steps`
// steps of learning rate `rate`, S = the sum of (I - rate K/n)^j rate/n over j < steps.
void descent_matrix(const double* kernel, std::int64_t n, double rate, std::int64_t steps, double* out);
// After time t of gradient flow: S = K^-1 (I - exp(-K t/n)), also where K is singular.
void flow_matrix(const double* kernel, std::int64_t n, double time, double* out);

}  // namespace krylov
