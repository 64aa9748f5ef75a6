#include "optimizers/subspace_search.h"

#include <cmath>
#include <limits>
#include <vector>

#include "solvers/dense.h"
#include "solvers/vectors.h"

namespace krylov {
namespace {

// The weak Wolfe conditions with the usual constants (Nocedal & Wright 2006, section 3.1).
constexpr double kDecrease = 1e-4, kCurvature = 0.9;

using Coordinates = std::vector<double>;

double dot(const Coordinates& a, const Coordinates& b) noexcept {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

template <Scalar T>
struct Subspace {
  const T* x;
  const T* rows;
  const double* directions;
  std::int64_t count;
  AlignedBuffer<T> point, gradient;

  Coordinates coefficients(const Coordinates& a) const {  // W' a
    Coordinates c(a.size());
    multiply(a.data(), directions, c.data(), 1, count, count);
    return c;
  }
  Coordinates project(Vectors<T>& vectors, const T* g) const {  // W P g
    Coordinates along(static_cast<std::size_t>(count)), out(along.size());
    vectors.dots(rows, count, g, along);
    multiply(directions, along.data(), out.data(), count, count, 1);
    return out;
  }
};

// f at a, its gradient in g.
template <Scalar T>
Procedure<double> evaluate(Session& session, Objective<T>& objective, Subspace<T>& s, const Coordinates& a,
                           Coordinates& g, Samples samples) {
  Vectors<T> vectors(session, objective.size());
  vectors.copy(s.x, s.point.data());
  vectors.add_rows(s.coefficients(a), s.rows, s.point.data());
  const double f = co_await objective.gradient(session, s.point.data(), samples, s.gradient.data(), nullptr);
  g = s.project(vectors, s.gradient.data());
  co_return f;
}

// BFGS's update of the inverse Hessian, algorithm 6.1 (6.17): h = (I - s y'/y's) h (I - y s'/y's) + s s'/y's.
void update_inverse(std::vector<double>& h, const Coordinates& s, const Coordinates& y, double ys) {
  const std::size_t n = s.size();
  Coordinates hy(n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) hy[i] += h[i * n + j] * y[j];
  }
  const double scale = (1 + dot(y, hy) / ys) / ys;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) h[i * n + j] += scale * s[i] * s[j] - (hy[i] * s[j] + s[i] * hy[j]) / ys;
  }
}

}  // namespace

template <Scalar T>
Procedure<SubspaceSearchResult<T>> subspace_search(Session& session, Objective<T>& objective, const T* x, const T* rows,
                                                   std::int64_t count, const double* directions, const T* gradient,
                                                   double value, SubspaceSearchOptions options) {
  Vectors<T> vectors(session, objective.size());
  Subspace<T> space{x, rows, directions, count, vectors.make(), vectors.make()};
  SubspaceSearchResult<T> result;
  result.step = vectors.make();
  const auto n = static_cast<std::size_t>(count);
  Coordinates a(n, 0.0), best(n, 0.0), g(n), next(n), next_g(n), d(n), y(n);
  std::vector<double> h(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) h[i * n + i] = 1;

  double f = value;
  if (gradient != nullptr) {
    g = space.project(vectors, gradient);
  } else {
    f = co_await evaluate(session, objective, space, a, g, options.samples);
    ++result.evaluations;
  }
  result.start = result.value = f;
  const double target = options.tolerance * std::sqrt(dot(g, g));
  while (result.evaluations < options.max_evaluations && !session.stopped() && std::sqrt(dot(g, g)) > target) {
    for (std::size_t i = 0; i < n; ++i) {
      d[i] = 0;
      for (std::size_t j = 0; j < n; ++j) d[i] -= h[i * n + j] * g[j];
    }
    const double slope = dot(g, d);
    if (!(slope < 0)) break;
    double low = 0, high = std::numeric_limits<double>::infinity(), t = 1, there = f;
    bool found = false;
    while (result.evaluations < options.max_evaluations && !session.stopped()) {
      for (std::size_t i = 0; i < n; ++i) next[i] = a[i] + t * d[i];
      there = co_await evaluate(session, objective, space, next, next_g, options.samples);
      ++result.evaluations;
      if (there < result.value) result.value = there, best = next;
      if (!(there <= f + kDecrease * t * slope)) {
        high = t;
      } else if (dot(next_g, d) < kCurvature * slope) {
        low = t;
      } else {
        found = true;
        break;
      }
      t = std::isinf(high) ? 2 * low : (low + high) / 2;
    }
    if (!found) break;
    for (std::size_t i = 0; i < n; ++i) {
      d[i] = next[i] - a[i];  // s
      y[i] = next_g[i] - g[i];
    }
    const double ys = dot(y, d);
    if (ys > std::numeric_limits<double>::epsilon() * dot(y, y)) update_inverse(h, d, y, ys);
    a = next;
    g = next_g;
    f = there;
  }
  if (result.value < result.start) vectors.add_rows(space.coefficients(best), rows, result.step.data());
  co_return result;
}

template Procedure<SubspaceSearchResult<float>> subspace_search(Session&, Objective<float>&, const float*, const float*,
                                                                std::int64_t, const double*, const float*, double,
                                                                SubspaceSearchOptions);
template Procedure<SubspaceSearchResult<double>> subspace_search(Session&, Objective<double>&, const double*,
                                                                 const double*, std::int64_t, const double*,
                                                                 const double*, double, SubspaceSearchOptions);

}  // namespace krylov
