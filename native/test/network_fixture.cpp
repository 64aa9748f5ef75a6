#include "network_fixture.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace krylov::test {

LayerSpec dense(std::int64_t units, Activation kind, double parameter, bool bias) {
  LayerSpec layer;
  layer.units = units;
  layer.bias = bias;
  layer.activation = {kind, parameter};
  return layer;
}

LayerSpec layer_norm() {
  LayerSpec layer;
  layer.kind = LayerKind::kLayerNorm;
  return layer;
}

LayerSpec dropout(double rate) {
  LayerSpec layer;
  layer.kind = LayerKind::kDropout;
  layer.rate = rate;
  return layer;
}

LayerSpec residual(std::vector<LayerSpec> layers) {
  LayerSpec layer;
  layer.kind = LayerKind::kResidual;
  layer.layers = std::move(layers);
  return layer;
}

std::vector<SpecCase> spec_cases() {
  using enum Activation;
  constexpr struct {
    const char* name;
    Activation kind;
    double parameter;
    bool smooth;
  } kActivations[] = {{"identity", kIdentity, 0, true},
                      {"relu", kRelu, 0, false},
                      {"leakyRelu", kLeakyRelu, 0.01, false},
                      {"steep leakyRelu", kLeakyRelu, 1.5, false},
                      {"elu", kElu, 1, false},
                      {"elu 0.7", kElu, 0.7, false},
                      {"selu", kSelu, 0, false},
                      {"gelu", kGelu, 0, true},
                      {"geluTanh", kGeluTanh, 0, true},
                      {"silu", kSilu, 0, true},
                      {"tanh", kTanh, 0, true},
                      {"sigmoid", kSigmoid, 0, true},
                      {"softplus", kSoftplus, 1, true},
                      {"softplus 2", kSoftplus, 2, true},
                      {"softsign", kSoftsign, 0, false}};
  std::vector<SpecCase> all;
  const auto add = [&](std::string name, std::int64_t inputs, std::vector<LayerSpec> layers, bool smooth = true,
                       std::vector<HeadSpec> heads = {}) {
    NetworkSpec spec;
    spec.inputs = inputs;
    spec.layers = std::move(layers);
    spec.heads = std::move(heads);
    all.push_back({std::move(name), std::move(spec), smooth});
  };
  for (const auto& a : kActivations) {
    const auto layer = [&](std::int64_t units, bool bias = true) { return dense(units, a.kind, a.parameter, bias); };
    add(std::string(a.name) + " inside", 5, {layer(17), layer(7), dense(3)}, a.smooth);
    add(std::string(a.name) + " at the end, no bias", 3, {layer(4, false), layer(2)}, a.smooth);
    add(std::string(a.name) + " around a block", 4, {layer(9), residual({layer(5), layer(9)}), dense(2)}, a.smooth);
  }
  for (const std::int64_t width : {1, 3, 7, 16, 17, 33}) {
    add("width " + std::to_string(width), width, {dense(width, kTanh), dense(width + 1, kGelu), dense(width)});
  }
  add("one layer", 33, {dense(17)});
  add("wide", 150, {dense(70, kRelu), dense(10)}, false);
  add("normalised", 6, {dense(16, kSilu), layer_norm(), dense(33, kTanh), layer_norm(), dense(3)});
  add("normalised input and output", 7, {layer_norm(), dense(5, kTanh), layer_norm()});
  add("residual first", 5, {residual({dense(9, kTanh), dense(5)}), dense(2)});
  add("residual last", 5, {dense(6, kGelu), residual({layer_norm(), dense(6, kSilu), dense(6)})});
  add("residual of a norm on the input", 5, {residual({layer_norm()}), dense(3, kTanh)});
  add("nested residual", 4,
      {dense(8, kTanh), residual({dense(8, kSilu), residual({layer_norm(), dense(8, kGelu)}), dense(8)}), dense(3)});
  add("residuals in a row", 4,
      {dense(17, kTanh), residual({dense(17, kSilu)}), residual({dense(17, kTanh)}), dense(1)});
  add("dropout", 6,
      {dropout(0.2), dense(17, kTanh), dropout(0.5), residual({dense(17, kSilu), dropout(0.3)}), dense(3)});
  add("dropout at the end", 6, {dense(9, kSigmoid), dropout(0.25)});
  const auto head = [](std::string name, std::vector<LayerSpec> layers) {
    return HeadSpec{std::move(name), std::move(layers)};
  };
  add("heads", 5, {dense(17, kTanh), dense(9, kGelu)}, true,
      {head("a", {dense(3)}), head("b", {dense(6, kSilu), dense(1)}), head("c", {layer_norm(), dense(10)})});
  add("heads on a block", 5, {dense(8, kGelu), residual({dense(8, kTanh)})}, true,
      {head("a", {residual({dense(8, kTanh)})}), head("b", {dense(2)})});
  add("heads without trunk", 5, {}, true, {head("a", {dense(3, kTanh)}), head("b", {dense(2, kGelu), dense(2)})});
  return all;
}

