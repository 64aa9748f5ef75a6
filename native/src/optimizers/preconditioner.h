// Preconditioners of the Newton-type methods, and how an update of theirs
// begins. With B the curvature (l2 included) and a shift of it, M is
//   martens      (d + shift)^exponent by elements, d the diagonal of the empirical Fisher matrix (Martens 2010, 4.7)
//   ggnDiagonal  the same with the diagonal of the Gauss-Newton matrix (Chapelle & Erhan 2011)
//   hutchinson   the same with |mean of z * Bz| over random signs z, without l2's part (Bekas, Kokiopoulou & Saad 2007)
//   kfac         Kronecker factors of the layers, damped by the shift (Martens & Grosse 2015)
//   lbfgs        what L-BFGS makes of directions p of the preceding solve and (B + shift) p (Morales & Nocedal 2000)
// All are symmetric and positive definite. Where there is no such matrix (no pairs yet, factors that are all zero) the
// update does without.
//
// Options: name, default, range. Numbers may be schedules over updates.
//   preconditioner.kind       martens   martens | ggnDiagonal | hutchinson | kfac | lbfgs | none
//   preconditioner.exponent   0.75      [0, 1]   of a diagonal
//   preconditioner.draws      1         >= 0     ggnDiagonal: random signs a sample, kfac: labels a sample; 0: exact, a
//                                                pass for each output. hutchinson: signs z, at least 1
//   preconditioner.seed       0         an integer in [0, 2^53), of the draws
//   preconditioner.every      1         >= 1     updates from one estimate of d or the factors to the next
//   preconditioner.form       factored  factored | exact: how kfac is damped
//   preconditioner.history    10        >= 1     pairs of lbfgs
//   preconditioner.choice     spread    spread | last: over all of the solve's directions, or its last ones
#pragma once

#include "krylov/solvers.h"
#include "optimizers/newton_support.h"
#include "solvers/kronecker_inverse.h"
#include "solvers/lbfgs_operator.h"

namespace krylov {

// What an update of a preconditioned method begins with, all at x.
template <Scalar T>
struct NewtonStart {
  double f = 0, gradient_norm = 0;
  AlignedBuffer<T> g;
  OperatorPort<T> b, preconditioner;  // the latter: M^-1, or none
};

struct NewtonSettings {
  std::int64_t update = 0;
  double shift = 0;
  double floor = 0;  // elements of d, or the damping of the factors, are at least this share of the largest
  double gradient_tolerance = 0;
  Curvature curvature = Curvature::kGaussNewton;
};

template <Scalar T>
class Preconditioner {
 public:
  Preconditioner(RuleOptions& options, const Objective<T>& objective);

  std::uint32_t needs() const noexcept;
  // f, g, B and M^-1 at x. False where the update ends here: stopped, not finite, or converged by its gradient; what
  // there is to say of it then stands in the report.
  Procedure<bool> begin(Session& session, Objective<T>& objective, const T* x, NewtonSettings settings,
                        MinimizerReport& report, NewtonStart<T>& start);
  // Pairs that the solver is to collect; 0 where nobody wants them.
  std::int64_t history() const noexcept { return kind_ == Kind::kLbfgs ? history_ : 0; }
  bool spread() const noexcept { return spread_; }
  // The update is done: the solve's pairs, of B + shift I. The state is then that between two updates.
  void end(Session& session, std::int64_t update, std::vector<CollectedPair<T>> pairs, double shift);

  void save(MinimizerState& state) const;
  // Checks everything before it changes anything.
  Status restore(const MinimizerState& state);

 private:
  enum class Kind : std::uint8_t { kMartens, kGgnDiagonal, kHutchinson, kKfac, kLbfgs, kNone };
  bool is_diagonal() const noexcept {
    return kind_ == Kind::kMartens || kind_ == Kind::kGgnDiagonal || kind_ == Kind::kHutchinson;
  }
  // An estimate is made anew in this update.
  bool due(std::int64_t update) const noexcept;
  Draws draws_at(std::int64_t update) const noexcept;
  void estimate(Session& session, Objective<T>& objective, const T* x, std::int64_t update);
  Procedure<void> estimate_by_products(Session& session, const OperatorPort<T>& b, std::int64_t update, double l2);
  OperatorPort<T> diagonal(Session& session, const NewtonSettings& settings) const;
  Procedure<OperatorPort<T>> kronecker(Session& session, NewtonSettings settings);
  OperatorPort<T> quasi_newton(Session& session, double shift);

  Kind kind_;
  std::int64_t size_, history_;
  VectorLayout<T> layout_;
  ScheduleSpec exponent_, draws_, seed_, every_;
  KroneckerDamping form_;
  bool spread_;

  // Kept from update to update.
  AlignedBuffer<T> diagonal_;                    // d
  std::shared_ptr<KroneckerInverse<T>> factors_;  // damped anew in each update
  std::shared_ptr<LbfgsOperator<T>> pairs_;
  double pair_shift_ = 0;  // of the pairs' matrix
};

}  // namespace krylov
