// SGD with batches of B out of n samples, without replacement, at a minimum that
// fits every sample, with H_i >= 0 the Hessian of sample i and H their mean, is
// stable in mean square exactly for rates up to 2 / lambda_max(C^+ D):
//   C = (H x I + I x H) / 2,  D = (1 - p) H x H + p mean_i H_i x H_i,  p = (n - B) / (B (n - 1))
// Mulayoff & Michaeli, "Exact mean square linear stability analysis for SGD"
// (2023), theorem 3. C and D act on matrices, so no Kronecker product is formed:
// in H's eigenbasis C is diagonal, and lambda_max of C^-1/2 D C^-1/2 comes from
// the Lanczos method. Its Rayleigh quotient at C^1/2 I is the necessary bound.
#include "krylov/stability.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "solvers/dense.h"

namespace krylov {

namespace {

// H's eigenvalues beside zero, and the rows in terms of its eigenvectors.
struct Eigenbasis {
  std::int64_t rank = 0;
  std::vector<double> values, rows;  // [rank], [samples * per_sample, rank]
};

Eigenbasis eigenbasis_of(const double* rows, std::int64_t samples, std::int64_t count, std::int64_t columns) {
  // Eigenvalues below this share of the largest are rounding.
  constexpr double kRelativeZero = 1e-13;
  const bool gram = count <= columns;
  const std::int64_t n = gram ? count : columns;
  const auto side = static_cast<std::size_t>(n);
  std::vector<double> matrix(side * side), values(side), vectors(side * side);
  if (gram) {
    multiply_by_transposed(rows, rows, matrix.data(), count, columns, count);
  } else {
    multiply_transposed(rows, rows, matrix.data(), columns, count, columns);
  }
  for (double& x : matrix) x /= static_cast<double>(samples);
  symmetric_eigen(matrix.data(), n, values.data(), vectors.data());
  Eigenbasis basis;
  std::int64_t first = 0;
  while (first < n &&
         !(values[static_cast<std::size_t>(first)] > kRelativeZero * static_cast<double>(n) * values.back()))
    ++first;
  basis.rank = n - first;
  basis.values.assign(values.begin() + first, values.end());
  const double* const kept = vectors.data() + first * n;
  basis.rows.resize(static_cast<std::size_t>(count * basis.rank));
  if (!gram) {
    multiply_by_transposed(rows, kept, basis.rows.data(), count, columns, basis.rank);
    return basis;
  }
  // R = U S V' with S^2 = samples * values: the rows in terms of V are U S.
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t k = 0; k < basis.rank; ++k) {
      const double s = std::sqrt(static_cast<double>(samples) * basis.values[static_cast<std::size_t>(k)]);
      basis.rows[static_cast<std::size_t>(i * basis.rank + k)] = s * kept[k * n + i];
    }
  }
  return basis;
}

// C^-1/2 D C^-1/2 on matrices [rank, rank] in H's eigenbasis.
class MeanSquareOperator final : public LinearOperator<double> {
 public:
  MeanSquareOperator(const Eigenbasis& basis, std::int64_t samples, std::int64_t per_sample, double p)
      : basis_(&basis),
        samples_(samples),
        per_sample_(per_sample),
        p_(p),
        roots_(size()),
        inner_(size()),
        first_(basis.rows.size()),
        second_(basis.rows.size()) {
    for (std::int64_t a = 0; a < basis.rank; ++a) {
      for (std::int64_t b = 0; b < basis.rank; ++b) roots_[at(a, b)] = std::sqrt(0.5 * (value(a) + value(b)));
    }
  }
  std::int64_t rows() const noexcept override { return basis_->rank * basis_->rank; }
  // The matrix whose Rayleigh quotient is the necessary bound: C^1/2 I.
  std::vector<double> start() const {
    std::vector<double> v(size());
    for (std::int64_t a = 0; a < basis_->rank; ++a) v[at(a, a)] = roots_[at(a, a)];
    return v;
  }

