#include "krylov/initialisers.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "krylov/rng.h"
#include "random/orthogonal.h"

namespace krylov {
namespace {

// Where a draw comes from.
struct Source {
  std::uint64_t seed;
  std::uint32_t tensor;
};

void draw_normal(Source source, double deviation, std::span<double> out) noexcept {
  fill_normal(source.seed, Stream::kInitialise, source.tensor, 0, out);
  for (double& x : out) x *= deviation;
}

void draw_uniform(Source source, double bound, std::span<double> out) noexcept {
  fill_uniform01(source.seed, Stream::kInitialise, source.tensor, 0, out);
  for (double& x : out) x = (2.0 * x - 1.0) * bound;
}

// Phi(-limit), by bisection on our own quantile.
double lower_tail(double limit) noexcept {
  double low = 0.0;
  double high = 0.5;
  for (int i = 0; i < 64; ++i) {
    const double middle = 0.5 * (low + high);
    (normal_quantile(middle) < -limit ? low : high) = middle;
  }
  return high;
}

// Inversion on the part of (0, 1) that the cut leaves: one draw an entry.
void draw_truncated(Source source, double deviation, double limit, std::span<double> out) noexcept {
  const double low = lower_tail(limit);
  fill_uniform01(source.seed, Stream::kInitialise, source.tensor, 0, out);
  for (double& x : out) {
    const double p = std::clamp(low + x * (1.0 - 2.0 * low), 0x1p-54, 1.0 - 0x1p-53);
    x = std::clamp(normal_quantile(p), -limit, limit) * deviation;
  }
}

// Martens, "Deep learning via Hessian-free optimization" (ICML 2010), section 5:
// the incoming weights of a unit are thinned, a row here. Columns by Floyd's
// method of sampling without replacement (Bentley, Floyd, CACM 1987).
void draw_sparse(Source source, const InitialiserSpec& spec, std::size_t rows, std::size_t columns,
                 std::span<double> out) {
  const std::size_t kept = std::min(static_cast<std::size_t>(spec.connections), columns);
  RandomSequence sequence(source.seed, Stream::kConnections, source.tensor);
  std::vector<std::size_t> last_row(columns, 0);  // 1 + the last row that took the column
  std::fill(out.begin(), out.end(), 0.0);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t j = columns - kept; j < columns; ++j) {
      std::size_t column = sequence.below(static_cast<std::uint32_t>(j + 1));
      if (last_row[column] == r + 1) column = j;
      last_row[column] = r + 1;
      const std::size_t i = r * columns + column;
      out[i] = spec.deviation * normal(source.seed, Stream::kInitialise, source.tensor, i);
    }
  }
}

// Saxe, McClelland, Ganguli (ICLR 2014). Q of a normal matrix [max, min] with
// R's diagonal positive is uniform over the orthogonal matrices (Mezzadri 2007).
void draw_orthogonal(Source source, double gain, std::size_t rows, std::size_t columns, std::span<double> out) {
  fill_normal(source.seed, Stream::kInitialise, source.tensor, 0, out);
  if (rows < columns) {
    orthonormalise(static_cast<std::int64_t>(columns), static_cast<std::int64_t>(rows), out);
    for (double& x : out) x *= gain;
    return;
  }
  std::vector<double> transposed(out.size());
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) transposed[c * rows + r] = out[r * columns + c];
  }
  orthonormalise(static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns), transposed);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) out[r * columns + c] = gain * transposed[c * rows + r];
  }
}

bool not_negative(double x) noexcept { return std::isfinite(x) && x >= 0.0; }

Status check(const InitialiserSpec& spec) noexcept {
  const auto option = [](const char* name, const char* expected) {
    return Status::error(ErrorCode::kOption, name, expected);
  };
  if (!not_negative(spec.gain)) return option("initialiser.gain", "a finite number >= 0");
  if (!std::isfinite(spec.value)) return option("initialiser.value", "a finite number");
  if (!not_negative(spec.deviation)) return option("initialiser.deviation", "a finite number >= 0");
  if (!not_negative(spec.bound)) return option("initialiser.bound", "a finite number >= 0");
  if (!(spec.limit > 0.0)) return option("initialiser.limit", "a number > 0");
  if (spec.connections < 1) {
    return Status::error(ErrorCode::kOption, "initialiser.connections", "an integer >= 1", spec.connections);
  }
  return Status::success();
}

}  // namespace

