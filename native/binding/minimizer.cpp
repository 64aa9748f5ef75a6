#include "minimizer.h"

#include "computation.h"

namespace krylov::binding {

namespace {

constexpr std::int64_t kMostResiduals = std::int64_t(1) << 31;

FunctionSources read_sources(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  FunctionSources sources;
  sources.value = fields.boolean("value");
  sources.gradient = fields.boolean("gradient");
  sources.hessian = fields.boolean("hessian");
  sources.ggn = fields.boolean("ggn");
  sources.residual_count = fields.integer("residualCount", 0, kMostResiduals);
  return sources;
}

const char* outcome_name(UpdateOutcome outcome) noexcept {
  switch (outcome) {
    case UpdateOutcome::kUpdated: return "updated";
    case UpdateOutcome::kConverged: return "converged";
    case UpdateOutcome::kStopped: return "stopped";
    case UpdateOutcome::kNotFinite: break;
  }
  return "notFinite";
}

Napi::Object write_report(Napi::Env env, UpdateOutcome outcome, const MinimizerReport& report) {
  Napi::Object object = write_step(env, {report.numbers, report.words});
  object.Set("outcome", outcome_name(outcome));
  object.Set("loss", report.loss);
  object.Set("learningRate", report.learning_rate);
  object.Set("accepted", report.accepted);
  object.Set("converged", report.converged);
  return object;
}

MinimizationState read_minimization_state(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  MinimizationState state;
  state.evaluations = fields.integer("evaluations", 0);
  if (const Napi::Value known = fields.get("value"); !known.IsNull()) state.value = number(known, fields.at("value"));
  state.gradient_known = fields.boolean("gradientKnown");
  MinimizerState& optimizer = state.optimizer;
  optimizer.updates = fields.integer("updates", 0);
  const Fields numbers(fields.get("numbers"), fields.at("numbers"));
  for (const std::string& key : numbers.keys()) optimizer.numbers.emplace_back(key, numbers.number(key.c_str()));
  for (const bool plain : {false, true}) {
    const char* const group = plain ? "plain" : "optimizer";
    const Fields arrays(fields.get(group), fields.at(group));
    for (const std::string& key : arrays.keys()) {
      optimizer.vectors.push_back({key, plain, read_doubles(arrays.get(key.c_str()), arrays.at(key.c_str()))});
    }
  }
  return state;
}

Napi::Object write_minimization_state(Napi::Env env, MinimizationState state) {
  auto numbers = Napi::Object::New(env), arrays = Napi::Object::New(env), plain = Napi::Object::New(env);
  for (const auto& [name, value] : state.optimizer.numbers) numbers.Set(name, value);
  for (MinimizerState::Vector& vector : state.optimizer.vectors) {
    (vector.plain ? plain : arrays).Set(vector.name, copy_array<double>(env, vector.values));
    vector.values = {};  // never all of them twice
  }
  auto object = Napi::Object::New(env);
  object.Set("updates", static_cast<double>(state.optimizer.updates));
  object.Set("evaluations", static_cast<double>(state.evaluations));
  object.Set("value", state.value ? Napi::Value(Napi::Number::New(env, *state.value)) : env.Null());
  object.Set("gradientKnown", state.gradient_known);
  object.Set("numbers", numbers);
  object.Set("optimizer", arrays);
  object.Set("plain", plain);
  return object;
}

// Marks the core as free when its procedure has ended or was given up.
class Busy {
 public:
  explicit Busy(std::shared_ptr<std::atomic<bool>> flag) noexcept : flag_(std::move(flag)) {
    flag_->store(true, std::memory_order_relaxed);
  }
  ~Busy() { end(); }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  void end() noexcept {
    if (!ended_) flag_->store(false, std::memory_order_release);
    ended_ = true;
  }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
  bool ended_ = false;
};

template <class CorePointer>
std::shared_ptr<Busy> mark_busy(const CorePointer& core) {
  return std::make_shared<Busy>(std::shared_ptr<std::atomic<bool>>(core, &core->busy));
}

// The procedure of a computation, which keeps the core.
template <class CorePointer, class Part>
Procedure<void> part_of(Session& session, CorePointer core, std::shared_ptr<Busy> busy, Part part) {
  co_await ((*core->minimization).*part)(session);
  busy->end();
}

}  // namespace

namespace {

Napi::Value write_gradients(Napi::Env env, const std::optional<GradientSummary>& gradients) {
  if (!gradients) return env.Null();
  auto object = Napi::Object::New(env);
  object.Set("update", static_cast<double>(gradients->update));
  object.Set("samples", static_cast<double>(gradients->samples));
  object.Set("norm", gradients->norm);
  object.Set("meanSampleNorm", gradients->mean_norm);
  object.Set("largestSampleNorm", gradients->largest_norm);
  object.Set("variance", gradients->variance);
  object.Set("squaredGradient", gradients->squared_gradient);
  object.Set("noiseScale", gradients->noise_scale);
  object.Set("averagedNoiseScale", gradients->averaged_noise_scale);
  object.Set("meanCosine", gradients->mean_cosine);
  object.Set("stepCosine", gradients->step_cosine);
  auto layers = Napi::Array::New(env, gradients->layers.size());
  for (std::uint32_t l = 0; l < gradients->layers.size(); ++l) {
    const LayerGradientSummary& own = gradients->layers[l];
    auto layer = Napi::Object::New(env);
    layer.Set("name", own.name);
    layer.Set("norm", own.norm);
    layer.Set("meanSampleNorm", own.mean_norm);
    layer.Set("largestSampleNorm", own.largest_norm);
    layers.Set(l, layer);
  }
  object.Set("layers", layers);
  return object;
}

}  // namespace

Napi::Object write_step(Napi::Env env, const StepNumbers& step) {
  auto numbers = Napi::Object::New(env);
  for (const auto& [name, value] : step.numbers) numbers.Set(name, value);
  auto words = Napi::Object::New(env);
  for (const auto& [name, value] : step.words) words.Set(name, value);
  auto object = Napi::Object::New(env);
  object.Set("numbers", numbers);
  object.Set("words", words);
  object.Set("gradients", write_gradients(env, step.gradients));
  return object;
}

Napi::Value write_step_if_any(Napi::Env env, const StepNumbers& step) {
  if (step.numbers.empty() && step.words.empty() && !step.gradients) return env.Null();
  return write_step(env, step);
}

Napi::Function NativeMinimization::define(Napi::Env env) {
  using M = NativeMinimization;
  return DefineClass(env, kName,
                     {method<M, &M::update>("update"), method<M, &M::evaluate>("evaluate"), method<M, &M::state>("state"),
                      method<M, &M::set_state>("setState"), method<M, &M::x>("x"),
                      getter<M, &M::updates>("updates"), getter<M, &M::evaluations>("evaluations"),
                      method<M, &M::dispose>("dispose")});
}

NativeMinimization::NativeMinimization(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guard(info.Env(), [&] {
    const OptimizerSpec spec = read_optimizer(info[0], "optimizer");
    const FunctionSources sources = read_sources(info[2], "sources");
    const Elements x0 = elements(info[1], "x0", "Float32Array or Float64Array");
    if (!x0.is_float()) fail(ErrorCode::kDType, "x0", "Float32Array or Float64Array", describe(info[1]));
    if (x0.length == 0) fail(ErrorCode::kShape, "x0", "at least one element", "none");
    const auto create = [&]<class T>(T) {
      auto core = std::make_shared<Core<T>>();
      const std::span<const T> start(reinterpret_cast<const T*>(x0.data), x0.length);
      check(krylov::Minimization<T>::create(spec, start, sources, core->minimization));
      memory_.attach(info.Env(), static_cast<std::int64_t>(8 * x0.bytes));
      core_ = std::move(core);
    };
    if (x0.dtype() == DType::kFloat32) {
      create(float());
    } else {
      create(double());
    }
    seal<NativeMinimization>(info);
  });
}

template <class Body>
auto NativeMinimization::visit(Body&& body) {
  return std::visit(
      [&](auto& core) {
        if (core == nullptr) fail(ErrorCode::kState, "minimization", "one in use", "a disposed one");
        if (core->busy.load(std::memory_order_acquire)) {
          fail(ErrorCode::kBusy, "minimization", "one whose last computation has ended", "one that is under way");
        }
        return body(core);
      },
      core_);
}

Napi::Value NativeMinimization::update(const Napi::CallbackInfo& info) {
  return visit([&]<class T>(std::shared_ptr<Core<T>>& kept) -> Napi::Value {
    const std::shared_ptr<Core<T>> core = kept;
    const std::shared_ptr<Busy> busy = mark_busy(core);
    return make_computation<T>(
        info.Env(), VectorLayout<T>(), core->minimization->threads(),
        [core, busy](Session& session) { return part_of(session, core, busy, &krylov::Minimization<T>::update); },
        [core](Napi::Env env) -> Napi::Value {
          return write_report(env, core->minimization->outcome(), core->minimization->report());
        });
  });
}

Napi::Value NativeMinimization::evaluate(const Napi::CallbackInfo& info) {
  return visit([&]<class T>(std::shared_ptr<Core<T>>& kept) -> Napi::Value {
    const std::shared_ptr<Core<T>> core = kept;
    const std::shared_ptr<Busy> busy = mark_busy(core);
    return make_computation<T>(
        info.Env(), VectorLayout<T>(), core->minimization->threads(),
        [core, busy](Session& session) { return part_of(session, core, busy, &krylov::Minimization<T>::evaluate); },
        [core](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, core->minimization->value()); });
  });
}

Napi::Value NativeMinimization::state(const Napi::CallbackInfo& info) {
  return visit([&](auto& core) -> Napi::Value {
    return write_minimization_state(info.Env(), core->minimization->save());
  });
}

void NativeMinimization::set_state(const Napi::CallbackInfo& info) {
  // The caller's code may run while it is read, and dispose of the object.
  const MinimizationState state = read_minimization_state(info[0], "state");
  visit([&](auto& core) { check(core->minimization->restore(state)); });
}

Napi::Value NativeMinimization::x(const Napi::CallbackInfo& info) {
  return visit([&]<class T>(std::shared_ptr<Core<T>>& core) -> Napi::Value {
    return copy_array<T>(info.Env(), core->minimization->x());
  });
}

Napi::Value NativeMinimization::updates(const Napi::CallbackInfo& info) {
  return visit([&](auto& core) -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(core->minimization->updates()));
  });
}

Napi::Value NativeMinimization::evaluations(const Napi::CallbackInfo& info) {
  return visit([&](auto& core) -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(core->minimization->evaluations()));
  });
}

void NativeMinimization::dispose(const Napi::CallbackInfo&) {
  std::visit([](auto& core) { core.reset(); }, core_);
  memory_.set(0);
}

}  // namespace krylov::binding
