#include "training/epoch_run.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "samples/batch.h"
#include "training/tasks.h"

namespace krylov {

namespace {

// How often readers of a busy model get newer parameters.
constexpr double kPublishSeconds = 0.2;

}  // namespace

template <Scalar T>
EpochRun<T>::EpochRun(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data,
                      const TrainingOptions& options, std::unique_ptr<RunObserver> observer)
    : model_(std::move(model)), data_(std::move(data)), options_(options), observer_(std::move(observer)),
      parameters_(static_cast<std::size_t>(model_->network().arena_size())) {}

template <Scalar T>
Status EpochRun<T>::prepare() {
  const Network<T>& network = model_->network();
  const bool none = options_.has_rows && options_.rows.empty();
  const std::int64_t count = options_.rows.empty() ? data_->rows() : static_cast<std::int64_t>(options_.rows.size());
  if (none || count < 1) return Status::error(ErrorCode::kShape, "data", "at least one row to train on");
  if (options_.batch_size < 1) return Status::error(ErrorCode::kOption, "batchSize", "at least 1", options_.batch_size);
  options_.batch_size = std::min(options_.batch_size, count);
  if (Status s = check_rows(); !s.ok()) return s;
  // Which rows a private run draws is as secret as its noise.
  const std::uint64_t seed = options_.privacy ? options_.privacy->seed : options_.seed;
  const SamplerInput input{data_->rows(), options_.rows, options_.shuffle, seed, options_.batch_size,
                           options_.epochs};
  if (Status s = make_sampler(options_.sampling, input, sampler_); !s.ok()) return s;
  if (validation_data() != nullptr) {
    if (Status s = Evaluator<T>::create(network, options_.tasks, options_.l2, evaluator_); !s.ok()) return s;
  }
  if (options_.stability.has_value()) {
    const std::shared_ptr<const Network<T>> shared(model_, &network);
    if (Status s = StabilityProbe<T>::create(shared, data_, options_, stability_); !s.ok()) return s;
  }
  if (options_.has_early_stopping) {
    if (Status s = check_early_stopping(); !s.ok()) return s;
    if (options_.early_stopping.restore_best) best_parameters_ = AlignedBuffer<T>(parameters_.size());
  }
  if (options_.has_state) {
    if (options_.state.position < 0 || options_.state.position > count || options_.state.epoch < 0) {
      return Status::error(ErrorCode::kState, "state", "a position within this data set", options_.state.position,
                           count);
    }
    if (Status s = restore_sampler(*sampler_, options_.state); !s.ok()) return s;
    epoch_ = options_.state.epoch;
  }
  model_->snapshot(parameters_.span());
  if (Status s = prepare_steps(); !s.ok()) return s;
  if (epoch_ < options_.epochs) start_epoch(options_.has_state);
  return Status::success();
}

template <Scalar T>
Status EpochRun<T>::check_rows() const noexcept {
  const Network<T>& network = model_->network();
  const std::vector<LossSpec> losses = losses_of(options_.tasks);
  if (Status s = check_losses<T>(network, losses); !s.ok()) return s;
  if (Status s = check_dataset<T>(network, losses, *data_); !s.ok()) return s;
  for (const std::uint32_t row : options_.rows) {
    if (row >= data_->rows()) {
      return Status::error(ErrorCode::kShape, "rows", "indices below the number of rows", row, data_->rows());
    }
  }
  const Dataset* validation = validation_data();
  if (validation == nullptr) return Status::success();
  if (Status s = check_dataset<T>(network, losses, *validation); !s.ok()) return s;
  for (const std::uint32_t row : options_.validation_rows) {
    if (row >= validation->rows()) {
      return Status::error(ErrorCode::kShape, "validationRows", "indices below the number of rows", row,
                           validation->rows());
    }
  }
  return Status::success();
}

template <Scalar T>
bool EpochRun<T>::advance(Team& team) noexcept {
  const Clock::time_point start = Clock::now();
  const auto waits = [this] { return waiting() && !aborting(); };
  while (!ended_ && !waits() && seconds_since(start) < kSliceSeconds) {
    if (aborting()) {
      settle(team);
      if (stability_ != nullptr) stability_->cancel();
      if (!ended_) end(EndReason::kAborted);
    } else if (epoch_ >= options_.epochs) {
      end(EndReason::kCompleted);
    } else if (stage_ == Stage::kValidation) {
      validate(team);
    } else if (stage_ == Stage::kRecord) {
      take_record(team, start);
    } else {
      take_steps(team, start);
    }
  }
  if (!ended_ && is_settled()) publish_if_due();
  return !ended_ && !waits();
}

template <Scalar T>
void EpochRun<T>::publish_if_due() noexcept {
  if (seconds_since(published_) > kPublishSeconds && model_->try_publish(parameters_.span())) published_ = Clock::now();
}

template <Scalar T>
void EpochRun<T>::finished() noexcept {
  if (!ended_) return ask();
  model_->release();
  observer_->on_end(end_);
}

template <Scalar T>
TrainingState EpochRun<T>::state() const {
  TrainingState state = optimizer_state();
  sampler_->save(state);
  state.epoch = epoch_;
  state.position = epoch_ < options_.epochs ? sampler_->position() : 0;
  state.seed = options_.seed;
  state.loss_sum = loss_sum_;
  state.weight_sum = weight_sum_;
  return state;
}

template <Scalar T>
const Dataset* EpochRun<T>::validation_data() const noexcept {
  return options_.validation != nullptr ? options_.validation.get()
         : options_.has_validation_rows ? data_.get()
                                        : nullptr;
}

template <Scalar T>
Status EpochRun<T>::check_early_stopping() const noexcept {
  const EarlyStopping& e = options_.early_stopping;
  if (e.metric < 0) return Status::success();
  if (evaluator_ == nullptr) {
    return Status::error(ErrorCode::kOption, "earlyStopping", "validation data for a metric to be monitored");
  }
  if (e.head < 0 || static_cast<std::size_t>(e.head) >= options_.tasks.size() ||
      static_cast<std::size_t>(e.metric) >= options_.tasks[static_cast<std::size_t>(e.head)].metrics.size()) {
    return Status::error(ErrorCode::kOption, "earlyStopping", "a metric that is computed");
  }
  return Status::success();
}

template <Scalar T>
void EpochRun<T>::start_epoch(bool resumed) noexcept {
  sampler_->start_epoch(epoch_);
  loss_sum_ = weight_sum_ = train_seconds_ = validation_seconds_ = 0;
  if (!resumed) return;
  sampler_->set_position(options_.state.position);
  loss_sum_ = options_.state.loss_sum;
  weight_sum_ = options_.state.weight_sum;
}

template <Scalar T>
void EpochRun<T>::take_steps(Team& team, Clock::time_point slice) noexcept {
  if (!sampler_->done() || !is_settled()) run_steps(team, slice);
  if (ended_ || !sampler_->done() || !is_settled()) return;
  if (evaluator_ != nullptr) {
    const std::vector<std::uint32_t>& rows = options_.validation_rows;
    const bool all = !options_.has_validation_rows;
    evaluator_->begin(parameters_.data(), *validation_data(), all ? nullptr : rows.data(),
                      all ? validation_data()->rows() : static_cast<std::int64_t>(rows.size()));
    stage_ = Stage::kValidation;
    validation_start_ = Clock::now();
  } else {
    begin_record();
  }
}

template <Scalar T>
void EpochRun<T>::validate(Team& team) {
  if (evaluator_->advance(team, threads_)) return;
  validation_seconds_ = seconds_since(validation_start_);
  begin_record();
}

// What is measured besides, where the epoch has any of it, at the parameters of its end.
template <Scalar T>
void EpochRun<T>::begin_record() {
  if (stability_ == nullptr || !stability_->due(epoch_ + 1)) return finish_epoch();
  stability_->begin(parameters_.data(), epoch_ + 1);
  stage_ = Stage::kRecord;
}

template <Scalar T>
void EpochRun<T>::take_record(Team& team, Clock::time_point slice) {
  if (stability_->advance(team, slice + std::chrono::milliseconds(Job::kSliceMilliseconds))) return;
  if (stability_->failed()) return end(EndReason::kFailed);
  finish_epoch();
}

template <Scalar T>
void EpochRun<T>::tell_step(double loss, double seconds_of_epoch) {
  StepRecord record{epoch_ + 1, updates(), sampler_->position(), sampler_->count(), loss, learning_rate_,
                    total_seconds_ + seconds_of_epoch, {}};
  describe(record.step);
  observer_->on_step(record);
}

template <Scalar T>
void EpochRun<T>::finish_epoch() {
  EpochRecord record;
  record.epoch = epoch_ + 1;
  record.updates = updates();
  record.samples = static_cast<std::int64_t>(weight_sum_);
  record.loss = weight_sum_ > 0 ? loss_sum_ / weight_sum_ : 0;
  record.learning_rate = learning_rate_;
  record.train_seconds = train_seconds_;
  describe(record.step);
  if (evaluator_ != nullptr) {
    record.validated = true;
    record.validation = evaluator_->result();
    record.validation_seconds = validation_seconds_;
  }
  if (stage_ == Stage::kRecord) record.stability = stability_->result();
  stage_ = Stage::kSteps;
  total_seconds_ += train_seconds_;
  train_seconds_ = loss_sum_ = weight_sum_ = 0;
  const bool stop = judge(record);
  ++epoch_;
  if (model_->try_publish(parameters_.span())) published_ = Clock::now();
  observer_->on_epoch(record);
  if (stop || converged_[0] != '\0') {
    sampler_->set_position(0);  // a run that goes on from here begins the next epoch
    end(converged_[0] != '\0' ? EndReason::kCompleted : EndReason::kEarlyStopped);
  } else if (epoch_ < options_.epochs) {
    start_epoch(false);
  }
}

// Marks the best epoch; true when patience has run out.
template <Scalar T>
bool EpochRun<T>::judge(EpochRecord& record) noexcept {
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

template <Scalar T>
void EpochRun<T>::end(EndReason reason, std::string where) {
  ended_ = true;
  end_.reason = reason;
  end_.epochs = epoch_;
  end_.updates = updates();
  end_.best_epoch = best_epoch_;
  end_.train_seconds = total_seconds_ + train_seconds_;
  end_.not_finite_in = std::move(where);
  end_.converged = converged_;
  // The best weights are restored whatever ended the run, unless it is to be resumed.
  const bool restore = !best_parameters_.empty() && best_epoch_ > 0 && reason != EndReason::kAborted;
  model_->publish(restore ? best_parameters_.span() : parameters_.span());
}

template class EpochRun<float>;
template class EpochRun<double>;

}  // namespace krylov
