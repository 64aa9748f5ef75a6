// Line searches on functions of one variable, and the pairs of L-BFGS as an
// inverse and as an operator.
#include "solvers/line_search.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "solvers/lbfgs_operator.h"
#include "support/comparison.h"
#include "support/function_objective.h"

namespace krylov {
namespace {

using test::FunctionObjective;

// phi and phi' of one variable as an objective; the line starts at 0 and goes to the right.
struct Curve {
  const char* name;
  double (*value)(double t);
  double (*slope)(double t);
};

template <Scalar T>
FunctionObjective<T> objective_of(const Curve& curve) {
  return FunctionObjective<T>(1, [curve](const T* x, Samples, T* g) {
    if (g != nullptr) g[0] = static_cast<T>(curve.slope(static_cast<double>(x[0])));
    return curve.value(static_cast<double>(x[0]));
  });
}

constexpr Curve kCurves[] = {
    {"parabola", [](double t) { return (t - 1) * (t - 1); }, [](double t) { return 2 * (t - 1); }},
    {"Moré-Thuente 1", [](double t) { return -t / (t * t + 2); },
     [](double t) { return (t * t - 2) / ((t * t + 2) * (t * t + 2)); }},
    {"Moré-Thuente 2", [](double t) { return std::pow(t + 0.004, 5) - 2 * std::pow(t + 0.004, 4); },
     [](double t) { return 5 * std::pow(t + 0.004, 4) - 8 * std::pow(t + 0.004, 3); }},
    {"waves", [](double t) { return std::sin(3 * t) + t * t / 20 - 2 * t; },
     [](double t) { return 3 * std::cos(3 * t) + t / 10 - 2.0 - 1.5; }},
    // Not defined from 2 on.
    {"barrier", [](double t) { return -t - 0.1 * std::log(2 - t); }, [](double t) { return -1 + 0.1 / (2 - t); }},
};

TEST_CASE_TEMPLATE("a strong Wolfe search ends where both conditions hold", T, float, double) {
  for (const Curve& curve : kCurves) {
    const std::string name = curve.name;
    if (name == "waves") continue;  // its slope is not its derivative: see below
    // The slope at its start, 5e-7, is finer than float32 can tell at its end.
    if (sizeof(T) == 4 && name == "Moré-Thuente 2") continue;
    for (const double first : {1e-3, 0.1, 1.0, 7.0, 40.0}) {
      for (const double c2 : {0.1, 0.9}) {
        CAPTURE(name);
        CAPTURE(first);
        CAPTURE(c2);
        FunctionObjective<T> objective = objective_of<T>(curve);
        const T x = 0, d = 1;
        const double value = curve.value(0), slope = curve.slope(0);
        LineSearchMemory<T> memory;
        StrongWolfeOptions options;
        options.c2 = c2;
        Team team;
        Session session;
        const SearchLine<T> line{&x, &d, value, slope};
        const LineSearchResult r = test::run(
            session, strong_wolfe<T>(session, objective, Samples::kGradient, line, first, options, memory), team);
        REQUIRE(r.reason == LineSearchReason::kSatisfied);
        CHECK(r.value <= value + options.c1 * r.step * slope);
        CHECK(std::abs(r.slope) <= -c2 * slope);
        CHECK(r.evaluations == objective.gradients);
        CHECK(static_cast<double>(memory.x[0]) == doctest::Approx(r.step));
        REQUIRE(r.gradient >= 0);
        CHECK(static_cast<double>(memory.gradients[static_cast<std::size_t>(r.gradient)][0]) == r.slope);
      }
    }
  }
}

LineSearchResult search(FunctionObjective<double>& objective, double value, double slope, double first,
                        StrongWolfeOptions options) {
  const double x = 0, d = 1;
  LineSearchMemory<double> memory;
  Team team;
  Session session;
  const SearchLine<double> line{&x, &d, value, slope};
  return test::run(session, strong_wolfe<double>(session, objective, Samples::kGradient, line, first, options, memory),
                   team);
}

TEST_CASE("a search that finds nothing says so and stays") {
  // Uphill, whatever the slope at the start says.
  FunctionObjective<double> uphill(1, [](const double* x, Samples, double* g) {
    if (g != nullptr) g[0] = 1;
    return x[0];
  });
  LineSearchResult r = search(uphill, 0, -1, 1, {});
  CHECK(r.reason == LineSearchReason::kSmallInterval);
  CHECK(r.step == 0);
  CHECK(r.gradient == -1);
  CHECK(r.value == 0);

  FunctionObjective<double> nowhere(1, [](const double*, Samples, double* g) {
    if (g != nullptr) g[0] = std::nan("");
    return std::nan("");
  });
  StrongWolfeOptions options;
  options.change_tolerance = 0;
  r = search(nowhere, 0, -1, 1, options);
  CHECK(r.reason == LineSearchReason::kMaxIterations);
  CHECK(r.step == 0);
  CHECK(nowhere.gradients == 1 + options.max_iterations);

  // Downhill for ever: the last point is taken although the slope is as steep there.
  FunctionObjective<double> downhill(1, [](const double* x, Samples, double* g) {
    if (g != nullptr) g[0] = -1;
    return -x[0];
  });
  options.max_iterations = 3;
  r = search(downhill, 0, -1, 1, options);
  CHECK(r.reason == LineSearchReason::kMaxIterations);
  CHECK(r.evaluations == 4);
  CHECK(r.step == 1000);
  CHECK(r.value == -1000);

  // A slope that does not belong to the function still ends the search.
  FunctionObjective<double> inconsistent = objective_of<double>(kCurves[3]);
  r = search(inconsistent, 0, -0.5, 1, {});
  CHECK(r.evaluations <= 26);
  CHECK(r.value <= 0);

  FunctionObjective<double> stopped = objective_of<double>(kCurves[0]);
  stopped.stop_after = 2;
  r = search(stopped, 1, -2, 1e-3, {});
  CHECK(r.reason == LineSearchReason::kAborted);
  CHECK(r.step == 0);
  CHECK(stopped.gradients == 2);
}

TEST_CASE("the cubic's minimum") {
  // (t - 2)^2 (t + 1) has its minimum at 2.
  const auto f = [](double t) { return (t - 2) * (t - 2) * (t + 1); };
  const auto slope = [](double t) { return 2 * (t - 2) * (t + 1) + (t - 2) * (t - 2); };
  CHECK(cubic_minimiser(1, f(1), slope(1), 3.5, f(3.5), slope(3.5), 1, 3.5) == doctest::Approx(2));
  CHECK(cubic_minimiser(3.5, f(3.5), slope(3.5), 1, f(1), slope(1), 1, 3.5) == doctest::Approx(2));
  CHECK(cubic_minimiser(1, f(1), slope(1), 3.5, f(3.5), slope(3.5), 2.5, 3) == 2.5);
  CHECK(cubic_minimiser(1, f(1), slope(1), 3.5, f(3.5), slope(3.5), 1, 1.5) == 1.5);
  CHECK(cubic_minimiser(0, 0, -1, 1, -2.0 / 3, -1, 0.2, 0.4) == doctest::Approx(0.3));  // falls all the way
  CHECK(cubic_minimiser(0, 0, -1, 1, std::nan(""), 1, 0, 1) == 0.5);
}

TEST_CASE("backtracking takes the first step that is good enough") {
  const double x = 0, d = 1;
  double out = 0;
  BacktrackingOptions options;
  options.armijo = 1e-2;
  options.shrink = 0.5;
  const auto go = [&](FunctionObjective<double>& objective, double value, double slope, double first, double known) {
    Team team;
    Session session;
    const SearchLine<double> line{&x, &d, value, slope};
    return test::run(
        session, backtracking<double>(session, objective, Samples::kGradient, line, first, options, &out, known), team);
  };
  const double unknown = std::nan("");
  FunctionObjective<double> parabola = objective_of<double>(kCurves[0]);
  LineSearchResult r = go(parabola, 1, -2, 16, unknown);  // 16, 8, 4, 2 fail: phi(2) = phi(0)
  CHECK(r.reason == LineSearchReason::kSatisfied);
  CHECK(r.step == 1);
  CHECK(out == 1);
  CHECK(r.value == 0);
  CHECK(r.evaluations == 5);
  CHECK(parabola.values == 5);
  CHECK(parabola.gradients == 0);
  r = go(parabola, 1, -2, 16, 225);
  CHECK(r.step == 1);
  CHECK(r.evaluations == 4);
  r = go(parabola, 1, -2, 1.5, 0.25);
  CHECK(r.step == 1.5);
  CHECK(r.evaluations == 0);

  FunctionObjective<double> barrier = objective_of<double>(kCurves[4]);  // 5 and 2.5 are outside
  r = go(barrier, kCurves[4].value(0), kCurves[4].slope(0), 5, unknown);
  CHECK(r.step == 1.25);

  options.max_tries = 7;
  FunctionObjective<double> uphill(1, [](const double* at, Samples, double*) { return at[0]; });
  r = go(uphill, 0, -1, 1, unknown);
  CHECK(r.reason == LineSearchReason::kMaxIterations);
  CHECK(r.step == 0);
  CHECK(out == 0);
  CHECK(uphill.values == 7);
  uphill.stop_after = 9;
  r = go(uphill, 0, -1, 1, unknown);
  CHECK(r.reason == LineSearchReason::kAborted);
  CHECK(uphill.values == 9);
  CHECK(r.step == 0);
}

// Pairs (s, A s) of a random positive definite matrix, and the inverse by the textbook's update of H.
struct Example {
  std::int64_t n;
  std::vector<double> matrix;
  std::mt19937 random{11};

