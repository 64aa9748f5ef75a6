#include "tangent_kernels.h"

#include <cmath>
#include <limits>

#include "krylov/tangent_kernels.h"
#include "specs.h"

namespace krylov::binding {

namespace {

constexpr std::int64_t kLargest = std::int64_t(1) << 24;  // of rows, columns, widths

SurrogateNetwork read_surrogate_network(const Napi::Value& value) {
  const Fields fields(value, "network");
  SurrogateNetwork network;
  network.weight_std = fields.number("weightStd", 0);
  network.bias_std = fields.number("biasStd", 0);
  const double sharpness = fields.number("sharpness", 0);  // 0 stands for the sign
  network.sharpness = sharpness == 0 ? std::numeric_limits<double>::infinity() : sharpness;
  network.surrogate = read_surrogate(fields, "surrogate");
  network.beta = fields.number("beta", 0);
  return network;
}

KernelRows kernel_rows(const Napi::Value& value, std::string_view name, std::int64_t rows, std::int64_t columns) {
  return {typed<double>(value, name, rows * columns).data(), rows, columns};
}

struct Sizes {
  std::int64_t left, right, columns;
};

Sizes read_sizes(const Napi::Value& value) {
  const Fields fields(value, "sizes");
  return {fields.integer("left", 0, kLargest), fields.integer("right", 0, kLargest),
          fields.integer("columns", 1, kLargest)};
}

}  // namespace

Napi::Value surrogate_kernel_of(const Napi::CallbackInfo& info) {
  const SurrogateNetwork network = read_surrogate_network(info[0]);
  const std::int64_t layers = integer(info[1], "layers", 1, 1 << 16);
  const Sizes sizes = read_sizes(info[2]);
  if (network.surrogate != Surrogate::kErf && network.surrogate != Surrogate::kStraightThrough) {
    fail(ErrorCode::kOption, "network.surrogate", "'erf' or 'straightThrough'", "another");
  }
  const KernelRows left = kernel_rows(info[3], "left", sizes.left, sizes.columns);
  const KernelRows right = kernel_rows(info[4], "right", sizes.right, sizes.columns);
  double* const kernel = typed<double>(info[5], "kernel", sizes.left * sizes.right).data();
  double* covariances = nullptr;
  if (!info[6].IsNull()) {
    if (double(layers) * double(sizes.left) * double(sizes.right) > double(kLargestInteger)) {
      fail(ErrorCode::kShape, "covariances", "fewer numbers than would fill memory", describe(info[6]));
    }
    covariances = typed<double>(info[6], "covariances", layers * sizes.left * sizes.right).data();
  }
  surrogate_kernel(network, layers, left, right, kernel, covariances);
  return info[5];
}

Napi::Value finite_surrogate_kernel_of(const Napi::CallbackInfo& info) {
  const SurrogateNetwork network = read_surrogate_network(info[0]);
  const Sizes sizes = read_sizes(info[2]);
  const bool left_true = boolean(info[4], "leftTrue");
  const Napi::Array list = array(info[1], "widths", 1 << 16);
  std::vector<std::int64_t> widths;
  double count = 0;
  std::int64_t parameter_count = 0, inputs = sizes.columns;
  for (std::uint32_t i = 0; i < list.Length(); ++i) {
    widths.push_back(integer(list.Get(i), "widths", 1, kLargest));
    count += double(inputs + 1) * double(widths.back());
    if (count > double(kLargestInteger)) fail(ErrorCode::kShape, "widths", "widths that fit in memory", describe(info[1]));
    parameter_count += (inputs + 1) * widths.back();
    inputs = widths.back();
  }
  if (widths.empty() || widths.back() != 1) fail(ErrorCode::kShape, "widths", "a last one of 1", describe(info[1]));
  const double* const parameters = typed<double>(info[3], "parameters", parameter_count).data();
  const KernelRows left = kernel_rows(info[5], "left", sizes.left, sizes.columns);
  const KernelRows right = kernel_rows(info[6], "right", sizes.right, sizes.columns);
  double* const kernel = typed<double>(info[7], "kernel", sizes.left * sizes.right).data();
  double* const outputs = typed<double>(info[8], "outputs", sizes.left).data();
  finite_surrogate_kernel(network, widths, parameters, left_true, left, right, kernel, outputs);
  return info[7];
}

Napi::Value kernel_regression_of(const Napi::CallbackInfo& info) {
  enum class Until { kLimit, kSteps, kTime };
  static constexpr Word<Until> kUntil[] = {{"limit", Until::kLimit}, {"steps", Until::kSteps}, {"time", Until::kTime}};
  const Fields fields(info[0], "options");
  const Until until = fields.word("until", kUntil);
  const double rate = fields.number("rate"), time = fields.number("time", 0), damping = fields.number("damping", 0);
  const std::int64_t steps = fields.integer("steps", 0);
  const bool transposed = fields.boolean("transposed");
  const std::int64_t n = integer(info[1], "n", 1, 1 << 20), columns = integer(info[2], "columns", 1, kLargest);
  const std::span<const double> kernel = typed<double>(info[3], "kernel", n * n);
  const std::span<double> x = typed<double>(info[4], "x", n * columns);
  std::vector<double> matrix(kernel.begin(), kernel.end());
  if (transposed) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < i; ++j) std::swap(matrix[std::size_t(i * n + j)], matrix[std::size_t(j * n + i)]);
    }
  }
  if (until == Until::kLimit) {
    for (std::int64_t i = 0; i < n; ++i) matrix[std::size_t(i * n + i)] += damping;
    return Napi::Boolean::New(info.Env(), solve_general(matrix.data(), n, x.data(), columns));
  }
  std::vector<double> learnt(matrix.size());
  if (until == Until::kSteps) {
    descent_matrix(matrix.data(), n, rate, steps, learnt.data());
  } else {
    flow_matrix(matrix.data(), n, time, learnt.data());
  }
  const std::vector<double> residual(x.begin(), x.end());
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t c = 0; c < columns; ++c) {
      double sum = 0;
      for (std::int64_t j = 0; j < n; ++j) sum += learnt[std::size_t(i * n + j)] * residual[std::size_t(j * columns + c)];
      x[std::size_t(i * columns + c)] = sum;
    }
  }
  return Napi::Boolean::New(info.Env(), true);
}

}  // namespace krylov::binding
