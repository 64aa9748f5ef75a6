// Vector types of the AVX2 + FMA set: 8 floats or 4 doubles in one 256-bit register.
// Contract of every function: see simd-inl.h, which includes this file.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace krylov {
namespace KRYLOV_SET {

template <>
struct Vec<float> {
  using Scalar = float;
  using Bits = uint32_t;
  static constexpr int kLanes = 8;
  __m256 v;

  static KRYLOV_SIMD Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
  static KRYLOV_SIMD Vec broadcast_bits(uint32_t b) {
    return {_mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(b)))};
  }
};

template <>
struct Vec<double> {
  using Scalar = double;
  using Bits = uint64_t;
  static constexpr int kLanes = 4;
  __m256d v;

  static KRYLOV_SIMD Vec broadcast(double x) { return {_mm256_set1_pd(x)}; }
  static KRYLOV_SIMD Vec broadcast_bits(uint64_t b) {
    return {_mm256_castsi256_pd(_mm256_set1_epi64x(static_cast<long long>(b)))};
  }
};

// A lane of a mask is all ones or all zeros.
template <>
struct Mask<float> {
  __m256 m;
};
template <>
struct Mask<double> {
  __m256d m;
};

// Lanes below count, as the masked moves want them (the top bit of each lane decides).
KRYLOV_SIMD_FN __m256i tail_mask_32(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
KRYLOV_SIMD_FN __m256i tail_mask_64(int count) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}

KRYLOV_SIMD_FN Vec<float> load(const float* p) { return {_mm256_loadu_ps(p)}; }
KRYLOV_SIMD_FN Vec<double> load(const double* p) { return {_mm256_loadu_pd(p)}; }
KRYLOV_SIMD_FN void store(float* p, Vec<float> a) { _mm256_storeu_ps(p, a.v); }
KRYLOV_SIMD_FN void store(double* p, Vec<double> a) { _mm256_storeu_pd(p, a.v); }
KRYLOV_SIMD_FN Vec<float> load_partial(const float* p, int count) {
  return {_mm256_maskload_ps(p, tail_mask_32(count))};
}
KRYLOV_SIMD_FN Vec<double> load_partial(const double* p, int count) {
  return {_mm256_maskload_pd(p, tail_mask_64(count))};
}
KRYLOV_SIMD_FN void store_partial(float* p, Vec<float> a, int count) {
  _mm256_maskstore_ps(p, tail_mask_32(count), a.v);
}
KRYLOV_SIMD_FN void store_partial(double* p, Vec<double> a, int count) {
  _mm256_maskstore_pd(p, tail_mask_64(count), a.v);
}

