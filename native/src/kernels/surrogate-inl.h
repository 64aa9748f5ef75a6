// Surrogates of the derivatives of sign and step, elementwise.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/math-inl.h"
#include "kernels/simd-inl.h"

namespace krylov {
namespace KRYLOV_SET {

inline constexpr double kTwoOverRootPi = 1.1283791670955126;
inline constexpr double kHalfPi = 1.5707963267948966;

// scale times the surrogate of a sign's derivative at z, u = beta z. The shapes are those of surrogate_slope
// (krylov/tangent_kernels.h).
template <class T, Surrogate Kind>
KRYLOV_SIMD_FN Vec<T> surrogate_slope(Vec<T> z, Vec<T> beta, Vec<T> scale) {
  const Vec<T> one = set1<T>(T(1));
  const Vec<T> u = z * beta;
  switch (Kind) {
    case Surrogate::kErf: return exp(-(u * u)) * (set1<T>(T(kTwoOverRootPi)) * beta * scale);
    case Surrogate::kStraightThrough: return scale;
    case Surrogate::kClippedStraightThrough: return select(le(abs(u), one), scale, zero<T>());
    case Surrogate::kTanh: {
      const Vec<T> t = tanh(u);
      return fnma(t, t, one) * (beta * scale);
    }
    case Surrogate::kSigmoid: {
      const Vec<T> s = sigmoid(u);
      return s * (one - s) * (set1<T>(T(2)) * beta * scale);
    }
    case Surrogate::kSuperSpike: {
      const Vec<T> d = one + abs(u);
      return scale / (d * d);
    }
    case Surrogate::kArctan: {
      const Vec<T> v = u * set1<T>(T(kHalfPi));
      return scale / fma(v, v, one);
    }
    case Surrogate::kTriangle: return max(zero<T>(), one - abs(u)) * scale;
  }
  return scale;
}

template <class T, Surrogate Kind>
void surrogate_slopes_kind(double parameter, double factor, const T* z, std::int64_t ldz, T* slope, std::int64_t lds,
                           std::int64_t rows, std::int64_t columns) noexcept {
  const Vec<T> beta = set1<T>(static_cast<T>(parameter)), scale = set1<T>(static_cast<T>(factor));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; c += Vec<T>::kLanes) {
      store(slope + r * lds + c, surrogate_slope<T, Kind>(load(z + r * ldz + c), beta, scale));
    }
  }
}

template <class T>
struct SurrogateTable {
  using Entry = void (*)(double, double, const T*, std::int64_t, T*, std::int64_t, std::int64_t, std::int64_t) noexcept;
  Entry entry[kSurrogateCount];

  template <int Kind>
  constexpr void fill() {
    entry[Kind] = &surrogate_slopes_kind<T, static_cast<Surrogate>(Kind)>;
    if constexpr (Kind > 0) fill<Kind - 1>();
  }
  constexpr SurrogateTable() : entry{} { fill<kSurrogateCount - 1>(); }
};

template <class T>
inline constexpr SurrogateTable<T> kSurrogates{};

// Half of a sign's for a step, which is half as high.
template <class T>
void surrogate_slopes(ActivationSpec act, const T* z, std::int64_t ldz, T* slope, std::int64_t lds, std::int64_t rows,
                      std::int64_t columns) noexcept {
  kSurrogates<T>.entry[static_cast<int>(act.surrogate)](act.parameter, act.kind == Activation::kSign ? 1 : 0.5, z, ldz,
                                                        slope, lds, rows, columns);
}

}  // namespace KRYLOV_SET
}  // namespace krylov
