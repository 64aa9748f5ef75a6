#include "random/orthogonal.h"

#include <cmath>
#include <cstddef>
#include <vector>

namespace krylov {
namespace {

// Eight partial sums in a fixed order: the chain of additions is short enough to
// keep the adders busy, and the result does not depend on the vector width.
double dot(const double* a, const double* b, std::size_t n) noexcept {
  constexpr std::size_t kSums = 8;
  double sums[kSums] = {};
  std::size_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) sums[k] += a[i + k] * b[i + k];
  }
  double rest = 0.0;
  for (; i < n; ++i) rest += a[i] * b[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7])) + rest;
}

// column -= factor (v . column) v
void reflect(const double* __restrict v, double factor, double* __restrict column, std::size_t n) noexcept {
  const double scale = factor * dot(v, column, n);
  for (std::size_t i = 0; i < n; ++i) column[i] -= scale * v[i];
}

}  // namespace

// Householder's method (Golub, Van Loan, Matrix Computations, section 5.2): H_j
// = I - f v v' maps column j below row j onto a multiple of e_j, and Q is the
// first n columns of H_0 ... H_(n-1). Columns are contiguous, so both the dot
// product and the update of a reflection run along memory.
void orthonormalise(std::int64_t m, std::int64_t n, std::span<double> columns) {
  const auto rows = static_cast<std::size_t>(m);
  const auto count = static_cast<std::size_t>(n);
  std::vector<double> reflectors(columns.begin(), columns.end());
  std::vector<double> factors(count);
  std::vector<double> signs(count);
  for (std::size_t j = 0; j < count; ++j) {
    double* const v = reflectors.data() + j * rows + j;
    const std::size_t length = rows - j;
    const double norm = std::sqrt(dot(v, v, length));
    // R(j, j) = -sign(v_0) norm, the choice that cancels nothing in v_0 - R(j, j).
    const double diagonal = v[0] < 0.0 ? norm : -norm;
    signs[j] = diagonal < 0.0 ? -1.0 : 1.0;
    v[0] -= diagonal;
    const double square = dot(v, v, length);
    factors[j] = square > 0.0 ? 2.0 / square : 0.0;
    for (std::size_t k = j + 1; k < count; ++k) reflect(v, factors[j], reflectors.data() + k * rows + j, length);
  }
  for (std::size_t i = 0; i < columns.size(); ++i) columns[i] = 0.0;
  for (std::size_t j = 0; j < count; ++j) columns[j * rows + j] = signs[j];
  for (std::size_t j = count; j-- > 0;) {
    const double* const v = reflectors.data() + j * rows + j;
    for (std::size_t k = j; k < count; ++k) reflect(v, factors[j], columns.data() + k * rows + j, rows - j);
  }
}

}  // namespace krylov