Values random_values(std::size_t count, unsigned seed, double scale) {
  std::mt19937 random(seed);
  Values values;
  for (std::size_t i = 0; i < count; ++i) {
    const double uniform = static_cast<double>(random() >> 8) / (1u << 23) - 1;
    values.push_back(static_cast<double>(static_cast<float>(scale * uniform)));
  }
  return values;
}

Batch random_batch(const NetworkSpec& spec, const std::vector<std::size_t>& head_widths, std::size_t rows,
                   unsigned seed) {
  Batch batch;
  batch.rows = rows;
  for (std::size_t r = 0; r < rows; ++r) {
    const unsigned row_seed = seed + 1000 * static_cast<unsigned>(r);
    batch.inputs.push_back(random_values(static_cast<std::size_t>(spec.inputs), row_seed, 2));
    batch.cotangents.emplace_back();
    for (const std::size_t width : head_widths) {
      batch.cotangents.back().push_back(random_values(width, row_seed + 1 + static_cast<unsigned>(width)));
    }
  }
  return batch;
}

template <Scalar T>
FastRun<T>::FastRun(const NetworkSpec& spec, const Values& parameters, std::int64_t max_rows) {
  const Status status = Network<T>::create(spec, network_);
  REQUIRE(status.ok());
  parameters_ = AlignedBuffer<T>(static_cast<std::size_t>(network_->arena_size()));
  transposed_ = AlignedBuffer<T>(static_cast<std::size_t>(network_->transposed_size()));
  network_->template to_arena<double>(parameters, parameters_.span());
  network_->transpose(parameters_.data(), transposed_.data());
  workspace_ = std::make_unique<Workspace<T>>(*network_, max_rows, WorkspaceKind::kTangent);
  pass_.network = network_.get();
  pass_.workspace = workspace_.get();
  pass_.parameters = parameters_.data();
  pass_.transposed = transposed_.data();
}

template <Scalar T>
void FastRun<T>::run(const Batch& batch, std::size_t parts) {
  pass_.rows = static_cast<std::int64_t>(batch.rows);
  const std::int64_t ld = network_->buffers()[0].ld;
  for (std::size_t r = 0; r < batch.rows; ++r) {
    T* row = workspace_->activation(0) + static_cast<std::int64_t>(r) * ld;
    std::fill_n(row, ld, T(0));
    std::copy(batch.inputs[r].begin(), batch.inputs[r].end(), row);
  }
  const auto in_parts = [&](auto&& walk) {
    for (std::size_t part = 0; part < parts; ++part) {
      const std::size_t first = batch.rows * part / parts, last = batch.rows * (part + 1) / parts;
      if (last > first) walk(static_cast<std::int64_t>(first), static_cast<std::int64_t>(last - first));
    }
  };
  in_parts([&](std::int64_t first, std::int64_t count) { pass_.forward(first, count); });
  for (std::size_t h = 0; h < network_->heads().size(); ++h) {
    const HeadInfo& head = network_->heads()[h];
    const std::int64_t ldd = network_->buffers()[static_cast<std::size_t>(head.buffer)].ld;
    for (std::size_t r = 0; r < batch.rows; ++r) {
      T* row = workspace_->delta(head.buffer) + static_cast<std::int64_t>(r) * ldd;
      std::fill_n(row, ldd, T(0));
      std::copy(batch.cotangents[r][h].begin(), batch.cotangents[r][h].end(), row);
    }
  }
  in_parts([&](std::int64_t first, std::int64_t count) { pass_.backward(first, count); });
}

