// A run of epochs as a job: slices of steps, then slices of validation, until
// the epochs are done, early stopping ends it, a number is not finite, or it is
// aborted. All decisions fall on the compute thread between slices.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>

#include "krylov/training.h"
#include "training/evaluator.h"
#include "training/sampler.h"
#include "training/step_engine.h"

namespace krylov {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) noexcept {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

constexpr double kSliceSeconds = Job::kSliceMilliseconds * 1e-3;
// How often readers of a busy model get newer parameters.
constexpr double kPublishSeconds = 0.2;

template <Scalar T>
class Run final : public TrainingRun {
 public:
  Run(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data, const TrainingOptions& options,
      std::unique_ptr<RunObserver> observer)
      : model_(std::move(model)), data_(std::move(data)), options_(options), observer_(std::move(observer)),
        sampler_(data_->rows(), options_.rows, options_.shuffle, options_.seed),
        parameters_(static_cast<std::size_t>(model_->network().arena_size())) {}

  Status prepare() {
    const Network<T>& network = model_->network();
    const bool none = options_.has_rows && options_.rows.empty();
    if (none || sampler_.count() < 1) return Status::error(ErrorCode::kShape, "data", "at least one row to train on");
    if (options_.batch_size < 1) return Status::error(ErrorCode::kOption, "batchSize", "at least 1", options_.batch_size);
    options_.batch_size = std::min(options_.batch_size, sampler_.count());
    if (Status s = StepEngine<T>::create(network, options_, options_.batch_size, engine_); !s.ok()) return s;
    if (Status s = check_dataset<T>(network, engine_->batch().losses(), *data_); !s.ok()) return s;
    for (const std::uint32_t row : options_.rows) {
      if (row >= data_->rows()) return Status::error(ErrorCode::kShape, "rows", "indices below the number of rows", row, data_->rows());
    }
    const Dataset* validation = validation_data();
    if (validation != nullptr) {
      if (Status s = check_dataset<T>(network, engine_->batch().losses(), *validation); !s.ok()) return s;
      for (const std::uint32_t row : options_.validation_rows) {
        if (row >= validation->rows()) {
          return Status::error(ErrorCode::kShape, "validationRows", "indices below the number of rows", row, validation->rows());
        }
      }
      if (Status s = Evaluator<T>::create(network, options_.tasks, options_.l2, evaluator_); !s.ok()) return s;
    }
    if (options_.has_early_stopping) {
      if (Status s = check_early_stopping(); !s.ok()) return s;
      if (options_.early_stopping.restore_best) best_parameters_ = AlignedBuffer<T>(parameters_.size());
    }
    if (options_.has_state) {
      if (Status s = engine_->restore(options_.state); !s.ok()) return s;
      if (options_.state.position < 0 || options_.state.position > sampler_.count() || options_.state.epoch < 0) {
        return Status::error(ErrorCode::kState, "state", "a position within this data set", options_.state.position,
                             sampler_.count());
      }
      epoch_ = options_.state.epoch;
    }
    model_->snapshot(parameters_.span());
    engine_->attach(parameters_.data());
    threads_ = useful_threads(network.step_cost() * double(options_.batch_size), options_.batch_size, options_.threads);
    if (epoch_ < options_.epochs) start_epoch(options_.has_state);
    return Status::success();
  }

  int threads() const noexcept override { return threads_; }

  bool advance(Team& team) noexcept override {
    const Clock::time_point start = Clock::now();
    while (!ended_ && seconds_since(start) < kSliceSeconds) {
      if (abort_.load(std::memory_order_relaxed)) {
        end(EndReason::kAborted);
      } else if (epoch_ >= options_.epochs) {
        end(EndReason::kCompleted);
      } else if (validating_) {
        if (!evaluator_->advance(team, threads_)) finish_epoch();
        validation_seconds_ = seconds_since(validation_start_);
      } else {
        run_steps(team, start);
      }
    }
    if (!ended_ && seconds_since(published_) > kPublishSeconds && model_->try_publish(parameters_.span())) {
      published_ = Clock::now();
    }
    return !ended_;
  }

  void finished() noexcept override {
    model_->release();
    observer_->on_end(end_);
  }

  void abort() noexcept override { abort_.store(true, std::memory_order_relaxed); }

  TrainingState state() const override {
    TrainingState state = engine_->save();
    state.epoch = epoch_;
    state.position = epoch_ < options_.epochs ? sampler_.position() : 0;
    state.seed = options_.seed;
    state.loss_sum = loss_sum_;
    state.weight_sum = weight_sum_;
    return state;
  }

 private:
  const Dataset* validation_data() const noexcept {
    return options_.validation != nullptr ? options_.validation.get()
           : options_.has_validation_rows ? data_.get()
                                          : nullptr;
  }

