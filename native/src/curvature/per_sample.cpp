// Norms, products, inner products and Jacobians of single samples at a point.
#include "krylov/per_sample.h"

#include <algorithm>
#include <utility>

#include "curvature/lead.h"
#include "curvature/network_point.h"
#include "curvature/point_task.h"
#include "kernels/kernel_table.h"
#include "krylov/buffer.h"
#include "network/layer.h"
#include "samples/sample_factors.h"

namespace krylov {
namespace {

// |delta|^2 |x|^2 for a weight, |delta|^2 for a bias (Goodfellow 2015, arXiv 1510.01799).
template <Scalar T>
class SquaresTask final : public PointTask<T> {
 public:
  SquaresTask(const Network<T>& network, ParameterGroups groups, double* out) : groups_(groups), out_(out) {
    const auto tensors = network.tensors();
    first_tensor_.resize(network.blocks().size());
    for (std::size_t t = tensors.size(); t-- > 0;) first_tensor_[static_cast<std::size_t>(tensors[t].block)] = t;
    width_ = groups == ParameterGroups::kAll      ? 1
             : groups == ParameterGroups::kLayers ? network.blocks().size()
                                                  : tensors.size();
  }
  PointNeeds<T> needs() const noexcept override { return {.level = PointLevel::kDeltas, .per_sample = true}; }

  void rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept override {
    for (std::int64_t r = first; r < first + count; ++r) {
      double* const to = out_ + static_cast<std::size_t>(part.start + r) * width_;
      std::fill_n(to, width_, 0.0);
      for (const auto& layer : part.pass.network->layers()) {
        if (layer->block < 0) continue;
        const auto block = static_cast<std::size_t>(layer->block);
        const auto [weight, bias, has_bias] = squares(layer->row_factors(part.pass, r));
        if (groups_ == ParameterGroups::kTensors) {
          to[first_tensor_[block]] = weight;
          if (has_bias) to[first_tensor_[block] + 1] = bias;
        } else {
          to[groups_ == ParameterGroups::kAll ? 0 : block] += weight + bias;
        }
      }
    }
  }

 private:
  struct Squares {
    double weight, bias;
    bool has_bias;
  };
  static Squares squares(const RowFactors<T>& row) noexcept {
    const double delta = kernels<T>().sum_squares(row.delta, row.outputs);
    if (row.outer) return {delta * kernels<T>().sum_squares(row.x, row.inputs), row.bias ? delta : 0.0, row.bias};
    double gain = 0;
    for (std::int64_t k = 0; k < row.outputs; ++k) {
      const double g = static_cast<double>(row.delta[k]) * static_cast<double>(row.x[k]);
      gain += g * g;
    }
    return {gain, delta, true};
  }

  ParameterGroups groups_;
  std::size_t width_ = 1;
  std::vector<std::size_t> first_tensor_;  // of each block: weight or gain; a bias follows
  double* out_;
};

template <Scalar T>
class ProductsTask final : public PointTask<T> {
 public:
  ProductsTask(const T* v, double* out) : v_(v), out_(out) {}
  PointNeeds<T> needs() const noexcept override {
    return {.level = PointLevel::kDeltas, .per_sample = true, .adjoints = true};
  }
  void rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept override {
    double* const to = out_ + part.start + first;
    std::fill_n(to, count, 0.0);
    part.pass.per_sample_products(v_, first, count, to);
  }

 private:
  const T* v_;
  double* out_;
};

// Adjoints of the heads: ones at the outputs of the range, zeros elsewhere.
template <Scalar T>
void seed_outputs(const PointPart<T>& part, const OutputRange& outputs, std::int64_t first,
                  std::int64_t count) noexcept {
  const Network<T>& network = *part.pass.network;
  std::int64_t column0 = 0;
  for (const HeadInfo& head : network.heads()) {
    const std::int64_t ld = network.buffers()[static_cast<std::size_t>(head.buffer)].ld;
    const std::int64_t from = std::clamp<std::int64_t>(outputs.first - column0, 0, head.width);
    const std::int64_t to = std::clamp<std::int64_t>(outputs.first + outputs.count - column0, 0, head.width);
    T* row = (*part.adjoints)[head.buffer] + first * ld;
    for (std::int64_t r = 0; r < count; ++r, row += ld) {
      std::fill_n(row, ld, T(0));
      std::fill(row + from, row + to, T(1));
    }
    column0 += head.width;
  }
}

// Keeps the factors of the loss's gradients, or a round for each output those of its Jacobian.
template <Scalar T>
class FactorsTask final : public PointTask<T> {
 public:
  explicit FactorsTask(SampleFactors<T>& factors) : factors_(factors) {}
  FactorsTask(SampleFactors<T>& factors, const OutputRange& outputs) : factors_(factors), outputs_(outputs) {}
  PointNeeds<T> needs() const noexcept override {
    if (outputs_.count == 0) return {.level = PointLevel::kDeltas, .per_sample = true};
    return {.backward = true, .adjoints = true};
  }
  int rounds() const noexcept override { return static_cast<int>(factors_.columns()); }

  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override {
    Pass<T> pass = part.pass;
    if (outputs_.count > 0) {
      pass = part.adjoint_pass();
      // One column for several outputs is their sum.
      const std::int64_t width = outputs_.count / factors_.columns();
      seed_outputs(part, {outputs_.first + round * width, width}, first, count);
      pass.backward(first, count);
    }
    for (std::int64_t r = first; r < first + count; ++r) factors_.keep(pass, r, part.start + r, round);
  }

