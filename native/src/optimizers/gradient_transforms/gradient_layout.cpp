#include <algorithm>

#include "krylov/network.h"
#include "optimizers/gradient_transforms/gradient_transform.h"

namespace krylov {

namespace {

// Elements of a piece at most: large enough that its sum costs more than its bookkeeping, small enough to share out.
constexpr std::int64_t kPieceElements = 2048;

}  // namespace

GradientLayout::GradientLayout(const std::vector<std::vector<std::int64_t>>& shapes) {
  for (const auto& shape : shapes) {
    GradientTensor tensor;
    tensor.offset = size_;
    tensor.outputs = shape.empty() ? 1 : shape.front();
    for (std::size_t i = 1; i < shape.size(); ++i) tensor.columns *= shape[i];
    tensor.vector = shape.size() < 2;
    tensor.lanes = tensor.vector ? std::max<std::int64_t>(tensor.outputs, 1) : 1;
    tensor.panels = tensor.vector ? 1 : tensor.outputs;
    tensor.panel_stride = tensor.columns * tensor.lanes;
    size_ += tensor.outputs * tensor.columns;
    tensors_.push_back(tensor);
  }
  cut();
}

template <Scalar T>
GradientLayout::GradientLayout(const Network<T>& network) : size_(network.arena_size()) {
  for (const TensorInfo& info : network.tensors()) {
    const ParameterBlock& block = network.blocks()[static_cast<std::size_t>(info.block)];
    GradientTensor tensor;
    tensor.offset = block.offset + info.first_row * kPanel<T>;
    tensor.panel_stride = block.rows * kPanel<T>;
    tensor.panels = block.panels;
    tensor.lanes = kPanel<T>;
    tensor.outputs = info.outputs;
    tensor.columns = info.row_count;
    tensor.vector = info.vector;
    tensor.layer = info.block;
    tensors_.push_back(tensor);
  }
  cut();
}

void GradientLayout::cut() {
  for (const GradientTensor& tensor : tensors_) {
    first_piece_.push_back(pieces_.size());
    const std::int64_t panel = tensor.columns * tensor.lanes;
    const bool whole = panel == tensor.panel_stride;  // panels follow one another
    const std::int64_t runs = whole ? 1 : tensor.panels, run = whole ? panel * tensor.panels : panel;
    for (std::int64_t r = 0; r < runs; ++r) {
      for (std::int64_t at = 0; at < run; at += kPieceElements) {
        pieces_.push_back({tensor.offset + r * tensor.panel_stride + at, std::min(kPieceElements, run - at)});
      }
    }
  }
  first_piece_.push_back(pieces_.size());
}

std::pair<std::size_t, std::size_t> GradientLayout::share(const Member& member) const noexcept {
  const auto thread = static_cast<std::size_t>(member.thread), threads = static_cast<std::size_t>(member.threads);
  return {pieces_.size() * thread / threads, pieces_.size() * (thread + 1) / threads};
}

template GradientLayout::GradientLayout(const Network<float>&);
template GradientLayout::GradientLayout(const Network<double>&);

}  // namespace krylov
