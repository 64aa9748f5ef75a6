// The noise of differentially private steps (krylov/privacy.h), unit by unit.
// Elements are drawn by their index in the public vector and the number of the
// update, so that the noise depends neither on storage nor on threads.
#pragma once

#include <vector>

#include "krylov/network.h"
#include "krylov/privacy.h"
#include "training/sample_clipping.h"
#include "training/stage.h"

namespace krylov {

// Error where a run with privacy does not draw its batches as that is accounted for.
Status check_private_run(const TrainingOptions& options, std::int64_t rows);

template <Scalar T>
class PrivacyNoise final : public Stage<T> {
 public:
  // Error where another part of the step would look at the samples without noise.
  static Status check(const TrainingOptions& options);
  // `clipping` bounds the samples; it outlives this.
  PrivacyNoise(const Network<T>& network, const PrivacySpec& spec, const SampleClipping<T>& clipping);

  double divisor() const noexcept { return spec_.expected_rows; }
  // Before a step, by one thread: the number of the update it makes, from 0.
  void begin_update(std::int64_t updates) noexcept;
  // Adds a unit's noise to the gradient divided by B.
  void add(const GradientUnit& unit, T* gradient) const noexcept;

  void save(TrainingState& state) const override;
  // Only states of the same noise, rate and seed: what was spent so far follows from these and the updates.
  Status restore(const TrainingState& state) override;
  void describe(StepNumbers& numbers) const override;

 private:
  const Network<T>* network_;
  PrivacySpec spec_;
  const SampleClipping<T>* clipping_;
  std::vector<std::vector<const TensorInfo*>> tensors_;  // by block
  std::uint64_t update_ = 0;
  double deviation_ = 0;  // sigma C / B of the step
};

}  // namespace krylov
