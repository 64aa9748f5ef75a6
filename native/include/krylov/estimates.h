// Estimates of curvature at a point of a network: diagonals, products and
// gradients with labels drawn from the model, Kronecker factors of the layers.
// All are of the reduced loss's Gauss-Newton matrix unless said otherwise, in
// arena order with zeros in the padding. Specification: docs/curvature.md.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "krylov/linear_operator.h"
#include "krylov/status.h"

namespace krylov {

template <Scalar T> class NetworkPoint;

// Random numbers of an estimate: draws first_draw, first_draw + 1, ... of the
// seed, `count` a sample; Stream::kProbe for signs, Stream::kLabel for labels.
struct Draws {
  std::int64_t count = 1;
  std::uint64_t seed = 0;
  std::uint64_t first_draw = 0;
};

enum class DiagonalKind : std::uint8_t {
  kGaussNewton,         // exact: as many backward passes as there are outputs
  kSampledGaussNewton,  // a backward pass for each draw of random signs; unbiased
  kEmpiricalFisher,     // mean of the squared per-sample gradients
  kBeckerLeCun,         // layer by layer, off-diagonal terms dropped (Becker & LeCun 1988)
  kGaussNewtonLeCun     // the same without second derivatives of activations (LeCun et al. 1998): not negative
};

// l2 is not part of it. The last two: of networks without layerNorm.
template <Scalar T>
Status curvature_diagonal(NetworkPoint<T>& point, Team& team, DiagonalKind kind, const Draws& draws, T* out);

// The mean over draws of products with sum_n g_n g_n', g_n the gradient of sample n for a label drawn from the model,
// scaled so that the expectation is the Gauss-Newton matrix; plus l2. Labels are drawn by the first product and stay.
// Holds the point, whose parameters and rows must stay. Refused where product() refuses Curvature::kFisher.
template <Scalar T>
Status sampled_fisher_operator(std::shared_ptr<NetworkPoint<T>> point, const Draws& draws,
                               std::shared_ptr<LinearOperator<T>>& out);

// The gradient of the mean loss for labels drawn from the model, of draw `first_draw`: rows() times its square by
// elements estimates the diagonal of the Gauss-Newton matrix (Liu et al. 2023, Gauss-Newton-Bartlett; Wei et al. 2020).
// binaryCrossEntropy with a mean over K outputs: sqrt(K) times the loss's own gradient, see docs. No l2.
template <Scalar T>
Status sampled_gradient(NetworkPoint<T>& point, Team& team, const Draws& draws, T* out);

// Of one dense layer: its block of the Gauss-Newton matrix is about output (x) input (Martens & Grosse 2015), with rows
// and columns in the order of the weight [out, in] with the bias as its last column.
struct KroneckerFactor {
  int block = 0;             // ParameterBlock of the layer
  std::int64_t inputs = 0;   // with the constant 1 of the bias, where there is one
  std::int64_t outputs = 0;
  bool bias = true;
  std::vector<double> input;   // [inputs, inputs]: mean of a a'
  std::vector<double> output;  // [outputs, outputs]: sum over samples of d d', d the derivative by z, E over the model
};

struct KroneckerFactors {
  std::vector<KroneckerFactor> layers;  // in the order of the parameters
  // Diagonal of the Gauss-Newton matrix for parameters of normalisations, arena order; empty without these.
  std::vector<double> diagonal;
};

// `sampled`: draws from the model, instead of the exact expectation by as many backward passes as there are outputs.
template <Scalar T>
Status kronecker_factors(NetworkPoint<T>& point, Team& team, bool sampled, const Draws& draws, KroneckerFactors& out);

enum class KroneckerDamping : std::uint8_t {
  // (output + gamma / pi I) (x) (input + pi gamma I), gamma^2 = damping, pi^2 = mean eigenvalue of input / of output
  kFactored,
  kExact  // output (x) input + damping I, by eigenvectors
};

// The inverse of the damped Kronecker approximation on vectors of `network`: symmetric and positive definite, hence a
// preconditioner. damping > 0, l2 included. An error where a damped factor is not positive definite or not finite.
template <Scalar T>
Status kronecker_inverse(std::shared_ptr<const Network<T>> network, const KroneckerFactors& factors,
                         KroneckerDamping form, double damping, Team& team, std::shared_ptr<LinearOperator<T>>& out);

}  // namespace krylov
