// Gradients of an explained output, block after block of rows: by the input, or
// as norms of the layers' weight gradients.
//
// Meta-learning variant (Rebuffi et al. 2020, section 5.4 of the paper's method): one step of gradient descent on the
// sample's own cross-entropy, then the map at the moved parameters. Done sample by sample with parameters of its own,
// so that it is exact for every kind of layer; where all layers are dense the rank-one form of the step would share
// the products of a block.
#include "krylov/saliency.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/kernel_table.h"
#include "krylov/threads.h"
#include "network/layer.h"
#include "samples/batch.h"

namespace krylov {

namespace {

constexpr std::int64_t kBlockRows = 96;
// A call with less work than this is over sooner on the caller's thread than the team has been asked.
constexpr double kWorthHandingOver = 12e6;  // multiply-adds

// What one thread works with.
template <Scalar T>
struct Lane {
  Lane(const Network<T>& network, std::int64_t rows, bool moves)
      : workspace(network, rows, WorkspaceKind::kBackward) {
    const std::size_t ld = static_cast<std::size_t>(network.buffers()[0].ld * rows);
    inputs = AlignedBuffer<T>(ld);
    baseline = AlignedBuffer<T>(ld);
    sums = AlignedBuffer<double>(ld);
    std::int64_t widest = 0;
    for (const BufferInfo& buffer : network.buffers()) widest = std::max(widest, buffer.ld);
    identity = AlignedBuffer<T>(static_cast<std::size_t>(widest * rows));
    if (!moves) return;
    parameters = AlignedBuffer<T>(static_cast<std::size_t>(network.arena_size()));
    transposed = AlignedBuffer<T>(static_cast<std::size_t>(network.transposed_size()));
  }
  Workspace<T> workspace;
  Pass<T> pass;
  AlignedBuffer<T> inputs, baseline, identity;
  AlignedBuffer<double> sums;
  AlignedBuffer<T> parameters, transposed;  // moved ones
};

template <Scalar T>
class Explainer {
 public:
  Explainer(const Dataset& inputs, const ExplainedOutput& explained, const InputSaliency<T>* by_input,
            const LayerSaliency<T>* by_layer)
      : data_(inputs), explained_(explained), by_input_(by_input), by_layer_(by_layer) {}

  Status prepare(const Model<T>& model) {
    if (data_.columns() != model.network().inputs()) {
      return Status::error(ErrorCode::kShape, "inputs", "columns of the model", data_.columns(), model.network().inputs());
    }
    NetworkSpec spec = model.network().spec();
    spec.input_gradients = true;
    if (Status s = Network<T>::create(spec, network_); !s.ok()) return s;
    if (Status s = check(); !s.ok()) return s;
    parameters_ = AlignedBuffer<T>(static_cast<std::size_t>(network_->arena_size()));
    model.snapshot(parameters_.span());
    transposed_ = AlignedBuffer<T>(static_cast<std::size_t>(network_->transposed_size()));
    network_->transpose(parameters_.data(), transposed_.data());
    return Status::success();
  }

  void run(std::span<double> values) {
    row_values_.resize(static_cast<std::size_t>(data_.rows()));
    const bool integrates = by_input_ != nullptr && by_input_->map == InputMap::kIntegratedGradients;
    if (integrates) row_baseline_values_.resize(row_values_.size());
    moves_ = explained_.meta_step != 0;
    block_ = std::min(moves_ ? std::int64_t(1) : kBlockRows, data_.rows());
    const double passes = integrates ? double(by_input_->steps) : moves_ ? 3.0 : 1.0;
    const double cost = network_->step_cost() * double(data_.rows()) * passes;
    const std::int64_t blocks = ceil_div(data_.rows(), block_);
    int threads = cost < kWorthHandingOver ? 1 : useful_threads(cost, data_.rows(), 0);
    threads = static_cast<int>(std::min<std::int64_t>(threads, blocks));
    for (int t = 0; t < threads; ++t) lanes_.emplace_back(*network_, block_, moves_);
    const bool open = std::any_of(explained_.targets.begin(), explained_.targets.end(), [](auto t) { return t < 0; });
    if (open && explained_.positions > 1) {
      outputs_.resize(static_cast<std::size_t>(data_.rows() * width()));
      sweep(threads, &Explainer::forward_body);
      choose_by_sample();
    }
    sweep(threads, &Explainer::body);
    sum_positions(row_values_, values);
    if (integrates && !by_input_->baseline_values.empty()) {
      sum_positions(row_baseline_values_, by_input_->baseline_values);
    }
  }

