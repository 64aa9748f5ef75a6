// Computations that can be put down and taken up again. A solver or an
// optimizer is a coroutine: straight-line code that awaits products with an
// operator and values of a function. Where these are native they are computed
// on the spot; where JavaScript computes them, the coroutine rests until the
// answer is there. Between two of them a job can give up its turn, and an abort
// is seen. The same code so serves native and foreign operators, synchronous
// callers and the compute thread.
#pragma once

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <utility>

#include "krylov/threads.h"

namespace krylov {

// What a resting procedure wants from outside: `output` to be filled from
// `input`, both of the session's dtype, and `value` where a number is asked for.
struct Request {
  int source = -1;  // which foreign function; numbered by who started the session
  const void* input = nullptr;
  std::int64_t input_size = 0;
  void* output = nullptr;  // may be null: only the value is wanted
  std::int64_t output_size = 0;
  double value = 0;
  std::span<const double> numbers = {};  // told along with the input
};

template <class R> class Procedure;

// Runs one procedure with everything it calls, lends it the team and carries
// its requests. Not for two threads at once, save for stop().
class Session {
 public:
  enum class State : std::uint8_t { kRunning, kPaused, kAsking, kFinished };
  using Clock = std::chrono::steady_clock;

  explicit Session(int threads = 1) noexcept : threads_(threads) {}
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Once: the procedure that resume() begins.
  void start(Procedure<void> root);
  // Goes on until the procedure has finished, asks, or its slice of time is
  // over (checked at each await of a product). After kAsking the request must
  // have been answered. Never throws; see failure().
  State resume(Team& team, Clock::time_point slice_end = Clock::time_point::max()) noexcept;
  State state() const noexcept { return state_; }
  // What ended the procedure by an exception (out of memory), or null.
  std::exception_ptr failure() const noexcept { return failure_; }
  Request& request() noexcept { return request_; }

  // Any thread: the procedure is to end at its next product. It decides what it leaves.
  void stop() noexcept { stop_.store(true, std::memory_order_relaxed); }

  // For procedures, while they run.
  bool stopped() const noexcept { return stop_.load(std::memory_order_relaxed); }
  Team& team() const noexcept { return *team_; }
  int threads() const noexcept { return threads_; }
  // Time spent in native products with operators, and a product's addition to it.
  double product_seconds() const noexcept { return std::chrono::duration<double>(product_time_).count(); }
  void count_product(Clock::duration time) noexcept { product_time_ += time; }
  // True where the slice is over: whoever awaits rests.
  bool due() const noexcept { return Clock::now() >= slice_end_; }

  // co_await session.pause(): gives up the turn where the slice is over.
  struct Pause {
    Session& session;
    bool await_ready() const noexcept { return !session.due(); }
    void await_suspend(std::coroutine_handle<> h) const noexcept { session.rest(h, State::kPaused); }
    void await_resume() const noexcept {}
  };
  Pause pause() noexcept { return {*this}; }
  // co_await session.ask(request): the request's value when it has been answered.
  struct Ask {
    Session& session;
    Request request;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) noexcept {
      session.request_ = request;
      session.rest(h, State::kAsking);
    }
    double await_resume() const noexcept { return session.request_.value; }
  };
  Ask ask(const Request& request) noexcept { return {*this, request}; }

  // For awaiters: the coroutine to go on with, and why it rests.
  void rest(std::coroutine_handle<> next, State state) noexcept {
    next_ = next;
    state_ = state;
  }
  // For calls and returns between procedures.
  void transfer(std::coroutine_handle<> next) noexcept { next_ = next; }

 private:
  struct Root;
  Root* root_ = nullptr;
  std::coroutine_handle<> next_{};
  Team* team_ = nullptr;
  Clock::time_point slice_end_ = Clock::time_point::max();
  Clock::duration product_time_{};
  Request request_;
  std::exception_ptr failure_;
  std::atomic<bool> stop_{false};
  State state_ = State::kPaused;
  int threads_;
};

namespace detail {

struct ProcedurePromise {
  Session* session = nullptr;
  std::coroutine_handle<> caller{};
  std::exception_ptr failure;

  // The end of a procedure: the session goes on with who called it. Going
  // through the session instead of straight to the caller keeps the stack flat
  // without relying on tail calls.
  struct Final {
    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> h) const noexcept {
      h.promise().session->transfer(h.promise().caller);
    }
    void await_resume() const noexcept {}
  };
  std::suspend_always initial_suspend() const noexcept { return {}; }
  Final final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { failure = std::current_exception(); }
};

template <class R>
struct ValuePromise : ProcedurePromise {
  std::optional<R> value;
  void return_value(R result) { value.emplace(std::move(result)); }
  R take() { return std::move(*value); }
};
template <>
struct ValuePromise<void> : ProcedurePromise {
  void return_void() const noexcept {}
  void take() const noexcept {}
};

}  // namespace detail

// A coroutine that another one awaits: `const double f = co_await value(...)`.
// Starts when awaited. Arguments by reference must outlive the await. Results get
// a name before they are tested: GCC 12 spoils the awaited procedure's frame where
// the await stands in a condition, as in if (co_await ready(...)) co_return x.
template <class R>
class [[nodiscard]] Procedure {
 public:
  struct promise_type : detail::ValuePromise<R> {
    Procedure get_return_object() noexcept {
      return Procedure(std::coroutine_handle<promise_type>::from_promise(*this));
    }
  };

  Procedure(Procedure&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Procedure& operator=(Procedure&&) = delete;
  ~Procedure() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  template <class P>
  void await_suspend(std::coroutine_handle<P> caller) noexcept {
    handle_.promise().session = caller.promise().session;
    handle_.promise().caller = caller;
    handle_.promise().session->transfer(handle_);
  }
  R await_resume() {
    if (handle_.promise().failure) std::rethrow_exception(handle_.promise().failure);
    return handle_.promise().take();
  }

 private:
  friend class Session;
  explicit Procedure(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

}  // namespace krylov
