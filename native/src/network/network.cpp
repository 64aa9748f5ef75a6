// A compiled network's parameters: orders, transposed copies, initial values.
#include "krylov/network.h"

#include <algorithm>

#include "network/layer.h"

namespace krylov {

template <Scalar T>
Network<T>::~Network() {}  // here, where Layer is complete

template <Scalar T>
bool Network<T>::differentiable() const noexcept {
  return std::none_of(buffers_.begin(), buffers_.end(),
                      [](const BufferInfo& buffer) { return has_surrogate(buffer.activation.kind); });
}

template <Scalar T>
Status check_differentiable(const Network<T>& network, const char* argument) noexcept {
  if (network.differentiable()) return Status::success();
  return Status::error(ErrorCode::kOption, argument,
                       "a network without sign and step units, whose surrogates take the place of a derivative only in "
                       "gradients");
}

namespace {

// Calls body(public index, arena index) for every element of a tensor, square by square: within one both orders
// stay in the nearest cache.
template <Scalar T, class Body>
void for_elements(const TensorInfo& tensor, const ParameterBlock& block, Body body) noexcept {
  constexpr std::int64_t side = kPanel<T>;
  for (std::int64_t o0 = 0; o0 < tensor.outputs; o0 += side) {
    const std::int64_t lanes = std::min(side, tensor.outputs - o0);
    const std::int64_t panel = block.offset + ((o0 / side) * block.rows + tensor.first_row) * side;
    for (std::int64_t i0 = 0; i0 < tensor.row_count; i0 += side) {
      const std::int64_t rows = std::min(side, tensor.row_count - i0);
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        const std::int64_t index = tensor.public_offset + (o0 + lane) * tensor.row_count + i0;
        const std::int64_t at = panel + i0 * side + lane;
        for (std::int64_t i = 0; i < rows; ++i) body(index + i, at + i * side);
      }
    }
  }
}

}  // namespace

template <Scalar T>
template <Scalar U>
void Network<T>::to_arena(std::span<const U> flat, std::span<T> arena) const noexcept {
  for (const TensorInfo& tensor : tensors_) {
    for_elements<T>(tensor, blocks_[static_cast<std::size_t>(tensor.block)],
                    [&](std::int64_t i, std::int64_t at) {
                      arena[static_cast<std::size_t>(at)] = static_cast<T>(flat[static_cast<std::size_t>(i)]);
                    });
  }
}

template <Scalar T>
template <Scalar U>
void Network<T>::to_public(std::span<const T> arena, std::span<U> flat) const noexcept {
  for (const TensorInfo& tensor : tensors_) {
    for_elements<T>(tensor, blocks_[static_cast<std::size_t>(tensor.block)],
                    [&](std::int64_t i, std::int64_t at) {
                      flat[static_cast<std::size_t>(i)] = static_cast<U>(arena[static_cast<std::size_t>(at)]);
                    });
  }
}

template <Scalar T>
void Network<T>::transpose_unit(const T* arena, const GradientUnit& unit, T* transposed) const noexcept {
  const Layer<T>& layer = *layers_[static_cast<std::size_t>(unit.layer)];
  if (layer.transposed_offset >= 0) layer.transpose(arena + unit.offset, unit, transposed);
}

template <Scalar T>
void Network<T>::transpose(const T* arena, T* transposed) const noexcept {
  for (const GradientUnit& unit : units_) transpose_unit(arena, unit, transposed);
}

namespace {

// The dense layers of a spec in the order of their weights.
void collect_dense(const std::vector<LayerSpec>& layers, std::vector<const LayerSpec*>& out) {
  for (const LayerSpec& layer : layers) {
    if (layer.kind == LayerKind::kDense) out.push_back(&layer);
    collect_dense(layer.layers, out);
  }
}

}  // namespace

template <Scalar T>
Status Network<T>::initialise(std::uint64_t seed, std::span<T> arena) const {
  std::vector<const LayerSpec*> dense;
  collect_dense(spec_.layers, dense);
  for (const HeadSpec& head : spec_.heads) collect_dense(head.layers, dense);
  std::vector<double> values;
  std::size_t next = 0;
  std::int64_t fan_in = 1;
  const LayerSpec* spec = nullptr;
  int dense_block = -1;
  for (std::size_t index = 0; index < tensors_.size(); ++index) {
    const TensorInfo& tensor = tensors_[index];
    const ParameterBlock& block = blocks_[static_cast<std::size_t>(tensor.block)];
    values.assign(static_cast<std::size_t>(tensor.size()), 0.0);
    const auto number = static_cast<std::uint32_t>(index);
    if (!tensor.vector) {
      spec = dense[next++];
      fan_in = tensor.row_count;
      dense_block = tensor.block;
      if (Status s = initialise_weight(spec->weight_initialiser, seed, number, tensor.outputs, fan_in, values); !s.ok()) {
        return s;
      }
    } else if (tensor.block == dense_block) {
      if (Status s = initialise_bias(spec->bias_initialiser, seed, number, fan_in, values); !s.ok()) return s;
    } else if (tensor.first_row == 0) {
      values.assign(values.size(), 1.0);  // a normalisation's gain
    }
    for_elements<T>(tensor, block, [&](std::int64_t i, std::int64_t at) {
      arena[static_cast<std::size_t>(at)] = static_cast<T>(values[static_cast<std::size_t>(i - tensor.public_offset)]);
    });
  }
  return Status::success();
}

#define KRYLOV_INSTANTIATE(T, U)                                                              \
  template void Network<T>::to_arena<U>(std::span<const U>, std::span<T>) const noexcept;     \
  template void Network<T>::to_public<U>(std::span<const T>, std::span<U>) const noexcept;
KRYLOV_INSTANTIATE(float, float)
KRYLOV_INSTANTIATE(float, double)
KRYLOV_INSTANTIATE(double, float)
KRYLOV_INSTANTIATE(double, double)
#undef KRYLOV_INSTANTIATE

template Network<float>::~Network();
template Network<double>::~Network();
template bool Network<float>::differentiable() const noexcept;
template bool Network<double>::differentiable() const noexcept;
template Status check_differentiable(const Network<float>&, const char*) noexcept;
template Status check_differentiable(const Network<double>&, const char*) noexcept;
template void Network<float>::transpose_unit(const float*, const GradientUnit&, float*) const noexcept;
template void Network<double>::transpose_unit(const double*, const GradientUnit&, double*) const noexcept;
template void Network<float>::transpose(const float*, float*) const noexcept;
template void Network<double>::transpose(const double*, double*) const noexcept;
template Status Network<float>::initialise(std::uint64_t, std::span<float>) const;
template Status Network<double>::initialise(std::uint64_t, std::span<double>) const;

}  // namespace krylov
