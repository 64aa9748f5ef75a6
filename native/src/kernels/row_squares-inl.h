// Sums of squares of many short rows. A row alone spends most of its time on
// folding its last vector into one number; here rows fold together, in the order
// of reduce_add, so that each gives the bits of sum_squares.
#pragma once

#if defined(KRYLOV_SET_AVX512) || defined(KRYLOV_SET_AVX2)
#include <immintrin.h>
#endif

#include "kernels/kernel_table.h"
#include "kernels/vectors-inl.h"

namespace krylov {
namespace KRYLOV_SET {

// As many rows as a vector has doubles: out[r] = reduce_add(rows[r]), as a vector.
#if defined(KRYLOV_SET_AVX512)
// Four vectors to their last two numbers each: halves on halves, then quarters on quarters.
KRYLOV_SIMD_FN __m512d fold_to_pairs(__m512d a, __m512d b, __m512d c, __m512d d) {
  const __m512d ab = _mm512_add_pd(_mm512_shuffle_f64x2(a, b, 0x44), _mm512_shuffle_f64x2(a, b, 0xee));
  const __m512d cd = _mm512_add_pd(_mm512_shuffle_f64x2(c, d, 0x44), _mm512_shuffle_f64x2(c, d, 0xee));
  return _mm512_add_pd(_mm512_shuffle_f64x2(ab, cd, 0x88), _mm512_shuffle_f64x2(ab, cd, 0xdd));
}
KRYLOV_SIMD_FN Vec<double> reduce_add_rows(const Vec<double>* rows) {
  const __m512d even = fold_to_pairs(rows[0].v, rows[2].v, rows[4].v, rows[6].v);
  const __m512d odd = fold_to_pairs(rows[1].v, rows[3].v, rows[5].v, rows[7].v);
  return {_mm512_add_pd(_mm512_unpacklo_pd(even, odd), _mm512_unpackhi_pd(even, odd))};
}
#elif defined(KRYLOV_SET_AVX2)
KRYLOV_SIMD_FN __m256d fold_to_pairs(__m256d a, __m256d b) {
  return _mm256_add_pd(_mm256_permute2f128_pd(a, b, 0x20), _mm256_permute2f128_pd(a, b, 0x31));
}
KRYLOV_SIMD_FN Vec<double> reduce_add_rows(const Vec<double>* rows) {
  const __m256d even = fold_to_pairs(rows[0].v, rows[2].v), odd = fold_to_pairs(rows[1].v, rows[3].v);
  return {_mm256_add_pd(_mm256_unpacklo_pd(even, odd), _mm256_unpackhi_pd(even, odd))};
}
#else
KRYLOV_SIMD_FN Vec<double> reduce_add_rows(const Vec<double>* rows) {
  double sums[Vec<double>::kLanes];
  for (int r = 0; r < Vec<double>::kLanes; ++r) sums[r] = reduce_add(rows[r]);
  return load(sums);
}
#endif

// The next vector's squares; conversions read memory themselves, which spares taking a register apart.
KRYLOV_SIMD_FN void add_squares(DoubleAcc<float>& a, const float* x) {
  const Vec<double> low = load_convert<double>(x), high = load_convert<double>(x + Vec<double>::kLanes);
  a.low = fma(low, low, a.low);
  a.high = fma(high, high, a.high);
}
KRYLOV_SIMD_FN void add_squares(DoubleAcc<double>& a, const double* x) { a.add_product(load(x), load(x)); }

KRYLOV_SIMD_FN Vec<double> whole(const DoubleAcc<float>& a) { return a.low + a.high; }
KRYLOV_SIMD_FN Vec<double> whole(const DoubleAcc<double>& a) { return a.sum; }

template <class T>
void row_squares(const T* x, std::int64_t ldx, std::int64_t rows, std::int64_t columns, double* out) noexcept {
  constexpr std::int64_t lanes = Vec<T>::kLanes, group = Vec<double>::kLanes;
  const std::int64_t pairs = columns / (2 * lanes) * (2 * lanes);
  const bool one_more = columns - pairs >= lanes;
  const std::int64_t body = pairs + (one_more ? lanes : 0);
  std::int64_t first = 0;
  for (; first + group <= rows; first += group) {
    Vec<double> even[group], odd[group];
    for (std::int64_t r = 0; r < group; ++r) {
      const T* const row = x + (first + r) * ldx;
      DoubleAcc<T> a, b;  // as in dot
      for (std::int64_t i = 0; i < pairs; i += 2 * lanes) {
        add_squares(a, row + i);
        add_squares(b, row + i + lanes);
      }
      if (one_more) add_squares(a, row + pairs);
      if (body < columns) {
        const Vec<T> u = load_partial(row + body, int(columns - body));
        b.add_product(u, u);
      }
      even[r] = whole(a);
      odd[r] = whole(b);
    }
    store(out + first, reduce_add_rows(even) + reduce_add_rows(odd));
  }
  for (; first < rows; ++first) out[first] = dot<T>(x + first * ldx, x + first * ldx, columns);
}

}  // namespace KRYLOV_SET
}  // namespace krylov
