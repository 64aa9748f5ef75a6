// Threads of the core: how many processors there are, one team of threads that
// lives as long as the process, and the one compute thread that leads it.
//
// Work is cut by the batch and the model, never by the number of threads, so
// nothing here may influence a result: a body that is told it runs as thread
// t of n takes the units t, t + n, t + 2n, ... of a list that does not know n.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace krylov {

// Processors this process may really use: the affinity mask and the quota of
// its control group (v1 and v2, the smallest over its ancestors, rounded up).
// At least 1. Read once; later calls return the same number.
int available_processors() noexcept;

// Threads that pay off for work of this cost; never more than asked for (0: the processors).
int useful_threads(double multiply_adds, std::int64_t rows, int asked) noexcept;

// A word that one thread raises and others wait for. Waiting spins for some
// microseconds, then sleeps in the kernel; raising makes no system call unless
// somebody sleeps. It is alone on its cache line: the waiting thread's loads
// are the only traffic.
class alignas(64) Signal {
 public:
  std::uint32_t value() const noexcept { return value_.load(std::memory_order_acquire); }
  // Only the owner raises; what it wrote before is seen by those who waited.
  void raise(std::uint32_t value) noexcept;
  // Returns once the value has reached `target` (compared as a circle, so it
  // may wrap). `spins` bounds the polls before the first sleep.
  void wait(std::uint32_t target, int spins) const noexcept;
  // Before any other thread knows the word.
  void reset() noexcept { value_.store(0, std::memory_order_relaxed); }

 private:
  bool reached(std::uint32_t target) const noexcept {
    return static_cast<std::int32_t>(value_.load(std::memory_order_acquire) - target) >= 0;
  }
  std::atomic<std::uint32_t> value_{0};
  mutable std::atomic<std::uint32_t> sleepers_{0};
};

// Meeting point of the threads of one body. Each thread has a signal of its
// own; up to kMeshThreads everybody waits for everybody (one cache-line
// transfer), beyond that thread 0 collects and releases (two).
class Barrier {
 public:
  Barrier() noexcept = default;    // for one thread
  explicit Barrier(int capacity);  // may throw std::bad_alloc

  int capacity() const noexcept { return capacity_; }
  // Everything written by any thread before it arrives is visible to all after.
  // `threads` is the same in every call between two resets.
  void wait(int thread, int threads) noexcept {
    if (threads > 1) meet(thread, threads);
  }
  // While no thread is inside.
  void reset() noexcept;

  static constexpr int kMeshThreads = 4;

 private:
  void meet(int thread, int threads) noexcept;
  std::unique_ptr<Signal[]> arrived_;
  int capacity_ = 1;
};

class Crowding;

// The body of a job: the function is called once on each thread of the team.
using TeamFunction = void (*)(void* context, int thread, int threads) noexcept;

// A leader and its helpers. The helpers stay in one OpenMP region for as long
// as `serve` lasts, parked in Signal::wait, because the end of a region and
// libgomp's own barriers spin for far too long on a shared machine. Compiled
// without OpenMP the helpers are std::threads with the same behaviour.
class Team {
 public:
  Team() noexcept;  // a team of one: the thread that calls run
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Threads that may take part in a body now.
  int size() const noexcept { return size_; }

  // Leader only. Calls body(context, t, n) for t in [0, n) and returns n when
  // all have returned. n is at least 1 and at most `threads` and size(), less
  // where neighbours keep the processors busy (see Crowding; not if `threads`
  // outnumber the processors anyway). One thread wakes nobody. Asking for more
  // than there are notes the wish (see wanted()).
  int run(int threads, TeamFunction body, void* context) noexcept;

  // Meeting point of the body that is running, ready at its start.
  Barrier& barrier() noexcept { return barrier_; }

  // The largest number of threads that a body has asked for, and the number
  // that the region was opened with: the leader opens a larger one in between.
  int wanted() const noexcept { return wanted_; }
  int asked() const noexcept { return asked_; }

