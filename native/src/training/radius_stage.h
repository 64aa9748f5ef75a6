// The step-size stage that keeps a step within the radius of convergence of the
// losses on logits (krylov/step_control.h): the update rule's candidate is not
// taken as it is but along the line to it, as far as the radius allows.
//
//   candidate   w + p unit by unit, where the rule would have updated w   | barrier
//   slopes      J p of the batch, each thread its rows                    | barrier
//   decide      one thread                                                | barrier
//   apply       w + scale p unit by unit
#pragma once

#include <cstdint>
#include <vector>

#include "krylov/network.h"
#include "krylov/step_control.h"
#include "training/stage.h"

namespace krylov {

template <Scalar T>
class RadiusStage final : public Stage<T> {
 public:
  RadiusStage(const Network<T>& network, const TrainingOptions& options, std::int64_t max_rows);
  // Error unless a head has a loss on logits, and the one that is named has.
  static Status check(const Network<T>& network, const TrainingOptions& options);

  // Where the rule puts its candidate for a unit: a copy of w, to be updated there.
  T* candidate(const T* w, std::int64_t offset, std::int64_t size) noexcept;
  // After the rule's update of it.
  void take(const T* w, std::int64_t offset, std::int64_t size, std::size_t unit) noexcept;
  void slopes(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept;
  void decide(std::int64_t rows) noexcept;  // a scale of NaN: the step is not finite
  void apply(T* w, std::int64_t offset, std::int64_t size) const noexcept;

  void begin() noexcept override;
  bool finite() const noexcept override;
  std::string_view not_finite_in() const noexcept override { return "step"; }
  void save(TrainingState& state) const override;
  Status restore(const TrainingState& state) override;
  void describe(StepNumbers& numbers) const override;
  // Of the newest step; of the head that allows least.
  const StepRadius& radius() const noexcept { return radius_; }
  std::int64_t shortened() const noexcept { return shortened_; }  // steps so far

 private:
  struct Head {
    std::size_t index = 0;
    bool sigmoids = false, exact = false;
    AlignedBuffer<double> values;  // by row: spread of the slopes along p, or the exact radius in lengths of p
  };
  RadiusRows<T> rows_of(const Pass<T>& pass, const Head& head) const noexcept;

  const Network<T>* network_;
  RadiusOptions options_;
  std::vector<Head> heads_;
  AlignedBuffer<T> candidate_, direction_;
  AlignedBuffer<double> squares_;  // of p, by unit
  std::int64_t shortened_ = 0;
  StepRadius radius_;
  double step_length_ = 0;
  bool decided_ = false;
};

}  // namespace krylov
