// A sample's weight gradient: the outer product of its deltas and inputs, in
// public order. Nothing is added up, so writing is all it costs.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/simd-inl.h"
#include "kernels/stream-inl.h"

namespace krylov {
namespace KRYLOV_SET {

template <class T>
KRYLOV_SIMD_FN void scaled_row(Vec<T> d, const T* x, std::int64_t count, T* out) {
  constexpr std::int64_t lanes = Vec<T>::kLanes;
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) store(out + i, d * load(x + i));
  if (i < count) store_partial(out + i, d * load_partial(x + i, int(count - i)), int(count - i));
}

template <class T>
void outer_product(const T* delta, std::int64_t outputs, const T* x, std::int64_t inputs, T* out) noexcept {
  for (std::int64_t o = 0; o < outputs; ++o) scaled_row(set1<T>(delta[o]), x, inputs, out + o * inputs);
}

// Whole cache lines are streamed, so that memory is written and never read; lines that two rows share go through the
// cache. The same bits as outer_product.
template <class T>
void stream_outer_product(const T* delta, std::int64_t outputs, const T* x, std::int64_t inputs, T* out) noexcept {
  constexpr std::int64_t lanes = Vec<T>::kLanes, line = kPanel<T>;
  for (std::int64_t o = 0; o < outputs; ++o, out += inputs) {
    const Vec<T> d = set1<T>(delta[o]);
    const auto past = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(out) % kCacheLine / sizeof(T));
    std::int64_t i = (line - past) % line;
    if (i > inputs) i = inputs;
    scaled_row(d, x, i, out);
    for (; i + line <= inputs; i += line) {
#pragma GCC unroll 8
      for (std::int64_t k = 0; k < line; k += lanes) stream(out + i + k, d * load(x + i + k));
    }
    scaled_row(d, x + i, inputs - i, out + i);
  }
  finish_stream();
}

}  // namespace KRYLOV_SET
}  // namespace krylov
