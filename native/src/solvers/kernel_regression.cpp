// What gradient descent on a linearised network has learnt after some steps, as
// a matrix of the kernel; and the general solve that is its limit.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "krylov/tangent_kernels.h"
#include "solvers/dense.h"

namespace krylov {

namespace {

using Matrix = std::vector<double>;

// Two stretches of a linear recurrence: `decay` carries the residual over a stretch, `sum` makes coefficients of it.
// Both are functions of one matrix, so that stretches commute and join: decay = D1 D2, sum = S1 + D1 S2.
struct Stretch {
  Matrix decay, sum;
};

Matrix product(const Matrix& a, const Matrix& b, std::int64_t n) {
  Matrix c(a.size());
  multiply(a.data(), b.data(), c.data(), n, n, n);
  return c;
}

Stretch joined(const Stretch& first, const Stretch& second, std::int64_t n) {
  Stretch both{product(first.decay, second.decay, n), product(first.decay, second.sum, n)};
  for (std::size_t i = 0; i < both.sum.size(); ++i) both.sum[i] += first.sum[i];
  return both;
}

Matrix identity(std::int64_t n, double value) {
  Matrix result(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < n; ++i) result[static_cast<std::size_t>(i * n + i)] = value;
  return result;
}

}  // namespace

bool solve_general(double* a, std::int64_t n, double* b, std::int64_t columns) noexcept {
  double largest = 0;
  for (std::int64_t i = 0; i < n * n; ++i) largest = std::max(largest, std::abs(a[i]));
  const double least = largest * double(n) * 0x1p-53;
  for (std::int64_t k = 0; k < n; ++k) {
    std::int64_t pivot = k;
    for (std::int64_t i = k + 1; i < n; ++i) {
      if (std::abs(a[i * n + k]) > std::abs(a[pivot * n + k])) pivot = i;
    }
    // Also where it is NaN.
    if (!(std::abs(a[pivot * n + k]) > least)) return false;
    if (pivot != k) {
      std::swap_ranges(a + k * n, a + (k + 1) * n, a + pivot * n);
      std::swap_ranges(b + k * columns, b + (k + 1) * columns, b + pivot * columns);
    }
    for (std::int64_t i = k + 1; i < n; ++i) {
      const double factor = a[i * n + k] / a[k * n + k];
      for (std::int64_t j = k + 1; j < n; ++j) a[i * n + j] -= factor * a[k * n + j];
      for (std::int64_t j = 0; j < columns; ++j) b[i * columns + j] -= factor * b[k * columns + j];
    }
  }
  for (std::int64_t k = n; k-- > 0;) {
    for (std::int64_t j = 0; j < columns; ++j) {
      double value = b[k * columns + j];
      for (std::int64_t i = k + 1; i < n; ++i) value -= a[k * n + i] * b[i * columns + j];
      b[k * columns + j] = value / a[k * n + k];
    }
  }
  return true;
}

void descent_matrix(const double* kernel, std::int64_t n, double rate, std::int64_t steps, double* out) {
  const double scale = rate / double(n);
  Stretch power{identity(n, 1), identity(n, scale)};  // of 2^bit steps
  for (std::size_t i = 0; i < power.decay.size(); ++i) power.decay[i] -= scale * kernel[i];
  Stretch total{identity(n, 1), identity(n, 0)};
  for (std::int64_t left = steps; left > 0; left /= 2) {
    if (left % 2 == 1) total = joined(total, power, n);
    if (left > 1) power = joined(power, power, n);
  }
  std::copy(total.sum.begin(), total.sum.end(), out);
}

// A short stretch by Taylor's series, doubled until it is t long.
void flow_matrix(const double* kernel, std::int64_t n, double time, double* out) {
  double norm = 0;  // the largest row sum
  for (std::int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (std::int64_t j = 0; j < n; ++j) sum += std::abs(kernel[i * n + j]);
    norm = std::max(norm, sum);
  }
  norm *= time / double(n);
  int doublings = 0;
  while (norm > 0.5 && doublings < 1000) norm /= 2, ++doublings;
  const double scale = std::ldexp(time, -doublings) / double(n);
  Matrix step(static_cast<std::size_t>(n * n));  // -K t/n of the stretch
  for (std::size_t i = 0; i < step.size(); ++i) step[i] = -scale * kernel[i];
  // sum = scale * sum of step^j / (j + 1)!; with |step| <= 1/2 the rest after 16 terms is below rounding.
  constexpr int kTerms = 16;
  Stretch stretch{{}, identity(n, scale)};
  Matrix term = identity(n, scale);
  for (int j = 1; j < kTerms; ++j) {
    term = product(term, step, n);
    for (std::size_t i = 0; i < term.size(); ++i) {
      term[i] /= double(j + 1);
      stretch.sum[i] += term[i];
    }
  }
  // exp(step) = I - K sum.
  Matrix k(kernel, kernel + n * n);
  stretch.decay = product(k, stretch.sum, n);
  for (std::int64_t i = 0; i < n * n; ++i) stretch.decay[std::size_t(i)] = (i % (n + 1) == 0) - stretch.decay[std::size_t(i)];
  for (int d = 0; d < doublings; ++d) stretch = joined(stretch, stretch, n);
  std::copy(stretch.sum.begin(), stretch.sum.end(), out);
}

}  // namespace krylov
