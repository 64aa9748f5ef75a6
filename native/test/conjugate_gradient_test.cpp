// Conjugate gradients by what defines them: iterates minimise q over growing
// spaces, numbers told are those of the iterates, every stop has its reason.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/solve_cases.h"

namespace krylov {
namespace {

using namespace test;
using Options = ConjugateGradientOptions;

Solve solve(const OperatorPort<double>& b, const Numbers& rhs, const Options& options,
            const OperatorPort<double>& preconditioner = {}, const Numbers& x0 = {}) {
  return noted_solve(b.columns(), [&](Session& session, const SolveObserver<double>& observer) {
    return conjugate_gradient<double>(session, b, rhs.data(), x0.empty() ? nullptr : x0.data(), preconditioner, options,
                                      observer);
  });
}

Numbers spectrum(std::int64_t n, double low, double high) {
  Numbers values;
  for (std::int64_t i = 0; i < n; ++i)
    values.push_back(
        low * std::pow(high / low, static_cast<double>(i) / static_cast<double>(std::max<std::int64_t>(n - 1, 1))));
  return values;
}

// Every number told is that of the iterate it comes with.
void check_notes(const Solve& s, const Numbers& matrix, const Numbers& rhs, double tolerance) {
  REQUIRE(static_cast<std::int64_t>(s.notes.size()) == s.result.iterations + 1);
  for (std::size_t i = 0; i < s.notes.size(); ++i) {
    const SolveIteration& info = s.notes[i].info;
    CAPTURE(i);
    CHECK(info.iteration == static_cast<std::int64_t>(i));
    CHECK(std::abs(info.residual_norm - distance(rhs, times(matrix, s.notes[i].x))) <= tolerance * norm(rhs));
    CHECK(std::abs(info.quadratic - quadratic(matrix, rhs, s.notes[i].x)) <= tolerance * std::abs(s.result.quadratic));
    if (i == 0) {
      CHECK(std::isnan(info.alpha));
      CHECK(std::isnan(info.beta));
      CHECK(std::isnan(info.curvature));
      continue;
    }
    // x moved by alpha p, and curvature is p'Bp.
    const Numbers step = plus(s.notes[i].x, -1, s.notes[i - 1].x);
    const double bend = dot(step, times(matrix, step));
    CHECK(bend == doctest::Approx(info.alpha * info.alpha * info.curvature).epsilon(1e-6));
  }
  CHECK(s.notes.back().x == s.x);
  CHECK(s.notes.back().info.residual_norm == s.result.residual_norm);
  CHECK(s.notes.back().info.quadratic == s.result.quadratic);
}

TEST_CASE("conjugate gradients solve in as many steps as there are eigenvalues, and tell the truth on the way") {
  for (const std::int64_t n : {1, 2, 7, 40}) {
    for (const double shift : {0.0, 0.7}) {
      Numbers values;
      for (std::int64_t i = 0; i < n; ++i) values.push_back(1 + static_cast<double>(i % 4));  // four different ones
      const Numbers matrix = with_spectrum(values, 3);
      Numbers shifted = matrix;
      for (std::int64_t i = 0; i < n; ++i) shifted[std::size_t(i * (n + 1))] += shift;
      const Numbers rhs = random_numbers(n, 4);
      Options options;
      options.tolerance = 1e-13;
      options.shift = shift;
      const Solve s = solve(square_port(matrix), rhs, options);
      CAPTURE(n);
      CAPTURE(shift);
      CHECK(s.result.reason == SolveReason::kConverged);
      CHECK(s.result.iterations == std::min<std::int64_t>(n, 4));
      CHECK(s.result.products == s.result.iterations);
      check_notes(s, shifted, rhs, 1e-12);
      Numbers factor = shifted, exact = rhs;
      REQUIRE(cholesky(factor.data(), n));
      cholesky_solve(factor.data(), n, exact.data());
      CHECK(distance(s.x, exact) <= 1e-12 * norm(exact));
    }
  }
}

TEST_CASE("a preconditioner M gives the iterates of conjugate gradients on M^-1/2 B M^-1/2") {
  constexpr std::int64_t n = 12;
  const Numbers matrix = with_spectrum(spectrum(n, 0.1, 10), 5), rhs = random_numbers(n, 6);
  const Preconditioned scaled(matrix, rhs);
  Options options;
  options.tolerance = 0;
  options.max_iterations = 6;
  const Solve s = solve(square_port(matrix), rhs, options, diagonal_port(scaled.inverse));
  const Solve plain = solve(square_port(scaled.matrix), scaled.rhs, options);
  CHECK(s.result.reason == SolveReason::kMaxIterations);
  check_notes(s, matrix, rhs, 1e-12);
  REQUIRE(s.notes.size() == plain.notes.size());
  for (std::size_t i = 0; i < s.notes.size(); ++i) {
    const Numbers x = scaled.back(plain.notes[i].x);
    CHECK(distance(s.notes[i].x, x) <= 1e-11 * norm(x));
    CHECK(s.notes[i].info.quadratic == doctest::Approx(plain.notes[i].info.quadratic).epsilon(1e-11));
    if (i == 0) continue;
    CHECK(s.notes[i].info.alpha == doctest::Approx(plain.notes[i].info.alpha).epsilon(1e-9));
    CHECK(s.notes[i].info.beta == doctest::Approx(plain.notes[i].info.beta).epsilon(1e-9));
    CHECK(s.notes[i].info.curvature == doctest::Approx(plain.notes[i].info.curvature).epsilon(1e-9));
  }
}

TEST_CASE("where conjugate gradients start") {
  constexpr std::int64_t n = 9;
  const Numbers matrix = with_spectrum(spectrum(n, 1, 5), 7), rhs = random_numbers(n, 8), x0 = random_numbers(n, 9);
  const OperatorPort<double> b = square_port(matrix);
  Options options;
  options.tolerance = 1e-12;
  SUBCASE("a warm start costs one product") {
    const Solve s = solve(b, rhs, options, {}, x0);
    CHECK(s.notes.front().x == x0);
    CHECK(s.result.products == s.result.iterations + 1);
    check_notes(s, matrix, rhs, 1e-12);
  }
  SUBCASE("a start of zeros costs none") {
    const Solve zero = solve(b, rhs, options, {}, Numbers(n)), none = solve(b, rhs, options);
    CHECK(zero.result.products == zero.result.iterations);
    CHECK(zero.x == none.x);
  }
  SUBCASE("the solution of b = 0 is 0") {
    for (const Numbers& start : {Numbers(), x0}) {
      options.store_growth = 1.3;
      const Solve s = solve(b, Numbers(n), options, {}, start);
      CHECK(s.result.reason == SolveReason::kConverged);
      CHECK(s.result.products == 0);
      CHECK(s.result.iterations == 0);
      CHECK(s.x == Numbers(n));
      CHECK(s.notes.size() == 1);
      CHECK(s.result.stored_at == std::vector<std::int64_t>{0});
    }
  }
  SUBCASE("a good start is kept") {
    options.absolute_tolerance = 1e3;
    const Solve s = solve(b, rhs, options, {}, x0);
    CHECK(s.result.reason == SolveReason::kConverged);
    CHECK(s.result.iterations == 0);
    CHECK(s.x == x0);
  }
  SUBCASE("by default ten times as many steps as unknowns") {
    options.tolerance = 0;
    const Solve s = solve(diagonal_port({1, 1e8, 1e16}), {1, 1, 1}, options);
    CHECK(s.result.reason == SolveReason::kMaxIterations);
    CHECK(s.result.iterations == 30);
  }
}

TEST_CASE("curvature that is not positive") {
  Options options;
  SUBCASE("at once: x stays, b is the direction") {
    const Numbers rhs = {1, 2};
    const Solve s = solve(diagonal_port({-1, -3}), rhs, options);
    CHECK(s.result.reason == SolveReason::kNegativeCurvature);
    CHECK(s.result.iterations == 0);
    CHECK(s.result.products == 1);
    CHECK(s.x == Numbers{0, 0});
    CHECK(numbers(s.result.direction) == rhs);
    CHECK(s.result.curvature == -13);
  }
  SUBCASE("later: the last iterate, and the direction with its curvature") {
    const Numbers values = {-2, 1, 3, 7, 9, 11}, rhs = {0.01, 1, 1, 1, 1, 1};
    const Solve s = solve(diagonal_port(values), rhs, options);
    CHECK(s.result.reason == SolveReason::kNegativeCurvature);
    CHECK(s.result.iterations >= 2);
    CHECK(s.result.products == s.result.iterations + 1);
    const Numbers p = numbers(s.result.direction);
    double curvature = 0;
    for (std::size_t i = 0; i < p.size(); ++i) curvature += values[i] * p[i] * p[i];
    CHECK(s.result.curvature == doctest::Approx(curvature).epsilon(1e-12));
    CHECK(s.result.curvature < 0);
    CHECK(s.notes.back().x == s.x);
  }
  SUBCASE("its magnitude instead, and q stays true") {
    const Numbers rhs = {0.3, 1, 1, 1, 1, 1};
    Numbers matrix(36);
    for (std::size_t i = 0; i < 6; ++i) matrix[i * 7] = (i == 0 ? -9 : 1 + 2 * static_cast<double>(i));
    options.on_negative_curvature = Options::OnNegativeCurvature::kAbsolute;
    options.max_iterations = 6;
    options.tolerance = 0;
    const Solve s = solve(square_port(matrix), rhs, options);
    CHECK(s.result.reason == SolveReason::kMaxIterations);
    CHECK(std::any_of(s.notes.begin(), s.notes.end() - 2, [](const Noted& v) { return v.info.curvature < 0; }));
    CHECK(std::all_of(s.notes.begin() + 1, s.notes.end(), [](const Noted& v) { return v.info.alpha > 0; }));
    for (const Noted& v : s.notes) {
      CHECK(v.info.quadratic == doctest::Approx(quadratic(matrix, rhs, v.x)).epsilon(1e-10));
      CHECK(v.info.residual_norm == doctest::Approx(distance(rhs, times(matrix, v.x))).epsilon(1e-10));
    }
  }
}

// Nocedal and Wright: q falls and |x| grows from iterate to iterate, so the step to the boundary is the path's.
TEST_CASE("the trust region") {
  constexpr std::int64_t n = 10;
  const Numbers rhs = random_numbers(n, 12);
  for (const double lowest : {1.0, -2.0}) {
    Numbers values = spectrum(n, 0.5, 20);
    values[0] = lowest;
    const Numbers matrix = with_spectrum(values, 11);
    for (const bool preconditioned : {false, true}) {
      Numbers inverse(n, 1.0);
      if (preconditioned) {
        for (std::size_t i = 0; i < inverse.size(); ++i) inverse[i] = 1 / (1 + 0.3 * static_cast<double>(i));
      }
      const OperatorPort<double> m = preconditioned ? diagonal_port(inverse) : OperatorPort<double>();
      const auto length = [&](const Numbers& x) {
        double sum = 0;
        for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * x[i] / inverse[i];
        return std::sqrt(sum);
      };
      Options free;
      free.tolerance = 1e-10;
      const Solve path = solve(square_port(matrix), rhs, free, m);
      for (const double radius : {1e-3, 0.05, 0.2, 0.5, 1.0, 100.0}) {
        Options options = free;
        options.radius = radius;
        const Solve s = solve(square_port(matrix), rhs, options, m, rhs);  // a start is not used
        CAPTURE(lowest);
        CAPTURE(preconditioned);
        CAPTURE(radius);
        CHECK(length(s.notes.front().x) == 0);
        CHECK(s.result.quadratic == doctest::Approx(quadratic(matrix, rhs, s.x)).epsilon(1e-10));
        CHECK(s.result.products == s.result.iterations);
        for (std::size_t i = 1; i + 1 < s.notes.size(); ++i) {
          CHECK(length(s.notes[i].x) < radius);
          CHECK(s.notes[i].x == path.notes[i].x);
        }
        const bool inside = path.result.reason == SolveReason::kConverged && length(path.x) < radius;
        if (inside) {
          CHECK(s.result.reason == SolveReason::kConverged);
          CHECK(s.x == path.x);
          continue;
        }
        CHECK(length(s.x) == doctest::Approx(radius).epsilon(1e-10));
        const std::size_t last = s.notes.size() - 1;
        const bool negative = s.result.reason == SolveReason::kNegativeCurvature;
        CHECK((negative || s.result.reason == SolveReason::kBoundary));
        CHECK(negative == (last == path.notes.size()));
        if (negative) {
          CHECK(numbers(s.result.direction) == numbers(path.result.direction));
          CHECK(s.result.curvature == path.result.curvature);
        } else {
          CHECK(length(path.notes[last].x) >= radius);
          CHECK(s.result.direction.empty());
        }
      }
    }
  }
}

TEST_CASE("relative progress stops where Martens's rule says, from the numbers that were told") {
  constexpr std::int64_t n = 300;
  const Numbers diagonal = spectrum(n, 1e-4, 1), rhs = random_numbers(n, 13), start = random_numbers(n, 14);
  for (const std::int64_t window : {1, 5, 10}) {
    for (const double tolerance : {1e-2, 5e-4, 1e-5}) {
      for (const Numbers& x0 : {Numbers(), start}) {
        Options options;
        options.tolerance = 0;
        options.progress_tolerance = tolerance;
        options.progress_window = window;
        const Solve s = solve(diagonal_port(diagonal), rhs, options, {}, x0);
        std::int64_t expected = -1;
        for (std::int64_t i = 0; i < static_cast<std::int64_t>(s.notes.size()) && expected < 0; ++i) {
          const auto k = std::max(window, static_cast<std::int64_t>(std::ceil(0.1 * static_cast<double>(i))));
          if (i <= k) continue;
          const double q = s.notes[std::size_t(i)].info.quadratic, old = s.notes[std::size_t(i - k)].info.quadratic;
          if (old < 0 && (q - old) / q < static_cast<double>(k) * tolerance) expected = i;
        }
        CAPTURE(window);
        CAPTURE(tolerance);
        CHECK(s.result.reason == SolveReason::kProgress);
        CHECK(s.result.iterations == expected);
      }
    }
  }
}

TEST_CASE("iterates are kept at growing distances, and the last one always") {
  constexpr std::int64_t n = 60;
  const OperatorPort<double> b = diagonal_port(spectrum(n, 1e-6, 1));
  const Numbers rhs = random_numbers(n, 15);
  Options options;
  options.tolerance = 0;
  options.store_growth = 1.3;
  const auto at = [&](std::int64_t iterations) {
    options.max_iterations = iterations;
    const Solve s = solve(b, rhs, options);
    REQUIRE(s.result.stored.size() == s.result.stored_at.size());
    for (std::size_t k = 0; k < s.result.stored.size(); ++k) {
      CHECK(numbers(s.result.stored[k]) == s.notes[std::size_t(s.result.stored_at[k])].x);
    }
    return s.result.stored_at;
  };
  using Indices = std::vector<std::int64_t>;
  CHECK(at(60) == Indices{5, 7, 9, 11, 15, 19, 25, 32, 41, 54, 60});
  CHECK(at(54) == Indices{5, 7, 9, 11, 15, 19, 25, 32, 41, 54});
  CHECK(at(3) == Indices{3});
  CHECK(at(0) == Indices{0});
  options.store_growth = 1.01;
  options.store_first = 1;
  CHECK(at(5) == Indices{1, 2, 3, 4, 5});
  options.store_growth = 0;
  CHECK(at(5).empty());
}

TEST_CASE("a residual that is computed anew follows the true one") {
  constexpr std::int64_t n = 200;
  const Numbers matrix = with_spectrum(spectrum(n, 1e-3, 1), 16), rhs = random_numbers(n, 17);
  const auto attempt = [&](std::int64_t every) {
    Options options;
    options.tolerance = 0;
    options.max_iterations = 400;
    options.recompute_every = every;
    Session session;
    const std::vector<float> b = cast<float>(rhs);
    return run(session,
               conjugate_gradient<float>(session, port<float>(matrix, n, n), b.data(), nullptr, {}, options, {}));
  };
  const auto true_residual = [&](const SolveResult<float>& s) {
    return distance(rhs, times(matrix, numbers(s.solution))) / norm(rhs);
  };
  const auto drifting = attempt(0), fresh = attempt(50);
  CHECK(drifting.residual_norm / norm(rhs) < 1e-2 * true_residual(drifting));
  CHECK(fresh.residual_norm / norm(rhs) == doctest::Approx(true_residual(fresh)).epsilon(0.5));
  CHECK(fresh.products == 400 + 8);
  CHECK(fresh.quadratic == doctest::Approx(quadratic(matrix, rhs, numbers(fresh.solution))).epsilon(1e-5));

  // In float64 the iterates are the same ones, with a preconditioner and a shift too (the condition number is 2).
  Options options;
  options.tolerance = 1e-10;
  options.shift = 1;
  Numbers inverse;
  for (std::int64_t i = 0; i < n; ++i) inverse.push_back(1 / (1 + static_cast<double>(i % 3)));
  const Solve plain = solve(square_port(matrix), rhs, options, diagonal_port(inverse));
  options.recompute_every = 3;
  const Solve anew = solve(square_port(matrix), rhs, options, diagonal_port(inverse));
  CHECK(anew.result.iterations == plain.result.iterations);
  CHECK(anew.result.products == anew.result.iterations + anew.result.iterations / 3);
  for (std::size_t i = 0; i < anew.notes.size(); ++i) {
    CHECK(distance(anew.notes[i].x, plain.notes[i].x) <= 1e-10 * norm(plain.x));
  }
}

TEST_CASE("conjugate gradients end with the last finite iterate") {
  constexpr std::int64_t n = 20;
  const Numbers matrix = with_spectrum(spectrum(n, 0.1, 10), 18), rhs = random_numbers(n, 19);
  const OperatorPort<double> b = square_port(matrix);
  const Numbers identity(n, 1.0);
  Options options;
  options.tolerance = 0;
  options.max_iterations = 10;
  const Solve whole = solve(b, rhs, options);
  const auto iterate = [&](const Solve& s) { return whole.notes[std::size_t(s.result.iterations)].x; };
  for (const std::int64_t at : {1, 2, 5}) {
    CAPTURE(at);
    for (const double value : {kNan, std::numeric_limits<double>::infinity()}) {
      const Solve s = solve(broken_at(b, at, value), rhs, options);
      CHECK(s.x == iterate(s));
      CHECK(s.result.reason == SolveReason::kNotFinite);
      CHECK(s.result.iterations == at - 1);
      CHECK(s.result.residual_norm == s.notes.back().info.residual_norm);
    }
    const auto broken = broken_at(diagonal_port(identity), at);
    const Solve s = solve(b, rhs, options, broken);
    CHECK(s.result.reason == SolveReason::kNotFinite);
    CHECK(s.x == iterate(s));

    Session session;
    const auto stopping = stopping_at(b, at, session);
    const auto stopped =
        run(session, conjugate_gradient<double>(session, stopping, rhs.data(), nullptr, {}, options, {}));
    CHECK(stopped.reason == SolveReason::kAborted);
    CHECK(stopped.products == at);
    CHECK(numbers(stopped.solution) == whole.notes[std::size_t(at - 1)].x);
  }
  Session session;
  session.stop();
  const auto never = run(session, conjugate_gradient<double>(session, b, rhs.data(), nullptr, {}, options, {}));
  CHECK(never.reason == SolveReason::kAborted);
  CHECK(never.products == 0);
  // From elsewhere the residual is not known before the first product.
  Session second;
  second.stop();
  const auto unknown = run(second, conjugate_gradient<double>(second, b, rhs.data(), rhs.data(), {}, options, {}));
  CHECK(unknown.reason == SolveReason::kAborted);
  CHECK(std::isnan(unknown.residual_norm));
  CHECK(std::isnan(unknown.quadratic));
  CHECK(numbers(unknown.solution) == rhs);

  Numbers bad = rhs;
  bad[3] = kNan;
  CHECK(solve(b, bad, options).result.reason == SolveReason::kNotFinite);
  CHECK(solve(b, bad, options).x == Numbers(n));
  CHECK(solve(b, bad, options, {}, rhs).x == rhs);
  CHECK(solve(b, rhs, options, {}, bad).result.reason == SolveReason::kNotFinite);
  CHECK(solve(b, rhs, options, {}, bad).x == Numbers(n));

  Numbers indefinite = identity;
  indefinite[4] = -100;
  const Solve s = solve(b, rhs, options, diagonal_port(indefinite));
  CHECK(s.result.reason == SolveReason::kPreconditioner);
}

TEST_CASE_TEMPLATE("foreign operators, slices and threads change no bit", T, float, double) {
  constexpr std::int64_t n = 70000;  // long enough to be shared by threads
  Random random(20);
  std::vector<T> diagonal(n), inverse(n), rhs(n);
  for (std::size_t i = 0; i < n; ++i) {
    diagonal[i] = static_cast<T>(1 + 0.9 * random.uniform());
    inverse[i] = static_cast<T>(1 + 0.5 * random.uniform());
    rhs[i] = static_cast<T>(random.uniform());
  }
  const OperatorPort<T> b(diagonal_operator<T>(diagonal)), m(diagonal_operator<T>(inverse));
  Options options;
  options.tolerance = 0;
  options.max_iterations = 12;
  options.shift = 0.1;
  const auto solution = [](const SolveResult<T>& s) {
    return std::vector<T>(s.solution.data(), s.solution.data() + s.solution.size());
  };
  Session native;
  const auto expected = run(native, conjugate_gradient<T>(native, b, rhs.data(), nullptr, m, options, {}));
  CHECK(expected.reason == SolveReason::kMaxIterations);

  Session asking;
  const Foreign<T> answer = [&](int source, std::span<const T> in, std::span<T> out) {
    for (std::size_t i = 0; i < in.size(); ++i) out[i] = (source == 4 ? diagonal : inverse)[i] * in[i];
  };
  const auto foreign = run<SolveResult<T>, T>(asking,
                                              conjugate_gradient<T>(asking, OperatorPort<T>(4, n, n), rhs.data(),
                                                                    nullptr, OperatorPort<T>(7, n, n), options, {}),
                                              answer);
  CHECK(solution(foreign) == solution(expected));
  CHECK(foreign.quadratic == expected.quadratic);

  for (const int threads : {1, 2, 3}) {
    struct Call {
      Session session;
      std::optional<SolveResult<T>> result;
      int pauses = 0;
      explicit Call(int count) : session(count) {}
    } call(threads);
    call.session.start(
        deliver(conjugate_gradient<T>(call.session, b, rhs.data(), nullptr, m, options, {}), call.result));
    ComputeThread::instance().lead_and_wait(
        threads,
        [](void* context, Team& team) noexcept {
          Call& c = *static_cast<Call*>(context);
          while (c.session.resume(team, Session::Clock::time_point::min()) != Session::State::kFinished) ++c.pauses;
        },
        &call);
    CHECK(call.pauses >= 12);
    CHECK(solution(*call.result) == solution(expected));
    CHECK(call.result->quadratic == expected.quadratic);
    CHECK(call.result->residual_norm == expected.residual_norm);
  }
}

}  // namespace
}  // namespace krylov
