// Hessian-free optimization: Martens, "Deep learning via Hessian-free
// optimization" (ICML 2010), sections 3 and 4; Martens & Sutskever, "Training
// deep and recurrent networks with Hessian-free optimization" (2012); constants
// and order of operations of Martens' program. One update, with B the curvature
// on S, the curvature's samples, and f, g on the gradient's:
//   1. f, g = grad f, mean of squared per-sample gradients s (data term alone)
//   2. M = (s + lambda + l2)^exponent by elements, or another preconditioner
//   3. CG on (B + lambda) d = -g, preconditioned by M, from decay * (the last iterate of the update before);
//      iterates d_1, ..., d_J kept at growing intervals
//   4. backtracking: from j = J, while f(x + d_{j-1}) <= f(x + d_j): j - 1; p = d_j
//   5. rho = (f_S(x + p) - f_S(x)) / (p'Bp / 2 + g'p), B undamped; -infinity where f_S rose
//   6. rate = learningRate, shrunk until f(x + rate p) <= f(x) + armijo rate g'p; 0 after maxTries
//   7. rho < lower or NaN: lambda *= boost; rho > upper: lambda *= drop
//   8. x += rate p
// Differences: g'p > 0, which a warm start on other samples can bring about, asks for no increase in 6 instead of
// allowing one; a point whose f is not finite is never taken; CG's negative curvature (a Hessian) ends CG, and in its
// first iteration from zero the direction itself is p.
// Without a line search the rate is learningRate, as in the hybrid with momentum of Sutskever, Martens, Dahl & Hinton
// (ICML 2013), appendix A.6: warmStartDecay near 1 and few CG iterations on mini-batches.
//
// Options: name, default, range. Numbers may be schedules over updates.
//   damping.initial            1        >= 0    lambda at first; of every update where damping.adapt is false
//   damping.adapt              true             step 7
//   damping.drop               2/3      (0, 1]
//   damping.boost              3/2      >= 1
//   damping.lower              1/4      < upper
//   damping.upper              3/4
//   damping.minimum            0        >= 0    lambda never falls below it
//   cg.maxIterations           250      >= 1
//   cg.minIterations           10       >= 1    the progress test looks back max(this, i / 10) iterations
//   cg.progressTolerance       5e-4     >= 0    0: no progress test
//   cg.tolerance               0        >= 0    also stops at |r| <= this |g|
//   warmStartDecay             0.95     [0, 1]
//   preconditioner.*                            see preconditioner.h; martens is step 2
//   backtracking               true             step 4; false: the last iterate
//   backtrackingSamples        gradient         gradient | curvature | selection: where step 4 takes f
//   storeGrowth                1.3      > 1     iterates kept: ceil(5 storeGrowth^j) and the last
//   lineSearch.enabled         true             step 6
//   lineSearch.armijo          1e-2     (0, 1)
//   lineSearch.shrink          0.8      (0, 1)
//   lineSearch.maxTries        60       >= 1
//   learningRate               1        > 0
//   curvature                  ggn              ggn | hessian | fisher
//   gradientTolerance          0        >= 0    the largest |g_i| at which the method has converged
#include <limits>
#include <optional>

#include "optimizers/minimizers.h"
#include "optimizers/preconditioner.h"

