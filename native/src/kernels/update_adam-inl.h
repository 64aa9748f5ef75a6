// Adam and AdamW, vector body. Equations: optimizers/adam.cpp.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/simd-inl.h"
#include "kernels/for_vectors-inl.h"

namespace krylov {
namespace KRYLOV_SET {

template <class T>
void update_adam(const AdamScalars<T>& s, T* w, const T* g, T* m, T* v, T* max_v, std::int64_t n) noexcept {
  const Vec<T> beta1 = set1<T>(s.beta1), beta2 = set1<T>(s.beta2);
  const Vec<T> rest1 = set1<T>(s.rest1), rest2 = set1<T>(s.rest2);
  const Vec<T> epsilon = set1<T>(s.epsilon), step = set1<T>(s.step_size), root = set1<T>(s.root_correction);
  const Vec<T> coupled = set1<T>(s.coupled_decay), shrink = set1<T>(s.decoupled_factor);
  for_vectors<T>(n, [&](auto at) {
    const Vec<T> x = at.get(w), d = fma(coupled, x, at.get(g));
    const Vec<T> first = fma(beta1, at.get(m), rest1 * d);
    const Vec<T> second = fma(beta2, at.get(v), rest2 * (d * d));
    at.put(m, first);
    at.put(v, second);
    Vec<T> largest = second;
    if (max_v != nullptr) {
      largest = max(second, at.get(max_v));
      at.put(max_v, largest);
    }
    // A weight that never had a gradient stays where it is, also with epsilon 0.
    const Vec<T> ratio = first / fma(sqrt(largest), root, epsilon);
    at.put(w, fnma(step, select(eq(first, zero<T>()), zero<T>(), ratio), shrink * x));
  });
}

}  // namespace KRYLOV_SET
}  // namespace krylov