template <Scalar T>
void FastRun<T>::tangent(const Values& direction) {
  AlignedBuffer<T> arena(static_cast<std::size_t>(network_->arena_size()));
  network_->template to_arena<double>(direction, arena.span());
  pass_.tangent(arena.data(), 0, pass_.rows);
}

template <Scalar T>
std::vector<Values> FastRun<T>::head_rows(std::size_t row, bool tangent) const {
  std::vector<Values> rows;
  for (const HeadInfo& head : network_->heads()) {
    const std::int64_t ld = network_->buffers()[static_cast<std::size_t>(head.buffer)].ld;
    const T* from = (tangent ? workspace_->tangent(head.buffer) : workspace_->activation(head.buffer)) +
                    static_cast<std::int64_t>(row) * ld;
    rows.emplace_back(from, from + head.width);
  }
  return rows;
}

template <Scalar T>
std::vector<Values> FastRun<T>::outputs(std::size_t row) const {
  return head_rows(row, false);
}

template <Scalar T>
std::vector<Values> FastRun<T>::tangents(std::size_t row) const {
  return head_rows(row, true);
}

template <Scalar T>
Values FastRun<T>::gradient(double scale) const {
  AlignedBuffer<T> arena(static_cast<std::size_t>(network_->arena_size()));
  for (T& element : arena.span()) element = std::numeric_limits<T>::quiet_NaN();  // every element must be written
  for (const GradientUnit& unit : network_->units()) {
    pass_.gradient(unit, static_cast<T>(scale), arena.data() + unit.offset);
  }
  Values flat(static_cast<std::size_t>(network_->parameter_count()));
  network_->template to_public<double>(arena.span(), flat);
  return flat;
}

template <Scalar T>
std::vector<T> FastRun<T>::per_sample_gradient(std::size_t row) const {
  std::vector<T> flat(static_cast<std::size_t>(network_->parameter_count()) + 1, T(77));
  pass_.per_sample_gradient(static_cast<std::int64_t>(row), flat.data());
  CHECK(flat.back() == T(77));
  flat.pop_back();
  return flat;
}

namespace {

// Layers run in the order of the spec; the end of a residual block is one more.
void collect_dropouts(const std::vector<LayerSpec>& layers, int& index, std::vector<int>& out) {
  for (const LayerSpec& layer : layers) {
    collect_dropouts(layer.layers, index, out);
    if (layer.kind == LayerKind::kDropout) out.push_back(index);
    ++index;
  }
}

}  // namespace

template <Scalar T>
std::vector<Values> FastRun<T>::masks(std::size_t row) const {
  std::vector<int> indices;
  int index = 0;
  collect_dropouts(network_->spec().layers, index, indices);
  for (const HeadSpec& head : network_->spec().heads) collect_dropouts(head.layers, index, indices);
  std::vector<Values> masks;
  for (const int layer : indices) {
    // Layer i writes buffer i + 1; its scratch is the mask, laid out as that buffer.
    const BufferInfo& info = network_->buffers()[static_cast<std::size_t>(layer) + 1];
    const T* from = workspace_->scratch(layer) + static_cast<std::int64_t>(row) * info.ld;
    masks.emplace_back(from, from + info.width);
  }
  return masks;
}

template class FastRun<float>;
template class FastRun<double>;

}  // namespace krylov::test
