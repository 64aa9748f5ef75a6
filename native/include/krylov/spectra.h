// What products with a symmetric operator tell about its spectrum: outer
// eigenpairs, the density of all eigenvalues, trace, diagonal, norms. Procedures
// over OperatorPort, as the solvers are. Specification: docs/spectra.md.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "krylov/buffer.h"
#include "krylov/linear_operator.h"

namespace krylov {

enum class SpectrumReason : std::uint8_t { kConverged, kMaxProducts, kNotFinite, kAborted };
const char* name_of(SpectrumReason reason) noexcept;  // "converged", "maxProducts", "notFinite", "aborted"

enum class ProbeKind : std::uint8_t { kSigns, kNormal };

// Random vectors: number d is draw d of (seed, Stream::kProbe). Element i, counted
// in public order, is bit i % 32 of word i / 32 (a set bit: -1), or normal draw i;
// padding is zero. Where vectors are given, these are taken instead, in the
// operator's stored order; they must outlive the procedure.
template <Scalar T>
struct Probes {
  ProbeKind kind = ProbeKind::kSigns;
  std::uint64_t seed = 0;
  const T* given = nullptr;  // [given_count, size]
  std::int64_t given_count = 0;
  VectorLayout<T> layout = nullptr;  // of a foreign operator's vectors; a native one knows its own
};
// Elements 0 .. of draw `draw`, in public order, whatever is given.
template <Scalar T>
void fill_probe(const Probes<T>& probes, std::uint64_t draw, std::span<T> out) noexcept;

enum class Extreme : std::uint8_t { kLargest, kSmallest, kMagnitude };

struct EigenpairsOptions {
  std::int64_t count = 1;
  Extreme which = Extreme::kLargest;
  double tolerance = 1e-5;  // |Bx - theta x| <= this times the largest |theta| seen
  std::int64_t max_products = 1000;
  std::int64_t subspace = 0;  // vectors kept at most; 0: max(2 count + 20, 4 count)
};
template <Scalar T>
struct EigenpairsResult {
  // Fewer than asked for where the procedure ended before there were so many, or where the dimension is smaller.
  std::vector<double> values;     // largest and smallest: from the outermost inwards; magnitude: descending |value|
  std::vector<double> residuals;  // |Bx - theta x| by the recurrence
  AlignedBuffer<T> vectors;       // [values.size(), size], rows of norm 1
  SpectrumReason reason = SpectrumReason::kMaxProducts;
  std::int64_t products = 0, restarts = 0;
};
// Starts from probe 0, normal whatever the kind; where the Krylov space closes, goes on with probes 1, 2, ...
template <Scalar T>
Procedure<EigenpairsResult<T>> eigenpairs(Session& session, OperatorPort<T> b, EigenpairsOptions options,
                                          Probes<T> probes);

struct QuadratureOptions {
  std::int64_t probes = 10;
  std::int64_t steps = 90;
  bool reorthogonalise = true;  // false: three vectors of memory instead of `steps`
};
// One a probe: Ritz values ascending and their weights, which sum to 1.
struct Quadrature {
  std::vector<double> nodes, weights;
  double squared_norm = 0;  // of the probe
};
struct QuadratureResult {
  std::vector<Quadrature> probes;  // those that were finished
  SpectrumReason reason = SpectrumReason::kConverged;
  std::int64_t products = 0;
};
template <Scalar T>
Procedure<QuadratureResult> lanczos_quadrature(Session& session, OperatorPort<T> b, QuadratureOptions options,
                                               Probes<T> probes);
// out[i] = mean over the probes of sum_j w_j N(grid[i]; node_j, variance); NaN without probes.
void spectral_density(std::span<const Quadrature> probes, double variance, std::span<const double> grid,
                      std::span<double> out) noexcept;

// A mean of random samples; the standard error is NaN for fewer than two.
struct Estimate {
  double mean = std::numeric_limits<double>::quiet_NaN();
  double standard_error = std::numeric_limits<double>::quiet_NaN();
};
Estimate estimate_of(std::span<const double> samples) noexcept;

// What decides when Hutchinson's estimators have seen enough probes.
enum class Moment : std::uint8_t { kTrace, kFrobenius, kDiagonal };

struct HutchinsonOptions {
  Moment watch = Moment::kTrace;
  std::int64_t max_probes = 100;
  std::int64_t min_probes = 10;  // before the tolerance is looked at
  double tolerance = 0.01;       // stop when the standard error is below this times the estimate; 0: all probes
};
template <Scalar T>
struct HutchinsonResult {
  std::vector<double> traces;   // z'Bz a probe
  std::vector<double> squares;  // |Bz|^2 a probe; the mean estimates the squared Frobenius norm
  AlignedBuffer<T> diagonal;    // kDiagonal: mean of z * Bz, NaN where there was no probe
  double diagonal_error = std::numeric_limits<double>::quiet_NaN();  // standard error of its 2-norm distance
  SpectrumReason reason = SpectrumReason::kMaxProducts;
  std::int64_t products = 0;
};
template <Scalar T>
Procedure<HutchinsonResult<T>> hutchinson(Session& session, OperatorPort<T> b, HutchinsonOptions options,
                                          Probes<T> probes);

struct HutchPlusPlusOptions {
  std::int64_t products = 90;  // a third of them sketches, a third goes to their range, a third to the rest
};
struct HutchPlusPlusResult {
  double trace = std::numeric_limits<double>::quiet_NaN();
  double standard_error = std::numeric_limits<double>::quiet_NaN();  // of the random part
  double range_trace = std::numeric_limits<double>::quiet_NaN();     // tr(Q'BQ)
  std::vector<double> rest;                                          // a sample of the rest's trace each
  std::int64_t rank = 0;                                             // of Q
  SpectrumReason reason = SpectrumReason::kConverged;
  std::int64_t products = 0;
};
// Probes 0 .. products/3 - 1 are the sketch, the next ones the samples of the rest.
template <Scalar T>
Procedure<HutchPlusPlusResult> hutch_plus_plus(Session& session, OperatorPort<T> b, HutchPlusPlusOptions options,
                                               Probes<T> probes);

struct SpectralNormOptions {
  double tolerance = 1e-6;  // relative change of the norm in one iteration
  std::int64_t max_iterations = 1000;
};
template <Scalar T>
struct SpectralNormResult {
  double norm = std::numeric_limits<double>::quiet_NaN();
  AlignedBuffer<T> left, right;  // unit singular vectors: A right = norm left; NaN where the norm is
  SpectrumReason reason = SpectrumReason::kMaxProducts;
  std::int64_t iterations = 0;
};
// Largest singular value of a rectangular operator, which needs products with its transpose. The probe is normal.
template <Scalar T>
Procedure<SpectralNormResult<T>> spectral_norm(Session& session, OperatorPort<T> a, SpectralNormOptions options,
                                               Probes<T> probes);

// |(B_i - B)z|^2 / P for every probe z and operator B_i: samples[probe * operators + i]. The mean estimates
// E|B_i - B|_F^2 / P, the noise of a batch's curvature.
struct NoiseResult {
  std::vector<double> samples;
  SpectrumReason reason = SpectrumReason::kConverged;
  std::int64_t products = 0;
};
template <Scalar T>
Procedure<NoiseResult> curvature_noise(Session& session, OperatorPort<T> b, std::vector<OperatorPort<T>> batches,
                                       std::int64_t count, Probes<T> probes);

}  // namespace krylov
