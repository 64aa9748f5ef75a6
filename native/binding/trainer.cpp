#include "trainer.h"

#include <algorithm>

#include "dataset.h"
#include "minimizer.h"
#include "sample_weights.h"
#include "specs.h"

namespace krylov::binding {

Napi::Function NativeTrainer::define(Napi::Env env) {
  using R = NativeTrainer;
  return DefineClass(env, kName,
                     {method<R, &R::step>("step"), method<R, &R::state>("state"),
                      method<R, &R::set_state>("setState"), method<R, &R::dispose>("dispose")});
}

NativeTrainer::NativeTrainer(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guard(info.Env(), [&] {
    content_ = std::move(take_content<NativeTrainer>(info));
    seal<NativeTrainer>(info);
  });
}

void NativeTrainer::check_usable() const {
  if (disposed_) fail(ErrorCode::kState, "trainer", "a trainer in use", "a disposed one");
  if (stepping_) fail(ErrorCode::kBusy, "trainer", "a trainer between steps", "one that waits for weights");
}

namespace {

class Flag {
 public:
  explicit Flag(bool& flag) noexcept : flag_(flag) { flag_ = true; }
  ~Flag() { flag_ = false; }
  Flag(const Flag&) = delete;
  Flag& operator=(const Flag&) = delete;

 private:
  bool& flag_;
};

// Calls the function for the weights of a step.
WeightFunction calling(Napi::Env env, const Napi::Function& function) {
  return [env, function](const WeightRequest& request, std::span<double> weights) {
    const Napi::Value answer = function.Call({write_weight_request(env, request)});
    const auto length = static_cast<std::int64_t>(weights.size());
    const std::span<const double> from = typed<double>(answer, "weights", length);
    std::copy(from.begin(), from.end(), weights.begin());
  };
}

}  // namespace

Napi::Value NativeTrainer::step(const Napi::CallbackInfo& info) {
  check_usable();
  const auto batch = unwrap<NativeDataset>(info[0], "batch").data("batch");
  std::shared_ptr<const krylov::Dataset> curvature;
  if (!info[1].IsNull()) curvature = unwrap<NativeDataset>(info[1], "curvature").data("curvature");
  const Napi::Env env = info.Env();
  WeightFunction weights;
  if (!info[2].IsNull()) weights = calling(env, function(info[2], "weights"));
  const Flag flag(stepping_);
  StepResult step;
  content_.model->visit([&]<class T>(std::shared_ptr<krylov::Model<T>>& model) {
    check_rows(model->network(), batch->rows(), "batch");
    if (curvature != nullptr) check_rows(model->network(), curvature->rows(), "curvature");
    if (model->busy()) fail(ErrorCode::kBusy, "model", "a model that no run is training", "one that is being trained");
    try {
      krylov::Trainer<T>& trainer = *std::get<std::unique_ptr<krylov::Trainer<T>>>(content_.trainer);
      trainer.set_weight_function(std::move(weights));
      check(curvature == nullptr ? trainer.step(*batch, step) : trainer.step(*batch, *curvature, step));
    } catch (...) {
      // Memory that ran out inside the step: nobody else can have taken the
      // model meanwhile, since only this thread starts runs on it.
      model->release();
      throw;
    }
  });
  auto result = Napi::Object::New(env);
  result.Set("loss", step.loss);
  result.Set("headLosses", number_array(env, step.head_losses));
  result.Set("lossPerSample", copy_array<double>(env, step.sample_losses));
  result.Set("learningRate", step.learning_rate);
  result.Set("updates", static_cast<double>(step.updates));
  result.Set("finite", step.finite);
  result.Set("accepted", step.accepted);
  result.Set("converged", step.converged);
  result.Set("step", write_step_if_any(env, step.step));
  return result;
}

Napi::Value NativeTrainer::state(const Napi::CallbackInfo& info) {
  check_usable();
  const TrainingState state = std::visit([](auto& trainer) { return trainer->state(); }, content_.trainer);
  const DType dtype = content_.trainer.index() == 0 ? DType::kFloat32 : DType::kFloat64;
  return write_state(info.Env(), state, dtype);
}

void NativeTrainer::set_state(const Napi::CallbackInfo& info) {
  const TrainingState state = read_state(info[0], "state");
  check_usable();
  check(std::visit([&](auto& trainer) { return trainer->set_state(state); }, content_.trainer));
}

void NativeTrainer::dispose(const Napi::CallbackInfo&) {
  if (stepping_) check_usable();
  disposed_ = true;
  std::visit([](auto& trainer) { trainer.reset(); }, content_.trainer);
  content_.model.reset();
}

}  // namespace krylov::binding
