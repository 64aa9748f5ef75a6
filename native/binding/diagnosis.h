// The addon's functions about what a network does with samples as a whole:
// cosines between gradients, and units that pass on nothing. Synchronous.
#pragma once

#include "errors.h"

namespace krylov::binding {

// Arguments: src/internal/native-diagnosis-types.ts.
Napi::Value cosines_of(const Napi::CallbackInfo& info);
Napi::Value vector_products_of(const Napi::CallbackInfo& info);
Napi::Value unit_activity_of(const Napi::CallbackInfo& info);

}  // namespace krylov::binding