  explicit Example(std::int64_t size) : n(size), matrix(static_cast<std::size_t>(size * size)) {
    const std::vector<double> root = vector(n * n);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        for (std::int64_t k = 0; k < n; ++k) at(matrix, i, j) += root[i * n + k] * root[j * n + k];
        if (i == j) at(matrix, i, j) += 1;
      }
    }
  }
  double& at(std::vector<double>& m, std::int64_t i, std::int64_t j) const {
    return m[static_cast<std::size_t>(i * n + j)];
  }
  std::vector<double> vector(std::int64_t size) {
    std::normal_distribution<double> normal;
    std::vector<double> v(static_cast<std::size_t>(size));
    std::generate(v.begin(), v.end(), [&] { return normal(random); });
    return v;
  }
  template <Scalar T>
  void multiply(const T* v, T* out) const {
    for (std::int64_t i = 0; i < n; ++i) {
      double sum = 0;
      const double* row = matrix.data() + i * n;
      for (std::int64_t j = 0; j < n; ++j) sum += row[j] * static_cast<double>(v[j]);
      out[i] = static_cast<T>(sum);
    }
  }
  // (I - rho s y') h (I - rho y s') + rho s s'
  void update(std::vector<double>& h, const double* s, const double* y) const {
    double sy = 0;
    for (std::int64_t i = 0; i < n; ++i) sy += s[i] * y[i];
    for (int side = 0; side < 2; ++side) {
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (std::int64_t i = 0; i < n; ++i) sum += y[i] * (side == 0 ? at(h, i, j) : at(h, j, i));
        for (std::int64_t i = 0; i < n; ++i) (side == 0 ? at(h, i, j) : at(h, j, i)) -= s[i] * sum / sy;
      }
    }
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) at(h, i, j) += s[i] * s[j] / sy;
    }
  }
};

