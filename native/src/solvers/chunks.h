// Long vectors cut into chunks that threads share. The cut knows the size
// alone, so that sums over chunks do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "krylov/dtype.h"
#include "krylov/threads.h"

namespace krylov {

// Elements of a partial result: it fixes the order of every sum.
inline constexpr std::int64_t kVectorChunk = 8192;
// Below this a pass over a vector takes less time than two threads take to meet.
inline constexpr std::int64_t kWorthSharing = 4 * kVectorChunk;

// body(unit) for [0, units), contiguous shares; by the leader of the team (or of what else runs a TeamFunction).
template <class Leader, class Body>
void each_unit(Leader& team, int threads, std::int64_t units, Body&& body) noexcept {
  struct Work {
    Body& body;
    std::int64_t units;
  } work{body, units};
  const auto run = [](void* context, int thread, int count) noexcept {
    const auto& w = *static_cast<const Work*>(context);
    for (std::int64_t u = w.units * thread / count; u < w.units * (thread + 1) / count; ++u) w.body(u);
  };
  if (threads < 2) {
    run(&work, 0, 1);
  } else {
    team.run(threads, run, &work);
  }
}

// body(first, count) for the chunks of a vector.
template <class Leader, class Body>
void each_chunk(Leader& team, int threads, std::int64_t size, Body&& body) noexcept {
  each_unit(team, size < kWorthSharing ? 1 : threads, ceil_div(size, kVectorChunk), [&](std::int64_t chunk) {
    body(chunk * kVectorChunk, std::min(kVectorChunk, size - chunk * kVectorChunk));
  });
}

}  // namespace krylov
