// Newton-MR: Roosta, Liu, Xu & Mahoney (arXiv 1810.00303); Liu & Roosta,
// "A Newton-MR algorithm with complexity guarantees for nonconvex smooth
// unconstrained optimization" (arXiv 2208.07095). One update, with H the
// curvature on its own samples and f, g on the gradient's: MINRES on H p = -g,
//   - solution: until |H r| < minres.inexactness |H p|; then alpha = 1, halved until
//     f(x + alpha p) <= f(x) + armijo alpha g'p
//   - non-positive curvature, r'Hr <= 0 at some residual r: p = r; from the alpha of the last such update, doubled
//     while the same test goes on passing, or else halved until it passes
//   x += alpha p.
// merit gradientNorm is the form of 2018 for invex functions: a solution whatever the curvature, alpha halved until
//   |g(x + alpha p)|^2 <= |g|^2 + 2 armijo alpha p'Hg; it may converge to saddle points.
// Difference: a p that does not descend, which rounding alone brings about, gives way to -g.
//
// Options: name, default, range. Numbers may be schedules over updates.
//   minres.inexactness     1e-2     > 0
//   minres.maxIterations   250      >= 1
//   merit                  value            value | gradientNorm
//   lineSearch.armijo      0.25 (value), 1e-4 (gradientNorm)     (0, 1/2)
//   gradientTolerance      1e-7     >= 0    converged at max |g_i| <= this; also ("noDescent") where no alpha >= 1e-18
//                                           passes and every update has the same samples
//   curvature              hessian          hessian | ggn | fisher
#include "krylov/solvers.h"
#include "optimizers/minimizers.h"
#include "optimizers/newton_minimizer.h"

namespace krylov {
namespace {

constexpr const char* kCurvatures[] = {"hessian", "ggn", "fisher"};
constexpr const char* kMerits[] = {"value", "gradientNorm"};
constexpr double kSmallestRate = 1e-18, kLargestRate = 1e10;  // of the authors' program

template <Scalar T>
class NewtonMr final : public NewtonMinimizer<T> {
  // carried_: the rate of the last step along non-positive curvature.
  using NewtonMinimizer<T>::size_, NewtonMinimizer<T>::updates_, NewtonMinimizer<T>::curvature_,
      NewtonMinimizer<T>::carried_;

 public:
  NewtonMr(RuleOptions& o, std::int64_t size)
      : NewtonMinimizer<T>(size, curvature_option(o, kCurvatures), "rate", 1),
        inexactness_(o.number("minres.inexactness")), max_iterations_(o.number("minres.maxIterations")),
        armijo_(o.number("lineSearch.armijo")), gradient_tolerance_(o.number("gradientTolerance")),
        by_value_(o.word("merit", kMerits) == 0) {}

  Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) override;

 private:
  // A line through x: what a test along it needs.
  struct Line {
    const T* x;
    const T* p;
    double start;  // f, or |g|^2
    double slope;  // along p
    AlignedBuffer<T> point, gradient;
  };
  Procedure<bool> passes(Session& session, Objective<T>& objective, Line& line, double rate);
  Procedure<double> backward(Session& session, Objective<T>& objective, Line& line, double rate);
  Procedure<double> both_ways(Session& session, Objective<T>& objective, Line& line, double rate);

