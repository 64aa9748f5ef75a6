// Saddle-free Newton: Dauphin, Pascanu, Gulcehre, Cho, Ganguli & Bengio,
// "Identifying and attacking the saddle point problem in high-dimensional
// non-convex optimization" (2014, arXiv 1406.2572), in a Krylov subspace. One
// update, with H the curvature at x on its own samples and f, g on the gradient's:
//   1. the Lanczos process from g: V'HV = Q diag(theta) Q' over at most subspaceSize vectors, whose span holds g
//   2. p = -V Q (|theta| + lambda)^-1 Q'V'g: negative curvature sets the length of the step along its direction, not
//      its sign, so that saddle points repel
//   3. rho = (f(x) - f(x + p)) / -(g'p + p'|H|p / 2); rho < damping.lower or NaN: lambda *= damping.boost;
//      rho > damping.upper: lambda = max(damping.drop lambda, damping.minimum)
//   4. rho > acceptance: x += p, done; else again with the new lambda, which costs a value, up to maxTries times
// Differences from the paper, which leaves lambda to a search over a few values: 3 and 4 (Levenberg-Marquardt). |theta| is
// at least 1e-12 of the largest, and lambda grows from 1e-8 of it at least. Numerator and denominator of rho gain
// 10 epsilon |f|, as those of newtonCG.
//
// Options: name, default, range. Numbers may be schedules over updates.
//   subspaceSize         20       >= 1
//   damping.initial      1        >= 0    of every update, with one try, where damping.adapt is false
//   damping.adapt        true
//   damping.drop         2/3      (0, 1]
//   damping.boost        3/2      >= 1
//   damping.lower        1/4      < upper
//   damping.upper        3/4
//   damping.minimum      0        >= 0
//   acceptance           1e-4     [0, 1/4)
//   maxTries             40       >= 1
//   gradientTolerance    1e-7     >= 0    converged at max |g_i| <= this; also ("noDescent") where all tries failed and
//                                         every update has the same samples
//   curvature            hessian          hessian | ggn | fisher
#include <limits>

#include "krylov/solvers.h"
#include "optimizers/minimizers.h"
#include "optimizers/newton_minimizer.h"
#include "solvers/dense.h"

namespace krylov {
namespace {

constexpr const char* kCurvatures[] = {"hessian", "ggn", "fisher"};
constexpr double kFlat = 1e-12, kLeastBoosted = 1e-8;  // of the largest |theta|

// H in terms of the Ritz vectors, and g's part along each.
struct Spectrum {
  std::vector<double> values, vectors, parts;
  double largest = 0;

  void analyse(const std::vector<double>& alpha, const std::vector<double>& beta, double gradient_norm) {
    const std::size_t m = alpha.size();
    values.resize(m), vectors.resize(m * m), parts.resize(m);
    tridiagonal_eigen(alpha, beta, values.data(), vectors.data());
    for (std::size_t k = 0; k < m; ++k) parts[k] = gradient_norm * vectors[k * m];
    largest = m == 0 ? 0 : std::fmax(std::fabs(values.front()), std::fabs(values.back()));
  }
};

struct Step {
  double slope = 0, bend = 0, absolute_bend = 0, square = 0;  // g'p, p'Hp, p'|H|p, p'p
  double model() const noexcept { return slope + absolute_bend / 2; }
};

// p by its coefficients along the Lanczos vectors.
Step step_of(const Spectrum& h, double lambda, std::vector<double>& coefficients) {
  const std::size_t m = h.values.size();
  coefficients.assign(m, 0.0);
  Step step;
  for (std::size_t k = 0; k < m; ++k) {
    const double size = std::fmax(std::fabs(h.values[k]), kFlat * h.largest);
    const double length = -h.parts[k] / (size + lambda);
    step.slope += h.parts[k] * length;
    step.bend += h.values[k] * length * length;
    step.absolute_bend += std::fabs(h.values[k]) * length * length;
    step.square += length * length;
    for (std::size_t i = 0; i < m; ++i) coefficients[i] += length * h.vectors[k * m + i];
  }
  return step;
}

template <Scalar T>
class SaddleFreeNewton final : public NewtonMinimizer<T> {
  using NewtonMinimizer<T>::size_, NewtonMinimizer<T>::updates_, NewtonMinimizer<T>::curvature_,
      NewtonMinimizer<T>::carried_, NewtonMinimizer<T>::known_;

