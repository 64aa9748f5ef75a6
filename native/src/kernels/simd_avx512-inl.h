// Vector types of the AVX-512 set (F, DQ, BW, VL): 16 floats or 8 doubles in one 512-bit register.
// Contract of every function: see simd-inl.h, which includes this file.
#pragma once

// Intrinsics without a mask pass an undefined register to the masked form; GCC before 13 warns of it.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <cstddef>
#include <cstdint>

namespace krylov {
namespace KRYLOV_SET {

template <>
struct Vec<float> {
  using Scalar = float;
  using Bits = uint32_t;
  static constexpr int kLanes = 16;
  __m512 v;

  static KRYLOV_SIMD Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
  static KRYLOV_SIMD Vec broadcast_bits(uint32_t b) {
    return {_mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(b)))};
  }
};

template <>
struct Vec<double> {
  using Scalar = double;
  using Bits = uint64_t;
  static constexpr int kLanes = 8;
  __m512d v;

  static KRYLOV_SIMD Vec broadcast(double x) { return {_mm512_set1_pd(x)}; }
  static KRYLOV_SIMD Vec broadcast_bits(uint64_t b) {
    return {_mm512_castsi512_pd(_mm512_set1_epi64(static_cast<long long>(b)))};
  }
};

template <>
struct Mask<float> {
  __mmask16 m;
};
template <>
struct Mask<double> {
  __mmask8 m;
};

// Lanes below count.
KRYLOV_SIMD_FN __mmask16 tail_mask_16(int count) { return static_cast<__mmask16>((1u << count) - 1u); }
KRYLOV_SIMD_FN __mmask8 tail_mask_8(int count) { return static_cast<__mmask8>((1u << count) - 1u); }

KRYLOV_SIMD_FN Vec<float> load(const float* p) { return {_mm512_loadu_ps(p)}; }
KRYLOV_SIMD_FN void store(float* p, Vec<float> a) { _mm512_storeu_ps(p, a.v); }
KRYLOV_SIMD_FN Vec<float> load_partial(const float* p, int count) {
  return {_mm512_maskz_loadu_ps(tail_mask_16(count), p)};
}
KRYLOV_SIMD_FN void store_partial(float* p, Vec<float> a, int count) {
  _mm512_mask_storeu_ps(p, tail_mask_16(count), a.v);
}

