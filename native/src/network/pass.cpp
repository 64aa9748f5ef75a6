// Batch matrices, workspaces, and the walks over a network's layers.
#include "network/layer.h"

namespace krylov {

namespace {

bool has_matrix(const BufferInfo& buffer, std::size_t index, MatrixKind kind) noexcept {
  switch (kind) {
    case MatrixKind::kActivation: return true;
    case MatrixKind::kSlope: return buffer.has_slope;
    case MatrixKind::kDelta: return buffer.needs_delta;
    case MatrixKind::kTangent: return true;
    case MatrixKind::kCurve: return buffer.has_curve;
    case MatrixKind::kBend: return buffer.has_bend && index > 0;
  }
  return false;
}

// Gives out places one after the other, each on a panel of its own.
template <Scalar T>
class Places {
 public:
  explicit Places(std::int64_t first = 0) noexcept : size_(first) {}
  std::int64_t take(std::int64_t elements) noexcept {
    const std::int64_t at = size_;
    size_ += round_up(elements, kPanel<T>);
    return at;
  }
  std::size_t size() const noexcept { return static_cast<std::size_t>(size_); }

 private:
  std::int64_t size_;
};

// Sets of matrices that a layer reads side by side begin some cache lines apart
// from each other, so that equal places in them do not share a set of the cache.
template <Scalar T>
std::int64_t stagger(MatrixKind kind) noexcept {
  return 9 * static_cast<std::int64_t>(kind) * kPanel<T>;
}

}  // namespace

template <Scalar T>
BatchMatrices<T>::BatchMatrices(const Network<T>& network, std::int64_t max_rows, MatrixKind kind) {
  const auto buffers = network.buffers();
  Places<T> places(stagger<T>(kind));
  std::vector<std::int64_t> offsets;
  for (std::size_t b = 0; b < buffers.size(); ++b) {
    offsets.push_back(has_matrix(buffers[b], b, kind) ? places.take(max_rows * buffers[b].ld) : -1);
  }
  storage_ = AlignedBuffer<T>(places.size());
  for (const std::int64_t offset : offsets) matrices_.push_back(offset < 0 ? nullptr : storage_.data() + offset);
}

template <Scalar T>
Workspace<T>::Workspace(const Network<T>& network, std::int64_t max_rows, WorkspaceKind kind) : max_rows_(max_rows) {
  struct Entry {
    std::vector<T*>* list;
    std::int64_t offset;
  };
  std::vector<Entry> entries;
  Places<T> places;
  const auto buffers = network.buffers();
  for (std::size_t b = 0; b < buffers.size(); ++b) {
    const auto add = [&](BatchMatrices<T>& set, MatrixKind matrix, bool wanted) {
      wanted = wanted && has_matrix(buffers[b], b, matrix);
      entries.push_back({&set.matrices_, wanted ? places.take(max_rows * buffers[b].ld) : -1});
    };
    add(activations_, MatrixKind::kActivation, true);
    add(slopes_, MatrixKind::kSlope, kind != WorkspaceKind::kForward);
    add(deltas_, MatrixKind::kDelta, kind != WorkspaceKind::kForward);
    add(tangents_, MatrixKind::kTangent, kind == WorkspaceKind::kTangent);
  }
  for (const auto& layer : network.layers()) {
    entries.push_back({&scratch_, places.take(layer->scratch_size(max_rows, buffers))});
  }
  arena_ = AlignedBuffer<T>(places.size());
  for (const Entry& entry : entries) {
    entry.list->push_back(entry.offset < 0 ? nullptr : arena_.data() + entry.offset);
  }
}

template <Scalar T>
void Workspace<T>::reserve_tangents(const Network<T>& network) {
  if (tangents_.matrices_.back() == nullptr) {
    tangents_ = BatchMatrices<T>(network, max_rows_, MatrixKind::kTangent);
  }
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
void Pass<T>::per_sample_gradient(std::int64_t row, T* out, bool stream) const noexcept {
  for (const auto& layer : network->layers()) layer->per_sample_gradient(*this, row, out, stream);
}

template <Scalar T>
void Pass<T>::second_backward(const T* direction, const T* transposed_direction, std::int64_t first,
                              std::int64_t count) const noexcept {
  const auto layers = network->layers();
  for (std::size_t i = layers.size(); i-- > 0;) {
    layers[i]->second_backward(*this, direction, transposed_direction, first, count);
  }
}

template <Scalar T>
void Pass<T>::second_gradient(const GradientUnit& unit, T scale, T* out) const noexcept {
  network->layers()[static_cast<std::size_t>(unit.layer)]->second_gradient(*this, unit, scale, out);
}

template <Scalar T>
void Pass<T>::per_sample_products(const T* direction, std::int64_t first, std::int64_t count,
                                  double* sums) const noexcept {
  for (const auto& layer : network->layers()) layer->per_sample_products(*this, direction, first, count, sums);
}

template <Scalar T>
void Pass<T>::square(const BatchMatrices<T>& deltas, std::int64_t first, std::int64_t count) const noexcept {
  for (const auto& layer : network->layers()) layer->square(*this, deltas, first, count);
}

template <Scalar T>
void Pass<T>::squared_gradient(const GradientUnit& unit, T scale, T* out) const noexcept {
  network->layers()[static_cast<std::size_t>(unit.layer)]->squared_gradient(*this, unit, scale, out);
}

template class BatchMatrices<float>;
template class BatchMatrices<double>;
template class Workspace<float>;
template class Workspace<double>;
template struct Pass<float>;
template struct Pass<double>;

}  // namespace krylov
