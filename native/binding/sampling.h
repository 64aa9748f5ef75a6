// How batches are drawn, and the arithmetic of importance sampling alone.
#pragma once

#include "values.h"

#include "krylov/sampling.h"

namespace krylov::binding {

SamplingSpec read_sampling(const Napi::Value& value, const std::string& path);

// (scores, mix, constant): mix (s + constant) / sum + (1 - mix) / B
Napi::Value sampling_probabilities_of(const Napi::CallbackInfo& info);
// (probabilities, picked, scores or null, power)
Napi::Value importance_weights_of(const Napi::CallbackInfo& info);
Napi::Value variance_reduction_of(const Napi::CallbackInfo& info);
// (figures, index, records): changes figures
Napi::Value record_history_of(const Napi::CallbackInfo& info);

}  // namespace krylov::binding
