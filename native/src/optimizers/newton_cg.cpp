// Newton-CG with a trust region: Nocedal & Wright, Numerical Optimization
// (2006), algorithms 4.1 and 7.2 (Steihaug 1983). One update, with B the
// curvature on its own samples and f, g on the gradient's:
//   1. p = argmin g'p + p'Bp / 2 over |p| <= radius by truncated CG, to |r| <= min(cg.tolerance, sqrt(|g|)) |g|;
//      negative curvature is followed to the boundary
//   2. rho = (f(x) - f(x + p)) / -(g'p + p'Bp / 2)
//   3. rho < 1/4 or NaN: radius /= 4; rho > 3/4 and |p| = radius: radius = min(2 radius, radius.maximum)
//   4. x += p where rho > acceptance; a rejected update leaves x, and the next one tries the smaller radius
// Difference: numerator and denominator of rho gain 10 epsilon |f|, so that rounding errors in f do not reject the last
// steps (Conn, Gould & Toint, Trust-region methods, 2000, section 17.4.2).
// With curvature from fewer samples than the gradient's this is the sub-sampled method: rho judges it by the whole f.
//
// Options: name, default, range. Numbers may be schedules over updates.
//   radius.initial      0        >= 0    0: min(1, |g|) of the first update
//   radius.maximum      1e10     > 0
//   acceptance          1e-4     [0, 1/4)
//   cg.tolerance        0.5      > 0
//   cg.maxIterations    250      >= 1
//   gradientTolerance   1e-7     >= 0    converged at max |g_i| <= this; also ("radius") at radius < 1e-12 |x|
//   curvature           hessian          hessian | ggn | fisher
#include <limits>

#include "krylov/solvers.h"
#include "optimizers/minimizers.h"
#include "optimizers/newton_minimizer.h"

namespace krylov {
namespace {

constexpr const char* kCurvatures[] = {"hessian", "ggn", "fisher"};
constexpr double kSmallestRadius = 1e-12;  // of |x|

template <Scalar T>
class NewtonCg final : public NewtonMinimizer<T> {
  using NewtonMinimizer<T>::size_, NewtonMinimizer<T>::updates_, NewtonMinimizer<T>::curvature_,
      NewtonMinimizer<T>::carried_, NewtonMinimizer<T>::known_;

 public:
  NewtonCg(RuleOptions& o, std::int64_t size)
      : NewtonMinimizer<T>(size, curvature_option(o, kCurvatures), "radius", 0), initial_(o.number("radius.initial")),
        maximum_(o.number("radius.maximum")), acceptance_(o.number("acceptance")), tolerance_(o.number("cg.tolerance")),
        max_iterations_(o.number("cg.maxIterations")), gradient_tolerance_(o.number("gradientTolerance")) {}

  Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) override;

 private:
  ScheduleSpec initial_, maximum_, acceptance_, tolerance_, max_iterations_, gradient_tolerance_;
};

template <Scalar T>
Procedure<MinimizerReport> NewtonCg<T>::update(Session& session, Objective<T>& objective, T* x) {
  Vectors<T> vectors(session, size_);
  MinimizerReport report;
  report.accepted = false;
  AlignedBuffer<T> g = vectors.make(), point = vectors.make();
  const double f = co_await known_.at(session, objective, x, g.data());
  report.loss = f;
  if (session.stopped() || !all_finite(vectors, f, g.data())) co_return report;
  known_.keep(x, f, g.data(), size_);
  const double gradient_norm = vectors.norm(g.data());
  double radius = updates_ > 0 ? carried_ : schedule_value(initial_, 0);
  if (!(radius > 0)) radius = std::fmin(1, gradient_norm);
  if (vectors.largest_magnitude(g.data()) <= schedule_value(gradient_tolerance_, updates_)) {
    report.converged = "gradientTolerance";
  } else if (radius < kSmallestRadius * vectors.norm(x)) {
    report.converged = "radius";
  }
  if (report.converged[0] != '\0') {
    report.numbers = {{"gradientNorm", gradient_norm}, {"radius", radius}};
    co_return report;
  }

  const OperatorPort<T> b = co_await objective.curvature(session, x, Samples::kCurvature, curvature_);
  if (session.stopped()) co_return report;
  ConjugateGradientOptions options;
  options.tolerance = std::fmin(schedule_value(tolerance_, updates_), std::sqrt(gradient_norm));
  options.max_iterations = std::max<std::int64_t>(1, count_at(max_iterations_, updates_));
  options.radius = radius;
  vectors.combine(-1, g.data(), 0, g.data(), point.data());
  const SolveResult<T> solved = co_await conjugate_gradient<T>(session, b, point.data(), nullptr, OperatorPort<T>(),
                                                               options, SolveObserver<T>());
  if (session.stopped()) co_return report;
  if (solved.reason == SolveReason::kNotFinite) {
    report.loss = NAN;
    co_return report;
  }

  const T* p = solved.solution.data();
  const double step_norm = vectors.norm(p), model = solved.quadratic;
  const double there = co_await value_along(session, objective, x, 1, p, point.data(), Samples::kGradient);
  if (session.stopped()) co_return report;
  const double rounding = 10 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::fabs(f);
  const double rho = (f - there + rounding) / (-model + rounding);
  const bool at_boundary =
      solved.reason == SolveReason::kBoundary || solved.reason == SolveReason::kNegativeCurvature;
  double after = radius;
  if (!(rho >= 0.25)) {
    after = radius / 4;
  } else if (rho > 0.75 && at_boundary) {
    after = std::fmin(2 * radius, schedule_value(maximum_, updates_));
  }
  report.accepted = rho > schedule_value(acceptance_, updates_);
  report.learning_rate = report.accepted ? 1 : 0;
  const double slope = vectors.dot(g.data(), p);
  if (report.accepted) vectors.copy(point.data(), x);
  report.numbers = {{"radius", radius},
                    {"radiusAfter", after},
                    {"reductionRatio", rho},
                    {"cgIterations", static_cast<double>(solved.iterations)},
                    {"stepNorm", report.accepted ? step_norm : 0},
                    {"gradientNorm", gradient_norm},
                    {"modelValue", model},
                    {"curvature", 2 * (model - slope) / (step_norm * step_norm)},
                    {"products", static_cast<double>(solved.products)}};
  report.words = {{"cgReason", name_of(solved.reason)}};
  carried_ = after;
  ++updates_;
  co_return report;
}

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_newton_cg(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<NewtonCg<T>>(options, objective.size());
}
template MinimizerPointer<float> make_newton_cg(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_newton_cg(RuleOptions&, const Objective<double>&);

}  // namespace krylov
