// What L-BFGS, BFGS and nonlinear conjugate gradients have in common: a
// direction made of the gradient and of what earlier steps taught, a step along
// it, and when to stop. One update is one iteration.
//
// Numbers of the report: gradientNorm |g| at the start; stepLength, the factor on the direction; curvature, s'y of
// the step; evaluations, of f with its gradient since the first update; lossAfter, f where the update ends.
// Words: lineSearch, why the search stopped.
// converged: gradientTolerance  max |g_i| <= gradientTolerance, at the start or after the step
//            changeTolerance    after the step max |s_i| <= changeTolerance or |f_+ - f| < changeTolerance; before it
//                               -changeTolerance < g'd < 0, and then x stays
//            noDescent          g'd >= 0 along -g too, or the search along it finds nothing smaller; x stays
#pragma once

#include <cstdint>

#include "krylov/minimizer.h"
#include "optimizers/rules.h"
#include "solvers/line_search.h"
#include "solvers/vectors.h"

namespace krylov {

struct LineSearchRules {
  ScheduleSpec gradient_tolerance, change_tolerance;
  bool search = true;  // false: the first step is taken as it is
  StrongWolfeOptions wolfe;
};
// The options gradientTolerance, changeTolerance, maxLineSearchIterations; and lineSearch, or c1 and c2, where a method
// has them.
LineSearchRules read_line_search_rules(RuleOptions& options, bool has_word, bool has_constants);
// A count, at least 1.
std::int64_t read_count(RuleOptions& options, const char* name);

template <Scalar T>
class LineSearchMinimizer : public Minimizer<T> {
 public:
  Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) final;
  MinimizerState save() const final;
  Status restore(const MinimizerState& state) final;
  std::int64_t updates() const noexcept final { return updates_; }
  bool knows(const Objective<T>& objective, const T* x) const noexcept final;

 protected:
  LineSearchMinimizer(LineSearchRules rules, std::int64_t size) : rules_(rules), size_(size) {}
  std::int64_t size() const noexcept { return size_; }

  // A step that has been taken. d and g may be overwritten.
  struct Step {
    double length;            // s = length d
    double slope;             // g'd
    T* d;
    T* g;                     // where it began
    const T* next_gradient;   // where it ends
    double least_curvature;   // s'y that is worth learning from
  };
  // Writes d, which still holds what the last call or learn() left in it, for the gradient g; returns the first step
  // to try.
  virtual double direct(Session& session, Vectors<T>& vectors, Objective<T>& objective, const T* g, T* d) = 0;
  virtual void learn(Session& session, Vectors<T>& vectors, Objective<T>& objective, const Step& step) = 0;
  // Back to the negative gradient; false where nothing has been learnt.
  virtual bool restart() noexcept = 0;
  // x is not where the last update left it.
  virtual void moved() noexcept {}
  virtual void save_rest(MinimizerState& state) const = 0;
  virtual Status check_rest(const MinimizerState& state) const = 0;
  virtual void restore_rest(const MinimizerState& state) = 0;
  const AlignedBuffer<T>& direction() const noexcept { return direction_; }
  AlignedBuffer<T>& direction() noexcept { return direction_; }
  // The first step along the negative gradient, torch's: min(1, 1 / |g|_1).
  static double cautious_step(Vectors<T>& vectors, const T* g) noexcept;

 private:
  bool is_last(const T* x) const noexcept;
  Procedure<void> look(Session& session, Objective<T>& objective, Vectors<T>& vectors, const T* x);
  Procedure<LineSearchResult> take_fixed(Session& session, Objective<T>& objective, SearchLine<T> line, double step);

  LineSearchRules rules_;
  std::int64_t size_, updates_ = 0, evaluations_ = 0;
  // f and its gradient where the last update ended.
  AlignedBuffer<T> last_x_, gradient_, direction_;
  double value_ = 0;
  bool known_ = false;    // gradient_ belongs to last_x_ and to the samples of then
  bool counted_ = false;  // the evaluation to come repeats one that has been counted, before a state was saved
  LineSearchMemory<T> memory_;
};

}  // namespace krylov
