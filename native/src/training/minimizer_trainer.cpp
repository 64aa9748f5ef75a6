// One update of a minimizer at a time, on the caller's batches. Each batch is
// selected anew: nothing of a batch outlives its step.
#include <algorithm>
#include <cstring>

#include "training/epoch_run.h"
#include "training/minimizer_update.h"
#include "training/network_objective.h"
#include "training/sample_losses.h"
#include "training/tasks.h"

namespace krylov {

namespace {

// A data set of the caller, which lives until the step is over.
std::shared_ptr<const Dataset> borrowed(const Dataset& data) noexcept {
  return std::shared_ptr<const Dataset>(std::shared_ptr<const Dataset>(), &data);
}

template <Scalar T>
class MinimizerTrainer final : public Trainer<T> {
 public:
  MinimizerTrainer(std::shared_ptr<Model<T>> model, const TrainingOptions& options)
      : model_(std::move(model)), options_(options), losses_(losses_of(options.tasks)),
        parameters_(static_cast<std::size_t>(model_->network().arena_size())), before_(parameters_.size()),
        losses_of_samples_(model_->network(), losses_) {}

  Status prepare() {
    const std::shared_ptr<const Network<T>> network(model_, &model_->network());
    if (Status s = NetworkObjective<T>::create(network, losses_, options_.l2, options_.threads, options_.seed, objective_);
        !s.ok()) {
      return s;
    }
    if (Status s = make_minimizer<T>(options_.optimizer, *objective_, minimizer_); !s.ok()) return s;
    return options_.has_state ? set_state(options_.state) : Status::success();
  }

  Status step(const Dataset& batch, StepResult& result) override { return step(batch, batch, result); }

  Status step(const Dataset& batch, const Dataset& curvature, StepResult& result) override {
    for (const Dataset* data : {&batch, &curvature}) {
      const char* name = data == &batch ? "batch" : "curvature";
      if (data->rows() < 1) return Status::error(ErrorCode::kShape, name, "at least one row", data->rows());
      if (Status s = check_dataset<T>(model_->network(), losses_, *data); !s.ok()) return s;
    }
    if (!model_->try_acquire()) return Status::error(ErrorCode::kBusy, "model", "a model that no run is training");
    const Status status = locked_step(batch, curvature, result);
    model_->release();
    return status;
  }

  TrainingState state() const override {
    TrainingState state = to_training_state(minimizer_->save(), model_->network());
    state.seed = options_.seed;
    return state;
  }
  Status set_state(const TrainingState& state) override {
    MinimizerState own;
    if (Status s = to_minimizer_state(state, model_->network(), own); !s.ok()) return s;
    if (Status s = minimizer_->restore(own); !s.ok()) return s;
    options_.seed = state.seed;
    objective_->set_seed(state.seed);
    return Status::success();
  }

 private:
  Status locked_step(const Dataset& batch, const Dataset& curvature, StepResult& result) {
    if (Status s = objective_->select(Samples::kGradient, borrowed(batch), nullptr, batch.rows()); !s.ok()) return s;
    if (Status s = objective_->select(Samples::kCurvature, borrowed(curvature), nullptr, curvature.rows()); !s.ok()) return s;
    model_->snapshot(parameters_.span());
    std::memcpy(before_.data(), parameters_.data(), before_.bytes());
    UpdateResult update;
    Session session(objective_->threads());
    session.start(run_update<T>(session, *objective_, *minimizer_, parameters_.data(), before_.data(), update));
    ComputeThread::instance().lead_and_wait(
        session.threads(),
        [](void* of, Team& team) noexcept {
          auto& running = *static_cast<Session*>(of);
          while (running.state() != Session::State::kFinished) running.resume(team);
        },
        &session);
    if (session.failure() != nullptr) return Status::error(ErrorCode::kNative, "memory", "enough for this step");
    model_->publish(parameters_.span());
    finish(batch, update, result);
    return Status::success();
  }

  void finish(const Dataset& batch, UpdateResult& update, StepResult& result) {
    MinimizerReport& report = update.report;
    result.loss = report.loss;
    result.learning_rate = report.learning_rate;
    result.updates = minimizer_->updates();
    result.finite = update.outcome != UpdateOutcome::kNotFinite;
    result.accepted = result.finite && report.accepted;
    result.converged = report.converged;
    result.step.numbers = std::move(report.numbers);
    result.step.words = std::move(report.words);
    losses_of_samples_.compute(batch, before_.data(), options_.threads, result.head_losses, result.sample_losses);
  }

  std::shared_ptr<Model<T>> model_;
  TrainingOptions options_;
  std::vector<LossSpec> losses_;
  AlignedBuffer<T> parameters_, before_;
  SampleLosses<T> losses_of_samples_;
  std::unique_ptr<NetworkObjective<T>> objective_;
  std::unique_ptr<Minimizer<T>> minimizer_;
};

}  // namespace

template <Scalar T>
Status create_minimizer_trainer(std::shared_ptr<Model<T>> model, const TrainingOptions& options,
                                std::unique_ptr<Trainer<T>>& out) {
  auto trainer = std::make_unique<MinimizerTrainer<T>>(std::move(model), options);
  if (Status s = trainer->prepare(); !s.ok()) return s;
  out = std::move(trainer);
  return Status::success();
}
template Status create_minimizer_trainer(std::shared_ptr<Model<float>>, const TrainingOptions&,
                                         std::unique_ptr<Trainer<float>>&);
template Status create_minimizer_trainer(std::shared_ptr<Model<double>>, const TrainingOptions&,
                                         std::unique_ptr<Trainer<double>>&);

}  // namespace krylov