 private:
  std::int64_t width() const noexcept { return network_->heads()[explained_.head].width; }
  const BufferInfo& info(int buffer) const noexcept { return network_->buffers()[static_cast<std::size_t>(buffer)]; }

  Status check() {
    if (explained_.head >= network_->heads().size()) return Status::error(ErrorCode::kOption, "head", "a head");
    if (explained_.positions < 1 || data_.rows() % explained_.positions != 0) {
      return Status::error(ErrorCode::kShape, "positions", "a number that divides the rows", explained_.positions,
                           data_.rows());
    }
    if (std::int64_t(explained_.targets.size()) * explained_.positions != data_.rows()) {
      return Status::error(ErrorCode::kShape, "targets", "one a sample", std::int64_t(explained_.targets.size()));
    }
    for (const std::int32_t target : explained_.targets) {
      if (target < kLeastProbable || target >= width()) {
        return Status::error(ErrorCode::kOption, "target", "an output of the head", target, width());
      }
    }
    if (!std::isfinite(explained_.meta_step)) return Status::error(ErrorCode::kOption, "meta.step", "a finite number");
    if (explained_.meta_step != 0) {
      if (explained_.positions > 1) return Status::error(ErrorCode::kOption, "meta", "one position a sample");
      if (width() < 2 || network_->heads()[explained_.head].squashed) {
        return Status::error(ErrorCode::kOption, "meta", "two or more outputs that are logits", width());
      }
    }
    for (const auto& layer : network_->layers()) {
      // Of all layers, dense ones alone fuse a derivative (layer.h).
      if (layer->fuses_derivative()) dense_.push_back(static_cast<const DenseLayer<T>*>(layer.get()));
    }
    return by_input_ != nullptr ? check_inputs() : check_layers();
  }

  Status check_inputs() const {
    const InputSaliency<T>& w = *by_input_;
    if (std::int64_t(w.maps.size()) != data_.rows() * data_.columns()) {
      return Status::error(ErrorCode::kShape, "maps", "a number for each input", std::int64_t(w.maps.size()));
    }
    if (w.map == InputMap::kColumnNorm &&
        std::none_of(dense_.begin(), dense_.end(), [](auto* layer) { return layer->input == 0; })) {
      return Status::error(ErrorCode::kOption, "method", "a network whose input is read by a dense layer for columnNorm");
    }
    if (w.map != InputMap::kIntegratedGradients) return Status::success();
    if (w.steps < 1) return Status::error(ErrorCode::kOption, "steps", "at least one", w.steps);
    if (w.baseline == nullptr) return Status::success();
    if (w.baseline->columns() != data_.columns() ||
        (w.baseline->rows() != 1 && w.baseline->rows() != data_.rows())) {
      return Status::error(ErrorCode::kShape, "baseline", "one row, or as many as the inputs", w.baseline->rows(),
                           w.baseline->columns());
    }
    return Status::success();
  }

  Status check_layers() const {
    const LayerSaliency<T>& w = *by_layer_;
    for (const std::int64_t number : w.layers) {
      if (number < 0 || number >= std::int64_t(dense_.size())) {
        return Status::error(ErrorCode::kOption, "layers", "numbers of dense layers", number);
      }
    }
    if (std::int64_t(w.maps.size()) != data_.rows() * std::int64_t(w.layers.size())) {
      return Status::error(ErrorCode::kShape, "maps", "a number for each layer and row", std::int64_t(w.maps.size()));
    }
    if (elementwise(w.map) && !w.identity) {
      return Status::error(ErrorCode::kOption, "map", "gradients by the layer's input");
    }
    return Status::success();
  }

  void sweep(int threads, TeamFunction function) {
    struct Turn {
      Explainer& self;
      int threads;
      TeamFunction function;
    } turn{*this, threads, function};
    ComputeThread::instance().lead_and_wait(
        threads,
        [](void* context, Team& team) noexcept {
          Turn& t = *static_cast<Turn*>(context);
          team.run(t.threads, t.function, &t.self);
        },
        &turn);
  }

