// The loop that every elementwise rule shares: whole vectors, then one masked
// tail with the same formula.
#pragma once

#include "kernels/simd-inl.h"

namespace krylov {
namespace KRYLOV_SET {

template <class T>
struct FullVector {
  std::int64_t i;
  KRYLOV_SIMD Vec<T> get(const T* x) const { return load(x + i); }
  KRYLOV_SIMD void put(T* x, Vec<T> v) const { store(x + i, v); }
};

template <class T>
struct TailVector {
  std::int64_t i;
  int count;
  KRYLOV_SIMD Vec<T> get(const T* x) const { return load_partial(x + i, count); }
  KRYLOV_SIMD void put(T* x, Vec<T> v) const { store_partial(x + i, v, count); }
};

template <class T, class Body>
KRYLOV_SIMD_FN void for_vectors(std::int64_t n, Body body) {
  constexpr std::int64_t lanes = Vec<T>::kLanes;
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) body(FullVector<T>{i});
  if (i < n) body(TailVector<T>{i, int(n - i)});
}

}  // namespace KRYLOV_SET
}  // namespace krylov
