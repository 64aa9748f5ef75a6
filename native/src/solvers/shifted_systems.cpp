// Conjugate gradients by their Lanczos process: Paige & Saunders, "Solution of
// sparse indefinite systems of linear equations" (1975), section 4; Saad,
// "Iterative methods for sparse linear systems" (2003), sections 6.7.1 and 6.7.3.
// With B V = V T + ... and T + shift I = L D L', iterate k is V (L D L')^-1 |b| e_1
// over the first k vectors; pivot k is p'(B + shift I)p / r'r of step k, and
// |r_k| = beta_k |z_k| / d_k with L z = |b| e_1. As in conjugate gradients, the
// vectors are not made orthogonal again.
#include "solvers/shifted_systems.h"

#include <algorithm>
#include <cmath>

namespace krylov {
namespace {

// Vectors in one piece of memory, which is taken as they come.
constexpr std::int64_t kBlock = 16;

}  // namespace

template <Scalar T>
ShiftedSystems<T>::ShiftedSystems(Session& session, OperatorPort<T> b, const T* rhs, std::size_t most_bytes)
    : b_(std::move(b)),
      vectors_(session, b_.columns()),
      rhs_(vectors_.make()),
      next_(vectors_.make()),
      length_(vectors_.norm(rhs)) {
  vectors_.copy(rhs, rhs_.data());
  const std::size_t bytes = std::max<std::size_t>(1, rhs_.bytes());
  most_rows_ = static_cast<std::int64_t>(most_bytes / bytes);
}

template <Scalar T>
T* ShiftedSystems<T>::row(std::int64_t i) noexcept {
  return rows_[static_cast<std::size_t>(i / kBlock)].data() + i % kBlock * vectors_.size();
}

// One more step: alpha and beta of the last vector, and the vector after it. False where the product is not finite, and
// after a stop.
template <Scalar T>
Procedure<bool> ShiftedSystems<T>::extend(Session& session) {
  const auto k = static_cast<std::int64_t>(alpha_.size());
  const auto at = static_cast<std::size_t>(k);
  if (k % kBlock == 0 && rows_.size() <= at / kBlock) {
    const std::int64_t count = std::min(kBlock, most_rows_ - k);
    rows_.emplace_back(static_cast<std::size_t>(count * vectors_.size()));
  }
  T* const q = row(k);
  T* const u = next_.data();
  vectors_.combine(1 / (k == 0 ? length_ : beta_.back()), k == 0 ? rhs_.data() : u, 0, q, q);
  co_await b_.apply(session, q, u);
  ++products_;
  if (session.stopped()) co_return false;
  const double alpha =
      k == 0 ? vectors_.dot(u, q) : vectors_.add_and_dot(u, -beta_.back(), row(k - 1), u, q);
  const double square = std::isfinite(alpha) ? vectors_.add_and_dot(u, -alpha, q, u, u) : alpha;
  if (!std::isfinite(square)) co_return false;
  alpha_.push_back(alpha);
  beta_.push_back(std::sqrt(square));
  co_return true;
}

// x = the first `count` vectors by weights_.
template <Scalar T>
void ShiftedSystems<T>::combine(std::int64_t count, T* x) noexcept {
  vectors_.fill(T(0), x);
  for (std::int64_t i = 0; i < count; i += kBlock) {
    const std::int64_t n = std::min(kBlock, count - i);
    vectors_.add_rows({weights_.data() + i, static_cast<std::size_t>(n)}, row(i), x);
  }
}

template <Scalar T>
auto ShiftedSystems<T>::solve(Session& session, double shift, double tolerance, std::int64_t max_iterations, T* x)
    -> Procedure<Solution> {
  Solution solution;
  const double threshold = tolerance * length_;
  pivots_.clear();
  weights_.clear();
  double residual = length_;
  for (;;) {
    const std::int64_t k = solution.iterations;
    if (residual <= threshold) {
      solution.reason = SolveReason::kConverged;
      break;
    }
    if (k >= max_iterations) break;
    if (k == static_cast<std::int64_t>(alpha_.size())) {
      if (k == most_rows_) {
        ConjugateGradientOptions options;
        options.tolerance = tolerance;
        options.max_iterations = max_iterations;
        options.shift = shift;
        const SolveResult<T> found = co_await conjugate_gradient<T>(session, b_, rhs_.data(), nullptr,
                                                                    OperatorPort<T>(), options, SolveObserver<T>());
        products_ += found.products;
        vectors_.copy(found.solution.data(), x);
        co_return Solution{found.reason, found.iterations, found.residual_norm};
      }
      const bool extended = co_await extend(session);
      if (!extended) {
        solution.reason = session.stopped() ? SolveReason::kAborted : SolveReason::kNotFinite;
        break;
      }
    }
    // Elimination: row k of L D L', and z in weights_.
    const auto at = static_cast<std::size_t>(k);
    const double above = k == 0 ? 0 : beta_[at - 1] / pivots_.back();
    const double pivot = alpha_[at] + shift - (k == 0 ? 0 : above * beta_[at - 1]);
    if (!(pivot > 0)) {
      solution.reason = SolveReason::kNegativeCurvature;
      break;
    }
    weights_.push_back(k == 0 ? length_ : -above * weights_.back());
    pivots_.push_back(pivot);
    residual = beta_[at] * std::fabs(weights_.back()) / pivot;
    ++solution.iterations;
  }
  for (std::size_t i = weights_.size(); i-- > 0;) {
    const double below = i + 1 < weights_.size() ? beta_[i] * weights_[i + 1] : 0;
    weights_[i] = (weights_[i] - below) / pivots_[i];
  }
  combine(solution.iterations, x);
  solution.residual_norm = residual;
  co_return solution;
}

template class ShiftedSystems<float>;
template class ShiftedSystems<double>;

}  // namespace krylov
