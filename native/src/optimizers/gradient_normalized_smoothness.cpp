// Gradient-normalized smoothness: Semenov, Jaggi & Doikov, "Gradient-Normalized
// Smoothness for Optimization with Approximate Hessians" (arXiv 2506.13710,
// ICLR 2026), algorithm 1 with the identity as metric, constants of the
// authors' program. One update, with H the curvature at x on its own samples
// and f, g on the gradient's; up to maxTries times:
//   lambda = |g| / (gamma + tolerance);  (H + lambda) h = -g;  f', g' at x + h
//   f - f' >= |g'|^2 / (8 lambda): x += h, gamma = max(2 gamma, gamma.minimum), done; else gamma /= 2
// Differences from the program: a matrix that is not positive definite is a failed try; after maxTries failures x stays
// (gamma then is at least gamma.minimum); where f - f' may be lost in rounding, within 45 epsilon |f| of what the test
// asks (1e-14 |f| in float64), the slopes stand for it, -h'(g + g') / 2, and |g'| < |g| is asked besides: a step that
// overshoots would pass for ever, and at the limits of rounding no step passes.
// The linear system: Cholesky of the dense matrix, or conjugate gradients to
// |r| <= cg.tolerance min(1, |g|) |g| (the library's choice, not the paper's), one Krylov space for all tries.
//
// Options: name, default, range. Numbers may be schedules over updates.
//   gamma.initial       1        > 0
//   gamma.adapt         true             false: gamma.initial for every update, one try, no test
//   gamma.minimum       1e-9     >= 0
//   tolerance           1e-8     >= 0
//   maxTries            40       >= 1
//   solver              auto             cholesky | cg | auto: cholesky up to 256 parameters
//   cg.tolerance        0.1      > 0
//   cg.maxIterations    250      >= 1
//   gradientTolerance   1e-7     >= 0    converged at |g| < this; also ("noDescent") where all tries failed and every
//                                        update has the same samples
//   curvature           ggn              hessian | ggn | fisher | empiricalFisher
#include <limits>
#include <optional>

#include "krylov/solvers.h"
#include "optimizers/minimizers.h"
#include "optimizers/newton_minimizer.h"
#include "solvers/dense.h"
#include "solvers/shifted_systems.h"

namespace krylov {
namespace {

constexpr const char* kCurvatures[] = {"ggn", "hessian", "fisher", "empiricalFisher"};
constexpr const char* kSolvers[] = {"auto", "cholesky", "cg"};
constexpr std::int64_t kDenseDimension = 256;
constexpr double kSlack = 45;  // epsilons of |f|

template <Scalar T>
class GradientNormalizedSmoothness final : public NewtonMinimizer<T> {
  using NewtonMinimizer<T>::size_, NewtonMinimizer<T>::updates_, NewtonMinimizer<T>::curvature_,
      NewtonMinimizer<T>::carried_, NewtonMinimizer<T>::known_;

 public:
  GradientNormalizedSmoothness(RuleOptions& o, const Objective<T>& objective)
      : NewtonMinimizer<T>(objective.size(), curvature_option(o, kCurvatures), "gamma", 1),
        initial_(o.number("gamma.initial")), minimum_(o.number("gamma.minimum")), tolerance_(o.number("tolerance")),
        max_tries_(o.number("maxTries")), cg_tolerance_(o.number("cg.tolerance")),
        max_iterations_(o.number("cg.maxIterations")), gradient_tolerance_(o.number("gradientTolerance")),
        adapt_(o.flag("gamma.adapt")) {
    const int solver = o.word("solver", kSolvers);
    dense_ = solver == 1 || (solver == 0 && objective.dimension() <= kDenseDimension);
  }

  Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) override;

 private:
  // (H + lambda) h = -g for one lambda after the other.
  struct System {
    OperatorPort<T> h;
    AlignedBuffer<T> rhs;                       // -g
    std::vector<double> matrix, factor, right;  // dense, in plain order
    std::optional<ShiftedSystems<T>> shifted;   // otherwise
    std::int64_t products = 0, iterations = 0;
    const char* reason = "";
    bool finite = true;                         // the products
  };
  Procedure<void> form(Session& session, Objective<T>& objective, System& system) const;
  Procedure<bool> solve(Session& session, Objective<T>& objective, System& system, double gradient_norm, double lambda,
                        T* h) const;

  ScheduleSpec initial_, minimum_, tolerance_, max_tries_, cg_tolerance_, max_iterations_, gradient_tolerance_;
  bool adapt_, dense_;
};

// The dense matrix, a product a column; its symmetric part, since rounding leaves none of the two triangles exact.
template <Scalar T>
Procedure<void> GradientNormalizedSmoothness<T>::form(Session& session, Objective<T>& objective, System& system) const {
  const std::int64_t n = objective.dimension();
  const auto count = static_cast<std::size_t>(n);
  system.matrix.resize(count * count);
  std::vector<double> plain(count);
  AlignedBuffer<T> v(static_cast<std::size_t>(size_)), column(static_cast<std::size_t>(size_));
  for (std::int64_t j = 0; j < n; ++j) {
    std::fill(plain.begin(), plain.end(), 0.0);
    plain[static_cast<std::size_t>(j)] = 1;
    objective.from_plain(plain, v.data());
    co_await system.h.apply(session, v.data(), column.data());
    ++system.products;
    if (session.stopped()) co_return;
    objective.to_plain(column.data(), {&system.matrix[static_cast<std::size_t>(j) * count], count});
  }
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      double &a = system.matrix[i * count + j], &b = system.matrix[j * count + i];
      a = b = a == b ? a : (a + b) / 2;
    }
  }
  for (const double a : system.matrix) system.finite = system.finite && std::isfinite(a);
}

