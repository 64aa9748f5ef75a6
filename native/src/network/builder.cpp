// Compiles a spec: layers and buffers in order of execution, blocks of the
// parameter arena, public tensors, gradient units, and what the backward pass
// owes to whom.
#include <string>

#include "network/layer.h"

namespace krylov {

namespace {

// Inputs of a gradient unit: the unit's gradient (64 x one cache line) and its
// share of a batch stay in L1 while it is summed. A layer of few such units is
// cut finer, so that threads can share it evenly. Multiples of both panel widths.
constexpr std::int64_t kUnitInputs = 64;
constexpr std::int64_t kSmallUnitInputs = 32;
constexpr std::int64_t kFewUnits = 16;
// Sizes beyond this are a mistake, and their products must not overflow.
constexpr std::int64_t kLargestWidth = std::int64_t(1) << 24;

// act'' is not zero everywhere.
bool curves(Activation a) noexcept {
  return a != Activation::kIdentity && a != Activation::kRelu && a != Activation::kLeakyRelu && !has_surrogate(a);
}

bool squashes(Activation a) noexcept {
  return a == Activation::kSigmoid || a == Activation::kTanh || a == Activation::kSoftsign || has_surrogate(a);
}

// Padded to whole panels; an odd number of cache lines, since rows that are a
// power of two apart would share a few sets of the cache.
template <Scalar T>
std::int64_t leading_dimension(std::int64_t width) noexcept {
  const std::int64_t panels = ceil_div(width, kPanel<T>);
  return (panels > 1 && panels % 2 == 0 ? panels + 1 : panels) * kPanel<T>;
}

}  // namespace

template <Scalar T>
class NetworkBuilder {
 public:
  explicit NetworkBuilder(Network<T>& network) : n_(network) {}

  Status build(const NetworkSpec& spec) {
    if (spec.inputs < 1 || spec.inputs > kLargestWidth) {
      return Status::error(ErrorCode::kShape, "inputs", "a width from 1 to 2^24", spec.inputs);
    }
    if (spec.layers.empty() && spec.heads.empty()) {
      return Status::error(ErrorCode::kOption, "layers", "at least one layer");
    }
    n_.spec_ = spec;
    add_buffer(spec.inputs, {});
    n_.buffers_[0].needs_delta = spec.input_gradients;
    int last = 0;
    if (Status s = add_layers(spec.layers, "layers", last); !s.ok()) return s;
    if (spec.heads.empty()) {
      add_head("", last);
    } else {
      for (const HeadSpec& head : spec.heads) {
        int end = last;
        if (head.layers.empty()) return Status::error(ErrorCode::kOption, "heads", "at least one layer in each head");
        if (Status s = add_layers(head.layers, "heads." + head.name, end); !s.ok()) return s;
        add_head(head.name, end);
      }
    }
    plan_backward();
    return Status::success();
  }

 private:
  int add_buffer(std::int64_t width, ActivationSpec activation) {
    BufferInfo info;
    info.width = width;
    info.ld = leading_dimension<T>(width);
    info.activation = activation;
    info.has_slope = needs_slope(activation.kind);
    info.has_curve = info.has_bend = curves(activation.kind);
    n_.buffers_.push_back(info);
    return static_cast<int>(n_.buffers_.size()) - 1;
  }

  void add_head(const std::string& name, int buffer) {
    const BufferInfo& info = n_.buffers_[static_cast<std::size_t>(buffer)];
    n_.heads_.push_back({name, buffer, info.width, squashes(info.activation.kind)});
  }

  // Takes ownership, connects input and output; returns the output buffer.
  int add_layer(std::unique_ptr<Layer<T>> layer, int input, std::int64_t width, ActivationSpec activation) {
    layer->index = static_cast<int>(n_.layers_.size());
    layer->input = input;
    layer->output = add_buffer(width, activation);
    const int output = layer->output;
    n_.layers_.push_back(std::move(layer));
    return output;
  }

  int add_block(std::int64_t width, std::int64_t rows) {
    const ParameterBlock block{n_.arena_size_, ceil_div(width, kPanel<T>), rows, width};
    n_.blocks_.push_back(block);
    n_.arena_size_ += block.panels * rows * kPanel<T>;
    return static_cast<int>(n_.blocks_.size()) - 1;
  }

