// The addon's functions about spectra, stability and step sizes. Those that
// take an operator return a NativeComputation.
#pragma once

#include "errors.h"

namespace krylov::binding {

Napi::Value start_eigenpairs(const Napi::CallbackInfo& info);
Napi::Value start_quadrature(const Napi::CallbackInfo& info);
Napi::Value start_hutchinson(const Napi::CallbackInfo& info);
Napi::Value start_hutch_plus_plus(const Napi::CallbackInfo& info);
Napi::Value start_spectral_norm(const Napi::CallbackInfo& info);
Napi::Value start_curvature_noise(const Napi::CallbackInfo& info);
Napi::Value start_stability(const Napi::CallbackInfo& info);
Napi::Value spectral_density(const Napi::CallbackInfo& info);
Napi::Value softmax_radius(const Napi::CallbackInfo& info);
Napi::Value hessian_alignment(const Napi::CallbackInfo& info);

}  // namespace krylov::binding
