// Stochastic Lanczos quadrature. For a unit vector v, m steps of the Lanczos
// method give the Gauss quadrature of v'f(B)v: nodes are the Ritz values, weights
// the squared first components of their eigenvectors (Golub & Welsch 1969). Over
// random v the mean of v'f(B)v is tr f(B) / P; with f a Gaussian bump at t it is
// the smoothed density of eigenvalues: Ghorbani, Krishnan & Xiao, "An
// investigation into neural net optimization via Hessian eigenvalue density"
// (ICML 2019), section 2.
#include <cmath>

#include "krylov/solvers.h"
#include "krylov/spectra.h"
#include "solvers/dense.h"
#include "solvers/random_vectors.h"
#include "solvers/vectors.h"

namespace krylov {

template <Scalar T>
Procedure<QuadratureResult> lanczos_quadrature(Session& session, OperatorPort<T> b, QuadratureOptions options,
                                               Probes<T> probes) {
  QuadratureResult result;
  const RandomVectors<T> random(session, b, probes);
  Vectors<T> vectors(session, b.columns());
  AlignedBuffer<T> start = vectors.make();
  LanczosOptions lanczos_options;
  lanczos_options.steps = std::min(options.steps, random.dimension());
  lanczos_options.keep_basis = false;
  lanczos_options.reorthogonalise = options.reorthogonalise;
  for (std::int64_t p = 0; p < options.probes; ++p) {
    random.write(p, start.data());
    const double norm = vectors.norm(start.data());
    vectors.scale(1 / norm, start.data());
    const LanczosResult<T> steps = co_await lanczos<T>(session, b, start.data(), lanczos_options);
    result.products += steps.products;
    if (steps.reason == SolveReason::kAborted || steps.reason == SolveReason::kNotFinite) {
      result.reason = steps.reason == SolveReason::kAborted ? SpectrumReason::kAborted : SpectrumReason::kNotFinite;
      break;
    }
    const std::size_t m = steps.alpha.size();
    Quadrature& quadrature = result.probes.emplace_back();
    quadrature.squared_norm = norm * norm;
    quadrature.nodes.resize(m);
    quadrature.weights.resize(m);
    std::vector<double> components(m * m);
    tridiagonal_eigen(steps.alpha, steps.beta, quadrature.nodes.data(), components.data());
    for (std::size_t i = 0; i < m; ++i) quadrature.weights[i] = components[i * m] * components[i * m];
  }
  co_return result;
}
template Procedure<QuadratureResult> lanczos_quadrature(Session&, OperatorPort<float>, QuadratureOptions,
                                                        Probes<float>);
template Procedure<QuadratureResult> lanczos_quadrature(Session&, OperatorPort<double>, QuadratureOptions,
                                                        Probes<double>);

void spectral_density(std::span<const Quadrature> probes, double variance, std::span<const double> grid,
                      std::span<double> out) noexcept {
  constexpr double kPi = 3.14159265358979323846;
  // Beyond so many deviations a Gaussian is below 1e-87 of its peak.
  constexpr double kReach = 20;
  const double reach = kReach * std::sqrt(variance), peak = 1 / std::sqrt(2 * kPi * variance);
  for (std::size_t i = 0; i < grid.size(); ++i) {
    double sum = 0;
    for (const Quadrature& probe : probes) {
      for (std::size_t j = 0; j < probe.nodes.size(); ++j) {
        const double distance = grid[i] - probe.nodes[j];
        if (std::abs(distance) > reach) continue;
        sum += probe.weights[j] * std::exp(-distance * distance / (2 * variance));
      }
    }
    out[i] = peak * sum / static_cast<double>(probes.size());  // NaN without probes
  }
}

}  // namespace krylov
