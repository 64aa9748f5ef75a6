// Line searches along a descent direction, as procedures over an objective:
// phi(t) = f(x + t d) from phi(0) and phi'(0) < 0.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "krylov/buffer.h"
#include "krylov/objective.h"
#include "krylov/procedure.h"

namespace krylov {

enum class LineSearchReason : std::uint8_t {
  kSatisfied,      // the conditions hold at the step
  kSmallInterval,  // what is left of the interval is too small to matter
  kMaxIterations,
  kAborted
};

struct LineSearchResult {
  double step = 0;  // 0: no point with a smaller value was found
  double value = 0, slope = 0;  // phi and phi' there; slope is NaN where it was not computed
  std::int64_t evaluations = 0;
  LineSearchReason reason = LineSearchReason::kSatisfied;
  int gradient = -1;  // strong_wolfe: which of the memory's gradients belongs to the step; -1: step 0
};

template <Scalar T>
struct SearchLine {
  const T* x;
  const T* d;
  double value;  // phi(0)
  double slope;  // phi'(0)
};

// What a search works in; made by its first search and kept by the caller for the next.
template <Scalar T>
struct LineSearchMemory {
  AlignedBuffer<T> x;  // x + step d after a search that found a step
  std::array<AlignedBuffer<T>, 3> gradients;
};

struct StrongWolfeOptions {
  double c1 = 1e-4;  // phi(t) <= phi(0) + c1 t phi'(0)
  double c2 = 0.9;   // |phi'(t)| <= -c2 phi'(0)
  std::int64_t max_iterations = 25;
  double change_tolerance = 1e-9;  // ends when the interval times |d|_inf is smaller
};

// Nocedal & Wright 2006, algorithms 3.5 and 3.6 with cubic interpolation, by the rules of torch 1.13's L-BFGS.
// Difference from torch: a trial whose value or slope is not finite counts as too far, and the interval is halved.
template <Scalar T>
Procedure<LineSearchResult> strong_wolfe(Session& session, Objective<T>& objective, Samples samples, SearchLine<T> line,
                                         double first_step, StrongWolfeOptions options, LineSearchMemory<T>& memory);

struct BacktrackingOptions {
  double armijo = 1e-4;  // phi(t) <= phi(0) + armijo t phi'(0)
  double shrink = 0.5;   // factor on a step that fails
  std::int64_t max_tries = 60;
};

// The first of first_step, shrink first_step, ... that meets Armijo's condition; values only. `x_out` is x + step d.
// `first_value`: phi(first_step) where it is known already.
template <Scalar T>
Procedure<LineSearchResult> backtracking(Session& session, Objective<T>& objective, Samples samples, SearchLine<T> line,
                                         double first_step, BacktrackingOptions options, T* x_out,
                                         double first_value = std::numeric_limits<double>::quiet_NaN());

// Where the cubic through two points with these values and slopes is smallest within [lower, upper]; the middle of
// the two where it has no minimum.
double cubic_minimiser(double t1, double f1, double slope1, double t2, double f2, double slope2, double lower,
                       double upper) noexcept;

}  // namespace krylov