  Status check_early_stopping() const noexcept {
    const EarlyStopping& e = options_.early_stopping;
    if (e.metric < 0) return Status::success();
    if (evaluator_ == nullptr) return Status::error(ErrorCode::kOption, "earlyStopping", "validation data for a metric to be monitored");
    if (e.head < 0 || static_cast<std::size_t>(e.head) >= options_.tasks.size() ||
        static_cast<std::size_t>(e.metric) >= options_.tasks[static_cast<std::size_t>(e.head)].metrics.size()) {
      return Status::error(ErrorCode::kOption, "earlyStopping", "a metric that is computed");
    }
    return Status::success();
  }

  void start_epoch(bool resumed) noexcept {
    sampler_.start_epoch(epoch_);
    loss_sum_ = weight_sum_ = train_seconds_ = validation_seconds_ = 0;
    if (!resumed) return;
    sampler_.set_position(options_.state.position);
    loss_sum_ = options_.state.loss_sum;
    weight_sum_ = options_.state.weight_sum;
  }

  // Steps until the slice or the epoch ends.
  void run_steps(Team& team, Clock::time_point slice) noexcept {
    if (!sampler_.done()) {
      slice_ = slice;
      stop_ = false;
      begin_step();
      steps_start_ = Clock::now();
      team_ = &team;
      team.run(threads_, [](void* run, int t, int n) noexcept { static_cast<Run*>(run)->body(t, n); }, this);
      train_seconds_ += seconds_since(steps_start_);
    }
    if (ended_ || !sampler_.done()) return;
    if (evaluator_ != nullptr) {
      const std::vector<std::uint32_t>& rows = options_.validation_rows;
      const bool all = !options_.has_validation_rows;
      evaluator_->begin(parameters_.data(), *validation_data(), all ? nullptr : rows.data(),
                        all ? validation_data()->rows() : static_cast<std::int64_t>(rows.size()));
      validating_ = true;
      validation_start_ = Clock::now();
    } else {
      finish_epoch();
    }
  }

  void begin_step() noexcept {
    const std::span<const std::uint32_t> rows = sampler_.next(options_.batch_size);
    engine_->begin(*data_, rows.data(), static_cast<std::int64_t>(rows.size()));
    step_rows_ = static_cast<std::int64_t>(rows.size());
  }

  void body(int thread, int threads) noexcept {
    Barrier& barrier = team_->barrier();
    while (true) {
      if (engine_->has_place()) {
        engine_->place(thread, threads);
        barrier.wait(thread, threads);
      }
      engine_->rows(thread, threads);
      barrier.wait(thread, threads);
      if (engine_->losses_finite()) engine_->units(thread, threads);
      barrier.wait(thread, threads);
      if (thread == 0) end_step();
      barrier.wait(thread, threads);
      if (stop_) return;
    }
  }

  // One thread, while the others wait: counts the step and begins the next.
  void end_step() noexcept {
    if (!engine_->losses_finite()) {
      not_finite("loss");
      return;
    }
    const double rate = engine_->optimizer().rule().learning_rate();
    const double loss = engine_->loss();
    engine_->end();
    learning_rate_ = rate;
    loss_sum_ += loss * double(step_rows_);
    weight_sum_ += double(step_rows_);
    if (engine_->not_finite_unit() >= 0) {
      bad_unit_ = engine_->not_finite_unit();
      not_finite("");
      return;
    }
    const bool report = options_.step_every > 0 && engine_->step() % options_.step_every == 0;
    if (report) {
      observer_->on_step({epoch_ + 1, engine_->step(), sampler_.position(), sampler_.count(), loss, rate,
                          total_seconds_ + train_seconds_ + seconds_since(steps_start_)});
    }
    stop_ = sampler_.done() || abort_.load(std::memory_order_relaxed) || seconds_since(slice_) >= kSliceSeconds;
    if (!stop_) begin_step();
  }

  void not_finite(const char* where) noexcept {
    stop_ = true;
    not_finite_loss_ = where[0] != '\0';
    end(EndReason::kNotFinite);
  }

  void finish_epoch() noexcept {
    EpochRecord record;
    record.epoch = epoch_ + 1;
    record.updates = engine_->step();
    record.samples = static_cast<std::int64_t>(weight_sum_);
    record.loss = weight_sum_ > 0 ? loss_sum_ / weight_sum_ : 0;
    record.learning_rate = learning_rate_;
    record.train_seconds = train_seconds_;
    if (validating_) {
      validating_ = false;
      record.validated = true;
      record.validation = evaluator_->result();
      record.validation_seconds = seconds_since(validation_start_);
    }
    total_seconds_ += train_seconds_;
    train_seconds_ = loss_sum_ = weight_sum_ = 0;
    const bool stop = judge(record);
    ++epoch_;
    if (model_->try_publish(parameters_.span())) published_ = Clock::now();
    observer_->on_epoch(record);
    if (stop) {
      sampler_.set_position(0);  // a run that goes on from here begins the next epoch
      end(EndReason::kEarlyStopped);
    } else if (epoch_ < options_.epochs) {
      start_epoch(false);
    }
  }