  // Returns the tensor's place in the public vector.
  std::int64_t add_tensor(const std::string& name, bool vector, int block, std::int64_t first_row,
                          std::int64_t row_count) {
    const std::int64_t offset = n_.parameter_count_;
    const std::int64_t outputs = n_.blocks_[static_cast<std::size_t>(block)].width;
    n_.tensors_.push_back({name, vector, block, first_row, row_count, outputs, offset});
    n_.parameter_count_ += outputs * row_count;
    return offset;
  }

  void add_units(int layer, int block, std::int64_t inputs, double cost_a_row) {
    const ParameterBlock& b = n_.blocks_[static_cast<std::size_t>(block)];
    const bool few = b.panels * ceil_div(inputs, kUnitInputs) < kFewUnits;
    const std::int64_t size = few ? kSmallUnitInputs : kUnitInputs;
    const std::int64_t chunks = inputs > 0 ? ceil_div(inputs, size) : 1;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      for (std::int64_t panel = 0; panel < b.panels; ++panel) {
        GradientUnit unit;
        unit.layer = layer;
        unit.panel = panel;
        unit.row0 = chunk * size;
        unit.row1 = chunk + 1 == chunks ? b.rows : unit.row0 + size;
        unit.offset = b.offset + (panel * b.rows + unit.row0) * kPanel<T>;
        unit.cost = cost_a_row * double(unit.row1 - unit.row0) * double(kPanel<T>);
        n_.units_.push_back(unit);
      }
    }
  }