  template <class Body>
  void each_block(int thread, int threads, Body body) noexcept {
    Lane<T>& lane = lanes_[static_cast<std::size_t>(thread)];
    const std::int64_t rows = data_.rows(), blocks = ceil_div(rows, block_);
    for (std::int64_t b = blocks * thread / threads; b < blocks * (thread + 1) / threads; ++b) {
      const std::int64_t first = b * block_, count = std::min(block_, rows - first);
      lane.pass = Pass<T>{};
      lane.pass.network = network_.get();
      lane.pass.workspace = &lane.workspace;
      lane.pass.parameters = parameters_.data();
      lane.pass.transposed = transposed_.data();
      lane.pass.rows = count;
      load(data_, first, count, lane.workspace.activation(0));
      lane.pass.forward(0, count);
      body(lane, first, count);
    }
  }

  static void forward_body(void* context, int thread, int threads) noexcept {
    Explainer& self = *static_cast<Explainer*>(context);
    self.each_block(thread, threads, [&](Lane<T>& lane, std::int64_t first, std::int64_t count) {
      for (std::int64_t r = 0; r < count; ++r) {
        std::copy_n(self.output_row(lane, r), self.width(), self.outputs_.data() + (first + r) * self.width());
      }
    });
  }

  static void body(void* context, int thread, int threads) noexcept {
    Explainer& self = *static_cast<Explainer*>(context);
    self.each_block(thread, threads, [&](Lane<T>& lane, std::int64_t first, std::int64_t count) {
      self.explain(lane, first, count);
    });
  }

  void load(const Dataset& data, std::int64_t first, std::int64_t count, T* out) const noexcept {
    const auto* from = static_cast<const std::byte*>(data.inputs());
    gather_inputs<T>(*network_, from + static_cast<std::size_t>(first * data.columns()) * size_of(data.dtype()),
                     data.dtype(), nullptr, count, out);
  }

  const T* output_row(const Lane<T>& lane, std::int64_t row) const noexcept {
    const int buffer = network_->heads()[explained_.head].buffer;
    return lane.workspace.activation(buffer) + row * info(buffer).ld;
  }
  T* delta_row(const Lane<T>& lane, std::int64_t row) const noexcept {
    const int buffer = network_->heads()[explained_.head].buffer;
    return lane.workspace.delta(buffer) + row * info(buffer).ld;
  }
  std::int32_t& target_of(std::int64_t row) const noexcept {
    return explained_.targets[static_cast<std::size_t>(row / explained_.positions)];
  }

  template <class Value>
  static std::int32_t chosen(std::int32_t wish, const Value* outputs, std::int64_t width) noexcept {
    if (wish >= 0) return wish;
    const Value* end = outputs + width;
    const Value* at = wish == kMostProbable ? std::max_element(outputs, end) : std::min_element(outputs, end);
    return static_cast<std::int32_t>(at - outputs);
  }

  void choose_by_sample() {
    std::vector<double> sums(static_cast<std::size_t>(width()));
    for (std::size_t s = 0; s < explained_.targets.size(); ++s) {
      std::fill(sums.begin(), sums.end(), 0.0);
      const T* rows = outputs_.data() + std::int64_t(s) * explained_.positions * width();
      for (std::int64_t i = 0; i < explained_.positions * width(); ++i) sums[std::size_t(i % width())] += double(rows[i]);
      explained_.targets[s] = chosen(explained_.targets[s], sums.data(), width());
    }
  }

  void sum_positions(const std::vector<double>& rows, std::span<double> out) const noexcept {
    std::fill(out.begin(), out.end(), 0.0);
    for (std::size_t r = 0; r < rows.size(); ++r) out[r / std::size_t(explained_.positions)] += rows[r];
  }

  void clear_seeds(const Lane<T>& lane, std::int64_t count) const noexcept {
    for (const HeadInfo& head : network_->heads()) {
      std::fill_n(lane.workspace.delta(head.buffer), info(head.buffer).ld * count, T(0));
    }
  }

  // d(explained output)/d(everything), rows 0..count.
  void backward(Lane<T>& lane, std::int64_t first, std::int64_t count) const noexcept {
    clear_seeds(lane, count);
    for (std::int64_t r = 0; r < count; ++r) delta_row(lane, r)[target_of(first + r)] = T(1);
    lane.pass.backward(0, count);
  }