// False where the matrix is not positive definite.
template <Scalar T>
Procedure<bool> GradientNormalizedSmoothness<T>::solve(Session& session, Objective<T>& objective, System& system,
                                                       double gradient_norm, double lambda, T* h) const {
  if (dense_) {
    const std::int64_t n = objective.dimension();
    system.factor = system.matrix;
    for (std::int64_t i = 0; i < n; ++i) system.factor[static_cast<std::size_t>(i * (n + 1))] += lambda;
    if (!cholesky(system.factor.data(), n)) co_return false;
    system.right.resize(static_cast<std::size_t>(n));
    objective.to_plain(system.rhs.data(), system.right);
    cholesky_solve(system.factor.data(), n, system.right.data());
    objective.from_plain(system.right, h);
    co_return true;
  }
  const double tolerance = schedule_value(cg_tolerance_, updates_) * std::fmin(1, gradient_norm);
  const std::int64_t most = std::max<std::int64_t>(1, count_at(max_iterations_, updates_));
  const auto solved = co_await system.shifted->solve(session, lambda, tolerance, most, h);
  system.products = system.shifted->products();
  system.iterations += solved.iterations;
  system.reason = name_of(solved.reason);
  system.finite = solved.reason != SolveReason::kNotFinite;
  co_return solved.reason != SolveReason::kNegativeCurvature && system.finite;
}

template <Scalar T>
Procedure<MinimizerReport> GradientNormalizedSmoothness<T>::update(Session& session, Objective<T>& objective, T* x) {
  Vectors<T> vectors(session, size_);
  MinimizerReport report;
  report.accepted = false;
  AlignedBuffer<T> g = vectors.make(), h = vectors.make(), point = vectors.make(), next = vectors.make();
  const double f = co_await known_.at(session, objective, x, g.data());
  report.loss = f;
  if (session.stopped() || !all_finite(vectors, f, g.data())) co_return report;
  known_.keep(x, f, g.data(), size_);
  const double gradient_norm = vectors.norm(g.data());
  double gamma = adapt_ && updates_ > 0 ? carried_ : schedule_value(initial_, updates_);
  if (gradient_norm < schedule_value(gradient_tolerance_, updates_) || gradient_norm == 0) {
    report.converged = "gradientTolerance";
    report.numbers = {{"gradientNorm", gradient_norm}, {"gamma", gamma}};
    co_return report;
  }

  System system;
  system.h = co_await objective.curvature(session, x, Samples::kCurvature, curvature_);
  if (session.stopped()) co_return report;
  system.rhs = vectors.make();
  vectors.combine(-1, g.data(), 0, g.data(), system.rhs.data());
  if (dense_) {
    co_await form(session, objective, system);
  } else {
    system.shifted.emplace(session, system.h, system.rhs.data());
  }
  if (session.stopped()) co_return report;

  const double slack = kSlack * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::fabs(f);
  const std::int64_t most = adapt_ ? std::max<std::int64_t>(1, count_at(max_tries_, updates_)) : 1;
  double lambda = 0, there = f, next_norm = 0;
  std::int64_t tries = 0;
  while (!report.accepted && tries < most && system.finite) {
    ++tries;
    lambda = gradient_norm / (gamma + schedule_value(tolerance_, updates_));
    const bool solved = co_await solve(session, objective, system, gradient_norm, lambda, h.data());
    if (session.stopped()) co_return report;
    if (solved) {
      vectors.add(x, 1, h.data(), point.data());
      there = co_await objective.gradient(session, point.data(), Samples::kGradient, next.data(), nullptr);
      if (session.stopped()) co_return report;
      next_norm = vectors.norm(next.data());
      const double least = next_norm * next_norm / (8 * lambda);
      bool falls = f - there >= least;
      if (!falls && f - there + slack >= least && next_norm < gradient_norm) {
        const double slopes = vectors.dot(g.data(), h.data()) + vectors.dot(next.data(), h.data());
        falls = -slopes / 2 >= least;
      }
      report.accepted = adapt_ ? falls : std::isfinite(there) && std::isfinite(next_norm);
    }
    if (adapt_ && !report.accepted) gamma /= 2;
  }
  if (!system.finite) {
    report.accepted = false;
    report.loss = NAN;
    co_return report;
  }
  const double used = gamma;
  if (adapt_) gamma = std::fmax(report.accepted ? 2 * gamma : gamma, schedule_value(minimum_, updates_));

  const double step = vectors.norm(h.data());
  const double bend = -vectors.dot(g.data(), h.data()) / (step * step) - lambda;  // h'Hh = -g'h - lambda h'h
  if (report.accepted) {
    vectors.copy(point.data(), x);
    known_.keep(x, there, next.data(), size_);
  } else if (objective.all_steady()) {
    report.converged = "noDescent";
  }
  report.learning_rate = report.accepted ? 1 : 0;
  report.numbers = {{"gamma", used},
                    {"gammaAfter", gamma},
                    {"damping", lambda},
                    {"tries", static_cast<double>(tries)},
                    {"stepNorm", report.accepted ? step : 0},
                    {"gradientNorm", gradient_norm},
                    {"curvature", bend},
                    {"products", static_cast<double>(system.products)}};
  if (!dense_) {
    report.numbers.emplace_back("cgIterations", static_cast<double>(system.iterations));
    report.words = {{"cgReason", system.reason}};
  }
  carried_ = gamma;
  ++updates_;
  co_return report;
}

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_gradient_normalized_smoothness(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<GradientNormalizedSmoothness<T>>(options, objective);
}
template MinimizerPointer<float> make_gradient_normalized_smoothness(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_gradient_normalized_smoothness(RuleOptions&, const Objective<double>&);

}  // namespace krylov
