// MINRES: Paige and Saunders 1975, a Lanczos process and one rotation a step;
// with a preconditioner as in Elman, Silvester and Wathen 2014, algorithm 4.1.
// The test of curvature and its direction, the residual: Liu and Roosta 2022
// (arXiv 2208.07095), whose program takes gamma for gamma_bar in |B r|.
//   v: the Lanczos vector times M, q = M^-1 v (one vector without a preconditioner).
//   phi: |r|. All norms are those of M^-1 where there is a preconditioner.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "krylov/solvers.h"
#include "solvers/vectors.h"

namespace krylov {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// What rounding leaves of a number that ought to be zero, relative to |B|. Going on below it fills x with noise.
template <Scalar T>
inline constexpr double kRounding = std::max(1e-12, 10 * static_cast<double>(std::numeric_limits<T>::epsilon()));

}  // namespace

template <Scalar T>
Procedure<SolveResult<T>> minres(Session& session, OperatorPort<T> b, const T* rhs, OperatorPort<T> preconditioner,
                                 MinresOptions options, SolveObserver<T> observer) {
  Vectors<T> vectors(session, b.columns());
  SolveResult<T> result;
  result.solution = vectors.make();
  result.quadratic = kNone;
  T* const x = result.solution.data();
  const bool preconditioned = preconditioner.is_given();
  const std::int64_t max_iterations = options.max_iterations < 0 ? 10 * b.columns() : options.max_iterations;
  AlignedBuffer<T> buffers[7];
  for (int k = 0; k < 5; ++k) buffers[k] = vectors.make();
  if (preconditioned) buffers[5] = vectors.make();
  if (options.stop_at_negative_curvature) buffers[6] = vectors.make();
  T* v = buffers[0].data();
  T* v_old = buffers[1].data();
  T* u = buffers[2].data();
  T* w = buffers[3].data();
  T* w_old = buffers[4].data();
  T* const q_own = buffers[5].data();
  T* const residual = buffers[6].data();

  std::optional<SolveReason> end;
  vectors.copy(rhs, v);
  double square = vectors.dot(v, v);
  if (preconditioned && std::isfinite(square) && square > 0) {
    if (session.stopped()) {
      end = SolveReason::kAborted;
    } else {
      co_await preconditioner.apply(session, v, q_own);
      square = vectors.dot(v, q_own);
      if (session.stopped()) end = SolveReason::kAborted;
    }
    if (!end && !(square > 0)) end = std::isnan(square) ? SolveReason::kNotFinite : SolveReason::kPreconditioner;
  }
  if (!end && !std::isfinite(square)) end = SolveReason::kNotFinite;

  const double first = end ? kNone : std::sqrt(square);  // |b|
  const double threshold = std::max(options.absolute_tolerance, options.tolerance * first);
  if (first > 0) {
    vectors.scale(1 / first, v);
    if (preconditioned) vectors.scale(1 / first, q_own);
    const T* q = preconditioned ? q_own : v;
    if (residual != nullptr) vectors.add(residual, first, q, residual);
  }
  double beta = 0, c = -1, s = 0, delta_bar = 0, epsilon = 0, phi = first;
  double size = 0;  // the largest |B q| / |q| so far
  result.residual_norm = first;
  SolveIteration info{0, phi, kNone, kNone, first, kNone};
  std::int64_t k = 0;  // x is iterate k
  while (!end) {
    if (observer) co_await observer(info, x);
    if (session.stopped()) {
      end = SolveReason::kAborted;
    } else if (phi <= threshold) {
      end = SolveReason::kConverged;
    } else if (k >= max_iterations) {
      end = SolveReason::kMaxIterations;
    }
    if (end) break;

    // One step of Lanczos: u = (B - shift) q - alpha v - beta v_old, its length is the next beta.
    const T* q = preconditioned ? q_own : v;
    co_await b.apply(session, q, u);
    ++result.products;
    if (session.stopped()) {
      end = SolveReason::kAborted;
      break;
    }
    if (options.shift != 0) vectors.add(u, -options.shift, q, u);
    const double alpha = vectors.add_and_dot(u, -beta, v_old, u, q);
    double next = std::isfinite(alpha) ? vectors.add_and_dot(u, -alpha, v, u, u) : alpha;
    if (preconditioned && std::isfinite(next)) {
      co_await preconditioner.apply(session, u, v_old);  // v_old is free now
      if (session.stopped()) {
        end = SolveReason::kAborted;
        break;
      }
      const double length = vectors.dot(u, v_old);
      if (length < 0 || (length == 0 && next > 0)) {
        end = SolveReason::kPreconditioner;
        break;
      }
      next = length;
    }
    if (!std::isfinite(next)) {
      end = SolveReason::kNotFinite;
      break;
    }
    next = std::sqrt(next);

    const double epsilon_old = std::exchange(epsilon, s * next);
    const double delta = c * delta_bar + s * alpha;
    const double gamma_bar = s * delta_bar - c * alpha;
    delta_bar = -c * next;
    const double rayleigh = -c * gamma_bar;                       // r'Br / r'r of the residual before this step
    const double image = phi * std::hypot(gamma_bar, delta_bar);  // |Br| of it
    size = std::max(size, std::sqrt(beta * beta + alpha * alpha + next * next));
    const double solved = std::sqrt(std::max(0.0, (first - phi) * (first + phi)));  // |Bx|
    if (options.inexactness > 0 && image < options.inexactness * solved) {
      end = SolveReason::kConverged;
      break;
    }
    if (options.stop_at_negative_curvature && rayleigh <= 0) {
      end = SolveReason::kNegativeCurvature;
      result.curvature = rayleigh;
      break;
    }
    if (options.least_squares_tolerance > 0 && image <= options.least_squares_tolerance * phi * size) {
      end = SolveReason::kLeastSquares;
      break;
    }
    const double gamma = std::hypot(gamma_bar, next);
    if (gamma <= kRounding<T> * size) {
      end = SolveReason::kSingular;
      break;
    }
    c = gamma_bar / gamma;
    s = next / gamma;
    const double step = c * phi;
    phi *= s;
    vectors.combine_and_add(1 / gamma, q, -epsilon_old / gamma, w_old, -delta / gamma, w, w_old, step, x);
    std::swap(w, w_old);
    ++k;
    result.residual_norm = phi;
    info = {k, phi, kNone, alpha, next, rayleigh};

    // A Krylov space that is invariant holds the solution: nothing but rounding is left of the residual.
    if (next <= kRounding<T> * size) {
      if (observer) co_await observer(info, x);
      end = session.stopped() ? SolveReason::kAborted : SolveReason::kConverged;
      break;
    }
    if (preconditioned) vectors.combine(1 / next, v_old, 0, v_old, q_own);
    T* const free = std::exchange(v_old, v);
    v = std::exchange(u, free);
    vectors.scale(1 / next, v);
    beta = next;
    if (residual != nullptr) {
      vectors.combine(s * s, residual, -phi * c, preconditioned ? q_own : v, residual);
    }
  }

  result.reason = *end;
  result.iterations = k;
  if (result.reason == SolveReason::kNegativeCurvature) result.direction = std::move(buffers[6]);
  co_return result;
}

template Procedure<SolveResult<float>> minres(Session&, OperatorPort<float>, const float*, OperatorPort<float>,
                                              MinresOptions, SolveObserver<float>);
template Procedure<SolveResult<double>> minres(Session&, OperatorPort<double>, const double*, OperatorPort<double>,
                                               MinresOptions, SolveObserver<double>);

}  // namespace krylov