namespace krylov {
namespace {

constexpr const char* kCurvatures[] = {"ggn", "hessian", "fisher"};
constexpr const char* kSamples[] = {"gradient", "curvature", "selection"};
constexpr Samples kSamplesOf[] = {Samples::kGradient, Samples::kCurvature, Samples::kSelection};

template <Scalar T>
class HessianFree final : public Minimizer<T> {
 public:
  HessianFree(RuleOptions& o, const Objective<T>& objective)
      : size_(objective.size()), initial_(o.number("damping.initial")), drop_(o.number("damping.drop")),
        boost_(o.number("damping.boost")), lower_(o.number("damping.lower")), upper_(o.number("damping.upper")),
        minimum_(o.number("damping.minimum")), max_iterations_(o.number("cg.maxIterations")),
        min_iterations_(o.number("cg.minIterations")), progress_(o.number("cg.progressTolerance")),
        tolerance_(o.number("cg.tolerance")), decay_(o.number("warmStartDecay")),
        growth_(o.number("storeGrowth")), armijo_(o.number("lineSearch.armijo")),
        shrink_(o.number("lineSearch.shrink")), max_tries_(o.number("lineSearch.maxTries")),
        learning_rate_(o.number("learningRate")),
        gradient_tolerance_(o.number("gradientTolerance")), adapt_(o.flag("damping.adapt")),
        backtracking_(o.flag("backtracking")), line_search_(o.flag("lineSearch.enabled")),
        preconditioner_(o, objective), backtracking_samples_(kSamplesOf[o.word("backtrackingSamples", kSamples)]),
        curvature_(curvature_option(o, kCurvatures)) {}

  std::uint32_t needs() const noexcept override { return need_of(curvature_) | preconditioner_.needs(); }
  std::int64_t updates() const noexcept override { return updates_; }
  Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) override;

  MinimizerState save() const override {
    MinimizerState state;
    state.updates = updates_;
    if (updates_ > 0) state.numbers.emplace_back("damping", lambda_);
    save_vector(state, "warmStart", warm_start_);
    preconditioner_.save(state);
    return state;
  }
  Status restore(const MinimizerState& state) override {
    if (Status s = check_positive(state, "damping"); !s.ok()) return s;
    if (Status s = check_vector(state, "warmStart", size_); !s.ok()) return s;
    AlignedBuffer<T> warm_start = restore_vector<T>(state, "warmStart");
    if (Status s = preconditioner_.restore(state); !s.ok()) return s;
    updates_ = state.updates;
    lambda_ = state.number("damping", 0);
    warm_start_ = std::move(warm_start);
    return Status::success();
  }

 private:
  struct Values;
  ConjugateGradientOptions solver_options(double lambda) const noexcept;
  Procedure<std::int64_t> backtrack(Session& session, Objective<T>& objective, const T* x, const SolveResult<T>& solved,
                                    Values& values);
  Procedure<double> search(Session& session, Objective<T>& objective, const T* x, const T* p, double slope,
                           Values& values);
  double next_lambda(double lambda, double rho) const noexcept;

  std::int64_t size_, updates_ = 0;
  ScheduleSpec initial_, drop_, boost_, lower_, upper_, minimum_, max_iterations_, min_iterations_, progress_;
  ScheduleSpec tolerance_, decay_, growth_, armijo_, shrink_, max_tries_, learning_rate_, gradient_tolerance_;
  bool adapt_, backtracking_, line_search_;
  Preconditioner<T> preconditioner_;
  Samples backtracking_samples_;
  Curvature curvature_;
  double lambda_ = 0;
  AlignedBuffer<T> warm_start_;  // CG's last iterate; empty: zero
};

// What is known of f at x and at x + p by samples, so that no value is computed twice.
template <Scalar T>
struct HessianFree<T>::Values {
  std::optional<double> here[3], there[3];
  AlignedBuffer<T> point;

