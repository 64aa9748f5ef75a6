// What holds for every quasi-Newton method and for nonlinear conjugate
// gradients: state, rests, stops, tolerances, errors.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/minimizer_cases.h"

namespace krylov {
namespace {

using namespace test;

TEST_CASE_TEMPLATE("every method goes down Rosenbrock's valley", T, float, double) {
  constexpr int kEnough = 1000;
  for (const MethodCase& m : methods()) {
    if (!m.searches) continue;  // a fixed step is nothing for this function
    CAPTURE(m.name);
    FunctionObjective<T> objective = with_hessian<T>(5);
    const auto minimizer = make(m.spec, objective);
    std::vector<T> x = rosenbrock_start<T>(5);
    MinimizerReport report;
    double last = std::numeric_limits<double>::infinity();
    for (int i = 0; i < kEnough && report.converged[0] == '\0'; ++i) {
      report = step(*minimizer, objective, x.data());
      REQUIRE(report.loss <= last);
      last = report.loss;
    }
    report = step(*make(m.spec, objective), objective, x.data());
    if (sizeof(T) == 8) CHECK(std::string(report.converged) == "gradientTolerance");
    CHECK(number_of(report, "gradientNorm") <= (sizeof(T) == 8 ? 1e-6 : 1e-3));
  }
}

template <Scalar T>
std::vector<T> after(const OptimizerSpec& spec, FunctionObjective<T>& objective, std::vector<T> x, int updates,
                   bool impatient = false, const Answer& answer = nullptr) {
  const auto minimizer = make(spec, objective);
  for (int i = 0; i < updates; ++i) step(*minimizer, objective, x.data(), impatient, answer);
  return x;
}

TEST_CASE_TEMPLATE("a saved state goes on to the same bits", T, float, double) {
  for (const MethodCase& m : methods()) {
    for (const int pause : {0, 1, 7, 12}) {
      CAPTURE(m.name);
      CAPTURE(pause);
      constexpr int kUpdates = 20;
      FunctionObjective<T> objective = with_hessian<T>(5), other = with_hessian<T>(5);
      const auto whole = make(m.spec, objective);
      std::vector<T> x = rosenbrock_start<T>(5), y = x;
      auto part = make(m.spec, other);
      for (int i = 0; i < kUpdates; ++i) {
        if (i == pause) {
          const MinimizerState state = part->save();
          CHECK(state.updates == pause);
          part = make(m.spec, other);
          REQUIRE(part->restore(state).ok());
          CHECK(part->updates() == pause);
        }
        const MinimizerReport a = step(*whole, objective, x.data()), b = step(*part, other, y.data());
        REQUIRE(x == y);
        REQUIRE(a.loss == b.loss);
        REQUIRE(a.numbers == b.numbers);
        REQUIRE(std::string(a.converged) == b.converged);
      }
    }
  }
}

TEST_CASE("resting at every product and asking for values change no bit") {
  for (const MethodCase& m : methods()) {
    CAPTURE(m.name);
    FunctionObjective<double> objective = with_hessian<double>(5), asking = with_hessian<double>(5);
    const std::vector<double> start = rosenbrock_start<double>(5);
    const std::vector<double> x = after(m.spec, objective, start, 15);
    asking.asking();
    CHECK(after(m.spec, asking, start, 15, true, asking.answer()) == x);
    CHECK(asking.gradients == objective.gradients);
  }
}

TEST_CASE("a stopped update leaves x, and the next one does what it would have done") {
  for (const MethodCase& m : methods()) {
    for (const std::int64_t evaluations : {1, 2, 3}) {
      CAPTURE(m.name);
      CAPTURE(evaluations);
      FunctionObjective<double> objective = with_hessian<double>(5), unbroken = with_hessian<double>(5);
      const auto minimizer = make(m.spec, objective), other = make(m.spec, unbroken);
      std::vector<double> x = rosenbrock_start<double>(5), y = x;
      for (int i = 0; i < 12; ++i) {
        const std::vector<double> before = x;
        objective.stop_after = objective.values + objective.gradients + evaluations;
        const std::int64_t updates = minimizer->updates();
        const MinimizerReport report = step(*minimizer, objective, x.data());
        objective.stop_after = -1;
        if (minimizer->updates() == updates) {
          CHECK(x == before);
          CHECK_FALSE(report.accepted);
          CHECK(report.converged[0] == '\0');
          step(*minimizer, objective, x.data());
        }
        step(*other, unbroken, y.data());
        REQUIRE(x == y);
      }
    }
  }
}

TEST_CASE("x that somebody else has changed is looked at anew") {
  for (const MethodCase& m : methods()) {
    CAPTURE(m.name);
    FunctionObjective<double> objective = with_hessian<double>(5);
    const auto minimizer = make(m.spec, objective);
    std::vector<double> x = rosenbrock_start<double>(5);
    for (int i = 0; i < 6; ++i) step(*minimizer, objective, x.data());
    const MinimizerReport before = step(*minimizer, objective, x.data());
    x[2] += 0.5;
    std::vector<double> g(5);
    Team team;
    Session session;
    const double f = run(session, objective.gradient(session, x.data(), Samples::kGradient, g.data(), nullptr), team);
    const MinimizerReport report = step(*minimizer, objective, x.data());
    CHECK(report.loss == f);
    CHECK(report.accepted);
    const double least = m.name == "stochastic, Hessian" ? 1 : 2;
    CHECK(number_of(report, "evaluations") >= number_of(before, "evaluations") + least);
    CHECK(number_of(report, "evaluations") == static_cast<double>(objective.gradients - 1));
    if (m.searches) CHECK(number_of(report, "lossAfter") < f);
  }
}

TEST_CASE("samples that change from update to update are looked at anew") {
  for (const MethodCase& m : methods()) {
    CAPTURE(m.name);
    double shift = 0;
    FunctionObjective<double> objective(2, [&](const double* x, Samples, double* g) {
      if (g != nullptr) g[0] = x[0] - shift, g[1] = 2 * x[1];
      return 0.5 * (x[0] - shift) * (x[0] - shift) + x[1] * x[1];
    });
    objective.with_curvature(Curvature::kHessian, [](const double*, Samples, const double* v, double* out) {
      out[0] = v[0], out[1] = 2 * v[1];
    });
    objective.with_batches([&](std::int64_t update) { shift = static_cast<double>(update % 3); });
    const auto minimizer = make(m.spec, objective);
    std::vector<double> x{3, 1};
    for (int i = 0; i < 8; ++i) {
      const double by = static_cast<double>(i % 3), expected = 0.5 * (x[0] - by) * (x[0] - by) + x[1] * x[1];
      const MinimizerReport report = step(*minimizer, objective, x.data());
      CHECK(report.loss == expected);
      if (report.converged[0] != '\0') break;
    }
  }
}

TEST_CASE("where a method ends by itself") {
  FunctionObjective<double> parabola(1, [](const double* x, Samples, double* g) {
    if (g != nullptr) g[0] = x[0];
    return 0.5 * x[0] * x[0];
  });
  for (const OptimizerSpec& spec : {lbfgs(10, 1e-9), bfgs(true, 1e-9), nonlinear_cg("polakRibiere", 1e-9)}) {
    CAPTURE(spec.kind);
    const auto first = [&](double x) {
      const auto minimizer = make(spec, parabola);
      const MinimizerReport report = step(*minimizer, parabola, &x);
      CHECK(minimizer->updates() == (report.accepted ? 1 : 0));
      return report;
    };
    CHECK(std::string(first(1e-8).converged) == "gradientTolerance");
    CHECK_FALSE(first(1e-8).accepted);
    CHECK(std::string(first(1e-5).converged) == "changeTolerance");  // g'd = -1e-10
    CHECK_FALSE(first(1e-5).accepted);
    // |f_+ - f| = 8e-10; the step of one goes to the minimum.
    const MinimizerReport at_once = first(4e-5);
    CHECK(std::string(at_once.converged) == "gradientTolerance");
    CHECK(at_once.accepted);
    CHECK(at_once.learning_rate == 1);
    CHECK(number_of(at_once, "stepLength") == 1);
    CHECK(number_of(at_once, "curvature") == doctest::Approx(1.6e-9));
    CHECK(number_of(at_once, "gradientNorm") == 4e-5);
    CHECK(number_of(at_once, "lossAfter") == 0);
  }
  // Half a step: the gradient stays above its tolerance, the change of f is below.
  const auto slow = make(lbfgs(10, 1e-9, "none", 0.1), parabola);
  double x = 6e-5;
  const MinimizerReport report = step(*slow, parabola, &x);
  CHECK(std::string(report.converged) == "changeTolerance");
  CHECK(x == doctest::Approx(5.4e-5));
  CHECK(report.words.empty());
}

// A function so small that every change of it is below the tolerance is not one without a descent.
TEST_CASE("changes that are small and directions that are none have reasons of their own") {
  FunctionObjective<double> tiny(2, [](const double* x, Samples, double* g) {
    if (g != nullptr) g[0] = 1e-6 * x[0], g[1] = 3e-6 * x[1];
    return 1e-6 * (x[0] * x[0] / 2 + 1.5 * x[1] * x[1]);
  });
  FunctionObjective<double> lie(2, [](const double* x, Samples, double* g) {
    if (g != nullptr) g[0] = 1, g[1] = 0;
    return std::abs(x[0]) + std::abs(x[1]);
  });
  for (const OptimizerSpec& spec : {lbfgs(10, 1e-9), bfgs(true, 1e-9), nonlinear_cg("polakRibiere", 1e-9)}) {
    CAPTURE(spec.kind);
    std::vector<double> x{1e-3, 1e-1}, z{0, 0};
    const MinimizerReport small = step(*make(spec, tiny), tiny, x.data());
    CHECK(std::string(small.converged) == "changeTolerance");
    CHECK_FALSE(small.accepted);
    CHECK(x == std::vector<double>{1e-3, 1e-1});
    const MinimizerReport none = step(*make(spec, lie), lie, z.data());
    CHECK(std::string(none.converged) == "noDescent");
    CHECK_FALSE(none.accepted);
    CHECK(z == std::vector<double>{0, 0});
  }
}

TEST_CASE("fixed steps are torch's steps without a line search") {
  FunctionObjective<double> parabola(2, [](const double* x, Samples, double* g) {
    if (g != nullptr) g[0] = 4 * x[0], g[1] = x[1];
    return 2 * x[0] * x[0] + 0.5 * x[1] * x[1];
  });
  const auto minimizer = make(lbfgs(10, 0, "none", 0.5), parabola);
  std::vector<double> x{1, 1};
  step(*minimizer, parabola, x.data());  // min(1, 1 / 5) / 2 along -(4, 1)
  CHECK(x[0] == doctest::Approx(0.6));
  CHECK(x[1] == doctest::Approx(0.9));
  CHECK(parabola.gradients == 2);
  for (int i = 0; i < 60; ++i) step(*minimizer, parabola, x.data());
  CHECK(std::abs(x[0]) + std::abs(x[1]) < 1e-6);
}

TEST_CASE("values that are not finite leave the last good x") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const MethodCase& m : methods()) {
    for (const bool gradient_too : {false, true}) {
      CAPTURE(m.name);
      CAPTURE(gradient_too);
      // Finite only near the start.
      FunctionObjective<double> cliff(1, [&](const double* x, Samples, double* g) {
        const bool inside = x[0] < 0.5;
        if (g != nullptr) g[0] = inside || !gradient_too ? -1 : nan;
        return inside ? -x[0] : nan;
      });
      cliff.with_curvature(Curvature::kHessian,
                           [](const double*, Samples, const double* v, double* out) { out[0] = v[0]; });
      const auto minimizer = make(m.spec, cliff);
      double x = 0;
      for (int i = 0; i < 20; ++i) {
        const MinimizerReport report = step(*minimizer, cliff, &x);
        if (report.converged[0] != '\0' || !std::isfinite(report.loss)) break;
      }
      if (m.searches) CHECK(x < 0.5);
      double outside = 1;
      const auto fresh = make(m.spec, cliff);
      const MinimizerReport report = step(*fresh, cliff, &outside);
      CHECK(std::isnan(report.loss));
      CHECK_FALSE(report.accepted);
      CHECK(outside == 1);
      CHECK(fresh->updates() == 0);
    }
  }
}

