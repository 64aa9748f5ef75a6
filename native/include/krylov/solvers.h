// Iterative solvers for (B + shift I) x = b and relatives, as procedures. All
// vectors are in the operator's stored order; scalars are float64. A result's
// reason says why the solver stopped; whatever it is, `solution` holds the
// last iterate. Specification: docs/solvers.md.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "krylov/buffer.h"
#include "krylov/linear_operator.h"

namespace krylov {

enum class SolveReason : std::uint8_t {
  kConverged,           // the residual is as small as asked
  kProgress,            // the quadratic no longer falls fast enough (Martens 2010)
  kMaxIterations,
  kNegativeCurvature,   // p'Bp <= 0
  kBoundary,            // Steihaug: the trust region's boundary
  kLeastSquares,        // MINRES: B r is as small as asked although r is not
  kSingular,            // MINRES: a singular (sub)problem; Lanczos: an invariant subspace
  kPreconditioner,      // r'M r <= 0 with r != 0: not positive definite
  kNotFinite,
  kAborted
};
const char* name_of(SolveReason reason) noexcept;  // "converged", "progress", "maxIterations", ...

// What an iteration tells; NaN where a solver has no such number.
struct SolveIteration {
  std::int64_t iteration = 0;  // 0: the start
  double residual_norm = 0;    // of the recurrence
  double quadratic = 0;        // x'Bx / 2 - b'x
  double alpha = 0, beta = 0;  // of the step that led here; MINRES: Lanczos coefficients, the first beta is |b|
  double curvature = 0;        // p'Bp of that step; MINRES: r'Br / r'r of the residual before it
};

// A direction of conjugate gradients and the product with it: y = (B + shift I) s, s'y > 0.
template <Scalar T>
struct CollectedPair {
  AlignedBuffer<T> s, y;
};

// co_awaited by a solver at each iterate, the start included, where somebody listens.
template <Scalar T>
using SolveObserver = std::function<Procedure<void>(const SolveIteration& iteration, const T* solution)>;

template <Scalar T>
struct SolveResult {
  AlignedBuffer<T> solution;
  SolveReason reason = SolveReason::kMaxIterations;
  std::int64_t iterations = 0;  // steps that x took
  std::int64_t products = 0;   // with B (and, for least squares, with its transpose)
  double residual_norm = 0;    // of the recurrence; NaN where the solver ended before it was known of the solution
  double quadratic = 0;        // CG: x'Bx / 2 - b'x at the solution; Steihaug: the model g'p + p'Bp / 2
  // kNegativeCurvature: p and p'Bp; for MINRES the residual and its Rayleigh quotient.
  AlignedBuffer<T> direction;
  double curvature = 0;
  // Iterates asked for, and the iteration of each; the last iterate is always the last of them.
  std::vector<AlignedBuffer<T>> stored;
  std::vector<std::int64_t> stored_at;
  std::vector<CollectedPair<T>> pairs;  // those asked for, oldest first
};

struct ConjugateGradientOptions {
  double tolerance = 1e-5;           // |r| <= max(absolute_tolerance, tolerance |b|)
  double absolute_tolerance = 0;
  std::int64_t max_iterations = -1;  // -1: ten times the operator's dimension
  // Relative progress (Martens 2010): stop when i > k, q_{i-k} < 0 and (q_i - q_{i-k}) / q_i < k progress_tolerance,
  // k = max(progress_window, ceil(progress_fraction i)); 0: off.
  double progress_tolerance = 0;
  std::int64_t progress_window = 10;
  double progress_fraction = 0.1;
  double shift = 0;                  // solves (B + shift I) x = b
  // > 0: Steihaug's truncation at |x| = radius (M-norm with a preconditioner), from zero whatever x0 is. Curvature
  // that is not positive then leads to the boundary.
  double radius = 0;
  enum class OnNegativeCurvature : std::uint8_t { kStop, kAbsolute } on_negative_curvature = OnNegativeCurvature::kStop;
  std::int64_t recompute_every = 0;  // r = b - Bx anew every so many iterations; 0: never
  // Iterates kept: ceil(first * growth^j), each at least one later than the one before; growth 0: none.
  double store_growth = 0;
  std::int64_t store_first = 5;
  // Pairs (p, (B + shift I) p) kept of the steps where p'(B + shift I) p > 0, for an L-BFGS preconditioner of a similar
  // system (Morales & Nocedal 2000): at most so many, spread over all steps or the last of them; 0: none.
  std::int64_t collect_history = 0;
  bool collect_spread = true;
};

// `preconditioner` applies M^-1 (none: identity). x0 may be null for zero.
template <Scalar T>
Procedure<SolveResult<T>> conjugate_gradient(Session& session, OperatorPort<T> b, const T* rhs, const T* x0,
                                             OperatorPort<T> preconditioner, ConjugateGradientOptions options,
                                             SolveObserver<T> observer);

// All norms are |v| = sqrt(v'M^-1 v) where there is a preconditioner; `direction` is M^-1 r.
struct MinresOptions {
  double tolerance = 1e-5;                // |r| <= max(absolute_tolerance, tolerance |b|)
  double absolute_tolerance = 0;
  // |Br| <= this |r| times the largest |B| seen; 0: off, and then a singular matrix whose range does not hold b ends at
  // max_iterations with noise, or by luck with kSingular.
  double least_squares_tolerance = 0;
  std::int64_t max_iterations = -1;       // -1: ten times the dimension
  double shift = 0;                       // solves (B - shift I) x = b, as the method's source has it
  bool stop_at_negative_curvature = false;  // Newton-MR: at the first r'Br <= 0
  // Newton-MR (Liu & Roosta 2022): converged when |Br| < this |Bx| = sqrt(|b|^2 - |r|^2); 0: off.
  double inexactness = 0;
};
template <Scalar T>
Procedure<SolveResult<T>> minres(Session& session, OperatorPort<T> b, const T* rhs, OperatorPort<T> preconditioner,
                                 MinresOptions options, SolveObserver<T> observer);

struct LeastSquaresOptions {
  double tolerance = 1e-5;           // |A'r| <= max(absolute_tolerance, tolerance |A'b|)
  double absolute_tolerance = 0;
  std::int64_t max_iterations = -1;  // -1: ten times the columns
  double damping = 0;                // minimises |Ax - b|^2 + damping |x|^2
};
// CGLS (Hestenes & Stiefel 1952; Björck 1996): the operator needs products with its transpose. residual_norm is
// |A'r - damping x|, quadratic (|Ax - b|^2 - |b|^2 + damping |x|^2) / 2. kSingular: A p = 0, which exact arithmetic
// excludes.
template <Scalar T>
Procedure<SolveResult<T>> least_squares(Session& session, OperatorPort<T> a, const T* rhs, const T* x0,
                                        LeastSquaresOptions options, SolveObserver<T> observer);

struct LanczosOptions {
  std::int64_t steps = 100;
  bool keep_basis = true;  // in the result; the basis itself is needed for reorthogonalisation anyway
  // false: the plain three-term recurrence, three vectors of memory (ghost eigenvalues appear).
  bool reorthogonalise = true;
};
template <Scalar T>
struct LanczosResult {
  std::vector<double> alpha, beta;  // beta: one fewer
  double last_beta = 0;             // 0: an invariant subspace; NaN where there was no step
  AlignedBuffer<T> basis;           // [alpha.size(), size], rows
  SolveReason reason = SolveReason::kMaxIterations;
  std::int64_t products = 0;
};
template <Scalar T>
Procedure<LanczosResult<T>> lanczos(Session& session, OperatorPort<T> b, const T* start, LanczosOptions options);

// Eigenvalues of the tridiagonal matrix, ascending, and the residuals |Bx - theta x| of their vectors x: last_beta
// times the last component of its eigenvectors. Both outputs have alpha.size() elements.
void ritz(std::span<const double> alpha, std::span<const double> beta, double last_beta, std::span<double> values,
          std::span<double> residuals);

}  // namespace krylov
