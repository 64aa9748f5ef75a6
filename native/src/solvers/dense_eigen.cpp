#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "solvers/dense.h"

namespace krylov {
namespace {

double dot(const double* x, const double* y, std::int64_t n) noexcept {
  double sums[4] = {};
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int k = 0; k < 4; ++k) sums[k] += x[i + k] * y[i + k];
  }
  double rest = 0;
  for (; i < n; ++i) rest += x[i] * y[i];
  return ((sums[0] + sums[2]) + (sums[1] + sums[3])) + rest;
}

// y += a x; returns x . z over the same elements.
double add_and_dot(double a, const double* __restrict x, const double* __restrict z, double* __restrict y,
                   std::int64_t n) noexcept {
  double sums[4] = {};
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int k = 0; k < 4; ++k) {
      y[i + k] += a * x[i + k];
      sums[k] += x[i + k] * z[i + k];
    }
  }
  double rest = 0;
  for (; i < n; ++i) {
    y[i] += a * x[i];
    rest += x[i] * z[i];
  }
  return ((sums[0] + sums[2]) + (sums[1] + sums[3])) + rest;
}

// y += a u + b v
void add_two(double a, const double* __restrict u, double b, const double* __restrict v, double* __restrict y,
             std::int64_t n) noexcept {
  for (std::int64_t i = 0; i < n; ++i) y[i] += a * u[i] + b * v[i];
}

void rotate(double c, double s, double* __restrict upper, double* __restrict lower, std::int64_t n) noexcept {
  for (std::int64_t i = 0; i < n; ++i) {
    const double x = upper[i], y = lower[i];
    upper[i] = c * x - s * y;
    lower[i] = s * x + c * y;
  }
}

// A = Q T Q' by reflections from the last row up (Golub, Van Loan, section
// 8.3, in the row order of EISPACK's tred2): the reflection that clears row i
// left of its subdiagonal acts on the first i coordinates, so every loop runs
// along the rows of the lower triangle. T's diagonal and off-diagonal go to d
// and e; row i of a keeps its vector v, H = I - factor[i] v v'.
void tridiagonalise(double* a, std::int64_t n, double* d, double* e, double* factor, double* w) noexcept {
  for (std::int64_t i = n - 1; i >= 1; --i) {
    double* v = a + i * n;
    d[i] = v[i];
    factor[i] = 0;
    double scale = 0;
    for (std::int64_t j = 0; j < i - 1; ++j) scale = std::max(scale, std::abs(v[j]));
    if (scale == 0) {
      e[i - 1] = v[i - 1];
      continue;
    }
    scale = std::max(scale, std::abs(v[i - 1]));
    for (std::int64_t j = 0; j < i; ++j) v[j] /= scale;
    const double last = v[i - 1];
    const double head = last < 0 ? std::sqrt(dot(v, v, i)) : -std::sqrt(dot(v, v, i));
    e[i - 1] = scale * head;
    v[i - 1] = last - head;  // no cancellation: the signs differ
    factor[i] = 1 / (head * (head - last));

    // B <- H B H for the leading block: with q = f B v and w = q - (f/2)(q.v) v, B - v w' - w v'.
    for (std::int64_t j = 0; j < i; ++j) {
      w[j] = 0;
      const double* row = a + j * n;
      w[j] = add_and_dot(v[j], row, v, w, j) + row[j] * v[j];
    }
    for (std::int64_t j = 0; j < i; ++j) w[j] *= factor[i];
    const double half = factor[i] * dot(w, v, i) / 2;
    for (std::int64_t j = 0; j < i; ++j) w[j] -= half * v[j];
    for (std::int64_t j = 0; j < i; ++j) add_two(-v[j], w, -w[j], v, a + j * n, j + 1);
  }
  d[0] = a[0];
}

// Q' = H_2 H_3 ... H_(n-1) into q: each H from the right meets only rows that it changes.
void transposed_factor(const double* a, const double* factor, std::int64_t n, double* q) noexcept {
  std::fill_n(q, n * n, 0.0);
  for (std::int64_t i = 0; i < n; ++i) q[i * n + i] = 1;
  for (std::int64_t i = 1; i < n; ++i) {
    if (factor[i] == 0) continue;
    const double* v = a + i * n;
    for (std::int64_t r = 0; r < i; ++r) {
      double* row = q + r * n;
      const double s = -factor[i] * dot(row, v, i);
      for (std::int64_t j = 0; j < i; ++j) row[j] += s * v[j];
    }
  }
}