TEST_CASE_TEMPLATE("any number of threads gives the same bits", T, float, double) {
  const auto on_threads = [](const OptimizerSpec& spec, std::int64_t n, int threads) {
    FunctionObjective<T> objective = rosenbrock<T>(n);
    const auto minimizer = make(spec, objective);
    std::vector<T> x = rosenbrock_start<T>(n);
    struct Work {
      FunctionObjective<T>& objective;
      Minimizer<T>& minimizer;
      T* x;
      int threads;
    } work{objective, *minimizer, x.data(), threads};
    Team team;
    team.serve(
        threads,
        [](void* context, Team& with) noexcept {
          auto& w = *static_cast<Work*>(context);
          for (int i = 0; i < 5; ++i) {
            Session session(w.threads);
            run(session, w.minimizer.update(session, w.objective, w.x), with);
          }
        },
        &work);
    return x;
  };
  struct Case {
    OptimizerSpec spec;
    std::int64_t n;
  };
  for (const Case& c : {Case{lbfgs(3, 0), 50000}, Case{nonlinear_cg("hagerZhang", 0), 50000},
                        Case{stochastic_lbfgs("sameBatch", 1e-3, 1), 50000}, Case{bfgs(true, 0), 300}}) {
    CAPTURE(c.spec.kind);
    const std::vector<T> one = on_threads(c.spec, c.n, 1);
    CHECK(on_threads(c.spec, c.n, 3) == one);
  }
}