  // Marks the best epoch; true when patience has run out.
  bool judge(EpochRecord& record) noexcept {
    const EarlyStopping& e = options_.early_stopping;
    const bool metric = options_.has_early_stopping && e.metric >= 0;
    double value = record.validated ? record.validation.loss : record.loss;
    if (options_.has_early_stopping && record.validated && e.head >= 0) {
      const HeadEvaluation& head = record.validation.heads[static_cast<std::size_t>(e.head)];
      value = metric ? head.metrics[static_cast<std::size_t>(e.metric)] : head.loss;
    }
    if (options_.has_early_stopping && e.maximize) value = -value;
    const double margin = options_.has_early_stopping ? e.min_delta : 0;
    // Any number is better than none: a first epoch that gave NaN is no measure for the others.
    const bool first = best_epoch_ == 0 || (std::isnan(best_value_) && !std::isnan(value));
    record.best = first || value < best_value_ - margin;
    if (record.best) {
      best_value_ = value;
      best_epoch_ = record.epoch;
      if (!best_parameters_.empty()) std::memcpy(best_parameters_.data(), parameters_.data(), parameters_.bytes());
      return false;
    }
    return options_.has_early_stopping && record.epoch - best_epoch_ >= e.patience;
  }

  void end(EndReason reason) noexcept {
    ended_ = true;
    end_.reason = reason;
    end_.epochs = epoch_;
    end_.updates = engine_->step();
    end_.best_epoch = best_epoch_;
    end_.train_seconds = total_seconds_ + train_seconds_;
    if (reason == EndReason::kNotFinite) {
      end_.not_finite_in = not_finite_loss_ ? "loss" : engine_->unit_name(bad_unit_);
    }
    // The best weights are restored whatever ended the run, unless it is to be resumed.
    const bool restore = !best_parameters_.empty() && best_epoch_ > 0 && reason != EndReason::kAborted;
    model_->publish(restore ? best_parameters_.span() : parameters_.span());
  }

  std::shared_ptr<Model<T>> model_;
  std::shared_ptr<const Dataset> data_;
  TrainingOptions options_;
  std::unique_ptr<RunObserver> observer_;
  Sampler sampler_;
  AlignedBuffer<T> parameters_, best_parameters_;
  std::unique_ptr<StepEngine<T>> engine_;
  std::unique_ptr<Evaluator<T>> evaluator_;
  Team* team_ = nullptr;
  int threads_ = 1;
  std::atomic<bool> abort_{false};
  bool ended_ = false, stop_ = false, validating_ = false, not_finite_loss_ = false;
  std::int64_t epoch_ = 0, step_rows_ = 0, best_epoch_ = 0, bad_unit_ = 0;
  double loss_sum_ = 0, weight_sum_ = 0, learning_rate_ = 0, best_value_ = 0;
  double train_seconds_ = 0, validation_seconds_ = 0, total_seconds_ = 0;
  Clock::time_point slice_, steps_start_, validation_start_, published_ = Clock::now();
  EndRecord end_;
};

}  // namespace

template <Scalar T>
Status create_run(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data, const TrainingOptions& options,
                  std::unique_ptr<RunObserver> observer, std::shared_ptr<TrainingRun>& out) {
  auto run = std::make_shared<Run<T>>(std::move(model), std::move(data), options, std::move(observer));
  if (Status s = run->prepare(); !s.ok()) return s;
  out = std::move(run);
  return Status::success();
}
template Status create_run(std::shared_ptr<Model<float>>, std::shared_ptr<const Dataset>, const TrainingOptions&,
                           std::unique_ptr<RunObserver>, std::shared_ptr<TrainingRun>&);
template Status create_run(std::shared_ptr<Model<double>>, std::shared_ptr<const Dataset>, const TrainingOptions&,
                           std::unique_ptr<RunObserver>, std::shared_ptr<TrainingRun>&);

int useful_threads(double multiply_adds, std::int64_t rows, int asked) noexcept {
  // Below about this much work a thread's share costs less than the barriers.
  constexpr double kWorkPerThread = 150e3;
  constexpr std::int64_t kRowsPerThread = 8;
  const int wanted = asked > 0 ? asked : available_processors();
  const auto by_work = static_cast<std::int64_t>(multiply_adds / kWorkPerThread);
  const std::int64_t by_rows = rows / kRowsPerThread;
  return static_cast<int>(std::max<std::int64_t>(1, std::min({std::int64_t(wanted), by_work, by_rows})));
}

}  // namespace krylov
