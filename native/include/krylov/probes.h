// What the machine can do at best, measured where it is compared with: in the
// same process, on the same threads, with the same kernels.
#pragma once

#include <cstdint>

#include "krylov/dtype.h"

namespace krylov {

// GFLOP/s of a loop of fused multiply-adds on registers alone, all threads
// together (0: as many as there are processors), for about so long.
double measure_peak(int threads, DType dtype, double milliseconds);

// GB/s (1e9 bytes) over a buffer that the threads share out among them; best
// of several passes, of writes through the caches and past them.
struct Bandwidth {
  double read = 0, write = 0;
};
Bandwidth measure_bandwidth(int threads, std::int64_t megabytes);

}  // namespace krylov