 private:
  SampleFactors<T>& factors_;
  OutputRange outputs_;
};

template <Scalar T>
class JacobiansTask final : public PointTask<T> {
 public:
  JacobiansTask(std::int64_t first, std::int64_t count, const OutputRange& outputs, T* out)
      : first_(first), last_(first + count), outputs_(outputs), out_(out) {}
  PointNeeds<T> needs() const noexcept override {
    return {.backward = true, .adjoints = true, .first = first_, .last = last_};
  }
  int rounds() const noexcept override { return static_cast<int>(outputs_.count); }

  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override {
    const std::int64_t from = std::max(first, first_ - part.start), to = std::min(first + count, last_ - part.start);
    if (from >= to) return;
    const Pass<T> pass = part.adjoint_pass();
    seed_outputs(part, {outputs_.first + round, 1}, first, count);
    pass.backward(first, count);
    const std::int64_t size = pass.network->parameter_count();
    const bool stream = streams<T>((last_ - first_) * outputs_.count, size);
    for (std::int64_t r = from; r < to; ++r) {
      pass.per_sample_gradient(r, out_ + ((part.start + r - first_) * outputs_.count + round) * size, stream);
    }
  }

 private:
  std::int64_t first_, last_;
  OutputRange outputs_;
  T* out_;
};

template <Scalar T>
Status check_same_parameters(const Network<T>& a, const Network<T>& b) noexcept {
  const auto x = a.tensors(), y = b.tensors();
  bool same = x.size() == y.size();
  for (std::size_t t = 0; same && t < x.size(); ++t) {
    same = x[t].vector == y[t].vector && x[t].block == y[t].block && x[t].row_count == y[t].row_count &&
           x[t].outputs == y[t].outputs && x[t].first_row == y[t].first_row;
  }
  if (same) return Status::success();
  return Status::error(ErrorCode::kShape, "with", "a point of a network with the same parameters",
                       b.parameter_count(), a.parameter_count());
}

// In an int, with room for products; no more can be kept anyway.
constexpr std::int64_t kMostOutputs = std::int64_t(1) << 20;

template <Scalar T>
Status check_outputs(const Network<T>& network, const OutputRange& outputs) noexcept {
  std::int64_t width = 0;
  for (const HeadInfo& head : network.heads()) width += head.width;
  if (outputs.first >= 0 && outputs.count >= 1 && outputs.count <= std::min(width, kMostOutputs) &&
      outputs.first <= width - outputs.count) {
    return Status::success();
  }
  return Status::error(ErrorCode::kShape, "outputs", "outputs that the network has", outputs.first, outputs.count);
}

// The factors of a, and of b unless it is a, then their products.
template <Scalar T>
void products_of_points(NetworkPoint<T>& a, NetworkPoint<T>& b, std::int64_t columns, const OutputRange& outputs,
                        PairProducts kind, bool by_layer, double* out) {
  if (outputs.count > 0) a.reserve(Curvature::kGaussNewton), b.reserve(Curvature::kGaussNewton);
  SampleFactors<T> left(*a.network(), a.rows(), columns);
  SampleFactors<T> right(*b.network(), &a == &b ? 0 : b.rows(), columns);
  FactorsTask<T> left_task(left, outputs), right_task(right, outputs);
  lead(a.threads(), [&](Team& team) { a.run(team, left_task); });
  if (&a != &b) lead(b.threads(), [&](Team& team) { b.run(team, right_task); });
  const SampleFactors<T>& other = &a == &b ? left : right;
  const int threads = useful_threads(pair_products_cost(left, other, kind), left.samples(), 0);
  lead(threads, [&](Team& team) { pair_products(left, other, kind, by_layer, team, out); });
}

}  // namespace

template <Scalar T>
std::vector<std::string> group_names(const Network<T>& network, ParameterGroups groups) {
  std::vector<std::string> names;
  if (groups == ParameterGroups::kAll) return {"total"};
  int block = -1;
  for (const TensorInfo& tensor : network.tensors()) {
    const bool begins = tensor.block != std::exchange(block, tensor.block);
    if (groups == ParameterGroups::kTensors) {
      names.push_back(tensor.name);
    } else if (begins) {
      names.push_back(tensor.name.substr(0, tensor.name.rfind('.')));
    }
  }
  return names;
}

template <Scalar T>
void per_sample_squares(NetworkPoint<T>& point, ParameterGroups groups, double* out) {
  SquaresTask<T> task(*point.network(), groups, out);
  lead(point.threads(), [&](Team& team) { point.run(team, task); });
}

// delta . (V x + v), layer by layer.
template <Scalar T>
void per_sample_products(NetworkPoint<T>& point, const T* v, double* out) {
  point.reserve(Curvature::kEmpiricalFisher);
  ProductsTask<T> task(v, out);
  lead(point.threads(), [&](Team& team) { point.run(team, task); });
}

template <Scalar T>
Status gram_matrix(NetworkPoint<T>& a, NetworkPoint<T>& b, bool by_layer, double* out) {
  if (Status s = check_same_parameters(*a.network(), *b.network()); !s.ok()) return s;
  products_of_points(a, b, 1, OutputRange{}, PairProducts::kSameColumns, by_layer, out);
  if (&a != &b) return Status::success();
  // The diagonal is that of perSampleSquares, to the bit.
  const std::int64_t rows = a.rows();
  const std::size_t layers = by_layer ? a.network()->blocks().size() : 1;
  AlignedBuffer<double> squares(static_cast<std::size_t>(rows) * layers);
  per_sample_squares(a, by_layer ? ParameterGroups::kLayers : ParameterGroups::kAll, squares.data());
  for (std::size_t l = 0; l < layers; ++l) {
    double* const matrix = out + static_cast<std::int64_t>(l) * rows * rows;
    for (std::int64_t r = 0; r < rows; ++r) {
      matrix[r * rows + r] = squares[static_cast<std::size_t>(r) * layers + l];
    }
  }
  return Status::success();
}

// Theta_ij[c, d] = sum over layers of (x_i . x_j + 1) (delta_i^c . delta_j^d), delta^c the deltas of output c (Jacot,
// Gabriel & Hongler 2018, arXiv 1806.07572).
template <Scalar T>
Status tangent_kernel(NetworkPoint<T>& a, NetworkPoint<T>& b, TangentKernel kind, const OutputRange& outputs,
                      double* out) {
  if (Status s = check_same_parameters(*a.network(), *b.network()); !s.ok()) return s;
  if (Status s = check_outputs(*a.network(), outputs); !s.ok()) return s;
  if (Status s = check_outputs(*b.network(), outputs); !s.ok()) return s;
  const std::int64_t columns = kind == TangentKernel::kSum ? 1 : outputs.count;
  const PairProducts pairs = kind == TangentKernel::kBlocks ? PairProducts::kAllColumns : PairProducts::kSameColumns;
  products_of_points(a, b, columns, outputs, pairs, false, out);
  return Status::success();
}

template <Scalar T>
Status output_jacobians(NetworkPoint<T>& point, std::int64_t first, std::int64_t count, const OutputRange& outputs,
                        T* out) {
  if (Status s = check_outputs(*point.network(), outputs); !s.ok()) return s;
  if (count == 0) return Status::success();
  point.reserve(Curvature::kGaussNewton);
  JacobiansTask<T> task(first, count, outputs, out);
  lead(point.threads(), [&](Team& team) { point.run(team, task); });
  return Status::success();
}

#define KRYLOV_INSTANTIATE(T)                                                                                       \
  template std::vector<std::string> group_names(const Network<T>&, ParameterGroups);                                \
  template void per_sample_squares(NetworkPoint<T>&, ParameterGroups, double*);                                     \
  template void per_sample_products(NetworkPoint<T>&, const T*, double*);                                           \
  template Status gram_matrix(NetworkPoint<T>&, NetworkPoint<T>&, bool, double*);                                   \
  template Status tangent_kernel(NetworkPoint<T>&, NetworkPoint<T>&, TangentKernel, const OutputRange&, double*);   \
  template Status output_jacobians(NetworkPoint<T>&, std::int64_t, std::int64_t, const OutputRange&, T*);
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
