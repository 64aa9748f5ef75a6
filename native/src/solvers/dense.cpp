#include "solvers/dense.h"

#include <algorithm>
#include <cmath>

#include "kernels/kernel_table.h"
#include "krylov/buffer.h"

namespace krylov {
namespace {

constexpr std::int64_t kLanes = kPanel<double>;
// Columns of a block of the factorisation: whole panels, and a block's own triangle stays in the first-level cache.
constexpr std::int64_t kBlock = 64;

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

// L' of a block whose upper triangle is in u [kBlock, kBlock]; right-looking, so that the inner loop runs along rows.
bool factor_block(double* u, std::int64_t width) noexcept {
  for (std::int64_t k = 0; k < width; ++k) {
    const double* __restrict row = u + k * kBlock;
    const double pivot = row[k];
    if (!(pivot > 0) || !std::isfinite(pivot)) return false;
    const double root = std::sqrt(pivot);
    for (std::int64_t j = k; j < width; ++j) u[k * kBlock + j] /= root;
    for (std::int64_t i = k + 1; i < width; ++i) {
      double* __restrict below = u + i * kBlock;
      const double factor = row[i];
      for (std::int64_t j = i; j < width; ++j) below[j] -= factor * row[j];
    }
  }
  return true;
}

// Rows x of a [rows, width] become solutions of x L' = row; `upper` is L' with the reciprocals of its diagonal.
void solve_rows(const double* upper, double* a, std::int64_t lda, std::int64_t rows, std::int64_t width) noexcept {
  for (std::int64_t r = 0; r < rows; ++r) {
    double* __restrict x = a + r * lda;
    for (std::int64_t k = 0; k < width; ++k) {
      const double* __restrict u = upper + k * kBlock;
      const double value = x[k] *= u[k];
      for (std::int64_t j = k + 1; j < width; ++j) x[j] -= value * u[j];
    }
  }
}

// Panels of the matrix whose element (i, j) is factor * source[i * row_step + j * column_step], [rows, columns].
void pack(const double* source, std::int64_t row_step, std::int64_t column_step, std::int64_t rows,
          std::int64_t columns, double factor, double* panels) noexcept {
  for (std::int64_t first = 0; first < columns; first += kLanes) {
    const std::int64_t width = std::min(kLanes, columns - first);
    const double* from = source + first * column_step;
    for (std::int64_t i = 0; i < rows; ++i, panels += kLanes) {
      for (std::int64_t j = 0; j < width; ++j) panels[j] = factor * from[i * row_step + j * column_step];
      for (std::int64_t j = width; j < kLanes; ++j) panels[j] = 0;
    }
  }
}

// c = a b, b in panels. Rows of c go through a padded strip where they are not whole panels themselves.
void panel_multiply(const double* a, const double* panels, double* c, std::int64_t m, std::int64_t k, std::int64_t n) {
  PanelProduct<double> p{};
  p.a = a, p.lda = k, p.rows = m, p.depth = k, p.b = panels, p.panel_rows = k, p.columns = n;
  if (n % kLanes == 0) {
    p.c = c, p.ldc = n;
    kernels<double>().panel_product(p);
    return;
  }
  constexpr std::int64_t kStrip = 64;
  const std::int64_t ld = round_up(n, kLanes);
  AlignedBuffer<double> strip(static_cast<std::size_t>(std::min(kStrip, m) * ld));
  for (std::int64_t first = 0; first < m; first += kStrip) {
    p.a = a + first * k, p.rows = std::min(kStrip, m - first), p.c = strip.data(), p.ldc = ld;
    kernels<double>().panel_product(p);
    for (std::int64_t r = 0; r < p.rows; ++r) std::copy_n(strip.data() + r * ld, n, c + (first + r) * n);
  }
}

AlignedBuffer<double> panel_buffer(std::int64_t k, std::int64_t n) {
  return AlignedBuffer<double>(static_cast<std::size_t>(k * round_up(n, kLanes)));
}

}  // namespace

// Left-looking by blocks of columns (Golub, Van Loan, Matrix Computations,
// section 4.2): what the blocks before contribute is one product, the block
// itself is factored in the cache. The odd block comes first, so that all
// blocks with a product have whole panels.
bool cholesky(double* a, std::int64_t n) {
  const std::int64_t odd = n % kBlock;
  const std::int64_t first_width = odd == 0 ? std::min(n, kBlock) : odd;
  AlignedBuffer<double> panels = panel_buffer(n, n > kBlock ? kBlock : 0);
  double upper[kBlock * kBlock];
  double diagonal[kBlock * kBlock];
  for (std::int64_t begin = 0, width = first_width; begin < n; begin += width, width = kBlock) {
    double* top = a + begin * n + begin;
    for (std::int64_t i = 0; i < width; ++i) std::copy_n(top + i * n, i + 1, diagonal + i * kBlock);
    const std::int64_t below = n - begin - width;
    if (begin > 0) {
      for (std::int64_t i = 0; i < width; ++i) std::fill_n(diagonal + i * kBlock + i + 1, width - i - 1, 0.0);
      pack(a + begin * n, 1, n, begin, width, -1, panels.data());
      PanelProduct<double> p{};
      p.a = a + begin * n, p.lda = n, p.rows = width, p.depth = begin;
      p.b = panels.data(), p.panel_rows = begin, p.columns = width;
      p.c = diagonal, p.ldc = kBlock, p.accumulate = true;
      kernels<double>().panel_product(p);
      p.a += width * n, p.rows = below, p.c = top + width * n, p.ldc = n;
      if (below > 0) kernels<double>().panel_product(p);
    }
    for (std::int64_t i = 0; i < width; ++i) {
      for (std::int64_t j = i; j < width; ++j) upper[i * kBlock + j] = diagonal[j * kBlock + i];
    }
    if (!factor_block(upper, width)) return false;
    for (std::int64_t i = 0; i < width; ++i) {
      for (std::int64_t j = 0; j <= i; ++j) top[i * n + j] = upper[j * kBlock + i];
      upper[i * kBlock + i] = 1 / upper[i * kBlock + i];
    }
    solve_rows(upper, top + width * n, n, below, width);
  }
  return true;
}

void solve_lower(const double* l, std::int64_t n, double* b) noexcept {
  for (std::int64_t i = 0; i < n; ++i) b[i] = (b[i] - dot(l + i * n, b, i)) / l[i * n + i];
}

void solve_lower_transposed(const double* l, std::int64_t n, double* b) noexcept {
  for (std::int64_t i = n; i-- > 0;) {
    const double* row = l + i * n;
    const double value = b[i] /= row[i];
    for (std::int64_t j = 0; j < i; ++j) b[j] -= value * row[j];
  }
}

void cholesky_solve(const double* l, std::int64_t n, double* b) noexcept {
  solve_lower(l, n, b);
  solve_lower_transposed(l, n, b);
}

void multiply(const double* a, const double* b, double* c, std::int64_t m, std::int64_t k, std::int64_t n) {
  AlignedBuffer<double> panels = panel_buffer(k, n);
  pack(b, n, 1, k, n, 1, panels.data());
  panel_multiply(a, panels.data(), c, m, k, n);
}

void multiply_transposed(const double* a, const double* b, double* c, std::int64_t m, std::int64_t k, std::int64_t n) {
  AlignedBuffer<double> rows(static_cast<std::size_t>(m * k));
  constexpr std::int64_t kTile = 16;  // both sides of the transposition keep to few pages
  for (std::int64_t i0 = 0; i0 < k; i0 += kTile) {
    for (std::int64_t j0 = 0; j0 < m; j0 += kTile) {
      for (std::int64_t i = i0; i < std::min(k, i0 + kTile); ++i) {
        for (std::int64_t j = j0; j < std::min(m, j0 + kTile); ++j) rows.data()[j * k + i] = a[i * m + j];
      }
    }
  }
  multiply(rows.data(), b, c, m, k, n);
}

void multiply_by_transposed(const double* a, const double* b, double* c, std::int64_t m, std::int64_t k,
                            std::int64_t n) {
  AlignedBuffer<double> panels = panel_buffer(k, n);
  pack(b, 1, k, k, n, 1, panels.data());
  panel_multiply(a, panels.data(), c, m, k, n);
}

}  // namespace krylov
