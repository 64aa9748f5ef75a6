// Second derivatives of the activations, elementwise.
#pragma once

#include "kernels/elementwise-inl.h"
#include "kernels/kernel_table.h"
#include "kernels/math-inl.h"
#include "kernels/simd-inl.h"

namespace krylov {
namespace KRYLOV_SET {

// sigma(z) sigma(-z) and sigma(|z|) - sigma(-|z|) by e^-|z|, so that neither loses digits where the other is near 1.
template <class T>
struct LogisticParts { Vec<T> density, gap; };

template <class T>
KRYLOV_SIMD_FN LogisticParts<T> logistic_parts(Vec<T> z) {
  const Vec<T> one = set1<T>(T(1));
  const Vec<T> e = exp(-abs(z));
  const Vec<T> larger = one / (one + e);  // sigma(|z|)
  return {e * larger * larger, (one - e) * larger};
}

// act''(z) from the output a, or from z itself where needs_slope(act). At a kink the value from the left.
template <class T>
KRYLOV_SIMD_FN Vec<T> second_slope_of(ActivationSpec act, Vec<T> source) {
  const Vec<T> one = set1<T>(T(1)), two = set1<T>(T(2));
  const T parameter = static_cast<T>(act.parameter);
  switch (act.kind) {
    // A NaN stays one.
    case Activation::kIdentity: case Activation::kRelu: case Activation::kLeakyRelu:
    case Activation::kSign: case Activation::kStep:
      return select(is_nan(source), source, zero<T>());
    case Activation::kElu: return select(gt(source, zero<T>()), zero<T>(), source + set1<T>(parameter));
    case Activation::kSelu:
      return select(gt(source, zero<T>()), zero<T>(), source + set1<T>(T(kSeluScale * kSeluAlpha)));
    case Activation::kGelu: {
      // The density is 0 from kPdfMax on; the square must not overflow there.
      const Vec<T> size = min(set1<T>(MathConstants<T>::kPdfMax), abs(source));
      return normal_pdf(source) * fnma(size, size, two);
    }
    case Activation::kGeluTanh: {
      // All even in z. Beyond 16 the hyperbolic secant is 0 in either type.
      const Vec<T> size = min(set1<T>(T(16)), abs(source));
      const Vec<T> square = size * size;
      const Vec<T> u = size * set1<T>(T(kGeluRoot)) * fma(square, set1<T>(T(kGeluCubic)), one);
      const Vec<T> du = set1<T>(T(kGeluRoot)) * fma(square, set1<T>(T(3 * kGeluCubic)), one);
      const Vec<T> half_ddu = set1<T>(T(3 * kGeluCubic * kGeluRoot)) * size;
      // 1 - tanh(u)^2 = 4 sigma(2u) sigma(-2u), tanh(u) = sigma(2u) - sigma(-2u).
      const LogisticParts<T> parts = logistic_parts(u + u);
      const Vec<T> q = set1<T>(T(4)) * parts.density;
      return q * fma(size, fnma(parts.gap * du, du, half_ddu), du);
    }
    case Activation::kSilu: {
      const LogisticParts<T> parts = logistic_parts(source);
      return parts.density * fnma(abs(source), parts.gap, two);
    }
    case Activation::kTanh: return source * set1<T>(T(-2)) * fnma(source, source, one);
    case Activation::kSigmoid: return source * (one - source) * fnma(source, two, one);
    case Activation::kSoftplus: {
      // sigma(-beta z) = e^(-beta a).
      const Vec<T> scaled = source * set1<T>(-parameter);
      return exp(scaled) * -expm1(scaled) * set1<T>(parameter);
    }
    case Activation::kSoftsign: {
      const Vec<T> d = one - abs(source);
      return select(eq(source, zero<T>()), zero<T>(), copysign(two, -source) * d * d * d);
    }
  }
  return zero<T>();
}

template <class T, Activation Kind>
void second_slope_kind(double parameter, const T* source, std::int64_t lds, T* out, std::int64_t ldo,
                       std::int64_t rows, std::int64_t columns) noexcept {
  const ActivationSpec act{Kind, parameter};
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; c += Vec<T>::kLanes) {
      store(out + r * ldo + c, second_slope_of<T>(act, load(source + r * lds + c)));
    }
  }
}

template <class T>
struct SecondSlopeTable {
  using Entry = void (*)(double, const T*, std::int64_t, T*, std::int64_t, std::int64_t, std::int64_t) noexcept;
  Entry entry[kActivationCount];

  template <int Kind>
  constexpr void fill() {
    entry[Kind] = &second_slope_kind<T, static_cast<Activation>(Kind)>;
    if constexpr (Kind > 0) fill<Kind - 1>();
  }
  constexpr SecondSlopeTable() : entry{} { fill<kActivationCount - 1>(); }
};

template <class T>
inline constexpr SecondSlopeTable<T> kSecondSlopes{};

template <Scalar T>
void second_slope_block(ActivationSpec act, const T* source, std::int64_t lds, T* out, std::int64_t ldo,
                        std::int64_t rows, std::int64_t columns) noexcept {
  kSecondSlopes<T>.entry[static_cast<int>(act.kind)](act.parameter, source, lds, out, ldo, rows, columns);
}

}  // namespace KRYLOV_SET
}  // namespace krylov
