#include <algorithm>
#include <chrono>

#include "krylov/threads.h"
#include "parallel/crowding.h"

#if defined(__linux__)
#include <pthread.h>
#include <time.h>
#endif
#if defined(_OPENMP)
#include <omp.h>
#else
#include <thread>
#include <vector>
#endif

namespace krylov {
namespace {

std::int64_t now_nanoseconds() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Bodies closer together than this belong to one sample of processor time.
constexpr std::int64_t kSampleGap = 50'000;

// Processor time of one thread, readable from others. Where a system does not
// have it a team always uses all its threads.
#if defined(__linux__)
constexpr bool kHasProcessorTime = true;
struct ProcessorClock {
  clockid_t id = CLOCK_THREAD_CPUTIME_ID;
  void attach() noexcept { pthread_getcpuclockid(pthread_self(), &id); }
  std::int64_t nanoseconds() const noexcept {
    timespec time{};
    clock_gettime(id, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  }
};
#else
constexpr bool kHasProcessorTime = false;
struct ProcessorClock {
  void attach() noexcept {}
  std::int64_t nanoseconds() const noexcept { return 0; }
};
#endif

}  // namespace

// What the leader and one helper say to each other, a cache line each way.
struct Team::Helper {
  Signal called;    // raised by the leader
  Signal returned;  // raised by the helper: 1 when it is there, then a round each body
  // Written before `called`: the threads of the body; 0 ends the service.
  int threads = 0;
  ProcessorClock clock;
};

Team::Team() noexcept = default;
Team::~Team() = default;

int Team::run(int threads, TeamFunction body, void* context) noexcept {
  wanted_ = std::max(wanted_, std::min(threads, kMaxThreads));
  const int most = std::clamp(threads, 1, size_);
  if (most == 1) {
    body(context, 0, 1);
    return 1;
  }
  if (!kHasProcessorTime || most > available_processors()) return spread(most, body, context);

  const std::int64_t start = now_nanoseconds();
  const int given = crowding_->allow(most, start);
  if (given != sample_threads_ || start - last_end_ > kSampleGap) begin_sample(given, start);
  spread(given, body, context);
  last_end_ = now_nanoseconds();
  const std::int64_t wall = last_end_ - sample_wall_;
  if (wall >= Crowding::kSample) {
    const std::int64_t busy = busy_nanoseconds(given) - sample_busy_;
    crowding_->observe(given, last_end_, static_cast<double>(busy) / static_cast<double>(wall));
    begin_sample(given, last_end_);
  }
  return given;
}

int Team::spread(int threads, TeamFunction body, void* context) noexcept {
  // Rounds of the barrier differ between threads once a body has left some out.
  if (threads != last_threads_) barrier_.reset();
  last_threads_ = threads;
  body_ = body;
  context_ = context;
  for (int t = 1; t < threads; ++t) {
    Helper& helper = helpers_[static_cast<std::size_t>(t)];
    helper.threads = threads;
    helper.called.raise(helper.called.value() + 1);
  }
  body(context, 0, threads);
  const int spins = spin_limit(threads);
  for (int t = 1; t < threads; ++t) {
    Helper& helper = helpers_[static_cast<std::size_t>(t)];
    helper.returned.wait(helper.called.value(), spins);
  }
  return threads;
}

std::int64_t Team::busy_nanoseconds(int threads) const noexcept {
  std::int64_t busy = ProcessorClock{}.nanoseconds();
  for (int t = 1; t < threads; ++t) busy += helpers_[static_cast<std::size_t>(t)].clock.nanoseconds();
  return busy;
}

void Team::begin_sample(int threads, std::int64_t now) noexcept {
  sample_threads_ = threads;
  sample_wall_ = now;
  sample_busy_ = busy_nanoseconds(threads);
}

void Team::help(int thread) noexcept {
  Helper& helper = helpers_[static_cast<std::size_t>(thread)];
  helper.clock.attach();
  helper.returned.raise(1);
  for (std::uint32_t round = 2;; ++round) {
    helper.called.wait(round, spin_limit(2));
    if (helper.threads == 0) return;
    body_(context_, thread, helper.threads);
    helper.returned.raise(round);
  }
}

void Team::lead_region(int given, LeadFunction lead, void* context) noexcept {
  for (int t = 1; t < given; ++t) {
    Helper& helper = helpers_[static_cast<std::size_t>(t)];
    helper.returned.wait(1, 0);
    helper.called.raise(1);
  }
  size_ = given;
  lead(context, *this);
  size_ = 1;
  for (int t = 1; t < given; ++t) {
    Helper& helper = helpers_[static_cast<std::size_t>(t)];
    helper.threads = 0;
    helper.called.raise(helper.called.value() + 1);
  }
}

void Team::serve(int threads, LeadFunction lead, void* context) {
  asked_ = std::max(asked_, std::min(threads, kMaxThreads));
  const auto asked = static_cast<std::size_t>(asked_);
  helpers_ = std::make_unique<Helper[]>(asked);
  barrier_ = Barrier(asked_);
  crowding_ = std::make_unique<Crowding>();
  last_threads_ = 1;
  sample_threads_ = 0;
#if defined(_OPENMP)
#pragma omp parallel num_threads(asked_)
  {
    const int thread = omp_get_thread_num();
    if (thread == 0) {
      lead_region(omp_get_num_threads(), lead, context);
    } else {
      help(thread);
    }
  }
#else
  std::vector<std::thread> helpers;
  helpers.reserve(asked);
  for (int t = 1; t < asked_; ++t) helpers.emplace_back([this, t] { help(t); });
  lead_region(asked_, lead, context);
  for (std::thread& helper : helpers) helper.join();
#endif
}

}  // namespace krylov
