#include "training/normal_equations.h"

#include <algorithm>

#include "kernels/kernel_table.h"

namespace krylov {

namespace {

constexpr std::int64_t kWide = kPanel<double>;
// A piece of J'J is a panel by this many rows.
constexpr std::int64_t kPieceRows = 64;

}  // namespace

std::int64_t equation_stride(std::int64_t columns) noexcept {
  // Rows a power of two apart would share a few sets of the cache.
  return (ceil_div(columns + 1, kWide) | 1) * kWide;
}

void add_equations(const double* rows, std::int64_t stride, std::int64_t count, std::int64_t columns, double* jtj,
                   double* jte, int thread, int threads) noexcept {
  alignas(kCacheLine) double sums[kPieceRows * kWide];
  std::int64_t piece = 0;
  for (std::int64_t left = 0; left < columns; left += kWide) {
    const std::int64_t valid = std::min(kWide, columns - left);
    for (std::int64_t at = left; at <= columns; at += kPieceRows, ++piece) {
      if (piece % threads != thread) continue;
      const std::int64_t height = std::min(kPieceRows, columns + 1 - at);
      kernels<double>().weight_unit({rows + at, stride, height, rows + left, stride, count, valid, false, 1.0, sums});
      for (std::int64_t i = 0; i < height; ++i) {
        double* to = at + i == columns ? jte + left : jtj + (at + i) * columns + left;
        for (std::int64_t j = 0; j < valid; ++j) to[j] += sums[i * kWide + j];
      }
    }
  }
}

void mirror_equations(double* jtj, std::int64_t columns, int thread, int threads) noexcept {
  for (std::int64_t i = thread; i < columns; i += threads) {
    for (std::int64_t j = i + 1; j < columns; ++j) jtj[i * columns + j] = jtj[j * columns + i];
  }
}

}  // namespace krylov
