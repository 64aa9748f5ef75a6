// What the tests of the Newton-type optimizers share: every method by name,
// functions with their curvature, and updates driven to their end.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "function_objective.h"
#include "minimizer_cases.h"
#include "newton_specs.h"
#include "optimizers/minimizers.h"

namespace krylov::test {

template <Scalar T>
struct NewtonMethod {
  OptimizerSpec spec;
  MinimizerPointer<T> (*make)(RuleOptions&, const Objective<T>&);
};

template <Scalar T>
std::vector<NewtonMethod<T>> newton_methods() {
  return {{hessian_free_spec(), &make_hessian_free<T>},
          {newton_cg_spec(), &make_newton_cg<T>},
          {newton_mr_spec(), &make_newton_mr<T>},
          {saddle_free_newton_spec(), &make_saddle_free_newton<T>},
          {krylov_subspace_descent_spec(), &make_krylov_subspace_descent<T>},
          {gradient_normalized_smoothness_spec(), &make_gradient_normalized_smoothness<T>}};
}

template <Scalar T>
MinimizerReport update(Minimizer<T>& minimizer, Objective<T>& objective, std::vector<T>& x) {
  objective.begin(minimizer.updates());
  Session session;
  Team team;
  return run(session, minimizer.update(session, objective, x.data()), team);
}

inline std::string word_of(const MinimizerReport& report, const std::string& name) {
  for (const auto& [key, value] : report.words) {
    if (key == name) return value;
  }
  FAIL("no word " << name);
  return "";
}

// f = sum_i 100 (x_{2i+1} - x_{2i}^2)^2 + (1 - x_{2i})^2 over pairs, a sum of squares: its Hessian, and 2 J'J.
template <Scalar T>
FunctionObjective<T> paired_rosenbrock(std::int64_t size) {
  FunctionObjective<T> f(size, [size](const T* x, Samples, T* g) {
    double total = 0;
    for (std::int64_t i = 0; i < size; i += 2) {
      const double a = double(x[i + 1]) - double(x[i]) * double(x[i]), b = 1 - double(x[i]);
      total += 100 * a * a + b * b;
      if (g == nullptr) continue;
      g[i] = static_cast<T>(-400 * a * double(x[i]) - 2 * b);
      g[i + 1] = static_cast<T>(200 * a);
    }
    return total;
  });
  const auto product = [size](double factor) {
    return [size, factor](const T* x, Samples, const T* v, T* out) {
      for (std::int64_t i = 0; i < size; i += 2) {
        const double a = double(x[i]), bend = factor * (double(x[i + 1]) - a * a);
        out[i] = static_cast<T>((800 * a * a + 2 - bend) * double(v[i]) - 400 * a * double(v[i + 1]));
        out[i + 1] = static_cast<T>(-400 * a * double(v[i]) + 200 * double(v[i + 1]));
      }
    };
  };
  f.with_curvature(Curvature::kHessian, product(400)).with_curvature(Curvature::kGaussNewton, product(0));
  f.with_squares([size](const T* x, T* squares) {
    for (std::int64_t i = 0; i < size; i += 2) {
      const double a = double(x[i + 1]) - double(x[i]) * double(x[i]), b = 1 - double(x[i]);
      squares[i] = static_cast<T>(std::pow(-400 * a * double(x[i]) - 2 * b, 2));
      squares[i + 1] = static_cast<T>(std::pow(200 * a, 2));
    }
  });
  return f;
}

// f = x'Ax / 2 + b'x with A [n, n]; all its curvature is A, its squares b^2.
template <Scalar T>
FunctionObjective<T> quadratic(std::vector<double> a, std::vector<double> b) {
  const std::size_t n = b.size();
  const auto times = [a, n](const T* x, std::size_t i) {
    double sum = 0;
    for (std::size_t j = 0; j < n; ++j) sum += a[i * n + j] * double(x[j]);
    return sum;
  };
  FunctionObjective<T> f(static_cast<std::int64_t>(n), [times, b, n](const T* x, Samples, T* g) {
    double total = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double ax = times(x, i);
      total += double(x[i]) * (ax / 2 + b[i]);
      if (g != nullptr) g[i] = static_cast<T>(ax + b[i]);
    }
    return total;
  });
  const auto product = [times, n](const T*, Samples, const T* v, T* out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<T>(times(v, i));
  };
  f.with_curvature(Curvature::kHessian, product).with_curvature(Curvature::kGaussNewton, product);
  f.with_squares([b, n](const T*, T* squares) {
    for (std::size_t i = 0; i < n; ++i) squares[i] = static_cast<T>(b[i] * b[i]);
  });
  return f;
}

// f = x^4/4 - x^2/2 + y^2/2: a saddle at 0, minima at x = +-1.
inline FunctionObjective<double> double_well() {
  FunctionObjective<double> f(2, [](const double* x, Samples, double* g) {
    if (g != nullptr) g[0] = x[0] * x[0] * x[0] - x[0], g[1] = x[1];
    return std::pow(x[0], 4) / 4 - x[0] * x[0] / 2 + x[1] * x[1] / 2;
  });
  f.with_curvature(Curvature::kHessian, [](const double* x, Samples, const double* v, double* out) {
    out[0] = (3 * x[0] * x[0] - 1) * v[0];
    out[1] = v[1];
  });
  f.with_squares([](const double*, double* s) { s[0] = s[1] = 1; });
  return f;
}

// A diagonal matrix.
inline std::vector<double> diagonal(const std::vector<double>& d) {
  std::vector<double> a(d.size() * d.size(), 0.0);
  for (std::size_t i = 0; i < d.size(); ++i) a[i * d.size() + i] = d[i];
  return a;
}

}  // namespace krylov::test
