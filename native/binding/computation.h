// A Session behind a JavaScript object: the one way by which solvers, spectra
// and optimizers reach JavaScript, synchronously or on the compute thread.
//
//   Napi::Value solve(const Napi::CallbackInfo& info) {
//     auto call = std::make_shared<Call<T>>(...);        // operators, copies of arrays, room for the result
//     return make_computation<T>(
//         info.Env(), layout, threads,
//         [call](Session& session) { return run(session, call); },       // a coroutine: Procedure<void>
//         [call](Napi::Env env) -> Napi::Value { return write(env, *call); });
//   }
//
// What JavaScript sees (NativeComputation in src/internal/native-types.ts):
//   advance()       goes on until the procedure asks or has finished: a request or null
//   advanceAsync()  the same as a job of the compute thread, in slices: a promise of it
//   answer(output, value)  answers the request; output is null where none was wanted, or after abort()
//   abort()         the procedure is to end at its next product; it still has to be advanced to its end
//   result()        what `write` makes of a finished procedure
//   dispose()       frees everything; a running job ends first
// A request is { source, input, outputLength, numbers }: `source` as numbered by who started the session, `input` a
// copy or null, outputLength 0 where only a value is wanted, `numbers` what the procedure tells along with it.
//
// Vectors are in public order outside, in stored order inside: in a session with a layout those of arena_size()
// elements are arena vectors. `start` and `write` hold no handles of JavaScript; they, what they captured and the
// procedure live as long as the computation and may be destroyed on the compute thread.
#pragma once

#include "handles.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <variant>

#include "krylov/buffer.h"
#include "krylov/linear_operator.h"
#include "krylov/procedure.h"

namespace krylov::binding {

// Elements outside of a vector of `stored` elements.
template <Scalar T>
std::int64_t public_size(const VectorLayout<T>& layout, std::int64_t stored) noexcept {
  return layout != nullptr && stored == layout->arena_size() ? layout->parameter_count() : stored;
}

// Public order into stored order, zeros in the padding.
template <Scalar T>
void store_vector(const VectorLayout<T>& layout, std::span<const T> from, T* stored, std::int64_t size) noexcept {
  if (layout == nullptr || size != layout->arena_size()) {
    std::copy(from.begin(), from.end(), stored);
    return;
  }
  std::fill(stored, stored + size, T(0));
  layout->to_arena(from, std::span<T>(stored, static_cast<std::size_t>(size)));
}

// The array, a Float32Array or Float64Array by T, in stored order.
template <Scalar T>
AlignedBuffer<T> read_vector(const Napi::Value& value, std::string_view name, const VectorLayout<T>& layout,
                             std::int64_t size) {
  // The length first: sizes that JavaScript announces are not believed.
  const std::span<const T> from = typed<T>(value, name, public_size(layout, size));
  AlignedBuffer<T> stored(static_cast<std::size_t>(size));
  store_vector<T>(layout, from, stored.data(), size);
  return stored;
}

// Stored order into an array of public_size(layout, size) elements.
template <Scalar T>
void load_vector(const VectorLayout<T>& layout, const T* stored, std::int64_t size, std::span<T> to) noexcept {
  const std::span<const T> from(stored, static_cast<std::size_t>(size));
  if (layout == nullptr || size != layout->arena_size()) {
    std::copy(from.begin(), from.end(), to.begin());
  } else {
    layout->to_public(from, to);
  }
}

// A new array in public order.
template <Scalar T>
Napi::Value write_vector(Napi::Env env, const VectorLayout<T>& layout, const T* stored, std::int64_t size) {
  Napi::Value array;
  const auto length = static_cast<std::size_t>(public_size(layout, size));
  load_vector<T>(layout, stored, size, make_array<T>(env, length, array));
  return array;
}

using StartProcedure = std::function<Procedure<void>(Session&)>;
using WriteResult = std::function<Napi::Value(Napi::Env)>;
using AnyLayout = std::variant<VectorLayout<float>, VectorLayout<double>>;

// `threads`: the largest number that pays off for any part of it; one runs advance() on the caller itself.
Napi::Value make_computation(Napi::Env env, AnyLayout layout, int threads, StartProcedure start, WriteResult write);

template <Scalar T>
Napi::Value make_computation(Napi::Env env, VectorLayout<T> layout, int threads, StartProcedure start,
                             WriteResult write) {
  return make_computation(env, AnyLayout(std::move(layout)), threads, std::move(start), std::move(write));
}

// The session with all that it needs; shared by the object and its job.
class SessionCore {
 public:
  SessionCore(AnyLayout layout, int threads, StartProcedure start, WriteResult write);

  Session& session() noexcept { return session_; }
  // A slice, on the caller's or the compute thread; true where there is more to do at once.
  bool advance(Team& team) noexcept;
  // On the JavaScript thread, after the last slice: a request, or null. Throws what ended the procedure.
  Napi::Value outcome(Napi::Env env);
  // Throws where a request has been handed out and not been answered.
  void check_answered() const;
  void answer(const Napi::Value& output, const Napi::Value& value);
  Napi::Value result(Napi::Env env);

  bool running = false;  // a job has it; JavaScript thread only
  std::atomic<bool> abandoned{false};  // nobody waits for the outcome

 private:
  AnyLayout layout_;
  // Before the session, which is destroyed first: the procedure may refer to what `start` captured.
  StartProcedure start_;
  WriteResult write_;
  bool asking_ = false;
  Session session_;
};

class NativeComputation final : public Napi::ObjectWrap<NativeComputation> {
 public:
  static constexpr napi_type_tag kTag = {0xc61f08b7d2e94a35, 0x97a4e05b3c8d612f};
  static constexpr const char* kName = "Computation";
  using Content = std::shared_ptr<SessionCore>;
  static Napi::Function define(Napi::Env env);

  explicit NativeComputation(const Napi::CallbackInfo& info);

 private:
  Napi::Value advance(const Napi::CallbackInfo& info);
  Napi::Value advance_async(const Napi::CallbackInfo& info);
  void answer(const Napi::CallbackInfo& info);
  void abort(const Napi::CallbackInfo& info);
  Napi::Value result(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  // The session, when it may be used.
  SessionCore& idle() const;

  Content core_;  // null: disposed
};

}  // namespace krylov::binding
