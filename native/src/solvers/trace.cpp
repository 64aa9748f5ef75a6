// Estimators from random probes z with E zz' = I: Hutchinson's trace and
// diagonal, the Frobenius norm, Hutch++, and the noise of batch operators.
#include <algorithm>
#include <cmath>
#include <limits>

#include "krylov/spectra.h"
#include "solvers/random_vectors.h"
#include "solvers/vectors.h"

namespace krylov {

Estimate estimate_of(std::span<const double> samples) noexcept {
  const auto n = static_cast<double>(samples.size());
  Estimate estimate;
  if (samples.empty()) return estimate;
  double sum = 0, squares = 0;
  for (const double x : samples) sum += x;
  estimate.mean = sum / n;
  if (samples.size() < 2) return estimate;
  for (const double x : samples) squares += (x - estimate.mean) * (x - estimate.mean);
  estimate.standard_error = std::sqrt(squares / (n - 1) / n);
  return estimate;
}

namespace {

// Of the mean of z * Bz, by 2-norms. For signs (z * Bz)_i^2 = (Bz)_i^2, so the variances of all entries add up to
// E|Bz|^2 - |diagonal|^2; the estimate's own norm is too large by a share of that.
template <Scalar T>
double diagonal_error(const HutchinsonResult<T>& result, double norm) noexcept {
  const auto n = static_cast<double>(result.squares.size());
  if (n < 2) return std::numeric_limits<double>::quiet_NaN();
  const double spread = (estimate_of(result.squares).mean - norm * norm) * n / (n - 1);
  return std::sqrt(std::max(0.0, spread) / n);
}

template <Scalar T>
bool settled(const HutchinsonOptions& options, HutchinsonResult<T>& result, double diagonal_norm) noexcept {
  Estimate estimate;
  switch (options.watch) {
    case Moment::kTrace: estimate = estimate_of(result.traces); break;
    case Moment::kFrobenius:
      // Of the norm itself: half the relative error of its square.
      estimate = estimate_of(result.squares);
      estimate.standard_error /= 2;
      break;
    case Moment::kDiagonal: estimate = {diagonal_norm, result.diagonal_error}; break;
  }
  return options.tolerance > 0 && estimate.standard_error <= options.tolerance * std::abs(estimate.mean);
}

}  // namespace

// Hutchinson, "A stochastic estimator of the trace of the influence matrix for
// Laplacian smoothing splines" (1989); the diagonal: Bekas, Kokiopoulou & Saad,
// "An estimator for the diagonal of a matrix" (2007), without its division by
// the sum of z * z, which is the number of probes for signs.
template <Scalar T>
Procedure<HutchinsonResult<T>> hutchinson(Session& session, OperatorPort<T> b, HutchinsonOptions options,
                                          Probes<T> probes) {
  HutchinsonResult<T> result;
  const RandomVectors<T> random(session, b, probes);
  Vectors<T> vectors(session, b.columns());
  AlignedBuffer<T> z = vectors.make(), w = vectors.make();
  const bool diagonal = options.watch == Moment::kDiagonal;
  if (diagonal) {
    result.diagonal = vectors.make();
    vectors.fill(std::numeric_limits<T>::quiet_NaN(), result.diagonal.data());
  }
  for (std::int64_t p = 0; p < options.max_probes; ++p) {
    random.write(p, z.data());
    if (!session.stopped()) co_await b.apply(session, z.data(), w.data());
    if (session.stopped()) {
      result.reason = SpectrumReason::kAborted;
      break;
    }
    ++result.products;
    const double trace = vectors.dot(z.data(), w.data()), norm = vectors.norm(w.data());
    if (!std::isfinite(trace) || !std::isfinite(norm)) {
      result.reason = SpectrumReason::kNotFinite;
      break;
    }
    result.traces.push_back(trace);
    result.squares.push_back(norm * norm);
    double diagonal_norm = 0;
    if (diagonal) {
      vectors.multiply(z.data(), w.data(), w.data());
      const double share = 1.0 / static_cast<double>(p + 1);
      if (p == 0) {
        vectors.copy(w.data(), result.diagonal.data());
      } else {
        vectors.combine(1 - share, result.diagonal.data(), share, w.data(), result.diagonal.data());
      }
      diagonal_norm = vectors.norm(result.diagonal.data());
      result.diagonal_error = diagonal_error(result, diagonal_norm);
    }
    if (p + 1 >= options.min_probes && settled(options, result, diagonal_norm)) {
      result.reason = SpectrumReason::kConverged;
      break;
    }
  }
  co_return result;
}
template Procedure<HutchinsonResult<float>> hutchinson(Session&, OperatorPort<float>, HutchinsonOptions, Probes<float>);
template Procedure<HutchinsonResult<double>> hutchinson(Session&, OperatorPort<double>, HutchinsonOptions,
                                                        Probes<double>);

namespace {

// Row `count` of an orthonormal basis from the vector that stands there; false where it hardly leaves their span.
template <Scalar T>
bool orthonormalise(Vectors<T>& vectors, T* basis, std::int64_t count, std::vector<double>& coefficients) {
  constexpr double kDependent = sizeof(T) == 4 ? 1e-5 : 1e-12;
  T* const u = basis + count * vectors.size();
  const double before = vectors.norm(u);
  coefficients.resize(static_cast<std::size_t>(count));
  for (int pass = 0; pass < 2; ++pass) {
    vectors.dots(basis, count, u, coefficients);
    for (double& c : coefficients) c = -c;
    vectors.add_rows(coefficients, basis, u);
  }
  const double after = vectors.norm(u);
  if (!(after > kDependent * before)) return false;
  vectors.scale(1 / after, u);
  return true;
}

}  // namespace

// Meyer, Musco, Musco & Woodruff, "Hutch++: optimal stochastic trace estimation"
// (SOSA 2021), algorithm 1: the range of a sketch is summed exactly, the rest is
// sampled.
template <Scalar T>
Procedure<HutchPlusPlusResult> hutch_plus_plus(Session& session, OperatorPort<T> b, HutchPlusPlusOptions options,
                                               Probes<T> probes) {
  HutchPlusPlusResult result;
  const RandomVectors<T> random(session, b, probes);
  const std::int64_t third = options.products / 3;
  Vectors<T> vectors(session, b.columns());
  AlignedBuffer<T> z = vectors.make(), w = vectors.make();
  // A range has no more dimensions than the space; one row more for the sketch that shows it.
  AlignedBuffer<T> basis(static_cast<std::size_t>(std::min(third, random.dimension() + 1) * b.columns()));
  std::vector<double> coefficients;
  // The three kinds of product in order: sketches, their range, the rest.
  double range_trace = 0;
  for (std::int64_t i = 0; i < 3 * third; ++i) {
    const std::int64_t kind = i / third, index = i % third;
    if (kind == 1 && index >= result.rank) continue;
    const T* v = z.data();
    if (kind == 1) {
      v = basis.data() + index * b.columns();
    } else {
      random.write(kind == 0 ? index : third + index, z.data());
    }
    if (kind == 2) {
      coefficients.resize(static_cast<std::size_t>(result.rank));
      vectors.dots(basis.data(), result.rank, z.data(), coefficients);
      for (double& c : coefficients) c = -c;
      vectors.add_rows(coefficients, basis.data(), z.data());
    }
    T* const out = kind == 0 ? basis.data() + result.rank * b.columns() : w.data();
    if (!session.stopped()) co_await b.apply(session, v, out);
    if (session.stopped()) {
      result.reason = SpectrumReason::kAborted;
      break;
    }
    ++result.products;
    const double product = vectors.dot(v, out);
    if (!std::isfinite(product) || !vectors.all_finite(out)) {
      result.reason = SpectrumReason::kNotFinite;
      break;
    }
    if (kind == 0) {
      if (orthonormalise(vectors, basis.data(), result.rank, coefficients)) ++result.rank;
    } else if (kind == 1) {
      range_trace += product;
    } else {
      result.rest.push_back(product);
    }
  }
  // A record that ended early estimates nothing before the range is summed.
  if (!result.rest.empty()) {
    const Estimate rest = estimate_of(result.rest);
    result.range_trace = range_trace;
    result.trace = range_trace + rest.mean;
    result.standard_error = rest.standard_error;
  }
  co_return result;
}
template Procedure<HutchPlusPlusResult> hutch_plus_plus(Session&, OperatorPort<float>, HutchPlusPlusOptions,
                                                        Probes<float>);
template Procedure<HutchPlusPlusResult> hutch_plus_plus(Session&, OperatorPort<double>, HutchPlusPlusOptions,
                                                        Probes<double>);

template <Scalar T>
Procedure<NoiseResult> curvature_noise(Session& session, OperatorPort<T> b, std::vector<OperatorPort<T>> batches,
                                       std::int64_t count, Probes<T> probes) {
  NoiseResult result;
  const RandomVectors<T> random(session, b, probes);
  Vectors<T> vectors(session, b.columns());
  AlignedBuffer<T> z = vectors.make(), whole = vectors.make(), part = vectors.make();
  const auto operators = static_cast<std::int64_t>(batches.size());
  for (std::int64_t i = 0; i < count * (operators + 1); ++i) {
    const std::int64_t which = i % (operators + 1) - 1;
    T* const out = which < 0 ? whole.data() : part.data();
    if (which < 0) random.write(i / (operators + 1), z.data());
    if (!session.stopped()) {
      co_await (which < 0 ? b : batches[static_cast<std::size_t>(which)]).apply(session, z.data(), out);
    }
    if (session.stopped()) {
      result.reason = SpectrumReason::kAborted;
      break;
    }
    ++result.products;
    double sample = 0;
    if (which >= 0) {
      vectors.add(part.data(), -1, whole.data(), part.data());
      const double norm = vectors.norm(part.data());
      sample = norm * norm / static_cast<double>(random.dimension());
    }
    if (!std::isfinite(sample) || (which < 0 && !vectors.all_finite(out))) {
      result.reason = SpectrumReason::kNotFinite;
      break;
    }
    if (which >= 0) result.samples.push_back(sample);
  }
  co_return result;
}
template Procedure<NoiseResult> curvature_noise(Session&, OperatorPort<float>, std::vector<OperatorPort<float>>,
                                                std::int64_t, Probes<float>);
template Procedure<NoiseResult> curvature_noise(Session&, OperatorPort<double>, std::vector<OperatorPort<double>>,
                                                std::int64_t, Probes<double>);

}  // namespace krylov