  // One step on the cross-entropy of the only row of the block; then forward at the moved parameters.
  void move(Lane<T>& lane, std::int64_t row) const noexcept {
    clear_seeds(lane, 1);
    T* delta = delta_row(lane, 0);
    kernels<T>().softmax_rows(output_row(lane, 0), width(), delta, width(), 1, width());
    std::fill(delta + width(), delta + info(network_->heads()[explained_.head].buffer).ld, T(0));
    delta[target_of(row)] -= T(1);
    lane.pass.backward(0, 1);
    for (const GradientUnit& unit : network_->units()) {
      lane.pass.gradient(unit, static_cast<T>(-explained_.meta_step), lane.parameters.data() + unit.offset);
    }
    kernels<T>().scaled_sum(parameters_.data(), T(1), lane.parameters.data(), lane.parameters.data(),
                            network_->arena_size());
    network_->transpose(lane.parameters.data(), lane.transposed.data());
    lane.pass.parameters = lane.parameters.data();
    lane.pass.transposed = lane.transposed.data();
    lane.pass.forward(0, 1);
  }

  void explain(Lane<T>& lane, std::int64_t first, std::int64_t count) noexcept {
    for (std::int64_t r = 0; r < count; ++r) {
      std::int32_t& target = target_of(first + r);
      // With several positions the targets are known by now: threads that share a sample only read them.
      if (target < 0) target = chosen(target, output_row(lane, r), width());
      row_values_[static_cast<std::size_t>(first + r)] = double(output_row(lane, r)[target]);
    }
    if (moves_) move(lane, first);
    if (by_input_ == nullptr) {
      backward(lane, first, count);
      layers(lane, first, count);
    } else if (by_input_->map == InputMap::kIntegratedGradients) {
      integrate(lane, first, count);
    } else {
      backward(lane, first, count);
      inputs(lane, first, count);
    }
  }

  void inputs(const Lane<T>& lane, std::int64_t first, std::int64_t count) const noexcept {
    const std::int64_t ld = info(0).ld, columns = data_.columns();
    for (std::int64_t r = 0; r < count; ++r) {
      const T* x = lane.workspace.activation(0) + r * ld;
      const T* g = lane.workspace.delta(0) + r * ld;
      T* out = by_input_->maps.data() + (first + r) * columns;
      switch (by_input_->map) {
        case InputMap::kGradient: std::copy_n(g, columns, out); break;
        case InputMap::kGradientInput: for (std::int64_t k = 0; k < columns; ++k) out[k] = x[k] * g[k]; break;
        case InputMap::kAbsoluteGradientInput:
          for (std::int64_t k = 0; k < columns; ++k) out[k] = std::abs(x[k] * g[k]);
          break;
        case InputMap::kColumnNorm: {
          const T size = static_cast<T>(std::sqrt(input_delta_square(lane, r)));
          for (std::int64_t k = 0; k < columns; ++k) out[k] = std::abs(x[k]) * size;
          break;
        }
        case InputMap::kIntegratedGradients: break;  // integrate()
      }
    }
  }

  double input_delta_square(const Lane<T>& lane, std::int64_t row) const noexcept {
    double sum = 0;
    for (const DenseLayer<T>* layer : dense_) {
      if (layer->input != 0) continue;
      sum += kernels<T>().sum_squares(lane.workspace.delta(layer->output) + row * info(layer->output).ld, layer->units());
    }
    return sum;
  }

  void integrate(Lane<T>& lane, std::int64_t first, std::int64_t count) noexcept {
    const std::int64_t ld = info(0).ld, size = count * ld, columns = data_.columns();
    T* x = lane.workspace.activation(0);
    const T* g = lane.workspace.delta(0);
    std::copy_n(x, size, lane.inputs.data());
    std::fill_n(lane.baseline.data(), size, T(0));
    if (const Dataset* baseline = by_input_->baseline; baseline != nullptr && baseline->rows() > 1) {
      load(*baseline, first, count, lane.baseline.data());
    } else if (baseline != nullptr) {
      for (std::int64_t r = 0; r < count; ++r) load(*baseline, 0, 1, lane.baseline.data() + r * ld);
    }
    std::copy_n(lane.baseline.data(), size, x);
    lane.pass.forward(0, count);
    for (std::int64_t r = 0; r < count; ++r) {
      row_baseline_values_[static_cast<std::size_t>(first + r)] = double(output_row(lane, r)[target_of(first + r)]);
    }
    std::fill_n(lane.sums.data(), size, 0.0);
    for (std::int64_t step = 0; step < by_input_->steps; ++step) {
      const double part = (double(step) + 0.5) / double(by_input_->steps);
      for (std::int64_t i = 0; i < size; ++i) {
        const double from = double(lane.baseline[std::size_t(i)]);
        x[i] = static_cast<T>(from + part * (double(lane.inputs[std::size_t(i)]) - from));
      }
      lane.pass.forward(0, count);
      backward(lane, first, count);
      for (std::int64_t i = 0; i < size; ++i) lane.sums[std::size_t(i)] += double(g[i]);
    }
    for (std::int64_t r = 0; r < count; ++r) {
      T* out = by_input_->maps.data() + (first + r) * columns;
      for (std::int64_t k = 0; k < columns; ++k) {
        const auto at = static_cast<std::size_t>(r * ld + k);
        const double way = double(lane.inputs[at]) - double(lane.baseline[at]);
        out[k] = static_cast<T>(way * lane.sums[at] / double(by_input_->steps));
      }
    }
  }

