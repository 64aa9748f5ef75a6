// A run of an update rule: slices of steps, each in the phases of the step
// engine, on every thread of the team.
#include <algorithm>

#include "krylov/minimizer.h"
#include "training/epoch_run.h"
#include "training/step_engine.h"

namespace krylov {

namespace {

template <Scalar T>
class Run final : public EpochRun<T> {
  using Base = EpochRun<T>;
  using typename Base::Clock;
  using Base::data_, Base::ended_, Base::learning_rate_, Base::model_, Base::options_, Base::parameters_,
      Base::sampler_, Base::threads_, Base::train_seconds_;

 public:
  Run(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data, const TrainingOptions& options,
      std::unique_ptr<RunObserver> observer)
      : Base(std::move(model), std::move(data), options, std::move(observer)) {}
  using Base::prepare;

 private:
  Status prepare_steps() override {
    const Network<T>& network = model_->network();
    if (Status s = check_private_run(options_, sampler_->count()); !s.ok()) return s;
    if (Status s = StepEngine<T>::create(network, options_, largest_draw(), engine_); !s.ok()) return s;
    if (options_.has_state) {
      if (Status s = engine_->restore(options_.state); !s.ok()) return s;
      // A state from the end of an epoch, before its record: that has the rate of the update before.
      UpdateRule<T>& rule = engine_->optimizer().rule();
      rule.prepare(std::max<std::int64_t>(1, updates()));
      learning_rate_ = rule.learning_rate();
    }
    engine_->attach(parameters_.data());
    threads_ = useful_threads(network.step_cost() * double(options_.batch_size), options_.batch_size, options_.threads);
    return Status::success();
  }

  std::int64_t updates() const noexcept override { return engine_->step(); }
  TrainingState optimizer_state() const override { return engine_->save(); }
  void describe(StepNumbers& numbers) const override {
    engine_->describe(numbers);
    sampler_->describe(numbers);
  }
  std::int64_t largest_draw() const noexcept {
    if (!options_.sampling) return options_.batch_size;
    return krylov::largest_draw(*options_.sampling, sampler_->count(), options_.batch_size);
  }

  // A step whose weights the caller gives has stopped after its losses; it is taken back on an abort.
  bool is_settled() const noexcept override { return !pending_; }
  bool waiting() const noexcept override { return pending_ && !answered_; }
  void ask() override {
    WeightRequest request = engine_->request();
    request.epoch = this->current_epoch();
    this->observer_->on_weights(request);
  }
  Status answer_weights(std::span<const double> weights) override {
    if (!waiting()) return Status::error(ErrorCode::kState, "run", "a run that waits for weights");
    const std::span<double> to = engine_->weights();
    if (weights.size() != to.size()) {
      return Status::error(ErrorCode::kShape, "weights", "one for each sample of the step",
                           static_cast<std::int64_t>(weights.size()), static_cast<std::int64_t>(to.size()));
    }
    std::copy(weights.begin(), weights.end(), to.begin());
    answered_ = true;
    return Status::success();
  }
  void settle(Team&) noexcept override {
    if (pending_) sampler_->set_position(position_);
    pending_ = answered_ = false;
  }

  void run_steps(Team& team, typename Clock::time_point slice) noexcept override {
    if (engine_->asks()) return take_half(team);
    slice_ = slice;
    stop_ = false;
    steps_start_ = Clock::now();
    if (!begin_step()) return;
    team_ = &team;
    team.run(threads_, [](void* run, int t, int n) noexcept { static_cast<Run*>(run)->body(t, n); }, this);
    train_seconds_ += this->seconds_since(steps_start_);
  }

  using Part = void (StepEngine<T>::*)(Barrier*, int, int) noexcept;
  void run_part(Team& team, Part part) noexcept {
    struct Call {
      StepEngine<T>* engine;
      Part part;
      Barrier* barrier;
    } call{engine_.get(), part, &team.barrier()};
    team.run(
        threads_,
        [](void* self, int t, int n) noexcept {
          const Call& c = *static_cast<Call*>(self);
          (c.engine->*c.part)(c.barrier, t, n);
        },
        &call);
  }

