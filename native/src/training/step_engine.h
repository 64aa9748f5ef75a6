// One training step in its phases, shared by the threads of a team. Rows and
// units are fixed by the batch and the model; a thread takes a share of them.
//
//   place   (rules that evaluate elsewhere) the point where the gradient is taken   | barrier
//   rows    gather, forward, losses, backward: each thread its rows                 | barrier
//   units   gradient of a unit over all rows, update, transposed copy               | barrier
//
// Stages that the user asked for act in between, each described in its own header: weights of samples
// (sample_weighting.h) after the losses; factors on their deltas (sample_clipping.h) at the end of rows; a gradient for
// each task (task_stage.h); noise (privacy_noise.h) on the units' gradients; stages on the whole gradient
// (GradientStage) between these and the updates; with a step-size stage (radius_stage.h) updates are candidates first.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "krylov/network.h"
#include "krylov/optimizer.h"
#include "krylov/threads.h"
#include "krylov/training.h"
#include "network/unit_shares.h"
#include "samples/batch.h"
#include "training/gradient_record.h"
#include "training/privacy_noise.h"
#include "training/radius_stage.h"
#include "training/row_scores.h"
#include "training/sample_clipping.h"
#include "training/sample_weighting.h"
#include "training/stage.h"
#include "training/task_stage.h"

namespace krylov {

// Stages belong to the steps of update rules: an error for a minimizer that is given one.
Status check_no_stages(const TrainingOptions& options);

template <Scalar T>
class StepEngine {
 public:
  static Status create(const Network<T>& network, const TrainingOptions& options, std::int64_t max_rows,
                       std::unique_ptr<StepEngine>& out);

  const Network<T>& network() const noexcept { return *network_; }
  Optimizer<T>& optimizer() noexcept { return *optimizer_; }
  const Optimizer<T>& optimizer() const noexcept { return *optimizer_; }
  Batch<T>& batch() noexcept { return batch_; }
  std::int64_t max_rows() const noexcept { return workspace_.max_rows(); }
  // The arena that steps update, whole and current; makes the transposed copy.
  void attach(T* parameters) noexcept;

  // Between steps, by one thread: the rows of the next step. `factors`: of their losses, see Batch::select.
  void begin(const Dataset& data, const std::uint32_t* index, std::int64_t rows,
             const double* factors = nullptr) noexcept;
  // Scores of rows that a sampler asks for before a step: begin_scores by one thread, score by every thread of a body.
  void begin_scores(const Dataset& data, const std::uint32_t* index, std::int64_t rows) noexcept;
  void score(Barrier* barrier, int thread, int threads) noexcept;
  // Of the rows that were scored, or of the step's after take(); none where the sampler needs none.
  std::span<const double> scores() const noexcept;
  // True where a step without rows is a step.
  bool takes_empty() const noexcept { return privacy_ != nullptr; }
  // All phases, by every thread of a body; the caller lets them meet afterwards. No barrier: one thread only.
  void take(Barrier* barrier, int thread, int threads) noexcept;
  // Where the caller gives the weights of samples a step is taken in two: take_losses by every thread of a body; then,
  // unless updated() is false, weights() for request(); then take_update by every thread of another.
  bool asks() const noexcept { return weighting_ != nullptr && weighting_->asks(); }
  void take_losses(Barrier* barrier, int thread, int threads) noexcept;
  void take_update(Barrier* barrier, int thread, int threads) noexcept;
  WeightRequest request() const noexcept { return weighting_->request(pass_); }
  std::span<double> weights() noexcept { return weighting_->weights(pass_.rows); }
  // False where a loss or a gradient was not finite: nothing was updated. After take().
  bool updated() const noexcept;
  // After take(), by one thread.
  void end() noexcept;

  // Reduced loss of the step, with l2's term; after take().
  double loss() const noexcept;
  // False where an update, or a part of it, was not finite and therefore not applied.
  bool update_finite() const noexcept;
  // `loss`, `gradient` (of a sample), the tensor of the first such part of an update, or `step`.
  std::string not_finite_in() const;
  // What the stages have to tell of the newest step.
  void describe(StepNumbers& numbers) const;
  std::int64_t step() const noexcept { return optimizer_->updates(); }

  // Of the dropout masks.
  void set_seed(std::uint64_t seed) noexcept { pass_.seed = seed; }

  TrainingState save() const;  // of the optimizer and the stages
  Status restore(const TrainingState& state);

 private:
  StepEngine(const Network<T>& network, const TrainingOptions& options, std::int64_t max_rows);
  struct Range {
    std::int64_t first, count;
  };
  bool losses_finite() const noexcept { return losses_finite_.load(std::memory_order_relaxed); }
  Range rows_of(int thread, int threads) const noexcept;
  bool has_place() const noexcept { return optimizer_->rule().evaluates_elsewhere(); }
  Status check_names(const TrainingState& state) const;
  Status make_stages(const TrainingOptions& options, std::int64_t max_rows);
  void place(int thread, int threads) noexcept;
  void losses(Range range) noexcept;
  void weigh(const Member& member) noexcept;
  void backward(Range range) noexcept;
  void units(const Member& member) noexcept;
  void whole_gradient(const Member& member) noexcept;
  // Of a unit's gradient: deltas of single samples have no share of the mean in them yet.
  T gradient_scale() const noexcept;
  // The gradient of a unit with l2's term, and what becomes of the parameters with it.
  void gradient(std::size_t unit, T* out) noexcept;
  void step_unit(std::size_t unit, const T* gradient) noexcept;
  // The rule's update of a unit at w; w as it was, and the unit noted, where it is not finite.
  void update(T* w, const T* gradient, std::size_t unit, std::int64_t size) noexcept;
  void apply(int thread, int threads) noexcept;

  const Network<T>* network_;
  std::unique_ptr<Optimizer<T>> optimizer_;
  Workspace<T> workspace_;
  Batch<T> batch_;
  Pass<T> pass_;
  T* parameters_ = nullptr;
  AlignedBuffer<T> transposed_, point_;
  std::unique_ptr<SampleWeighting<T>> weighting_;
  std::unique_ptr<RowScores<T>> scores_;
  std::unique_ptr<SampleClipping<T>> clipping_;
  std::unique_ptr<PrivacyNoise<T>> privacy_;
  std::unique_ptr<RadiusStage<T>> radius_;
  std::unique_ptr<TaskStage<T>> multitask_;
  std::unique_ptr<GradientRecord<T>> record_;
  std::vector<std::unique_ptr<GradientStage<T>>> gradient_stages_;  // in the order of the chain
  std::vector<Stage<T>*> stages_;                                   // all of them
  AlignedBuffer<T> whole_;                                          // the gradient, for gradient_stages_
  AlignedBuffer<double> penalties_;  // squared norm of a unit before its update, for l2's term
  UnitShares shares_;
  double l2_;
  bool sum_reduction_;  // over samples, instead of the mean
  Deltas deltas_ = Deltas::kReduced;
  std::atomic<bool> losses_finite_{true};
  std::atomic<std::int64_t> not_finite_unit_{-1};
};

}  // namespace krylov
