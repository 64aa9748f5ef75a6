// A run of a minimizer: each update a procedure that rests when the slice is
// over. The gradient's rows are those of the batch, curvature's the same or, for
// large batches, one of the chunks into which the rows are cut once, after one
// shuffle, in rotation (Martens 2010).
#include <algorithm>
#include <cstring>
#include <optional>

#include "krylov/rng.h"
#include "training/epoch_run.h"
#include "training/minimizer_update.h"
#include "training/network_objective.h"
#include "training/tasks.h"

namespace krylov {

namespace {

// Of the split stream: validation splits take step 0.
constexpr std::uint64_t kChunkStep = 1;

template <Scalar T>
class MinimizerRun final : public EpochRun<T> {
  using Base = EpochRun<T>;
  using typename Base::Clock;
  using Base::converged_, Base::data_, Base::ended_, Base::model_, Base::options_, Base::parameters_, Base::sampler_,
      Base::threads_, Base::train_seconds_;

 public:
  MinimizerRun(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data, const TrainingOptions& options,
               std::unique_ptr<RunObserver> observer)
      : Base(std::move(model), std::move(data), options, std::move(observer)) {}
  using Base::prepare;

 private:
  Status prepare_steps() override {
    const std::shared_ptr<const Network<T>> network(model_, &model_->network());
    if (Status s = NetworkObjective<T>::create(network, losses_of(options_.tasks), options_.l2, options_.threads,
                                               options_.seed, objective_);
        !s.ok()) {
      return s;
    }
    if (Status s = make_minimizer<T>(options_.optimizer, *objective_, minimizer_); !s.ok()) return s;
    if (options_.has_state) {
      MinimizerState state;
      if (Status s = to_minimizer_state(options_.state, *network, state); !s.ok()) return s;
      if (Status s = minimizer_->restore(state); !s.ok()) return s;
    }
    make_chunks();
    before_ = AlignedBuffer<T>(parameters_.size());
    whole_ = options_.batch_size == sampler_->count();
    objective_->set_steady(whole_, whole_ && chunks_ <= 1);
    // Makes the workspaces, so that what cannot be had is an error of the call.
    const std::uint32_t* rows = options_.rows.empty() ? nullptr : options_.rows.data();
    if (Status s = select(rows, options_.batch_size); !s.ok()) return s;
    threads_ = objective_->threads();
    return Status::success();
  }

  void make_chunks() {
    const std::int64_t count = sampler_->count();
    std::int64_t size = options_.curvature_batch_size;
    if (size == 0 && options_.batch_size > kDefaultCurvatureRows) size = kDefaultCurvatureRows;
    chunks_ = size == 0 ? 0 : ceil_div(count, std::min(size, count));
    if (chunks_ == 0) return;
    order_.resize(static_cast<std::size_t>(count));
    permutation(options_.seed, Stream::kSplit, kChunkStep, order_);
    for (std::int64_t c = 0; c < chunks_; ++c) std::sort(order_.begin() + chunk_start(c), order_.begin() + chunk_start(c + 1));
    if (!options_.rows.empty()) {
      for (std::uint32_t& row : order_) row = options_.rows[row];
    }
  }
  std::int64_t chunk_start(std::int64_t chunk) const noexcept { return sampler_->count() * chunk / chunks_; }
  Status select_chunk(Samples samples, std::int64_t chunk) {
    const std::int64_t first = chunk_start(chunk);
    return objective_->select(samples, data_, order_.data() + first, chunk_start(chunk + 1) - first);
  }

  // The samples of the next update, its batch given.
  Status select(const std::uint32_t* index, std::int64_t rows) {
    if (!whole_ || !selected_) {
      if (Status s = objective_->select(Samples::kGradient, data_, index, rows); !s.ok()) return s;
      if (chunks_ == 0) {
        if (Status s = objective_->select(Samples::kCurvature, data_, index, rows); !s.ok()) return s;
      }
    }
    const std::int64_t update = minimizer_->updates();
    if (chunks_ > 1 || (chunks_ == 1 && !selected_)) {
      if (Status s = select_chunk(Samples::kCurvature, update % chunks_); !s.ok()) return s;
    }
    if (chunks_ > 1) {
      if (Status s = select_chunk(Samples::kSelection, (update + 1) % chunks_); !s.ok()) return s;
    }
    selected_ = true;
    return Status::success();
  }

