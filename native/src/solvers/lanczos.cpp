// Lanczos 1950, made orthogonal twice a step against all vectors before
// ("twice is enough", Parlett 1998, section 6.9): rounding spoils the three-term
// recurrence as soon as an eigenvalue has converged (Paige 1971).
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "krylov/solvers.h"
#include "solvers/vectors.h"

namespace krylov {

template <Scalar T>
Procedure<LanczosResult<T>> lanczos(Session& session, OperatorPort<T> b, const T* start, LanczosOptions options) {
  // A next vector this short, relative to the largest coefficient, is rounding: the space is invariant.
  constexpr double kInvariant = std::max(1e-12, 10 * static_cast<double>(std::numeric_limits<T>::epsilon()));
  const std::int64_t size = b.columns();
  const std::int64_t steps = std::max<std::int64_t>(0, std::min(options.steps, size));
  Vectors<T> vectors(session, size);
  LanczosResult<T> result;
  result.last_beta = std::numeric_limits<double>::quiet_NaN();
  const double length = vectors.norm(start);
  if (!std::isfinite(length)) result.reason = SolveReason::kNotFinite;
  if (length == 0) result.reason = SolveReason::kSingular, result.last_beta = 0;
  if (steps == 0 || !(length > 0) || !std::isfinite(length)) co_return result;

  const bool keeps = options.keep_basis || options.reorthogonalise;
  const std::int64_t kept = keeps ? steps : 2;
  AlignedBuffer<T> rows(static_cast<std::size_t>(kept * size)), next = vectors.make();
  T* const u = next.data();
  std::vector<double> overlaps(static_cast<std::size_t>(steps));
  vectors.combine(1 / length, start, 0, start, rows.data());
  double scale = 0;
  for (std::int64_t j = 0; j < steps; ++j) {
    const T* q = rows.data() + (j % kept) * size;
    const T* q_old = rows.data() + ((j + kept - 1) % kept) * size;
    if (session.stopped()) {
      result.reason = SolveReason::kAborted;
      break;
    }
    co_await b.apply(session, q, u);
    ++result.products;
    if (session.stopped()) {
      result.reason = SolveReason::kAborted;
      break;
    }
    const double alpha = j == 0 ? vectors.dot(u, q) : vectors.add_and_dot(u, -result.last_beta, q_old, u, q);
    double square = std::isfinite(alpha) ? vectors.add_and_dot(u, -alpha, q, u, u) : alpha;
    if (options.reorthogonalise && std::isfinite(square)) {
      const std::span<double> part(overlaps.data(), static_cast<std::size_t>(j + 1));
      for (int pass = 0; pass < 2; ++pass) {
        vectors.dots(rows.data(), j + 1, u, part);
        for (double& overlap : part) overlap = -overlap;
        vectors.add_rows(part, rows.data(), u);
      }
      square = vectors.dot(u, u);
    }
    if (!std::isfinite(square)) {
      result.reason = SolveReason::kNotFinite;
      break;
    }
    if (j > 0) result.beta.push_back(result.last_beta);
    result.alpha.push_back(alpha);
    const double beta = std::sqrt(square);
    scale = std::max({scale, std::abs(alpha), j == 0 ? 0 : result.last_beta});
    if (beta <= kInvariant * std::max(scale, beta) || j + 1 == size) {
      result.last_beta = 0;
      result.reason = SolveReason::kSingular;
      break;
    }
    result.last_beta = beta;
    if (j + 1 < steps) vectors.combine(1 / beta, u, 0, u, rows.data() + ((j + 1) % kept) * size);
  }

  if (options.keep_basis) {
    const std::size_t used = result.alpha.size() * static_cast<std::size_t>(size);
    if (used < rows.size()) {
      result.basis = AlignedBuffer<T>(used);
      std::copy_n(rows.data(), used, result.basis.data());
    } else {
      result.basis = std::move(rows);
    }
  }
  co_return result;
}

template Procedure<LanczosResult<float>> lanczos(Session&, OperatorPort<float>, const float*, LanczosOptions);
template Procedure<LanczosResult<double>> lanczos(Session&, OperatorPort<double>, const double*, LanczosOptions);

}  // namespace krylov
