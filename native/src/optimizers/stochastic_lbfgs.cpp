// Stochastic L-BFGS: x_+ = x - learningRate H g on the samples of the update, without a line search. H comes from pairs
// (s, y) by the two loops of lbfgs; y must not mix samples (second gradients of one batch, or products):
//   sameBatch  every `every` updates: s = x_+ - x, y = g(x_+) - g(x) + regularisation s, both gradients on the update's
//              own samples; H_0 = I times the mean of s'y / y'y over the pairs       (oLBFGS; Schraudolph et al. 2007)
//   hessian    every `every` updates: s = difference of the mean iterates of two blocks of `every` updates,
//              y = B s + regularisation s with the Hessian at the newer mean on the curvature's samples;
//              H_0 of the newest pair                                 (Byrd et al. 2016, arXiv 1401.7020, algorithm 1)
//   ggn        the same with Gauss-Newton products, so that s'y >= 0 also where the Hessian is indefinite
// Differences: without pairs the step is min(1, 1 / |g|_1) learningRate along -g, as in lbfgs; the first paper has a
// tiny constant there and the second learningRate alone; pairs with s'y <= 1e-4 |s| |y| are left out.
//
// Options: name, default, range. Numbers may be schedules over updates, counts not.
//   learningRate    0.1         > 0
//   history         10          >= 1
//   pairs           sameBatch   sameBatch | hessian | ggn
//   every           1 for sameBatch, 10 otherwise    >= 1
//   regularisation  1e-2 >= 0     lambda of oLBFGS, on the scale of the curvature
#include <cmath>
#include <limits>
#include <utility>

#include "optimizers/lbfgs_state.h"
#include "optimizers/line_search_minimizer.h"
#include "optimizers/minimizers.h"

namespace krylov {
namespace {

constexpr const char* kPairs[] = {"sameBatch", "hessian", "ggn"};
enum class PairSource : std::uint8_t { kSameBatch, kHessian, kGaussNewton };
constexpr double kLeastCosine = 1e-4;  // of s and y: less is noise, or curvature that is hardly positive

template <Scalar T>
class StochasticLbfgs final : public Minimizer<T> {
 public:
  StochasticLbfgs(RuleOptions& options, std::int64_t size)
      : size_(size),
        learning_rate_(options.number("learningRate")),
        regularisation_(options.number("regularisation")),
        every_(read_count(options, "every")),
        source_(static_cast<PairSource>(options.word("pairs", kPairs))),
        pairs_(size, read_count(options, "history")) {}

  std::uint32_t needs() const noexcept override {
    if (source_ == PairSource::kSameBatch) return 0;
    return need_of(source_ == PairSource::kHessian ? Curvature::kHessian : Curvature::kGaussNewton);
  }
  std::int64_t updates() const noexcept override { return updates_; }
  bool knows(const Objective<T>& objective, const T* x) const noexcept override {
    return kept_.holds(objective, x) || (counted_ && objective.steady());
  }
  Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) override;

  MinimizerState save() const override {
    MinimizerState state;
    state.updates = updates_;
    state.numbers = {{"evaluations", static_cast<double>(evaluations_)},
                     {"products", static_cast<double>(products_)},
                     {"known", known_ || counted_ ? 1.0 : 0.0}};
    save_pairs(pairs_, state);
    save_vector(state, "iterateSum", sum_);
    save_vector(state, "lastMean", last_mean_);
    return state;
  }

  Status restore(const MinimizerState& state) override {
    for (const char* name : {"evaluations", "products"}) {
      if (Status s = check_positive(state, name); !s.ok()) return s;
    }
    for (const char* name : {"iterateSum", "lastMean"}) {
      if (Status s = check_vector(state, name, size_); !s.ok()) return s;
    }
    if (Status s = check_pairs(state, pairs_); !s.ok()) return s;
    restore_pairs(state, pairs_);
    sum_ = restore_vector<T>(state, "iterateSum");
    last_mean_ = restore_vector<T>(state, "lastMean");
    updates_ = state.updates;
    evaluations_ = static_cast<std::int64_t>(state.number("evaluations", 0));
    products_ = static_cast<std::int64_t>(state.number("products", 0));
    counted_ = state.number("known", 0) != 0;
    known_ = false;
    kept_.forget();
    return Status::success();
  }

 private:
  Procedure<bool> pair_of_batch(Session& session, Objective<T>& objective, const T* next, T* s, T* y);
  Procedure<bool> pair_of_products(Session& session, Objective<T>& objective, T* mean, T* s, T* y);

