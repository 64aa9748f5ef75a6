// Activations by their definitions, with bounds on what their first and second
// derivatives can make of an error in z.
#include <algorithm>
#include <cmath>

#include "reference/bounded.h"

namespace krylov::reference {

double Bounded::unit = 0;

namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kSeluScale = 1.0507009873554804934193349852946;
constexpr double kSeluAlpha = 1.6732632423543772848170429916717;

double logistic(double z) { return z >= 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z)); }

double tanh_argument(double z) { return std::sqrt(2 / kPi) * (z + 0.044715 * z * z * z); }

// What stands for the derivative of a sign, by its definition.
double surrogate(const ActivationSpec& spec, double z) {
  const double beta = spec.parameter, u = beta * z, size = std::abs(u);
  switch (spec.surrogate) {
    case Surrogate::kErf: return beta * 2 / std::sqrt(kPi) * std::exp(-u * u);
    case Surrogate::kStraightThrough: return 1;
    case Surrogate::kClippedStraightThrough: return size > 1 ? 0 : 1;
    case Surrogate::kTanh: return beta / (std::cosh(u) * std::cosh(u));
    case Surrogate::kSigmoid: return 2 * beta * logistic(u) * logistic(-u);
    case Surrogate::kSuperSpike: return std::pow(1 + size, -2);
    case Surrogate::kArctan: return 1 / (1 + std::pow(0.5 * kPi * u, 2));
    case Surrogate::kTriangle: return size < 1 ? 1 - size : 0;
  }
  return 1;
}

// Suprema over z, for the interval that an error leaves open.
struct Bounds {
  double slope;      // of |phi'|
  double curvature;  // of |phi''| away from the kink
  double jump;       // of phi' at z = 0
  double third;      // of |phi'''| away from the kink
  double bend;       // jump of phi'' at z = 0
};

// For a sign, as if the surrogate were the derivative; a jump is not at 0.
Bounds surrogate_bounds(const ActivationSpec& spec) {
  const double beta = spec.parameter;
  switch (spec.surrogate) {
    case Surrogate::kErf: return {1.13 * beta, 0.97 * beta * beta, 0, 0, 0};
    case Surrogate::kStraightThrough: case Surrogate::kClippedStraightThrough: return {1, 0, 0, 0, 0};
    case Surrogate::kTanh: return {beta, 0.77 * beta * beta, 0, 0, 0};
    case Surrogate::kSigmoid: return {0.5 * beta, 0.2 * beta * beta, 0, 0, 0};
    case Surrogate::kSuperSpike: return {1, 2 * beta, 0, 0, 0};
    case Surrogate::kArctan: return {1, 1.03 * beta, 0, 0, 0};
    case Surrogate::kTriangle: return {1, beta, 0, 0, 0};
  }
  return {1, 0, 0, 0, 0};
}

Bounds bounds_of(const ActivationSpec& spec) {
  const double p = spec.parameter;
  switch (spec.kind) {
    case Activation::kIdentity: return {1, 0, 0, 0, 0};
    case Activation::kRelu: return {1, 0, 1, 0, 0};
    case Activation::kLeakyRelu: return {std::max(1.0, std::abs(p)), 0, std::abs(1 - p), 0, 0};
    case Activation::kElu: return {std::max(1.0, p), p, std::abs(1 - p), p, p};
    case Activation::kSelu:
      return {kSeluScale * kSeluAlpha, kSeluScale * kSeluAlpha, kSeluScale * (kSeluAlpha - 1), kSeluScale * kSeluAlpha,
              kSeluScale * kSeluAlpha};
    case Activation::kGelu: return {1.13, 0.80, 0, 0.78, 0};
    case Activation::kGeluTanh: return {1.13, 0.81, 0, 0.79, 0};
    case Activation::kSilu: return {1.10, 0.51, 0, 0.31, 0};
    case Activation::kTanh: return {1, 0.77, 0, 2, 0};
    case Activation::kSigmoid: return {0.25, 0.097, 0, 0.125, 0};
    case Activation::kSoftplus: return {1, p / 4, 0, 0.097 * p * p, 0};
    case Activation::kSoftsign: return {1, 2, 0, 6, 4};
    case Activation::kSign: case Activation::kStep: return surrogate_bounds(spec);
  }
  return {1, 0, 0, 0, 0};
}

// Rounding errors of an elementary function of at most 4 ULP and the few
// operations around it. Where phi is a difference or a product with a
// cumulative distribution the error is relative to z, not to phi.
constexpr double kRoundings = 12;

}  // namespace

double activate(const ActivationSpec& spec, double z) {
  const double p = spec.parameter;
  switch (spec.kind) {
    case Activation::kIdentity: return z;
    case Activation::kRelu: return z > 0 ? z : 0;
    case Activation::kLeakyRelu: return z > 0 ? z : p * z;
    case Activation::kElu: return z > 0 ? z : p * std::expm1(z);
    case Activation::kSelu: return kSeluScale * (z > 0 ? z : kSeluAlpha * std::expm1(z));
    case Activation::kGelu: return z * 0.5 * std::erfc(-z / std::sqrt(2.0));
    case Activation::kGeluTanh: return 0.5 * z * (1 + std::tanh(tanh_argument(z)));
    case Activation::kSilu: return z * logistic(z);
    case Activation::kTanh: return std::tanh(z);
    case Activation::kSigmoid: return logistic(z);
    case Activation::kSoftplus: return (std::max(p * z, 0.0) + std::log1p(std::exp(-std::abs(p * z)))) / p;
    case Activation::kSoftsign: return z / (1 + std::abs(z));
    case Activation::kSign: return z > 0 ? 1 : z < 0 ? -1 : 0;
    case Activation::kStep: return z > 0 ? 1 : 0;
  }
  return z;
}

