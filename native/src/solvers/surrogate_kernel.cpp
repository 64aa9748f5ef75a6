// The tangent kernel of networks that learn with surrogate derivatives (Eilers,
// Memmesheimer, Goedeke 2024, arXiv 2405.15539): closed forms for erf and sign,
// and the kernel of one network.
#include <algorithm>
#include <cmath>
#include <vector>

#include "krylov/tangent_kernels.h"

namespace krylov {

namespace {

constexpr double kPi = 3.14159265358979323846;
// Where the correlation of two inputs is 1, arcsin would turn a rounding error e into sqrt(2 e), layer after layer.
constexpr double kWhole = 1e-14;

// What the width of the activation adds to a variance: 1 / (2 m^2), 0 for the sign.
double softening(double sharpness) noexcept { return 1 / (2 * sharpness * sharpness); }

double arcsine(double correlation) noexcept {
  if (correlation >= 1 - kWhole) return kPi / 2;
  if (correlation <= kWhole - 1) return -kPi / 2;
  return std::asin(correlation);
}

double dot(const double* x, const double* y, std::int64_t n) noexcept {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

// Sigma(x, x) of each row, layer by layer: [layers, rows].
std::vector<double> variances(const SurrogateNetwork& net, std::int64_t layers, const KernelRows& rows) {
  const double w = net.weight_std * net.weight_std, b = net.bias_std * net.bias_std, c = softening(net.sharpness);
  std::vector<double> result(static_cast<std::size_t>(layers * rows.rows));
  for (std::int64_t r = 0; r < rows.rows; ++r) {
    const double* x = rows.data + r * rows.columns;
    double value = w / double(rows.columns) * dot(x, x, rows.columns) + b;
    for (std::int64_t l = 0; l < layers; ++l) {
      result[static_cast<std::size_t>(l * rows.rows + r)] = value;
      value = 2 * w / kPi * arcsine(value / (c + value)) + b;
    }
  }
  return result;
}

// Forward through one network: inputs of each layer and its sums, row by row.
struct Trace {
  std::vector<std::vector<double>> inputs, sums, deltas;  // [layer][rows, width]
};

double activation_of(const SurrogateNetwork& net, double z) noexcept {
  if (std::isinf(net.sharpness)) return double(z > 0) - double(z < 0);
  return std::erf(net.sharpness * z);
}

double slope_of(const SurrogateNetwork& net, bool true_slope, double z) noexcept {
  if (!true_slope) return surrogate_slope(net.surrogate, net.beta, z);
  return std::isinf(net.sharpness) ? 0.0 : surrogate_slope(Surrogate::kErf, net.sharpness, z);
}

Trace trace_of(const SurrogateNetwork& net, std::span<const std::int64_t> widths, const double* parameters,
               bool true_slope, const KernelRows& rows) {
  Trace trace;
  trace.inputs.emplace_back(rows.data, rows.data + rows.rows * rows.columns);
  std::vector<const double*> weights;
  std::int64_t inputs = rows.columns;
  for (std::size_t l = 0; l < widths.size(); ++l) {
    const std::int64_t units = widths[l];
    const double* bias = parameters + units * inputs;
    const double scale = net.weight_std / std::sqrt(double(inputs));
    std::vector<double> z(static_cast<std::size_t>(rows.rows * units));
    for (std::int64_t r = 0; r < rows.rows; ++r) {
      for (std::int64_t u = 0; u < units; ++u) {
        const double product = dot(parameters + u * inputs, trace.inputs[l].data() + r * inputs, inputs);
        z[static_cast<std::size_t>(r * units + u)] = scale * product + net.bias_std * bias[u];
      }
    }
    std::vector<double> a(z.size());
    std::transform(z.begin(), z.end(), a.begin(), [&](double value) { return activation_of(net, value); });
    trace.sums.push_back(std::move(z));
    if (l + 1 < widths.size()) trace.inputs.push_back(std::move(a));
    weights.push_back(parameters);
    parameters = bias + units;
    inputs = units;
  }
  trace.deltas.resize(widths.size());
  trace.deltas.back().assign(static_cast<std::size_t>(rows.rows), 1.0);
  for (std::size_t l = widths.size() - 1; l-- > 0;) {
    const std::int64_t units = widths[l], above = widths[l + 1];
    const double scale = net.weight_std / std::sqrt(double(units));
    std::vector<double>& delta = trace.deltas[l];
    delta.assign(static_cast<std::size_t>(rows.rows * units), 0.0);
    for (std::int64_t r = 0; r < rows.rows; ++r) {
      double* row = delta.data() + r * units;
      for (std::int64_t o = 0; o < above; ++o) {
        const double d = trace.deltas[l + 1][static_cast<std::size_t>(r * above + o)] * scale;
        for (std::int64_t u = 0; u < units; ++u) row[u] += d * weights[l + 1][o * units + u];
      }
      for (std::int64_t u = 0; u < units; ++u) {
        row[u] *= slope_of(net, true_slope, trace.sums[l][static_cast<std::size_t>(r * units + u)]);
      }
    }
  }
  return trace;
}

}  // namespace

double surrogate_slope(Surrogate surrogate, double beta, double z) noexcept {
  const double u = beta * z;
  switch (surrogate) {
    case Surrogate::kErf: return 2 * beta / std::sqrt(kPi) * std::exp(-u * u);
    case Surrogate::kStraightThrough: return 1;
    case Surrogate::kClippedStraightThrough: return std::abs(u) <= 1 ? 1 : 0;
    case Surrogate::kTanh: {
      const double t = std::tanh(u);
      return beta * (1 - t * t);
    }
    case Surrogate::kSigmoid: {
      const double e = std::exp(-std::abs(u));
      return 2 * beta * e / ((1 + e) * (1 + e));
    }
    case Surrogate::kSuperSpike: return 1 / ((1 + std::abs(u)) * (1 + std::abs(u)));
    case Surrogate::kArctan: return 1 / (1 + 0.25 * kPi * kPi * u * u);
    case Surrogate::kTriangle: return std::max(0.0, 1 - std::abs(u));
  }
  return 1;
}

void surrogate_kernel(const SurrogateNetwork& net, std::int64_t layers, const KernelRows& left, const KernelRows& right,
                      double* kernel, double* covariances) {
  const double w = net.weight_std * net.weight_std, b = net.bias_std * net.bias_std;
  const double c = softening(net.sharpness), k = softening(net.beta);
  const std::vector<double> at_left = variances(net, layers, left), at_right = variances(net, layers, right);
  for (std::int64_t i = 0; i < left.rows; ++i) {
    for (std::int64_t j = 0; j < right.rows; ++j) {
      double sigma = w / double(left.columns) *
                         dot(left.data + i * left.columns, right.data + j * right.columns, left.columns) + b;
      double value = sigma;
      for (std::int64_t l = 0; l < layers; ++l) {
        if (covariances != nullptr) covariances[(l * left.rows + i) * right.rows + j] = sigma;
        if (l + 1 == layers) break;
        const double x = at_left[static_cast<std::size_t>(l * left.rows + i)];
        const double y = at_right[static_cast<std::size_t>(l * right.rows + j)];
        const double slope = net.surrogate == Surrogate::kErf
                                 ? 2 * w / kPi / std::sqrt((c + x) * (k + y) - sigma * sigma)
                                 : w * std::sqrt(2 / kPi) / std::sqrt(c + x);
        sigma = 2 * w / kPi * arcsine(sigma / std::sqrt((c + x) * (c + y))) + b;
        value = value * slope + sigma;
      }
      kernel[i * right.rows + j] = value;
    }
  }
}

void finite_surrogate_kernel(const SurrogateNetwork& net, std::span<const std::int64_t> widths,
                             const double* parameters, bool left_true, const KernelRows& left, const KernelRows& right,
                             double* kernel, double* outputs) {
  const Trace a = trace_of(net, widths, parameters, left_true, left);
  const Trace b = trace_of(net, widths, parameters, false, right);
  if (outputs != nullptr) std::copy(a.sums.back().begin(), a.sums.back().end(), outputs);
  std::fill_n(kernel, left.rows * right.rows, 0.0);
  const double w = net.weight_std * net.weight_std, bias = net.bias_std * net.bias_std;
  std::int64_t inputs = left.columns;
  for (std::size_t l = 0; l < widths.size(); ++l) {
    const std::int64_t units = widths[l];
    for (std::int64_t i = 0; i < left.rows; ++i) {
      for (std::int64_t j = 0; j < right.rows; ++j) {
        const double x = dot(a.inputs[l].data() + i * inputs, b.inputs[l].data() + j * inputs, inputs);
        const double d = dot(a.deltas[l].data() + i * units, b.deltas[l].data() + j * units, units);
        kernel[i * right.rows + j] += (w / double(inputs) * x + bias) * d;
      }
    }
    inputs = units;
  }
}

}  // namespace krylov
