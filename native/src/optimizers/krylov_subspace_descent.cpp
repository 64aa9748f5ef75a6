// Krylov subspace descent: Vinyals & Povey, "Krylov Subspace Descent for Deep
// Learning" (AISTATS 2012, arXiv 1111.4259), algorithm 1; constants of the port
// pbrakel/ksd-theano. One update, with f, g on the gradient's samples, B on the
// curvature's, the search on the selection's, S:
//   1. D = max(s, floor max(s))^exponent, s the mean of squared per-sample gradients, or another preconditioner
//   2. orthonormal rows P from D^-1 g, D^-1 B p_1, ..., D^-1 B p_{K-1} and the step of the update before;
//      T = P B P' on the way, one product a row
//   3. T = Q diag(t) Q'; t_i = max(|t_i|, eigenvalueFloor max |t|)
//   4. BFGS over a from 0 on f_S(x + P' Q diag(t)^{-1/2} a), at most search.maxEvaluations values with gradients;
//      x += the best step found
// Differences: the square root of T is that of its eigenvectors instead of Cholesky's factor, which BFGS from the
// identity cannot tell apart (they differ by a rotation); the first update has no earlier step and one row less; a row
// that the earlier ones span to rounding is left out. The line search inside BFGS bisects for the weak Wolfe conditions
// (Lewis & Overton 2013).
//
// Options: name, default, range. Numbers may be schedules over updates.
//   subspaceSize              20       >= 1   K
//   preconditioner.*                          see preconditioner.h; martens is 1.
//   preconditioner.floor      1e-4     [0, 1]
//   eigenvalueFloor           1e-4     (0, 1)
//   search.maxEvaluations     30       >= 2
//   search.tolerance          1e-4     >= 0   the search ends where the gradient by a has shrunk by this factor
//   gradientTolerance         1e-7     >= 0   converged at max |g_i| <= this
//   curvature                 ggn             ggn | hessian | fisher
#include <limits>

#include "optimizers/minimizers.h"
#include "optimizers/preconditioner.h"
#include "optimizers/subspace_search.h"
#include "solvers/dense.h"

namespace krylov {
namespace {

constexpr const char* kCurvatures[] = {"ggn", "hessian", "fisher"};

template <Scalar T>
class KrylovSubspaceDescent final : public Minimizer<T> {
 public:
  KrylovSubspaceDescent(RuleOptions& o, const Objective<T>& objective)
      : size_(objective.size()), subspace_(o.number("subspaceSize")), floor_(o.number("preconditioner.floor")),
        eigenvalue_floor_(o.number("eigenvalueFloor")),
        max_evaluations_(o.number("search.maxEvaluations")), tolerance_(o.number("search.tolerance")),
        gradient_tolerance_(o.number("gradientTolerance")),
        preconditioner_(o, objective), curvature_(curvature_option(o, kCurvatures)) {}

  std::uint32_t needs() const noexcept override { return need_of(curvature_) | preconditioner_.needs(); }
  std::int64_t updates() const noexcept override { return updates_; }
  Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) override;

  MinimizerState save() const override {
    MinimizerState state;
    state.updates = updates_;
    save_vector(state, "previousStep", previous_);
    preconditioner_.save(state);
    return state;
  }
  Status restore(const MinimizerState& state) override {
    if (Status s = check_positive(state, "updates"); !s.ok()) return s;
    if (Status s = check_vector(state, "previousStep", size_); !s.ok()) return s;
    AlignedBuffer<T> previous = restore_vector<T>(state, "previousStep");
    if (Status s = preconditioner_.restore(state); !s.ok()) return s;
    updates_ = state.updates;
    previous_ = std::move(previous);
    return Status::success();
  }

 private:
  struct Basis {
    OperatorPort<T> b, preconditioner;
    AlignedBuffer<T> rows;          // [count, size], orthonormal
    std::vector<double> projected;  // [capacity, capacity], P B P' in the first `count`
    std::vector<CollectedPair<T>> pairs;  // for the preconditioner of the next update
    std::int64_t capacity = 0, count = 0, products = 0;
  };
  bool append(Vectors<T>& vectors, Basis& basis, T* candidate) const;
  Procedure<void> build(Session& session, const T* g, Basis& basis) const;
  std::vector<double> whitening(const Basis& basis) const;

