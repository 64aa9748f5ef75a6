// Largest eigenvalue and trace of the training loss's curvature on a fixed
// sample of its rows, measured between epochs in slices. Parameters go in,
// numbers come out: nothing of the run is touched.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "curvature/network_point.h"
#include "krylov/procedure.h"
#include "krylov/training.h"

namespace krylov {

// Seed of the random vectors of an epoch (1, 2, ...), exact as a double.
std::uint64_t stability_seed(std::uint64_t seed, std::int64_t epoch) noexcept;
// The sample: `size` of `count` rows, drawn by the seed, ascending; all where there are no more. Elements of `rows` in
// place of their indices where it is not empty.
std::vector<std::uint32_t> stability_rows(std::uint64_t seed, std::int64_t count, std::span<const std::uint32_t> rows,
                                          std::int64_t size);

template <Scalar T>
class StabilityProbe {
 public:
  // Of the run's tasks, l2, threads, seed and rows, and options.stability, which must be there; takes the memory of
  // the products. The data must have been checked.
  static Status create(std::shared_ptr<const Network<T>> network, std::shared_ptr<const Dataset> data,
                       const TrainingOptions& options, std::unique_ptr<StabilityProbe>& out);

  bool due(std::int64_t epoch) const noexcept { return epoch % options_.every == 0; }
  // Starts on parameters in arena order, which are copied.
  void begin(const T* parameters, std::int64_t epoch) noexcept;
  // Goes on until the slice is over; false when done, or failed.
  bool advance(Team& team, Session::Clock::time_point slice_end) noexcept;
  // Ends what was begun, without a result.
  void cancel() noexcept { session_.reset(); }
  // Memory ran out.
  bool failed() const noexcept { return failed_; }
  const StabilityRecord& result() const noexcept { return result_; }

 private:
  StabilityProbe(const StabilityOptions& options, std::uint64_t seed) noexcept : options_(options), seed_(seed) {}

  StabilityOptions options_;
  std::uint64_t seed_;
  std::shared_ptr<NetworkPoint<T>> point_;
  StabilityRecord result_;
  bool failed_ = false;
  std::optional<Session> session_;  // of the measurement under way
};

}  // namespace krylov