  std::int64_t size_, updates_ = 0, evaluations_ = 0, products_ = 0;
  ScheduleSpec learning_rate_, regularisation_;
  std::int64_t every_;
  PairSource source_;
  LbfgsPairs<T> pairs_;
  AlignedBuffer<T> sum_, last_mean_;  // of the iterates of this block; of the last block
  KnownGradient<T> kept_;             // where the second gradient of a pair was taken
  bool known_ = false;                // that is where the last update ended
  bool counted_ = false;              // the evaluation to come repeats one that was counted before a state was saved
};

// y = g(next) - g, from y = g.
template <Scalar T>
Procedure<bool> StochasticLbfgs<T>::pair_of_batch(Session& session, Objective<T>& objective, const T* next, T* s,
                                                  T* y) {
  Vectors<T> vectors(session, size_);
  AlignedBuffer<T> there = vectors.make();
  const double f = co_await objective.gradient(session, next, Samples::kGradient, there.data(), nullptr);
  if (session.stopped() || !all_finite(vectors, f, there.data())) co_return false;
  ++evaluations_;
  vectors.combine(1, there.data(), -1, y, y);
  vectors.add(y, schedule_value(regularisation_, updates_), s, y);
  if (objective.steady()) kept_.keep(next, f, there.data(), size_);
  co_return true;
}

// s = mean - last_mean_ and y = B s; `mean` comes as the sum of the block's iterates.
template <Scalar T>
Procedure<bool> StochasticLbfgs<T>::pair_of_products(Session& session, Objective<T>& objective, T* mean, T* s, T* y) {
  Vectors<T> vectors(session, size_);
  vectors.scale(1 / static_cast<double>(every_), mean);
  if (last_mean_.empty()) co_return false;
  vectors.combine(1, mean, -1, last_mean_.data(), s);
  const Curvature kind = source_ == PairSource::kHessian ? Curvature::kHessian : Curvature::kGaussNewton;
  const OperatorPort<T> b = co_await objective.curvature(session, mean, Samples::kCurvature, kind);
  if (session.stopped()) co_return false;
  co_await b.apply(session, s, y);
  ++products_;
  vectors.add(y, schedule_value(regularisation_, updates_), s, y);
  co_return !session.stopped();
}

template <Scalar T>
Procedure<MinimizerReport> StochasticLbfgs<T>::update(Session& session, Objective<T>& objective, T* x) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  Vectors<T> vectors(session, size_);
  MinimizerReport report;
  report.accepted = false;
  AlignedBuffer<T> g = vectors.make(), d = vectors.make(), next = vectors.make(), mean;
  const bool seen = knows(objective, x);
  const double f = co_await kept_.at(session, objective, x, g.data());
  report.loss = f;
  if (session.stopped()) co_return report;
  if (!seen) ++evaluations_;
  counted_ = false;
  if (!all_finite(vectors, f, g.data())) {
    report.loss = kNaN;
    co_return report;
  }
  if (objective.steady()) kept_.keep(x, f, g.data(), size_);
  const double gradient_norm = vectors.norm(g.data());

  double rate = schedule_value(learning_rate_, updates_);
  const bool blind = pairs_.empty();
  pairs_.apply(vectors, g.data(), d.data(),
               source_ == PairSource::kSameBatch ? pairs_.mean_scale() : pairs_.newest_scale());
  if (blind) rate *= std::fmin(1, 1 / vectors.sum_magnitudes(g.data()));
  vectors.scale(-rate, d.data());
  vectors.add(x, 1, d.data(), next.data());
  if (!vectors.all_finite(next.data())) {
    report.loss = kNaN;
    co_return report;
  }

  const bool due = (updates_ + 1) % every_ == 0;
  T *s = d.data(), *y = g.data();
  bool paired = false;
  if (source_ == PairSource::kSameBatch) {
    if (due) paired = co_await pair_of_batch(session, objective, next.data(), s, y);
  } else {
    // The block's sum is only replaced when the update is certain.
    mean = vectors.make();
    if (sum_.empty()) {
      vectors.copy(x, mean.data());
    } else {
      vectors.add(sum_.data(), 1, x, mean.data());
    }
    if (due) paired = co_await pair_of_products(session, objective, mean.data(), s, y);
  }
  if (session.stopped()) co_return report;
  double curvature = 0;
  if (paired && vectors.all_finite(y)) {
    curvature = vectors.dot(s, y);
    pairs_.add(vectors, s, y, kLeastCosine * vectors.norm(s) * vectors.norm(y));
  }
  if (!mean.empty()) {
    (due ? last_mean_ : sum_) = std::move(mean);
    if (due) sum_ = {};
  }
  vectors.copy(next.data(), x);
  known_ = objective.steady() && kept_.holds(objective, x);
  ++updates_;
  report.accepted = true;
  report.learning_rate = rate;
  report.numbers = {{"gradientNorm", gradient_norm},
                    {"stepLength", rate},
                    {"curvature", curvature},
                    {"pairs", static_cast<double>(pairs_.pairs().size())},
                    {"evaluations", static_cast<double>(evaluations_)},
                    {"products", static_cast<double>(products_)}};
  co_return report;
}

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_stochastic_lbfgs(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<StochasticLbfgs<T>>(options, objective.size());
}
template MinimizerPointer<float> make_stochastic_lbfgs(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_stochastic_lbfgs(RuleOptions&, const Objective<double>&);

}  // namespace krylov
