// CGLS: conjugate gradients on A'A x = A'b without forming A'A (Hestenes and
// Stiefel 1952; Björck 1996, algorithm 7.4.1). s = A'r - damping x is minus the
// gradient of (|Ax - b|^2 + damping |x|^2) / 2.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "krylov/solvers.h"
#include "solvers/vectors.h"

namespace krylov {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

}  // namespace

template <Scalar T>
Procedure<SolveResult<T>> least_squares(Session& session, OperatorPort<T> a, const T* rhs, const T* x0,
                                        LeastSquaresOptions options, SolveObserver<T> observer) {
  Vectors<T> inputs(session, a.columns()), outputs(session, a.rows());
  SolveResult<T> result;
  result.solution = inputs.make();
  T* const x = result.solution.data();
  AlignedBuffer<T> gradient = inputs.make(), direction = inputs.make();
  AlignedBuffer<T> residual = outputs.make(), image = outputs.make();
  T* const s = gradient.data();
  T* const p = direction.data();
  T* const r = residual.data();
  T* const q = image.data();
  const double damping = options.damping;
  const std::int64_t max_iterations = options.max_iterations < 0 ? 10 * a.columns() : options.max_iterations;

  // The start. A warm one costs two products more: A x0, and A'b for the scale of the tolerance.
  std::optional<SolveReason> end;
  const double rhs_norm = outputs.norm(rhs);
  const double start_norm = x0 == nullptr ? 0 : inputs.norm(x0);
  const bool warm = start_norm > 0 && rhs_norm > 0;
  double scale = kNone, square = kNone;  // |A'b|, |s|^2
  result.quadratic = warm || !std::isfinite(rhs_norm) || !std::isfinite(start_norm) ? kNone : 0;
  outputs.copy(rhs, r);
  if (start_norm > 0 && std::isfinite(start_norm) && !(rhs_norm == 0)) inputs.copy(x0, x);
  if (!std::isfinite(rhs_norm) || !std::isfinite(start_norm)) {
    end = SolveReason::kNotFinite;
  } else if (rhs_norm == 0) {
    scale = square = 0;
  } else if (session.stopped()) {
    end = SolveReason::kAborted;
  } else {
    co_await a.apply_transposed(session, rhs, s);
    ++result.products;
    scale = inputs.norm(s);
    if (!warm) square = scale * scale;
    if (warm && !session.stopped()) {
      co_await a.apply(session, x, q);
      ++result.products;
      if (!session.stopped()) {
        const double rr = outputs.add_and_dot(rhs, -1, q, r, r);
        result.quadratic = (rr - rhs_norm * rhs_norm + damping * start_norm * start_norm) / 2;
        co_await a.apply_transposed(session, r, s);
        ++result.products;
        square = inputs.add_and_dot(s, -damping, x, s, s);
      }
    }
    if (session.stopped()) {
      end = SolveReason::kAborted;
      square = kNone;
    } else if (!std::isfinite(square) || !std::isfinite(scale)) {
      end = SolveReason::kNotFinite;
      square = kNone;
    }
  }
  const double threshold = std::max(options.absolute_tolerance, options.tolerance * scale);
  result.residual_norm = std::sqrt(square);

  SolveIteration info{0, result.residual_norm, result.quadratic, kNone, kNone, kNone};
  double beta = 0;
  std::int64_t i = 0;  // x is iterate i
  while (!end) {
    if (observer) co_await observer(info, x);
    if (session.stopped()) {
      end = SolveReason::kAborted;
    } else if (result.residual_norm <= threshold) {
      end = SolveReason::kConverged;
    } else if (i >= max_iterations) {
      end = SolveReason::kMaxIterations;
    }
    if (end) break;
    if (i == 0) {
      inputs.copy(s, p);
    } else {
      inputs.add(s, beta, p, p);
    }
    co_await a.apply(session, p, q);
    ++result.products;
    if (session.stopped()) {
      end = SolveReason::kAborted;
      break;
    }
    double curvature = outputs.dot(q, q);
    if (damping != 0) curvature += damping * inputs.dot(p, p);
    const double alpha = square / curvature;
    if (!std::isfinite(curvature) || !std::isfinite(static_cast<T>(alpha))) {
      end = curvature == 0 ? SolveReason::kSingular : SolveReason::kNotFinite;
      break;
    }
    if (!std::isfinite(outputs.add_and_dot(r, -alpha, q, r, r))) {
      end = SolveReason::kNotFinite;
      break;
    }
    inputs.add(x, alpha, p, x);
    ++i;
    result.quadratic -= alpha * square / 2;
    result.residual_norm = kNone;  // until it is known of this x

    co_await a.apply_transposed(session, r, s);
    ++result.products;
    if (session.stopped()) {
      end = SolveReason::kAborted;
      break;
    }
    const double next = damping == 0 ? inputs.dot(s, s) : inputs.add_and_dot(s, -damping, x, s, s);
    if (!std::isfinite(next)) {
      end = SolveReason::kNotFinite;
      break;
    }
    beta = next / square;
    square = next;
    result.residual_norm = std::sqrt(square);
    info = {i, result.residual_norm, result.quadratic, alpha, beta, curvature};
  }
  result.reason = *end;
  result.iterations = i;
  co_return result;
}

template Procedure<SolveResult<float>> least_squares(Session&, OperatorPort<float>, const float*, const float*,
                                                     LeastSquaresOptions, SolveObserver<float>);
template Procedure<SolveResult<double>> least_squares(Session&, OperatorPort<double>, const double*, const double*,
                                                      LeastSquaresOptions, SolveObserver<double>);

}  // namespace krylov
