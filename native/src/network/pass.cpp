// Workspaces, and the walks over a network's layers.
#include "network/layer.h"

namespace krylov {

template <Scalar T>
Workspace<T>::Workspace(const Network<T>& network, std::int64_t max_rows, WorkspaceKind kind) : max_rows_(max_rows) {
  std::int64_t size = 0;
  const auto place = [&size](std::int64_t elements) {
    const std::int64_t at = size;
    size += round_up(elements, kPanel<T>);
    return at;
  };
  for (const BufferInfo& buffer : network.buffers()) {
    View view;
    const std::int64_t elements = max_rows * buffer.ld;
    view.activation = place(elements);
    if (kind != WorkspaceKind::kForward) {
      if (buffer.has_slope) view.slope = place(elements);
      if (buffer.needs_delta) view.delta = place(elements);
    }
    if (kind == WorkspaceKind::kTangent) view.tangent = place(elements);
    views_.push_back(view);
  }
  for (const auto& layer : network.layers()) scratch_.push_back(place(layer->scratch_size(max_rows, network.buffers())));
  arena_ = AlignedBuffer<T>(static_cast<std::size_t>(size));
}

template <Scalar T>
void Pass<T>::forward(std::int64_t first, std::int64_t count) const noexcept {
  for (const auto& layer : network->layers()) layer->forward(*this, first, count);
}

template <Scalar T>
void Pass<T>::backward(std::int64_t first, std::int64_t count) const noexcept {
  const auto layers = network->layers();
  for (std::size_t i = layers.size(); i-- > 0;) layers[i]->backward(*this, first, count);
}

template <Scalar T>
void Pass<T>::tangent(const T* direction, std::int64_t first, std::int64_t count) const noexcept {
  for (const auto& layer : network->layers()) layer->tangent(*this, direction, first, count);
}

template <Scalar T>
void Pass<T>::gradient(const GradientUnit& unit, T scale, T* out) const noexcept {
  network->layers()[static_cast<std::size_t>(unit.layer)]->gradient(*this, unit, scale, out);
}

template <Scalar T>
void Pass<T>::per_sample_gradient(std::int64_t row, T* out) const noexcept {
  for (const auto& layer : network->layers()) layer->per_sample_gradient(*this, row, out);
}

template class Workspace<float>;
template class Workspace<double>;
template struct Pass<float>;
template struct Pass<double>;

}  // namespace krylov
