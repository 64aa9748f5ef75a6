// Operators made of numbers, and of other operators. Those made of numbers are
// plain; a composed one has the layout of its parts, and plain parts are
// reordered where others are in arena order. Any of them may be used by two
// sessions at once. Specification: docs/solvers.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "krylov/linear_operator.h"
#include "krylov/status.h"

namespace krylov {

template <Scalar T>
using OperatorPointer = std::shared_ptr<LinearOperator<T>>;

// Elements of v and of out in public order.
template <Scalar T>
std::int64_t plain_columns(const LinearOperator<T>& op) noexcept;
template <Scalar T>
std::int64_t plain_rows(const LinearOperator<T>& op) noexcept;

// `matrix` [rows, columns], row-major, copied.
template <Scalar T>
Status dense_operator(std::span<const T> matrix, std::int64_t rows, std::int64_t columns, OperatorPointer<T>& out);

// diag(d), copied.
template <Scalar T>
OperatorPointer<T> diagonal_operator(std::span<const T> diagonal);

// diag((d + damping)^-exponent); an error that tells the element where d + damping is not above 0.
template <Scalar T>
Status diagonal_inverse(std::span<const T> diagonal, double damping, double exponent, OperatorPointer<T>& out);

// The inverse that pairs y = B s of a positive definite B imply (Nocedal 1980): symmetric positive definite. Oldest pair
// first, copied; all of one length. An error that tells the pair where s'y is not above 0.
template <Scalar T>
struct SecantPair {
  std::span<const T> s, y;
};
template <Scalar T>
Status lbfgs_inverse(std::span<const SecantPair<T>> pairs, OperatorPointer<T>& out);

// factor * I on vectors of `layout`; size counts elements as stored.
template <Scalar T>
OperatorPointer<T> scaled_identity(double factor, std::int64_t size, VectorLayout<T> layout);

// U diag(weights) U' with U = `factor` [rows, weights.size()], row-major; copied.
template <Scalar T>
Status low_rank_operator(std::span<const T> factor, std::span<const double> weights, std::int64_t rows,
                         OperatorPointer<T>& out);

// sum_i c_i B_i + shift I: parts of equal public shape, at least one; a shift only where they are square.
template <Scalar T>
struct OperatorTerm {
  double coefficient = 1;
  OperatorPointer<T> op;
};
template <Scalar T>
Status sum_operator(std::vector<OperatorTerm<T>> terms, double shift, OperatorPointer<T>& out);

// The blocks along the diagonal, each of any shape; always plain.
template <Scalar T>
Status block_diagonal_operator(std::vector<OperatorPointer<T>> blocks, OperatorPointer<T>& out);

// The same operator on vectors of `layout` (null: plain), itself where it has that layout already. Its own is plain or
// `layout` is. Outputs are reordered with the inputs where they are of the same kind: not those of a Jacobian.
template <Scalar T>
Status reordered_operator(OperatorPointer<T> op, VectorLayout<T> layout, OperatorPointer<T>& out);

}  // namespace krylov
