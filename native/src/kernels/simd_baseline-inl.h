// Vector types of the portable baseline: 4 floats or 2 doubles as 128-bit vectors of the compiler's
// vector extension, with no instruction set assumed. fma and its kin round the product and the sum
// (the set is compiled with -ffp-contract=off), so results differ from the other sets in the last
// places. Contract of every function: see simd-inl.h, which includes this file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace krylov {
namespace KRYLOV_SET {

typedef float FloatLanes __attribute__((vector_size(16)));
typedef double DoubleLanes __attribute__((vector_size(16)));
typedef int32_t Int32Lanes __attribute__((vector_size(16)));
typedef int64_t Int64Lanes __attribute__((vector_size(16)));
typedef uint32_t Uint32Lanes __attribute__((vector_size(16)));
typedef uint64_t Uint64Lanes __attribute__((vector_size(16)));

template <>
struct Vec<float> {
  using Scalar = float;
  using Bits = uint32_t;
  using BitLanes = Uint32Lanes;
  static constexpr int kLanes = 4;
  FloatLanes v;

  static KRYLOV_SIMD Vec broadcast(float x) { return {FloatLanes{x, x, x, x}}; }
  static KRYLOV_SIMD Vec broadcast_bits(uint32_t b) { return {(FloatLanes)Uint32Lanes{b, b, b, b}}; }
  static KRYLOV_SIMD Vec from_bits(BitLanes b) { return {(FloatLanes)b}; }
  KRYLOV_SIMD BitLanes bits() const { return (BitLanes)v; }
};

template <>
struct Vec<double> {
  using Scalar = double;
  using Bits = uint64_t;
  using BitLanes = Uint64Lanes;
  static constexpr int kLanes = 2;
  DoubleLanes v;

  static KRYLOV_SIMD Vec broadcast(double x) { return {DoubleLanes{x, x}}; }
  static KRYLOV_SIMD Vec broadcast_bits(uint64_t b) { return {(DoubleLanes)Uint64Lanes{b, b}}; }
  static KRYLOV_SIMD Vec from_bits(BitLanes b) { return {(DoubleLanes)b}; }
  KRYLOV_SIMD BitLanes bits() const { return (BitLanes)v; }
};

// A lane of a mask is all ones or all zeros.
template <>
struct Mask<float> {
  using Lanes = Int32Lanes;
  Lanes m;
};
template <>
struct Mask<double> {
  using Lanes = Int64Lanes;
  Lanes m;
};

KRYLOV_SIMD_FN Vec<float> load(const float* p) {
  Vec<float> a;
  __builtin_memcpy(&a.v, p, sizeof(a.v));
  return a;
}
KRYLOV_SIMD_FN Vec<double> load(const double* p) {
  Vec<double> a;
  __builtin_memcpy(&a.v, p, sizeof(a.v));
  return a;
}
template <class T>
KRYLOV_SIMD_FN void store(T* p, Vec<T> a) {
  __builtin_memcpy(p, &a.v, sizeof(a.v));
}
KRYLOV_SIMD_FN Vec<float> load_partial(const float* p, int count) {
  Vec<float> a = Vec<float>::broadcast(0.0f);
  for (int i = 0; i < count; ++i) a.v[i] = p[i];
  return a;
}
KRYLOV_SIMD_FN Vec<double> load_partial(const double* p, int count) {
  Vec<double> a = Vec<double>::broadcast(0.0);
  for (int i = 0; i < count; ++i) a.v[i] = p[i];
  return a;
}
template <class T>
KRYLOV_SIMD_FN void store_partial(T* p, Vec<T> a, int count) {
  for (int i = 0; i < count; ++i) p[i] = a.v[i];
}

template <class T>
KRYLOV_SIMD_FN Vec<T> operator+(Vec<T> a, Vec<T> b) {
  return {a.v + b.v};
}
template <class T>
KRYLOV_SIMD_FN Vec<T> operator-(Vec<T> a, Vec<T> b) {
  return {a.v - b.v};
}
template <class T>
KRYLOV_SIMD_FN Vec<T> operator*(Vec<T> a, Vec<T> b) {
  return {a.v * b.v};
}
template <class T>
KRYLOV_SIMD_FN Vec<T> operator/(Vec<T> a, Vec<T> b) {
  return {a.v / b.v};
}
template <class T>
KRYLOV_SIMD_FN Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
  return {a.v * b.v + c.v};
}
template <class T>
KRYLOV_SIMD_FN Vec<T> fnma(Vec<T> a, Vec<T> b, Vec<T> c) {
  return {c.v - a.v * b.v};
}
template <class T>
KRYLOV_SIMD_FN Vec<T> fms(Vec<T> a, Vec<T> b, Vec<T> c) {
  return {a.v * b.v - c.v};
}

