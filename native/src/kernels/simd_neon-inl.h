// Vector types of the NEON set (aarch64): 4 floats or 2 doubles in one 128-bit register.
// Contract of every function: see simd-inl.h, which includes this file.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace krylov {
namespace KRYLOV_SET {

template <>
struct Vec<float> {
  using Scalar = float;
  using Bits = uint32_t;
  static constexpr int kLanes = 4;
  float32x4_t v;

  static KRYLOV_SIMD Vec broadcast(float x) { return {vdupq_n_f32(x)}; }
  static KRYLOV_SIMD Vec broadcast_bits(uint32_t b) { return {vreinterpretq_f32_u32(vdupq_n_u32(b))}; }
};

template <>
struct Vec<double> {
  using Scalar = double;
  using Bits = uint64_t;
  static constexpr int kLanes = 2;
  float64x2_t v;

  static KRYLOV_SIMD Vec broadcast(double x) { return {vdupq_n_f64(x)}; }
  static KRYLOV_SIMD Vec broadcast_bits(uint64_t b) { return {vreinterpretq_f64_u64(vdupq_n_u64(b))}; }
};

// A lane of a mask is all ones or all zeros.
template <>
struct Mask<float> {
  uint32x4_t m;
};
template <>
struct Mask<double> {
  uint64x2_t m;
};

KRYLOV_SIMD_FN Vec<float> load(const float* p) { return {vld1q_f32(p)}; }
KRYLOV_SIMD_FN void store(float* p, Vec<float> a) { vst1q_f32(p, a.v); }
KRYLOV_SIMD_FN Vec<float> load_partial(const float* p, int count) {
  float lanes[Vec<float>::kLanes] = {};
  for (int i = 0; i < count; ++i) lanes[i] = p[i];
  return load(lanes);
}
KRYLOV_SIMD_FN void store_partial(float* p, Vec<float> a, int count) {
  float lanes[Vec<float>::kLanes];
  store(lanes, a);
  for (int i = 0; i < count; ++i) p[i] = lanes[i];
}

KRYLOV_SIMD_FN Vec<float> operator+(Vec<float> a, Vec<float> b) { return {vaddq_f32(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> operator-(Vec<float> a, Vec<float> b) { return {vsubq_f32(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> operator*(Vec<float> a, Vec<float> b) { return {vmulq_f32(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> operator/(Vec<float> a, Vec<float> b) { return {vdivq_f32(a.v, b.v)}; }

KRYLOV_SIMD_FN Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> fnma(Vec<float> a, Vec<float> b, Vec<float> c) { return {vfmsq_f32(c.v, a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> fms(Vec<float> a, Vec<float> b, Vec<float> c) {
  return {vfmaq_f32(vnegq_f32(c.v), a.v, b.v)};
}

// Not vminq and vmaxq, which give NaN when either lane is NaN.
KRYLOV_SIMD_FN Vec<float> min(Vec<float> a, Vec<float> b) { return {vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> max(Vec<float> a, Vec<float> b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<float> sqrt(Vec<float> a) { return {vsqrtq_f32(a.v)}; }
KRYLOV_SIMD_FN Vec<float> round(Vec<float> a) { return {vrndnq_f32(a.v)}; }
KRYLOV_SIMD_FN Vec<float> floor(Vec<float> a) { return {vrndmq_f32(a.v)}; }

KRYLOV_SIMD_FN Vec<float> from_bits(uint32x4_t b) { return {vreinterpretq_f32_u32(b)}; }
KRYLOV_SIMD_FN uint32x4_t to_bits(Vec<float> a) { return vreinterpretq_u32_f32(a.v); }
KRYLOV_SIMD_FN Vec<float> bits_and(Vec<float> a, Vec<float> b) { return from_bits(vandq_u32(to_bits(a), to_bits(b))); }
KRYLOV_SIMD_FN Vec<float> bits_or(Vec<float> a, Vec<float> b) { return from_bits(vorrq_u32(to_bits(a), to_bits(b))); }
KRYLOV_SIMD_FN Vec<float> bits_xor(Vec<float> a, Vec<float> b) { return from_bits(veorq_u32(to_bits(a), to_bits(b))); }
KRYLOV_SIMD_FN Vec<float> bits_and_not(Vec<float> a, Vec<float> b) {
  return from_bits(vbicq_u32(to_bits(a), to_bits(b)));
}
KRYLOV_SIMD_FN Vec<float> bits_add(Vec<float> a, Vec<float> b) { return from_bits(vaddq_u32(to_bits(a), to_bits(b))); }
template <int kCount>
KRYLOV_SIMD_FN Vec<float> bits_shift_left(Vec<float> a) {
  return from_bits(vshlq_n_u32(to_bits(a), kCount));
}
template <int kCount>
KRYLOV_SIMD_FN Vec<float> bits_shift_right(Vec<float> a) {
  return from_bits(vshrq_n_u32(to_bits(a), kCount));
}

KRYLOV_SIMD_FN Mask<float> lt(Vec<float> a, Vec<float> b) { return {vcltq_f32(a.v, b.v)}; }
KRYLOV_SIMD_FN Mask<float> le(Vec<float> a, Vec<float> b) { return {vcleq_f32(a.v, b.v)}; }
KRYLOV_SIMD_FN Mask<float> gt(Vec<float> a, Vec<float> b) { return {vcgtq_f32(a.v, b.v)}; }
KRYLOV_SIMD_FN Mask<float> ge(Vec<float> a, Vec<float> b) { return {vcgeq_f32(a.v, b.v)}; }
KRYLOV_SIMD_FN Mask<float> eq(Vec<float> a, Vec<float> b) { return {vceqq_f32(a.v, b.v)}; }

KRYLOV_SIMD_FN Mask<float> operator&(Mask<float> a, Mask<float> b) { return {vandq_u32(a.m, b.m)}; }
KRYLOV_SIMD_FN Mask<float> operator|(Mask<float> a, Mask<float> b) { return {vorrq_u32(a.m, b.m)}; }
KRYLOV_SIMD_FN Mask<float> operator!(Mask<float> a) { return {vmvnq_u32(a.m)}; }
KRYLOV_SIMD_FN bool any(Mask<float> a) { return vmaxvq_u32(a.m) != 0; }
KRYLOV_SIMD_FN bool all(Mask<float> a) { return vminvq_u32(a.m) != 0; }
KRYLOV_SIMD_FN Mask<float> is_nan(Vec<float> a) { return !eq(a, a); }
KRYLOV_SIMD_FN Vec<float> select(Mask<float> m, Vec<float> if_true, Vec<float> if_false) {
  return {vbslq_f32(m.m, if_true.v, if_false.v)};
}

KRYLOV_SIMD_FN Vec<double> load(const double* p) { return {vld1q_f64(p)}; }
KRYLOV_SIMD_FN void store(double* p, Vec<double> a) { vst1q_f64(p, a.v); }
KRYLOV_SIMD_FN Vec<double> load_partial(const double* p, int count) {
  double lanes[Vec<double>::kLanes] = {};
  for (int i = 0; i < count; ++i) lanes[i] = p[i];
  return load(lanes);
}
KRYLOV_SIMD_FN void store_partial(double* p, Vec<double> a, int count) {
  double lanes[Vec<double>::kLanes];
  store(lanes, a);
  for (int i = 0; i < count; ++i) p[i] = lanes[i];
}

KRYLOV_SIMD_FN Vec<double> operator+(Vec<double> a, Vec<double> b) { return {vaddq_f64(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> operator-(Vec<double> a, Vec<double> b) { return {vsubq_f64(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> operator*(Vec<double> a, Vec<double> b) { return {vmulq_f64(a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> operator/(Vec<double> a, Vec<double> b) { return {vdivq_f64(a.v, b.v)}; }

KRYLOV_SIMD_FN Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return {vfmaq_f64(c.v, a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> fnma(Vec<double> a, Vec<double> b, Vec<double> c) { return {vfmsq_f64(c.v, a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> fms(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {vfmaq_f64(vnegq_f64(c.v), a.v, b.v)};
}

KRYLOV_SIMD_FN Vec<double> min(Vec<double> a, Vec<double> b) { return {vbslq_f64(vcltq_f64(a.v, b.v), a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> max(Vec<double> a, Vec<double> b) { return {vbslq_f64(vcgtq_f64(a.v, b.v), a.v, b.v)}; }
KRYLOV_SIMD_FN Vec<double> sqrt(Vec<double> a) { return {vsqrtq_f64(a.v)}; }
KRYLOV_SIMD_FN Vec<double> round(Vec<double> a) { return {vrndnq_f64(a.v)}; }
KRYLOV_SIMD_FN Vec<double> floor(Vec<double> a) { return {vrndmq_f64(a.v)}; }

KRYLOV_SIMD_FN Vec<double> from_bits(uint64x2_t b) { return {vreinterpretq_f64_u64(b)}; }
KRYLOV_SIMD_FN uint64x2_t to_bits(Vec<double> a) { return vreinterpretq_u64_f64(a.v); }
KRYLOV_SIMD_FN Vec<double> bits_and(Vec<double> a, Vec<double> b) {
  return from_bits(vandq_u64(to_bits(a), to_bits(b)));
}
KRYLOV_SIMD_FN Vec<double> bits_or(Vec<double> a, Vec<double> b) {
  return from_bits(vorrq_u64(to_bits(a), to_bits(b)));
}
KRYLOV_SIMD_FN Vec<double> bits_xor(Vec<double> a, Vec<double> b) {
  return from_bits(veorq_u64(to_bits(a), to_bits(b)));
}
KRYLOV_SIMD_FN Vec<double> bits_and_not(Vec<double> a, Vec<double> b) {
  return from_bits(vbicq_u64(to_bits(a), to_bits(b)));
}
KRYLOV_SIMD_FN Vec<double> bits_add(Vec<double> a, Vec<double> b) {
  return from_bits(vaddq_u64(to_bits(a), to_bits(b)));
}
template <int kCount>
KRYLOV_SIMD_FN Vec<double> bits_shift_left(Vec<double> a) {
  return from_bits(vshlq_n_u64(to_bits(a), kCount));
}
template <int kCount>
KRYLOV_SIMD_FN Vec<double> bits_shift_right(Vec<double> a) {
  return from_bits(vshrq_n_u64(to_bits(a), kCount));
}

KRYLOV_SIMD_FN Mask<double> lt(Vec<double> a, Vec<double> b) { return {vcltq_f64(a.v, b.v)}; }
KRYLOV_SIMD_FN Mask<double> le(Vec<double> a, Vec<double> b) { return {vcleq_f64(a.v, b.v)}; }
KRYLOV_SIMD_FN Mask<double> gt(Vec<double> a, Vec<double> b) { return {vcgtq_f64(a.v, b.v)}; }
KRYLOV_SIMD_FN Mask<double> ge(Vec<double> a, Vec<double> b) { return {vcgeq_f64(a.v, b.v)}; }
KRYLOV_SIMD_FN Mask<double> eq(Vec<double> a, Vec<double> b) { return {vceqq_f64(a.v, b.v)}; }

KRYLOV_SIMD_FN Mask<double> operator&(Mask<double> a, Mask<double> b) { return {vandq_u64(a.m, b.m)}; }
KRYLOV_SIMD_FN Mask<double> operator|(Mask<double> a, Mask<double> b) { return {vorrq_u64(a.m, b.m)}; }
KRYLOV_SIMD_FN Mask<double> operator!(Mask<double> a) {
  return {vreinterpretq_u64_u32(vmvnq_u32(vreinterpretq_u32_u64(a.m)))};
}
KRYLOV_SIMD_FN bool any(Mask<double> a) { return vmaxvq_u32(vreinterpretq_u32_u64(a.m)) != 0; }
KRYLOV_SIMD_FN bool all(Mask<double> a) { return vminvq_u32(vreinterpretq_u32_u64(a.m)) != 0; }
KRYLOV_SIMD_FN Mask<double> is_nan(Vec<double> a) { return !eq(a, a); }
KRYLOV_SIMD_FN Vec<double> select(Mask<double> m, Vec<double> if_true, Vec<double> if_false) {
  return {vbslq_f64(m.m, if_true.v, if_false.v)};
}

// Reductions fold the upper half on the lower half until one lane is left.
KRYLOV_SIMD_FN float reduce_add(Vec<float> a) {
  const float32x2_t s = vadd_f32(vget_low_f32(a.v), vget_high_f32(a.v));
  return vget_lane_f32(s, 0) + vget_lane_f32(s, 1);
}
KRYLOV_SIMD_FN double reduce_add(Vec<double> a) { return vgetq_lane_f64(a.v, 0) + vgetq_lane_f64(a.v, 1); }
KRYLOV_SIMD_FN float reduce_max(Vec<float> a) { return vmaxvq_f32(a.v); }
KRYLOV_SIMD_FN float reduce_min(Vec<float> a) { return vminvq_f32(a.v); }
KRYLOV_SIMD_FN double reduce_max(Vec<double> a) { return vmaxvq_f64(a.v); }
KRYLOV_SIMD_FN double reduce_min(Vec<double> a) { return vminvq_f64(a.v); }

KRYLOV_SIMD_FN Vec<double> widen_low(Vec<float> a) { return {vcvt_f64_f32(vget_low_f32(a.v))}; }
KRYLOV_SIMD_FN Vec<double> widen_high(Vec<float> a) { return {vcvt_high_f64_f32(a.v)}; }
KRYLOV_SIMD_FN Vec<float> narrow(Vec<double> low, Vec<double> high) {
  return {vcvt_high_f32_f64(vcvt_f32_f64(low.v), high.v)};
}
// The first half-register of floats at p, as doubles.
KRYLOV_SIMD_FN Vec<double> load_widen(const float* p) { return {vcvt_f64_f32(vld1_f32(p))}; }
KRYLOV_SIMD_FN Vec<double> load_widen_partial(const float* p, int count) { return widen_low(load_partial(p, count)); }

// kLanes bytes, each 0 to 255, converted exactly.
KRYLOV_SIMD_FN void load_u8_into(Vec<float>& out, const uint8_t* p) {
  uint32_t bytes;
  __builtin_memcpy(&bytes, p, sizeof(bytes));
  const uint16x8_t wide = vmovl_u8(vcreate_u8(bytes));
  out.v = vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
}
KRYLOV_SIMD_FN void load_u8_into(Vec<double>& out, const uint8_t* p) {
  const double lanes[2] = {double(p[0]), double(p[1])};
  out = load(lanes);
}

}  // namespace KRYLOV_SET
}  // namespace krylov
