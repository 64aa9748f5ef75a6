// Lanczos: Q is orthonormal, Q B Q' is T, what is left over is the residual.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/comparison.h"
#include "support/solve_cases.h"

namespace krylov {
namespace {

using namespace test;

template <Scalar T>
LanczosResult<T> decompose(const OperatorPort<T>& b, const Numbers& start, const LanczosOptions& options) {
  Session session;
  return run(session, lanczos<T>(session, b, cast<T>(start).data(), options));
}

LanczosOptions steps(std::int64_t count) {
  LanczosOptions options;
  options.steps = count;
  return options;
}

// B q_j = beta_(j-1) q_(j-1) + alpha_j q_j + beta_j q_(j+1), and Q Q' = I.
template <Scalar T>
void check_basis(const LanczosResult<T>& r, const Numbers& matrix, std::int64_t n, double tolerance) {
  const std::size_t m = r.alpha.size();
  REQUIRE(r.beta.size() + 1 == m);
  REQUIRE(r.basis.size() == m * static_cast<std::size_t>(n));
  const auto row = [&](std::size_t j) {
    return Numbers(r.basis.data() + j * std::size_t(n), r.basis.data() + (j + 1) * std::size_t(n));
  };
  Comparison c;
  for (std::size_t j = 0; j < m; ++j) {
    Numbers left = plus(times(matrix, row(j)), -r.alpha[j], row(j));
    if (j > 0) left = plus(left, -r.beta[j - 1], row(j - 1));
    if (j + 1 < m) left = plus(left, -r.beta[j], row(j + 1));
    c.within(std::int64_t(j), -1, norm(left), j + 1 < m ? 0 : r.last_beta, tolerance);
    for (std::size_t k = 0; k < m; ++k)
      c.within(std::int64_t(j), std::int64_t(k), dot(row(j), row(k)), j == k, tolerance);
  }
  c.check("Lanczos relation");
}

TEST_CASE("Lanczos makes an orthonormal basis in which the matrix is tridiagonal") {
  constexpr std::int64_t n = 40;
  Numbers values;
  for (std::int64_t i = 0; i < n; ++i)
    values.push_back(std::cos(static_cast<double>(i)) * std::pow(10, static_cast<double>(i % 3)));
  const Numbers matrix = with_spectrum(values, 3), start = random_numbers(n, 4);
  for (const std::int64_t m : {1, 2, 7, 30}) {
    CAPTURE(m);
    const auto r = decompose(square_port(matrix), start, steps(m));
    CHECK(r.reason == SolveReason::kMaxIterations);
    CHECK(r.products == m);
    CHECK(static_cast<std::int64_t>(r.alpha.size()) == m);
    check_basis(r, matrix, n, 1e-12);
    const auto single = decompose(port<float>(matrix, n, n), start, steps(m));
    check_basis(single, matrix, n, 2e-4);
  }
  // All of the space: T has the eigenvalues of B.
  for (const std::int64_t m : {n, n + 10}) {
    const auto r = decompose(square_port(matrix), start, steps(m));
    CHECK(r.reason == SolveReason::kSingular);
    CHECK(r.last_beta == 0);
    CHECK(static_cast<std::int64_t>(r.alpha.size()) == n);
    check_basis(r, matrix, n, 1e-12);
    Numbers ritz(n), sorted = values;
    tridiagonal_eigen(r.alpha, r.beta, ritz.data(), nullptr);
    std::sort(sorted.begin(), sorted.end());
    CHECK(distance(ritz, sorted) <= 1e-11);
  }
}

TEST_CASE_TEMPLATE("Lanczos stops at an invariant subspace, where T is exact", T, float, double) {
  const Numbers diagonal = {4, 4, -2, 7, 7, 7, 1, 3}, start = {1, 2, 3, 1, 1, 1, 0, 0};
  Numbers matrix(64);
  for (std::size_t i = 0; i < 8; ++i) matrix[i * 9] = diagonal[i];
  const auto r = decompose(port<T>(matrix, 8, 8), start, steps(6));
  CHECK(r.reason == SolveReason::kSingular);
  CHECK(r.products == 3);
  CHECK(r.last_beta == 0);
  REQUIRE(r.alpha.size() == 3);
  const double tolerance = sizeof(T) == 4 ? 1e-5 : 1e-13;
  check_basis(r, matrix, 8, tolerance);
  Numbers ritz(3);
  tridiagonal_eigen(r.alpha, r.beta, ritz.data(), nullptr);
  CHECK(distance(ritz, {-2, 4, 7}) <= tolerance);
  const auto zero = decompose(port<T>(Numbers(9), 3, 3), {1, 2, 3}, steps(3));
  CHECK(zero.reason == SolveReason::kSingular);
  CHECK(zero.alpha == Numbers{0});
}

TEST_CASE("Lanczos with less memory") {
  constexpr std::int64_t n = 60, m = 50;
  Numbers diagonal;
  for (std::int64_t i = 0; i < n; ++i) diagonal.push_back(i == 0 ? 100 : std::sin(static_cast<double>(i)));
  const Numbers start = random_numbers(n, 5);
  const OperatorPort<double> b = diagonal_port(diagonal);
  LanczosOptions options = steps(m);
  const auto whole = decompose(b, start, options);
  options.keep_basis = false;
  const auto bare = decompose(b, start, options);
  CHECK(bare.basis.empty());
  CHECK(bare.alpha == whole.alpha);
  CHECK(bare.beta == whole.beta);
  CHECK(bare.last_beta == whole.last_beta);

  // The plain recurrence: the same at first, then ghosts of the eigenvalue that has converged.
  options.reorthogonalise = false;
  const auto plain = decompose(b, start, options);
  CHECK(plain.basis.empty());
  for (std::size_t j = 0; j < 5; ++j) CHECK(plain.alpha[j] == doctest::Approx(whole.alpha[j]).epsilon(1e-9));
  const auto near_top = [](const LanczosResult<double>& r) {
    Numbers ritz(r.alpha.size());
    tridiagonal_eigen(r.alpha, r.beta, ritz.data(), nullptr);
    return std::count_if(ritz.begin(), ritz.end(), [](double v) { return v > 50; });
  };
  CHECK(near_top(whole) == 1);
  CHECK(near_top(plain) > 1);
  options.keep_basis = true;
  const auto rows = decompose(b, start, options);
  CHECK(rows.alpha == plain.alpha);
  CHECK(rows.beta == plain.beta);
  REQUIRE(rows.basis.size() == std::size_t(n * m));
}

TEST_CASE("Lanczos that ends early keeps what it has") {
  constexpr std::int64_t n = 12;
  const Numbers matrix = with_spectrum({-3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 6), start = random_numbers(n, 7);
  const auto whole = decompose(square_port(matrix), start, steps(8));
  for (const std::int64_t at : {2, 5}) {
    const auto check_part = [&](const LanczosResult<double>& r, SolveReason reason) {
      CHECK(r.reason == reason);
      CHECK(r.products == at);
      CHECK(r.alpha == Numbers(whole.alpha.begin(), whole.alpha.begin() + at - 1));
      CHECK(r.beta == Numbers(whole.beta.begin(), whole.beta.begin() + at - 2));
      CHECK(r.last_beta == whole.beta[std::size_t(at - 2)]);
      check_basis(r, matrix, n, 1e-12);
    };
    check_part(decompose(broken_at(square_port(matrix), at), start, steps(8)), SolveReason::kNotFinite);
    Session session;
    const auto stopping = stopping_at(square_port(matrix), at, session);
    check_part(run(session, lanczos<double>(session, stopping, start.data(), steps(8))), SolveReason::kAborted);
  }
  CHECK(decompose(square_port(matrix), Numbers(n), steps(3)).reason == SolveReason::kSingular);
  CHECK(decompose(square_port(matrix), Numbers(n), steps(3)).alpha.empty());
  CHECK(decompose(square_port(matrix), Numbers(n), steps(3)).last_beta == 0);
  const auto nothing = decompose(square_port(matrix), Numbers(n, kNan), steps(3));
  CHECK(nothing.reason == SolveReason::kNotFinite);
  CHECK(std::isnan(nothing.last_beta));
  Session stopped;
  stopped.stop();
  const auto none = run(stopped, lanczos<double>(stopped, square_port(matrix), start.data(), steps(3)));
  CHECK(none.reason == SolveReason::kAborted);
  CHECK(std::isnan(none.last_beta));
}

TEST_CASE("every reason has a name of its own") {
  std::vector<std::string> names;
  for (int i = 0; i <= static_cast<int>(SolveReason::kAborted); ++i)
    names.push_back(name_of(static_cast<SolveReason>(i)));
  CHECK(names == std::vector<std::string>{"converged", "progress", "maxIterations", "negativeCurvature", "boundary",
                                          "leastSquares", "singular", "preconditioner", "notFinite", "aborted"});
}

}  // namespace
}  // namespace krylov
