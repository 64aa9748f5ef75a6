// Vectorised elementary functions over V = Vec<float> or Vec<double>.
//
// Error bounds are in units of the last place of the exact result, over the whole range, and are
// asserted by math_test.cpp for every instruction set:
//   function   float  double   notes
//   exp          2      2      flushes to 0 below the smallest normal number, inf above the largest
//   expm1        2      3
//   log          1      1      log(0) = -inf, log(x < 0) = NaN, subnormal arguments are exact
//   log1p        1      1      log1p(-1) = -inf, log1p(x < -1) = NaN
//   tanh         3      3
//   sigmoid      3      3      0 below -88.73 (-709.79 in double), where the result is subnormal
//   softplus     4      4      0 where exp flushes
//   erf          3      3      math_erf-inl.h
//   normal_pdf   3      3      with fused multiply-add; see there for the baseline
// NaN propagates, infinities give the limits, odd functions keep the sign of zero. No function
// branches on the value of a single lane, so a lane does not depend on its neighbours. Sets with
// fused multiply-add give the same bits; the baseline differs in the last places.
//
// Method: argument reduction by ln 2 in two parts (Cody and Waite 1980), then polynomials fitted
// for least relative error of the function by a Remez exchange in 60-digit arithmetic, their
// coefficients rounded to the type.
#pragma once

#include <cstdint>

#include "simd-inl.h"

