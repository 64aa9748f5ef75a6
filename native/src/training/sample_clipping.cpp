#include "training/sample_clipping.h"

#include <algorithm>
#include <cmath>

#include "network/layer.h"

namespace krylov {

double clipping_factor(const ClippingSpec& spec, double threshold, double norm) noexcept {
  switch (spec.mode) {
    case ClippingMode::kAutomatic: return threshold / (norm + spec.epsilon);
    case ClippingMode::kGlobal: return norm <= threshold ? 1 : 0;
    case ClippingMode::kClip: break;
  }
  return norm + spec.epsilon <= threshold ? 1 : threshold / (norm + spec.epsilon);
}

namespace {

template <Scalar T>
std::vector<int> layers_with_parameters(const Network<T>& network) {
  std::vector<int> layers;
  for (const auto& layer : network.layers()) {
    if (layer->block >= 0) layers.push_back(layer->index);
  }
  return layers;
}

}  // namespace

template <Scalar T>
Status SampleClipping<T>::check(const Network<T>& network, const ClippingSpec& spec) {
  for (const double threshold : spec.thresholds) {
    if (!(threshold > 0) || !std::isfinite(threshold)) {
      return Status::error(ErrorCode::kOption, "clipping.threshold", "a finite number above 0");
    }
  }
  if (spec.mode == ClippingMode::kAutomatic && !(spec.epsilon > 0)) {
    return Status::error(ErrorCode::kOption, "clipping.epsilon", "a number above 0 for automatic clipping");
  }
  const auto given = static_cast<std::int64_t>(spec.thresholds.size());
  const auto layers = static_cast<std::int64_t>(layers_with_parameters(network).size());
  if (given != 1 && !(spec.by_layer && given == layers)) {
    return Status::error(ErrorCode::kShape, "clipping.threshold", "one number, or one for each layer with parameters",
                         given, layers);
  }
  return Status::success();
}

template <Scalar T>
SampleClipping<T>::SampleClipping(const Network<T>& network, const ClippingSpec& spec, std::int64_t max_rows)
    : network_(&network), spec_(spec), layers_(layers_with_parameters(network)),
      norms_(static_cast<std::size_t>(max_rows)), clipped_(static_cast<std::size_t>(max_rows)) {
  if (spec_.by_layer && spec_.thresholds.size() == 1) spec_.thresholds.resize(layers_.size(), spec_.thresholds[0]);
}

template <Scalar T>
void SampleClipping<T>::clip(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept {
  rows_.store(pass.rows, std::memory_order_relaxed);
  bool finite = true;
  for (std::int64_t row = first; row < first + count; row += Layer<T>::kSquareRows) {
    finite = clip_few(pass, row, std::min(Layer<T>::kSquareRows, first + count - row)) && finite;
  }
  if (!finite) finite_.store(false, std::memory_order_relaxed);
}

template <Scalar T>
bool SampleClipping<T>::clip_few(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept {
  double total[Layer<T>::kSquareRows] = {}, own[Layer<T>::kSquareRows];
  double* const norms = norms_.data() + first;
  double* const clipped = clipped_.data() + first;
  std::fill(clipped, clipped + count, 0.0);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer<T>& layer = *network_->layers()[static_cast<std::size_t>(layers_[i])];
    layer.per_sample_squares(pass, first, count, own);
    for (std::int64_t r = 0; r < count; ++r) total[r] += own[r];
    if (!spec_.by_layer) continue;
    for (std::int64_t r = 0; r < count; ++r) {
      const double factor = clipping_factor(spec_, spec_.thresholds[i], std::sqrt(own[r]));
      if (factor == 1) continue;
      scale_row(pass, layer, first + r, factor);
      ++clipped[r];
    }
  }
  bool finite = true;
  for (std::int64_t r = 0; r < count; ++r) {
    norms[r] = std::sqrt(total[r]);
    finite = finite && std::isfinite(norms[r]);
    if (spec_.by_layer) continue;
    const double factor = clipping_factor(spec_, spec_.thresholds[0], norms[r]);
    if (factor == 1) continue;
    for (const int index : layers_) scale_row(pass, *network_->layers()[static_cast<std::size_t>(index)], first + r, factor);
    clipped[r] = 1;
  }
  return finite;
}

template <Scalar T>
void SampleClipping<T>::scale_row(const Pass<T>& pass, const Layer<T>& layer, std::int64_t row, double factor) const noexcept {
  const BufferInfo& buffer = network_->buffers()[static_cast<std::size_t>(layer.output)];
  kernels<T>().scale(static_cast<T>(factor), pass.adjoint_set()[layer.output] + row * buffer.ld, buffer.width);
}

template <Scalar T>
ClippingSummary SampleClipping<T>::summary() const noexcept {
  const std::int64_t rows = rows_.load(std::memory_order_relaxed);
  ClippingSummary summary;
  for (std::int64_t row = 0; row < rows; ++row) {
    const double norm = norms_[static_cast<std::size_t>(row)];
    summary.mean_norm += norm;
    summary.largest_norm = std::max(summary.largest_norm, norm);
    summary.clipped += clipped_[static_cast<std::size_t>(row)];
  }
  const double factors = spec_.by_layer ? static_cast<double>(layers_.size()) : 1;
  summary.mean_norm /= static_cast<double>(rows);
  summary.clipped /= static_cast<double>(rows) * factors;
  return summary;
}

template <Scalar T>
void SampleClipping<T>::describe(StepNumbers& numbers) const {
  if (rows_.load(std::memory_order_relaxed) == 0) return;
  const ClippingSummary summary = this->summary();
  numbers.numbers.emplace_back("meanGradientNorm", summary.mean_norm);
  numbers.numbers.emplace_back("largestGradientNorm", summary.largest_norm);
  numbers.numbers.emplace_back("clippedShare", summary.clipped);
}

template class SampleClipping<float>;
template class SampleClipping<double>;

}  // namespace krylov