TEST_CASE("an option that is missing or wrong is refused by name") {
  FunctionObjective<double> objective = with_hessian<double>(5);
  const auto refused = [&](const OptimizerSpec& spec) {
    Status status;
    make(spec, objective, &status);
    CHECK(status.code == ErrorCode::kOption);
    return std::string(status.argument);
  };
  for (const MethodCase& m : methods()) {
    CAPTURE(m.name);
    for (std::size_t i = 0; i < m.spec.numbers.size(); ++i) {
      OptimizerSpec missing = m.spec;
      missing.numbers.erase(missing.numbers.begin() + static_cast<std::ptrdiff_t>(i));
      CHECK(refused(missing) == m.spec.numbers[i].first);
    }
    for (std::size_t i = 0; i < m.spec.words.size(); ++i) {
      OptimizerSpec wrong = m.spec;
      wrong.words[i].second += "x";
      CHECK(refused(wrong) == m.spec.words[i].first);
    }
  }
  CHECK(refused(lbfgs(0, 0)) == "history");
  CHECK(refused(lbfgs(std::nan(""), 0)) == "history");
  OptimizerSpec wide = nonlinear_cg("daiYuan", 0);
  wide.numbers[2].second = number(0.2);
  CHECK(refused(wide) == "c2");

  FunctionObjective<double> large = rosenbrock<double>(4001);
  Status status;
  make(bfgs(true, 0), large, &status);
  CHECK(status.code == ErrorCode::kOption);
  CHECK(status.received[0] == 4001);
}

