// NativeModel: a network with its parameters, and what can be asked of it.
#pragma once

#include "handles.h"

#include <memory>
#include <variant>

#include "krylov/model.h"

namespace krylov::binding {

using AnyModel = std::variant<std::shared_ptr<krylov::Model<float>>, std::shared_ptr<krylov::Model<double>>>;

// Shared with the trainers of the model, which refuse to go on without it.
struct ModelCore {
  AnyModel model;
  bool disposed = false;

  DType dtype() const noexcept { return model.index() == 0 ? DType::kFloat32 : DType::kFloat64; }
  void check_usable() const;
  // Calls body(std::shared_ptr<Model<T>>&).
  template <class Body>
  decltype(auto) visit(Body&& body) {
    check_usable();
    return std::visit(std::forward<Body>(body), model);
  }
};

// The scalar type of what visit() hands out.
template <class Pointer>
struct ScalarOf;
template <class T>
struct ScalarOf<std::shared_ptr<krylov::Model<T>>> {
  using Type = T;
};
template <class Pointer>
using scalar_of = typename ScalarOf<std::remove_cvref_t<Pointer>>::Type;

// Products of rows and widths stay far from overflow, and a batch that no
// memory could hold is an error here.
template <Scalar T>
void check_rows(const Network<T>& network, std::int64_t rows, std::string_view name) {
  constexpr double kMostBytes = double(std::int64_t(1) << 44);
  double width = 0;
  for (const BufferInfo& buffer : network.buffers()) width += double(buffer.ld);
  if (4.0 * double(rows) * width * double(sizeof(T)) > kMostBytes) {
    fail(ErrorCode::kShape, name, "rows whose activations fit in memory", std::to_string(rows));
  }
}

class NativeModel final : public Napi::ObjectWrap<NativeModel> {
 public:
  static constexpr napi_type_tag kTag = {0x3e0a7b9154fd4c28, 0xa1c84d07e6b25f93};
  static constexpr const char* kName = "Model";
  static Napi::Function define(Napi::Env env);

  explicit NativeModel(const Napi::CallbackInfo& info);
  // For functions that take a model.
  ModelCore& core() const noexcept { return *core_; }

 private:
  // model.cpp
  Napi::Value parameter_count(const Napi::CallbackInfo& info);
  Napi::Value tensors(const Napi::CallbackInfo& info);
  Napi::Value heads(const Napi::CallbackInfo& info);
  Napi::Value busy(const Napi::CallbackInfo& info);
  void get_parameters(const Napi::CallbackInfo& info);
  void set_parameters(const Napi::CallbackInfo& info);
  void predict(const Napi::CallbackInfo& info);
  Napi::Value trainer(const Napi::CallbackInfo& info);
  Napi::Value linearize(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);
  // task.cpp
  Napi::Value predict_async(const Napi::CallbackInfo& info);
  Napi::Value evaluate_async(const Napi::CallbackInfo& info);
  // run.cpp
  Napi::Value train(const Napi::CallbackInfo& info);

  void check_idle();

  std::shared_ptr<ModelCore> core_;
  ExternalMemory memory_;
};

}  // namespace krylov::binding