  // A step up to its losses, or from there to its end.
  void take_half(Team& team) noexcept {
    const Part half = pending_ ? &StepEngine<T>::take_update : &StepEngine<T>::take_losses;
    steps_start_ = Clock::now();
    if (!pending_) {
      position_ = sampler_->position();
      if (!begin_step()) return;
      if (scoring_) {
        run_part(team, &StepEngine<T>::score);
        begin_draw();
      }
    }
    run_part(team, half);
    pending_ = !pending_ && engine_->updated();
    answered_ = false;
    // Of a draw without rows there is nothing to ask.
    if (pending_ && step_rows_ == 0) {
      run_part(team, &StepEngine<T>::take_update);
      pending_ = false;
    }
    if (!pending_) end_step();
    train_seconds_ += this->seconds_since(steps_start_);
  }

  // Draws the rows of the next step, or a pool of rows to be scored first. Draws without rows are passed over, unless
  // they are steps as well; false where no others are left in the epoch.
  bool begin_step() noexcept {
    do {
      const std::span<const std::uint32_t> pool = sampler_->pool(options_.batch_size);
      scoring_ = !pool.empty();
      if (scoring_) {
        engine_->begin_scores(*data_, pool.data(), static_cast<std::int64_t>(pool.size()));
        return true;
      }
      begin_draw();
    } while (!takes() && !sampler_->done());
    return takes();
  }
  bool takes() const noexcept { return step_rows_ > 0 || engine_->takes_empty(); }
  void begin_draw() noexcept {
    const Draw draw = sampler_->next(options_.batch_size, scoring_ ? engine_->scores() : std::span<const double>{});
    scoring_ = false;
    step_rows_ = static_cast<std::int64_t>(draw.rows.size());
    if (takes()) engine_->begin(*data_, draw.rows.data(), step_rows_, draw.factors);
  }

  void body(int thread, int threads) noexcept {
    Barrier& barrier = team_->barrier();
    while (true) {
      if (scoring_) {
        engine_->score(&barrier, thread, threads);
        barrier.wait(thread, threads);
        if (thread == 0) begin_draw();
        barrier.wait(thread, threads);
      }
      engine_->take(&barrier, thread, threads);
      barrier.wait(thread, threads);
      if (thread == 0) end_step();
      barrier.wait(thread, threads);
      if (stop_) return;
    }
  }

  // One thread, while the others wait: counts the step and begins the next.
  void end_step() noexcept {
    if (!engine_->updated()) {
      stop_ = true;
      this->end(EndReason::kNotFinite, engine_->not_finite_in());
      return;
    }
    const double rate = engine_->optimizer().rule().learning_rate();
    const double loss = engine_->loss();
    engine_->end();
    sampler_->learn(engine_->scores());
    this->record_step(loss, rate, step_rows_);
    if (!engine_->update_finite()) {
      stop_ = true;
      this->end(EndReason::kNotFinite, engine_->not_finite_in());
      return;
    }
    if (this->wants_step_record()) this->tell_step(loss, train_seconds_ + this->seconds_since(steps_start_));
    stop_ = engine_->asks() || sampler_->done() || this->aborting() || this->seconds_since(slice_) >= Base::kSliceSeconds;
    if (!stop_) stop_ = !begin_step();
  }

  std::unique_ptr<StepEngine<T>> engine_;
  Team* team_ = nullptr;
  bool stop_ = false, scoring_ = false;
  bool pending_ = false, answered_ = false;
  std::int64_t step_rows_ = 0, position_ = 0;
  typename Clock::time_point slice_, steps_start_;
};

}  // namespace

Status TrainingRun::answer_weights(std::span<const double>) {
  return Status::error(ErrorCode::kState, "run", "a run that waits for weights");
}

template <Scalar T>
Status create_run(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data, const TrainingOptions& options,
                  std::unique_ptr<RunObserver> observer, std::shared_ptr<TrainingRun>& out) {
  if (is_minimizer(options.optimizer.kind)) {
    if (Status s = check_no_stages(options); !s.ok()) return s;
    return create_minimizer_run<T>(std::move(model), std::move(data), options, std::move(observer), out);
  }
  auto run = std::make_shared<Run<T>>(std::move(model), std::move(data), options, std::move(observer));
  if (Status s = run->prepare(); !s.ok()) return s;
  out = std::move(run);
  return Status::success();
}
template Status create_run(std::shared_ptr<Model<float>>, std::shared_ptr<const Dataset>, const TrainingOptions&,
                           std::unique_ptr<RunObserver>, std::shared_ptr<TrainingRun>&);
template Status create_run(std::shared_ptr<Model<double>>, std::shared_ptr<const Dataset>, const TrainingOptions&,
                           std::unique_ptr<RunObserver>, std::shared_ptr<TrainingRun>&);

}  // namespace krylov
