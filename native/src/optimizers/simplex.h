// Quadratic programs on the simplex {w >= 0, sum w = 1}, of as many unknowns as there are tasks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace krylov {

class SimplexProgram {
 public:
  explicit SimplexProgram(std::int64_t size);

  // The least of w'Qw / 2 + r'w to rounding, by an active set, where Q [size, size] are the products of points g_i and
  // r_i = g_i . h those with another vector: the point of their hull that is nearest to -h. r null: h = 0. Of several
  // solutions one whose points are affinely independent.
  void solve(const double* q, const double* r, std::span<double> w);

  // The least of w'Qw by Frank-Wolfe steps with exact line search; stops where |change of w|_1 < tolerance.
  void frank_wolfe(const double* q, int max_iterations, double tolerance, std::span<double> w) noexcept;

 private:
  bool least_on_plane(const double* q, const double* r);
  std::int64_t size_;
  std::vector<std::int64_t> active_;
  std::vector<double> matrix_, diagonal_, target_, slope_;
};

// w'Qw, not below zero.
double quadratic_form(const double* q, std::span<const double> w) noexcept;

}  // namespace krylov
