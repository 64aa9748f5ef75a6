// Quasi-Newton methods and nonlinear conjugate gradients as the public
// interface would fill them in, and a function for all of them.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "optimizers/minimizers.h"
#include "support/function_objective.h"
#include "support/optimizer_specs.h"

namespace krylov::test {

// sum 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2
template <Scalar T>
FunctionObjective<T> rosenbrock(std::int64_t n) {
  return FunctionObjective<T>(n, [n](const T* x, Samples, T* g) {
    double f = 0;
    if (g != nullptr) std::memset(g, 0, static_cast<std::size_t>(n) * sizeof(T));
    for (std::int64_t i = 0; i + 1 < n; ++i) {
      const double at = static_cast<double>(x[i]), a = static_cast<double>(x[i + 1]) - at * at, b = 1 - at;
      f += 100 * a * a + b * b;
      if (g == nullptr) continue;
      g[i] += static_cast<T>(-400 * a * at - 2 * b);
      g[i + 1] += static_cast<T>(200 * a);
    }
    return f;
  });
}

template <Scalar T>
std::vector<T> rosenbrock_start(std::int64_t n) {
  std::vector<T> x(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(i % 2 == 0 ? -1.2 : 1);
  return x;
}

inline OptimizerSpec lbfgs(double history, double change_tolerance, const char* search = "strongWolfe",
                           double rate = 1) {
  return {"lbfgs",
          {{"learningRate", number(rate)},
           {"history", number(history)},
           {"gradientTolerance", number(1e-7)},
           {"changeTolerance", number(change_tolerance)},
           {"maxLineSearchIterations", number(25)}},
          {},
          {{"lineSearch", search}}};
}
inline OptimizerSpec bfgs(bool damping, double change_tolerance, const char* search = "strongWolfe", double rate = 1) {
  return {"bfgs",
          {{"learningRate", number(rate)},
           {"gradientTolerance", number(1e-7)},
           {"changeTolerance", number(change_tolerance)},
           {"maxLineSearchIterations", number(25)}},
          {{"powellDamping", damping}},
          {{"lineSearch", search}}};
}
inline OptimizerSpec nonlinear_cg(const char* formula, double change_tolerance, double threshold = 0,
                                  double every = 0) {
  return {"nonlinearConjugateGradient",
          {{"gradientTolerance", number(1e-7)},
           {"changeTolerance", number(change_tolerance)},
           {"c1", number(1e-4)},
           {"c2", number(0.1)},
           {"maxLineSearchIterations", number(25)},
           {"restartEvery", number(every)},
           {"restartThreshold", number(threshold)}},
          {},
          {{"formula", formula}}};
}
inline OptimizerSpec stochastic_lbfgs(const char* pairs, double rate, double every, double regularisation = 0) {
  return {"stochasticLbfgs",
          {{"learningRate", number(rate)},
           {"history", number(5)},
           {"every", number(every)},
           {"regularisation", number(regularisation)}},
          {},
          {{"pairs", pairs}}};
}

template <Scalar T>
MinimizerPointer<T> make(const OptimizerSpec& spec, const Objective<T>& objective, Status* status = nullptr) {
  MinimizerPointer<T> minimizer;
  const Status made = make_minimizer<T>(spec, objective, minimizer);
  if (status != nullptr) {
    *status = made;
  } else {
    REQUIRE(made.ok());
  }
  return minimizer;
}

template <Scalar T>
MinimizerReport step(Minimizer<T>& minimizer, FunctionObjective<T>& objective, T* x, bool impatient = false,
                     const Answer& answer = nullptr) {
  Team team;
  Session session;
  objective.begin(minimizer.updates());
  return run(session, minimizer.update(session, objective, x), team, answer, impatient);
}

inline double number_of(const MinimizerReport& report, const std::string& name) {
  for (const auto& [key, value] : report.numbers) {
    if (name == key) return value;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

struct MethodCase {
  std::string name;
  OptimizerSpec spec;
  bool searches = true;  // along a line: f never rises
};
inline std::vector<MethodCase> methods() {
  std::vector<MethodCase> all = {{"lbfgs", lbfgs(100, 0)},
                                 {"lbfgs, 2 pairs", lbfgs(2, 0)},
                                 {"bfgs", bfgs(true, 0)},
                                 {"bfgs, undamped", bfgs(false, 0)}};
  for (const char* formula :
       {"fletcherReeves", "polakRibiere", "hestenesStiefel", "daiYuan", "hagerZhang", "hagerZhang2005"}) {
    all.push_back({formula, nonlinear_cg(formula, 0)});
  }
  all.push_back({"polakRibiere, Powell's restarts", nonlinear_cg("polakRibiere", 0, 0.1)});
  all.push_back({"hagerZhang, restarts every 4", nonlinear_cg("hagerZhang", 0, 0, 4)});
  all.push_back({"stochastic, same batch", stochastic_lbfgs("sameBatch", 0.3, 1, 1e-2), false});
  all.push_back({"stochastic, Hessian", stochastic_lbfgs("hessian", 0.3, 4), false});
  return all;
}

// Rosenbrock's function with its Hessian by differences of the gradient.
template <Scalar T>
FunctionObjective<T> with_hessian(std::int64_t n) {
  FunctionObjective<T> objective = rosenbrock<T>(n);
  return std::move(objective.with_curvature(Curvature::kHessian, [n](const T* x, Samples, const T* v, T* out) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = 0;
    for (std::int64_t i = 0; i + 1 < n; ++i) {
      const double at = static_cast<double>(x[i]), next = static_cast<double>(x[i + 1]);
      const double a = static_cast<double>(v[i]), b = static_cast<double>(v[i + 1]);
      out[i] += static_cast<T>((1200 * at * at - 400 * next + 2) * a - 400 * at * b);
      out[i + 1] += static_cast<T>(-400 * at * a + 200 * b);
    }
  }));
}

}  // namespace krylov::test