  static std::optional<double> find(const Objective<T>& objective, const std::optional<double> (&known)[3], Samples s) {
    for (const Samples other : kSamplesOf) {
      const auto& value = known[static_cast<int>(other)];
      if (value && (other == s || objective.same_samples(other, s))) return value;
    }
    return std::nullopt;
  }
};

template <Scalar T>
ConjugateGradientOptions HessianFree<T>::solver_options(double lambda) const noexcept {
  ConjugateGradientOptions options;
  options.tolerance = schedule_value(tolerance_, updates_);
  options.max_iterations = std::max<std::int64_t>(1, count_at(max_iterations_, updates_));
  options.progress_tolerance = schedule_value(progress_, updates_);
  options.progress_window = std::max<std::int64_t>(1, count_at(min_iterations_, updates_));
  options.shift = lambda;
  options.collect_history = preconditioner_.history();
  options.collect_spread = preconditioner_.spread();
  if (backtracking_) options.store_growth = schedule_value(growth_, updates_);
  return options;
}

// Step 4: the index of the iterate taken. Its value stays in `values`.
template <Scalar T>
Procedure<std::int64_t> HessianFree<T>::backtrack(Session& session, Objective<T>& objective, const T* x,
                                                  const SolveResult<T>& solved, Values& values) {
  std::int64_t j = static_cast<std::int64_t>(solved.stored.size()) - 1;
  const auto value = [&](std::int64_t i) {
    return value_along(session, objective, x, 1, solved.stored[static_cast<std::size_t>(i)].data(), values.point.data(),
                       backtracking_samples_);
  };
  double last = co_await value(j);
  while (j > 0 && !session.stopped()) {
    const double earlier = co_await value(j - 1);
    if (!(earlier <= last) && std::isfinite(last)) break;
    last = earlier;
    --j;
  }
  values.there[static_cast<int>(backtracking_samples_)] = last;
  co_return j;
}

// Step 6: the rate.
template <Scalar T>
Procedure<double> HessianFree<T>::search(Session& session, Objective<T>& objective, const T* x, const T* p,
                                         double slope, Values& values) {
  const double start = *values.here[static_cast<int>(Samples::kGradient)];
  const double armijo = schedule_value(armijo_, updates_), shrink = schedule_value(shrink_, updates_);
  const std::int64_t tries = count_at(max_tries_, updates_);
  double rate = schedule_value(learning_rate_, updates_);
  for (std::int64_t i = 0; i < tries && !session.stopped(); ++i, rate *= shrink) {
    std::optional<double> there;
    if (rate == 1) there = Values::find(objective, values.there, Samples::kGradient);
    if (!there) {
      there = co_await value_along(session, objective, x, rate, p, values.point.data(), Samples::kGradient);
    }
    if (*there <= start + armijo * rate * std::fmin(slope, 0)) co_return rate;
  }
  co_return 0;
}

// Step 7.
template <Scalar T>
double HessianFree<T>::next_lambda(double lambda, double rho) const noexcept {
  if (!adapt_) return lambda;
  if (rho > schedule_value(upper_, updates_)) lambda *= schedule_value(drop_, updates_);
  if (!(rho >= schedule_value(lower_, updates_))) lambda *= schedule_value(boost_, updates_);
  return std::fmax(lambda, schedule_value(minimum_, updates_));
}

template <Scalar T>
Procedure<MinimizerReport> HessianFree<T>::update(Session& session, Objective<T>& objective, T* x) {
  Vectors<T> vectors(session, size_);
  MinimizerReport report;
  const double lambda = adapt_ && updates_ > 0 ? lambda_ : schedule_value(initial_, updates_);
  NewtonSettings settings;
  settings.update = updates_;
  settings.shift = lambda + objective.l2();
  settings.gradient_tolerance = schedule_value(gradient_tolerance_, updates_);
  settings.curvature = curvature_;
  NewtonStart<T> at;
  const bool goes_on = co_await preconditioner_.begin(session, objective, x, settings, report, at);
  if (!report.numbers.empty()) report.numbers.emplace_back("damping", lambda);
  if (!goes_on) co_return report;
  const AlignedBuffer<T>& g = at.g;
  OperatorPort<T>& b = at.b;

  AlignedBuffer<T> rhs = vectors.make(), start;
  vectors.combine(-1, g.data(), 0, g.data(), rhs.data());
  if (const double decay = schedule_value(decay_, updates_); decay > 0 && !warm_start_.empty()) {
    start = vectors.make();
    vectors.combine(decay, warm_start_.data(), 0, warm_start_.data(), start.data());
  }
  SolveResult<T> solved = co_await conjugate_gradient<T>(session, b, rhs.data(), start.data(), at.preconditioner,
                                                         solver_options(lambda), SolveObserver<T>());
  if (session.stopped()) co_return report;
  if (solved.reason == SolveReason::kNotFinite) {
    report.loss = NAN;
    co_return report;
  }

  Values values;
  values.point = vectors.make();
  values.here[static_cast<int>(Samples::kGradient)] = at.f;
  const T* p = solved.solution.data();
  std::int64_t chosen = solved.iterations;
  if (solved.reason == SolveReason::kNegativeCurvature && vectors.norm(p) == 0) {
    p = solved.direction.data();
  } else if (backtracking_ && !solved.stored.empty()) {
    const auto j = static_cast<std::size_t>(co_await backtrack(session, objective, x, solved, values));
    if (session.stopped()) co_return report;
    p = solved.stored[j].data();
    chosen = solved.stored_at[j];
    // Values on the curvature's samples elsewhere have ended B at x.
    if (backtracking_samples_ == Samples::kCurvature) {
      b = co_await objective.curvature(session, x, Samples::kCurvature, curvature_);
    }
  }

  const double slope = vectors.dot(g.data(), p), squared = vectors.dot(p, p);
  // Of CG's last iterate the quadratic's value tells p'Bp, unless the damping's share leaves no digits of it; else, and
  // for another p, it takes one more product.
  double bend = 2 * (solved.quadratic - slope) - lambda * squared;
  const bool told = chosen == solved.iterations && p != solved.direction.data() &&
                    std::abs(bend) >= std::sqrt(std::numeric_limits<T>::epsilon()) * lambda * squared;
  if (!told) {
    AlignedBuffer<T> bp = std::move(rhs);
    co_await b.apply(session, p, bp.data());
    if (session.stopped()) co_return report;
    bend = vectors.dot(p, bp.data());
  }
  const auto curvature_samples = static_cast<int>(Samples::kCurvature);
  std::optional<double> here = Values::find(objective, values.here, Samples::kCurvature);
  if (!here) here = co_await objective.value(session, x, Samples::kCurvature);
  std::optional<double> there = Values::find(objective, values.there, Samples::kCurvature);
  if (!there) {
    there = co_await value_along(session, objective, x, 1, p, values.point.data(), Samples::kCurvature);
    values.there[curvature_samples] = there;
  }
  if (session.stopped()) co_return report;
  double rho = (*there - *here) / (bend / 2 + slope);
  if (*there > *here) rho = -std::numeric_limits<double>::infinity();

  double rate = std::isfinite(*there) ? schedule_value(learning_rate_, updates_) : 0;
  if (line_search_) rate = co_await search(session, objective, x, p, slope, values);
  if (session.stopped()) co_return report;

  const double after = next_lambda(lambda, rho);
  if (rate > 0) vectors.add(x, rate, p, x);
  report.learning_rate = rate;
  report.accepted = rate > 0;
  report.numbers = {{"damping", lambda},
                    {"dampingAfter", after},
                    {"reductionRatio", rho},
                    {"cgIterations", static_cast<double>(solved.iterations)},
                    {"chosenIterate", static_cast<double>(chosen)},
                    {"rate", rate},
                    {"stepNorm", rate * std::sqrt(squared)},
                    {"gradientNorm", at.gradient_norm},
                    {"modelValue", solved.quadratic},
                    {"curvature", bend / squared},
                    {"products", static_cast<double>(solved.products + (told ? 0 : 1))}};
  report.words = {{"cgReason", name_of(solved.reason)}};
  lambda_ = after;
  warm_start_ = std::move(solved.solution);
  preconditioner_.end(session, updates_, std::move(solved.pairs), settings.shift);
  ++updates_;
  co_return report;
}

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_hessian_free(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<HessianFree<T>>(options, objective);
}
template MinimizerPointer<float> make_hessian_free(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_hessian_free(RuleOptions&, const Objective<double>&);

}  // namespace krylov
