// Systems that differ by a shift, against conjugate gradients on each of them alone.
#include "solvers/shifted_systems.h"

#include <doctest/doctest.h>

#include "support/solve_cases.h"

namespace krylov {
namespace {

using namespace test;
using Systems = ShiftedSystems<double>;

struct Case {
  double shift, tolerance;
  std::int64_t max_iterations = 100;
};

Procedure<void> solve_all(Session& session, Systems& systems, const std::vector<Case>& cases,
                          std::vector<Systems::Solution>& solutions, std::vector<Numbers>& x) {
  for (const Case& c : cases) {
    Numbers out(x.front().size());
    const Systems::Solution solution =
        co_await systems.solve(session, c.shift, c.tolerance, c.max_iterations, out.data());
    solutions.push_back(solution);
    x.push_back(out);
  }
}

struct All {
  std::vector<Systems::Solution> solutions;
  std::vector<Numbers> x;
  std::int64_t products = 0;
};

All solve_all(const OperatorPort<double>& b, const Numbers& rhs, const std::vector<Case>& cases,
              std::size_t most_bytes = 1 << 20) {
  All all;
  Session session;
  Team team;
  Systems systems(session, b, rhs.data(), most_bytes);
  all.x.push_back(rhs);
  session.start(solve_all(session, systems, cases, all.solutions, all.x));
  while (session.resume(team) != Session::State::kFinished) {
  }
  REQUIRE(session.failure() == nullptr);
  all.x.erase(all.x.begin());
  all.products = systems.products();
  return all;
}

Solve alone(const OperatorPort<double>& b, const Numbers& rhs, const Case& c) {
  ConjugateGradientOptions options;
  options.shift = c.shift;
  options.tolerance = c.tolerance;
  options.max_iterations = c.max_iterations;
  return noted_solve(b.columns(), [&](Session& session, const SolveObserver<double>& observer) {
    return conjugate_gradient<double>(session, b, rhs.data(), nullptr, {}, options, observer);
  });
}

Numbers evenly(std::int64_t n, double low, double high) {
  Numbers values;
  for (std::int64_t i = 0; i < n; ++i) values.push_back(low + (high - low) * double(i) / double(n - 1));
  return values;
}

TEST_CASE("shifted systems have the iterates of conjugate gradients, for the products of the hardest") {
  constexpr std::int64_t n = 40;
  const OperatorPort<double> b = square_port(with_spectrum(evenly(n, 0.01, 5), 3));
  const Numbers rhs = random_numbers(n, 4);
  const std::vector<Case> cases = {{0.5, 1e-3}, {1, 1e-3},    {2, 1e-6},       {0.1, 1e-2}, {0, 1e-8},
                                   {30, 1e-12}, {0.5, 2, 50}, {0.2, 1e-12, 7}, {0.5, 1e-3}};
  // 40 vectors, none, 5, and all there may be.
  for (const std::size_t rows : {40, 0, 5, 1000}) {
    CAPTURE(rows);
    const All all = solve_all(b, rhs, cases, rows * n * sizeof(double));
    std::int64_t most = 0, sum = 0;
    for (std::size_t i = 0; i < cases.size(); ++i) {
      CAPTURE(i);
      const Solve one = alone(b, rhs, cases[i]);
      CHECK(all.solutions[i].reason == one.result.reason);
      CHECK(all.solutions[i].iterations == one.result.iterations);
      CHECK(distance(all.x[i], one.x) <= 1e-9 * norm(one.x));
      CHECK(std::abs(all.solutions[i].residual_norm - one.result.residual_norm) <= 1e-9 * norm(rhs));
      most = std::max(most, one.result.products);
      sum += one.result.products;
    }
    if (rows >= 40) CHECK(all.products == most);
    if (rows == 0) CHECK(all.products == sum);
    if (rows == 5) CHECK((all.products > most && all.products <= sum + 5));
  }
}

TEST_CASE("shifted systems end as conjugate gradients do where the matrix is not positive definite") {
  constexpr std::int64_t n = 20;
  const OperatorPort<double> b = square_port(with_spectrum(evenly(n, -1, 5), 5));
  const Numbers rhs = random_numbers(n, 6);
  const std::vector<Case> cases = {{0.3, 1e-8}, {0, 1e-8}, {1.5, 1e-8}, {0.9, 1e-8}};
  const All all = solve_all(b, rhs, cases);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    CAPTURE(i);
    const Solve one = alone(b, rhs, cases[i]);
    CHECK(all.solutions[i].reason == one.result.reason);
    CHECK(one.result.reason == (i == 2 ? SolveReason::kConverged : SolveReason::kNegativeCurvature));
    CHECK(all.solutions[i].iterations == one.result.iterations);
    CHECK(distance(all.x[i], one.x) <= 1e-9 * norm(one.x));
  }
}

TEST_CASE("shifted systems: zero, an eigenvector, NaN, a stop") {
  const OperatorPort<double> b = diagonal_port({1, 2, 3});
  const All zero = solve_all(b, {0, 0, 0}, {{1, 1e-3}});
  CHECK(zero.solutions[0].reason == SolveReason::kConverged);
  CHECK(zero.x[0] == Numbers{0, 0, 0});
  CHECK(zero.products == 0);
  const All one = solve_all(b, {0, 4, 0}, {{2, 1e-3}, {6, 1e-14}});
  CHECK(one.x[0] == Numbers{0, 1, 0});
  CHECK(one.x[1] == Numbers{0, 0.5, 0});
  CHECK(one.products == 1);

  const Numbers rhs = {1, 1, 1};
  const Numbers before = alone(b, rhs, {0, 0, 1}).x;
  const All bad = solve_all(broken_at(b, 2), rhs, {{0, 1e-12}});
  CHECK(bad.solutions[0].reason == SolveReason::kNotFinite);
  CHECK(bad.solutions[0].iterations == 1);
  CHECK(distance(bad.x[0], before) <= 1e-15);

  Session session;
  Team team;
  Systems systems(session, stopping_at(b, 2, session), rhs.data());
  std::vector<Systems::Solution> solutions;
  std::vector<Numbers> x = {rhs};
  const std::vector<Case> cases = {{0, 1e-12}};
  session.start(solve_all(session, systems, cases, solutions, x));
  while (session.resume(team) != Session::State::kFinished) {
  }
  CHECK(solutions[0].reason == SolveReason::kAborted);
  CHECK(solutions[0].iterations == 1);
}

}  // namespace
}  // namespace krylov