TEST_CASE("two loops apply the inverse of the BFGS updates") {
  Example example(7);
  const std::int64_t n = example.n;
  Team team;
  Vectors<double> vectors(1, n);
  vectors.lend(team);
  constexpr double kScale = 0.3;
  LbfgsPairs<double> pairs(n, 20);
  std::vector<double> h(static_cast<std::size_t>(n * n)), out(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) example.at(h, i, i) = kScale;
  for (int k = 0; k < 12; ++k) {
    const std::vector<double> s = example.vector(n), v = example.vector(n);
    std::vector<double> y(s.size());
    example.multiply(s.data(), y.data());
    CHECK(pairs.add(vectors, s.data(), y.data(), 0));
    example.update(h, s.data(), y.data());
    pairs.apply(vectors, v.data(), out.data(), kScale);
    test::Comparison comparison;
    for (std::int64_t i = 0; i < n; ++i) {
      double expected = 0;
      for (std::int64_t j = 0; j < n; ++j) expected += example.at(h, i, j) * v[static_cast<std::size_t>(j)];
      comparison.within(k, i, out[static_cast<std::size_t>(i)], expected, 1e-11);
    }
    comparison.check("product with the inverse");
    // The secant equation, whatever the initial scale is.
    pairs.apply(vectors, y.data(), out.data());
    for (std::size_t i = 0; i < s.size(); ++i) CHECK(out[i] == doctest::Approx(s[i]).epsilon(1e-9));
    std::vector<double> inside = y;
    pairs.apply(vectors, inside.data(), inside.data());
    CHECK(inside == out);
  }
  const std::vector<double> s = example.vector(n);
  std::vector<double> against(s.size());
  std::transform(s.begin(), s.end(), against.begin(), [](double a) { return -a; });
  CHECK_FALSE(pairs.add(vectors, s.data(), against.data(), 0));
  CHECK_FALSE(pairs.add(vectors, s.data(), s.data(), 1e9));
  CHECK(pairs.pairs().size() == 12);
}

TEST_CASE("pairs give way: the oldest, or so that the rest stays evenly spread") {
  Team team;
  Vectors<float> vectors(1, 1);
  vectors.lend(team);
  LbfgsPairs<float> newest(1, 3), spread(1, 4);
  const float one = 1, minus = -1;
  const auto times = [&] {
    std::vector<std::int64_t> t;
    for (const auto& pair : spread.pairs()) t.push_back(pair.time);
    return t;
  };
  std::vector<std::vector<std::int64_t>> seen;
  for (int i = 0; i < 17; ++i) {
    const float s = static_cast<float>(i + 1);
    CHECK(newest.add(vectors, &s, &one, 0));
    spread.sample(vectors, &s, &one);
    spread.sample(vectors, &one, &minus);  // left out, and not counted
    seen.push_back(times());
  }
  REQUIRE(newest.pairs().size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(newest.pairs()[i].s[0] == static_cast<float>(15 + i));
  using Times = std::vector<std::int64_t>;
  CHECK(seen[3] == Times{0, 1, 2, 3});
  CHECK(seen[4] == Times{0, 2, 3, 4});
  CHECK(seen[5] == Times{0, 2, 3, 4});
  CHECK(seen[6] == Times{0, 2, 4, 6});
  CHECK(seen[8] == Times{0, 4, 6, 8});
  CHECK(seen[15] == Times{0, 4, 8, 12});
  CHECK(seen[16] == Times{0, 8, 12, 16});
  CHECK(spread.pairs()[1].s[0] == 9);
}

}  // namespace
}  // namespace krylov