  ScheduleSpec inexactness_, max_iterations_, armijo_, gradient_tolerance_;
  bool by_value_;
};

template <Scalar T>
Procedure<bool> NewtonMr<T>::passes(Session& session, Objective<T>& objective, Line& line, double rate) {
  const double bound = line.start + schedule_value(armijo_, updates_) * rate * line.slope;
  if (by_value_) {
    const double f =
        co_await value_along(session, objective, line.x, rate, line.p, line.point.data(), Samples::kGradient);
    co_return f <= bound;
  }
  Vectors<T> vectors(session, size_);
  vectors.add(line.x, rate, line.p, line.point.data());
  co_await objective.gradient(session, line.point.data(), Samples::kGradient, line.gradient.data(), nullptr);
  co_return vectors.dot(line.gradient.data(), line.gradient.data()) <= bound;
}

// The first of rate, rate / 2, rate / 4, ... that passes; 0: none.
template <Scalar T>
Procedure<double> NewtonMr<T>::backward(Session& session, Objective<T>& objective, Line& line, double rate) {
  for (; rate >= kSmallestRate && !session.stopped(); rate /= 2) {
    const bool passed = co_await passes(session, objective, line, rate);
    if (passed) co_return rate;
  }
  co_return 0;
}

template <Scalar T>
Procedure<double> NewtonMr<T>::both_ways(Session& session, Objective<T>& objective, Line& line, double rate) {
  const bool passed = co_await passes(session, objective, line, rate);
  if (!passed) {
    rate = co_await backward(session, objective, line, rate / 2);
    co_return rate;
  }
  while (2 * rate <= kLargestRate && !session.stopped()) {
    const bool further = co_await passes(session, objective, line, 2 * rate);
    if (!further) break;
    rate *= 2;
  }
  co_return rate;
}

template <Scalar T>
Procedure<MinimizerReport> NewtonMr<T>::update(Session& session, Objective<T>& objective, T* x) {
  Vectors<T> vectors(session, size_);
  MinimizerReport report;
  report.accepted = false;
  AlignedBuffer<T> g = vectors.make(), rhs = vectors.make();
  const double f = co_await objective.gradient(session, x, Samples::kGradient, g.data(), nullptr);
  report.loss = f;
  if (session.stopped() || !all_finite(vectors, f, g.data())) co_return report;
  const double gradient_norm = vectors.norm(g.data());
  if (vectors.largest_magnitude(g.data()) <= schedule_value(gradient_tolerance_, updates_)) {
    report.converged = "gradientTolerance";
    report.numbers = {{"gradientNorm", gradient_norm}};
    co_return report;
  }

  const OperatorPort<T> b = co_await objective.curvature(session, x, Samples::kCurvature, curvature_);
  if (session.stopped()) co_return report;
  MinresOptions options;
  options.tolerance = 0;
  options.inexactness = schedule_value(inexactness_, updates_);
  options.max_iterations = std::max<std::int64_t>(1, count_at(max_iterations_, updates_));
  options.stop_at_negative_curvature = by_value_;
  vectors.combine(-1, g.data(), 0, g.data(), rhs.data());
  SolveResult<T> solved =
      co_await minres<T>(session, b, rhs.data(), OperatorPort<T>(), options, SolveObserver<T>());
  if (session.stopped()) co_return report;
  if (solved.reason == SolveReason::kNotFinite) {
    report.loss = NAN;
    co_return report;
  }

  const bool negative = solved.reason == SolveReason::kNegativeCurvature;
  const char* kind = negative ? "negativeCurvature" : "solution";
  Line line{x, negative ? solved.direction.data() : solved.solution.data(), f, 0, std::move(rhs), {}};
  AlignedBuffer<T> bp = vectors.make();
  double slope = vectors.dot(g.data(), line.p);
  if (by_value_ && !(slope < 0)) {
    kind = "gradient";
    vectors.combine(-1, g.data(), 0, g.data(), bp.data());
    vectors.copy(bp.data(), solved.solution.data());
    line.p = solved.solution.data();
    slope = -gradient_norm * gradient_norm;
  }
  co_await b.apply(session, line.p, bp.data());
  if (session.stopped()) co_return report;
  const double step = vectors.norm(line.p), bend = vectors.dot(line.p, bp.data());
  line.slope = slope;
  if (!by_value_) {
    line.start = gradient_norm * gradient_norm;
    line.slope = 2 * vectors.dot(g.data(), bp.data());
    line.gradient = vectors.make();
  }
  double rate = 0;
  if (negative) {
    rate = co_await both_ways(session, objective, line, carried_);
  } else if (line.slope < 0) {
    rate = co_await backward(session, objective, line, 1);
  }
  if (session.stopped()) co_return report;

  if (rate > 0) vectors.add(x, rate, line.p, x);
  if (rate == 0 && objective.all_steady()) report.converged = "noDescent";
  report.learning_rate = rate;
  report.accepted = rate > 0;
  report.numbers = {{"rate", rate},
                    {"minresIterations", static_cast<double>(solved.iterations)},
                    {"residualNorm", solved.residual_norm},
                    {"stepNorm", rate * step},
                    {"gradientNorm", gradient_norm},
                    {"curvature", bend / (step * step)},
                    {"products", static_cast<double>(solved.products + 1)}};
  report.words = {{"minresReason", name_of(solved.reason)}, {"direction", kind}};
  if (negative) carried_ = rate > 0 ? rate : 1;
  ++updates_;
  co_return report;
}

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_newton_mr(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<NewtonMr<T>>(options, objective.size());
}
template MinimizerPointer<float> make_newton_mr(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_newton_mr(RuleOptions&, const Objective<double>&);

}  // namespace krylov
