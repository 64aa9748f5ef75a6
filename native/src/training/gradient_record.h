// The training stage that measures gradients and changes nothing: squared norms
// of the samples' gradients follow from what the pass holds (Goodfellow 2015),
// those of the batch's are taken unit by unit as the step makes them. Updates
// that are not measured cost nothing, but for the one before a measured one:
// its gradient is kept for the cosine of the two.
#pragma once

#include <string>
#include <vector>

#include "krylov/gradient_record.h"
#include "krylov/network.h"
#include "training/stage.h"

namespace krylov {

template <Scalar T>
class GradientRecord final : public Stage<T> {
 public:
  static Status check(const TrainingOptions& options);
  GradientRecord(const Network<T>& network, const GradientRecordSpec& spec, bool sum_reduction, std::int64_t max_rows);

  // Before a step, by one thread: the number of the update, the rows of its batch, and the factor that makes the deltas
  // of this step those of the samples' own losses.
  void prepare(std::int64_t update, std::int64_t rows, double delta_factor) noexcept;
  // After the deltas are what gradient() will read, by every thread for its rows.
  void rows(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept;
  // The unit's part of the batch's gradient, without l2; by the thread that has made it.
  void unit(std::size_t unit, const T* gradient) noexcept;
  void end() noexcept override;

  void save(TrainingState& state) const override;
  // A state of a run that recorded nothing is one before the first measurement.
  Status restore(const TrainingState& state) override;
  void describe(StepNumbers& numbers) const override;

 private:
  void summarise() noexcept;
  void average(GradientSummary& summary) noexcept;

  const Network<T>* network_;
  GradientRecordSpec spec_;
  bool sum_reduction_;
  std::int64_t max_rows_;
  std::vector<int> layers_;                    // with parameters, in the order of their blocks
  std::vector<std::size_t> block_of_unit_;
  AlignedBuffer<double> row_squares_;          // [layers, max_rows]
  AlignedBuffer<double> unit_squares_, unit_dots_;
  AlignedBuffer<T> previous_;                  // gradient of an update
  std::int64_t previous_update_ = 0;           // which; 0: none
  double previous_square_ = 0;
  std::int64_t averages_ = 0;                  // measurements in the averages
  double trace_ = 0, squared_gradient_ = 0;    // averages, corrected for their start at 0
  std::int64_t update_ = 0, rows_ = 0;
  double delta_factor_ = 1;
  bool measures_ = false, keeps_ = false;      // in this step
  bool compares_ = false;                      // the update before is at hand
  bool measured_ = false;
  GradientSummary summary_;                    // the newest
};

}  // namespace krylov
