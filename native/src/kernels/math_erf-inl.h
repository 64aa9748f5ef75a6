// The error function, included by math-inl.h.
//
// With a = |x| and a breakpoint B (1 in float, 5/4 in double):
//   a < B:  erf(x) = x + x P(x^2)
//   a >= B: erf(a) = 1 - Q(a - B)^8, where Q approximates erfc^(1/8), a function smooth enough for
//           one polynomial up to the point where erf rounds to 1.
// P and Q come from a Remez exchange in 60-digit arithmetic (erf and erfc of mpmath as reference),
// P with least relative error of erf, Q weighted by 8 erfc^(7/8), that is with least absolute error
// of erf. Errors before rounding: 2^-29.6 and 2^-28.0 (float), 2^-59.9 and 2^-56.9 (double).
#pragma once

#include "math-inl.h"

namespace krylov {
namespace KRYLOV_SET {

template <class T>
struct ErfConstants;

template <>
struct ErfConstants<float> {
  static constexpr float kBreak = 1.0f;
  static constexpr float kMax = 3.95f;  // erf rounds to 1 from 3.92 on
  static constexpr float kInner[] = {0.128379166f,   -0.37612626f,     0.112835839f,   -0.02685377f,
                                     0.00518823462f, -0.000800927868f, 7.85052762e-05f};
  static constexpr float kOuter[] = {0.793580174f,   -0.261779308f,   -0.0404528975f,  0.0186893828f,
                                     0.00268648006f, -0.00141602918f, 6.89619919e-05f, 1.57840386e-05f};
};

template <>
struct ErfConstants<double> {
  static constexpr double kBreak = 1.25;
  static constexpr double kMax = 5.95;  // erf rounds to 1 from 5.93 on
  static constexpr double kInner[] = {0.12837916709551259,     -0.37612638903183726,    0.11283791670954087,
                                      -0.026866170644963831,   0.0052239776240290015,   -0.00085483269517586536,
                                      0.000120553306177767,    -1.4925597257157903e-05, 1.6461279555317803e-06,
                                      -1.6356546153951483e-07, 1.4733891717742007e-08,  -1.1888009773142483e-09,
                                      7.93656893847827e-11,    -3.2616402511225693e-12};
  static constexpr double kOuter[] = {0.72590820776218867,     -0.27836074855078125,    -0.025645159889907169,
                                      0.020511987734368433,    0.00098938596345066925,  -0.0012688214123807496,
                                      5.5622763679451223e-05,  4.150878229548235e-05,   -4.9290817506621511e-06,
                                      -2.6961679992271051e-07, -5.9196661895229193e-08, 4.3573576781628485e-08,
                                      -3.911576866079772e-09,  -8.1784164227288295e-10, 2.2686871195305452e-10,
                                      -2.2187399716728844e-11, 8.631711965742389e-13};
};

template <class V>
KRYLOV_SIMD_FN V erf(V x) {
  using T = typename V::Scalar;
  using C = ErfConstants<T>;
  const V size = min(set1<T>(C::kMax), abs(x));
  const auto outer = ge(size, set1<T>(C::kBreak));
  // A part that no lane needs is skipped; which lanes take which part does not change.
  V inner_value = zero<T>();
  if (!all(outer)) {
    const V z = x * x;
    inner_value = fma(x, polynomial(C::kInner, z, z * z), x);
  }
  if (!any(outer)) return inner_value;
  const V y = size - set1<T>(C::kBreak);
  const V q = polynomial(C::kOuter, y, y * y);
  const V q2 = q * q;
  const V q4 = q2 * q2;
  return select(outer, copysign(fnma(q4, q4, set1<T>(T(1))), x), inner_value);
}

}  // namespace KRYLOV_SET
}  // namespace krylov
