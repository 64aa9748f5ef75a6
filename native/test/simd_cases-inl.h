// Checks of every operation of simd-inl.h for one set, against scalar code compiled with it.
#pragma once

#include "../src/kernels/simd-inl.h"
#include "vector_cases.h"

namespace krylov {
namespace KRYLOV_SET {

template <class T>
struct Limits;
template <>
struct Limits<float> {
  static constexpr const char* kName = "float32";
  static constexpr float kInfinity = __builtin_inff();
  static constexpr float kNan = __builtin_nanf("");
  static constexpr float kDenormMin = __FLT_DENORM_MIN__;
  static constexpr float kMax = __FLT_MAX__;
  static constexpr int kMinExponent = -149;  // of the smallest subnormal
  static constexpr int kMinNormalExponent = -126;
  static constexpr int kMaxExponent = 127;
  static float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  static float nearest(float a) { return __builtin_nearbyintf(a); }
  static float down(float a) { return __builtin_floorf(a); }
  static float root(float a) { return __builtin_sqrtf(a); }
  static float scaled(float a, int e) { return __builtin_ldexpf(a, e); }
};
template <>
struct Limits<double> {
  static constexpr const char* kName = "float64";
  static constexpr double kInfinity = __builtin_inf();
  static constexpr double kNan = __builtin_nan("");
  static constexpr double kDenormMin = __DBL_DENORM_MIN__;
  static constexpr double kMax = __DBL_MAX__;
  static constexpr int kMinExponent = -1074;
  static constexpr int kMinNormalExponent = -1022;
  static constexpr int kMaxExponent = 1023;
  static double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }
  static double nearest(double a) { return __builtin_nearbyint(a); }
  static double down(double a) { return __builtin_floor(a); }
  static double root(double a) { return __builtin_sqrt(a); }
  static double scaled(double a, int e) { return __builtin_ldexp(a, e); }
};

#if defined(KRYLOV_SET_AVX2) || defined(KRYLOV_SET_AVX512) || defined(KRYLOV_SET_NEON)
static constexpr bool kFused = true;
#else
static constexpr bool kFused = false;
#endif

template <class T>
class OperationChecks {
 public:
  OperationChecks(test::SimdReport& report, unsigned char* limit) : report_(report), limit_(limit) {}

  void run() {
    unary();
    binary();
    ternary();
    masks();
    partial_moves();
    exponents();
    reductions();
    accumulation();
    bytes();
    conversions();
  }

 private:
  using V = Vec<T>;
  using L = Limits<T>;
  static constexpr int kLanes = V::kLanes;
  static constexpr T kInf = L::kInfinity;
  static constexpr T kEps = sizeof(T) == 4 ? T(__FLT_EPSILON__) : T(__DBL_EPSILON__);
  // Kinds of operands: zeros, ties, integers near the end of the fractions, subnormal, extreme, not finite.
  static constexpr T kValues[] = {T(0.0),      T(-0.0),      T(0.5),        T(-0.5),
                                  T(1.5),      T(2.5),       T(-2.5),       T(0.3),
                                  T(-0.3),     T(1),         T(-1),         T(3.25),
                                  T(-1234.75), T(8388607.5), T(-8388609),   T(4503599627370495.5),
                                  T(1e30),     T(-1e30),     L::kDenormMin, -L::kDenormMin,
                                  L::kMax,     -L::kMax,     kInf,          -kInf,
                                  L::kNan,     T(1) + kEps,  T(1) - kEps};
  static constexpr int kCount = sizeof(kValues) / sizeof(kValues[0]);

  // Equal to the bit; any NaN equals any NaN.
  static bool same(T a, T b) {
    if (a != a || b != b) return a != a && b != b;
    return __builtin_memcmp(&a, &b, sizeof(T)) == 0;
  }
  void check(const char* what, int index, T actual, T expected) {
    ++report_.checks;
    if (same(actual, expected)) return;
    if (report_.failures < test::SimdReport::kKept) {
      report_.first[report_.failures] = {what, L::kName, index, double(actual), double(expected)};
    }
    ++report_.failures;
  }
  // Every lane of v against expected[lane].
  void check_lanes(const char* what, int index, V v, const T* expected) {
    T actual[kLanes];
    store(actual, v);
    for (int i = 0; i < kLanes; ++i) check(what, index * kLanes + i, actual[i], expected[i]);
  }
  static T value(int i) { return kValues[i % kCount]; }

