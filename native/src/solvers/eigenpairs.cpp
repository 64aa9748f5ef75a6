// Outer eigenpairs of a symmetric operator by the Lanczos method with thick
// restarts: Wu & Simon, "Thick-restart Lanczos method for large symmetric
// eigenvalue problems" (SIAM J. Matrix Anal. Appl. 22, 2000), section 3.
// Differences:
//   1. Every new vector is orthogonalised twice against the whole basis, since
//      float32 vectors would grow copies of the outermost eigenvalues.
//   2. Where the Krylov space closes, the basis goes on with a random vector
//      orthogonal to it, so that further copies of a multiple eigenvalue are found.
//   3. Convergence is also looked for between restarts, at growing distances.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/kernel_table.h"
#include "krylov/spectra.h"
#include "solvers/dense.h"
#include "solvers/random_vectors.h"
#include "solvers/vectors.h"

namespace krylov {

namespace {

// A new direction this small beside the operator's scale is rounding: the Krylov space has closed.
template <Scalar T>
constexpr double kClosed = sizeof(T) == 4 ? 1e-6 : 1e-12;

// As small as this it tells, in either type, that all there is of the start vector has been seen.
constexpr double kNearlyClosed = 1e-4;

// Columns of all rows of the basis that are mixed at a time, in the cache.
constexpr std::int64_t kColumns = 256;

// The orthonormal basis, one row more than it may grow to, and Q'BQ.
template <Scalar T>
class Subspace {
 public:
  Subspace(Session& session, std::int64_t size, std::int64_t most)
      : vectors_(session, size),
        session_(&session),
        most_(most),
        basis_(static_cast<std::size_t>((most + 1) * size)),
        projected_(static_cast<std::size_t>(most * most)),
        coefficients_(static_cast<std::size_t>(most + 1)) {}

  Vectors<T>& vectors() noexcept { return vectors_; }
  std::int64_t count() const noexcept { return count_; }
  T* row(std::int64_t i) noexcept { return basis_.data() + i * vectors_.size(); }

  // Row `count` is made orthogonal to the rows before it; returns its norm, and its component along row count - 1 as
  // it was.
  double orthogonalise(std::int64_t count, double& last) noexcept {
    T* const u = row(count);
    last = 0;
    for (int pass = 0; pass < 2; ++pass) {
      const std::span<double> h(coefficients_.data(), static_cast<std::size_t>(count));
      vectors_.dots(basis_.data(), count, u, h);
      if (count > 0) last += h.back();
      for (double& c : h) c = -c;
      vectors_.add_rows(h, basis_.data(), u);
    }
    return vectors_.norm(u);
  }
  // Row `row` becomes a unit vector orthogonal to those before it; false where there is none.
  bool fill(const RandomVectors<T>& random, std::int64_t& draw, std::int64_t at) noexcept {
    for (int attempt = 0; attempt < 3; ++attempt) {
      random.write(draw++, row(at));
      const double before = vectors_.norm(row(at));
      double last = 0;
      const double after = orthogonalise(at, last);
      if (after > kClosed<T> * before) {
        vectors_.scale(1 / after, row(at));
        return true;
      }
    }
    return false;
  }

  // Takes in the product of the last row, which stands in the row after it. False where it is not finite.
  bool extend(const RandomVectors<T>& random, std::int64_t& draw) noexcept {
    const std::int64_t j = count_;
    double alpha = 0;
    const double beta = orthogonalise(j + 1, alpha);
    if (!std::isfinite(alpha) || !std::isfinite(beta)) return false;
    entry(j, j) = alpha;
    largest_ = std::max({largest_, std::abs(alpha), beta});
    ++count_;
    coupling_ = beta;
    couplings_.clear();
    if (count_ == random.dimension() || beta <= kClosed<T> * largest_) {
      coupling_ = 0;
      if (count_ < random.dimension() && fill(random, draw, count_)) {
        if (count_ < most_) entry(count_, j) = 0;
      } else {
        complete_ = true;
      }
    } else {
      vectors_.scale(1 / beta, row(count_));
      if (count_ < most_) entry(count_, j) = beta;
    }
    return true;
  }
  // After extend(): true where the new direction is within `share` of the operator's scale.
  bool is_closed(double share) const noexcept { return coupling_ <= share * largest_; }
  // True where the basis spans all that there is.
  bool complete() const noexcept { return complete_; }

