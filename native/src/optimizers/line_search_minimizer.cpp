#include "optimizers/line_search_minimizer.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "optimizers/newton_support.h"

namespace krylov {

namespace {

// torch's bound on s'y, and with it a tenth of its changeTolerance: who asks for smaller changes wants smaller steps to
// teach something too.
constexpr double kLeastCurvature = 1e-10;

constexpr const char* kSearches[] = {"strongWolfe", "none"};

const char* name_of(LineSearchReason reason) noexcept {
  switch (reason) {
    case LineSearchReason::kSatisfied: return "satisfied";
    case LineSearchReason::kSmallInterval: return "smallInterval";
    case LineSearchReason::kMaxIterations: return "maxIterations";
    case LineSearchReason::kAborted: return "aborted";
  }
  return "";
}

}  // namespace

std::int64_t read_count(RuleOptions& options, const char* name) {
  constexpr double kMost = 1e9;
  const double value = schedule_value(options.number(name), 0);
  if (value >= 1 && value <= kMost) return static_cast<std::int64_t>(value);
  options.refuse(Status::error(ErrorCode::kOption, name, "a whole number, at least 1"));
  return 1;
}

LineSearchRules read_line_search_rules(RuleOptions& options, bool has_word, bool has_constants) {
  LineSearchRules rules;
  rules.gradient_tolerance = options.number("gradientTolerance");
  rules.change_tolerance = options.number("changeTolerance");
  rules.wolfe.max_iterations = read_count(options, "maxLineSearchIterations");
  if (has_word) rules.search = options.word("lineSearch", kSearches) == 0;
  if (has_constants) {
    rules.wolfe.c1 = schedule_value(options.number("c1"), 0);
    rules.wolfe.c2 = schedule_value(options.number("c2"), 0);
    if (!(0 < rules.wolfe.c1 && rules.wolfe.c1 < rules.wolfe.c2 && rules.wolfe.c2 < 1)) {
      options.refuse(Status::error(ErrorCode::kOption, "c2", "0 < c1 < c2 < 1"));
    }
  }
  return rules;
}

template <Scalar T>
double LineSearchMinimizer<T>::cautious_step(Vectors<T>& vectors, const T* g) noexcept {
  return std::fmin(1, 1 / vectors.sum_magnitudes(g));
}

template <Scalar T>
bool LineSearchMinimizer<T>::is_last(const T* x) const noexcept {
  return !last_x_.empty() && std::memcmp(last_x_.data(), x, last_x_.bytes()) == 0;
}

template <Scalar T>
bool LineSearchMinimizer<T>::knows(const Objective<T>& objective, const T* x) const noexcept {
  return objective.steady() && (counted_ || (known_ && is_last(x)));
}

// Value and gradient at x, computed where they are not known. After a stop known_ is false.
template <Scalar T>
Procedure<void> LineSearchMinimizer<T>::look(Session& session, Objective<T>& objective, Vectors<T>& vectors,
                                             const T* x) {
  if (gradient_.empty()) gradient_ = vectors.make();
  if (direction_.empty()) direction_ = vectors.make();
  const bool stays = is_last(x);
  if (known_ && stays && objective.steady()) co_return;
  if (!last_x_.empty() && !stays) moved();
  known_ = false;
  value_ = co_await objective.gradient(session, x, Samples::kGradient, gradient_.data(), nullptr);
  if (session.stopped()) co_return;
  if (!counted_ || !objective.steady()) ++evaluations_;
  counted_ = false;
  if (last_x_.empty()) last_x_ = vectors.make();
  vectors.copy(x, last_x_.data());
  known_ = true;
}

// The step without a search, with the result in the form of one.
template <Scalar T>
Procedure<LineSearchResult> LineSearchMinimizer<T>::take_fixed(Session& session, Objective<T>& objective,
                                                               SearchLine<T> line, double step) {
  Vectors<T> vectors(session, size_);
  if (memory_.x.empty()) {
    memory_.x = vectors.make();
    memory_.gradients[0] = vectors.make();
  }
  vectors.add(line.x, step, line.d, memory_.x.data());
  T* g = memory_.gradients[0].data();
  const double value = co_await objective.gradient(session, memory_.x.data(), Samples::kGradient, g, nullptr);
  if (session.stopped()) co_return LineSearchResult{0, line.value, line.slope, 1, LineSearchReason::kAborted, -1};
  co_return LineSearchResult{step, value, vectors.dot(g, line.d), 1, LineSearchReason::kSatisfied, 0};
}

template <Scalar T>
Procedure<MinimizerReport> LineSearchMinimizer<T>::update(Session& session, Objective<T>& objective, T* x) {
  Vectors<T> vectors(session, size_);
  const double gradient_tolerance = schedule_value(rules_.gradient_tolerance, updates_);
  const double change_tolerance = schedule_value(rules_.change_tolerance, updates_);
  MinimizerReport report;
  report.accepted = false;
  co_await look(session, objective, vectors, x);
  report.loss = value_;
  if (session.stopped()) co_return report;
  T* g = gradient_.data();
  T* d = direction_.data();
  const double start = value_, gradient_norm = vectors.norm(g);
  if (!std::isfinite(start) || !std::isfinite(gradient_norm)) {
    report.loss = std::numeric_limits<double>::quiet_NaN();
    co_return report;
  }
  report.numbers = {{"gradientNorm", gradient_norm},
                    {"stepLength", 0},
                    {"curvature", 0},
                    {"evaluations", static_cast<double>(evaluations_)},
                    {"lossAfter", start}};
  if (vectors.largest_magnitude(g) <= gradient_tolerance) {
    report.converged = "gradientTolerance";
    co_return report;
  }
  double first_step = direct(session, vectors, objective, g, d);
  double slope = vectors.dot(g, d);
  if (!(slope < 0) && restart()) {
    first_step = direct(session, vectors, objective, g, d);
    slope = vectors.dot(g, d);
  }
  // The step of one that is tried promises no more than |g'd|.
  if (!(slope < 0) || slope > -change_tolerance) {
    report.converged = slope < 0 ? "changeTolerance" : "noDescent";
    co_return report;
  }

  const SearchLine<T> line{x, d, start, slope};
  StrongWolfeOptions wolfe = rules_.wolfe;
  wolfe.change_tolerance = change_tolerance;
  LineSearchResult found;
  if (rules_.search) {
    found = co_await strong_wolfe(session, objective, Samples::kGradient, line, first_step, wolfe, memory_);
  } else {
    found = co_await take_fixed(session, objective, line, first_step);
  }
  evaluations_ += found.evaluations;
  report.numbers[3].second = static_cast<double>(evaluations_);
  if (rules_.search) report.words = {{"lineSearch", name_of(found.reason)}};
  if (session.stopped()) co_return report;
  T* next = found.gradient < 0 ? nullptr : memory_.gradients[static_cast<std::size_t>(found.gradient)].data();
  if (next != nullptr && (!std::isfinite(found.value) || !vectors.all_finite(next))) {
    report.loss = std::numeric_limits<double>::quiet_NaN();  // x stays the last good one
    co_return report;
  }
  ++updates_;
  if (next == nullptr) {
    if (!restart()) report.converged = "noDescent";
    co_return report;
  }

  report.accepted = true;
  report.learning_rate = found.step;
  report.numbers[1].second = found.step;
  report.numbers[2].second = found.step * (found.slope - slope);
  report.numbers[4].second = found.value;
  const double moved_by = found.step * vectors.largest_magnitude(d);
  const double least_curvature = std::fmin(kLeastCurvature, 0.1 * change_tolerance);
  learn(session, vectors, objective, {found.step, slope, d, g, next, least_curvature});
  vectors.copy(memory_.x.data(), x);
  vectors.copy(x, last_x_.data());
  std::swap(gradient_, memory_.gradients[static_cast<std::size_t>(found.gradient)]);
  value_ = found.value;
  if (vectors.largest_magnitude(gradient_.data()) <= gradient_tolerance) {
    report.converged = "gradientTolerance";
  } else if (moved_by <= change_tolerance || std::fabs(value_ - start) < change_tolerance) {
    report.converged = "changeTolerance";
  }
  co_return report;
}

template <Scalar T>
MinimizerState LineSearchMinimizer<T>::save() const {
  MinimizerState state;
  state.updates = updates_;
  state.numbers = {{"evaluations", static_cast<double>(evaluations_)}, {"known", known_ || counted_ ? 1.0 : 0.0}};
  save_rest(state);
  return state;
}

template <Scalar T>
Status LineSearchMinimizer<T>::restore(const MinimizerState& state) {
  if (Status s = check_positive(state, "evaluations"); !s.ok()) return s;
  if (Status s = check_rest(state); !s.ok()) return s;
  restore_rest(state);
  updates_ = state.updates;
  evaluations_ = static_cast<std::int64_t>(state.number("evaluations", 0));
  // The data may be others now, so that only the count of what was known is taken over.
  counted_ = state.number("known", 0) != 0;
  known_ = false;
  last_x_ = {};
  return Status::success();
}

template class LineSearchMinimizer<float>;
template class LineSearchMinimizer<double>;

}  // namespace krylov