TEST_CASE("a state that does not fit changes nothing") {
  for (const MethodCase& m : methods()) {
    CAPTURE(m.name);
    FunctionObjective<double> objective = with_hessian<double>(5);
    const auto minimizer = make(m.spec, objective), twin = make(m.spec, objective);
    std::vector<double> x = rosenbrock_start<double>(5);
    for (int i = 0; i < 9; ++i) step(*minimizer, objective, x.data());
    const MinimizerState state = minimizer->save();
    REQUIRE(twin->restore(state).ok());
    for (std::size_t i = 0; i < state.vectors.size(); ++i) {
      MinimizerState shorter = state;
      shorter.vectors[i].values.pop_back();
      CHECK(minimizer->restore(shorter).code == ErrorCode::kState);
    }
    MinimizerState earlier = state;
    earlier.updates = -1;
    CHECK(minimizer->restore(earlier).code == ErrorCode::kState);
    std::vector<double> y = x;
    step(*minimizer, objective, x.data());
    step(*twin, objective, y.data());
    CHECK(x == y);
  }
  // More pairs than there is room for.
  FunctionObjective<double> objective = rosenbrock<double>(5);
  const auto long_history = make(lbfgs(10, 0), objective), short_history = make(lbfgs(3, 0), objective);
  std::vector<double> x = rosenbrock_start<double>(5);
  for (int i = 0; i < 9; ++i) step(*long_history, objective, x.data());
  CHECK(short_history->restore(long_history->save()).code == ErrorCode::kState);
}

}  // namespace
}  // namespace krylov
