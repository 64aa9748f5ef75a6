// Small dense matrices in float64, row-major: what is left when a big problem
// has been projected on a few vectors, and the normal equations of small networks.
// On the calling thread; memory for copies may run out (std::bad_alloc).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace krylov {

// Lower factor L of A = L L' in the lower triangle of a [n, n]; false where A is not positive definite (a is then
// spoilt). What is above the diagonal is neither read nor written.
bool cholesky(double* a, std::int64_t n);
// Solves L y = b, L' x = b, L L' x = b, in place.
void solve_lower(const double* l, std::int64_t n, double* b) noexcept;
void solve_lower_transposed(const double* l, std::int64_t n, double* b) noexcept;
void cholesky_solve(const double* l, std::int64_t n, double* b) noexcept;

// Eigenvalues ascending of a symmetric matrix, of which the lower triangle is read; row i of `vectors` [n, n], where
// not null, is the eigenvector of value i. All NaN where an element is not finite.
void symmetric_eigen(const double* a, std::int64_t n, double* values, double* vectors);
// The same for the tridiagonal matrix with `diagonal` [n] and `off` [n - 1].
void tridiagonal_eigen(std::span<const double> diagonal, std::span<const double> off, double* values, double* vectors);

// c [m, n] = a [m, k] b [k, n]; c = a' b with a [k, m]; c = a b' with b [n, k]. c overlaps neither.
void multiply(const double* a, const double* b, double* c, std::int64_t m, std::int64_t k, std::int64_t n);
void multiply_transposed(const double* a, const double* b, double* c, std::int64_t m, std::int64_t k, std::int64_t n);
void multiply_by_transposed(const double* a, const double* b, double* c, std::int64_t m, std::int64_t k,
                            std::int64_t n);

}  // namespace krylov
