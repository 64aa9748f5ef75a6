// BFGS over the few coordinates of a subspace: values and gradients are those
// of the whole function, everything else is small. Nocedal & Wright (2006),
// algorithm 6.1; steps by bisection for the weak Wolfe conditions (Lewis &
// Overton, "Nonsmooth optimization via quasi-Newton methods", 2013, section 3).
#pragma once

#include <cstdint>

#include "krylov/objective.h"

namespace krylov {

struct SubspaceSearchOptions {
  std::int64_t max_evaluations = 30;  // of the function with its gradient
  double tolerance = 1e-4;            // the search ends where the gradient has shrunk by this factor
  Samples samples = Samples::kSelection;
};

template <Scalar T>
struct SubspaceSearchResult {
  AlignedBuffer<T> step;  // zero where nothing better than x was found
  double start = 0;       // f(x) on the samples
  double value = 0;       // f(x + step)
  std::int64_t evaluations = 0;
};

// Over a in R^count: f(x + P' W' a), P = `rows` [count, size], W = `directions` [count, count]. Starts at a = 0 with
// the identity as inverse Hessian. `gradient`, where not null, is that at x on the samples, and `value` f there.
template <Scalar T>
Procedure<SubspaceSearchResult<T>> subspace_search(Session& session, Objective<T>& objective, const T* x, const T* rows,
                                                   std::int64_t count, const double* directions, const T* gradient,
                                                   double value, SubspaceSearchOptions options);

}  // namespace krylov
