// Weights of samples: the rules alone, and the caller's function.
#pragma once

#include "values.h"

#include "krylov/sample_weights.h"

namespace krylov::binding {

// { kind, numbers, words }, a rule as an optimizer's.
SampleWeightsSpec read_sample_weights(const Napi::Value& value, const std::string& path);
// losses, probabilities or null, updates, epoch (0: none)
Napi::Object write_weight_request(Napi::Env env, const WeightRequest& request);

Napi::Value label_figures_of(const Napi::CallbackInfo& info);
Napi::Value sample_weights_of(const Napi::CallbackInfo& info);

}  // namespace krylov::binding
