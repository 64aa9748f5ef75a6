// The residuals of a network under squared losses, and the normal equations of
// their linearisation: E = sum e^2, J'J and J'e with J the derivatives of all
// residuals by all parameters. J is never whole: rows go through in chunks.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "krylov/threads.h"
#include "samples/batch.h"

namespace krylov {

template <Scalar T>
class NetworkResiduals {
 public:
  // Whether the losses are all squared errors, which is what residuals are of.
  static bool exist(const std::vector<LossSpec>& losses) noexcept;
  NetworkResiduals(std::shared_ptr<const Network<T>> network, const std::vector<LossSpec>& losses);

  // Rows index[0..rows) of the data, or the first `rows`; the index is not copied.
  void select(std::shared_ptr<const Dataset> data, const std::uint32_t* index, std::int64_t rows);
  // The reduced loss (without l2) is factor() times E. The residuals of one loss are o - y, weighted by the root of
  // the sample's weight; those of several are scaled to share one factor.
  double factor() const noexcept { return factor_; }

  // At x; jtj [n, n] and jte [n] in public order, or both null. Takes the memory that `threads` threads need, so may
  // throw std::bad_alloc. Then chunk() until it returns false.
  void begin(const T* x, double* jtj, double* jte, int threads);
  bool chunk(Team& team) noexcept;
  double sum() const noexcept { return sum_; }
  // Multiply-adds of one row, with and without the equations.
  double cost(bool equations) const noexcept;

 private:
  void rows(int thread, int threads) noexcept;

  std::shared_ptr<const Network<T>> network_;
  std::vector<LossSpec> losses_;
  std::vector<double> scales_;  // of each head's residuals
  double factor_ = 1;
  std::int64_t outputs_ = 0, columns_ = 0, ld_ = 0;
  Workspace<T> workspace_;
  Batch<T> batch_;
  Pass<T> pass_;
  AlignedBuffer<T> transposed_;
  AlignedBuffer<double> jacobian_;   // [chunk rows * outputs, ld]: derivatives, then the residual
  AlignedBuffer<double> residuals_;  // sums of squares, one a row
  AlignedBuffer<T> sample_;          // one gradient for each thread
  std::shared_ptr<const Dataset> data_;
  const std::uint32_t* index_ = nullptr;
  std::int64_t row_count_ = 0, position_ = 0;
  const T* x_ = nullptr;
  double* jtj_ = nullptr;
  double* jte_ = nullptr;
  double sum_ = 0;
  int threads_ = 1;
  Team* team_ = nullptr;
};

}  // namespace krylov