  void analyse() {
    const auto n = static_cast<std::size_t>(count_);
    std::vector<double> dense(n * n);
    for (std::int64_t r = 0; r < count_; ++r) {
      for (std::int64_t c = 0; c <= r; ++c) dense[static_cast<std::size_t>(r * count_ + c)] = entry(r, c);
    }
    values_.assign(n, 0.0);
    rotation_.assign(n * n, 0.0);
    symmetric_eigen(dense.data(), count_, values_.data(), rotation_.data());
    if (n > 0) largest_ = std::max({largest_, std::abs(values_.front()), std::abs(values_.back())});
  }
  // The first `wanted` Ritz values in the order of `which`, as indices.
  std::vector<std::int64_t> order(Extreme which) const {
    std::vector<std::int64_t> indices(values_.size());
    std::iota(indices.begin(), indices.end(), 0);
    if (which == Extreme::kLargest) std::reverse(indices.begin(), indices.end());
    if (which == Extreme::kMagnitude) {
      std::stable_sort(indices.begin(), indices.end(),
                       [this](std::int64_t a, std::int64_t b) { return std::abs(value(a)) > std::abs(value(b)); });
    }
    return indices;
  }
  double value(std::int64_t i) const noexcept { return values_[static_cast<std::size_t>(i)]; }
  double residual(std::int64_t i) const noexcept {
    const double* const s = rotation_.data() + i * count_;
    if (couplings_.empty()) return std::abs(coupling_ * s[count_ - 1]);
    double sum = 0;
    for (std::size_t k = 0; k < couplings_.size(); ++k) sum += couplings_[k] * s[k];
    return std::abs(sum);
  }
  bool is_found(std::span<const std::int64_t> order, std::int64_t wanted, double tolerance) const noexcept {
    return count_ >= wanted && std::all_of(order.begin(), order.begin() + wanted,
                                           [&](std::int64_t i) { return residual(i) <= tolerance * largest_; });
  }

  // out[i] = Ritz vector chosen[i]; out may be the basis itself.
  void combine(std::span<const std::int64_t> chosen, T* out);

  // Keeps the chosen Ritz vectors and the next direction, and forgets the rest.
  void restart(std::span<const std::int64_t> chosen) {
    const auto kept = static_cast<std::int64_t>(chosen.size());
    std::vector<double> values;
    couplings_.clear();
    for (const std::int64_t i : chosen) {
      values.push_back(value(i));
      couplings_.push_back(coupling_ * rotation_[static_cast<std::size_t>(i * count_ + count_ - 1)]);
    }
    combine(chosen, basis_.data());
    vectors_.copy(row(count_), row(kept));
    std::fill(projected_.begin(), projected_.end(), 0.0);
    for (std::int64_t i = 0; i < kept; ++i) {
      entry(i, i) = values[static_cast<std::size_t>(i)];
      entry(kept, i) = couplings_[static_cast<std::size_t>(i)];
    }
    count_ = kept;
  }

 private:
  double& entry(std::int64_t row, std::int64_t column) noexcept {
    return projected_[static_cast<std::size_t>(row * most_ + column)];
  }