  template <class Vector, class Scalar>
  void check_unary(const char* what, Vector vector, Scalar scalar) {
    for (int start = 0; start < kCount; ++start) {
      T in[kLanes], want[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        in[i] = value(start + i);
        want[i] = scalar(in[i]);
      }
      check_lanes(what, start, vector(load(in)), want);
    }
  }
  template <class Vector, class Scalar>
  void check_binary(const char* what, Vector vector, Scalar scalar) {
    for (int start = 0; start < kCount * kCount; start += kLanes) {
      T a[kLanes], b[kLanes], want[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        a[i] = value(start + i);
        b[i] = value((start + i) / kCount);
        want[i] = scalar(a[i], b[i]);
      }
      check_lanes(what, start / kLanes, vector(load(a), load(b)), want);
    }
  }

  void unary() {
    check_unary("negate", [](V a) { return -a; }, [](T a) { return -a; });
    check_unary("abs", [](V a) { return abs(a); }, [](T a) { return a < 0 || same(a, T(-0.0)) ? -a : a; });
    check_unary("sqrt", [](V a) { return sqrt(a); }, [](T a) { return L::root(a); });
    check_unary("round", [](V a) { return round(a); }, [](T a) { return L::nearest(a); });
    check_unary("floor", [](V a) { return floor(a); }, [](T a) { return L::down(a); });
    check_unary("set1", [](V a) { return bits_or(zero<T>(), a); }, [](T a) { return a; });
    check_lanes("zero", 0, zero<T>(), kZeros);
  }

  void binary() {
    check_binary("add", [](V a, V b) { return a + b; }, [](T a, T b) { return a + b; });
    check_binary("subtract", [](V a, V b) { return a - b; }, [](T a, T b) { return a - b; });
    check_binary("multiply", [](V a, V b) { return a * b; }, [](T a, T b) { return a * b; });
    check_binary("divide", [](V a, V b) { return a / b; }, [](T a, T b) { return a / b; });
    check_binary("min", [](V a, V b) { return min(a, b); }, [](T a, T b) { return a < b ? a : b; });
    check_binary("max", [](V a, V b) { return max(a, b); }, [](T a, T b) { return a > b ? a : b; });
    check_binary(
        "copysign", [](V a, V b) { return copysign(a, b); },
        [](T a, T b) { return sizeof(T) == 4 ? T(__builtin_copysignf(a, b)) : T(__builtin_copysign(a, b)); });
  }

  void ternary() {
    for (int start = 0; start < kCount * kCount; ++start) {
      T a[kLanes], b[kLanes], c[kLanes], sum[kLanes], negated[kLanes], difference[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        a[i] = value(start + i);
        b[i] = value(start / kCount + 2 * i);
        c[i] = i % 2 == 0 ? value(start / 2 + i) : -(a[i] * b[i]);  // the second kind leaves the rounding error
        sum[i] = kFused ? L::fused(a[i], b[i], c[i]) : a[i] * b[i] + c[i];
        negated[i] = kFused ? L::fused(-a[i], b[i], c[i]) : c[i] - a[i] * b[i];
        difference[i] = kFused ? L::fused(a[i], b[i], -c[i]) : a[i] * b[i] - c[i];
      }
      check_lanes("fma", start, fma(load(a), load(b), load(c)), sum);
      check_lanes("fnma", start, fnma(load(a), load(b), load(c)), negated);
      check_lanes("fms", start, fms(load(a), load(b), load(c)), difference);
    }
  }

