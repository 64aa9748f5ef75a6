// The addon's functions about tangent kernels. All are synchronous, on the
// caller's thread.
#pragma once

#include "errors.h"

namespace krylov::binding {

// Arguments: src/internal/native-tangent-kernel-types.ts.
Napi::Value surrogate_kernel_of(const Napi::CallbackInfo& info);
Napi::Value finite_surrogate_kernel_of(const Napi::CallbackInfo& info);
Napi::Value kernel_regression_of(const Napi::CallbackInfo& info);

}  // namespace krylov::binding
