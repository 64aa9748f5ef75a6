// What the addon keeps for each environment (the main thread, each worker).
#pragma once

#include "errors.h"

#include "delivery.h"

namespace krylov::binding {

struct Environment {
  explicit Environment(Napi::Env env);

  static Environment* find(Napi::Env env) { return env.GetInstanceData<Environment>(); }
  static Environment& of(Napi::Env env);

  Napi::FunctionReference error_class;
  // As they were at load: a script may replace the global ones.
  Napi::FunctionReference float32_array, float64_array, int32_array, uint32_array;
  Napi::FunctionReference run, trainer, point, computation, linear_operator;  // classes that JavaScript cannot construct
  Delivery delivery;

  // The content of the object that make() is constructing; null when a script
  // calls the constructor.
  const napi_type_tag* making = nullptr;
  void* content = nullptr;
};

}  // namespace krylov::binding