// Implicit QL with Wilkinson's shift (Golub, Van Loan, section 8.3; Dubrulle,
// Martin, Wilkinson 1968): d becomes the eigenvalues, e [n] is spoilt (its last
// element is workspace). The rotations are applied to the rows of `rows`, so
// that they run along memory.
void implicit_ql(double* d, double* e, std::int64_t n, double* rows) noexcept {
  constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
  constexpr int kMaxSweeps = 60;  // two or three an eigenvalue are usual
  e[n - 1] = 0;
  for (std::int64_t l = 0; l < n; ++l) {
    for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
      std::int64_t m = l;
      while (m < n - 1 && std::abs(e[m]) > kEpsilon * (std::abs(d[m]) + std::abs(d[m + 1]))) ++m;
      if (m == l) break;
      const double ratio = (d[l + 1] - d[l]) / (2 * e[l]);
      const double root = std::hypot(ratio, 1.0);
      double g = d[m] - d[l] + e[l] / (ratio + (ratio < 0 ? -root : root));
      double c = 1, s = 1, p = 0;
      std::int64_t i = m - 1;
      for (; i >= l; --i) {
        const double f = s * e[i], b = c * e[i];
        const double r = std::hypot(f, g);
        e[i + 1] = r;
        if (r == 0) break;
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        const double t = (d[i] - g) * s + 2 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        if (rows != nullptr) rotate(c, s, rows + i * n, rows + (i + 1) * n, n);
      }
      if (i >= l) {  // the matrix fell apart on the way
        d[i + 1] -= p;
        e[m] = 0;
        continue;
      }
      d[l] -= p;
      e[l] = g;
      e[m] = 0;
    }
  }
}

void sort_ascending(std::int64_t n, const double* d, const double* rows, double* values, double* vectors) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [d](std::int64_t a, std::int64_t b) { return d[a] < d[b]; });
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t from = order[static_cast<std::size_t>(i)];
    values[i] = d[from];
    if (vectors != nullptr) std::copy_n(rows + from * n, n, vectors + i * n);
  }
}

bool finite(const double* x, std::int64_t n) noexcept {
  return std::all_of(x, x + n, [](double v) { return std::isfinite(v); });
}

void not_finite(std::int64_t n, double* values, double* vectors) noexcept {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  std::fill_n(values, n, kNan);
  if (vectors != nullptr) std::fill_n(vectors, n * n, kNan);
}

}  // namespace

void symmetric_eigen(const double* a, std::int64_t n, double* values, double* vectors) {
  for (std::int64_t i = 0; i < n; ++i) {
    if (!finite(a + i * n, i + 1)) return not_finite(n, values, vectors);
  }
  if (n == 0) return;
  const auto size = static_cast<std::size_t>(n);
  std::vector<double> work(a, a + n * n), d(size), e(size), factor(size), w(size);
  tridiagonalise(work.data(), n, d.data(), e.data(), factor.data(), w.data());
  std::vector<double> rows(vectors == nullptr ? 0 : size * size);
  if (vectors != nullptr) transposed_factor(work.data(), factor.data(), n, rows.data());
  implicit_ql(d.data(), e.data(), n, vectors == nullptr ? nullptr : rows.data());
  sort_ascending(n, d.data(), rows.data(), values, vectors);
}

void tridiagonal_eigen(std::span<const double> diagonal, std::span<const double> off, double* values, double* vectors) {
  const auto n = static_cast<std::int64_t>(diagonal.size());
  if (n == 0) return;
  if (!finite(diagonal.data(), n) || !finite(off.data(), n - 1)) return not_finite(n, values, vectors);
  std::vector<double> d(diagonal.begin(), diagonal.end()), e(off.begin(), off.begin() + (n - 1));
  e.push_back(0);
  std::vector<double> rows(vectors == nullptr ? 0 : diagonal.size() * diagonal.size());
  if (vectors != nullptr) {
    for (std::size_t i = 0; i < diagonal.size(); ++i) rows[i * diagonal.size() + i] = 1;
  }
  implicit_ql(d.data(), e.data(), n, vectors == nullptr ? nullptr : rows.data());
  sort_ascending(n, d.data(), rows.data(), values, vectors);
}

}  // namespace krylov
