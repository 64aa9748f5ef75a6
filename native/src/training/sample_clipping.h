// The training stage that clips every sample's gradient: in an MLP it is an
// outer product of what the pass holds, so that its norm costs no more than
// reading that, and a factor on it is one on the rows of the deltas (Goodfellow
// 2015; Bu, Wang, Zha & Karypis 2023, book-keeping).
#pragma once

#include <atomic>
#include <vector>

#include "krylov/clipping.h"
#include "krylov/network.h"
#include "training/stage.h"

namespace krylov {

template <Scalar T>
class SampleClipping final : public Stage<T> {
 public:
  static Status check(const Network<T>& network, const ClippingSpec& spec);
  SampleClipping(const Network<T>& network, const ClippingSpec& spec, std::int64_t max_rows);

  // After backward with per-sample deltas, by every thread for its rows: norms, factors, and the rows of the deltas
  // that gradient() reads times those.
  void clip(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept;
  // After all rows, by one thread.
  ClippingSummary summary() const noexcept;
  void begin() noexcept override { finite_.store(true, std::memory_order_relaxed); }
  bool finite() const noexcept override { return finite_.load(std::memory_order_relaxed); }
  void describe(StepNumbers& numbers) const override;

 private:
  bool clip_few(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept;
  void scale_row(const Pass<T>& pass, const Layer<T>& layer, std::int64_t row, double factor) const noexcept;

  const Network<T>* network_;
  ClippingSpec spec_;
  std::vector<int> layers_;        // with parameters
  AlignedBuffer<double> norms_;    // by row
  AlignedBuffer<double> clipped_;  // by row: how many of its factors are not 1
  std::atomic<std::int64_t> rows_{0};  // of the newest step
  std::atomic<bool> finite_{true};
};

}  // namespace krylov
