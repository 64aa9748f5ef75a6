// CGLS against conjugate gradients on the normal equations and against their exact solution.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "support/solve_cases.h"

namespace krylov {
namespace {

using namespace test;

Solve solve(const OperatorPort<double>& a, const Numbers& rhs, const LeastSquaresOptions& options,
            const Numbers& x0 = {}) {
  return noted_solve(a.columns(), [&](Session& session, const SolveObserver<double>& observer) {
    return least_squares<double>(session, a, rhs.data(), x0.empty() ? nullptr : x0.data(), options, observer);
  });
}

// A'A + damping I and A'b.
struct Normal {
  Numbers matrix, rhs;
  Normal(const Numbers& a, std::int64_t rows, std::int64_t columns, const Numbers& b, double damping)
      : matrix(static_cast<std::size_t>(columns * columns)), rhs(static_cast<std::size_t>(columns)) {
    multiply_transposed(a.data(), a.data(), matrix.data(), columns, rows, columns);
    multiply_transposed(a.data(), b.data(), rhs.data(), columns, rows, 1);
    for (std::int64_t i = 0; i < columns; ++i) matrix[std::size_t(i * (columns + 1))] += damping;
  }
};

TEST_CASE("CGLS has the iterates of conjugate gradients on the normal equations") {
  for (const auto& [rows, columns] : {std::pair{12, 7}, {7, 12}, {6, 6}, {1, 1}}) {
    for (const double damping : {0.0, 0.5}) {
      const Numbers a = random_numbers(rows * columns, 3), b = random_numbers(rows, 4),
                    start = random_numbers(columns, 5);
      const Normal normal(a, rows, columns, b, damping);
      const OperatorPort<double> op = port<double>(a, rows, columns);
      for (const Numbers& x0 : {Numbers(), start}) {
        LeastSquaresOptions options;
        options.tolerance = 1e-10;
        options.damping = damping;
        const Solve s = solve(op, b, options, x0);
        std::vector<Noted> expected;
        ConjugateGradientOptions cg;
        cg.tolerance = 0;
        cg.max_iterations = s.result.iterations;
        Session session;
        const auto reference =
            run(session, conjugate_gradient<double>(session, square_port(normal.matrix), normal.rhs.data(),
                                                    x0.empty() ? nullptr : x0.data(), {}, cg,
                                                    noting<double>(expected, columns)));
        CAPTURE(rows);
        CAPTURE(columns);
        CAPTURE(damping);
        CHECK(s.result.reason == SolveReason::kConverged);
        CHECK(s.result.iterations <= std::min(rows, columns) + (x0.empty() ? 0 : 1));
        CHECK(s.result.products == 2 * s.result.iterations + (x0.empty() ? 1 : 3));
        REQUIRE(s.notes.size() == expected.size());
        for (std::size_t i = 0; i < s.notes.size(); ++i) {
          const SolveIteration& info = s.notes[i].info;
          CHECK(distance(s.notes[i].x, expected[i].x) <= 1e-7 * norm(expected[i].x));
          const double gradient = distance(normal.rhs, times(normal.matrix, s.notes[i].x));
          CHECK(std::abs(info.residual_norm - gradient) <= 1e-10 * norm(normal.rhs));
          CHECK(info.quadratic == doctest::Approx(quadratic(normal.matrix, normal.rhs, s.notes[i].x)).epsilon(1e-9));
          if (i == 0) continue;
          CHECK(info.curvature == doctest::Approx(expected[i].info.curvature).epsilon(1e-5));
          CHECK(info.alpha == doctest::Approx(expected[i].info.alpha).epsilon(1e-5));
        }
        CHECK(distance(normal.rhs, times(normal.matrix, s.x)) <= 1e-9 * norm(normal.rhs));
        CHECK(s.result.quadratic == doctest::Approx(reference.quadratic).epsilon(1e-9));
      }
    }
  }
}

TEST_CASE("CGLS from nothing finds the shortest of the solutions") {
  const Numbers a = {1, 0, 0, 0, 2, 0}, b = {3, 4};
  LeastSquaresOptions options;
  options.tolerance = 1e-14;
  const Solve s = solve(port<double>(a, 2, 3), b, options);
  CHECK(distance(s.x, {3, 2, 0}) <= 1e-14);
}

TEST_CASE("what CGLS does not have to solve") {
  const OperatorPort<double> a = port<double>({1, 2, 0, 0, 0, 0}, 3, 2);
  LeastSquaresOptions options;
  const Solve zero = solve(a, {0, 0, 0}, options, {1, 1});
  CHECK(zero.result.reason == SolveReason::kConverged);
  CHECK(zero.result.products == 0);
  CHECK(zero.x == Numbers{0, 0});
  const Solve outside = solve(a, {0, 5, 5}, options);  // nothing in the range of A
  CHECK(outside.result.reason == SolveReason::kConverged);
  CHECK(outside.result.iterations == 0);
  CHECK(outside.x == Numbers{0, 0});
  options.tolerance = 0;
  options.max_iterations = 1;
  const Solve one = solve(port<double>(random_numbers(12, 6), 4, 3), random_numbers(4, 7), options);
  CHECK(one.result.reason == SolveReason::kMaxIterations);
  CHECK(one.result.iterations == 1);
}

TEST_CASE("CGLS ends with the last finite iterate") {
  const Numbers a = random_numbers(60, 8), b = random_numbers(10, 9);
  const OperatorPort<double> op = port<double>(a, 10, 6);
  LeastSquaresOptions options;
  options.tolerance = 0;
  options.max_iterations = 5;
  const Solve whole = solve(op, b, options);
  for (std::int64_t at = 1; at <= 6; ++at) {  // A'b, then A p and A'r in turns
    const Numbers& before = whole.notes[std::size_t((at - 1) / 2)].x;
    CAPTURE(at);
    const Solve s = solve(broken_at(op, at), b, options);
    CHECK(s.result.reason == SolveReason::kNotFinite);
    CHECK(s.x == before);
    CHECK(s.result.iterations == (at - 1) / 2);
    // |A'r| belongs to this x, or is not known: odd products are those with A'.
    const double known = at % 2 == 0 ? whole.notes[std::size_t((at - 1) / 2)].info.residual_norm : kNan;
    const auto is_known = [&](double value) { return std::isnan(known) ? std::isnan(value) : value == known; };
    CHECK(is_known(s.result.residual_norm));
    Session session;
    const auto stopping = stopping_at(op, at, session);
    const auto stopped = run(session, least_squares<double>(session, stopping, b.data(), nullptr, options, {}));
    CHECK(stopped.reason == SolveReason::kAborted);
    CHECK(stopped.products == at);
    CHECK(numbers(stopped.solution) == before);
    CHECK(is_known(stopped.residual_norm));
  }
  // A warm start: A'b, A x0, A'r. Nothing is known of x0 before the last.
  const Numbers x0 = random_numbers(6, 10);
  for (std::int64_t at = 0; at <= 3; ++at) {
    CAPTURE(at);
    Session session;
    if (at == 0) session.stop();
    const auto stopping = stopping_at(op, at, session);
    const auto stopped = run(session, least_squares<double>(session, stopping, b.data(), x0.data(), options, {}));
    CHECK(stopped.reason == SolveReason::kAborted);
    CHECK(stopped.products == at);
    CHECK(numbers(stopped.solution) == x0);
    CHECK(std::isnan(stopped.residual_norm));
    CHECK(std::isnan(stopped.quadratic) == (at < 3));
  }
  Numbers bad = b;
  bad[0] = kNan;
  const Solve nothing = solve(op, bad, options);
  CHECK(nothing.result.reason == SolveReason::kNotFinite);
  CHECK(std::isnan(nothing.result.residual_norm));
  CHECK(solve(op, Numbers(10), options).result.residual_norm == 0);
  const Solve start = solve(op, b, options, {kNan, 0, 0, 0, 0, 0});
  CHECK(start.result.reason == SolveReason::kNotFinite);
  CHECK(start.x == Numbers(6));
}

}  // namespace
}  // namespace krylov
