// Vectors of one instruction set. A translation unit defines KRYLOV_SET (the set's name, also its
// namespace) and KRYLOV_SET_AVX2, _AVX512 or _NEON (none for the baseline) before including this.
//
// Vec<T> is a register of kLanes values of T = float or double. All functions are inlined and keep
// the value of a lane independent of its neighbours and of its position, so an element gives the
// same bits in a full vector and in a load_partial tail. Floating-point semantics:
// - load, store: unaligned. load_partial reads and store_partial writes the first count elements
//   only, 0 <= count <= kLanes; the lanes beyond are zero after load_partial.
// - fma(a, b, c) = a*b + c, fnma = c - a*b, fms = a*b - c: one rounding, except in the baseline,
//   which has no such instruction and rounds the product and the sum.
// - min(a, b) = a < b ? a : b and max(a, b) = a > b ? a : b: where a lane of either is NaN the
//   result is b. So min(bound, x) and max(bound, x) keep a NaN of x.
// - round: to nearest, ties to even. Comparisons with NaN are false.
// - reduce_*: fixed order, lane i with lane i + kLanes/2, and so on by halves.
//   reduce_max and reduce_min of a vector with NaN differ between sets.
// - bits_*: operate on the bit patterns of the lanes, as unsigned integers.
#pragma once

#include <cstddef>
#include <cstdint>

#define KRYLOV_SIMD inline __attribute__((always_inline))
#define KRYLOV_SIMD_FN static inline __attribute__((always_inline))

namespace krylov {
namespace KRYLOV_SET {

template <class T>
struct Vec;
template <class T>
struct Mask;

}  // namespace KRYLOV_SET
}  // namespace krylov

#if defined(KRYLOV_SET_AVX512)
#include "simd_avx512-inl.h"
#elif defined(KRYLOV_SET_AVX2)
#include "simd_avx2-inl.h"
#elif defined(KRYLOV_SET_NEON)
#include "simd_neon-inl.h"
#else
#include "simd_baseline-inl.h"
#endif

