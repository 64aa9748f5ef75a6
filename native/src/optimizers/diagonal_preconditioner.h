// Diagonal preconditioners of the Newton-type methods: the diagonal of the
// empirical Fisher matrix (Martens 2010, section 4.7) or of the Gauss-Newton
// matrix (Chapelle & Erhan 2011), damped and raised to a power.
//
// Options: name, default, range. Numbers may be schedules over updates.
//   preconditioner.kind       martens          martens | ggnDiagonal | none
//   preconditioner.exponent   0.75     [0, 1]
//   preconditioner.draws      1        >= 0    ggnDiagonal: random signs a sample; 0: exact, a pass for each output
//   preconditioner.seed       0        an integer in [0, 2^53), of the signs
#pragma once

#include <cmath>

#include "krylov/estimates.h"
#include "krylov/operators.h"
#include "optimizers/newton_support.h"

namespace krylov {

class DiagonalPreconditioner {
 public:
  explicit DiagonalPreconditioner(RuleOptions& o)
      : exponent_(o.number("preconditioner.exponent")), draws_(o.number("preconditioner.draws")),
        seed_(o.number("preconditioner.seed")), kind_(static_cast<Kind>(o.word("preconditioner.kind", kKinds))) {}

  bool given() const noexcept { return kind_ != Kind::kNone; }
  std::uint32_t needs() const noexcept {
    if (kind_ == Kind::kMartens) return kNeedsSquares;
    return kind_ == Kind::kGgnDiagonal ? kNeedsNetwork | kNeedsGaussNewton : 0u;
  }
  // Martens': the gradient is to bring the mean squared per-sample gradients.
  bool wants_squares() const noexcept { return kind_ == Kind::kMartens; }

  // M^-1 with M = (max(d, floor max(d)) + shift)^exponent by elements. `diagonal` holds the squares, where they are
  // wanted, and is spoilt. Before curvature() at x, which shares the samples. None where there is no such diagonal.
  template <Scalar T>
  OperatorPort<T> make(Session& session, Objective<T>& objective, const T* x, std::int64_t update, double shift,
                       double floor, AlignedBuffer<T>& diagonal) const;

 private:
  enum class Kind : std::uint8_t { kMartens, kGgnDiagonal, kNone };
  static constexpr const char* kKinds[] = {"martens", "ggnDiagonal", "none"};
  ScheduleSpec exponent_, draws_, seed_;
  Kind kind_;
};

template <Scalar T>
OperatorPort<T> DiagonalPreconditioner::make(Session& session, Objective<T>& objective, const T* x, std::int64_t update,
                                             double shift, double floor, AlignedBuffer<T>& diagonal) const {
  Vectors<T> vectors(session, objective.size());
  if (kind_ == Kind::kGgnDiagonal) {
    diagonal = vectors.make();
    Draws draws;
    draws.count = count_at(draws_, update);
    draws.seed = static_cast<std::uint64_t>(count_at(seed_, 0));
    draws.first_draw = static_cast<std::uint64_t>(update * draws.count);
    const DiagonalKind kind = draws.count > 0 ? DiagonalKind::kSampledGaussNewton : DiagonalKind::kGaussNewton;
    NetworkPoint<T>* const point = objective.point(session, x, Samples::kCurvature);
    if (point == nullptr || !curvature_diagonal(*point, session.team(), kind, draws, diagonal.data()).ok()) return {};
  }
  if (!given()) return {};
  const double least = floor > 0 ? floor * vectors.largest_magnitude(diagonal.data()) : 0;
  const double exponent = schedule_value(exponent_, update);
  for (T& d : diagonal.span()) {
    const double m = std::pow(std::fmax(static_cast<double>(d), least) + shift, exponent);
    // Where it is zero nothing moves the parameter, and the vectors that M^-1 meets are zero too: any factor serves.
    d = m > 0 ? static_cast<T>(1 / m) : T(1);
  }
  return OperatorPort<T>(diagonal_operator<T>(diagonal.span()));
}

}  // namespace krylov
