#include "krylov/threads.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "parallel/crowding.h"

#if defined(__linux__)
#include <pthread.h>
#include <signal.h>
#endif

namespace krylov {
namespace {

using Milliseconds = std::chrono::milliseconds;

TEST_CASE("barrier: nobody passes before everybody has come") {
  for (const int threads : {1, 2, 3, 4, 6}) {
    CAPTURE(threads);
    // Few rounds where threads outnumber processors: each costs real waits.
    const int rounds = threads <= available_processors() ? 20000 : 2000;
    Barrier barrier(threads);
    std::vector<int> arrived(static_cast<std::size_t>(threads), 0);  // plain: the barrier must order them
    std::atomic<int> errors{0};
    const auto body = [&](int t) {
      for (int round = 1; round <= rounds; ++round) {
        arrived[static_cast<std::size_t>(t)] = round;
        barrier.wait(t, threads);
        for (const int other : arrived) errors += other != round;
        barrier.wait(t, threads);
      }
    };
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(body, t);
    body(0);
    for (std::thread& other : others) other.join();
    CHECK(errors == 0);
  }
}

TEST_CASE("barrier: threads that come late are waited for asleep") {
  Barrier barrier(2);
  std::thread late([&] {
    for (int i = 0; i < 20; ++i) {
      std::this_thread::sleep_for(Milliseconds(1));
      barrier.wait(1, 2);
    }
  });
  for (int i = 0; i < 20; ++i) barrier.wait(0, 2);
  late.join();
  CHECK(barrier.capacity() == 2);
}

TEST_CASE("signal: values are compared as a circle") {
  Signal signal;
  signal.raise(0xfffffff0u);
  signal.wait(0xffffffe0u, 10);
  std::thread raiser([&] {
    for (std::uint32_t i = 0; i < 64; ++i) signal.raise(0xfffffff0u + i);
  });
  signal.wait(0x20u, 10);
  raiser.join();
  CHECK(signal.value() == 0x2fu);
}

// A body that counts who was there and meets at the team's barrier.
struct Roll {
  Team* team;
  int rounds = 1;
  std::atomic<int> calls{0};
  std::atomic<int> thread_sum{0};
  std::atomic<int> wrong{0};
  int expected = 0;
  std::vector<int> marks = std::vector<int>(8, 0);

