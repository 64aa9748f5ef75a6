// What samplers ask of rows (krylov/sampling.h): scores of a pool, from a pass of its own that changes nothing, and of the
// rows of a step, from what the step has computed. Of a row's own weighted loss in either case, without the factor that
// the sampler gave it.
#pragma once

#include <span>
#include <vector>

#include "krylov/buffer.h"
#include "krylov/network.h"
#include "krylov/sampling.h"
#include "samples/batch.h"

namespace krylov {

template <Scalar T>
class RowScores {
 public:
  RowScores(const Network<T>& network, RowScore score, std::int64_t max_rows);

  // True where scores need deltas behind those of the outputs.
  bool needs_backward() const noexcept { return score_ == RowScore::kGradientNorm; }
  // Rows first.. of a pool; by every thread for its rows. Leaves activations and deltas of its own.
  void of_pool(const Pass<T>& pass, Batch<T>& batch, std::int64_t first, std::int64_t count) noexcept;
  // After backward, deltas still as the losses made them, `divisor` times too small.
  void of_step(const Pass<T>& pass, const Batch<T>& batch, double divisor, std::int64_t first,
               std::int64_t count) noexcept;
  std::span<const double> values(std::int64_t rows) const noexcept {
    return {values_.data(), static_cast<std::size_t>(rows)};
  }

 private:
  void to_pre_activations(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept;
  // A sample that is not finite has no score.
  void keep_finite(std::int64_t first, std::int64_t count) noexcept;
  void losses(const Batch<T>& batch, std::int64_t first, std::int64_t count) noexcept;
  void output_norms(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept;
  void gradient_norms(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept;

  const Network<T>* network_;
  RowScore score_;
  AlignedBuffer<double> values_;  // by row
};

}  // namespace krylov