double activation_slope(const ActivationSpec& spec, double z) {
  const double p = spec.parameter;
  switch (spec.kind) {
    case Activation::kIdentity: return 1;
    case Activation::kRelu: return z > 0 ? 1 : 0;
    case Activation::kLeakyRelu: return z > 0 ? 1 : p;
    case Activation::kElu: return z > 0 ? 1 : p * std::exp(z);
    case Activation::kSelu: return kSeluScale * (z > 0 ? 1 : kSeluAlpha * std::exp(z));
    case Activation::kGelu:
      return 0.5 * std::erfc(-z / std::sqrt(2.0)) + z * std::exp(-0.5 * z * z) / std::sqrt(2 * kPi);
    case Activation::kGeluTanh: {
      const double t = std::tanh(tanh_argument(z));
      return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * std::sqrt(2 / kPi) * (1 + 3 * 0.044715 * z * z);
    }
    case Activation::kSilu: return logistic(z) * (1 + z * logistic(-z));
    case Activation::kTanh: return 1 / (std::cosh(z) * std::cosh(z));
    case Activation::kSigmoid: return logistic(z) * logistic(-z);
    case Activation::kSoftplus: return logistic(p * z);
    case Activation::kSoftsign: return 1 / ((1 + std::abs(z)) * (1 + std::abs(z)));
    case Activation::kSign: return surrogate(spec, z);
    case Activation::kStep: return 0.5 * surrogate(spec, z);
  }
  return 1;
}

double activation_curvature(const ActivationSpec& spec, double z) {
  const double p = spec.parameter;
  switch (spec.kind) {
    case Activation::kIdentity: case Activation::kRelu: case Activation::kLeakyRelu: return 0;
    case Activation::kSign: case Activation::kStep: return 0;
    case Activation::kElu: return z > 0 ? 0 : p * std::exp(z);
    case Activation::kSelu: return z > 0 ? 0 : kSeluScale * kSeluAlpha * std::exp(z);
    case Activation::kGelu: return (2 - z * z) * std::exp(-0.5 * z * z) / std::sqrt(2 * kPi);
    case Activation::kGeluTanh: {
      const double c = std::sqrt(2 / kPi), u = tanh_argument(z);
      const double du = c * (1 + 3 * 0.044715 * z * z), ddu = 6 * c * 0.044715 * z;
      const double q = 1 / (std::cosh(u) * std::cosh(u));
      return q * du + 0.5 * z * (q * ddu - 2 * std::tanh(u) * q * du * du);
    }
    case Activation::kSilu: {
      const double s = logistic(z), r = logistic(-z);
      return s * r * (2 + z * (r - s));
    }
    case Activation::kTanh: return -2 * std::tanh(z) / (std::cosh(z) * std::cosh(z));
    case Activation::kSigmoid: return logistic(z) * logistic(-z) * (logistic(-z) - logistic(z));
    case Activation::kSoftplus: return p * logistic(p * z) * logistic(-p * z);
    case Activation::kSoftsign: {
      const double d = 1 + std::abs(z);
      return z == 0 ? 0 : (z > 0 ? -2 : 2) / (d * d * d);
    }
  }
  return 0;
}

Bounded activate(const ActivationSpec& spec, Bounded z) {
  const double v = activate(spec, z.value);
  if (spec.kind == Activation::kIdentity || spec.kind == Activation::kRelu) return {v, z.error};
  if (has_surrogate(spec.kind)) return {v, z.error > 0 && std::abs(z.value) <= z.error ? 2.0 : 0.0};
  const double size = std::max(std::abs(v), std::abs(z.value));
  return {v, bounds_of(spec).slope * z.error + kRoundings * Bounded::unit * size};
}

Bounded activation_slope(const ActivationSpec& spec, Bounded z) {
  const double v = activation_slope(spec, z.value);
  if (spec.kind == Activation::kIdentity) return {v, 0};
  const Bounds b = bounds_of(spec);
  double error = b.curvature * z.error;
  if (b.jump > 0 && std::abs(z.value) <= z.error) error += b.jump;
  if (has_surrogate(spec.kind) && spec.surrogate == Surrogate::kClippedStraightThrough) {
    // Its jumps are at |beta z| = 1.
    const double gap = std::abs(std::abs(spec.parameter * z.value) - 1);
    if (gap > 0 && gap <= spec.parameter * z.error + 2 * Bounded::unit) error += 1;
  }
  // From a saved output, slopes are differences of numbers of the size of the largest slope.
  const double growth = 1 + std::abs(z.value) + 0.05 * std::abs(z.value * z.value * z.value);
  if (spec.kind != Activation::kRelu) error += kRoundings * Bounded::unit * std::max(1.0, b.slope) * growth;
  return {v, error};
}

Bounded activation_curvature(const ActivationSpec& spec, Bounded z) {
  const double v = activation_curvature(spec, z.value);
  const Bounds b = bounds_of(spec);
  if (b.curvature == 0 || has_surrogate(spec.kind)) return {v, 0};
  double error = b.third * z.error;
  if (b.bend > 0 && std::abs(z.value) <= z.error) error += b.bend;
  // From a saved output, differences of numbers of the size of the largest slope; the three that start from z are
  // products, whose arguments' roundings count in full.
  const double growth = 1 + std::abs(z.value) + 0.05 * std::abs(z.value * z.value * z.value);
  return {v, error + kRoundings * Bounded::unit * std::max(1.0, b.curvature) * growth};
}

}  // namespace krylov::reference