  std::int64_t size_, updates_ = 0;
  ScheduleSpec subspace_, floor_, eigenvalue_floor_, max_evaluations_, tolerance_, gradient_tolerance_;
  Preconditioner<T> preconditioner_;
  Curvature curvature_;
  AlignedBuffer<T> previous_;  // empty: none yet
};

// Gram-Schmidt, twice, then the candidate as a row of its own; false where the rows before span it.
template <Scalar T>
bool KrylovSubspaceDescent<T>::append(Vectors<T>& vectors, Basis& basis, T* candidate) const {
  // What is left of a vector within the span is rounding: some epsilons of its length for each row taken off.
  const double rounding = 8.0 * static_cast<double>(basis.capacity) *
                          static_cast<double>(std::numeric_limits<T>::epsilon());
  const double length = vectors.norm(candidate);
  if (!(length > 0) || !std::isfinite(length)) return false;
  vectors.scale(1 / length, candidate);
  std::vector<double> along(static_cast<std::size_t>(basis.count));
  for (int pass = 0; pass < 2; ++pass) {
    vectors.dots(basis.rows.data(), basis.count, candidate, along);
    for (double& a : along) a = -a;
    vectors.add_rows(along, basis.rows.data(), candidate);
    const double left = vectors.norm(candidate);
    if (!(left > rounding)) return false;
    vectors.scale(1 / left, candidate);
  }
  vectors.copy(candidate, basis.rows.data() + basis.count * size_);
  ++basis.count;
  return true;
}

template <Scalar T>
Procedure<void> KrylovSubspaceDescent<T>::build(Session& session, const T* g, Basis& basis) const {
  Vectors<T> vectors(session, size_);
  const std::int64_t krylov = std::max<std::int64_t>(1, count_at(subspace_, updates_));
  basis.capacity = std::min(krylov + (previous_.empty() ? 0 : 1), size_);
  basis.rows = AlignedBuffer<T>(static_cast<std::size_t>(basis.capacity * size_));
  basis.projected.assign(static_cast<std::size_t>(basis.capacity * basis.capacity), 0.0);
  AlignedBuffer<T> w = vectors.make(), candidate = vectors.make();
  vectors.copy(g, w.data());
  LbfgsPairs<T> pairs(size_, preconditioner_.history());
  bool spanned = false;  // nothing new in the Krylov space
  while (basis.count < basis.capacity) {
    const bool from_krylov = basis.count < krylov && !spanned;
    if (!from_krylov && previous_.empty()) break;
    if (!from_krylov) {
      vectors.copy(previous_.data(), candidate.data());
    } else if (basis.preconditioner.is_given()) {
      co_await basis.preconditioner.apply(session, w.data(), candidate.data());
    } else {
      vectors.copy(w.data(), candidate.data());
    }
    if (!append(vectors, basis, candidate.data())) {
      if (!from_krylov) break;
      spanned = true;
      continue;
    }
    co_await basis.b.apply(session, candidate.data(), w.data());
    ++basis.products;
    if (session.stopped()) co_return;
    if (preconditioner_.history() > 0) pairs.offer(vectors, candidate.data(), w.data(), preconditioner_.spread());
    std::vector<double> column(static_cast<std::size_t>(basis.count));
    vectors.dots(basis.rows.data(), basis.count, w.data(), column);
    const std::int64_t k = basis.count - 1;
    for (std::int64_t j = 0; j <= k; ++j) {
      basis.projected[static_cast<std::size_t>(j * basis.capacity + k)] =
          basis.projected[static_cast<std::size_t>(k * basis.capacity + j)] = column[static_cast<std::size_t>(j)];
    }
    if (!from_krylov) break;
  }
  basis.pairs = pairs.release();
}

// Rows q_i / sqrt(t_i): coefficients of the whitened directions by the basis. Empty where B is not finite.
template <Scalar T>
std::vector<double> KrylovSubspaceDescent<T>::whitening(const Basis& basis) const {
  const std::int64_t n = basis.count;
  const auto count = static_cast<std::size_t>(n);
  std::vector<double> matrix(count * count), values(count), vectors(count * count);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < count; ++j) {
      matrix[i * count + j] = basis.projected[i * static_cast<std::size_t>(basis.capacity) + j];
      if (!std::isfinite(matrix[i * count + j])) return {};
    }
  }
  symmetric_eigen(matrix.data(), n, values.data(), vectors.data());
  double largest = 0;
  for (double& value : values) largest = std::fmax(largest, value = std::fabs(value));
  if (largest == 0) largest = 1;  // no curvature at all: a plain search
  const double least = schedule_value(eigenvalue_floor_, updates_) * largest;
  for (std::size_t i = 0; i < count; ++i) {
    const double scale = 1 / std::sqrt(std::fmax(values[i], least));
    for (std::size_t j = 0; j < count; ++j) vectors[i * count + j] *= scale;
  }
  return vectors;
}

