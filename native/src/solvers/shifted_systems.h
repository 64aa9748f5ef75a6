// (B + shift I) x = b for one shift after the other. The Krylov space of b is
// the same for all of them, so one Lanczos process serves: a shift costs
// products only where it needs more vectors than those before it.
#pragma once

#include <cstdint>
#include <vector>

#include "krylov/solvers.h"
#include "solvers/vectors.h"

namespace krylov {

template <Scalar T>
class ShiftedSystems {
 public:
  // rhs is copied. Of the Lanczos vectors as many are kept as fit in `most_bytes`; a system that needs more is solved
  // by conjugate gradients from the start.
  ShiftedSystems(Session& session, OperatorPort<T> b, const T* rhs, std::size_t most_bytes = kMostBytes);

  struct Solution {
    SolveReason reason = SolveReason::kMaxIterations;
    std::int64_t iterations = 0;
    double residual_norm = 0;
  };
  // The iterate of conjugate gradients from zero in x: the first with |r| <= tolerance |b|, or number `max_iterations`,
  // or the last before p'(B + shift I)p <= 0.
  Procedure<Solution> solve(Session& session, double shift, double tolerance, std::int64_t max_iterations, T* x);
  std::int64_t products() const noexcept { return products_; }

 private:
  static constexpr std::size_t kMostBytes = std::size_t(512) << 20;
  Procedure<bool> extend(Session& session);
  T* row(std::int64_t i) noexcept;
  void combine(std::int64_t count, T* x) noexcept;

  OperatorPort<T> b_;
  Vectors<T> vectors_;
  AlignedBuffer<T> rhs_, next_;
  double length_;                          // |b|
  std::int64_t most_rows_, products_ = 0;
  std::vector<AlignedBuffer<T>> rows_;     // Lanczos vectors, kBlock of them each
  std::vector<double> alpha_, beta_;       // beta_[i]: from vector i to the next
  std::vector<double> pivots_, weights_;   // of the system at hand
};

}  // namespace krylov
