#include "optimizers/simplex.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "solvers/dense.h"

namespace krylov {

namespace {

// Below this share of its row a pivot is rounding: the points are not affinely independent.
constexpr double kDependent = 1e-13;
// Of the sizes that a slope is summed from.
constexpr double kSlopeRounding = 16 * std::numeric_limits<double>::epsilon();

}  // namespace

SimplexProgram::SimplexProgram(std::int64_t size)
    : size_(size),
      matrix_(static_cast<std::size_t>(size * size)),
      diagonal_(static_cast<std::size_t>(size)),
      target_(static_cast<std::size_t>(size)),
      slope_(static_cast<std::size_t>(size)) {
  active_.reserve(static_cast<std::size_t>(size));
}

double quadratic_form(const double* q, std::span<const double> w) noexcept {
  const std::size_t n = w.size();
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; w[i] != 0 && j < n; ++j) sum += w[i] * q[i * n + j] * w[j];
  }
  return std::max(sum, 0.0);
}

// The least on the plane sum w = 1 through the active points, whatever the signs, in target_. In differences to the
// shortest point, which keeps what is small exact where another one is long. False where they are dependent.
bool SimplexProgram::least_on_plane(const double* q, const double* r) {
  const auto at = [&](std::int64_t i, std::int64_t j) { return q[i * size_ + j]; };
  const auto linear = [&](std::int64_t i) { return r == nullptr ? 0.0 : r[i]; };
  const auto shortest = std::min_element(active_.begin(), active_.end(),
                                         [&](std::int64_t a, std::int64_t b) { return at(a, a) < at(b, b); });
  const std::int64_t base = *shortest, m = static_cast<std::int64_t>(active_.size()) - 1;
  const auto other = [&](std::int64_t k) {
    const std::int64_t place = shortest - active_.begin();
    return active_[static_cast<std::size_t>(k < place ? k : k + 1)];
  };
  double* d = matrix_.data();
  for (std::int64_t a = 0; a < m; ++a) {
    const std::int64_t i = other(a);
    for (std::int64_t b = 0; b <= a; ++b) {
      const std::int64_t j = other(b);
      d[a * m + b] = (at(i, j) - at(i, base)) - (at(base, j) - at(base, base));
    }
    diagonal_[static_cast<std::size_t>(a)] = d[a * m + a];
  }
  if (m > 0 && !cholesky(d, m)) return false;
  for (std::int64_t a = 0; a < m; ++a) {
    const double pivot = d[a * m + a];
    if (!(pivot * pivot > kDependent * diagonal_[static_cast<std::size_t>(a)])) return false;
  }
  for (std::int64_t a = 0; a < m; ++a) {
    const std::int64_t i = other(a);
    slope_[static_cast<std::size_t>(a)] = (at(base, base) - at(i, base)) + (linear(base) - linear(i));
  }
  if (m > 0) cholesky_solve(d, m, slope_.data());
  double rest = 1;
  for (std::int64_t a = 0; a < m; ++a) {
    target_[static_cast<std::size_t>(other(a))] = slope_[static_cast<std::size_t>(a)];
    rest -= slope_[static_cast<std::size_t>(a)];
  }
  target_[static_cast<std::size_t>(base)] = rest;
  return true;
}

// Wolfe 1976, "Finding the nearest point in a polytope", on the Gram matrix, with a linear term. The active points are
// affinely independent; a point joins them where the objective falls towards it, and those leave whose weight would
// become negative. A point in the plane of the active ones never joins, since the objective is level there: this asks
// for a linear term of the form r_i = g_i . h.
void SimplexProgram::solve(const double* q, const double* r, std::span<double> w) {
  const auto n = static_cast<std::size_t>(size_);
  const auto linear = [&](std::size_t i) { return r == nullptr ? 0.0 : r[i]; };
  std::size_t first = 0;
  const auto at_vertex = [&](std::size_t i) { return 0.5 * q[i * n + i] + linear(i); };
  for (std::size_t i = 1; i < n; ++i) {
    if (at_vertex(i) < at_vertex(first)) first = i;
  }
  std::fill(w.begin(), w.end(), 0.0);
  w[first] = 1;
  active_.assign(1, static_cast<std::int64_t>(first));
  // Each round lowers the objective, so that no active set comes twice; the bound is for rounding alone.
  for (std::size_t round = 0; round < 20 * n + 20; ++round) {
    double mean = 0, mean_size = 0, steepest = 0;
    std::size_t joins = n;
    for (std::size_t i = 0; i < n; ++i) {
      double sum = linear(i), size = std::abs(sum);
      for (std::size_t j = 0; j < n; ++j) {
        const double term = q[i * n + j] * w[j];
        sum += term, size += std::abs(term);
      }
      slope_[i] = sum, diagonal_[i] = size;
      mean += w[i] * sum, mean_size += w[i] * size;
    }
    for (std::size_t i = 0; i < n; ++i) {
      const double fall = slope_[i] - mean + kSlopeRounding * (diagonal_[i] + mean_size);
      if (fall < steepest) steepest = fall, joins = i;
    }
    if (joins == n || std::find(active_.begin(), active_.end(), static_cast<std::int64_t>(joins)) != active_.end()) {
      return;
    }
    active_.push_back(static_cast<std::int64_t>(joins));
    while (true) {
      if (!least_on_plane(q, r)) return;
      double share = 1;
      for (const std::int64_t k : active_) {
        const auto i = static_cast<std::size_t>(k);
        if (target_[i] <= 0) share = std::min(share, w[i] / (w[i] - target_[i]));
      }
      // A new point that would leave at once, at weight zero, gains nothing.
      if (!(share > 0) && w[joins] == 0 && target_[joins] <= 0) return;
      std::size_t kept = 0;
      for (const std::int64_t k : active_) {
        const auto i = static_cast<std::size_t>(k);
        const bool leaves = target_[i] <= 0 && w[i] / (w[i] - target_[i]) <= share;
        w[i] = leaves ? 0 : std::max(0.0, w[i] + share * (target_[i] - w[i]));
        if (!leaves) active_[kept++] = k;
      }
      const bool whole = kept == active_.size();
      active_.resize(kept);
      if (whole) break;
    }
  }
}

// Frank & Wolfe 1956; as algorithm 2 of Sener & Koltun 2018 (arXiv 1810.04650), from equal weights.
void SimplexProgram::frank_wolfe(const double* q, int max_iterations, double tolerance, std::span<double> w) noexcept {
  const std::size_t n = w.size();
  std::fill(w.begin(), w.end(), 1.0 / static_cast<double>(n));
  for (int k = 0; k < max_iterations; ++k) {
    std::size_t best = 0;
    double value = 0;
    for (std::size_t i = 0; i < n; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < n; ++j) sum += q[i * n + j] * w[j];
      slope_[i] = sum;
      value += w[i] * sum;
      if (sum < slope_[best]) best = i;
    }
    const double curvature = value - 2 * slope_[best] + q[best * n + best];
    if (!(curvature > 0)) return;
    const double step = std::clamp((value - slope_[best]) / curvature, 0.0, 1.0);
    double change = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double move = step * ((i == best ? 1.0 : 0.0) - w[i]);
      w[i] += move;
      change += std::abs(move);
    }
    if (change < tolerance) return;
  }
}

}  // namespace krylov
