#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "krylov/rng.h"

// Only + - * / and sqrt, which IEEE 754 rounds the same everywhere, so that a
// seed gives the same initial weights on every platform. The file relies on the
// project's -ffp-contract=off: a fused multiply-add would change last bits.

namespace krylov {
namespace {

// Natural logarithm of a positive normal number: x = 2^e m with m in
// [sqrt(1/2), sqrt(2)), ln m = 2 artanh(f), f = (m - 1)/(m + 1), |f| < 0.172.
// The series' first term left out is below 2^-60 of the sum.
double natural_log(double x) noexcept {
  constexpr std::uint64_t kMantissa = 0x000fffffffffffffu;
  constexpr std::uint64_t kOne = 0x3ff0000000000000u;
  constexpr double kSqrt2 = 0x1.6a09e667f3bcdp+0;
  // ln 2 in two parts; e times the first is exact.
  constexpr double kLn2High = 0x1.62e42fee00000p-1;
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & kMantissa) | kOne);
  if (m >= kSqrt2) {
    m *= 0.5;
    ++exponent;
  }
  const double f = (m - 1.0) / (m + 1.0);
  const double s = f * f;
  double tail = 0.0;
  for (int odd = 23; odd >= 3; odd -= 2) tail = (tail + 1.0 / odd) * s;
  const double e = exponent;
  return e * kLn2High + (2.0 * f + (2.0 * f * tail + e * kLn2Low));
}

template <std::size_t N>
constexpr double polynomial(const double (&coefficients)[N], double x) noexcept {
  double value = coefficients[N - 1];
  for (std::size_t i = N - 1; i-- > 0;) value = value * x + coefficients[i];
  return value;
}

// Wichura, "Algorithm AS 241: the percentage points of the normal distribution"
// (Applied Statistics 37, 1988), PPND16: a rational function of degree 7 in each
// of three ranges; numerators and denominators from the constant term upwards.
constexpr double kCentreTop[] = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
                                 1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
                                 3.3430575583588128105e4, 2.5090809287301226727e3};
constexpr double kCentreBottom[] = {1.0,
                                    4.2313330701600911252e1,
                                    6.8718700749205790830e2,
                                    5.3941960214247511077e3,
                                    2.1213794301586595867e4,
                                    3.9307895800092710610e4,
                                    2.8729085735721942674e4,
                                    5.2264952788528545610e3};
constexpr double kTailTop[] = {1.42343711074968357734e0, 4.63033784615654529590e0,  5.76949722146069140550e0,
                               3.64784832476320460504e0, 1.27045825245236838258e0,  2.41780725177450611770e-1,
                               2.27238449892691845833e-2, 7.74545014278341407640e-4};
constexpr double kTailBottom[] = {1.0,
                                  2.05319162663775882187e0,
                                  1.67638483018380384940e0,
                                  6.89767334985100004550e-1,
                                  1.48103976427480074590e-1,
                                  1.51986665636164571966e-2,
                                  5.47593808499534494600e-4,
                                  1.05075007164441684324e-9};
constexpr double kFarTop[] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                              2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                              2.71155556874348757815e-5, 2.01033439929228813265e-7};
constexpr double kFarBottom[] = {1.0,
                                 5.99832206555887937690e-1,
                                 1.36929880922735805310e-1,
                                 1.48753612908506148525e-2,
                                 7.86869131145613259100e-4,
                                 1.84631831751005468180e-5,
                                 1.42151175831644588870e-7,
                                 2.04426310338993978564e-15};

}  // namespace

double normal_quantile(double p) noexcept {
  const double q = p - 0.5;
  if (q >= -0.425 && q <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * (polynomial(kCentreTop, r) / polynomial(kCentreBottom, r));
  }
  const double tail = q < 0.0 ? p : 1.0 - p;
  const double r = std::sqrt(-natural_log(tail));
  const double x = r <= 5.0 ? polynomial(kTailTop, r - 1.6) / polynomial(kTailBottom, r - 1.6)
                            : polynomial(kFarTop, r - 5.0) / polynomial(kFarBottom, r - 5.0);
  return q < 0.0 ? -x : x;
}

}  // namespace krylov
