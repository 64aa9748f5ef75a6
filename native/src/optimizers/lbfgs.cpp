// L-BFGS (Liu & Nocedal 1989; two loops of Nocedal & Wright 2006, algorithm 7.4) by the rules of torch 1.13:
//   d = -H g with the pairs kept so far and H_0 = (s'y / y'y) I of the newest
//   t = learningRate, without pairs min(1, 1 / |g|_1) learningRate, is the first trial of a strong Wolfe search
//   s = t d, y = g_+ - g are kept where y's > min(1e-10, changeTolerance / 10); by default that is torch's 1e-10
// Differences: without pairs is a matter of pairs here, not of the first iteration; where rounding leaves no descent
// along d, or the search finds nothing, the pairs are dropped once before it is taken for the end.
//
// Options: name, default, range. Numbers may be schedules over updates, counts not.
//   learningRate             1      > 0
//   history                  100    >= 1
//   gradientTolerance        1e-7   >= 0
//   changeTolerance          1e-9   >= 0
//   lineSearch               strongWolfe    strongWolfe | none
//   maxLineSearchIterations  25     >= 1
#include <string>
#include <utility>

#include "optimizers/lbfgs_state.h"
#include "optimizers/line_search_minimizer.h"
#include "optimizers/minimizers.h"

namespace krylov {
namespace {

template <Scalar T>
class Lbfgs final : public LineSearchMinimizer<T> {
  using Base = LineSearchMinimizer<T>;

 public:
  Lbfgs(RuleOptions& options, std::int64_t size)
      : Base(read_line_search_rules(options, true, false), size),
        learning_rate_(options.number("learningRate")),
        pairs_(size, read_count(options, "history")) {}

 protected:
  double direct(Session&, Vectors<T>& vectors, Objective<T>&, const T* g, T* d) override {
    pairs_.apply(vectors, g, d);
    vectors.scale(-1, d);
    const double rate = schedule_value(learning_rate_, this->updates());
    return pairs_.empty() ? Base::cautious_step(vectors, g) * rate : rate;
  }
  void learn(Session&, Vectors<T>& vectors, Objective<T>&, const typename Base::Step& step) override {
    vectors.scale(step.length, step.d);
    vectors.combine(1, step.next_gradient, -1, step.g, step.g);
    pairs_.add(vectors, step.d, step.g, step.least_curvature);
  }
  bool restart() noexcept override {
    const bool had = !pairs_.empty();
    pairs_.clear();
    return had;
  }
  void save_rest(MinimizerState& state) const override { save_pairs(pairs_, state); }
  Status check_rest(const MinimizerState& state) const override { return check_pairs(state, pairs_); }
  void restore_rest(const MinimizerState& state) override { restore_pairs(state, pairs_); }

 private:
  ScheduleSpec learning_rate_;
  LbfgsPairs<T> pairs_;
};

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_lbfgs(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<Lbfgs<T>>(options, objective.size());
}
template MinimizerPointer<float> make_lbfgs(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_lbfgs(RuleOptions&, const Objective<double>&);

}  // namespace krylov
