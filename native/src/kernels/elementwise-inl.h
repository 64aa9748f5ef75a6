// Elementwise kernels: activations and their derivatives, products, sums.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/math-inl.h"
#include "kernels/simd-inl.h"
#include "kernels/surrogate-inl.h"

namespace krylov {
namespace KRYLOV_SET {

// Klambauer et al. 2017: the fixed point of mean 0, variance 1.
inline constexpr double kSeluScale = 1.0507009873554805;
inline constexpr double kSeluAlpha = 1.6732632423543772;
// Hendrycks & Gimpel 2016, tanh approximation of gelu.
inline constexpr double kGeluRoot = 0.7978845608028654;  // sqrt(2 / pi)
inline constexpr double kGeluCubic = 0.044715;
inline constexpr double kInverseSqrt2 = 0.7071067811865476;

template <class T>
KRYLOV_SIMD_FN Vec<T> relu(Vec<T> z) { return max(zero<T>(), z); }

template <class T>
struct Activated { Vec<T> value, slope; };

// a = act(z); the slope is filled only for activations that need it kept, and not for those with a surrogate.
template <class T>
KRYLOV_SIMD_FN Activated<T> activated(ActivationSpec act, Vec<T> z) {
  const Vec<T> one = set1<T>(T(1)), half = set1<T>(T(0.5));
  const T parameter = static_cast<T>(act.parameter);
  switch (act.kind) {
    case Activation::kIdentity: return {z, one};
    case Activation::kRelu: return {relu<T>(z), one};
    case Activation::kLeakyRelu: return {select(gt(z, zero<T>()), z, z * set1<T>(parameter)), one};
    case Activation::kElu: return {select(gt(z, zero<T>()), z, expm1(min(zero<T>(), z)) * set1<T>(parameter)), one};
    case Activation::kSelu:
      return {select(gt(z, zero<T>()), z * set1<T>(T(kSeluScale)),
                     expm1(min(zero<T>(), z)) * set1<T>(T(kSeluScale * kSeluAlpha))), one};
    case Activation::kGelu: {
      const Vec<T> cdf = fma(erf(z * set1<T>(T(kInverseSqrt2))), half, half);
      return {z * cdf, fma(z, normal_pdf(z), cdf)};
    }
    case Activation::kGeluTanh: {
      const Vec<T> square = z * z;
      const Vec<T> u = z * set1<T>(T(kGeluRoot)) * fma(square, set1<T>(T(kGeluCubic)), one);
      const Vec<T> t = tanh(u);
      const Vec<T> cdf = fma(t, half, half);
      const Vec<T> du = set1<T>(T(kGeluRoot)) * fma(square, set1<T>(T(3 * kGeluCubic)), one);
      return {z * cdf, fma(z * half * du, fnma(t, t, one), cdf)};
    }
    case Activation::kSilu: {
      const Vec<T> s = sigmoid(z);
      return {z * s, s * fma(z, one - s, one)};
    }
    case Activation::kTanh: return {tanh(z), one};
    case Activation::kSigmoid: return {sigmoid(z), one};
    case Activation::kSoftplus: return {softplus(z * set1<T>(parameter)) * set1<T>(T(1) / parameter), one};
    case Activation::kSoftsign: return {z / (one + abs(z)), one};
    // z itself is 0 or a NaN.
    case Activation::kSign: return {select(gt(z, zero<T>()), one, select(lt(z, zero<T>()), -one, z)), one};
    case Activation::kStep: return {select(gt(z, zero<T>()), one, select(le(z, zero<T>()), zero<T>(), z)), one};
  }
  return {z, one};
}

// act'(z) from what the forward pass kept: the output, or the slope itself.
template <class T>
KRYLOV_SIMD_FN Vec<T> slope_of(ActivationSpec act, Vec<T> saved) {
  const Vec<T> one = set1<T>(T(1));
  const T parameter = static_cast<T>(act.parameter);
  switch (act.kind) {
    case Activation::kIdentity: return one;
    case Activation::kRelu: return select(gt(saved, zero<T>()), one, zero<T>());
    case Activation::kLeakyRelu: return select(gt(saved, zero<T>()), one, set1<T>(parameter));
    case Activation::kElu: return select(gt(saved, zero<T>()), one, saved + set1<T>(parameter));
    case Activation::kSelu:
      return select(gt(saved, zero<T>()), set1<T>(T(kSeluScale)), saved + set1<T>(T(kSeluScale * kSeluAlpha)));
    case Activation::kTanh: return fnma(saved, saved, one);
    case Activation::kSigmoid: return saved * (one - saved);
    case Activation::kSoftplus: return -expm1(saved * set1<T>(-parameter));
    case Activation::kSoftsign: {
      const Vec<T> d = one - abs(saved);
      return d * d;
    }
    case Activation::kGelu: case Activation::kGeluTanh: case Activation::kSilu:
    case Activation::kSign: case Activation::kStep: return saved;
  }
  return one;
}

// Rows of whole vectors: `columns` is a multiple of the lanes, or the rows are
// padded to it. One switch a block, not one a vector.
template <class T, Activation Kind>
void activate_kind(double parameter, const T* z, std::int64_t ldz, T* a, std::int64_t lda, T* slope, std::int64_t lds,
                   std::int64_t rows, std::int64_t columns) noexcept {
  const ActivationSpec act{Kind, parameter};
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; c += Vec<T>::kLanes) {
      const Activated<T> v = activated<T>(act, load(z + r * ldz + c));
      store(a + r * lda + c, v.value);
      if (needs_slope(Kind) && !has_surrogate(Kind) && slope != nullptr) store(slope + r * lds + c, v.slope);
    }
  }
}

