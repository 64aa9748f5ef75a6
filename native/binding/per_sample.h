// The addon's functions about quantities of a point's single samples. All are
// synchronous, on the threads that pay off.
#pragma once

#include "errors.h"

namespace krylov::binding {

// Arguments: src/internal/native-per-sample-types.ts.
Napi::Value parameter_groups_of(const Napi::CallbackInfo& info);
Napi::Value per_sample_squares_of(const Napi::CallbackInfo& info);
Napi::Value per_sample_products_of(const Napi::CallbackInfo& info);
Napi::Value gram_matrix_of(const Napi::CallbackInfo& info);
Napi::Value tangent_kernel_of(const Napi::CallbackInfo& info);
Napi::Value output_jacobians_of(const Napi::CallbackInfo& info);
Napi::Value gradient_square_sums_of(const Napi::CallbackInfo& info);
Napi::Value gradient_variance_of(const Napi::CallbackInfo& info);
Napi::Value gradient_statistics_of(const Napi::CallbackInfo& info);

}  // namespace krylov::binding