  Vectors<T> vectors_;
  Session* session_;
  std::int64_t most_;
  AlignedBuffer<T> basis_;
  std::vector<double> projected_, coefficients_;  // lower triangle [most, most]
  std::vector<double> values_, rotation_;         // rotation_[i] in terms of the basis
  std::int64_t count_ = 0;
  double coupling_ = 0, largest_ = 0;  // of the last row to the next direction
  std::vector<double> couplings_;      // of all rows to it, just after a restart
  bool complete_ = false;
};

template <Scalar T>
void Subspace<T>::combine(std::span<const std::int64_t> chosen, T* out) {
  struct Work {
    Subspace& self;
    std::span<const std::int64_t> chosen;
    T* out;
    T* scratch;
  };
  const int threads = std::max(1, session_->threads());
  AlignedBuffer<T> scratch(static_cast<std::size_t>(threads * count_ * kColumns));
  Work work{*this, chosen, out, scratch.data()};
  const auto body = [](void* context, int thread, int threads_now) noexcept {
    Work& w = *static_cast<Work*>(context);
    Subspace& self = w.self;
    const std::int64_t size = self.vectors_.size(), n = self.count_;
    T* const rows = w.scratch + thread * n * kColumns;
    for (std::int64_t first = thread * kColumns; first < size; first += threads_now * kColumns) {
      const std::int64_t width = std::min(kColumns, size - first);
      for (std::int64_t r = 0; r < n; ++r) {
        std::memcpy(rows + r * kColumns, self.row(r) + first, static_cast<std::size_t>(width) * sizeof(T));
      }
      for (std::size_t i = 0; i < w.chosen.size(); ++i) {
        T* const to = w.out + static_cast<std::int64_t>(i) * size + first;
        const double* const s = self.rotation_.data() + w.chosen[i] * n;
        std::fill_n(to, width, T(0));
        for (std::int64_t r = 0; r < n; ++r) {
          kernels<T>().scaled_sum(to, static_cast<T>(s[r]), rows + r * kColumns, to, width);
        }
      }
    }
  };
  session_->team().run(threads, body, &work);
}

}  // namespace

const char* name_of(SpectrumReason reason) noexcept {
  switch (reason) {
    case SpectrumReason::kConverged: return "converged";
    case SpectrumReason::kMaxProducts: return "maxProducts";
    case SpectrumReason::kNotFinite: return "notFinite";
    case SpectrumReason::kAborted: return "aborted";
  }
  return "";
}

template <Scalar T>
Procedure<EigenpairsResult<T>> eigenpairs(Session& session, OperatorPort<T> b, EigenpairsOptions options,
                                          Probes<T> probes) {
  EigenpairsResult<T> result;
  // Signs have no part in an eigenvector with some probability, normal vectors with none.
  probes.kind = ProbeKind::kNormal;
  const RandomVectors<T> random(session, b, probes);
  const std::int64_t dimension = random.dimension(), wanted = std::min(options.count, dimension);
  std::int64_t most = options.subspace > 0 ? options.subspace : std::max(2 * options.count + 20, 4 * options.count);
  most = std::min(std::max(most, wanted + 2), dimension);
  Subspace<T> space(session, b.columns(), most);
  std::int64_t draw = 0;
  bool settled = wanted == 0;
  if (!settled && !space.fill(random, draw, 0)) {
    result.reason = SpectrumReason::kNotFinite;  // only a given start vector can be zero or not finite
    co_return result;
  }
  // Where the space closes, or nearly so, every pair in it has converged, and nothing is known of further copies of
  // their eigenvalues: no decision before the basis is full.
  bool closed = false;
  std::int64_t next_look = wanted + 2;
  while (!settled) {
    if (result.products == options.max_products) {
      result.reason = SpectrumReason::kMaxProducts;
      break;
    }
    if (!session.stopped()) co_await b.apply(session, space.row(space.count()), space.row(space.count() + 1));
    if (session.stopped()) {
      result.reason = SpectrumReason::kAborted;
      break;
    }
    ++result.products;
    if (!space.extend(random, draw)) {
      result.reason = SpectrumReason::kNotFinite;
      break;
    }
    closed = closed || space.is_closed(std::max(kNearlyClosed, options.tolerance));
    const bool full = space.count() == most || space.complete();
    if (!full && (closed || space.count() < next_look)) continue;
    space.analyse();
    const std::vector<std::int64_t> order = space.order(options.which);
    settled = space.complete() || space.is_found(order, wanted, options.tolerance);
    if (settled) break;
    if (full) {
      const std::int64_t kept = std::min(wanted + (most - wanted) / 2, most - 1);
      space.restart({order.data(), static_cast<std::size_t>(kept)});
      ++result.restarts;
      closed = false;
    }
    next_look = space.count() + std::max<std::int64_t>(2, space.count() / 4);
  }
  if (space.count() == 0) co_return result;
  space.analyse();
  std::vector<std::int64_t> order = space.order(options.which);
  // The last product may have been the one that was needed.
  const bool found = result.reason == SpectrumReason::kMaxProducts && space.is_found(order, wanted, options.tolerance);
  if (settled || found) result.reason = SpectrumReason::kConverged;
  order.resize(static_cast<std::size_t>(std::min(wanted, space.count())));
  result.vectors = AlignedBuffer<T>(order.size() * static_cast<std::size_t>(b.columns()));
  space.combine(order, result.vectors.data());
  for (std::size_t i = 0; i < order.size(); ++i) {
    T* const vector = result.vectors.data() + static_cast<std::int64_t>(i) * b.columns();
    space.vectors().scale(1 / space.vectors().norm(vector), vector);
    result.values.push_back(space.value(order[i]));
    result.residuals.push_back(space.residual(order[i]));
  }
  co_return result;
}
template Procedure<EigenpairsResult<float>> eigenpairs(Session&, OperatorPort<float>, EigenpairsOptions, Probes<float>);
template Procedure<EigenpairsResult<double>> eigenpairs(Session&, OperatorPort<double>, EigenpairsOptions,
                                                        Probes<double>);

}  // namespace krylov