  void masks() {
    const auto pick = [](Mask<T> m) { return select(m, set1<T>(T(1)), set1<T>(T(2))); };
    const auto number = [](bool b) { return b ? T(1) : T(2); };
    check_binary("lt", [&](V a, V b) { return pick(lt(a, b)); }, [&](T a, T b) { return number(a < b); });
    check_binary("le", [&](V a, V b) { return pick(le(a, b)); }, [&](T a, T b) { return number(a <= b); });
    check_binary("gt", [&](V a, V b) { return pick(gt(a, b)); }, [&](T a, T b) { return number(a > b); });
    check_binary("ge", [&](V a, V b) { return pick(ge(a, b)); }, [&](T a, T b) { return number(a >= b); });
    check_binary("eq", [&](V a, V b) { return pick(eq(a, b)); }, [&](T a, T b) { return number(a == b); });
    check_unary("is_nan", [&](V a) { return pick(is_nan(a)); }, [&](T a) { return number(a != a); });
    const V half = set1<T>(T(0.5));
    check_binary(
        "mask and", [&](V a, V b) { return pick(lt(a, half) & lt(b, half)); },
        [&](T a, T b) { return number(a < T(0.5) && b < T(0.5)); });
    check_binary(
        "mask or", [&](V a, V b) { return pick(lt(a, half) | lt(b, half)); },
        [&](T a, T b) { return number(a < T(0.5) || b < T(0.5)); });
    check_unary("mask not", [&](V a) { return pick(!lt(a, half)); }, [&](T a) { return number(!(a < T(0.5))); });
    for (int lane = 0; lane <= kLanes; ++lane) {
      T one[kLanes] = {};
      T rest[kLanes];
      for (int i = 0; i < kLanes; ++i) rest[i] = T(1);
      if (lane < kLanes) {
        one[lane] = T(1);
        rest[lane] = T(0);
      }
      check("any", lane, number(any(gt(load(one), half))), number(lane < kLanes));
      check("all", lane, number(all(gt(load(rest), half))), number(lane == kLanes));
    }
  }

  void partial_moves() {
    for (int count = 0; count <= kLanes; ++count) {
      T* source = reinterpret_cast<T*>(limit_) - count;
      T want[kLanes] = {};
      for (int i = 0; i < count; ++i) want[i] = source[i] = T(i + 1);
      check_lanes("load_partial", count, load_partial(source, count), want);
      // At the limit a store that is too long faults; before it, the canary tells.
      V stored = load_partial(source, count) * set1<T>(T(2));
      store_partial(source, stored, count);
      for (int i = 0; i < count; ++i) check("store_partial", count, source[i], T(2 * (i + 1)));
      T canary[kLanes + 2];
      for (T& c : canary) c = T(-7);
      store_partial(canary + 1, stored, count);
      for (int i = 0; i < kLanes + 2; ++i) {
        check("store_partial canary", count, canary[i], i >= 1 && i <= count ? T(2 * i) : T(-7));
      }
    }
  }

  void exponents() {
    for (int n = L::kMinExponent - 4; n <= L::kMaxExponent + 2; ++n) {
      T want[kLanes];
      for (T& w : want) w = L::scaled(T(1), n);
      check_lanes("pow2", n, pow2(set1<T>(T(n))), want);
      for (T& w : want) w = L::scaled(T(1.7), n);
      check_lanes("scale_pow2", n, scale_pow2(set1<T>(T(1.7)), set1<T>(T(n))), want);
      if (n < L::kMinNormalExponent || n > L::kMaxExponent) continue;
      for (T& w : want) w = L::scaled(T(1), n);
      check_lanes("pow2_normal", n, pow2_normal(set1<T>(T(n))), want);
      const V shifted = set1<T>(T(n)) + set1<T>(FloatFormat<T>::kRoundMagic);
      check_lanes("add_to_exponent", n, add_to_exponent(set1<T>(T(1)), shifted), want);
      for (int sixteenths = 16; sixteenths < 32; ++sixteenths) {
        const T v = L::scaled(T(sixteenths) / T(16), n);
        V e;
        const V m = split_exponent(set1<T>(v), e);
        T mantissa[kLanes], exponent[kLanes];
        store(mantissa, m);
        store(exponent, e);
        const bool low = sixteenths <= 22;  // 22/16 < sqrt(2) < 23/16
        for (int i = 0; i < kLanes; ++i) {
          check("split_exponent e", n, exponent[i], T(low ? n : n + 1));
          check("split_exponent m", n, mantissa[i], T(sixteenths) / T(low ? 16 : 32));
        }
      }
    }
  }