template <class T>
KRYLOV_SIMD_FN Vec<T> bits_and(Vec<T> a, Vec<T> b) {
  return Vec<T>::from_bits(a.bits() & b.bits());
}
template <class T>
KRYLOV_SIMD_FN Vec<T> bits_or(Vec<T> a, Vec<T> b) {
  return Vec<T>::from_bits(a.bits() | b.bits());
}
template <class T>
KRYLOV_SIMD_FN Vec<T> bits_xor(Vec<T> a, Vec<T> b) {
  return Vec<T>::from_bits(a.bits() ^ b.bits());
}
template <class T>
KRYLOV_SIMD_FN Vec<T> bits_and_not(Vec<T> a, Vec<T> b) {
  return Vec<T>::from_bits(a.bits() & ~b.bits());
}
template <class T>
KRYLOV_SIMD_FN Vec<T> bits_add(Vec<T> a, Vec<T> b) {
  return Vec<T>::from_bits(a.bits() + b.bits());
}
template <int kCount, class T>
KRYLOV_SIMD_FN Vec<T> bits_shift_left(Vec<T> a) {
  return Vec<T>::from_bits(a.bits() << kCount);
}
template <int kCount, class T>
KRYLOV_SIMD_FN Vec<T> bits_shift_right(Vec<T> a) {
  return Vec<T>::from_bits(a.bits() >> kCount);
}

template <class T>
KRYLOV_SIMD_FN Mask<T> lt(Vec<T> a, Vec<T> b) {
  return {(typename Mask<T>::Lanes)(a.v < b.v)};
}
template <class T>
KRYLOV_SIMD_FN Mask<T> le(Vec<T> a, Vec<T> b) {
  return {(typename Mask<T>::Lanes)(a.v <= b.v)};
}
template <class T>
KRYLOV_SIMD_FN Mask<T> gt(Vec<T> a, Vec<T> b) {
  return {(typename Mask<T>::Lanes)(a.v > b.v)};
}
template <class T>
KRYLOV_SIMD_FN Mask<T> ge(Vec<T> a, Vec<T> b) {
  return {(typename Mask<T>::Lanes)(a.v >= b.v)};
}
template <class T>
KRYLOV_SIMD_FN Mask<T> eq(Vec<T> a, Vec<T> b) {
  return {(typename Mask<T>::Lanes)(a.v == b.v)};
}
template <class T>
KRYLOV_SIMD_FN Mask<T> is_nan(Vec<T> a) {
  return {(typename Mask<T>::Lanes)(a.v != a.v)};
}

template <class T>
KRYLOV_SIMD_FN Mask<T> operator&(Mask<T> a, Mask<T> b) {
  return {a.m & b.m};
}
template <class T>
KRYLOV_SIMD_FN Mask<T> operator|(Mask<T> a, Mask<T> b) {
  return {a.m | b.m};
}
template <class T>
KRYLOV_SIMD_FN Mask<T> operator!(Mask<T> a) {
  return {~a.m};
}
template <class T>
KRYLOV_SIMD_FN bool any(Mask<T> a) {
  bool found = false;
  for (int i = 0; i < Vec<T>::kLanes; ++i) found |= a.m[i] != 0;
  return found;
}
template <class T>
KRYLOV_SIMD_FN bool all(Mask<T> a) {
  return !any(!a);
}
template <class T>
KRYLOV_SIMD_FN Vec<T> select(Mask<T> m, Vec<T> if_true, Vec<T> if_false) {
  const auto chosen = (typename Vec<T>::BitLanes)m.m;
  return Vec<T>::from_bits((if_true.bits() & chosen) | (if_false.bits() & ~chosen));
}