  void layers(Lane<T>& lane, std::int64_t first, std::int64_t count) const noexcept {
    for (std::size_t l = 0; l < by_layer_->layers.size(); ++l) {
      const DenseLayer<T>& layer = *dense_[static_cast<std::size_t>(by_layer_->layers[l])];
      const BufferInfo& in = info(layer.input);
      const BufferInfo& out = info(layer.output);
      const T* g = lane.workspace.delta(layer.output);
      std::int64_t ld = out.ld, columns = layer.units();
      if (by_layer_->identity) {
        PanelProduct<T> p{};
        p.a = g, p.lda = out.ld, p.rows = count, p.depth = layer.units();
        p.b = lane.pass.transposed + layer.transposed_offset, p.panel_rows = layer.units(), p.columns = layer.inputs();
        p.c = lane.identity.data(), p.ldc = in.ld;
        kernels<T>().panel_product(p);
        g = lane.identity.data(), ld = in.ld, columns = layer.inputs();
      }
      T* to = by_layer_->maps.data() + std::int64_t(l) * data_.rows() + first;
      for (std::int64_t r = 0; r < count; ++r) {
        to[r] = static_cast<T>(position_value(by_layer_->map, lane.workspace.activation(layer.input) + r * in.ld,
                                              layer.inputs(), g + r * ld, columns));
      }
    }
  }

  const Dataset& data_;
  const ExplainedOutput& explained_;
  const InputSaliency<T>* by_input_;
  const LayerSaliency<T>* by_layer_;
  std::unique_ptr<const Network<T>> network_;
  std::vector<const DenseLayer<T>*> dense_;
  AlignedBuffer<T> parameters_, transposed_;
  std::vector<Lane<T>> lanes_;
  std::vector<double> row_values_, row_baseline_values_;
  std::vector<T> outputs_;  // [rows, width], where samples of several positions choose
  std::int64_t block_ = 1;
  bool moves_ = false;
};

template <Scalar T>
Status explain_with(const Model<T>& model, const Dataset& inputs, const ExplainedOutput& explained,
                    const InputSaliency<T>* by_input, const LayerSaliency<T>* by_layer, std::span<double> values) {
  if (inputs.rows() < 1) return Status::error(ErrorCode::kShape, "inputs", "at least one row", inputs.rows());
  if (values.size() != explained.targets.size()) {
    return Status::error(ErrorCode::kShape, "values", "one a sample", std::int64_t(values.size()));
  }
  Explainer<T> explainer(inputs, explained, by_input, by_layer);
  if (Status s = explainer.prepare(model); !s.ok()) return s;
  explainer.run(values);
  return Status::success();
}

}  // namespace

template <Scalar T>
Status input_saliency(const Model<T>& model, const Dataset& inputs, const ExplainedOutput& explained,
                      const InputSaliency<T>& wanted, std::span<double> values) {
  return explain_with<T>(model, inputs, explained, &wanted, nullptr, values);
}
template <Scalar T>
Status layer_saliency(const Model<T>& model, const Dataset& inputs, const ExplainedOutput& explained,
                      const LayerSaliency<T>& wanted, std::span<double> values) {
  return explain_with<T>(model, inputs, explained, nullptr, &wanted, values);
}

#define KRYLOV_INSTANTIATE(T)                                                                                     \
  template Status input_saliency(const Model<T>&, const Dataset&, const ExplainedOutput&, const InputSaliency<T>&, \
                                 std::span<double>);                                                              \
  template Status layer_saliency(const Model<T>&, const Dataset&, const ExplainedOutput&, const LayerSaliency<T>&, \
                                 std::span<double>);
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
