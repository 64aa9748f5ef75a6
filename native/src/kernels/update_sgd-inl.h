// Gradient descent with momentum, vector body. Equations: optimizers/sgd.cpp.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/simd-inl.h"
#include "kernels/for_vectors-inl.h"

namespace krylov {
namespace KRYLOV_SET {

template <class T>
void update_sgd(const SgdScalars<T>& s, T* w, const T* g, T* momentum, std::int64_t n) noexcept {
  const Vec<T> rate = set1<T>(s.learning_rate), decay = set1<T>(s.decay);
  const Vec<T> mu = set1<T>(s.momentum), factor = set1<T>(s.gradient_factor);
  if (momentum == nullptr) {
    for_vectors<T>(n, [&](auto at) { at.put(w, fnma(rate, fma(decay, at.get(w), at.get(g)), at.get(w))); });
    return;
  }
  if (s.nesterov) {
    const Vec<T> ahead = set1<T>(s.nesterov_momentum);
    for_vectors<T>(n, [&](auto at) {
      const Vec<T> x = at.get(w), d = fma(decay, x, at.get(g));
      const Vec<T> b = fma(mu, at.get(momentum), factor * d);
      at.put(momentum, b);
      at.put(w, fnma(rate, fma(ahead, b, d), x));
    });
    return;
  }
  for_vectors<T>(n, [&](auto at) {
    const Vec<T> x = at.get(w), d = fma(decay, x, at.get(g));
    const Vec<T> b = fma(mu, at.get(momentum), factor * d);
    at.put(momentum, b);
    at.put(w, fnma(rate, b, x));
  });
}

}  // namespace KRYLOV_SET
}  // namespace krylov