  // Opens a region of at least `threads` threads (OpenMP may give fewer), calls
  // lead(context, *this) on the calling thread, and closes the region when that
  // returns. A team never asks for fewer threads than it asked for before, nor
  // for more than kMaxThreads.
  using LeadFunction = void (*)(void* context, Team& team) noexcept;
  void serve(int threads, LeadFunction lead, void* context);

  static constexpr int kMaxThreads = 256;

 private:
  struct Helper;
  void help(int thread) noexcept;
  int spread(int threads, TeamFunction body, void* context) noexcept;
  std::int64_t busy_nanoseconds(int threads) const noexcept;
  void begin_sample(int threads, std::int64_t now) noexcept;
  void lead_region(int given, LeadFunction lead, void* context) noexcept;

  std::unique_ptr<Helper[]> helpers_;
  Barrier barrier_;
  std::unique_ptr<Crowding> crowding_;
  std::int64_t sample_wall_ = 0;  // where the present sample of processor time began
  std::int64_t sample_busy_ = 0;
  std::int64_t last_end_ = 0;
  int sample_threads_ = 0;
  TeamFunction body_ = nullptr;
  void* context_ = nullptr;
  int size_ = 1;
  int asked_ = 1;
  int wanted_ = 1;
  int last_threads_ = 1;
};

// Work of some length, cut into slices so that several jobs share the machine
// and an abort is prompt.
class Job {
 public:
  virtual ~Job() = default;
  // Runs a slice of about kSliceMilliseconds on the compute thread; true means
  // that there is more to do. A job that has to wait for JavaScript returns
  // false and is submitted again when it may go on.
  virtual bool advance(Team& team) noexcept = 0;
  // On the compute thread, after a slice that returned false: the job is out of
  // the queue. The compute thread drops its reference right afterwards.
  virtual void finished() noexcept = 0;
  // Threads the next slice wants; the team is made large enough before it.
  virtual int threads() const noexcept { return available_processors(); }

  static constexpr int kSliceMilliseconds = 5;
};

// The thread that leads the team, one in the process, whichever environments
// and workers submit work to it. Started by the first call, never destroyed.
class ComputeThread {
 public:
  static ComputeThread& instance();  // may throw std::system_error

  // Puts the job at the end of the queue; a job is in the queue at most once.
  void submit(std::shared_ptr<Job> job);

  // For synchronous callers: body runs on `threads` threads of the team (fewer
  // if OpenMP gives fewer), in the next turn, and the caller sleeps until it
  // has. One thread is the caller itself, without a detour. Returns the number
  // used. Allowed inside Job::advance, but not inside the body of a run.
  int run_and_wait(int threads, TeamFunction body, void* context);

  // The same for a body that leads several runs: lead(context, team).
  void lead_and_wait(int threads, Team::LeadFunction lead, void* context);

  // Threads of the team now; 1 before the first job of several threads.
  int team_size() const noexcept;

  ComputeThread(const ComputeThread&) = delete;
  ComputeThread& operator=(const ComputeThread&) = delete;

 private:
  struct State;
  ComputeThread();
  ~ComputeThread() = default;
  State* state_;  // kept for ever: the thread outlives every static destructor
};

// Sum of partial results in the order of the units that made them. A unit is a
// part of the batch or the model, never a thread.
double sum_in_order(std::span<const double> partials) noexcept;

// Polls that take about kSpinMicroseconds here (0 where `threads` outnumber the
// processors, since the awaited thread may need this very processor). To sleep
// and be woken costs 5 to 20 microseconds: a spin as long as that never costs
// more than twice the best choice, and is long enough that threads of a quiet
// machine rarely sleep between the phases of a step.
inline constexpr double kSpinMicroseconds = 20.0;
int spin_limit(int threads) noexcept;

}  // namespace krylov
