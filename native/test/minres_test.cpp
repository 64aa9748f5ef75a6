// MINRES by what defines it: the smallest residual over growing spaces, on
// indefinite and singular matrices; and the numbers that it knows for nothing.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/solve_cases.h"

namespace krylov {
namespace {

using namespace test;
using Options = MinresOptions;

Solve solve(const OperatorPort<double>& b, const Numbers& rhs, const Options& options,
            const OperatorPort<double>& preconditioner = {}) {
  return noted_solve(b.columns(), [&](Session& session, const SolveObserver<double>& observer) {
    return minres<double>(session, b, rhs.data(), preconditioner, options, observer);
  });
}

Numbers residual(const Numbers& matrix, const Numbers& rhs, const Numbers& x) {
  return plus(rhs, -1, times(matrix, x));
}
double rayleigh(const Numbers& matrix, const Numbers& r) { return dot(r, times(matrix, r)) / dot(r, r); }

// The smallest |rhs - B x| over the Krylov space of dimension k, by orthogonalising its images.
double smallest_residual(const Numbers& matrix, const Numbers& rhs, std::int64_t k) {
  std::vector<Numbers> images;
  Numbers power = rhs, rest = rhs;
  for (std::int64_t j = 0; j < k; ++j) {
    power = times(matrix, power);
    Numbers w = power;
    for (int pass = 0; pass < 2; ++pass) {
      for (const Numbers& q : images) w = plus(w, -dot(q, w), q);
    }
    const double length = norm(w);
    for (double& v : w) v /= length;
    power = w;
    images.push_back(w);
    rest = plus(rest, -dot(w, rest), w);
  }
  return norm(rest);
}

TEST_CASE("MINRES minimises the residual, and tells it, its curvature and the Lanczos coefficients") {
  constexpr std::int64_t n = 9;
  const Numbers rhs = random_numbers(n, 3);
  for (const Numbers& values : {Numbers{1, 2, 3, 4, 5, 6, 7, 8, 9}, Numbers{-4, -3, -1, 0.5, 2, 3, 5, 8, 9}}) {
    for (const double shift : {0.0, 0.3}) {
      const Numbers matrix = with_spectrum(values, 4);
      Numbers shifted = matrix;
      for (std::size_t i = 0; i < n; ++i) shifted[i * (n + 1)] -= shift;
      Options options;
      options.tolerance = 1e-12;
      options.shift = shift;
      const Solve s = solve(square_port(matrix), rhs, options);
      CAPTURE(shift);
      CHECK(s.result.reason == SolveReason::kConverged);
      CHECK(s.result.iterations == n);
      CHECK(s.result.products == n);
      REQUIRE(s.notes.size() == n + 1);
      CHECK(std::isnan(s.result.quadratic));
      CHECK(s.notes.front().info.beta == doctest::Approx(norm(rhs)).epsilon(1e-15));
      for (std::size_t k = 0; k < s.notes.size(); ++k) {
        const SolveIteration& info = s.notes[k].info;
        const Numbers r = residual(shifted, rhs, s.notes[k].x);
        CHECK(info.iteration == static_cast<std::int64_t>(k));
        CHECK(std::abs(info.residual_norm - norm(r)) <= 1e-12 * norm(rhs));
        CHECK(std::abs(info.residual_norm - smallest_residual(shifted, rhs, static_cast<std::int64_t>(k))) <=
              1e-11 * norm(rhs));
        if (k > 0) {
          CHECK(info.residual_norm <= s.notes[k - 1].info.residual_norm);
          CHECK(info.curvature ==
                doctest::Approx(rayleigh(shifted, residual(shifted, rhs, s.notes[k - 1].x))).epsilon(1e-7));
        }
      }
      LanczosOptions lanczos_options;
      lanczos_options.steps = n - 1;
      Session session;
      const auto t = run(session, lanczos<double>(session, square_port(shifted), rhs.data(), lanczos_options));
      for (std::size_t k = 0; k + 1 < n; ++k) {
        CHECK(s.notes[k + 1].info.alpha == doctest::Approx(t.alpha[k]).epsilon(1e-8));
        CHECK(s.notes[k + 1].info.beta == doctest::Approx(k < t.beta.size() ? t.beta[k] : t.last_beta).epsilon(1e-8));
      }
    }
  }
}

TEST_CASE("MINRES with a preconditioner M is MINRES on M^-1/2 B M^-1/2") {
  constexpr std::int64_t n = 10;
  const Numbers matrix = with_spectrum({-5, -2, -1, 0.5, 1, 2, 3, 4, 6, 8}, 5), rhs = random_numbers(n, 6);
  const Preconditioned scaled(matrix, rhs);
  Options options;
  options.tolerance = 0;
  options.max_iterations = 7;
  const Solve s = solve(square_port(matrix), rhs, options, diagonal_port(scaled.inverse));
  const Solve plain = solve(square_port(scaled.matrix), scaled.rhs, options);
  REQUIRE(s.notes.size() == plain.notes.size());
  for (std::size_t k = 0; k < s.notes.size(); ++k) {
    const Numbers x = scaled.back(plain.notes[k].x);
    CHECK(distance(s.notes[k].x, x) <= 1e-11 * norm(x));
    CHECK(s.notes[k].info.residual_norm == doctest::Approx(plain.notes[k].info.residual_norm).epsilon(1e-10));
    if (k > 0) CHECK(s.notes[k].info.curvature == doctest::Approx(plain.notes[k].info.curvature).epsilon(1e-9));
  }
  options.stop_at_negative_curvature = true;
  const Solve stopped = solve(square_port(matrix), rhs, options, diagonal_port(scaled.inverse));
  CHECK(stopped.result.reason == SolveReason::kNegativeCurvature);
  Numbers r = residual(matrix, rhs, stopped.x);
  for (std::size_t i = 0; i < n; ++i) r[i] /= scaled.m[i];
  CHECK(distance(numbers(stopped.result.direction), r) <= 1e-12 * norm(r));
}

TEST_CASE("MINRES on singular matrices") {
  const Numbers values = {0, 0, 1, 2, -3, 4};
  Options options;
  SUBCASE("a right-hand side in the range has its solution of least length") {
    const Numbers rhs = {0, 0, 1, 1, 1, 1};
    options.tolerance = 1e-12;
    const Solve s = solve(diagonal_port(values), rhs, options);
    CHECK(s.result.reason == SolveReason::kConverged);
    CHECK(s.result.iterations == 4);
    CHECK(distance(s.x, {0, 0, 1, 0.5, -1 / 3.0, 0.25}) <= 1e-12);
  }
  SUBCASE("one outside of it: least squares, by B r that vanishes") {
    const Numbers rhs = {3, 4, 1, 1, 1, 1};
    options.tolerance = 1e-12;
    options.least_squares_tolerance = 1e-9;
    const Solve s = solve(diagonal_port(values), rhs, options);
    CHECK(s.result.reason == SolveReason::kLeastSquares);
    CHECK(s.result.residual_norm == doctest::Approx(5).epsilon(1e-12));
    Numbers r = rhs;
    for (std::size_t i = 0; i < r.size(); ++i) r[i] -= values[i] * s.x[i];
    for (std::size_t i = 0; i < r.size(); ++i) CHECK(std::abs(r[i] * values[i]) <= 1e-7);
  }
  SUBCASE("without that test: singular") {
    options.tolerance = 1e-12;
    const Solve s = solve(diagonal_port(values), {3, 4, 1, 1, 1, 1}, options);
    CHECK(s.result.reason == SolveReason::kSingular);
    CHECK(s.result.residual_norm == doctest::Approx(5).epsilon(1e-12));
    CHECK(solve(diagonal_port(Numbers(3)), {1, 2, 3}, options).result.reason == SolveReason::kSingular);
  }
  SUBCASE("an invariant space holds the solution, whatever the tolerance") {
    options.tolerance = 0;
    const Solve s = solve(diagonal_port({2, 2, -1, 5}), {1, 1, 1, 0}, options);
    CHECK(s.result.reason == SolveReason::kConverged);
    CHECK(s.result.iterations == 2);
    CHECK(distance(s.x, {0.5, 0.5, -1, 0}) <= 1e-15);
  }
}

TEST_CASE("MINRES stops at curvature that is not positive, with the residual as direction") {
  const Numbers matrix = with_spectrum({-0.5, 0.4, 1, 2, 3, 5, 8, 9}, 7);
  for (const unsigned seed : {8u, 9u, 10u, 11u}) {
    const Numbers rhs = random_numbers(8, seed);
    Options options;
    options.tolerance = 1e-12;
    const Solve free = solve(square_port(matrix), rhs, options);
    options.stop_at_negative_curvature = true;
    const Solve s = solve(square_port(matrix), rhs, options);
    CAPTURE(seed);
    REQUIRE(s.result.reason == SolveReason::kNegativeCurvature);
    const Numbers r = residual(matrix, rhs, s.x), direction = numbers(s.result.direction);
    CHECK(distance(direction, r) <= 1e-13 * norm(rhs));
    CHECK(s.result.curvature == doctest::Approx(rayleigh(matrix, r)).epsilon(1e-10));
    CHECK(s.result.curvature <= 0);
    CHECK(s.result.products == s.result.iterations + 1);
    for (std::int64_t k = 0; k < s.result.iterations; ++k) {
      CHECK(rayleigh(matrix, residual(matrix, rhs, free.notes[std::size_t(k)].x)) > 0);
    }
  }
}

TEST_CASE("MINRES stops at the first iterate with |B r| < inexactness |B x|") {
  const Numbers matrix = with_spectrum({0.3, 0.5, 0.8, 1, 2, 3, 5, 8, 9, 11}, 12), rhs = random_numbers(10, 13);
  Options options;
  options.tolerance = 0;
  options.max_iterations = 10;
  const Solve free = solve(square_port(matrix), rhs, options);
  for (const double inexactness : {1.0, 0.1, 1e-2}) {
    options.inexactness = inexactness;
    const Solve s = solve(square_port(matrix), rhs, options);
    std::int64_t expected = 0;
    for (;; ++expected) {
      REQUIRE(expected < 10);
      const Numbers& x = free.notes[std::size_t(expected)].x;
      if (norm(times(matrix, residual(matrix, rhs, x))) < inexactness * norm(times(matrix, x))) break;
    }
    CAPTURE(inexactness);
    CHECK(s.result.reason == SolveReason::kConverged);
    CHECK(s.result.iterations == expected);
    CHECK(s.x == free.notes[std::size_t(expected)].x);
  }
}

TEST_CASE("MINRES ends with the last finite iterate") {
  constexpr std::int64_t n = 12;
  const Numbers matrix = with_spectrum({-3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 14), rhs = random_numbers(n, 15);
  const OperatorPort<double> b = square_port(matrix);
  const Numbers identity(n, 1.0);
  Options options;
  options.tolerance = 0;
  options.max_iterations = 8;
  const Solve whole = solve(b, rhs, options);
  for (const std::int64_t at : {1, 2, 5}) {
    const Numbers& before = whole.notes[std::size_t(at - 1)].x;
    for (const double value : {kNan, std::numeric_limits<double>::infinity()}) {
      const Solve s = solve(broken_at(b, at, value), rhs, options);
      CHECK(s.result.reason == SolveReason::kNotFinite);
      CHECK(s.x == before);
    }
    const auto broken = broken_at(diagonal_port(identity), at + 1);
    const Solve s = solve(b, rhs, options, broken);
    CHECK(s.result.reason == SolveReason::kNotFinite);
    CHECK(distance(s.x, before) <= 1e-14);
    Session session;
    const auto stopping = stopping_at(b, at, session);
    const auto stopped = run(session, minres<double>(session, stopping, rhs.data(), {}, options, {}));
    CHECK(stopped.reason == SolveReason::kAborted);
    CHECK(stopped.products == at);
    CHECK(numbers(stopped.solution) == before);
  }
  Numbers bad = rhs;
  bad[3] = kNan;
  for (const OperatorPort<double>& m : {OperatorPort<double>(), diagonal_port(identity)}) {
    const Solve s = solve(b, bad, options, m);
    CHECK(s.result.reason == SolveReason::kNotFinite);
    CHECK(std::isnan(s.result.residual_norm));
  }
  // |b| is known at once, but not in a preconditioner's norm.
  for (const bool preconditioned : {false, true}) {
    Session session;
    session.stop();
    const auto m = preconditioned ? diagonal_port(identity) : OperatorPort<double>();
    const auto stopped = run(session, minres<double>(session, b, rhs.data(), m, options, {}));
    CHECK(stopped.reason == SolveReason::kAborted);
    CHECK(stopped.products == 0);
    if (preconditioned) {
      CHECK(std::isnan(stopped.residual_norm));
    } else {
      CHECK(stopped.residual_norm == doctest::Approx(norm(rhs)).epsilon(1e-14));
    }
  }
  Numbers indefinite = identity;
  indefinite[4] = -100;
  CHECK(solve(b, rhs, options, diagonal_port(indefinite)).result.reason == SolveReason::kPreconditioner);
  for (const bool preconditioned : {false, true}) {
    const Solve zero = solve(b, Numbers(n), options, preconditioned ? diagonal_port(identity) : OperatorPort<double>());
    CHECK(zero.result.reason == SolveReason::kConverged);
    CHECK(zero.result.products == 0);
    CHECK(zero.x == Numbers(n));
  }
  CHECK(whole.result.reason == SolveReason::kMaxIterations);
  CHECK(whole.result.iterations == 8);
}

}  // namespace
}  // namespace krylov
