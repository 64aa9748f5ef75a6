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
    if (Status s = StepEngine<T>::create(network, options_, options_.batch_size, engine_); !s.ok()) return s;
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
  void describe(StepNumbers& numbers) const override { engine_->describe(numbers); }

  void run_steps(Team& team, typename Clock::time_point slice) noexcept override {
    slice_ = slice;
    stop_ = false;
    begin_step();
    steps_start_ = Clock::now();
    team_ = &team;
    team.run(threads_, [](void* run, int t, int n) noexcept { static_cast<Run*>(run)->body(t, n); }, this);
    train_seconds_ += this->seconds_since(steps_start_);
  }

  void begin_step() noexcept {
    const std::span<const std::uint32_t> rows = sampler_.next(options_.batch_size);
    engine_->begin(*data_, rows.data(), static_cast<std::int64_t>(rows.size()));
    step_rows_ = static_cast<std::int64_t>(rows.size());
  }

  void body(int thread, int threads) noexcept {
    Barrier& barrier = team_->barrier();
    while (true) {
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
    this->record_step(loss, rate, step_rows_);
    if (!engine_->update_finite()) {
      stop_ = true;
      this->end(EndReason::kNotFinite, engine_->not_finite_in());
      return;
    }
    if (this->wants_step_record()) this->tell_step(loss, train_seconds_ + this->seconds_since(steps_start_));
    stop_ = sampler_.done() || this->aborting() || this->seconds_since(slice_) >= Base::kSliceSeconds;
    if (!stop_) begin_step();
  }

  std::unique_ptr<StepEngine<T>> engine_;
  Team* team_ = nullptr;
  bool stop_ = false;
  std::int64_t step_rows_ = 0;
  typename Clock::time_point slice_, steps_start_;
};

}  // namespace

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
