// The training stage that clips every sample's gradient: in an MLP it is an
// outer product of what the pass holds, so that its norm costs no more than
// reading that, and a factor on it is one on the rows of the deltas (Goodfellow
// 2015; Bu, Wang, Zha & Karypis 2023, book-keeping). A part below is what has a
// norm and a threshold of its own: the whole gradient, or a layer's.
#pragma once

#include <atomic>
#include <vector>

#include "krylov/clipping.h"
#include "krylov/network.h"
#include "samples/batch.h"
#include "training/stage.h"
#include "training/thresholds.h"

namespace krylov {

template <Scalar T>
class SampleClipping final : public Stage<T> {
 public:
  static Status check(const Network<T>& network, const ClippingSpec& spec);
  // With privacy, its noise is on the counts that thresholds follow.
  SampleClipping(const Network<T>& network, const ClippingSpec& spec, std::int64_t max_rows,
                 const PrivacySpec* privacy = nullptr);

  // After backward with per-sample deltas, by every thread for its rows: norms, factors, and the rows of the deltas
  // that gradient() reads times those. The losses of samples that are left out become 0.
  void clip(const Pass<T>& pass, Batch<T>& batch, std::int64_t first, std::int64_t count) noexcept;
  // Losses that are not finite are this stage's to deal with.
  bool drops() const noexcept { return spec_.drop_not_finite; }
  // The largest norm of what a sample adds to the sum; infinite before there are thresholds.
  double sensitivity() const noexcept { return thresholds_.norm(); }
  // After all rows, by one thread.
  ClippingSummary summary() const noexcept;
  void begin() noexcept override;
  void end() noexcept override;
  bool finite() const noexcept override { return finite_.load(std::memory_order_relaxed); }
  void save(TrainingState& state) const override;
  Status restore(const TrainingState& state) override;
  void describe(StepNumbers& numbers) const override;

 private:
  bool clip_few(const Pass<T>& pass, Batch<T>& batch, std::int64_t first, std::int64_t count) noexcept;
  void scale_rows(const Pass<T>& pass, const Layer<T>& layer, std::int64_t first, std::int64_t count,
                  const double* factors) const noexcept;
  void drop_row(const Pass<T>& pass, std::int64_t row) const noexcept;

  const Network<T>* network_;
  ClippingSpec spec_;
  std::vector<int> layers_;  // with parameters
  Thresholds thresholds_;
  AlignedBuffer<double> norms_;       // by row; NaN where it was left out
  AlignedBuffer<double> clipped_;     // by row: how many of its factors are not 1
  AlignedBuffer<double> part_norms_;  // [parts][max_rows], where the thresholds follow these
  std::int64_t max_rows_;
  std::atomic<std::int64_t> rows_{0};  // of the newest step
  std::atomic<std::int64_t> dropped_now_{0};
  std::int64_t dropped_ = 0;  // of all steps
  std::int64_t update_ = 0;   // number of the next update, from 0
  std::atomic<bool> finite_{true};
};

}  // namespace krylov
