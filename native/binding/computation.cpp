#include "computation.h"

#include <chrono>

namespace krylov::binding {

SessionCore::SessionCore(AnyLayout layout, int threads, StartProcedure start, WriteResult write)
    : layout_(std::move(layout)), start_(std::move(start)), write_(std::move(write)), session_(std::max(threads, 1)) {
  session_.start(start_(session_));
}

bool SessionCore::advance(Team& team) noexcept {
  const auto slice_end = Session::Clock::now() + std::chrono::milliseconds(Job::kSliceMilliseconds);
  const Session::State state = session_.resume(team, slice_end);
  return state == Session::State::kPaused && !abandoned.load(std::memory_order_relaxed);
}

Napi::Value SessionCore::outcome(Napi::Env env) {
  if (session_.failure() != nullptr) std::rethrow_exception(session_.failure());
  if (session_.state() != Session::State::kAsking) return env.Null();
  asking_ = true;
  const Request& request = session_.request();
  return std::visit(
      [&]<class T>(const std::shared_ptr<const Network<T>>& layout) -> Napi::Value {
        auto object = Napi::Object::New(env);
        object.Set("source", request.source);
        object.Set("input", request.input == nullptr
                                ? env.Null()
                                : write_vector<T>(env, layout, static_cast<const T*>(request.input),
                                                  request.input_size));
        const std::int64_t length = request.output == nullptr ? 0 : public_size(layout, request.output_size);
        object.Set("outputLength", static_cast<double>(length));
        object.Set("numbers", number_array(env, request.numbers));
        return object;
      },
      layout_);
}

void SessionCore::check_answered() const {
  if (asking_) fail(ErrorCode::kState, "computation", "an answer to its request first", "none");
}

void SessionCore::answer(const Napi::Value& output, const Napi::Value& value) {
  if (!asking_) fail(ErrorCode::kState, "computation", "a request that waits for its answer", "none");
  if (!value.IsNumber()) fail(ErrorCode::kOption, "value", "a number", describe(value));
  Request& request = session_.request();
  // After an abort nobody looks at the answer.
  if (request.output != nullptr && !(output.IsNull() && session_.stopped())) {
    std::visit(
        [&]<class T>(const std::shared_ptr<const Network<T>>& layout) {
          const std::span<const T> from = typed<T>(output, "output", public_size(layout, request.output_size));
          store_vector<T>(layout, from, static_cast<T*>(request.output), request.output_size);
        },
        layout_);
  }
  request.value = value.As<Napi::Number>().DoubleValue();
  asking_ = false;
}

Napi::Value SessionCore::result(Napi::Env env) {
  if (session_.state() != Session::State::kFinished) {
    fail(ErrorCode::kState, "computation", "one that has finished", "one that has not");
  }
  if (session_.failure() != nullptr) std::rethrow_exception(session_.failure());
  return write_(env);
}

namespace {

// The slices up to the next request, on the compute thread, and the promise that waits for it.
class Slices final : public Job, public Work {
 public:
  Slices(Napi::Env env, std::shared_ptr<SessionCore> core, std::shared_ptr<Mailbox> mailbox)
      : deferred_(Napi::Promise::Deferred::New(env)), core_(std::move(core)), mailbox_(std::move(mailbox)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  int threads() const noexcept override { return core_->session().threads(); }
  bool advance(Team& team) noexcept override { return core_->advance(team); }
  void finished() noexcept override {
    done_.store(true, std::memory_order_release);
    mailbox_->post();
    mailbox_->over();
  }

  // The environment ends.
  void abort() noexcept override {
    core_->abandoned.store(true, std::memory_order_relaxed);
    core_->session().stop();
  }

  bool deliver(Napi::Env env) override {
    if (!done_.load(std::memory_order_acquire)) return false;
    core_->running = false;
    try {
      deferred_.Resolve(guard(env, [&] { return core_->outcome(env); }));
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    }
    return true;
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<SessionCore> core_;
  std::shared_ptr<Mailbox> mailbox_;
  std::atomic<bool> done_{false};
};

}  // namespace

Napi::Value make_computation(Napi::Env env, AnyLayout layout, int threads, StartProcedure start, WriteResult write) {
  auto core = std::make_shared<SessionCore>(std::move(layout), threads, std::move(start), std::move(write));
  return make<NativeComputation>(env, Environment::of(env).computation, core);
}

Napi::Function NativeComputation::define(Napi::Env env) {
  using C = NativeComputation;
  return DefineClass(env, kName,
                     {method<C, &C::advance>("advance"), method<C, &C::advance_async>("advanceAsync"),
                      method<C, &C::answer>("answer"), method<C, &C::abort>("abort"),
                      method<C, &C::result>("result"), method<C, &C::dispose>("dispose")});
}

NativeComputation::NativeComputation(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guard(info.Env(), [&] {
    core_ = std::move(take_content<NativeComputation>(info));
    seal<NativeComputation>(info);
  });
}

SessionCore& NativeComputation::idle() const {
  if (core_ == nullptr) fail(ErrorCode::kState, "computation", "one in use", "a disposed one");
  if (core_->running) fail(ErrorCode::kBusy, "computation", "one that waits", "one that is running");
  return *core_;
}

Napi::Value NativeComputation::advance(const Napi::CallbackInfo& info) {
  SessionCore& core = idle();
  core.check_answered();
  struct Turn {
    SessionCore& core;
    bool more;
  } turn{core, true};
  // By slices, so that jobs of the compute thread have their turns in between.
  while (turn.more) {
    ComputeThread::instance().lead_and_wait(
        core.session().threads(),
        [](void* context, Team& team) noexcept {
          auto& t = *static_cast<Turn*>(context);
          t.more = t.core.advance(team);
        },
        &turn);
  }
  return core.outcome(info.Env());
}

Napi::Value NativeComputation::advance_async(const Napi::CallbackInfo& info) {
  SessionCore& core = idle();
  core.check_answered();
  Delivery& delivery = Environment::of(info.Env()).delivery;
  const auto slices = std::make_shared<Slices>(info.Env(), core_, delivery.mailbox());
  core.running = true;
  try {
    delivery.start(slices, slices);
  } catch (...) {
    core.running = false;
    throw;
  }
  return slices->promise();
}

void NativeComputation::answer(const Napi::CallbackInfo& info) { idle().answer(info[0], info[1]); }

void NativeComputation::abort(const Napi::CallbackInfo&) {
  if (core_ != nullptr) core_->session().stop();
}

Napi::Value NativeComputation::result(const Napi::CallbackInfo& info) { return idle().result(info.Env()); }

void NativeComputation::dispose(const Napi::CallbackInfo&) {
  if (core_ == nullptr) return;
  core_->abandoned.store(true, std::memory_order_relaxed);
  core_->session().stop();
  core_.reset();
}

}  // namespace krylov::binding