KRYLOV_SIMD_FN Vec<float> operator+(Vec<float> a, Vec<float> b) { return {_mm512_add_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> operator-(Vec<float> a, Vec<float> b) { return {_mm512_sub_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> operator*(Vec<float> a, Vec<float> b) { return {_mm512_mul_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> operator/(Vec<float> a, Vec<float> b) { return {_mm512_div_ps(a.v, b.v)}; }

KRYLOV_SIMD_FN Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
KRYLOV_SIMD_FN Vec<float> fnma(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
KRYLOV_SIMD_FN Vec<float> fms(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm512_fmsub_ps(a.v, b.v, c.v)}; }

KRYLOV_SIMD_FN Vec<float> min(Vec<float> a, Vec<float> b) { return {_mm512_min_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> max(Vec<float> a, Vec<float> b) { return {_mm512_max_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> sqrt(Vec<float> a) { return {_mm512_sqrt_ps(a.v)}; }
KRYLOV_SIMD_FN Vec<float> round(Vec<float> a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
KRYLOV_SIMD_FN Vec<float> floor(Vec<float> a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
}

KRYLOV_SIMD_FN Vec<float> bits_and(Vec<float> a, Vec<float> b) { return {_mm512_and_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> bits_or(Vec<float> a, Vec<float> b) { return {_mm512_or_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> bits_xor(Vec<float> a, Vec<float> b) { return {_mm512_xor_ps(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> bits_and_not(Vec<float> a, Vec<float> b) { return {_mm512_andnot_ps(b.v, a.v)}; }
KRYLOV_SIMD_FN Vec<float> bits_add(Vec<float> a, Vec<float> b) {
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.v), _mm512_castps_si512(b.v)))};
}
template <int kCount>
KRYLOV_SIMD_FN Vec<float> bits_shift_left(Vec<float> a) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a.v), kCount))};
}
template <int kCount>
KRYLOV_SIMD_FN Vec<float> bits_shift_right(Vec<float> a) {
  return {_mm512_castsi512_ps(_mm512_srli_epi32(_mm512_castps_si512(a.v), kCount))};
}

KRYLOV_SIMD_FN Mask<float> lt(Vec<float> a, Vec<float> b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
KRYLOV_SIMD_FN Mask<float> le(Vec<float> a, Vec<float> b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
KRYLOV_SIMD_FN Mask<float> gt(Vec<float> a, Vec<float> b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
KRYLOV_SIMD_FN Mask<float> ge(Vec<float> a, Vec<float> b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
KRYLOV_SIMD_FN Mask<float> eq(Vec<float> a, Vec<float> b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
KRYLOV_SIMD_FN Mask<float> is_nan(Vec<float> a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }

KRYLOV_SIMD_FN Mask<float> operator&(Mask<float> a, Mask<float> b) { return {static_cast<__mmask16>(a.m & b.m)}; }
KRYLOV_SIMD_FN Mask<float> operator|(Mask<float> a, Mask<float> b) { return {static_cast<__mmask16>(a.m | b.m)}; }
KRYLOV_SIMD_FN Mask<float> operator!(Mask<float> a) { return {static_cast<__mmask16>(~a.m)}; }
KRYLOV_SIMD_FN bool any(Mask<float> a) { return a.m != 0; }
KRYLOV_SIMD_FN bool all(Mask<float> a) { return a.m == 0xffff; }
KRYLOV_SIMD_FN Vec<float> select(Mask<float> m, Vec<float> if_true, Vec<float> if_false) {
  return {_mm512_mask_blend_ps(m.m, if_false.v, if_true.v)};
}

KRYLOV_SIMD_FN Vec<double> load(const double* p) { return {_mm512_loadu_pd(p)}; }
KRYLOV_SIMD_FN void store(double* p, Vec<double> a) { _mm512_storeu_pd(p, a.v); }
KRYLOV_SIMD_FN Vec<double> load_partial(const double* p, int count) {
  return {_mm512_maskz_loadu_pd(tail_mask_8(count), p)};
}
KRYLOV_SIMD_FN void store_partial(double* p, Vec<double> a, int count) {
  _mm512_mask_storeu_pd(p, tail_mask_8(count), a.v);
}

KRYLOV_SIMD_FN Vec<double> operator+(Vec<double> a, Vec<double> b) { return {_mm512_add_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> operator-(Vec<double> a, Vec<double> b) { return {_mm512_sub_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> operator*(Vec<double> a, Vec<double> b) { return {_mm512_mul_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> operator/(Vec<double> a, Vec<double> b) { return {_mm512_div_pd(a.v, b.v)}; }

KRYLOV_SIMD_FN Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
KRYLOV_SIMD_FN Vec<double> fnma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {_mm512_fnmadd_pd(a.v, b.v, c.v)};
}
KRYLOV_SIMD_FN Vec<double> fms(Vec<double> a, Vec<double> b, Vec<double> c) { return {_mm512_fmsub_pd(a.v, b.v, c.v)}; }

KRYLOV_SIMD_FN Vec<double> min(Vec<double> a, Vec<double> b) { return {_mm512_min_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> max(Vec<double> a, Vec<double> b) { return {_mm512_max_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> sqrt(Vec<double> a) { return {_mm512_sqrt_pd(a.v)}; }
KRYLOV_SIMD_FN Vec<double> round(Vec<double> a) {
  return {_mm512_roundscale_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
KRYLOV_SIMD_FN Vec<double> floor(Vec<double> a) {
  return {_mm512_roundscale_pd(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
}

KRYLOV_SIMD_FN Vec<double> bits_and(Vec<double> a, Vec<double> b) { return {_mm512_and_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> bits_or(Vec<double> a, Vec<double> b) { return {_mm512_or_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> bits_xor(Vec<double> a, Vec<double> b) { return {_mm512_xor_pd(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> bits_and_not(Vec<double> a, Vec<double> b) { return {_mm512_andnot_pd(b.v, a.v)}; }
KRYLOV_SIMD_FN Vec<double> bits_add(Vec<double> a, Vec<double> b) {
  return {_mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(a.v), _mm512_castpd_si512(b.v)))};
}
template <int kCount>
KRYLOV_SIMD_FN Vec<double> bits_shift_left(Vec<double> a) {
  return {_mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(a.v), kCount))};
}
template <int kCount>
KRYLOV_SIMD_FN Vec<double> bits_shift_right(Vec<double> a) {
  return {_mm512_castsi512_pd(_mm512_srli_epi64(_mm512_castpd_si512(a.v), kCount))};
}

KRYLOV_SIMD_FN Mask<double> lt(Vec<double> a, Vec<double> b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ)}; }
KRYLOV_SIMD_FN Mask<double> le(Vec<double> a, Vec<double> b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_LE_OQ)}; }
KRYLOV_SIMD_FN Mask<double> gt(Vec<double> a, Vec<double> b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_GT_OQ)}; }
KRYLOV_SIMD_FN Mask<double> ge(Vec<double> a, Vec<double> b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_GE_OQ)}; }
KRYLOV_SIMD_FN Mask<double> eq(Vec<double> a, Vec<double> b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ)}; }
KRYLOV_SIMD_FN Mask<double> is_nan(Vec<double> a) { return {_mm512_cmp_pd_mask(a.v, a.v, _CMP_UNORD_Q)}; }

KRYLOV_SIMD_FN Mask<double> operator&(Mask<double> a, Mask<double> b) { return {static_cast<__mmask8>(a.m & b.m)}; }
KRYLOV_SIMD_FN Mask<double> operator|(Mask<double> a, Mask<double> b) { return {static_cast<__mmask8>(a.m | b.m)}; }
KRYLOV_SIMD_FN Mask<double> operator!(Mask<double> a) { return {static_cast<__mmask8>(~a.m)}; }
KRYLOV_SIMD_FN bool any(Mask<double> a) { return a.m != 0; }
KRYLOV_SIMD_FN bool all(Mask<double> a) { return a.m == 0xff; }
KRYLOV_SIMD_FN Vec<double> select(Mask<double> m, Vec<double> if_true, Vec<double> if_false) {
  return {_mm512_mask_blend_pd(m.m, if_false.v, if_true.v)};
}

// Halves of a register.
KRYLOV_SIMD_FN __m256 low_half(Vec<float> a) { return _mm512_castps512_ps256(a.v); }
KRYLOV_SIMD_FN __m256 high_half(Vec<float> a) { return _mm512_extractf32x8_ps(a.v, 1); }
KRYLOV_SIMD_FN __m256d low_half(Vec<double> a) { return _mm512_castpd512_pd256(a.v); }
KRYLOV_SIMD_FN __m256d high_half(Vec<double> a) { return _mm512_extractf64x4_pd(a.v, 1); }

// Reductions fold the upper half on the lower half until one lane is left.
KRYLOV_SIMD_FN float reduce_add(Vec<float> a) {
  const __m256 h = _mm256_add_ps(low_half(a), high_half(a));
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
KRYLOV_SIMD_FN float reduce_max(Vec<float> a) {
  const __m256 h = _mm256_max_ps(low_half(a), high_half(a));
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
KRYLOV_SIMD_FN float reduce_min(Vec<float> a) {
  const __m256 h = _mm256_min_ps(low_half(a), high_half(a));
  __m128 s = _mm_min_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_min_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_min_ss(s, _mm_movehdup_ps(s)));
}
KRYLOV_SIMD_FN double reduce_add(Vec<double> a) {
  const __m256d h = _mm256_add_pd(low_half(a), high_half(a));
  const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
  return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
KRYLOV_SIMD_FN double reduce_max(Vec<double> a) {
  const __m256d h = _mm256_max_pd(low_half(a), high_half(a));
  const __m128d s = _mm_max_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
  return _mm_cvtsd_f64(_mm_max_sd(s, _mm_unpackhi_pd(s, s)));
}
KRYLOV_SIMD_FN double reduce_min(Vec<double> a) {
  const __m256d h = _mm256_min_pd(low_half(a), high_half(a));
  const __m128d s = _mm_min_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
  return _mm_cvtsd_f64(_mm_min_sd(s, _mm_unpackhi_pd(s, s)));
}

KRYLOV_SIMD_FN Vec<double> widen_low(Vec<float> a) { return {_mm512_cvtps_pd(low_half(a))}; }
KRYLOV_SIMD_FN Vec<double> widen_high(Vec<float> a) { return {_mm512_cvtps_pd(high_half(a))}; }
KRYLOV_SIMD_FN Vec<float> narrow(Vec<double> low, Vec<double> high) {
  return {_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low.v)), _mm512_cvtpd_ps(high.v), 1)};
}
// The first half-register of floats at p, as doubles.
KRYLOV_SIMD_FN Vec<double> load_widen(const float* p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
KRYLOV_SIMD_FN Vec<double> load_widen_partial(const float* p, int count) {
  return {_mm512_cvtps_pd(_mm256_maskz_loadu_ps(tail_mask_8(count), p))};
}

// kLanes bytes, each 0 to 255, converted exactly.
KRYLOV_SIMD_FN void load_u8_into(Vec<float>& out, const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  out.v = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}
KRYLOV_SIMD_FN void load_u8_into(Vec<double>& out, const uint8_t* p) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  out.v = _mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(bytes));
}

}  // namespace KRYLOV_SET
}  // namespace krylov