  // lane i with lane i + half, until one is left.
  template <class Fold>
  static T folded(const T* in, Fold fold) {
    T lanes[kLanes];
    for (int i = 0; i < kLanes; ++i) lanes[i] = in[i];
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) lanes[i] = fold(lanes[i], lanes[i + half]);
    }
    return lanes[0];
  }
  void reductions() {
    unsigned state = 12345;
    for (int round_number = 0; round_number < 100; ++round_number) {
      T in[kLanes];
      for (T& x : in) {
        state = state * 1664525u + 1013904223u;
        x = T(int(state >> 8)) / T(8388608) - T(1);  // in [-1, 1): sums round, so the order shows
      }
      const V v = load(in);
      check("reduce_add", round_number, reduce_add(v), folded(in, [](T a, T b) { return a + b; }));
      check("reduce_max", round_number, reduce_max(v), folded(in, [](T a, T b) { return a > b ? a : b; }));
      check("reduce_min", round_number, reduce_min(v), folded(in, [](T a, T b) { return a < b ? a : b; }));
    }
  }

  void accumulation() {
    // A sum of integers beyond the 24 bits of a float, exact in double.
    DoubleAcc<T> sum, products;
    double want_sum = 0, want_products = 0;
    for (int k = 0; k < 20; ++k) {
      T a[kLanes], b[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        a[i] = T(16777215 - 3 * i - k);
        b[i] = T(4095 + 2 * i);
        want_sum += double(a[i]);
        want_products += double(a[i]) * double(b[i]);
      }
      sum.add(load(a));
      products.add_product(load(a), load(b));
    }
    check_double("DoubleAcc::add", sum.total(), want_sum);
    check_double("DoubleAcc::add_product", products.total(), want_products);
  }
  void check_double(const char* what, double actual, double expected) {
    ++report_.checks;
    if (actual == expected) return;
    if (report_.failures < test::SimdReport::kKept) {
      report_.first[report_.failures] = {what, L::kName, 0, actual, expected};
    }
    ++report_.failures;
  }

  void bytes() {
    uint8_t all_bytes[256 + 64];
    for (int i = 0; i < 256 + 64; ++i) all_bytes[i] = uint8_t(i);
    for (int start = 0; start < 256; ++start) {
      T want[kLanes];
      for (int i = 0; i < kLanes; ++i) want[i] = T(uint8_t(start + i));
      check_lanes("load_u8", start, load_u8<T>(all_bytes + start), want);
    }
    for (int count = 0; count <= kLanes; ++count) {
      uint8_t* source = limit_ - count;
      T want[kLanes] = {};
      for (int i = 0; i < count; ++i) want[i] = source[i] = uint8_t(250 - i);
      check_lanes("load_u8_partial", count, load_u8_partial<T>(source, count), want);
    }
  }

  template <class S>
  void check_convert(const char* what, const char* what_partial) {
    S in[kLanes];
    T want[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      in[i] = S(0.1) * S(i + 1);
      want[i] = T(in[i]);
    }
    check_lanes(what, 0, load_convert<T>(in), want);
    for (int count = 0; count <= kLanes; ++count) {
      S* source = reinterpret_cast<S*>(limit_) - count;
      for (int i = 0; i < count; ++i) source[i] = in[i];
      T part[kLanes] = {};
      for (int i = 0; i < count; ++i) part[i] = want[i];
      check_lanes(what_partial, count, load_convert_partial<T>(source, count), part);
    }
  }
  void conversions() {
    check_convert<float>("load_convert from float32", "load_convert_partial from float32");
    check_convert<double>("load_convert from float64", "load_convert_partial from float64");
    if constexpr (sizeof(T) == 4) {
      T in[kLanes];
      for (int i = 0; i < kLanes; ++i) in[i] = T(0.1) * T(i + 1);
      check_lanes("narrow of widen", 0, narrow(widen_low(load(in)), widen_high(load(in))), in);
      check_double("widen_low", reduce_max(widen_low(load(in))), double(in[kLanes / 2 - 1]));
      check_double("widen_high", reduce_min(widen_high(load(in))), double(in[kLanes / 2]));
    }
  }

  static constexpr T kZeros[kLanes] = {};
  test::SimdReport& report_;
  unsigned char* limit_;
};

static test::SimdReport check_operations(unsigned char* limit) {
  test::SimdReport report;
  OperationChecks<float>(report, limit).run();
  OperationChecks<double>(report, limit).run();
  return report;
}

}  // namespace KRYLOV_SET
}  // namespace krylov