template <class T, Activation Kind>
void multiply_slope_kind(double parameter, const T* saved, std::int64_t lds, T* delta, std::int64_t ldd,
                         std::int64_t rows, std::int64_t columns) noexcept {
  const ActivationSpec act{Kind, parameter};
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; c += Vec<T>::kLanes) {
      store(delta + r * ldd + c, load(delta + r * ldd + c) * slope_of<T>(act, load(saved + r * lds + c)));
    }
  }
}

template <class T>
struct ActivationTable {
  using Activate = void (*)(double, const T*, std::int64_t, T*, std::int64_t, T*, std::int64_t, std::int64_t,
                            std::int64_t) noexcept;
  using Multiply = void (*)(double, const T*, std::int64_t, T*, std::int64_t, std::int64_t, std::int64_t) noexcept;
  Activate activate[kActivationCount];
  Multiply multiply[kActivationCount];

  template <int Kind>
  constexpr void fill() {
    activate[Kind] = &activate_kind<T, static_cast<Activation>(Kind)>;
    multiply[Kind] = &multiply_slope_kind<T, static_cast<Activation>(Kind)>;
    if constexpr (Kind > 0) fill<Kind - 1>();
  }
  constexpr ActivationTable() : activate{}, multiply{} { fill<kActivationCount - 1>(); }
};

template <class T>
inline constexpr ActivationTable<T> kActivations{};

template <class T>
void activate_block(ActivationSpec act, const T* z, std::int64_t ldz, T* a, std::int64_t lda, T* slope,
                    std::int64_t lds, std::int64_t rows, std::int64_t columns) noexcept {
  // First, since a may be z.
  if (has_surrogate(act.kind) && slope != nullptr) surrogate_slopes<T>(act, z, ldz, slope, lds, rows, columns);
  kActivations<T>.activate[static_cast<int>(act.kind)](act.parameter, z, ldz, a, lda, slope, lds, rows, columns);
}

template <class T>
void multiply_slope_block(ActivationSpec act, const T* saved, std::int64_t lds, T* delta, std::int64_t ldd,
                          std::int64_t rows, std::int64_t columns) noexcept {
  kActivations<T>.multiply[static_cast<int>(act.kind)](act.parameter, saved, lds, delta, ldd, rows, columns);
}

template <class T>
void multiply_rows(const T* x, std::int64_t ldx, const T* y, std::int64_t ldy, T* out, std::int64_t ldo,
                   bool accumulate, std::int64_t rows, std::int64_t columns) noexcept {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; c += Vec<T>::kLanes) {
      const Vec<T> product = load(x + r * ldx + c) * load(y + r * ldy + c);
      T* to = out + r * ldo + c;
      store(to, accumulate ? load(to) + product : product);
    }
  }
}

template <class T>
void add_rows(const T* x, std::int64_t ldx, const T* y, std::int64_t ldy, T* out, std::int64_t ldo, std::int64_t rows,
              std::int64_t columns) noexcept {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; c += Vec<T>::kLanes) {
      store(out + r * ldo + c, load(x + r * ldx + c) + load(y + r * ldy + c));
    }
  }
}

}  // namespace KRYLOV_SET
}  // namespace krylov
