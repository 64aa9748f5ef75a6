// One training step in its phases, shared by the threads of a team. Rows and
// units are fixed by the batch and the model; a thread takes a share of them.
//
//   place   (rules that evaluate elsewhere) the point where the gradient is taken   | barrier
//   rows    gather, forward, losses, backward: each thread its rows                 | barrier
//   units   gradient of a unit over all rows, update, transposed copy               | barrier
// With clipping, rows() ends with factors on the deltas of its samples; see sample_clipping.h.
// With a step-size stage the units' updates are candidates first; see radius_stage.h.
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
#include "samples/sample_clipping.h"
#include "training/radius_stage.h"

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

  // Between steps, by one thread: the rows of the next step.
  void begin(const Dataset& data, const std::uint32_t* index, std::int64_t rows) noexcept;
  // All phases, by every thread of a body; the caller lets them meet afterwards. No barrier: one thread only.
  void take(Barrier* barrier, int thread, int threads) noexcept;
  // False where a loss or a sample's gradient was not finite: nothing was updated. After take().
  bool updated() const noexcept { return losses_finite() && gradients_finite_.load(std::memory_order_relaxed); }
  // After take(), by one thread.
  void end() noexcept { optimizer_->end(); }

  // Reduced loss of the step, with l2's term; after take().
  double loss() const noexcept;
  // False where an update, or a part of it, was not finite and therefore not applied.
  bool update_finite() const noexcept;
  // `loss`, `gradient` (of a sample), the tensor of the first such part of an update, or `step`.
  std::string not_finite_in() const;
  // Steps that a step-size stage has shortened so far.
  std::int64_t shortened() const noexcept { return radius_ != nullptr ? radius_->shortened() : 0; }
  void set_shortened(std::int64_t steps) noexcept {
    if (radius_ != nullptr) radius_->set_shortened(steps);
  }
  // What a stage has to tell of the newest step.
  void describe(StepNumbers& numbers) const;
  std::int64_t step() const noexcept { return optimizer_->updates(); }

  // Of the dropout masks.
  void set_seed(std::uint64_t seed) noexcept { pass_.seed = seed; }

  TrainingState save() const;  // optimizer part
  Status restore(const TrainingState& state) noexcept;

 private:
  StepEngine(const Network<T>& network, const TrainingOptions& options, std::int64_t max_rows);
  struct Range {
    std::int64_t first, count;
  };
  bool losses_finite() const noexcept { return losses_finite_.load(std::memory_order_relaxed); }
  Range rows_of(int thread, int threads) const noexcept;
  bool has_place() const noexcept { return optimizer_->rule().evaluates_elsewhere(); }
  void place(int thread, int threads) noexcept;
  void rows(Range range) noexcept;
  void units(int thread, int threads) noexcept;
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
  std::unique_ptr<SampleClipping<T>> clipping_;
  std::unique_ptr<RadiusStage<T>> radius_;
  AlignedBuffer<double> penalties_;  // squared norm of a unit before its update, for l2's term
  UnitShares shares_;
  double l2_;
  bool sum_reduction_;  // over samples, instead of the mean
  std::atomic<bool> losses_finite_{true}, gradients_finite_{true};
  std::atomic<std::int64_t> not_finite_unit_{-1};
};

}  // namespace krylov
