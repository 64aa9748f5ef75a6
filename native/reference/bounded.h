// A number with a bound on the rounding error of a computation in another
// arithmetic that follows the same formulas: running error analysis (Wilkinson;
// Higham, Accuracy and Stability of Numerical Algorithms, 3.3). A test runs the
// twin on Bounded numbers and holds the fast path to the bound that comes out,
// instead of to a guessed tolerance. Sums are bounded for any order of summation.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "krylov/spec.h"

namespace krylov::reference {

struct Bounded {
  double value = 0;
  double error = 0;

  Bounded() = default;
  Bounded(double exact) : value(exact) {}  // NOLINT: numbers convert
  Bounded(double v, double e) : value(v), error(e) {}

  // Unit roundoff of the arithmetic that is bounded plus that of the twin itself.
  static double unit;
};

inline Bounded operator+(Bounded a, Bounded b) {
  const double v = a.value + b.value;
  return {v, a.error + b.error + Bounded::unit * std::abs(v)};
}
inline Bounded operator-(Bounded a, Bounded b) { return a + Bounded(-b.value, b.error); }
inline Bounded operator*(Bounded a, Bounded b) {
  const double v = a.value * b.value;
  const double carried = std::abs(a.value) * b.error + std::abs(b.value) * a.error + a.error * b.error;
  return {v, carried + Bounded::unit * (std::abs(v) + carried)};
}
inline Bounded operator/(Bounded a, Bounded b) {
  const double v = a.value / b.value;
  const double carried = (a.error + std::abs(v) * b.error) / (std::abs(b.value) - b.error);
  return {v, carried + Bounded::unit * (std::abs(v) + carried)};
}
inline Bounded sqrt(Bounded a) {
  const double v = std::sqrt(a.value);
  const double carried = v - std::sqrt(std::max(0.0, a.value - a.error));
  return {v, carried + Bounded::unit * (v + carried)};
}

inline double value_of(double a) { return a; }
inline double value_of(Bounded a) { return a.value; }

inline double sum(const std::vector<double>& terms) {
  double total = 0;
  for (const double t : terms) total += t;
  return total;
}
inline Bounded sum(const std::vector<Bounded>& terms) {
  double total = 0, size = 0, carried = 0;
  for (const Bounded& t : terms) {
    total += t.value;
    size += std::abs(t.value) + t.error;
    carried += t.error;
  }
  return {total, carried + static_cast<double>(terms.size()) * Bounded::unit * size};
}

// phi(z), phi'(z) and phi''(z); at a kink the value from the left.
double activate(const ActivationSpec& spec, double z);
double activation_slope(const ActivationSpec& spec, double z);
double activation_curvature(const ActivationSpec& spec, double z);
Bounded activate(const ActivationSpec& spec, Bounded z);
Bounded activation_slope(const ActivationSpec& spec, Bounded z);
Bounded activation_curvature(const ActivationSpec& spec, Bounded z);

}  // namespace krylov::reference
