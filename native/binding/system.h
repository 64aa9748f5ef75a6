// Functions of the addon that belong to no object.
#pragma once

#include "errors.h"

namespace krylov::binding {

// Fails when KRYLOV_ISA is not the name of an instruction set.
void check_requested_isa();

Napi::Value system_info(const Napi::CallbackInfo& info);
Napi::Value schedule_value(const Napi::CallbackInfo& info);
Napi::Value permutation(const Napi::CallbackInfo& info);
Napi::Value measure_peak(const Napi::CallbackInfo& info);
Napi::Value measure_bandwidth(const Napi::CallbackInfo& info);

}  // namespace krylov::binding
