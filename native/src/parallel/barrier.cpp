#include <algorithm>
#include <chrono>

#include "krylov/threads.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace krylov {
namespace {

inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  // yield is a no-op on most cores; isb stalls for some ten nanoseconds.
  asm volatile("isb" ::: "memory");
#endif
}

void sleep_while_equal(const std::atomic<std::uint32_t>& word, std::uint32_t seen) noexcept {
#if defined(__linux__)
  static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));
  syscall(SYS_futex, reinterpret_cast<const std::uint32_t*>(&word), FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
#else
  word.wait(seen);
#endif
}

void wake_all(std::atomic<std::uint32_t>& word) noexcept {
#if defined(__linux__)
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
#else
  word.notify_all();
#endif
}

// A pause lasts 10 to 140 cycles depending on the processor, so the polls that
// fill kSpinMicroseconds are measured, once. The fastest of a few tries counts:
// an interruption would make pauses look long and the spin short.
int measure_spin_limit() noexcept {
  using Clock = std::chrono::steady_clock;
  constexpr int kPolls = 200;
  const std::atomic<std::uint32_t> word{0};
  double fastest = 1e9;
  for (int trial = 0; trial < 5; ++trial) {
    const auto start = Clock::now();
    for (int i = 0; i < kPolls; ++i) {
      if (word.load(std::memory_order_acquire) != 0) break;
      relax();
    }
    fastest = std::min(fastest, std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  const double polls = kSpinMicroseconds * kPolls / std::max(fastest, 1e-3);
  return std::clamp(static_cast<int>(polls), 16, 20000);
}

}  // namespace

int spin_limit(int threads) noexcept {
  static const int limit = measure_spin_limit();
  return threads <= available_processors() ? limit : 0;
}

// Raising stores the value, then looks for sleepers; a sleeper announces itself,
// then has the kernel compare the value. Both in the one order of sequentially
// consistent operations, so that one of them sees the other.
void Signal::raise(std::uint32_t value) noexcept {
  value_.store(value, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0) wake_all(value_);
}

void Signal::wait(std::uint32_t target, int spins) const noexcept {
  if (reached(target)) return;
  for (int i = 0; i < spins; ++i) {
    relax();
    if (reached(target)) return;
  }
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  for (;;) {
    const std::uint32_t seen = value_.load(std::memory_order_seq_cst);
    if (static_cast<std::int32_t>(seen - target) >= 0) break;
    sleep_while_equal(value_, seen);
  }
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

Barrier::Barrier(int capacity)
    : arrived_(capacity > 1 ? std::make_unique<Signal[]>(static_cast<std::size_t>(capacity)) : nullptr),
      capacity_(std::max(capacity, 1)) {}

void Barrier::reset() noexcept {
  for (int t = 0; arrived_ != nullptr && t < capacity_; ++t) arrived_[static_cast<std::size_t>(t)].reset();
}

void Barrier::meet(int thread, int threads) noexcept {
  Signal* const arrived = arrived_.get();
  const int spins = spin_limit(threads);
  const std::uint32_t round = arrived[thread].value() + 1;
  if (threads <= kMeshThreads) {
    arrived[thread].raise(round);
    for (int t = 0; t < threads; ++t) {
      if (t != thread) arrived[t].wait(round, spins);
    }
  } else if (thread == 0) {
    for (int t = 1; t < threads; ++t) arrived[t].wait(round, spins);
    arrived[0].raise(round);
  } else {
    arrived[thread].raise(round);
    arrived[0].wait(round, spins);
  }
}

double sum_in_order(std::span<const double> partials) noexcept {
  double sum = 0.0;
  for (const double partial : partials) sum += partial;
  return sum;
}

}  // namespace krylov
