// Classical momentum, vector body. Equations: optimizers/classical_momentum.cpp.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/simd-inl.h"
#include "kernels/for_vectors-inl.h"

namespace krylov {
namespace KRYLOV_SET {

template <class T>
void update_momentum(const MomentumScalars<T>& s, T* w, const T* g, T* momentum, std::int64_t n) noexcept {
  const Vec<T> rate = set1<T>(s.learning_rate), decay = set1<T>(s.decay);
  const Vec<T> beta = set1<T>(s.momentum), eta = set1<T>(s.gradient_scale);
  for_vectors<T>(n, [&](auto at) {
    const Vec<T> x = at.get(w);
    const Vec<T> p = fma(beta, at.get(momentum), eta * fma(decay, x, at.get(g)));
    at.put(momentum, p);
    at.put(w, fnma(rate, p, x));
  });
}

}  // namespace KRYLOV_SET
}  // namespace krylov
