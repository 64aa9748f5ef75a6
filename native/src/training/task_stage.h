// The training stage that makes one gradient of several tasks', a network's heads with their losses: what the tasks
// share (the trunk) gets the combination of a method of krylov/task_gradients.h, each head its own task's gradient.
//
//   backward   from every head by itself, with deltas of its own in the trunk: each thread its rows     | barrier
//   combine    gradients of the trunk's units by task and, while they are in cache, their products      | barrier
//              the method's coefficients by one thread, or its direction with the help of the others    | barrier
//   gradient   unit by unit, where the update wants it: the combination, or the gradient of a head's unit
//
// l2's term is no task: it is added to the result.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "krylov/network.h"
#include "krylov/task_gradients.h"
#include "network/unit_shares.h"
#include "optimizers/task_rules.h"
#include "samples/batch.h"
#include "training/stage.h"

namespace krylov {

// The members of a step as what a rule hands passes over long vectors to: thread 0 leads, the others serve until it
// closes.
class MemberCrew final : public Crew {
 public:
  void open(const Member& leader) noexcept { leader_ = leader; }
  void run(int, TeamFunction body, void* context) noexcept override {
    body_ = body, context_ = context;
    leader_.meet();
    body(context, 0, leader_.threads);
    leader_.meet();
  }
  void close() noexcept {
    body_ = nullptr;
    leader_.meet();
  }
  void serve(const Member& member) const noexcept {
    for (member.meet(); body_ != nullptr; member.meet()) {
      body_(context_, member.thread, member.threads);
      member.meet();
    }
  }

 private:
  Member leader_;
  TeamFunction body_ = nullptr;
  void* context_ = nullptr;
};

template <Scalar T>
class TaskStage final : public Stage<T> {
 public:
  // Error for a network of one head or without a trunk, and beside stages that look at whole gradients of samples.
  static Status check(const Network<T>& network, const TrainingOptions& options);
  TaskStage(const Network<T>& network, const TrainingOptions& options, std::int64_t max_rows);

  // After the losses, by every thread for its rows.
  void backward(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept;
  // After all rows, by every member; scale: of the deltas of single samples, else 1.
  void combine(const Pass<T>& pass, const Batch<T>& batch, T scale, const Member& member) noexcept;
  // The gradient that the update of this unit takes, without l2's term.
  void gradient(const Pass<T>& pass, std::size_t unit, T scale, T* out) const noexcept;

  void begin() noexcept override;
  bool finite() const noexcept override { return finite_; }
  void save(TrainingState& state) const override;
  Status restore(const TrainingState& state) override;
  void describe(StepNumbers& numbers) const override;

 private:
  static constexpr int kShared = -1;
  // Which layers only one head has. The trunk's come first in layers, units, arena and public order.
  struct Trunk {
    explicit Trunk(const Network<T>& network);
    std::vector<int> owners;  // by layer: its head, or kShared
    int joint = 0;            // the buffer that all heads read
    std::size_t units = 0;
    std::int64_t arena_size = 0, parameters = 0;
  };
  int tasks() const noexcept { return static_cast<int>(names_.size()); }
  Pass<T> of_task(const Pass<T>& pass, int task) const noexcept;
  T* row(int task) noexcept { return rows_.data() + task * trunk_.arena_size; }
  void unit_products(const GradientUnit& unit, std::size_t index) noexcept;
  void decide(const Pass<T>& pass, const Batch<T>& batch, int threads) noexcept;

  const Network<T>* network_;
  Trunk trunk_;
  std::vector<const char*> names_;              // of the heads
  std::vector<const char*> norm_names_, weight_names_, cosine_names_;  // of what describe() tells
  UnitShares shares_;                           // of the trunk's units
  std::vector<BatchMatrices<T>> deltas_;        // of every task but the first, which has the workspace's
  AlignedBuffer<T> rows_;                       // [tasks, arena_size]: gradients of the trunk
  std::vector<const T*> row_pointers_;
  AlignedBuffer<T> direction_;                  // where it is not a combination of the rows
  AlignedBuffer<T> balanced_;                   // GradNorm: 1 where an element's square counts, in the arena's order
  AlignedBuffer<double> partials_;              // products by unit and pair
  AlignedBuffer<double> parts_;                 // squares of the balanced elements by unit and task
  std::vector<double> q_, losses_, part_norms_;
  std::unique_ptr<TaskRule<T>> rule_;
  PairProducts<T> products_;
  TaskCombination result_;
  MemberCrew crew_;
  std::int64_t steps_ = 0, conflicts_ = 0;      // so far
  bool finite_ = true, combined_ = false;       // in the newest step
};

}  // namespace krylov
