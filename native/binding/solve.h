// The solvers' functions of the addon; each returns a NativeComputation.
#pragma once

#include "errors.h"

namespace krylov::binding {

Napi::Value start_conjugate_gradient(const Napi::CallbackInfo& info);
Napi::Value start_minres(const Napi::CallbackInfo& info);
Napi::Value start_least_squares(const Napi::CallbackInfo& info);
Napi::Value start_lanczos(const Napi::CallbackInfo& info);

}  // namespace krylov::binding