template <Scalar T>
Procedure<MinimizerReport> KrylovSubspaceDescent<T>::update(Session& session, Objective<T>& objective, T* x) {
  Vectors<T> vectors(session, size_);
  MinimizerReport report;
  NewtonSettings settings;
  settings.update = updates_;
  settings.floor = schedule_value(floor_, updates_);
  settings.gradient_tolerance = schedule_value(gradient_tolerance_, updates_);
  settings.curvature = curvature_;
  NewtonStart<T> at;
  const bool goes_on = co_await preconditioner_.begin(session, objective, x, settings, report, at);
  if (!goes_on) co_return report;

  Basis basis;
  basis.b = at.b;
  basis.preconditioner = at.preconditioner;
  co_await build(session, at.g.data(), basis);
  if (session.stopped()) co_return report;
  const std::vector<double> whitened = whitening(basis);
  if (whitened.empty()) co_return report;

  SubspaceSearchOptions options;
  options.max_evaluations = std::max<std::int64_t>(2, count_at(max_evaluations_, updates_));
  options.tolerance = schedule_value(tolerance_, updates_);
  options.samples = Samples::kSelection;
  // The first evaluation is known where the search sees the gradient's samples.
  const bool known = objective.same_samples(Samples::kGradient, Samples::kSelection);
  const SubspaceSearchResult<T> found = co_await subspace_search<T>(
      session, objective, x, basis.rows.data(), basis.count, whitened.data(), known ? at.g.data() : nullptr, at.f,
      options);
  if (session.stopped()) co_return report;

  const double step = vectors.norm(found.step.data());
  report.accepted = step > 0;
  report.learning_rate = report.accepted ? 1 : 0;
  if (report.accepted) {
    vectors.add(x, 1, found.step.data(), x);
    previous_ = AlignedBuffer<T>(static_cast<std::size_t>(size_));
    vectors.copy(found.step.data(), previous_.data());
  } else if (objective.all_steady()) {
    report.converged = "noDescent";
  }
  const double first = basis.projected[0];  // p_1'B p_1
  report.numbers = {{"subspaceSize", static_cast<double>(basis.count)},
                    {"evaluations", static_cast<double>(found.evaluations)},
                    {"selectionLoss", found.start},
                    {"selectionLossAfter", found.value},
                    {"stepNorm", step},
                    {"gradientNorm", at.gradient_norm},
                    {"curvature", first},
                    {"products", static_cast<double>(basis.products)}};
  preconditioner_.end(session, updates_, std::move(basis.pairs), settings.shift);
  ++updates_;
  co_return report;
}

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_krylov_subspace_descent(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<KrylovSubspaceDescent<T>>(options, objective);
}
template MinimizerPointer<float> make_krylov_subspace_descent(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_krylov_subspace_descent(RuleOptions&, const Objective<double>&);

}  // namespace krylov
