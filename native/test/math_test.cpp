// Error bounds, special values and lane independence of the vectorised elementary functions, for
// each instruction set that this processor can run. The references are the C library's functions in
// the next wider type. The bounds are those documented at the head of math-inl.h.
#include <doctest/doctest.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "vector_cases.h"

namespace krylov::test {
namespace {

constexpr int kPointsPerSweep = 200000;

template <class T>
using Wider = std::conditional_t<std::is_same_v<T, float>, double, long double>;

// What a reference without extra digits (long double equal to double) may be off by.
template <class T>
constexpr double kReferenceError = std::numeric_limits<Wider<T>>::digits > std::numeric_limits<T>::digits ? 0.0 : 1.0;

template <class T>
void evaluate(const VectorSet& set, MathFunction f, const std::vector<T>& x, std::vector<T>& y) {
  y.assign(x.size(), T(0));
  if constexpr (std::is_same_v<T, float>) {
    set.evaluate_float(f, x.data(), y.data(), static_cast<int>(x.size()));
  } else {
    set.evaluate_double(f, x.data(), y.data(), static_cast<int>(x.size()));
  }
}

template <class R>
R reference(MathFunction f, R x) {
  switch (f) {
    case MathFunction::kExp: return std::exp(x);
    case MathFunction::kExpm1: return std::expm1(x);
    case MathFunction::kLog: return std::log(x);
    case MathFunction::kLog1p: return std::log1p(x);
    case MathFunction::kTanh: return std::tanh(x);
    case MathFunction::kSigmoid: return 1 / (1 + std::exp(-x));
    case MathFunction::kSoftplus: return std::max(x, R(0)) + std::log1p(std::exp(-std::abs(x)));
    case MathFunction::kErf: return std::erf(x);
    case MathFunction::kNormalPdf: return std::exp(-x * x / 2) * R(0.398942280401432677939946059934L);
  }
  return x;
}

// |actual - exact| in units of the last place of exact, in the format of T.
template <class T>
double ulp_error(T actual, Wider<T> exact) {
  using R = Wider<T>;
  constexpr double kWrong = 1e30;
  if (std::isnan(exact) || std::isnan(actual)) return std::isnan(exact) && std::isnan(actual) ? 0.0 : kWrong;
  const T rounded = static_cast<T>(exact);
  if (std::isinf(rounded) || std::isinf(actual)) return rounded == actual ? 0.0 : kWrong;
  int exponent = 0;
  std::frexp(exact, &exponent);
  exponent = std::max(exponent, std::numeric_limits<T>::min_exponent);
  const R unit = std::ldexp(R(1), exponent - std::numeric_limits<T>::digits);
  return static_cast<double>(std::abs(static_cast<R>(actual) - exact) / unit);
}

// Points from low to high: evenly spaced, or evenly spaced in the logarithm of the magnitude between
// 2^low and 2^high, with alternating signs if both_signs.
enum class Spacing { kLinear, kLogPositive, kLogBothSigns };
struct Sweep {
  Spacing spacing;
  double low, high;
};

template <class T>
std::vector<T> points(const Sweep& sweep) {
  std::vector<T> x(kPointsPerSweep);
  for (int i = 0; i < kPointsPerSweep; ++i) {
    const double t = sweep.low + (sweep.high - sweep.low) * (i / double(kPointsPerSweep - 1));
    const double size = sweep.spacing == Spacing::kLinear ? t : std::exp2(t);
    x[i] = static_cast<T>(sweep.spacing == Spacing::kLogBothSigns && i % 2 == 1 ? -size : size);
  }
  return x;
}

struct FunctionCase {
  const char* name;
  MathFunction function;
  double float_bound, double_bound;
  bool flushes;  // subnormal results may be 0
  std::vector<Sweep> float_sweeps, double_sweeps;
};

const std::vector<FunctionCase>& function_cases() {
  constexpr Spacing kLinear = Spacing::kLinear;
  constexpr Spacing kPositive = Spacing::kLogPositive;
  constexpr Spacing kBoth = Spacing::kLogBothSigns;
  static const std::vector<FunctionCase> cases = {
      {"exp",
       MathFunction::kExp,
       2,
       2,
       true,
       {{kLinear, -110, 95}, {kLinear, -2, 2}, {kBoth, -149, 7}},
       {{kLinear, -760, 720}, {kLinear, -2, 2}, {kBoth, -1074, 10}}},
      {"expm1",
       MathFunction::kExpm1,
       2,
       3,
       false,
       {{kLinear, -25, 95}, {kLinear, -1, 1}, {kBoth, -149, 7}},
       {{kLinear, -50, 720}, {kLinear, -1, 1}, {kBoth, -1074, 10}}},
      {"log",
       MathFunction::kLog,
       1,
       1,
       false,
       {{kLinear, 0.4, 2.5}, {kPositive, -149, 127.99}},
       {{kLinear, 0.4, 2.5}, {kPositive, -1074, 1023.99}}},
      {"log1p",
       MathFunction::kLog1p,
       1,
       1,
       false,
       {{kLinear, -1, 3}, {kPositive, -149, 127.99}, {kBoth, -149, -0.01}},
       {{kLinear, -1, 3}, {kPositive, -1074, 1023.99}, {kBoth, -1074, -0.01}}},
      {"tanh",
       MathFunction::kTanh,
       3,
       3,
       false,
       {{kLinear, -11, 11}, {kLinear, -1, 1}, {kBoth, -149, 127.99}},
       {{kLinear, -22, 22}, {kLinear, -1, 1}, {kBoth, -1074, 1023.99}}},
      {"sigmoid",
       MathFunction::kSigmoid,
       3,
       3,
       true,
       {{kLinear, -110, 110}, {kLinear, -20, 20}, {kBoth, -149, 7}},
       {{kLinear, -760, 760}, {kLinear, -40, 40}, {kBoth, -1074, 10}}},
      {"softplus",
       MathFunction::kSoftplus,
       3,
       3,
       true,
       {{kLinear, -110, 110}, {kLinear, -10, 10}, {kBoth, -149, 127.99}},
       {{kLinear, -760, 760}, {kLinear, -10, 10}, {kBoth, -1074, 1023.99}}},
      {"erf",
       MathFunction::kErf,
       3,
       3,
       false,
       {{kLinear, -4.5, 4.5}, {kLinear, 0.9, 1.2}, {kBoth, -149, 127.99}},
       {{kLinear, -6.5, 6.5}, {kLinear, 1.1, 1.4}, {kBoth, -1074, 1023.99}}},
      {"normal_pdf",
       MathFunction::kNormalPdf,
       3,
       3,
       true,
       {{kLinear, -15, 15}, {kBoth, -149, 4}},
       {{kLinear, -40, 40}, {kBoth, -1074, 6}}},
  };
  return cases;
}

template <class T>
void check_sweeps(const FunctionCase& c, double bound, const std::vector<Sweep>& sweeps) {
  using R = Wider<T>;
  for (const Sweep& sweep : sweeps) {
    const std::vector<T> x = points<T>(sweep);
    std::vector<R> exact(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) exact[i] = reference(c.function, static_cast<R>(x[i]));
    for_each_vector_set([&](const VectorSet& set) {
      std::vector<T> y;
      evaluate(set, c.function, x, y);
      double worst_ratio = 0;
      double worst_error = 0;
      std::size_t worst = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        if (c.flushes && y[i] == 0 && std::abs(exact[i]) < std::numeric_limits<T>::min()) continue;
        double allowed = bound + kReferenceError<T>;
        // Without a fused product normal_pdf cannot see the rounding error of x^2.
        if (c.function == MathFunction::kNormalPdf && !set.fused) allowed += 0.5 * double(x[i]) * double(x[i]);
        const double error = ulp_error<T>(y[i], exact[i]);
        if (error / allowed > worst_ratio) {
          worst_ratio = error / allowed;
          worst_error = error;
          worst = i;
        }
      }
      CAPTURE(std::string(set.name));
      CAPTURE(std::string(c.name));
      CAPTURE(sizeof(T));
      CAPTURE(sweep.low);
      CAPTURE(sweep.high);
      CAPTURE(double(x[worst]));
      CAPTURE(double(y[worst]));
      CAPTURE(double(exact[worst]));
      CAPTURE(worst_error);
      CHECK(worst_ratio <= 1.0);
    });
  }
}

template <class T>
struct SpecialCase {
  MathFunction function;
  T argument, expected;
};

template <class T>
std::vector<SpecialCase<T>> special_cases() {
  using M = MathFunction;
  using N = std::numeric_limits<T>;
  const T inf = N::infinity(), nan = N::quiet_NaN(), tiny = N::denorm_min(), zero = T(0), one = T(1);
  // The last argument with a finite exponential and the first with a normal one.
  const T top = sizeof(T) == 4 ? T(88.7228317f) : T(709.782712893384);
  const T bottom = sizeof(T) == 4 ? T(-87.3365402f) : T(-708.39641853226408);
  std::vector<SpecialCase<T>> cases = {
      {M::kExp, inf, inf},
      {M::kExp, -inf, zero},
      {M::kExp, zero, one},
      {M::kExp, -zero, one},
      {M::kExp, std::nextafter(top, inf), inf},
      {M::kExp, std::nextafter(bottom, -inf), zero},
      {M::kExp, N::max(), inf},
      {M::kExp, N::lowest(), zero},
      {M::kExp, tiny, one},
      {M::kExpm1, inf, inf},
      {M::kExpm1, -inf, -one},
      {M::kExpm1, zero, zero},
      {M::kExpm1, -zero, -zero},
      {M::kExpm1, tiny, tiny},
      {M::kExpm1, -tiny, -tiny},
      {M::kExpm1, std::nextafter(top, inf), inf},
      {M::kExpm1, N::max(), inf},
      {M::kExpm1, N::lowest(), -one},
      {M::kLog, inf, inf},
      {M::kLog, -inf, nan},
      {M::kLog, zero, -inf},
      {M::kLog, -zero, -inf},
      {M::kLog, one, zero},
      {M::kLog, -one, nan},
      {M::kLog, -tiny, nan},
      {M::kLog1p, inf, inf},
      {M::kLog1p, -inf, nan},
      {M::kLog1p, zero, zero},
      {M::kLog1p, -zero, -zero},
      {M::kLog1p, -one, -inf},
      {M::kLog1p, T(-2), nan},
      {M::kLog1p, std::nextafter(-one, -inf), nan},
      {M::kLog1p, tiny, tiny},
      {M::kLog1p, -tiny, -tiny},
      {M::kTanh, inf, one},
      {M::kTanh, -inf, -one},
      {M::kTanh, zero, zero},
      {M::kTanh, -zero, -zero},
      {M::kTanh, tiny, tiny},
      {M::kTanh, -tiny, -tiny},
      {M::kTanh, N::max(), one},
      {M::kTanh, T(50), one},
      {M::kSigmoid, inf, one},
      {M::kSigmoid, -inf, zero},
      {M::kSigmoid, zero, T(0.5)},
      {M::kSigmoid, -zero, T(0.5)},
      {M::kSoftplus, inf, inf},
      {M::kSoftplus, -inf, zero},
      {M::kSoftplus, N::max(), N::max()},
      {M::kErf, inf, one},
      {M::kErf, -inf, -one},
      {M::kErf, zero, zero},
      {M::kErf, -zero, -zero},
      {M::kErf, N::max(), one},
      {M::kErf, T(7), one},
      {M::kErf, T(-7), -one},
      {M::kNormalPdf, inf, zero},
      {M::kNormalPdf, -inf, zero},
      {M::kNormalPdf, N::max(), zero},
  };
  for (const FunctionCase& c : function_cases()) {
    cases.push_back({c.function, nan, nan});
    cases.push_back({c.function, -nan, nan});
  }
  return cases;
}

// Equal with the sign of zero; any NaN equals any NaN.
template <class T>
bool same(T a, T b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

template <class T>
void check_special_values() {
  for_each_vector_set([](const VectorSet& set) {
    for (const SpecialCase<T>& c : special_cases<T>()) {
      std::vector<T> y;
      evaluate(set, c.function, std::vector<T>(17, c.argument), y);  // whole vectors and a tail
      for (const T actual : y) {
        CAPTURE(std::string(set.name));
        CAPTURE(std::string(function_cases()[static_cast<std::size_t>(c.function)].name));
        CAPTURE(double(c.argument));
        CAPTURE(double(actual));
        CAPTURE(double(c.expected));
        CHECK(same(actual, c.expected));
      }
    }
    // The ends of the range of exp: finite, and normal.
    const bool narrow = sizeof(T) == 4;
    std::vector<T> y;
    evaluate(set, MathFunction::kExp,
             std::vector<T>{narrow ? T(88.7228317f) : T(709.782712893384),
                            narrow ? T(-87.3365402f) : T(-708.39641853226408)},
             y);
    CHECK(std::isfinite(y[0]));
    CHECK(y[1] >= std::numeric_limits<T>::min());
  });
}

// Each value alone (a tail of one lane) gives the reference bits; then every value must give them
// wherever it stands and whatever stands beside it.
template <class T>
void check_lane_independence() {
  constexpr unsigned kSeed = 20240611;
  CAPTURE(kSeed);
  std::mt19937 generator(kSeed);
  std::vector<T> pool;
  for (const SpecialCase<T>& c : special_cases<T>()) pool.push_back(c.argument);
  std::uniform_real_distribution<double> uniform(-8, 8);
  while (pool.size() < 400) pool.push_back(static_cast<T>(uniform(generator)));
  for_each_vector_set([&](const VectorSet& set) {
    for (const FunctionCase& c : function_cases()) {
      std::vector<T> alone(pool.size());
      for (std::size_t i = 0; i < pool.size(); ++i) {
        std::vector<T> y;
        evaluate(set, c.function, std::vector<T>{pool[i]}, y);
        alone[i] = y[0];
      }
      std::vector<std::size_t> order(pool.size());
      std::iota(order.begin(), order.end(), std::size_t(0));
      int differences = 0;
      for (int repeat = 0; repeat < 20; ++repeat) {
        std::shuffle(order.begin(), order.end(), generator);
        std::vector<T> x;
        for (const std::size_t i : order) x.push_back(pool[i]);
        x.resize(x.size() - static_cast<std::size_t>(repeat % 17));
        std::vector<T> y;
        evaluate(set, c.function, x, y);
        for (std::size_t i = 0; i < y.size(); ++i) differences += same(y[i], alone[order[i]]) ? 0 : 1;
      }
      CAPTURE(std::string(set.name));
      CAPTURE(std::string(c.name));
      CHECK(differences == 0);
    }
  });
}

}  // namespace

TEST_CASE("elementary functions keep their error bounds: float32") {
  for (const FunctionCase& c : function_cases()) check_sweeps<float>(c, c.float_bound, c.float_sweeps);
}

TEST_CASE("elementary functions keep their error bounds: float64") {
  for (const FunctionCase& c : function_cases()) check_sweeps<double>(c, c.double_bound, c.double_sweeps);
}

TEST_CASE("elementary functions at special values") {
  check_special_values<float>();
  check_special_values<double>();
}

TEST_CASE("an elementary function of a lane does not depend on its neighbours or place") {
  check_lane_independence<float>();
  check_lane_independence<double>();
}

TEST_CASE("sets with fused multiply-add agree to the bit") {
  const std::vector<float> x = points<float>({Spacing::kLinear, -20, 20});
  for (const FunctionCase& c : function_cases()) {
    std::vector<float> first;
    for_each_vector_set([&](const VectorSet& set) {
      if (!set.fused) return;
      std::vector<float> y;
      evaluate(set, c.function, x, y);
      if (first.empty()) first = y;
      std::size_t differences = 0;
      for (std::size_t i = 0; i < y.size(); ++i) differences += same(y[i], first[i]) ? 0 : 1;
      CAPTURE(std::string(set.name));
      CAPTURE(std::string(c.name));
      CHECK(differences == 0);
    });
  }
}

}  // namespace krylov::test