double activation_gain(Activation activation, double slope) noexcept {
  switch (activation) {
    case Activation::kTanh: return 5.0 / 3.0;
    case Activation::kRelu: return std::sqrt(2.0);
    case Activation::kLeakyRelu: return std::sqrt(2.0 / (1.0 + slope * slope));
    case Activation::kSelu: return 0.75;
    default: return 1.0;
  }
}

Status initialise_weight(const InitialiserSpec& spec, std::uint64_t seed, std::uint32_t tensor_index, std::int64_t out,
                         std::int64_t in, std::span<double> weight) {
  // Columns are chosen by 32-bit draws, hence the bound on the inputs.
  if (out < 1 || in < 1 || in > 0xffffffff) {
    return Status::error(ErrorCode::kShape, "weight", "[out, in] with 1 <= out and 1 <= in < 2^32", out, in);
  }
  const auto rows = static_cast<std::size_t>(out);
  const auto columns = static_cast<std::size_t>(in);
  if (weight.size() / columns != rows || weight.size() % columns != 0) {
    return Status::error(ErrorCode::kShape, "weight", "out * in entries", out, in);
  }
  if (Status status = check(spec); !status.ok()) return status;

  const Source source{seed, tensor_index};
  const double fan_in = static_cast<double>(in);
  const double fan_out = static_cast<double>(out);
  const double inverse_root_in = 1.0 / std::sqrt(fan_in);
  const double xavier = spec.gain * std::sqrt(2.0 / (fan_in + fan_out));
  const double he = spec.gain / std::sqrt(spec.mode == Fan::kIn ? fan_in : fan_out);
  const double root3 = std::sqrt(3.0);  // bound of a uniform variable over its deviation
  switch (spec.kind) {
    case Initialiser::kZeros: std::fill(weight.begin(), weight.end(), 0.0); break;
    case Initialiser::kConstant: std::fill(weight.begin(), weight.end(), spec.value); break;
    case Initialiser::kNormal: draw_normal(source, spec.deviation, weight); break;
    case Initialiser::kUniform: draw_uniform(source, spec.bound, weight); break;
    case Initialiser::kFanInNormal:
    case Initialiser::kLecunNormal: draw_normal(source, inverse_root_in, weight); break;
    case Initialiser::kLecunUniform: draw_uniform(source, root3 * inverse_root_in, weight); break;
    case Initialiser::kXavierNormal: draw_normal(source, xavier, weight); break;
    case Initialiser::kXavierUniform: draw_uniform(source, root3 * xavier, weight); break;
    case Initialiser::kHeNormal: draw_normal(source, he, weight); break;
    case Initialiser::kHeUniform: draw_uniform(source, root3 * he, weight); break;
    case Initialiser::kTorchLinear: draw_uniform(source, inverse_root_in, weight); break;
    case Initialiser::kSparse: draw_sparse(source, spec, rows, columns, weight); break;
    case Initialiser::kOrthogonal: draw_orthogonal(source, spec.gain, rows, columns, weight); break;
    case Initialiser::kTruncatedNormal: draw_truncated(source, spec.deviation, spec.limit, weight); break;
  }
  return Status::success();
}

Status initialise_bias(const InitialiserSpec& spec, std::uint64_t seed, std::uint32_t tensor_index, std::int64_t in,
                       std::span<double> bias) {
  if (in < 1) return Status::error(ErrorCode::kShape, "bias", "a layer of at least one input", in);
  if (Status status = check(spec); !status.ok()) return status;
  const Source source{seed, tensor_index};
  switch (spec.kind) {
    case Initialiser::kZeros: std::fill(bias.begin(), bias.end(), 0.0); break;
    case Initialiser::kConstant: std::fill(bias.begin(), bias.end(), spec.value); break;
    case Initialiser::kNormal: draw_normal(source, spec.deviation, bias); break;
    case Initialiser::kUniform: draw_uniform(source, spec.bound, bias); break;
    case Initialiser::kTorchLinear: draw_uniform(source, 1.0 / std::sqrt(static_cast<double>(in)), bias); break;
    default:
      return Status::error(ErrorCode::kOption, "biasInitialiser", "zeros, constant, normal, uniform or torchLinear");
  }
  return Status::success();
}

}  // namespace krylov