namespace krylov {
namespace KRYLOV_SET {

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
  static constexpr float kInfinity = __builtin_inff();
  static constexpr float kNan = __builtin_nanf("");
  static constexpr float kLog2e = 1.44269502f;
  // ln 2 = high + low; the low 9 bits of high are zero, so that n * high is exact for |n| <= 2^8.
  static constexpr float kLn2High = 0.693145751953125f;
  static constexpr float kLn2Low = 1.42860677e-06f;
  static constexpr float kExpMax = 88.7228317f;        // largest argument with a finite result
  static constexpr float kExpMin = -87.3365402f;       // smallest argument with a normal result
  static constexpr float kExpm1Min = -18.0f;           // from here down expm1 rounds to -1
  static constexpr float kExpm1Tiny = 2.98023224e-8f;  // 2^-25: below, expm1(x) and log1p(x) are x
  static constexpr float kTanhMax = 9.5f;              // from here up tanh rounds to 1
  static constexpr float kPdfMax = 14.0f;              // normal_pdf is flushed to 0 before
  static constexpr float kSubnormalScale = 16777216.0f;
  static constexpr float kSubnormalBits = 24.0f;
  static constexpr float kInvSqrtTwoPi = 0.398942280f;
  // (exp(r) - 1 - r) / r^2 on |r| <= ln(2)/2; relative error of expm1 2^-26.1.
  static constexpr float kExp[] = {0.49999997f, 0.166665435f, 0.0416672081f, 0.00836653635f, 0.00138822012f};
  // (2 atanh(s) - 2 s) / s^3 as a polynomial in s^2, |s| <= (sqrt(2)-1)/(sqrt(2)+1); error of log 2^-30.2.
  static constexpr float kLog[] = {0.666667759f, 0.399775177f, 0.298724383f};
  // The same function on 0 <= s <= 1/3; error of log 2^-33.1.
  static constexpr float kLogWide[] = {0.666666746f, 0.39998877f, 0.286168724f, 0.214277491f, 0.243007153f};
};

template <>
struct MathConstants<double> {
  static constexpr double kInfinity = __builtin_inf();
  static constexpr double kNan = __builtin_nan("");
  static constexpr double kLog2e = 1.4426950408889634;
  // The low 11 bits of high are zero, so that n * high is exact for |n| <= 2^11.
  static constexpr double kLn2High = 0.69314718055989033;
  static constexpr double kLn2Low = 5.4979230187083712e-14;
  static constexpr double kExpMax = 709.782712893384;
  static constexpr double kExpMin = -708.39641853226408;
  static constexpr double kExpm1Min = -38.0;
  static constexpr double kExpm1Tiny = 5.5511151231257827e-17;  // 2^-54
  static constexpr double kTanhMax = 20.0;
  static constexpr double kPdfMax = 39.0;
  static constexpr double kSubnormalScale = 9007199254740992.0;
  static constexpr double kSubnormalBits = 53.0;
  static constexpr double kInvSqrtTwoPi = 0.3989422804014327;
  // As for float: relative error of expm1 2^-55.6, of log 2^-59.5 and 2^-59.4.
  static constexpr double kExp[] = {0.50000000000000056,    0.16666666666666588,    0.041666666666576611,
                                    0.0083333333333896545,  0.0013888888931621445,  0.00019841269718835167,
                                    2.4801505198095267e-05, 2.7557407622777607e-06, 2.7626070461060623e-07,
                                    2.5053778680748593e-08};
  static constexpr double kLog[] = {0.66666666666667351, 0.39999999999412894, 0.2857142874282384, 0.22222198524701667,
                                    0.18183567027736319, 0.15313977012539473, 0.14796727789021899};
  static constexpr double kLogWide[] = {
      0.66666666666666308, 0.40000000000157254, 0.28571428547852418, 0.22222223969835192,  0.1818174392085421,
      0.15386560017369225, 0.13300972260912566, 0.12106097346446226, 0.083400506567089722, 0.17018673571059001};
};

// sum_i c[i] x^i, with x2 = x*x: the even and the odd part are two Horner chains that run side by
// side, at no cost where x2 is needed anyway.
template <class V, int kCount>
KRYLOV_SIMD_FN V polynomial(const typename V::Scalar (&c)[kCount], V x, V x2) {
  using T = typename V::Scalar;
  V last = set1<T>(c[kCount - 1]);
  V other = set1<T>(c[kCount - 2]);
#pragma GCC unroll 32
  for (int i = kCount - 3; i >= 1; i -= 2) {
    last = fma(last, x2, set1<T>(c[i]));
    other = fma(other, x2, set1<T>(c[i - 1]));
  }
  if constexpr (kCount % 2 == 0) return fma(last, x, other);
  last = fma(last, x2, set1<T>(c[0]));
  return fma(other, x, last);
}

// x = n ln 2 + r with integral n, |r| <= ln(2)/2 (a little more at the ties). shifted is
// n + kRoundMagic, with n in its low mantissa bits; expm1_r = exp(r) - 1.
template <class V>
struct ExpParts {
  V shifted;
  V expm1_r;
};

template <class V>
KRYLOV_SIMD_FN ExpParts<V> exp_parts(V x) {
  using T = typename V::Scalar;
  using C = MathConstants<T>;
  const V magic = set1<T>(FloatFormat<T>::kRoundMagic);
  const V shifted = fma(x, set1<T>(C::kLog2e), magic);
  const V n = shifted - magic;
  const V r = fnma(n, set1<T>(C::kLn2Low), fnma(n, set1<T>(C::kLn2High), x));
  const V r2 = r * r;
  return {shifted, fma(polynomial(C::kExp, r, r2), r2, r)};
}

// exp(x) as 2^n (1 + expm1(r)): 2^n is added to the exponent field.
template <class V>
KRYLOV_SIMD_FN V exp(V x) {
  using T = typename V::Scalar;
  using C = MathConstants<T>;
  const ExpParts<V> parts = exp_parts(x);
  const V y = add_to_exponent(parts.expm1_r + set1<T>(T(1)), parts.shifted);
  // x + inf is infinity above the range and keeps NaN.
  const V upper = select(le(x, set1<T>(C::kExpMax)), y, x + set1<T>(C::kInfinity));
  return select(lt(x, set1<T>(C::kExpMin)), zero<T>(), upper);
}

// expm1(x) = 2 (2^(n-1) expm1(r) + (2^(n-1) - 1/2)). The halved power stays finite where the result
// still is; past the range the last doubling gives infinity.
template <class V>
KRYLOV_SIMD_FN V expm1(V x) {
  using T = typename V::Scalar;
  using C = MathConstants<T>;
  using F = FloatFormat<T>;
  const V clamped = min(set1<T>(C::kExpMax + T(0.25)), max(set1<T>(C::kExpm1Min), x));
  const ExpParts<V> parts = exp_parts(clamped);
  const V scale = bits_shift_left<F::kMantissaBits>(parts.shifted + set1<T>(T(F::kBias - 1)));
  const V half = fma(scale, parts.expm1_r, scale - set1<T>(T(0.5)));
  return select(lt(abs(x), set1<T>(C::kExpm1Tiny)), x, half + half);
}

// log(1 + f) = f - (f^2/2 - s (f^2/2 + R)), s = f / (2 + f), R = (2 atanh(s) - 2 s) / s, the form
// that keeps the rounding of s out of the leading term (Tang 1990; also used by FreeBSD's libm).
// tail is added at the precision of the small terms.
template <class V>
KRYLOV_SIMD_FN V log_parts(V f, V e, V tail) {
  using T = typename V::Scalar;
  using C = MathConstants<T>;
  const V s = f / (f + set1<T>(T(2)));
  const V z = s * s;
  const V r = z * polynomial(C::kLog, z, z * z);
  const V half_square = set1<T>(T(0.5)) * f * f;
  const V small = fma(s, half_square + r, fma(e, set1<T>(C::kLn2Low), tail));
  return fma(e, set1<T>(C::kLn2High), f - (half_square - small));
}

template <class V>
KRYLOV_SIMD_FN V log(V x) {
  using T = typename V::Scalar;
  using C = MathConstants<T>;
  const auto subnormal = lt(x, set1<T>(FloatFormat<T>::kMinNormal));
  const V scaled = select(subnormal, x * set1<T>(C::kSubnormalScale), x);
  V e;
  const V m = split_exponent(scaled, e);
  e = select(subnormal, e - set1<T>(C::kSubnormalBits), e);
  V y = log_parts(m - set1<T>(T(1)), e, zero<T>());
  y = select(lt(x, set1<T>(C::kInfinity)), y, x);
  y = select(eq(x, zero<T>()), set1<T>(-C::kInfinity), y);
  return select(lt(x, zero<T>()), set1<T>(C::kNan), y);
}

// log(u) + c/u, u = 1 + x rounded and c what the rounding lost. Where u needs no scaling, f = x
// itself is exact.
template <class V>
KRYLOV_SIMD_FN V log1p(V x) {
  using T = typename V::Scalar;
  using C = MathConstants<T>;
  const V one = set1<T>(T(1));
  const V u = one + x;
  const V x_in_u = u - one;
  const V lost = (one - (u - x_in_u)) + (x - x_in_u);
  V e;
  const V m = split_exponent(u, e);
  const auto unscaled = eq(e, zero<T>());
  const V f = select(unscaled, x, m - one);
  V y = log_parts(f, e, select(unscaled, zero<T>(), lost / u));
  y = copysign(y, x);
  y = select(lt(x, set1<T>(C::kInfinity)), y, x);
  y = select(eq(u, zero<T>()), set1<T>(-C::kInfinity), y);
  return select(lt(x, -one), set1<T>(C::kNan), y);
}

// tanh(x) = t / (t + 2), t = expm1(2 |x|), with the sign of x.
template <class V>
KRYLOV_SIMD_FN V tanh(V x) {
  using T = typename V::Scalar;
  using C = MathConstants<T>;
  using F = FloatFormat<T>;
  const V size = min(set1<T>(C::kTanhMax), abs(x));
  const ExpParts<V> parts = exp_parts(size + size);
  const V scale = bits_shift_left<F::kMantissaBits>(parts.shifted + set1<T>(T(F::kBias)));
  const V t = fma(scale, parts.expm1_r, scale - set1<T>(T(1)));
  return copysign(t / (t + set1<T>(T(2))), x);
}

// 1 / (1 + exp(-x)).
template <class V>
KRYLOV_SIMD_FN V sigmoid(V x) {
  using T = typename V::Scalar;
  const V one = set1<T>(T(1));
  return one / (one + exp(-x));
}

// log(1 + exp(x)) = max(x, 0) + log1p(y), y = exp(-|x|) in [0, 1]. On that interval
// log1p(y) = 2 atanh(s), s = y / (2 + y), needs no splitting of the exponent.
template <class V>
KRYLOV_SIMD_FN V softplus(V x) {
  using T = typename V::Scalar;
  using C = MathConstants<T>;
  const V y = exp(-abs(x));
  const V s = y / (y + set1<T>(T(2)));
  const V z = s * s;
  const V log1p_y = fma(s * z, polynomial(C::kLogWide, z, z * z), s + s);
  return max(zero<T>(), x) + log1p_y;
}

// exp(-x^2/2) / sqrt(2 pi). The rounding error of x^2 would be magnified by x^2/2; it is recovered by
// a fused product and corrected to first order. Without fused multiply-add the recovered error is
// zero and the bound grows to 3 + x^2/2 units.
template <class V>
KRYLOV_SIMD_FN V normal_pdf(V x) {
  using T = typename V::Scalar;
  using C = MathConstants<T>;
  const V size = min(set1<T>(C::kPdfMax), abs(x));
  const V square = size * size;
  const V lost = fms(size, size, square);
  const V half = set1<T>(T(0.5));
  const V y = exp(-(half * square)) * set1<T>(C::kInvSqrtTwoPi);
  return fnma(y, half * lost, y);
}

}  // namespace KRYLOV_SET
}  // namespace krylov

#include "math_erf-inl.h"
