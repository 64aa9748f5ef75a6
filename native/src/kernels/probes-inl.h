// What the machine does at best, for benchmarks to compare with.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/simd-inl.h"
#include "kernels/stream-inl.h"

namespace krylov {
namespace KRYLOV_SET {

// Twelve independent chains of fused multiply-adds: enough to fill two units of
// latency 5. Returns the flops done; `sink` keeps the compiler honest.
template <class T>
double fma_probe(std::int64_t iterations, T* sink) noexcept {
  constexpr int chains = 12;
  Vec<T> acc[chains];
  for (int i = 0; i < chains; ++i) acc[i] = set1<T>(T(i) * T(0.25));
  const Vec<T> a = set1<T>(sink[0]), b = set1<T>(sink[1]);
  for (std::int64_t k = 0; k < iterations; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) acc[i] = fma(acc[i], a, b);
  }
  Vec<T> sum = acc[0];
  for (int i = 1; i < chains; ++i) sum = sum + acc[i];
  sink[2] = reduce_add(sum);
  return 2.0 * chains * Vec<T>::kLanes * double(iterations);
}

// How fast memory can be written at best. out is aligned to a cache line, n a multiple of one.
template <class T>
void fill_probe(T value, T* out, std::int64_t n) noexcept {
  constexpr std::int64_t lanes = Vec<T>::kLanes, line = kPanel<T>;
  const Vec<T> v = set1<T>(value);
  for (std::int64_t i = 0; i < n; i += line) {
#pragma GCC unroll 8
    for (std::int64_t k = 0; k < line; k += lanes) stream(out + i + k, v);
  }
  finish_stream();
}

}  // namespace KRYLOV_SET
}  // namespace krylov
