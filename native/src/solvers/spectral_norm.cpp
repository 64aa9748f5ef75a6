// The largest singular value of a rectangular operator.
#include <cmath>
#include <limits>
#include <utility>

#include "krylov/spectra.h"
#include "solvers/random_vectors.h"
#include "solvers/vectors.h"

namespace krylov {

// Power iteration on A'A: u = Av / |Av|, v = A'u / |A'u|.
template <Scalar T>
Procedure<SpectralNormResult<T>> spectral_norm(Session& session, OperatorPort<T> a, SpectralNormOptions options,
                                               Probes<T> probes) {
  SpectralNormResult<T> result;
  probes.kind = ProbeKind::kNormal;  // signs may be orthogonal to the vector that is wanted
  const RandomVectors<T> random(session, a, probes);
  Vectors<T> in(session, a.columns()), out(session, a.rows());
  // A pair goes into the result when both of its vectors are known.
  AlignedBuffer<T> right = in.make(), left = out.make();
  result.right = in.make();
  result.left = out.make();
  in.fill(std::numeric_limits<T>::quiet_NaN(), result.right.data());
  out.fill(std::numeric_limits<T>::quiet_NaN(), result.left.data());
  random.write(0, right.data());
  in.scale(1 / in.norm(right.data()), right.data());
  double previous = std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < options.max_iterations; ++i) {
    if (!session.stopped()) co_await a.apply(session, right.data(), left.data());
    if (!session.stopped()) {
      const double norm = out.norm(left.data());
      if (!std::isfinite(norm)) {
        result.reason = SpectrumReason::kNotFinite;
        break;
      }
      ++result.iterations;
      result.norm = norm;
      if (norm > 0) out.scale(1 / norm, left.data());
      std::swap(left, result.left);
      std::swap(right, result.right);
      if (norm == 0 || std::abs(norm - previous) <= options.tolerance * norm) {
        result.reason = SpectrumReason::kConverged;
        break;
      }
      previous = norm;
      co_await a.apply_transposed(session, result.left.data(), right.data());
    }
    if (session.stopped()) {
      result.reason = SpectrumReason::kAborted;
      break;
    }
    const double norm = in.norm(right.data());
    if (!std::isfinite(norm)) {
      result.reason = SpectrumReason::kNotFinite;
      break;
    }
    in.scale(1 / norm, right.data());
  }
  co_return result;
}
template Procedure<SpectralNormResult<float>> spectral_norm(Session&, OperatorPort<float>, SpectralNormOptions,
                                                            Probes<float>);
template Procedure<SpectralNormResult<double>> spectral_norm(Session&, OperatorPort<double>, SpectralNormOptions,
                                                             Probes<double>);

}  // namespace krylov
