// The addon's functions about saliency. All are synchronous, on the threads that
// pay off.
#pragma once

#include "errors.h"

namespace krylov::binding {

// Arguments: src/internal/native-saliency-types.ts.
Napi::Value input_saliency_of(const Napi::CallbackInfo& info);
Napi::Value layer_saliency_of(const Napi::CallbackInfo& info);
Napi::Value position_map_of(const Napi::CallbackInfo& info);
Napi::Value combine_maps_of(const Napi::CallbackInfo& info);
Napi::Value rank_correlation_of(const Napi::CallbackInfo& info);

}  // namespace krylov::binding
