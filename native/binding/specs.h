// Readers of specs: the plain objects of src/internal/native-types.ts into the
// core's descriptions. Every option is read, checked for type and range, and
// named in the error; what follows from shapes is checked by the core.
#pragma once

#include "values.h"

#include "krylov/model.h"
#include "krylov/network.h"
#include "krylov/spec.h"
#include "krylov/training.h"

namespace krylov::binding {

// Seeds are exact as JavaScript numbers.
std::uint64_t read_seed(const Napi::Value& value, std::string_view name);
int read_threads(const Napi::Value& value, std::string_view name);

NetworkSpec read_network(const Napi::Value& value, const std::string& path);
LossSpec read_loss(const Napi::Value& value, const std::string& path);
std::vector<HeadTask> read_tasks(const Napi::Value& value, const std::string& path);
Surrogate read_surrogate(const Fields& fields, const char* key);
ScheduleSpec read_schedule(const Napi::Value& value, const std::string& path, int depth = 0);
OptimizerSpec read_optimizer(const Napi::Value& value, const std::string& path);
// Any float array.
std::vector<double> read_doubles(const Napi::Value& array, const std::string& name);
// Of the softmax radius, without the step's length.
RadiusOptions read_radius(const Fields& fields);
TrainingState read_state(const Napi::Value& value, const std::string& path);
TrainingOptions read_options(const Napi::Value& value, const std::string& path);
// What runs record of the curvature.
StabilityOptions read_stability(const Napi::Value& value, const std::string& path);
GradientRecordSpec read_gradient_record(const Napi::Value& value, const std::string& path);

Output read_output(const Napi::Value& value, std::string_view name);
Link read_link(const Napi::Value& value, std::string_view name);

Napi::Object write_evaluation(Napi::Env env, const Evaluation& evaluation);
// Arrays take the dtype of the model.
Napi::Object write_state(Napi::Env env, const TrainingState& state, DType dtype);

}  // namespace krylov::binding
