// Kernels over long vectors: reductions in float64, sums and scaling.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/simd-inl.h"

namespace krylov {
namespace KRYLOV_SET {

template <class T>
double dot(const T* x, const T* y, std::int64_t n) noexcept {
  constexpr std::int64_t lanes = Vec<T>::kLanes;
  DoubleAcc<T> a, b;
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    a.add_product(load(x + i), load(y + i));
    b.add_product(load(x + i + lanes), load(y + i + lanes));
  }
  for (; i + lanes <= n; i += lanes) a.add_product(load(x + i), load(y + i));
  if (i < n) b.add_product(load_partial(x + i, int(n - i)), load_partial(y + i, int(n - i)));
  return a.total() + b.total();
}

template <class T>
double sum_squares(const T* x, std::int64_t n) noexcept {
  return dot<T>(x, x, n);
}

template <class T>
bool all_finite(const T* x, std::int64_t n) noexcept {
  constexpr std::int64_t lanes = Vec<T>::kLanes;
  // x - x is 0 for finite x and NaN otherwise; the sum keeps a NaN.
  Vec<T> sum = zero<T>();
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const Vec<T> v = load(x + i);
    sum = sum + (v - v);
  }
  if (i < n) {
    const Vec<T> v = load_partial(x + i, int(n - i));
    sum = sum + (v - v);
  }
  return reduce_add(sum) == T(0);
}

template <class T>
void scaled_sum(const T* x, T a, const T* y, T* out, std::int64_t n) noexcept {
  constexpr std::int64_t lanes = Vec<T>::kLanes;
  const Vec<T> factor = set1<T>(a);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(out + i, fma(factor, load(y + i), load(x + i)));
  if (i < n) {
    const int count = int(n - i);
    store_partial(out + i, fma(factor, load_partial(y + i, count), load_partial(x + i, count)), count);
  }
}

template <class T>
void scale(T a, T* x, std::int64_t n) noexcept {
  constexpr std::int64_t lanes = Vec<T>::kLanes;
  const Vec<T> factor = set1<T>(a);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(x + i, load(x + i) * factor);
  if (i < n) store_partial(x + i, load_partial(x + i, int(n - i)) * factor, int(n - i));
}

template <class T>
void scale_rows(const double* factors, T* x, std::int64_t ldx, std::int64_t rows, std::int64_t columns) noexcept {
  constexpr std::int64_t lanes = Vec<T>::kLanes;
  static_assert(kPanel<T> % lanes == 0);
  for (std::int64_t r = 0; r < rows; ++r) {
    if (factors[r] == 1) continue;
    const Vec<T> factor = set1<T>(static_cast<T>(factors[r]));
    T* const row = x + r * ldx;
    for (std::int64_t i = 0; i < columns; i += lanes) store(row + i, load(row + i) * factor);
  }
}

}  // namespace KRYLOV_SET
}  // namespace krylov
