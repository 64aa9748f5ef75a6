// NativeMinimization: a minimizer at work on a function of JavaScript.
#pragma once

#include "handles.h"

#include <atomic>
#include <memory>
#include <variant>

#include "krylov/minimization.h"
#include "specs.h"

namespace krylov::binding {

// What a minimizer tells of an update, as { numbers, words }.
Napi::Object write_step(Napi::Env env, const StepNumbers& step);
Napi::Value write_step_if_any(Napi::Env env, const StepNumbers& step);  // null: nothing to tell

class NativeMinimization final : public Napi::ObjectWrap<NativeMinimization> {
 public:
  static constexpr napi_type_tag kTag = {0x64a1f3d98be2470c, 0xb07e5d21c9f4386a};
  static constexpr const char* kName = "Minimization";
  static Napi::Function define(Napi::Env env);

  explicit NativeMinimization(const Napi::CallbackInfo& info);

 private:
  // Shared with the computations, of which one at a time is under way.
  template <Scalar T>
  struct Core {
    std::unique_ptr<krylov::Minimization<T>> minimization;
    std::atomic<bool> busy{false};
  };
  using AnyCore = std::variant<std::shared_ptr<Core<float>>, std::shared_ptr<Core<double>>>;

  Napi::Value update(const Napi::CallbackInfo& info);
  Napi::Value evaluate(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  void set_state(const Napi::CallbackInfo& info);
  Napi::Value x(const Napi::CallbackInfo& info);
  Napi::Value updates(const Napi::CallbackInfo& info);
  Napi::Value evaluations(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  // Calls body(std::shared_ptr<Core<T>>&) of an object in use whose computations have ended.
  template <class Body>
  auto visit(Body&& body);

  AnyCore core_;
  ExternalMemory memory_;
};

}  // namespace krylov::binding
