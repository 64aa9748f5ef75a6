#include <algorithm>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

#include "krylov/threads.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#endif

namespace krylov {
namespace {

// After its last turn the thread polls this long before it sleeps: a script
// that calls a product in a loop finds it awake.
constexpr double kIdleSpinMicroseconds = 20.0;

// A synchronous caller's request, on its stack; linked, so queueing allocates nothing.
struct Call {
  int threads;
  Team::LeadFunction lead;
  void* context;
  Call* next = nullptr;
  Signal done{};
};

// The team that this thread leads, if it is the compute thread.
thread_local Team* led_team = nullptr;

void name_this_thread() noexcept {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), "krylov");
#elif defined(__APPLE__)
  pthread_setname_np("krylov");
#endif
}

}  // namespace

struct ComputeThread::State {
  std::mutex mutex;
  Signal submitted;  // raised under the mutex
  std::list<std::shared_ptr<Job>> jobs;
  Call* first_call = nullptr;
  Call** last_call = &first_call;
  std::atomic<int> team_size{1};

  // One turn: a call or a job (a list of one, so that moving it between the
  // queue and here never allocates).
  struct Turn {
    Call* call = nullptr;
    std::list<std::shared_ptr<Job>> job;
    int threads() const noexcept { return call != nullptr ? call->threads : job.front()->threads(); }
  };
  Turn turn;
  bool call_had_last_turn = false;

  void add(Call& call) noexcept;
  bool take_turn() noexcept;
  void play(Team& team) noexcept;
  void announce() noexcept { submitted.raise(submitted.value() + 1); }
  static void lead(void* context, Team& team) noexcept;
  void live();
};

void ComputeThread::State::add(Call& call) noexcept {
  const std::lock_guard lock(mutex);
  *last_call = &call;
  last_call = &call.next;
  announce();
}

// Calls and jobs alternate where both wait; each in the order of arrival.
bool ComputeThread::State::take_turn() noexcept {
  const std::lock_guard lock(mutex);
  if (first_call != nullptr && (!call_had_last_turn || jobs.empty())) {
    turn.call = std::exchange(first_call, first_call->next);
    if (first_call == nullptr) last_call = &first_call;
    call_had_last_turn = true;
    return true;
  }
  if (jobs.empty()) return false;
  turn.job.splice(turn.job.begin(), jobs, jobs.begin());
  call_had_last_turn = false;
  return true;
}

void ComputeThread::State::play(Team& team) noexcept {
  if (turn.call != nullptr) {
    Call* const call = std::exchange(turn.call, nullptr);
    call->lead(call->context, team);
    // The caller takes the mutex before it leaves, so its stack outlives raise.
    const std::lock_guard lock(mutex);
    call->done.raise(1);
    return;
  }
  if (turn.job.front()->advance(team)) {
    const std::lock_guard lock(mutex);
    jobs.splice(jobs.end(), turn.job);
  } else {
    turn.job.front()->finished();
    turn.job.clear();
  }
}

void ComputeThread::State::lead(void* context, Team& team) noexcept {
  State& state = *static_cast<State*>(context);
  state.team_size.store(team.size(), std::memory_order_relaxed);
  const int idle_spins = static_cast<int>(spin_limit(1) * (kIdleSpinMicroseconds / kSpinMicroseconds));
  for (;;) {
    const bool pending = state.turn.call != nullptr || !state.turn.job.empty();
    if (!pending) {
      const std::uint32_t seen = state.submitted.value();
      if (!state.take_turn()) {
        state.submitted.wait(seen + 1, idle_spins);
        continue;
      }
    }
    const int needed = std::min(std::max(state.turn.threads(), team.wanted()), Team::kMaxThreads);
    if (needed > team.asked()) return;  // a larger region first; the turn is kept
    state.play(team);
  }
}

void ComputeThread::State::live() {
  name_this_thread();
  Team team;
  led_team = &team;
  int threads = 1;
  for (;;) {
    team.serve(threads, &State::lead, this);
    threads = std::max(turn.threads(), team.wanted());
  }
}

ComputeThread::ComputeThread() : state_(new State) {
  // Signals belong to Node's own threads; the mask is inherited by the helpers.
#if defined(__unix__) || defined(__APPLE__)
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  struct Restore {
    const sigset_t& mask;
    ~Restore() { pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
  } restore{before};
#endif
  std::thread([state = state_] { state->live(); }).detach();
}

ComputeThread& ComputeThread::instance() {
  static ComputeThread* const thread = new ComputeThread;
  return *thread;
}

void ComputeThread::submit(std::shared_ptr<Job> job) {
  std::list<std::shared_ptr<Job>> entry;
  entry.push_back(std::move(job));
  const std::lock_guard lock(state_->mutex);
  state_->jobs.splice(state_->jobs.end(), entry);
  state_->announce();
}

void ComputeThread::lead_and_wait(int threads, Team::LeadFunction lead, void* context) {
  if (led_team != nullptr) {
    lead(context, *led_team);
    return;
  }
  if (threads <= 1) {
    Team alone;
    lead(context, alone);
    return;
  }
  Call call{threads, lead, context};
  state_->add(call);
  // The team has the processors now: polling here would take one from it.
  const bool room = std::min(threads, Team::kMaxThreads) < available_processors();
  call.done.wait(1, room ? spin_limit(1) : 0);
  const std::lock_guard lock(state_->mutex);
}

int ComputeThread::run_and_wait(int threads, TeamFunction body, void* context) {
  if (threads <= 1) {
    body(context, 0, 1);
    return 1;
  }
  struct Request {
    int threads;
    TeamFunction body;
    void* context;
    int used;
  } request{threads, body, context, 0};
  lead_and_wait(
      threads,
      [](void* opaque, Team& team) noexcept {
        auto& wish = *static_cast<Request*>(opaque);
        wish.used = team.run(wish.threads, wish.body, wish.context);
      },
      &request);
  return request.used;
}

int ComputeThread::team_size() const noexcept { return state_->team_size.load(std::memory_order_relaxed); }

}  // namespace krylov
