// NativeOperator: a linear operator of the core, and how functions of the
// addon take operators as arguments, native ones and those of JavaScript.
#pragma once

#include "computation.h"

#include <memory>
#include <variant>

#include "krylov/operators.h"

namespace krylov::binding {

using AnyOperator = std::variant<OperatorPointer<float>, OperatorPointer<double>>;

// Vectors are in public order outside. Synchronous; a job may work with the
// operator meanwhile.
class NativeOperator final : public Napi::ObjectWrap<NativeOperator> {
 public:
  static constexpr napi_type_tag kTag = {0x2fb6d0915ac34e78, 0xe8139f4c7b05a2d6};
  static constexpr const char* kName = "Operator";
  using Content = AnyOperator;
  static Napi::Function define(Napi::Env env);
  static Napi::Value create(Napi::Env env, AnyOperator op);

  explicit NativeOperator(const Napi::CallbackInfo& info);

  // The operator, when it is in use.
  const AnyOperator& get(std::string_view argument) const;

 private:
  Napi::Value rows(const Napi::CallbackInfo& info);
  Napi::Value columns(const Napi::CallbackInfo& info);
  Napi::Value dtype(const Napi::CallbackInfo& info);
  void matvec(const Napi::CallbackInfo& info);
  void matvec_transposed(const Napi::CallbackInfo& info);
  void matmat(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  AnyOperator operator_;
};

// body(T()) with the scalar type of a float array.
template <class Body>
Napi::Value with_scalar(const Napi::Value& array, std::string_view name, Body&& body) {
  constexpr const char* kWanted = "Float32Array or Float64Array";
  const Elements e = elements(array, name, kWanted);
  if (!e.is_float()) fail(ErrorCode::kDType, name, kWanted, describe(array));
  return e.dtype() == DType::kFloat32 ? body(float()) : body(double());
}

// Functions of the addon that make operators.
Napi::Value make_dense_operator(const Napi::CallbackInfo& info);
Napi::Value make_diagonal_operator(const Napi::CallbackInfo& info);
Napi::Value make_sum_operator(const Napi::CallbackInfo& info);
Napi::Value make_low_rank_operator(const Napi::CallbackInfo& info);
Napi::Value make_block_diagonal_operator(const Napi::CallbackInfo& info);
// combine(a, x, b, y, out)
Napi::Value combine_vectors(const Napi::CallbackInfo& info);

// An operator as an argument: a NativeOperator, or { rows, columns, source, transposedSource } of one that JavaScript
// applies, sizes in public order, transposedSource -1 where it has no transpose. null: is_given() is false.
template <Scalar T>
struct OperatorArgument {
  OperatorPointer<T> native;
  std::int64_t rows = 0, columns = 0;
  int source = -1, transposed_source = -1;

  static OperatorPointer<T> read_native(const Napi::Value& value, std::string_view name);
  static OperatorArgument read(const Napi::Value& value, std::string_view name);

  // One that must be there.
  static OperatorArgument require(const Napi::Value& value, std::string_view name);

  bool is_given() const noexcept { return native != nullptr || source >= 0; }
  VectorLayout<T> layout() const noexcept { return native == nullptr ? nullptr : native->layout(); }
  int threads() const noexcept { return native == nullptr ? 1 : native->threads(); }
  void check_square(std::string_view name) const;
  void check_transposable(std::string_view name) const;
  // As a procedure uses it whose vectors have this layout.
  OperatorPort<T> port(const VectorLayout<T>& layout) const;
};

// Threads for arithmetic on vectors of this size beside an operator that has use for so many.
int threads_for(std::int64_t size, int operator_threads) noexcept;

template <class Call, class Run>
Procedure<void> keep_result(Session& session, std::shared_ptr<Call> call, Run run) {
  call->result = co_await run(session, *call);
  if constexpr (requires { call->product_seconds; }) call->product_seconds = session.product_seconds();
}

// A computation whose arguments and result `call` holds: run(Session&, Call&) is the procedure that returns call.result,
// write(env, Call&) what JavaScript gets.
template <Scalar T, class Call, class Run, class Write>
Napi::Value start_call(Napi::Env env, const VectorLayout<T>& layout, int threads, std::shared_ptr<Call> call, Run run,
                       Write write) {
  return make_computation<T>(
      env, layout, threads,
      [call, run](Session& session) { return keep_result<Call, Run>(session, call, run); },
      [call, write](Napi::Env to) -> Napi::Value { return write(to, *call); });
}

}  // namespace krylov::binding
