#include "solvers/line_search.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "solvers/vectors.h"

namespace krylov {

double cubic_minimiser(double t1, double f1, double slope1, double t2, double f2, double slope2, double lower,
                       double upper) noexcept {
  if (t1 > t2) {
    std::swap(t1, t2);
    std::swap(f1, f2);
    std::swap(slope1, slope2);
  }
  // Nocedal & Wright 2006, equation (3.59).
  const double d1 = slope1 + slope2 - 3 * (f1 - f2) / (t1 - t2);
  const double square = d1 * d1 - slope1 * slope2;
  if (square >= 0) {
    const double d2 = std::sqrt(square);
    const double t = t2 - (t2 - t1) * ((slope2 + d2 - d1) / (slope2 - slope1 + 2 * d2));
    if (!std::isnan(t)) return std::min(std::max(t, lower), upper);
  }
  return (lower + upper) / 2;
}

namespace {

// A point of the line, with where its gradient is; -1 is the start.
struct Trial {
  double t, value, slope;
  int gradient;
};

template <Scalar T>
class StrongWolfe {
 public:
  StrongWolfe(Session& session, Objective<T>& objective, Samples samples, SearchLine<T> line,
              StrongWolfeOptions options, LineSearchMemory<T>& memory)
      : session_(session),
        objective_(objective),
        samples_(samples),
        line_(line),
        options_(options),
        memory_(memory),
        vectors_(session, objective.size()),
        low_{0, line.value, line.slope, -1},
        high_(low_),
        trial_(low_) {
    if (memory.x.size() == static_cast<std::size_t>(vectors_.size())) return;
    memory.x = vectors_.make();
    for (AlignedBuffer<T>& g : memory.gradients) g = vectors_.make();
  }

  Procedure<LineSearchResult> run(double first_step) {
    co_await evaluate(first_step);
    if (session_.stopped()) co_return result(LineSearchReason::kAborted);
    co_await bracket();
    if (session_.stopped()) co_return result(LineSearchReason::kAborted);
    if (!done_) co_await zoom();
    if (session_.stopped()) co_return result(LineSearchReason::kAborted);
    if (low_.t != last_t_) vectors_.add(line_.x, low_.t, line_.d, memory_.x.data());
    co_return result(done_ ? LineSearchReason::kSatisfied
                           : iterations_ < options_.max_iterations ? LineSearchReason::kSmallInterval
                                                                   : LineSearchReason::kMaxIterations);
  }

 private:
  // Goes outwards until a point is found, or two that have one between them: low_ and high_.
  Procedure<void> bracket() {
    const Trial start = low_;
    Trial previous = start;
    while (iterations_ < options_.max_iterations) {
      if (too_high(trial_) || (iterations_ > 1 && trial_.value >= previous.value)) break;
      if (flat(trial_)) {
        done_ = true;
        low_ = trial_;
        co_return;
      }
      if (trial_.slope >= 0) break;
      const double next = cubic_minimiser(previous.t, previous.value, previous.slope, trial_.t, trial_.value,
                                          trial_.slope, trial_.t + 0.01 * (trial_.t - previous.t), 10 * trial_.t);
      previous = low_ = trial_;  // low_ keeps the gradient from being written over
      co_await evaluate(next);
      if (session_.stopped()) co_return;
      ++iterations_;
    }
    // Where all iterations are spent here, the interval begins at the start.
    low_ = iterations_ == options_.max_iterations ? start : previous;
    high_ = trial_;
    if (high_.value < low_.value) std::swap(low_, high_);
  }

  // Makes [low_, high_] smaller; low_ has the smaller value.
  Procedure<void> zoom() {
    const double length = vectors_.largest_magnitude(line_.d);
    bool was_near_end = false;
    while (iterations_ < options_.max_iterations) {
      if (std::abs(high_.t - low_.t) * length < options_.change_tolerance) co_return;
      const double first = std::min(low_.t, high_.t), last = std::max(low_.t, high_.t);
      double t = cubic_minimiser(low_.t, low_.value, low_.slope, high_.t, high_.value, high_.slope, first, last);
      const double margin = 0.1 * (last - first);
      const bool near_end = std::min(last - t, t - first) < margin;
      if (near_end && (was_near_end || t >= last || t <= first)) {
        t = last - t < t - first ? last - margin : first + margin;
        was_near_end = false;
      } else {
        was_near_end = near_end;
      }
      co_await evaluate(t);
      if (session_.stopped()) co_return;
      ++iterations_;
      if (too_high(trial_) || trial_.value >= low_.value) {
        high_ = trial_;
        if (high_.value < low_.value) std::swap(low_, high_);
        continue;
      }
      done_ = flat(trial_);
      if (!done_ && trial_.slope * (high_.t - low_.t) >= 0) high_ = low_;
      low_ = trial_;
      if (done_) co_return;
    }
  }

