// What every run of epochs does, whatever its steps are: order of the rows,
// validation, early stopping, the best parameters, publishing, records and the
// end. All decisions fall on the compute thread between slices. See run.cpp for
// update rules and minimizer_run.cpp for minimizers.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>

#include "krylov/training.h"
#include "training/evaluator.h"
#include "training/sampler.h"
#include "training/stability_probe.h"

namespace krylov {

template <Scalar T>
class EpochRun : public TrainingRun {
 public:
  int threads() const noexcept override { return threads_; }
  bool advance(Team& team) noexcept override;
  void finished() noexcept override;
  void abort() noexcept override { abort_.store(true, std::memory_order_relaxed); }
  TrainingState state() const override;

 protected:
  using Clock = std::chrono::steady_clock;
  static double seconds_since(Clock::time_point start) noexcept {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }
  static constexpr double kSliceSeconds = Job::kSliceMilliseconds * 1e-3;

  EpochRun(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data, const TrainingOptions& options,
           std::unique_ptr<RunObserver> observer);
  // Checks everything and calls prepare_steps(). Once, before anything else.
  Status prepare();

  // Makes what takes the steps, after parameters_ are there; restores options_.state where has_state.
  virtual Status prepare_steps() = 0;
  // Steps until the slice or the epoch ends, or the run by end().
  virtual void run_steps(Team& team, Clock::time_point slice) noexcept = 0;
  // After an abort: brings parameters_ to a whole step.
  virtual void settle(Team& team) noexcept { (void)team; }
  // True where parameters_ are those of a whole step.
  virtual bool is_settled() const noexcept { return true; }
  // The steps go on when the caller has answered ask(), which is called once the run is out of the queue.
  virtual bool waiting() const noexcept { return false; }
  virtual void ask() {}
  virtual std::int64_t updates() const noexcept = 0;
  // Updates, names and arrays, without the position.
  virtual TrainingState optimizer_state() const = 0;
  // Numbers and words of the newest update, for records.
  virtual void describe(StepNumbers& numbers) const { (void)numbers; }

  void record_step(double loss, double learning_rate, std::int64_t rows) noexcept {
    learning_rate_ = learning_rate;
    loss_sum_ += loss * double(rows);
    weight_sum_ += double(rows);
  }
  bool wants_step_record() const noexcept { return options_.step_every > 0 && updates() % options_.step_every == 0; }
  void tell_step(double loss, double seconds_of_epoch);
  std::int64_t current_epoch() const noexcept { return epoch_ + 1; }
  bool aborting() const noexcept { return abort_.load(std::memory_order_relaxed); }
  void publish_if_due() noexcept;
  // `where`: what was not finite.
  void end(EndReason reason, std::string where = {});
  const Dataset& data() const noexcept { return *data_; }

  std::shared_ptr<Model<T>> model_;
  std::shared_ptr<const Dataset> data_;
  TrainingOptions options_;
  std::unique_ptr<RunObserver> observer_;
  std::unique_ptr<Sampler> sampler_;
  AlignedBuffer<T> parameters_;
  int threads_ = 1;
  bool ended_ = false;
  // The word of a minimizer that is done: the run ends with the epoch's last step.
  const char* converged_ = "";
  double train_seconds_ = 0;
  double learning_rate_ = 0;  // of the newest update

 private:
  const Dataset* validation_data() const noexcept;
  Status check_rows() const noexcept;
  Status check_early_stopping() const noexcept;
  void start_epoch(bool resumed) noexcept;
  void take_steps(Team& team, Clock::time_point slice) noexcept;
  void validate(Team& team);
  void begin_record();
  void take_record(Team& team, Clock::time_point slice);
  void finish_epoch();
  bool judge(EpochRecord& record) noexcept;

  AlignedBuffer<T> best_parameters_;
  std::unique_ptr<Evaluator<T>> evaluator_;
  std::unique_ptr<StabilityProbe<T>> stability_;
  std::atomic<bool> abort_{false};
  enum class Stage : std::uint8_t { kSteps, kValidation, kRecord };
  Stage stage_ = Stage::kSteps;
  std::int64_t epoch_ = 0, best_epoch_ = 0;
  double loss_sum_ = 0, weight_sum_ = 0, best_value_ = 0;
  double validation_seconds_ = 0, total_seconds_ = 0;
  Clock::time_point validation_start_, published_ = Clock::now();
  EndRecord end_;
};

// The run of a minimizer; see create_run.
template <Scalar T>
Status create_minimizer_run(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data,
                            const TrainingOptions& options, std::unique_ptr<RunObserver> observer,
                            std::shared_ptr<TrainingRun>& out);
// The trainer of a minimizer; see Trainer::create.
template <Scalar T>
Status create_minimizer_trainer(std::shared_ptr<Model<T>> model, const TrainingOptions& options,
                                std::unique_ptr<Trainer<T>>& out);

}  // namespace krylov