  std::int64_t updates() const noexcept override { return minimizer_->updates(); }
  TrainingState optimizer_state() const override { return to_training_state(minimizer_->save(), model_->network()); }
  bool is_settled() const noexcept override { return !session_; }
  void describe(StepNumbers& numbers) const override {
    numbers.numbers = result_.report.numbers;
    numbers.words = result_.report.words;
  }

  void run_steps(Team& team, typename Clock::time_point slice) noexcept override {
    const auto slice_end = slice + std::chrono::milliseconds(Job::kSliceMilliseconds);
    while (!ended_ && !this->aborting() && Clock::now() < slice_end) {
      if (!session_ && (sampler_->done() || converged_[0] != '\0')) return;
      advance_update(team, slice_end);
    }
  }

  void settle(Team& team) noexcept override {
    if (!session_) return;
    session_->stop();
    while (session_) advance_update(team, Clock::time_point::max());
  }

  void advance_update(Team& team, typename Clock::time_point slice_end) noexcept {
    const auto start = Clock::now();
    try {
      if (!session_) begin_update();
      if (session_ && session_->resume(team, slice_end) == Session::State::kFinished) {
        train_seconds_ += this->seconds_since(start);
        end_update();
        return;
      }
    } catch (const std::exception&) {
      fail();
    }
    train_seconds_ += this->seconds_since(start);
  }

  void begin_update() {
    std::memcpy(before_.data(), parameters_.data(), before_.bytes());
    position_ = sampler_->position();
    const std::span<const std::uint32_t> rows = sampler_->next(options_.batch_size).rows;
    rows_ = static_cast<std::int64_t>(rows.size());
    if (!select(rows.data(), rows_).ok()) return fail();
    session_.emplace(threads_);
    session_->start(
        run_update<T>(*session_, *objective_, *minimizer_, parameters_.data(), before_.data(), result_));
  }

  void end_update() {
    const bool failed = session_->failure() != nullptr;
    session_.reset();
    if (failed) return fail();
    const MinimizerReport& report = result_.report;
    switch (result_.outcome) {
      case UpdateOutcome::kStopped: sampler_->set_position(position_); return;
      case UpdateOutcome::kNotFinite:
        this->end(EndReason::kNotFinite, where_not_finite(result_, model_->network()));
        return;
      case UpdateOutcome::kConverged: converged_ = report.converged; break;
      case UpdateOutcome::kUpdated: break;
    }
    this->record_step(report.loss, report.learning_rate, rows_);
    if (this->wants_step_record()) this->tell_step(report.loss, train_seconds_);
    if (converged_[0] != '\0' && !sampler_->done()) this->end(EndReason::kCompleted);
    if (!ended_) this->publish_if_due();
  }

  // Memory ran out: the parameters are those before the update.
  void fail() noexcept {
    if (session_) session_.reset();
    std::memcpy(parameters_.data(), before_.data(), before_.bytes());
    this->end(EndReason::kFailed);
  }

  std::unique_ptr<NetworkObjective<T>> objective_;
  std::unique_ptr<Minimizer<T>> minimizer_;
  AlignedBuffer<T> before_;
  std::vector<std::uint32_t> order_;  // rows by chunks
  std::int64_t chunks_ = 0;           // 0: curvature has the batch's rows
  bool whole_ = false, selected_ = false;
  std::int64_t position_ = 0, rows_ = 0;  // of the update under way: where its batch began, and its rows
  UpdateResult result_;
  std::optional<Session> session_;  // of the update under way
};

}  // namespace

template <Scalar T>
Status create_minimizer_run(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data,
                            const TrainingOptions& options, std::unique_ptr<RunObserver> observer,
                            std::shared_ptr<TrainingRun>& out) {
  auto run = std::make_shared<MinimizerRun<T>>(std::move(model), std::move(data), options, std::move(observer));
  if (Status s = run->prepare(); !s.ok()) return s;
  out = std::move(run);
  return Status::success();
}
template Status create_minimizer_run(std::shared_ptr<Model<float>>, std::shared_ptr<const Dataset>,
                                     const TrainingOptions&, std::unique_ptr<RunObserver>,
                                     std::shared_ptr<TrainingRun>&);
template Status create_minimizer_run(std::shared_ptr<Model<double>>, std::shared_ptr<const Dataset>,
                                     const TrainingOptions&, std::unique_ptr<RunObserver>,
                                     std::shared_ptr<TrainingRun>&);

}  // namespace krylov