  void apply(Team&, const double* v, double* out) noexcept override {
    const std::int64_t r = basis_->rank, count = samples_ * per_sample_;
    const double* const x = basis_->rows.data();
    for (std::size_t i = 0; i < inner_.size(); ++i) inner_[i] = v[i] / roots_[i];
    // H_i S H_i = X_i' (X_i S X_i') X_i with the rows X_i of sample i.
    multiply(x, inner_.data(), first_.data(), count, r, r);
    std::fill(second_.begin(), second_.end(), 0.0);
    for (std::int64_t i = 0; i < samples_; ++i) {
      for (std::int64_t a = i * per_sample_; a < (i + 1) * per_sample_; ++a) {
        for (std::int64_t b = i * per_sample_; b < (i + 1) * per_sample_; ++b) {
          double weight = 0;
          for (std::int64_t k = 0; k < r; ++k) weight += first_[cell(a, k)] * x[cell(b, k)];
          for (std::int64_t k = 0; k < r; ++k) second_[cell(a, k)] += weight * x[cell(b, k)];
        }
      }
    }
    multiply_transposed(x, second_.data(), out, r, count, r);
    for (std::int64_t a = 0; a < r; ++a) {
      for (std::int64_t b = 0; b < r; ++b) {
        const double whole = value(a) * value(b) * inner_[at(a, b)];
        double& o = out[at(a, b)];
        o = ((1 - p_) * whole + p_ / static_cast<double>(samples_) * o) / roots_[at(a, b)];
      }
    }
  }
  void apply_transposed(Team& team, const double* u, double* out) noexcept override { apply(team, u, out); }

 private:
  std::size_t size() const noexcept { return static_cast<std::size_t>(basis_->rank * basis_->rank); }
  std::size_t at(std::int64_t a, std::int64_t b) const noexcept {
    return static_cast<std::size_t>(a * basis_->rank + b);
  }
  std::size_t cell(std::int64_t row, std::int64_t k) const noexcept { return at(row, k); }
  double value(std::int64_t a) const noexcept { return basis_->values[static_cast<std::size_t>(a)]; }

  const Eigenbasis* basis_;
  std::int64_t samples_, per_sample_;
  double p_;
  std::vector<double> roots_, inner_, first_, second_;
};

// Mean of |H_i|_F^2 = |X_i X_i'|_F^2.
double mean_square_of(const Eigenbasis& basis, std::int64_t samples, std::int64_t per_sample) {
  double sum = 0;
  const std::int64_t r = basis.rank, block = per_sample * r;
  std::vector<double> gram(static_cast<std::size_t>(per_sample * per_sample));
  for (std::int64_t i = 0; i < samples; ++i) {
    const double* const x = basis.rows.data() + i * block;
    multiply_by_transposed(x, x, gram.data(), per_sample, r, per_sample);
    for (const double g : gram) sum += g * g;
  }
  return sum / static_cast<double>(samples);
}

}  // namespace

Procedure<StabilityResult> stability(Session& session, const double* rows, std::int64_t samples,
                                     std::int64_t per_sample, std::int64_t columns, std::vector<std::int64_t> batches) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  // Eigenvalues are then right to twice as many digits.
  constexpr double kTolerance = 1e-9;
  StabilityResult result;
  const Eigenbasis basis = eigenbasis_of(rows, samples, samples * per_sample, columns);
  double square = 0;
  for (const double value : basis.values) {
    result.trace += value;
    square += value * value;
  }
  result.largest_eigenvalue = basis.rank == 0 ? 0 : basis.values.back();
  result.frobenius = std::sqrt(square);
  result.mean_threshold = basis.rank == 0 ? kInfinity : 2 / result.largest_eigenvalue;
  result.trace_threshold = basis.rank == 0 ? kInfinity : 2 / result.trace;
  const double sample_square = mean_square_of(basis, samples, per_sample);
  for (const std::int64_t batch : batches) {
    StabilityCase& one = result.cases.emplace_back();
    one.batch = batch;
    one.noise_factor = samples == 1 ? 0
                                    : static_cast<double>(samples - batch) /
                                          (static_cast<double>(batch) * static_cast<double>(samples - 1));
    one.mean_square_threshold = kInfinity;
    if (basis.rank == 0) continue;
    one.necessary_bound = ((1 - one.noise_factor) * square + one.noise_factor * sample_square) / result.trace;
    const auto op = std::make_shared<MeanSquareOperator>(basis, samples, per_sample, one.noise_factor);
    const std::vector<double> start = op->start();
    Probes<double> probes;
    probes.given = start.data();
    probes.given_count = 1;
    EigenpairsOptions options;
    options.tolerance = kTolerance;
    const EigenpairsResult<double> top =
        co_await eigenpairs<double>(session, OperatorPort<double>(op), options, probes);
    if (top.reason == SpectrumReason::kAborted || top.values.empty()) {
      result.cases.pop_back();
      result.reason = top.reason;
      break;
    }
    one.mean_square_threshold = 2 / top.values.front();
  }
  co_return result;
}

}  // namespace krylov
