// One step at a time, for scripts and tests: the step engine on the caller's
// batches, straight on the model's parameters.
#include <algorithm>
#include <cstring>

#include "krylov/minimizer.h"
#include "krylov/training.h"
#include "training/epoch_run.h"
#include "training/step_engine.h"

namespace krylov {

namespace {

// Multiply-adds below which a single step is done sooner on the caller's thread
// than by waking the compute thread and its team (about 0.1 ms there and back).
constexpr double kWorthHandingOver = 12e6;

template <Scalar T>
class StepTrainer final : public Trainer<T> {
 public:
  StepTrainer(std::shared_ptr<Model<T>> model, const TrainingOptions& options)
      : model_(std::move(model)), options_(options),
        parameters_(static_cast<std::size_t>(model_->network().arena_size())) {}

  Status prepare() {
    if (Status s = make_engine(std::max<std::int64_t>(1, options_.batch_size)); !s.ok()) return s;
    return options_.has_state ? set_state(options_.state) : Status::success();
  }

  Status step(const Dataset& batch, StepResult& result) override {
    if (batch.rows() < 1) return Status::error(ErrorCode::kShape, "batch", "at least one row", batch.rows());
    if (Status s = check_dataset<T>(model_->network(), engine_->batch().losses(), batch); !s.ok()) return s;
    if (engine_->asks() && !weight_function_) {
      return Status::error(ErrorCode::kState, "weights", "a function that gives them");
    }
    if (!model_->try_acquire()) return Status::error(ErrorCode::kBusy, "model", "a model that no run is training");
    if (Status s = grow(batch.rows()); !s.ok()) {
      model_->release();
      return s;
    }
    if (version_ != model_->version() || !attached_) {
      model_->snapshot(parameters_.span());
      engine_->attach(parameters_.data());
      attached_ = true;
    }
    engine_->begin(batch, nullptr, batch.rows());
    const double cost = model_->network().step_cost() * double(batch.rows());
    const int threads = cost < kWorthHandingOver ? 1 : useful_threads(cost, batch.rows(), options_.threads);
    threads_ = threads;
    if (engine_->asks()) {
      run(&StepEngine<T>::take_losses);
      if (engine_->updated()) {
        weight_function_(engine_->request(), engine_->weights());
        run(&StepEngine<T>::take_update);
      }
    } else {
      run(&StepEngine<T>::take);
    }
    finish(result);
    model_->publish(parameters_.span());
    version_ = model_->version();
    model_->release();
    return Status::success();
  }

  void set_weight_function(WeightFunction function) override { weight_function_ = std::move(function); }

  TrainingState state() const override {
    TrainingState state = engine_->save();
    state.seed = options_.seed;
    return state;
  }
  Status set_state(const TrainingState& state) override {
    // On an engine of its own, so that a state that does not fit changes nothing and one of no updates starts anew.
    std::unique_ptr<StepEngine<T>> fresh;
    if (Status s = StepEngine<T>::create(model_->network(), options_, engine_->max_rows(), fresh); !s.ok()) return s;
    if (Status s = fresh->restore(state); !s.ok()) return s;
    engine_ = std::move(fresh);
    options_.seed = state.seed;
    engine_->set_seed(state.seed);
    attached_ = false;
    return Status::success();
  }

 private:
  Status make_engine(std::int64_t rows) {
    attached_ = false;
    return StepEngine<T>::create(model_->network(), options_, rows, engine_);
  }

  // A larger batch than any before takes a new workspace; the optimizer's state moves over.
  Status grow(std::int64_t rows) {
    if (rows <= engine_->max_rows()) return Status::success();
    const TrainingState state = engine_->save();
    if (Status s = make_engine(rows); !s.ok()) return s;
    return engine_->restore(state);
  }

  using Part = void (StepEngine<T>::*)(Barrier*, int, int) noexcept;
  void run(Part part) {
    part_ = part;
    if (threads_ == 1) return body(nullptr, 0, 1);
    ComputeThread::instance().lead_and_wait(
        threads_, [](void* self, Team& team) noexcept { static_cast<StepTrainer*>(self)->lead(team); }, this);
  }

  void lead(Team& team) noexcept {
    team_ = &team;
    team.run(
        threads_,
        [](void* self, int t, int n) noexcept {
          auto& trainer = *static_cast<StepTrainer*>(self);
          trainer.body(&trainer.team_->barrier(), t, n);
        },
        this);
  }

  void body(Barrier* barrier, int thread, int threads) noexcept {
    (engine_.get()->*part_)(barrier, thread, threads);
  }

  void finish(StepResult& result) {
    const Batch<T>& batch = engine_->batch();
    result.loss = engine_->loss();
    result.learning_rate = engine_->optimizer().rule().learning_rate();
    result.finite = engine_->updated() && engine_->update_finite();
    if (engine_->updated()) engine_->end();
    result.updates = engine_->step();
    result.step = {};
    engine_->describe(result.step);
    result.head_losses.clear();
    result.sample_losses.assign(static_cast<std::size_t>(batch.rows()), 0.0);
    for (std::size_t h = 0; h < batch.losses().size(); ++h) {
      result.head_losses.push_back(batch.head_loss(h));
      const auto losses = batch.sample_losses(h);
      for (std::size_t r = 0; r < losses.size(); ++r) result.sample_losses[r] += batch.losses()[h].weight * losses[r];
    }
  }

  std::shared_ptr<Model<T>> model_;
  TrainingOptions options_;
  AlignedBuffer<T> parameters_;
  std::unique_ptr<StepEngine<T>> engine_;
  WeightFunction weight_function_;
  Part part_ = nullptr;
  Team* team_ = nullptr;
  int threads_ = 1;
  bool attached_ = false;
  std::uint64_t version_ = 0;
};

}  // namespace

template <Scalar T>
Status Trainer<T>::create(std::shared_ptr<Model<T>> model, const TrainingOptions& options,
                          std::unique_ptr<Trainer>& out) {
  if (options.sampling) {
    return Status::error(ErrorCode::kOption, "sampling", "none: the caller of a trainer brings the batches");
  }
  if (is_minimizer(options.optimizer.kind)) {
    if (Status s = check_no_stages(options); !s.ok()) return s;
    return create_minimizer_trainer<T>(std::move(model), options, out);
  }
  auto trainer = std::make_unique<StepTrainer<T>>(std::move(model), options);
  if (Status s = trainer->prepare(); !s.ok()) return s;
  out = std::move(trainer);
  return Status::success();
}
template <Scalar T>
Status Trainer<T>::step(const Dataset&, const Dataset&, StepResult&) {
  return Status::error(ErrorCode::kOption, "curvature", "none: this optimizer does not look at curvature");
}
template class Trainer<float>;
template class Trainer<double>;

}  // namespace krylov