namespace krylov {
namespace KRYLOV_SET {

// IEEE 754 layout of a lane, and the numbers the bit-level functions need.
template <class T>
struct FloatFormat;
template <>
struct FloatFormat<float> {
  static constexpr int kMantissaBits = 23;
  static constexpr uint32_t kSignBit = 0x80000000u;
  static constexpr uint32_t kOne = 0x3f800000u;       // 1.0
  static constexpr uint32_t kSqrtHalf = 0x3f3504f3u;  // sqrt(1/2), rounded down
  static constexpr uint32_t kMantissaMask = 0x007fffffu;
  static constexpr uint32_t kExponentBase = 0x4b000000u;  // 2^23: the unit of the last place is 1
  static constexpr int kBias = 127;
  static constexpr float kRoundMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to integer
  static constexpr float kMinNormal = 1.17549435e-38f;
};
template <>
struct FloatFormat<double> {
  static constexpr int kMantissaBits = 52;
  static constexpr uint64_t kSignBit = 0x8000000000000000u;
  static constexpr uint64_t kOne = 0x3ff0000000000000u;
  static constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bccu;
  static constexpr uint64_t kMantissaMask = 0x000fffffffffffffu;
  static constexpr uint64_t kExponentBase = 0x4330000000000000u;  // 2^52
  static constexpr int kBias = 1023;
  static constexpr double kRoundMagic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double kMinNormal = 2.2250738585072014e-308;
};

template <class T>
KRYLOV_SIMD_FN Vec<T> set1(T x) {
  return Vec<T>::broadcast(x);
}
template <class T>
KRYLOV_SIMD_FN Vec<T> zero() {
  return Vec<T>::broadcast(T(0));
}

template <class T>
KRYLOV_SIMD_FN Vec<T> operator-(Vec<T> a) {
  return bits_xor(a, Vec<T>::broadcast_bits(FloatFormat<T>::kSignBit));
}
template <class T>
KRYLOV_SIMD_FN Vec<T> abs(Vec<T> a) {
  return bits_and_not(a, Vec<T>::broadcast_bits(FloatFormat<T>::kSignBit));
}
// Magnitude of a, sign of b.
template <class T>
KRYLOV_SIMD_FN Vec<T> copysign(Vec<T> a, Vec<T> b) {
  const Vec<T> sign = Vec<T>::broadcast_bits(FloatFormat<T>::kSignBit);
  return bits_or(bits_and_not(a, sign), bits_and(b, sign));
}

template <class T>
KRYLOV_SIMD_FN Vec<T>& operator+=(Vec<T>& a, Vec<T> b) {
  return a = a + b;
}
template <class T>
KRYLOV_SIMD_FN Vec<T>& operator-=(Vec<T>& a, Vec<T> b) {
  return a = a - b;
}
template <class T>
KRYLOV_SIMD_FN Vec<T>& operator*=(Vec<T>& a, Vec<T> b) {
  return a = a * b;
}

// 2^n for integral n with a normal result: -126 <= n <= 127, or -1022 <= n <= 1023 for double.
template <class T>
KRYLOV_SIMD_FN Vec<T> pow2_normal(Vec<T> n) {
  // After the sum the low bits of the mantissa hold n + bias.
  const Vec<T> biased = n + set1<T>(FloatFormat<T>::kRoundMagic + T(FloatFormat<T>::kBias));
  return bits_shift_left<FloatFormat<T>::kMantissaBits>(biased);
}

// v * 2^n for integral n, |n| <= 252 (float) or 2044 (double). Two factors, so that the result may
// overflow to infinity or go through the subnormal numbers with a single rounding.
template <class T>
KRYLOV_SIMD_FN Vec<T> scale_pow2(Vec<T> v, Vec<T> n) {
  const Vec<T> half = round(n * set1<T>(T(0.5)));
  return v * pow2_normal(half) * pow2_normal(n - half);
}

// 2^n for integral n in the range of scale_pow2: zero below the subnormals, infinity above.
template <class T>
KRYLOV_SIMD_FN Vec<T> pow2(Vec<T> n) {
  return scale_pow2(set1<T>(T(1)), n);
}

// v * 2^n where v is normal, the result is normal or overflows by less than a factor of two, and
// shifted = n + kRoundMagic (the integer n in the low mantissa bits). One shift and one addition.
template <class T>
KRYLOV_SIMD_FN Vec<T> add_to_exponent(Vec<T> v, Vec<T> shifted) {
  return bits_add(v, bits_shift_left<FloatFormat<T>::kMantissaBits>(shifted));
}

// v = m * 2^e, m in [sqrt(1/2), sqrt(2)), for positive normal v. Returns m.
template <class T>
KRYLOV_SIMD_FN Vec<T> split_exponent(Vec<T> v, Vec<T>& e) {
  using F = FloatFormat<T>;
  using V = Vec<T>;
  // Moves the binade boundary from 1 to sqrt(1/2); the exponent field is then e + bias.
  const V moved = bits_add(v, V::broadcast_bits(F::kOne - F::kSqrtHalf));
  // Put into the last places of 2^mantissa_bits, the field becomes a number without a conversion.
  const V biased = bits_or(bits_shift_right<F::kMantissaBits>(moved), V::broadcast_bits(F::kExponentBase));
  const T offset = T(typename V::Bits(1) << F::kMantissaBits) + T(F::kBias);
  e = biased - set1<T>(offset);
  return bits_add(bits_and(moved, V::broadcast_bits(F::kMantissaMask)), V::broadcast_bits(F::kSqrtHalf));
}

template <class T>
KRYLOV_SIMD_FN Vec<T> load_u8(const uint8_t* p) {
  Vec<T> out;
  load_u8_into(out, p);
  return out;
}
// The first count bytes; the lanes beyond are zero.
template <class T>
KRYLOV_SIMD_FN Vec<T> load_u8_partial(const uint8_t* p, int count) {
  uint8_t bytes[Vec<T>::kLanes] = {};
  for (int i = 0; i < count; ++i) bytes[i] = p[i];
  return load_u8<T>(bytes);
}

template <class T>
struct ConvertingLoad;
template <>
struct ConvertingLoad<float> {
  static constexpr int kHalf = Vec<float>::kLanes / 2;
  static KRYLOV_SIMD Vec<float> full(const float* p) { return load(p); }
  static KRYLOV_SIMD Vec<float> partial(const float* p, int count) { return load_partial(p, count); }
  static KRYLOV_SIMD Vec<float> full(const double* p) { return narrow(load(p), load(p + kHalf)); }
  static KRYLOV_SIMD Vec<float> partial(const double* p, int count) {
    if (count <= kHalf) return narrow(load_partial(p, count), zero<double>());
    return narrow(load(p), load_partial(p + kHalf, count - kHalf));
  }
};
template <>
struct ConvertingLoad<double> {
  static KRYLOV_SIMD Vec<double> full(const double* p) { return load(p); }
  static KRYLOV_SIMD Vec<double> partial(const double* p, int count) { return load_partial(p, count); }
  static KRYLOV_SIMD Vec<double> full(const float* p) { return load_widen(p); }
  static KRYLOV_SIMD Vec<double> partial(const float* p, int count) { return load_widen_partial(p, count); }
};

// kLanes elements of S = float or double as Vec<T>, rounded to nearest where T is narrower.
template <class T, class S>
KRYLOV_SIMD_FN Vec<T> load_convert(const S* p) {
  return ConvertingLoad<T>::full(p);
}
template <class T, class S>
KRYLOV_SIMD_FN Vec<T> load_convert_partial(const S* p, int count) {
  return ConvertingLoad<T>::partial(p, count);
}

// Sum in double of vectors of T. The order is fixed by the calls and the set.
template <class T>
struct DoubleAcc;
template <>
struct DoubleAcc<float> {
  Vec<double> low = zero<double>();
  Vec<double> high = zero<double>();

  KRYLOV_SIMD void add(Vec<float> a) {
    low = low + widen_low(a);
    high = high + widen_high(a);
  }
  // The product of two floats is exact in double.
  KRYLOV_SIMD void add_product(Vec<float> a, Vec<float> b) {
    low = fma(widen_low(a), widen_low(b), low);
    high = fma(widen_high(a), widen_high(b), high);
  }
  KRYLOV_SIMD double total() const { return reduce_add(low + high); }
};
template <>
struct DoubleAcc<double> {
  Vec<double> sum = zero<double>();

  KRYLOV_SIMD void add(Vec<double> a) { sum = sum + a; }
  KRYLOV_SIMD void add_product(Vec<double> a, Vec<double> b) { sum = fma(a, b, sum); }
  KRYLOV_SIMD double total() const { return reduce_add(sum); }
};

}  // namespace KRYLOV_SET
}  // namespace krylov
