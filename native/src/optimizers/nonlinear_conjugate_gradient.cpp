// Nonlinear conjugate gradients: d = -g at first, then d_+ = -g_+ + beta d, with y = g_+ - g and
//   fletcherReeves    g_+'g_+ / g'g                                                  (Fletcher & Reeves 1964)
//   polakRibiere      max(0, g_+'y / g'g), that is PR+                               (Gilbert & Nocedal 1992)
//   hestenesStiefel   g_+'y / d'y                                                    (Hestenes & Stiefel 1952)
//   daiYuan           g_+'g_+ / d'y                                                  (Dai & Yuan 1999)
//   hagerZhang        max(b, 0.4 d'g / d'd), b = (y - 2 d y'y / d'y)'g_+ / d'y       (Hager & Zhang 2013)
//   hagerZhang2005    max(b, -1 / (|d| min(0.01, |g|)))                              (Hager & Zhang 2005)
// d_+ = -g_+ again (a restart) after restartEvery steps, where |g_+'g| >= restartThreshold g_+'g_+ (Powell 1977), where
// beta is not finite, and where g_+'d_+ >= 0.
// Every step is a strong Wolfe search. Its first trial is min(1, 1 / |g|_1), and later the step that promises the same
// first-order change as the last one (Nocedal & Wright 2006, section 3.5), at most ten times as long as that.
// On mini-batches the samples should stay the same for several updates: beta compares gradients of one function.
//
// Options: name, default, range. The tolerances may be schedules over updates.
//   formula                  polakRibiere   the words above
//   gradientTolerance        1e-7   >= 0
//   changeTolerance          1e-9   >= 0
//   c1                       1e-4   0 < c1 < c2
//   c2                       0.1    < 1       for every formula; hagerZhang may be looser
//   maxLineSearchIterations  25     >= 1
//   restartEvery             0      >= 0      0: as many as there are parameters
//   restartThreshold         0.1    >= 0      0: never; hagerZhang and hagerZhang2005: default 0
#include "optimizers/conjugate_beta.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "optimizers/line_search_minimizer.h"
#include "optimizers/minimizers.h"
#include "optimizers/newton_support.h"

namespace krylov {

double conjugate_beta(BetaFormula formula, const BetaProducts& p) noexcept {
  const double hager_zhang = (p.next_y - 2 * p.yy * p.next_d / p.dy) / p.dy;
  switch (formula) {
    case BetaFormula::kFletcherReeves: return p.next / p.gg;
    case BetaFormula::kPolakRibiere: return std::fmax(0, p.next_y / p.gg);
    case BetaFormula::kHestenesStiefel: return p.next_y / p.dy;
    case BetaFormula::kDaiYuan: return p.next / p.dy;
    case BetaFormula::kHagerZhang: return std::fmax(hager_zhang, 0.4 * p.dg / p.dd);
    case BetaFormula::kHagerZhang2005:
      return std::fmax(hager_zhang, -1 / (std::sqrt(p.dd) * std::fmin(0.01, std::sqrt(p.gg))));
  }
  return 0;
}

namespace {

constexpr const char* kFormulas[] = {"fletcherReeves", "polakRibiere", "hestenesStiefel",
                                     "daiYuan",        "hagerZhang",   "hagerZhang2005"};
constexpr double kLongestFirstTrial = 10;  // of the last step

template <Scalar T>
class NonlinearConjugateGradient final : public LineSearchMinimizer<T> {
  using Base = LineSearchMinimizer<T>;

 public:
  NonlinearConjugateGradient(RuleOptions& options, const Objective<T>& objective)
      : Base(read_line_search_rules(options, false, true), objective.size()),
        formula_(static_cast<BetaFormula>(options.word("formula", kFormulas))),
        restart_threshold_(schedule_value(options.number("restartThreshold"), 0)),
        restart_every_(count_at(options.number("restartEvery"), 0)) {
    if (restart_every_ == 0) restart_every_ = std::max<std::int64_t>(1, objective.dimension());
  }

 protected:
  double direct(Session&, Vectors<T>& vectors, Objective<T>&, const T* g, T* d) override {
    if (!conjugate_) vectors.combine(-1, g, 0, g, d);
    if (!(last_step_ > 0)) return Base::cautious_step(vectors, g);
    const double promised = last_step_ * last_slope_ / vectors.dot(g, d);
    // A direction that does not descend is refused by the caller, whatever the step.
    return promised > 0 ? std::fmin(promised, kLongestFirstTrial * last_step_) : last_step_;
  }

  void learn(Session&, Vectors<T>& vectors, Objective<T>&, const typename Base::Step& step) override {
    const T* next = step.next_gradient;
    last_step_ = step.length;
    last_slope_ = step.slope;
    BetaProducts p;
    p.gg = vectors.dot(step.g, step.g);
    p.next = vectors.dot(next, next);
    const double overlap = vectors.dot(next, step.g);
    T* y = step.g;
    vectors.combine(1, next, -1, step.g, y);
    p.next_y = vectors.dot(next, y);
    p.dy = vectors.dot(step.d, y);
    p.yy = vectors.dot(y, y);
    p.next_d = vectors.dot(next, step.d);
    p.dd = vectors.dot(step.d, step.d);
    p.dg = step.slope;
    const double beta = conjugate_beta(formula_, p);
    conjugate_ = std::isfinite(beta) && ++since_restart_ < restart_every_ &&
                 !(restart_threshold_ > 0 && std::fabs(overlap) >= restart_threshold_ * p.next);
    if (!conjugate_) {
      since_restart_ = 0;
    } else {
      vectors.combine(beta, step.d, -1, next, step.d);
    }
  }

  bool restart() noexcept override {
    const bool had = conjugate_;
    moved();
    return had;
  }
  void moved() noexcept override {
    conjugate_ = false;
    since_restart_ = 0;
    last_step_ = 0;
  }

  void save_rest(MinimizerState& state) const override {
    state.numbers.insert(state.numbers.end(), {{"lastStep", last_step_},
                                               {"lastSlope", last_slope_},
                                               {"sinceRestart", static_cast<double>(since_restart_)}});
    if (conjugate_) save_vector(state, "direction", this->direction());
  }
  Status check_rest(const MinimizerState& state) const override {
    if (Status s = check_positive(state, "lastStep"); !s.ok()) return s;
    if (Status s = check_positive(state, "sinceRestart"); !s.ok()) return s;
    return check_vector(state, "direction", this->size());
  }
  void restore_rest(const MinimizerState& state) override {
    last_step_ = state.number("lastStep", 0);
    last_slope_ = state.number("lastSlope", 0);
    since_restart_ = static_cast<std::int64_t>(state.number("sinceRestart", 0));
    this->direction() = restore_vector<T>(state, "direction");
    conjugate_ = !this->direction().empty();
  }

 private:
  BetaFormula formula_;
  double restart_threshold_;
  std::int64_t restart_every_, since_restart_ = 0;
  bool conjugate_ = false;  // the direction is there already
  double last_step_ = 0, last_slope_ = 0;
};

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_nonlinear_conjugate_gradient(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<NonlinearConjugateGradient<T>>(options, objective);
}
template MinimizerPointer<float> make_nonlinear_conjugate_gradient(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_nonlinear_conjugate_gradient(RuleOptions&, const Objective<double>&);

}  // namespace krylov