template <class T>
KRYLOV_SIMD_FN Vec<T> min(Vec<T> a, Vec<T> b) {
  return select(lt(a, b), a, b);
}
template <class T>
KRYLOV_SIMD_FN Vec<T> max(Vec<T> a, Vec<T> b) {
  return select(gt(a, b), a, b);
}
KRYLOV_SIMD_FN Vec<float> sqrt(Vec<float> a) {
  for (int i = 0; i < Vec<float>::kLanes; ++i) a.v[i] = __builtin_sqrtf(a.v[i]);
  return a;
}
KRYLOV_SIMD_FN Vec<double> sqrt(Vec<double> a) {
  for (int i = 0; i < Vec<double>::kLanes; ++i) a.v[i] = __builtin_sqrt(a.v[i]);
  return a;
}

// Numbers of this size and beyond are integers: 2^23 and 2^52.
KRYLOV_SIMD_FN Vec<float> integer_threshold(Vec<float>) { return Vec<float>::broadcast(8388608.0f); }
KRYLOV_SIMD_FN Vec<double> integer_threshold(Vec<double>) { return Vec<double>::broadcast(4503599627370496.0); }

// Adding and taking away the threshold drops the fraction in the rounding mode of the processor.
template <class T>
KRYLOV_SIMD_FN Vec<T> round(Vec<T> a) {
  const Vec<T> sign = bits_and(a, Vec<T>::broadcast(T(-0.0)));
  const Vec<T> size = bits_xor(a, sign);
  const Vec<T> threshold = integer_threshold(a);
  const Vec<T> rounded = bits_or((size + threshold) - threshold, sign);
  return select(lt(size, threshold), rounded, a);
}
template <class T>
KRYLOV_SIMD_FN Vec<T> floor(Vec<T> a) {
  const Vec<T> rounded = round(a);
  const Vec<T> below = rounded - Vec<T>::broadcast(T(1));
  return select(gt(rounded, a), below, rounded);
}

// Reductions fold the upper half on the lower half until one lane is left.
KRYLOV_SIMD_FN float reduce_add(Vec<float> a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
KRYLOV_SIMD_FN double reduce_add(Vec<double> a) { return a.v[0] + a.v[1]; }
template <class T>
KRYLOV_SIMD_FN T reduce_max(Vec<T> a) {
  T best = a.v[0];
  for (int i = 1; i < Vec<T>::kLanes; ++i) best = best > a.v[i] ? best : a.v[i];
  return best;
}
template <class T>
KRYLOV_SIMD_FN T reduce_min(Vec<T> a) {
  T best = a.v[0];
  for (int i = 1; i < Vec<T>::kLanes; ++i) best = best < a.v[i] ? best : a.v[i];
  return best;
}

KRYLOV_SIMD_FN Vec<double> widen_low(Vec<float> a) { return {DoubleLanes{double(a.v[0]), double(a.v[1])}}; }
KRYLOV_SIMD_FN Vec<double> widen_high(Vec<float> a) { return {DoubleLanes{double(a.v[2]), double(a.v[3])}}; }
KRYLOV_SIMD_FN Vec<float> narrow(Vec<double> low, Vec<double> high) {
  return {FloatLanes{float(low.v[0]), float(low.v[1]), float(high.v[0]), float(high.v[1])}};
}
// The first half-register of floats at p, as doubles.
KRYLOV_SIMD_FN Vec<double> load_widen(const float* p) { return {DoubleLanes{double(p[0]), double(p[1])}}; }
KRYLOV_SIMD_FN Vec<double> load_widen_partial(const float* p, int count) {
  Vec<double> a = Vec<double>::broadcast(0.0);
  for (int i = 0; i < count; ++i) a.v[i] = p[i];
  return a;
}

// kLanes bytes, each 0 to 255, converted exactly.
KRYLOV_SIMD_FN void load_u8_into(Vec<float>& out, const uint8_t* p) {
  out.v = FloatLanes{float(p[0]), float(p[1]), float(p[2]), float(p[3])};
}
KRYLOV_SIMD_FN void load_u8_into(Vec<double>& out, const uint8_t* p) {
  out.v = DoubleLanes{double(p[0]), double(p[1])};
}

}  // namespace KRYLOV_SET
}  // namespace krylov
