// The training stage that gives every sample of a step a weight by its own loss
// or probability (krylov/sample_weights.h): between losses and backward the rows
// of the heads' deltas are scaled, so that the one weight-gradient product makes
// (1/N) sum w_i g_i.
//
//   observe   figures of the rows, and weights of rules that look at a sample alone   | barrier, for the others only
//   decide    one thread: weights by the whole batch                                  | barrier
//   scale     the rows of the deltas
//
// A rule that is the caller's function makes the step stop after `observe`: the figures go out, the weights come in.
#pragma once

#include <atomic>
#include <vector>

#include "krylov/network.h"
#include "krylov/sample_weights.h"
#include "samples/batch.h"
#include "training/stage.h"

namespace krylov {

template <Scalar T>
class SampleWeighting final : public Stage<T> {
 public:
  static Status check(const Network<T>& network, const TrainingOptions& options);
  SampleWeighting(const Network<T>& network, const TrainingOptions& options, std::int64_t max_rows);

  bool asks() const noexcept { return spec_.rule == WeightRule::kFunction; }
  bool decides() const noexcept { return !asks() && !is_local(spec_); }

  // After the losses of these rows.
  void observe(const Pass<T>& pass, const Batch<T>& batch, std::int64_t first, std::int64_t count) noexcept;
  // After all rows, all of their losses finite.
  void decide(const Pass<T>& pass) noexcept;
  void scale(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept;

  // For asks(): of the step under way.
  WeightRequest request(const Pass<T>& pass) const noexcept;
  std::span<double> weights(std::int64_t rows) noexcept { return weights_.span().first(static_cast<std::size_t>(rows)); }

  void begin() noexcept override {
    rows_.store(0, std::memory_order_relaxed);
    finite_.store(true, std::memory_order_relaxed);
  }
  void end() noexcept override;
  bool finite() const noexcept override { return finite_.load(std::memory_order_relaxed); }
  void save(TrainingState& state) const override;
  Status restore(const TrainingState& state) override;
  void describe(StepNumbers& numbers) const override;

 private:
  SampleFigures figures(std::int64_t first, std::int64_t count) const noexcept;
  void observe_label(const T* outputs, const Batch<T>& batch, std::int64_t row) noexcept;

  const Network<T>* network_;
  SampleWeightsSpec spec_;
  // The one head's loss tells probabilities: softmax with class indices, or a single sigmoid.
  bool labels_ = false, sigmoid_ = false;
  AlignedBuffer<double> losses_, probabilities_, complements_, confidences_;  // by row
  AlignedBuffer<double> weights_;
  AlignedBuffer<std::uint32_t> order_;
  std::atomic<std::int64_t> rows_{0};
  std::int64_t told_rows_ = 0;  // of the newest step that was taken
  std::int64_t weightless_ = 0;  // steps whose weights were all 0
  std::atomic<bool> finite_{true};
};

}  // namespace krylov