  Status add_layers(const std::vector<LayerSpec>& layers, const std::string& path, int& buffer) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (Status s = add_spec(layers[i], path + "." + std::to_string(i), buffer); !s.ok()) return s;
    }
    return Status::success();
  }

  Status add_spec(const LayerSpec& spec, const std::string& path, int& buffer) {
    const std::int64_t width = n_.buffers_[static_cast<std::size_t>(buffer)].width;
    switch (spec.kind) {
      case LayerKind::kDense: return add_dense(spec, path, buffer);
      case LayerKind::kLayerNorm: {
        if (!(spec.epsilon > 0)) return Status::error(ErrorCode::kOption, "epsilon", "a number above 0");
        auto layer = std::make_unique<LayerNormLayer<T>>(width, spec.epsilon);
        LayerNormLayer<T>& l = *layer;
        buffer = add_layer(std::move(layer), buffer, width, {});
        n_.buffers_.back().has_bend = true;  // the tangent of the normalised rows
        l.block = add_block(width, 2);
        l.gain_offset = add_tensor(path + ".weight", true, l.block, 0, 1);
        l.bias_offset = add_tensor(path + ".bias", true, l.block, 1, 1);
        add_units(l.index, l.block, 0, 2);
        return Status::success();
      }
      case LayerKind::kDropout: {
        if (!(spec.rate >= 0 && spec.rate < 1)) return Status::error(ErrorCode::kOption, "rate", "a number in [0, 1)");
        buffer = add_layer(std::make_unique<DropoutLayer<T>>(spec.rate), buffer, width, {});
        return Status::success();
      }
      case LayerKind::kResidual: {
        if (spec.layers.empty()) return Status::error(ErrorCode::kOption, "residual", "at least one layer inside");
        const int skip = buffer;
        if (Status s = add_layers(spec.layers, path + ".layers", buffer); !s.ok()) return s;
        const std::int64_t end = n_.buffers_[static_cast<std::size_t>(buffer)].width;
        if (end != width) {
          return Status::error(ErrorCode::kShape, "residual", "layers that end at the width they begin with", width, end);
        }
        buffer = add_layer(std::make_unique<ResidualSumLayer<T>>(skip), buffer, width, {});
        return Status::success();
      }
    }
    return Status::error(ErrorCode::kOption, "kind", "a known layer kind");
  }

  Status add_dense(const LayerSpec& spec, const std::string& path, int& buffer) {
    const std::int64_t inputs = n_.buffers_[static_cast<std::size_t>(buffer)].width;
    if (spec.units < 1 || spec.units > kLargestWidth) {
      return Status::error(ErrorCode::kShape, "units", "a width from 1 to 2^24", spec.units);
    }
    if (spec.units * inputs > (std::int64_t(1) << 34)) {
      return Status::error(ErrorCode::kShape, "units", "a weight of at most 2^34 elements", spec.units, inputs);
    }
    const ActivationSpec act = spec.activation;
    if ((act.kind == Activation::kLeakyRelu && !(act.parameter >= 0)) ||
        (act.kind == Activation::kElu && !(act.parameter > 0)) ||
        ((act.kind == Activation::kSoftplus || has_surrogate(act.kind)) && !(act.parameter > 0))) {
      return Status::error(ErrorCode::kOption, "activation", "a slope of at least 0, an alpha or beta above 0");
    }
    auto layer = std::make_unique<DenseLayer<T>>(inputs, spec.units, spec.bias);
    DenseLayer<T>& l = *layer;
    buffer = add_layer(std::move(layer), buffer, spec.units, act);
    l.block = add_block(spec.units, l.rows());
    l.weight_offset = add_tensor(path + ".weight", false, l.block, 0, inputs);
    if (spec.bias) l.bias_offset = add_tensor(path + ".bias", true, l.block, inputs, 1);
    add_units(l.index, l.block, inputs, 1);
    n_.forward_cost_ += double(inputs) * double(spec.units);
    return Status::success();
  }

  void plan_backward() {
    std::vector<int> consumers(n_.buffers_.size(), 0);
    std::vector<bool> fusing_consumer(n_.buffers_.size(), false);
    for (const auto& layer : n_.layers_) {
      const auto in = static_cast<std::size_t>(layer->input);
      ++consumers[in];
      if (layer->fuses_derivative()) fusing_consumer[in] = true;
      if (const auto* sum = layer->residual_sum()) {
        ++consumers[static_cast<std::size_t>(sum->skip)];
      }
      bool& needed = n_.buffers_[static_cast<std::size_t>(layer->output)].needs_delta;
      needed = layer->block >= 0 || n_.buffers_[in].needs_delta;
      if (const auto* sum = layer->residual_sum()) {
        needed = needed || n_.buffers_[static_cast<std::size_t>(sum->skip)].needs_delta;
      }
    }
    for (const HeadInfo& head : n_.heads_) n_.buffers_[static_cast<std::size_t>(head.buffer)].needs_delta = true;
    n_.step_cost_ = 2 * n_.forward_cost_;
    std::vector<bool> written(n_.buffers_.size(), false);
    for (auto it = n_.layers_.rbegin(); it != n_.layers_.rend(); ++it) {
      Layer<T>& layer = **it;
      claim(layer.input, written, layer.input_delta, layer.accumulate);
      if (auto* sum = layer.residual_sum()) {
        claim(sum->skip, written, sum->skip_delta, sum->accumulate_skip);
      }
      if (layer.input_delta && layer.transposed_size() > 0) {
        layer.transposed_offset = n_.transposed_size_;
        n_.transposed_size_ += layer.transposed_size();
        BufferInfo& info = n_.buffers_[static_cast<std::size_t>(layer.input)];
        n_.step_cost_ += double(info.width) * double(n_.buffers_[static_cast<std::size_t>(layer.output)].width);
        info.derivative_fused = consumers[static_cast<std::size_t>(layer.input)] == 1 &&
                                fusing_consumer[static_cast<std::size_t>(layer.input)] &&
                                info.activation.kind != Activation::kIdentity;
      }
    }
  }

  void claim(int buffer, std::vector<bool>& written, bool& owed, bool& accumulate) {
    const auto b = static_cast<std::size_t>(buffer);
    owed = n_.buffers_[b].needs_delta;
    accumulate = owed && written[b];
    written[b] = true;
  }

  Network<T>& n_;
};

template <Scalar T>
Status Network<T>::create(const NetworkSpec& spec, std::unique_ptr<const Network>& out) {
  std::unique_ptr<Network> network(new Network());
  if (Status s = NetworkBuilder<T>(*network).build(spec); !s.ok()) return s;
  out = std::move(network);
  return Status::success();
}

template Status Network<float>::create(const NetworkSpec&, std::unique_ptr<const Network>&);
template Status Network<double>::create(const NetworkSpec&, std::unique_ptr<const Network>&);

}  // namespace krylov