  static void body(void* context, int thread, int threads) noexcept {
    auto& roll = *static_cast<Roll*>(context);
    ++roll.calls;
    roll.thread_sum += thread;
    roll.wrong += threads != roll.expected && roll.expected != 0;
    for (int round = 1; round <= roll.rounds; ++round) {
      roll.marks[static_cast<std::size_t>(thread)] = round;
      roll.team->barrier().wait(thread, threads);
      for (int t = 0; t < threads; ++t) roll.wrong += roll.marks[static_cast<std::size_t>(t)] != round;
      roll.team->barrier().wait(thread, threads);
    }
  }
};

TEST_CASE("team: alone it is the caller") {
  Team team;
  Roll roll{&team};
  CHECK(team.size() == 1);
  CHECK(team.run(3, &Roll::body, &roll) == 1);
  CHECK(roll.calls == 1);
  CHECK(team.wanted() == 3);
}

TEST_CASE("team: bodies of 1 to 4 threads, in any order, thousands of times") {
  for (const int size : {1, 2, 3, 4}) {
    CAPTURE(size);
    struct Test {
      int size;
      int runs;
    } test{size, size <= available_processors() ? 4000 : 400};
    Team team;
    team.serve(
        size,
        [](void* context, Team& inside) noexcept {
          const Test& wish = *static_cast<Test*>(context);
          CHECK(inside.size() == wish.size);
          for (int run = 0; run < wish.runs; ++run) {
            const int threads = 1 + run % wish.size;
            Roll roll{&inside, run % 3};
            const int used = inside.run(threads, &Roll::body, &roll);
            if (used < 1 || used > threads || roll.calls != used || roll.thread_sum != used * (used - 1) / 2 ||
                roll.wrong != 0) {
              FAIL_CHECK("run ", run, ": ", used, " of ", threads, " threads, calls ", roll.calls.load(), ", wrong ",
                         roll.wrong.load());
              break;
            }
          }
        },
        &test);
    CHECK(team.size() == 1);
    CHECK(team.asked() == size);
  }
}

TEST_CASE("team: more threads than processors are given when asked for") {
  const int threads = available_processors() + 1;
  Team team;
  int used = 0;
  team.serve(
      threads,
      [](void* context, Team& inside) noexcept {
        Roll roll{&inside, 50};
        for (int i = 0; i < 20; ++i) {
          const int now = inside.run(inside.size(), &Roll::body, &roll);
          if (i == 0 || now < *static_cast<int*>(context)) *static_cast<int*>(context) = now;
        }
        CHECK(roll.wrong == 0);
      },
      &used);
  CHECK(used == threads);
}

// A job of `slices` slices which logs its turns.
struct LoggedJob : Job {
  LoggedJob(int id_, int slices_, int threads_) : id(id_), slices(slices_), wanted(threads_) {}
  bool advance(Team& team) noexcept override {
    Roll roll{&team, 2};
    used = team.run(wanted, &Roll::body, &roll);
    wrong += roll.wrong.load();
    if (log != nullptr) log->push_back(id);
    ++done;
    return done < slices;
  }
  void finished() noexcept override {
    const std::lock_guard lock(mutex);
    over = true;
    condition.notify_all();
  }
  int threads() const noexcept override { return wanted; }
  void wait() {
    std::unique_lock lock(mutex);
    condition.wait(lock, [this] { return over; });
  }
  int id, slices, wanted;
  int done = 0, used = 0, wrong = 0;
  std::vector<int>* log = nullptr;
  bool over = false;
  std::mutex mutex;
  std::condition_variable condition;
};

// Keeps the compute thread busy until it is let go, so that a queue can form.
struct Gate : Job {
  std::atomic<bool> open{false};
  std::atomic<bool> entered{false};
  bool advance(Team&) noexcept override {
    entered = true;
    while (!open) std::this_thread::yield();
    return false;
  }
  void finished() noexcept override {}
  int threads() const noexcept override { return 1; }
};

TEST_CASE("compute thread: jobs take turns in the order of arrival") {
  ComputeThread& compute = ComputeThread::instance();
  std::vector<int> log;
  const auto gate = std::make_shared<Gate>();
  compute.submit(gate);
  const auto a = std::make_shared<LoggedJob>(0, 3, 1);
  const auto b = std::make_shared<LoggedJob>(1, 5, 2);
  const auto c = std::make_shared<LoggedJob>(2, 2, 1);
  a->log = b->log = c->log = &log;
  compute.submit(a);
  compute.submit(b);
  compute.submit(c);
  gate->open = true;
  a->wait();
  b->wait();
  c->wait();
  CHECK(log == std::vector<int>{0, 1, 2, 0, 1, 2, 0, 1, 1, 1});
  CHECK(a->wrong + b->wrong + c->wrong == 0);
}

TEST_CASE("compute thread: a caller has the turn after the one that is running") {
  ComputeThread& compute = ComputeThread::instance();
  struct Slow : LoggedJob {
    using LoggedJob::LoggedJob;
    std::atomic<int> turns{0};
    bool advance(Team& team) noexcept override {
      ++turns;
      std::this_thread::sleep_for(Milliseconds(1));
      return LoggedJob::advance(team);
    }
  };
  const auto first = std::make_shared<Slow>(0, 400, 2);
  const auto second = std::make_shared<Slow>(1, 400, 1);
  compute.submit(first);
  compute.submit(second);
  struct Seen {
    Slow *first, *second;
    int turns = 0;
    static void body(void* context, int thread, int) noexcept {
      auto& seen = *static_cast<Seen*>(context);
      if (thread == 0) seen.turns = seen.first->turns + seen.second->turns;
    }
  } seen{first.get(), second.get()};
  for (int call = 0; call < 20; ++call) {
    const int before = first->turns + second->turns;
    const int used = compute.run_and_wait(2, &Seen::body, &seen);
    CHECK(used >= 1);
    // The turn in progress, and one that may begin before the call is queued.
    CHECK(seen.turns - before <= 2);
  }
  first->wait();
  second->wait();
  CHECK(first->done == 400);
  CHECK(second->done == 400);
}

TEST_CASE("compute thread: many callers and jobs from many threads") {
  ComputeThread& compute = ComputeThread::instance();
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  std::vector<std::shared_ptr<LoggedJob>> jobs;
  for (int j = 0; j < 6; ++j) jobs.push_back(std::make_shared<LoggedJob>(j, 50 + j, 1 + j % 3));
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&, c] {
      if (c < 3) {
        compute.submit(jobs[static_cast<std::size_t>(2 * c)]);
        compute.submit(jobs[static_cast<std::size_t>(2 * c + 1)]);
      }
      for (int i = 0; i < 200; ++i) {
        struct Sum {
          std::atomic<int> calls{0};
          static void body(void* context, int, int) noexcept { ++static_cast<Sum*>(context)->calls; }
        } sum;
        const int used = compute.run_and_wait(1 + i % 3, &Sum::body, &sum);
        wrong += sum.calls != used || used < 1 || used > 1 + i % 3;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const auto& job : jobs) {
    job->wait();
    CHECK(job->done == job->slices);
    CHECK(job->wrong == 0);
  }
  CHECK(wrong == 0);
}

TEST_CASE("compute thread: the team grows to what is asked for and never shrinks") {
  ComputeThread& compute = ComputeThread::instance();
  const int before = compute.team_size();
  const int more = std::max(before, available_processors()) + 1;
  const auto job = std::make_shared<LoggedJob>(0, 3, more);
  compute.submit(job);
  job->wait();
  CHECK(job->used == more);
  CHECK(compute.team_size() == more);
  const auto small = std::make_shared<LoggedJob>(1, 1, 1);
  compute.submit(small);
  small->wait();
  CHECK(compute.team_size() == more);
}

TEST_CASE("compute thread: a job that stops may be submitted again, from its own thread too") {
  ComputeThread& compute = ComputeThread::instance();
  struct Again : LoggedJob {
    using LoggedJob::LoggedJob;
    std::weak_ptr<Again> self;
    bool advance(Team& team) noexcept override {
      LoggedJob::advance(team);
      return false;
    }
    void finished() noexcept override {
      if (done < slices) {
        ComputeThread::instance().submit(self.lock());
      } else {
        LoggedJob::finished();
      }
    }
  };
  const auto job = std::make_shared<Again>(0, 25, 2);
  job->self = job;
  compute.submit(job);
  job->wait();
  CHECK(job->done == 25);
}

TEST_CASE("compute thread: a lead sees the team, runs several bodies, and may call again") {
  struct Test {
    int runs = 0;
    int wrong = 0;
    bool other_thread = false;
    std::thread::id caller = std::this_thread::get_id();
    static void lead(void* context, Team& team) noexcept {
      auto& test = *static_cast<Test*>(context);
      test.other_thread = std::this_thread::get_id() != test.caller;
      for (int i = 0; i < 10; ++i) {
        Roll roll{&team, 1};
        const int used = team.run(2, &Roll::body, &roll);
        test.wrong += roll.calls != used || roll.wrong != 0;
        ++test.runs;
      }
      // On the compute thread already: runs at once.
      Roll roll{&team, 1};
      test.wrong += ComputeThread::instance().run_and_wait(2, &Roll::body, &roll) != roll.calls;
    }
  };
  Test two;
  ComputeThread::instance().lead_and_wait(2, &Test::lead, &two);
  CHECK(two.runs == 10);
  CHECK(two.wrong == 0);
  CHECK(two.other_thread);
  Test one;
  struct Alone {
    static void lead(void* context, Team& team) noexcept {
      static_cast<Test*>(context)->other_thread = std::this_thread::get_id() != static_cast<Test*>(context)->caller;
      CHECK(team.size() == 1);
    }
  };
  ComputeThread::instance().lead_and_wait(1, &Alone::lead, &one);
  CHECK_FALSE(one.other_thread);
}

#if defined(__linux__)
TEST_CASE("compute thread: it is named and takes no signals, its helpers neither") {
  struct Facts {
    std::atomic<int> named{0}, open_signals{0}, calls{0};
    static void body(void* context, int, int) noexcept {
      auto& facts = *static_cast<Facts*>(context);
      char name[16] = {};
      pthread_getname_np(pthread_self(), name, sizeof name);
      facts.named += std::string(name) == "krylov";
      sigset_t blocked;
      pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
      facts.open_signals += !sigismember(&blocked, SIGINT) || !sigismember(&blocked, SIGPROF);
      ++facts.calls;
    }
  } facts;
  ComputeThread::instance().run_and_wait(2, &Facts::body, &facts);
  CHECK(facts.named == facts.calls);
  CHECK(facts.open_signals == 0);
}
#endif

TEST_CASE("crowding: threads that lose a processor are left out and tried again") {
  Crowding crowding;
  std::int64_t now = 0;
  const auto sample = [&](int threads, double used) { crowding.observe(threads, now += Crowding::kSample, used); };
  for (int i = 0; i < 5; ++i) sample(2, 1.9);
  CHECK(crowding.allow(2, now) == 2);
  sample(2, 1.0);
  CHECK(crowding.allow(2, now) == 2);  // one bad sample may be chance
  sample(2, 1.9);
  sample(2, 1.0);
  CHECK(crowding.allow(2, now) == 2);
  sample(2, 1.0);
  CHECK(crowding.allow(2, now) == 1);
  CHECK(crowding.allow(1, now) == 1);
  sample(1, 1.0);
  CHECK(crowding.allow(2, now) == 1);
  now += Crowding::kFirstHold;
  CHECK(crowding.allow(2, now) == 2);
  sample(2, 1.0);  // a retry that fails needs no second sample, and the next comes later
  CHECK(crowding.allow(2, now) == 1);
  sample(1, 1.0);
  CHECK(crowding.allow(2, now + Crowding::kFirstHold) == 1);
  now += 2 * Crowding::kFirstHold;
  CHECK(crowding.allow(2, now) == 2);
  sample(2, 2.0);
  CHECK(crowding.allow(2, now) == 2);
}

TEST_CASE("crowding: all threads come back where fewer get even less") {
  Crowding crowding;
  std::int64_t now = 0;
  const auto sample = [&](int threads, double used) { crowding.observe(threads, now += Crowding::kSample, used); };
  sample(2, 1.0);
  sample(2, 1.0);
  CHECK(crowding.allow(2, now) == 1);
  sample(1, 0.55);
  CHECK(crowding.allow(2, now) == 2);
  sample(2, 1.0);
  sample(2, 1.0);
  CHECK(crowding.allow(2, now) == 2);  // settled for a while
}

TEST_CASE("crowding: as many threads are left out as processors are missing") {
  Crowding crowding;
  crowding.observe(8, Crowding::kSample, 5.2);
  crowding.observe(8, 2 * Crowding::kSample, 5.2);
  CHECK(crowding.allow(8, 2 * Crowding::kSample) == 5);
  CHECK(crowding.allow(4, 2 * Crowding::kSample) == 4);
}

TEST_CASE("sum_in_order: the order of the slots is the order of the sum") {
  const std::vector<double> partials = {1.0, 0x1p60, -0x1p60, 3.0};
  CHECK(sum_in_order(partials) == 3.0);
  CHECK(sum_in_order({}) == 0.0);
}

}  // namespace
}  // namespace krylov
