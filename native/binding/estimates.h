// The addon's functions about estimates of curvature at a point, and about
// preconditioners. All are synchronous, on the threads that pay off.
#pragma once

#include "errors.h"

namespace krylov::binding {

// Arguments: src/internal/native-estimates-types.ts.
Napi::Value curvature_diagonal_of(const Napi::CallbackInfo& info);
Napi::Value kronecker_factors_of(const Napi::CallbackInfo& info);
Napi::Value make_sampled_fisher(const Napi::CallbackInfo& info);
Napi::Value make_kronecker_inverse(const Napi::CallbackInfo& info);
Napi::Value make_diagonal_inverse(const Napi::CallbackInfo& info);
Napi::Value make_lbfgs_inverse(const Napi::CallbackInfo& info);

}  // namespace krylov::binding