 public:
  SaddleFreeNewton(RuleOptions& o, std::int64_t size)
      : NewtonMinimizer<T>(size, curvature_option(o, kCurvatures), "damping", 0), subspace_(o.number("subspaceSize")),
        initial_(o.number("damping.initial")), drop_(o.number("damping.drop")), boost_(o.number("damping.boost")),
        lower_(o.number("damping.lower")), upper_(o.number("damping.upper")), minimum_(o.number("damping.minimum")),
        acceptance_(o.number("acceptance")), max_tries_(o.number("maxTries")),
        gradient_tolerance_(o.number("gradientTolerance")), adapt_(o.flag("damping.adapt")) {}

  Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) override;

 private:
  // lambda after a try. A NaN counts as a step that is too long.
  double adapted(double lambda, double rho, double largest) const noexcept {
    if (!adapt_) return lambda;
    if (rho > schedule_value(upper_, updates_)) {
      return std::fmax(schedule_value(drop_, updates_) * lambda, schedule_value(minimum_, updates_));
    }
    if (rho >= schedule_value(lower_, updates_)) return lambda;
    return schedule_value(boost_, updates_) * std::fmax(lambda, kLeastBoosted * largest);
  }

  ScheduleSpec subspace_, initial_, drop_, boost_, lower_, upper_, minimum_, acceptance_, max_tries_,
      gradient_tolerance_;
  bool adapt_;
};

template <Scalar T>
Procedure<MinimizerReport> SaddleFreeNewton<T>::update(Session& session, Objective<T>& objective, T* x) {
  Vectors<T> vectors(session, size_);
  MinimizerReport report;
  report.accepted = false;
  AlignedBuffer<T> g = vectors.make(), point = vectors.make();
  const double f = co_await known_.at(session, objective, x, g.data());
  report.loss = f;
  if (session.stopped() || !all_finite(vectors, f, g.data())) co_return report;
  known_.keep(x, f, g.data(), size_);
  const double gradient_norm = vectors.norm(g.data());
  double after = adapt_ && updates_ > 0 ? carried_ : schedule_value(initial_, updates_);
  if (vectors.largest_magnitude(g.data()) <= schedule_value(gradient_tolerance_, updates_)) {
    report.converged = "gradientTolerance";
    report.numbers = {{"gradientNorm", gradient_norm}, {"damping", after}};
    co_return report;
  }

  const OperatorPort<T> b = co_await objective.curvature(session, x, Samples::kCurvature, curvature_);
  if (session.stopped()) co_return report;
  LanczosOptions options;
  options.steps = std::max<std::int64_t>(1, count_at(subspace_, updates_));
  const LanczosResult<T> basis = co_await lanczos<T>(session, b, g.data(), options);
  if (session.stopped()) co_return report;
  if (basis.reason == SolveReason::kNotFinite) {
    report.loss = NAN;
    co_return report;
  }
  Spectrum spectrum;
  spectrum.analyse(basis.alpha, basis.beta, gradient_norm);

  const double rounding = 10 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::fabs(f);
  const std::int64_t most = adapt_ ? std::max<std::int64_t>(1, count_at(max_tries_, updates_)) : 1;
  std::vector<double> coefficients;
  Step step;
  double lambda = after, rho = 0;
  std::int64_t tries = 0;
  while (!report.accepted && tries < most) {
    ++tries;
    lambda = after;
    step = step_of(spectrum, lambda, coefficients);
    vectors.copy(x, point.data());
    vectors.add_rows(coefficients, basis.basis.data(), point.data());
    const double there = co_await objective.value(session, point.data(), Samples::kGradient);
    if (session.stopped()) co_return report;
    rho = (f - there + rounding) / (-step.model() + rounding);
    report.accepted = rho > schedule_value(acceptance_, updates_) && std::isfinite(there);
    after = adapted(lambda, rho, spectrum.largest);
  }
  if (report.accepted) vectors.copy(point.data(), x);
  if (!report.accepted && objective.all_steady()) report.converged = "noDescent";
  report.learning_rate = report.accepted ? 1 : 0;
  report.numbers = {{"damping", lambda},
                    {"dampingAfter", after},
                    {"reductionRatio", rho},
                    {"tries", static_cast<double>(tries)},
                    {"subspaceSize", static_cast<double>(basis.alpha.size())},
                    {"smallestCurvature", spectrum.values.front()},
                    {"largestCurvature", spectrum.values.back()},
                    {"stepNorm", report.accepted ? std::sqrt(step.square) : 0},
                    {"gradientNorm", gradient_norm},
                    {"modelValue", step.model()},
                    {"curvature", step.bend / step.square},
                    {"products", static_cast<double>(basis.products)}};
  carried_ = after;
  ++updates_;
  co_return report;
}

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_saddle_free_newton(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<SaddleFreeNewton<T>>(options, objective.size());
}
template MinimizerPointer<float> make_saddle_free_newton(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_saddle_free_newton(RuleOptions&, const Objective<double>&);

}  // namespace krylov