KRYLOV_SIMD_FN Vec<float> operator+(Vec<float> a, Vec<float> b) { return {_mm256_add_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> operator-(Vec<float> a, Vec<float> b) { return {_mm256_sub_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> operator*(Vec<float> a, Vec<float> b) { return {_mm256_mul_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> operator/(Vec<float> a, Vec<float> b) { return {_mm256_div_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> operator+(Vec<double> a, Vec<double> b) { return {_mm256_add_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> operator-(Vec<double> a, Vec<double> b) { return {_mm256_sub_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> operator*(Vec<double> a, Vec<double> b) { return {_mm256_mul_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> operator/(Vec<double> a, Vec<double> b) { return {_mm256_div_pd(a.v, b.v)}; }

KRYLOV_SIMD_FN Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
KRYLOV_SIMD_FN Vec<float> fnma(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
KRYLOV_SIMD_FN Vec<float> fms(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm256_fmsub_ps(a.v, b.v, c.v)}; }
KRYLOV_SIMD_FN Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
KRYLOV_SIMD_FN Vec<double> fnma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {_mm256_fnmadd_pd(a.v, b.v, c.v)};
}
KRYLOV_SIMD_FN Vec<double> fms(Vec<double> a, Vec<double> b, Vec<double> c) { return {_mm256_fmsub_pd(a.v, b.v, c.v)}; }

KRYLOV_SIMD_FN Vec<float> min(Vec<float> a, Vec<float> b) { return {_mm256_min_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> max(Vec<float> a, Vec<float> b) { return {_mm256_max_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> sqrt(Vec<float> a) { return {_mm256_sqrt_ps(a.v)}; }
KRYLOV_SIMD_FN Vec<float> round(Vec<float> a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
KRYLOV_SIMD_FN Vec<float> floor(Vec<float> a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
}
KRYLOV_SIMD_FN Vec<double> min(Vec<double> a, Vec<double> b) { return {_mm256_min_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> max(Vec<double> a, Vec<double> b) { return {_mm256_max_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> sqrt(Vec<double> a) { return {_mm256_sqrt_pd(a.v)}; }
KRYLOV_SIMD_FN Vec<double> round(Vec<double> a) {
  return {_mm256_round_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
KRYLOV_SIMD_FN Vec<double> floor(Vec<double> a) {
  return {_mm256_round_pd(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
}

KRYLOV_SIMD_FN Vec<float> bits_and(Vec<float> a, Vec<float> b) { return {_mm256_and_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> bits_or(Vec<float> a, Vec<float> b) { return {_mm256_or_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> bits_xor(Vec<float> a, Vec<float> b) { return {_mm256_xor_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> bits_and_not(Vec<float> a, Vec<float> b) { return {_mm256_andnot_ps(b.v, a.v)}; }
KRYLOV_SIMD_FN Vec<float> bits_add(Vec<float> a, Vec<float> b) {
  return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.v), _mm256_castps_si256(b.v)))};
}
template <int kCount>
KRYLOV_SIMD_FN Vec<float> bits_shift_left(Vec<float> a) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a.v), kCount))};
}
template <int kCount>
KRYLOV_SIMD_FN Vec<float> bits_shift_right(Vec<float> a) {
  return {_mm256_castsi256_ps(_mm256_srli_epi32(_mm256_castps_si256(a.v), kCount))};
}
KRYLOV_SIMD_FN Vec<double> bits_and(Vec<double> a, Vec<double> b) { return {_mm256_and_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> bits_or(Vec<double> a, Vec<double> b) { return {_mm256_or_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> bits_xor(Vec<double> a, Vec<double> b) { return {_mm256_xor_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> bits_and_not(Vec<double> a, Vec<double> b) { return {_mm256_andnot_pd(b.v, a.v)}; }
KRYLOV_SIMD_FN Vec<double> bits_add(Vec<double> a, Vec<double> b) {
  return {_mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(a.v), _mm256_castpd_si256(b.v)))};
}
template <int kCount>
KRYLOV_SIMD_FN Vec<double> bits_shift_left(Vec<double> a) {
  return {_mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(a.v), kCount))};
}
template <int kCount>
KRYLOV_SIMD_FN Vec<double> bits_shift_right(Vec<double> a) {
  return {_mm256_castsi256_pd(_mm256_srli_epi64(_mm256_castpd_si256(a.v), kCount))};
}

KRYLOV_SIMD_FN Mask<float> lt(Vec<float> a, Vec<float> b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
KRYLOV_SIMD_FN Mask<float> le(Vec<float> a, Vec<float> b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
KRYLOV_SIMD_FN Mask<float> gt(Vec<float> a, Vec<float> b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
KRYLOV_SIMD_FN Mask<float> ge(Vec<float> a, Vec<float> b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
KRYLOV_SIMD_FN Mask<float> eq(Vec<float> a, Vec<float> b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
KRYLOV_SIMD_FN Mask<float> is_nan(Vec<float> a) { return {_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q)}; }
KRYLOV_SIMD_FN Mask<double> lt(Vec<double> a, Vec<double> b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ)}; }
KRYLOV_SIMD_FN Mask<double> le(Vec<double> a, Vec<double> b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_LE_OQ)}; }
KRYLOV_SIMD_FN Mask<double> gt(Vec<double> a, Vec<double> b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_GT_OQ)}; }
KRYLOV_SIMD_FN Mask<double> ge(Vec<double> a, Vec<double> b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_GE_OQ)}; }
KRYLOV_SIMD_FN Mask<double> eq(Vec<double> a, Vec<double> b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_EQ_OQ)}; }
KRYLOV_SIMD_FN Mask<double> is_nan(Vec<double> a) { return {_mm256_cmp_pd(a.v, a.v, _CMP_UNORD_Q)}; }

KRYLOV_SIMD_FN Mask<float> operator&(Mask<float> a, Mask<float> b) { return {_mm256_and_ps(a.m, b.m)}; }
KRYLOV_SIMD_FN Mask<float> operator|(Mask<float> a, Mask<float> b) { return {_mm256_or_ps(a.m, b.m)}; }
KRYLOV_SIMD_FN Mask<float> operator!(Mask<float> a) {
  return {_mm256_xor_ps(a.m, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))};
}
KRYLOV_SIMD_FN bool any(Mask<float> a) { return _mm256_movemask_ps(a.m) != 0; }
KRYLOV_SIMD_FN bool all(Mask<float> a) { return _mm256_movemask_ps(a.m) == 0xff; }
KRYLOV_SIMD_FN Vec<float> select(Mask<float> m, Vec<float> if_true, Vec<float> if_false) {
  return {_mm256_blendv_ps(if_false.v, if_true.v, m.m)};
}
KRYLOV_SIMD_FN Mask<double> operator&(Mask<double> a, Mask<double> b) { return {_mm256_and_pd(a.m, b.m)}; }
KRYLOV_SIMD_FN Mask<double> operator|(Mask<double> a, Mask<double> b) { return {_mm256_or_pd(a.m, b.m)}; }
KRYLOV_SIMD_FN Mask<double> operator!(Mask<double> a) {
  return {_mm256_xor_pd(a.m, _mm256_castsi256_pd(_mm256_set1_epi32(-1)))};
}
KRYLOV_SIMD_FN bool any(Mask<double> a) { return _mm256_movemask_pd(a.m) != 0; }
KRYLOV_SIMD_FN bool all(Mask<double> a) { return _mm256_movemask_pd(a.m) == 0xf; }
KRYLOV_SIMD_FN Vec<double> select(Mask<double> m, Vec<double> if_true, Vec<double> if_false) {
  return {_mm256_blendv_pd(if_false.v, if_true.v, m.m)};
}

// Reductions fold the upper half on the lower half until one lane is left.
KRYLOV_SIMD_FN float reduce_add(Vec<float> a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
KRYLOV_SIMD_FN float reduce_max(Vec<float> a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
KRYLOV_SIMD_FN float reduce_min(Vec<float> a) {
  __m128 s = _mm_min_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_min_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_min_ss(s, _mm_movehdup_ps(s)));
}
KRYLOV_SIMD_FN double reduce_add(Vec<double> a) {
  const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
  return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
KRYLOV_SIMD_FN double reduce_max(Vec<double> a) {
  const __m128d s = _mm_max_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
  return _mm_cvtsd_f64(_mm_max_sd(s, _mm_unpackhi_pd(s, s)));
}
KRYLOV_SIMD_FN double reduce_min(Vec<double> a) {
  const __m128d s = _mm_min_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
  return _mm_cvtsd_f64(_mm_min_sd(s, _mm_unpackhi_pd(s, s)));
}

KRYLOV_SIMD_FN Vec<double> widen_low(Vec<float> a) { return {_mm256_cvtps_pd(_mm256_castps256_ps128(a.v))}; }
KRYLOV_SIMD_FN Vec<double> widen_high(Vec<float> a) { return {_mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1))}; }
KRYLOV_SIMD_FN Vec<float> narrow(Vec<double> low, Vec<double> high) {
  return {_mm256_set_m128(_mm256_cvtpd_ps(high.v), _mm256_cvtpd_ps(low.v))};
}
// The first half-register of floats at p, as doubles.
KRYLOV_SIMD_FN Vec<double> load_widen(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p))}; }
KRYLOV_SIMD_FN Vec<double> load_widen_partial(const float* p, int count) {
  return {_mm256_cvtps_pd(_mm_maskload_ps(p, _mm256_castsi256_si128(tail_mask_32(count))))};
}

// kLanes bytes, each 0 to 255, converted exactly.
KRYLOV_SIMD_FN void load_u8_into(Vec<float>& out, const uint8_t* p) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  out.v = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
}
KRYLOV_SIMD_FN void load_u8_into(Vec<double>& out, const uint8_t* p) {
  int bytes;
  __builtin_memcpy(&bytes, p, sizeof(bytes));
  out.v = _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes)));
}

}  // namespace KRYLOV_SET
}  // namespace krylov
