#include "krylov/probes.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <vector>

#include "kernels/kernel_table.h"
#include "krylov/buffer.h"
#include "krylov/threads.h"

namespace krylov {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) noexcept {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

int wanted_threads(int asked) noexcept { return asked > 0 ? std::min(asked, Team::kMaxThreads) : available_processors(); }

// One thread's share of a measurement, on a cache line of its own.
struct alignas(kCacheLine) Share {
  double amount = 0, seconds = 0;
};

// Threads work for the same time, each on its own clock; rates add up.
template <Scalar T>
struct Peak {
  double seconds;
  std::vector<Share> shares;

  static void body(void* context, int thread, int) noexcept {
    constexpr std::int64_t kIterations = 20'000;  // some tens of microseconds
    Peak& peak = *static_cast<Peak*>(context);
    Share& share = peak.shares[static_cast<std::size_t>(thread)];
    const KernelTable<T>& k = kernels<T>();
    alignas(kCacheLine) T sink[64] = {};
    // A tenth of the time first, until the clock frequency has settled.
    const Clock::time_point warm = Clock::now();
    while (seconds_since(warm) < 0.1 * peak.seconds) k.fma_probe(kIterations, sink);
    const Clock::time_point start = Clock::now();
    while (share.seconds < peak.seconds) {
      share.amount += k.fma_probe(kIterations, sink);
      share.seconds = seconds_since(start);
    }
  }
};

template <Scalar T>
double peak_of(int threads, double seconds) {
  Peak<T> peak{seconds, std::vector<Share>(static_cast<std::size_t>(threads))};
  ComputeThread::instance().run_and_wait(threads, &Peak<T>::body, &peak);
  double rate = 0;
  for (const Share& share : peak.shares) {
    if (share.seconds > 0) rate += share.amount / share.seconds;
  }
  return rate * 1e-9;
}

// The whole buffer once, a contiguous part a thread; the pass takes as long as
// its slowest thread.
struct Sweep {
  std::span<std::uint64_t> words;
  bool writes = false;
  std::atomic<std::uint64_t> sum{0};

  static void body(void* context, int thread, int threads) noexcept {
    Sweep& sweep = *static_cast<Sweep*>(context);
    const std::size_t size = sweep.words.size();
    const auto bound = [&](int t) { return size / static_cast<std::size_t>(threads) * static_cast<std::size_t>(t); };
    const std::size_t first = bound(thread);
    const std::size_t last = thread + 1 == threads ? size : bound(thread + 1);
    if (sweep.writes) {
      std::memset(sweep.words.data() + first, thread + 1, (last - first) * sizeof(std::uint64_t));
      return;
    }
    std::uint64_t sum = 0;
    for (std::size_t i = first; i < last; ++i) sum += sweep.words[i];
    sweep.sum.fetch_add(sum, std::memory_order_relaxed);  // so that the reads are not left out
  }

  double gigabytes_per_second(int threads) {
    const Clock::time_point start = Clock::now();
    ComputeThread::instance().run_and_wait(threads, &Sweep::body, this);
    return static_cast<double>(words.size_bytes()) / seconds_since(start) * 1e-9;
  }
};

}  // namespace

double measure_peak(int threads, DType dtype, double milliseconds) {
  const int wanted = wanted_threads(threads);
  const double seconds = milliseconds * 1e-3;
  return dtype == DType::kFloat64 ? peak_of<double>(wanted, seconds) : peak_of<float>(wanted, seconds);
}

Bandwidth measure_bandwidth(int threads, std::int64_t megabytes) {
  constexpr int kPasses = 5;
  const int wanted = wanted_threads(threads);
  AlignedBuffer<std::uint64_t> buffer(static_cast<std::size_t>(megabytes) * 1'000'000 / sizeof(std::uint64_t));
  Sweep sweep;
  sweep.words = buffer.span();
  Bandwidth best;
  sweep.writes = true;
  sweep.gigabytes_per_second(wanted);  // pages are mapped by the first touch
  for (int pass = 0; pass < kPasses; ++pass) {
    sweep.writes = true;
    best.write = std::max(best.write, sweep.gigabytes_per_second(wanted));
    sweep.writes = false;
    best.read = std::max(best.read, sweep.gigabytes_per_second(wanted));
  }
  return best;
}

}  // namespace krylov