  Procedure<void> evaluate(double t) {
    int slot = 0;
    while (slot == low_.gradient || slot == high_.gradient) ++slot;
    T* g = memory_.gradients[static_cast<std::size_t>(slot)].data();
    vectors_.add(line_.x, t, line_.d, memory_.x.data());
    last_t_ = t;
    const double value = co_await objective_.gradient(session_, memory_.x.data(), samples_, g, nullptr);
    ++evaluations_;
    const double slope = vectors_.dot(g, line_.d);
    trial_ = {t, value, slope, slot};
    if (!std::isfinite(value) || !std::isfinite(slope)) trial_.value = std::numeric_limits<double>::infinity();
    co_await session_.pause();
  }

  bool too_high(const Trial& p) const noexcept {
    return p.value > line_.value + options_.c1 * p.t * line_.slope || std::isinf(p.value);
  }
  bool flat(const Trial& p) const noexcept { return std::abs(p.slope) <= -options_.c2 * line_.slope; }

  LineSearchResult result(LineSearchReason reason) const noexcept {
    if (reason == LineSearchReason::kAborted) return {0, line_.value, line_.slope, evaluations_, reason, -1};
    return {low_.t, low_.value, low_.slope, evaluations_, reason, low_.gradient};
  }

  Session& session_;
  Objective<T>& objective_;
  Samples samples_;
  SearchLine<T> line_;
  StrongWolfeOptions options_;
  LineSearchMemory<T>& memory_;
  Vectors<T> vectors_;
  Trial low_, high_, trial_;
  double last_t_ = 0;
  std::int64_t iterations_ = 0, evaluations_ = 0;
  bool done_ = false;
};

}  // namespace

template <Scalar T>
Procedure<LineSearchResult> strong_wolfe(Session& session, Objective<T>& objective, Samples samples, SearchLine<T> line,
                                         double first_step, StrongWolfeOptions options, LineSearchMemory<T>& memory) {
  StrongWolfe<T> search(session, objective, samples, line, options, memory);
  co_return co_await search.run(first_step);
}

template <Scalar T>
Procedure<LineSearchResult> backtracking(Session& session, Objective<T>& objective, Samples samples, SearchLine<T> line,
                                         double first_step, BacktrackingOptions options, T* x_out,
                                         double first_value) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  Vectors<T> vectors(session, objective.size());
  LineSearchResult result{0, line.value, line.slope, 0, LineSearchReason::kMaxIterations, -1};
  double step = first_step;
  for (std::int64_t i = 0; i < options.max_tries; ++i) {
    vectors.add(line.x, step, line.d, x_out);
    double value = first_value;
    if (i > 0 || std::isnan(first_value)) {
      value = co_await objective.value(session, x_out, samples);
      ++result.evaluations;
      if (session.stopped()) {
        result.reason = LineSearchReason::kAborted;
        break;
      }
    }
    // Written so that a NaN fails.
    if (value <= line.value + options.armijo * step * line.slope && std::isfinite(value)) {
      result = {step, value, kNone, result.evaluations, LineSearchReason::kSatisfied, -1};
      co_return result;
    }
    step *= options.shrink;
    co_await session.pause();
  }
  vectors.copy(line.x, x_out);
  co_return result;
}

template Procedure<LineSearchResult> strong_wolfe(Session&, Objective<float>&, Samples, SearchLine<float>, double,
                                                  StrongWolfeOptions, LineSearchMemory<float>&);
template Procedure<LineSearchResult> strong_wolfe(Session&, Objective<double>&, Samples, SearchLine<double>, double,
                                                  StrongWolfeOptions, LineSearchMemory<double>&);
template Procedure<LineSearchResult> backtracking(Session&, Objective<float>&, Samples, SearchLine<float>, double,
                                                  BacktrackingOptions, float*, double);
template Procedure<LineSearchResult> backtracking(Session&, Objective<double>&, Samples, SearchLine<double>, double,
                                                  BacktrackingOptions, double*, double);

}  // namespace krylov
