// Preconditioners that are made of the caller's numbers.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "krylov/buffer.h"
#include "krylov/operators.h"
#include "krylov/threads.h"
#include "solvers/lbfgs_operator.h"

namespace krylov {

template <Scalar T>
Status diagonal_inverse(std::span<const T> diagonal, double damping, double exponent, OperatorPointer<T>& out) {
  std::vector<T> inverse(diagonal.size());
  for (std::size_t i = 0; i < diagonal.size(); ++i) {
    const double value = std::pow(static_cast<double>(diagonal[i]) + damping, -exponent);
    inverse[i] = static_cast<T>(value);
    // By what comes out: float32 has no room for every inverse.
    if (!(static_cast<double>(diagonal[i]) + damping > 0) || !(inverse[i] > 0) || !std::isfinite(inverse[i])) {
      return Status::error(ErrorCode::kOption, "damping", "large enough to invert every element; the first that is not",
                           static_cast<std::int64_t>(i));
    }
  }
  out = diagonal_operator<T>(inverse);
  return Status::success();
}

template <Scalar T>
Status lbfgs_inverse(std::span<const SecantPair<T>> pairs, OperatorPointer<T>& out) {
  const auto count = static_cast<std::int64_t>(pairs.size());
  const auto size = static_cast<std::int64_t>(pairs.empty() ? 0 : pairs.front().s.size());
  if (size == 0) return Status::error(ErrorCode::kShape, "pairs", "at least one pair of vectors", count);
  LbfgsPairs<T> kept(size, count);
  Vectors<T> vectors(1, size);
  Team alone;
  vectors.lend(alone);
  for (std::int64_t i = 0; i < count; ++i) {
    const SecantPair<T>& pair = pairs[static_cast<std::size_t>(i)];
    if (static_cast<std::int64_t>(pair.s.size()) != size || static_cast<std::int64_t>(pair.y.size()) != size) {
      return Status::error(ErrorCode::kShape, "pairs", "vectors of one length; the first pair that differs", i);
    }
    if (!kept.add(vectors, pair.s.data(), pair.y.data(), 0)) {
      return Status::error(ErrorCode::kOption, "pairs", "s'y above 0 in every pair; the first where it is not", i);
    }
  }
  const double cost = 4.0 * static_cast<double>(count) * static_cast<double>(size);
  out = std::make_shared<LbfgsOperator<T>>(std::move(kept), nullptr, useful_threads(cost, size, 0));
  return Status::success();
}

#define KRYLOV_INSTANTIATE(T)                                                                \
  template Status diagonal_inverse(std::span<const T>, double, double, OperatorPointer<T>&); \
  template Status lbfgs_inverse(std::span<const SecantPair<T>>, OperatorPointer<T>&);
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
