// NativeOptimizer: an update rule with its state, over flat arrays of the
// caller; knows no network.
#pragma once

#include "handles.h"

#include <memory>
#include <variant>

#include "krylov/optimizer.h"

namespace krylov::binding {

class NativeOptimizer final : public Napi::ObjectWrap<NativeOptimizer> {
 public:
  static constexpr napi_type_tag kTag = {0x71d8e5c02b3a4f9c, 0xd05b96f4e87a1c23};
  static constexpr const char* kName = "Optimizer";
  static Napi::Function define(Napi::Env env);

  explicit NativeOptimizer(const Napi::CallbackInfo& info);

 private:
  Napi::Value updates(const Napi::CallbackInfo& info);
  Napi::Value state_names(const Napi::CallbackInfo& info);
  void step(const Napi::CallbackInfo& info);
  void evaluation_point(const Napi::CallbackInfo& info);
  void get_state(const Napi::CallbackInfo& info);
  void set_state(const Napi::CallbackInfo& info);
  void set_updates(const Napi::CallbackInfo& info);

  // Calls body(Optimizer<T>&).
  template <class Body>
  decltype(auto) visit(Body&& body) {
    return std::visit([&](auto& optimizer) -> decltype(auto) { return body(*optimizer); }, optimizer_);
  }

  std::variant<std::unique_ptr<krylov::Optimizer<float>>, std::unique_ptr<krylov::Optimizer<double>>> optimizer_;
  ExternalMemory memory_;
};

}  // namespace krylov::binding
