#include "krylov/solvers.h"

namespace krylov {

const char* name_of(SolveReason reason) noexcept {
  switch (reason) {
    case SolveReason::kConverged: return "converged";
    case SolveReason::kProgress: return "progress";
    case SolveReason::kMaxIterations: return "maxIterations";
    case SolveReason::kNegativeCurvature: return "negativeCurvature";
    case SolveReason::kBoundary: return "boundary";
    case SolveReason::kLeastSquares: return "leastSquares";
    case SolveReason::kSingular: return "singular";
    case SolveReason::kPreconditioner: return "preconditioner";
    case SolveReason::kNotFinite: return "notFinite";
    case SolveReason::kAborted: return "aborted";
  }
  return "";
}

}  // namespace krylov
