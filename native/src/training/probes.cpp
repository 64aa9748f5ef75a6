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
  enum class Kind { kRead, kWrite, kStream };
  std::span<double> words;  // of whole cache lines
  Kind kind = Kind::kWrite;
  std::atomic<double> sum{0};

  static void body(void* context, int thread, int threads) noexcept {
    Sweep& sweep = *static_cast<Sweep*>(context);
    const auto lines = static_cast<std::int64_t>(sweep.words.size()) / kPanel<double>;
    const std::int64_t first = lines * thread / threads * kPanel<double>;
    const std::int64_t count = lines * (thread + 1) / threads * kPanel<double> - first;
    double* const words = sweep.words.data() + first;
    switch (sweep.kind) {
      case Kind::kWrite: std::memset(words, thread + 1, static_cast<std::size_t>(count) * sizeof(double)); break;
      case Kind::kStream: kernels<double>().fill_probe(thread + 1, words, count); break;
      // So that the reads are not left out.
      case Kind::kRead: sweep.sum.store(kernels<double>().sum_squares(words, count), std::memory_order_relaxed); break;
    }
  }

  double gigabytes_per_second(Kind what, int threads) {
    kind = what;
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
  AlignedBuffer<double> buffer(static_cast<std::size_t>(round_up(megabytes * 1'000'000 / 8, kPanel<double>)));
  Sweep sweep;
  sweep.words = buffer.span();
  Bandwidth best;
  sweep.gigabytes_per_second(Sweep::Kind::kWrite, wanted);  // pages are mapped by the first touch
  for (int pass = 0; pass < kPasses; ++pass) {
    best.write = std::max(best.write, sweep.gigabytes_per_second(Sweep::Kind::kWrite, wanted));
    best.write = std::max(best.write, sweep.gigabytes_per_second(Sweep::Kind::kStream, wanted));
    best.read = std::max(best.read, sweep.gigabytes_per_second(Sweep::Kind::kRead, wanted));
  }
  return best;
}

}  // namespace krylov
