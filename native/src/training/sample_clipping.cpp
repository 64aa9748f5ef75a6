#include "training/sample_clipping.h"

#include <algorithm>
#include <cmath>
#include <limits>

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
  const auto layers = static_cast<std::int64_t>(layers_with_parameters(network).size());
  if (Status s = Thresholds::check(spec, layers); !s.ok()) return s;
  if (spec.mode == ClippingMode::kAutomatic && !(spec.epsilon > 0)) {
    return Status::error(ErrorCode::kOption, "clipping.epsilon", "a number above 0 for automatic clipping");
  }
  return Status::success();
}

template <Scalar T>
SampleClipping<T>::SampleClipping(const Network<T>& network, const ClippingSpec& spec, std::int64_t max_rows,
                                  const PrivacySpec* privacy)
    : network_(&network), spec_(spec), layers_(layers_with_parameters(network)),
      thresholds_(spec, spec.by_layer ? layers_.size() : 1, privacy), norms_(static_cast<std::size_t>(max_rows)),
      clipped_(static_cast<std::size_t>(max_rows)), max_rows_(max_rows) {
  if (thresholds_.follows() && spec_.by_layer) {
    part_norms_ = AlignedBuffer<double>(thresholds_.parts() * static_cast<std::size_t>(max_rows));
  }
}

template <Scalar T>
void SampleClipping<T>::begin() noexcept {
  finite_.store(true, std::memory_order_relaxed);
  rows_.store(0, std::memory_order_relaxed);
  dropped_now_.store(0, std::memory_order_relaxed);
}

template <Scalar T>
void SampleClipping<T>::end() noexcept {
  dropped_ += dropped_now_.load(std::memory_order_relaxed);
  const double* norms = part_norms_.empty() ? norms_.data() : part_norms_.data();
  thresholds_.advance(norms, max_rows_, rows_.load(std::memory_order_relaxed), update_++);
}

template <Scalar T>
void SampleClipping<T>::clip(const Pass<T>& pass, Batch<T>& batch, std::int64_t first, std::int64_t count) noexcept {
  rows_.store(pass.rows, std::memory_order_relaxed);
  bool finite = true;
  for (std::int64_t row = first; row < first + count; row += Layer<T>::kSquareRows) {
    finite = clip_few(pass, batch, row, std::min(Layer<T>::kSquareRows, first + count - row)) && finite;
  }
  if (!finite) finite_.store(false, std::memory_order_relaxed);
}

template <Scalar T>
bool SampleClipping<T>::clip_few(const Pass<T>& pass, Batch<T>& batch, std::int64_t first, std::int64_t count) noexcept {
  double total[Layer<T>::kSquareRows] = {}, own[Layer<T>::kSquareRows], factors[Layer<T>::kSquareRows];
  double* const norms = norms_.data() + first;
  double* const clipped = clipped_.data() + first;
  std::fill(clipped, clipped + count, 0.0);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer<T>& layer = *network_->layers()[static_cast<std::size_t>(layers_[i])];
    layer.per_sample_squares(pass, first, count, own);
    for (std::int64_t r = 0; r < count; ++r) total[r] += own[r];
    if (!spec_.by_layer) continue;
    for (std::int64_t r = 0; r < count; ++r) {
      const double norm = std::sqrt(own[r]);
      if (!part_norms_.empty()) part_norms_.data()[static_cast<std::int64_t>(i) * max_rows_ + first + r] = norm;
      factors[r] = clipping_factor(spec_, thresholds_[i], norm);
      clipped[r] += factors[r] != 1 ? 1 : 0;
    }
    scale_rows(pass, layer, first, count, factors);
  }
  bool finite = true;
  for (std::int64_t r = 0; r < count; ++r) {
    norms[r] = std::sqrt(total[r]);
    factors[r] = 1;
    if (!std::isfinite(norms[r]) || (drops() && !batch.loss_is_finite(first + r))) {
      finite = false;
      if (!drops()) continue;
      drop_row(pass, first + r);
      batch.drop_loss(first + r);
      norms[r] = clipped[r] = std::numeric_limits<double>::quiet_NaN();
      for (std::size_t i = 0; !part_norms_.empty() && i < layers_.size(); ++i) {
        part_norms_.data()[static_cast<std::int64_t>(i) * max_rows_ + first + r] = norms[r];
      }
      dropped_now_.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    if (spec_.by_layer) continue;
    factors[r] = clipping_factor(spec_, thresholds_[0], norms[r]);
    clipped[r] = factors[r] != 1 ? 1 : 0;
  }
  for (std::size_t i = 0; !spec_.by_layer && i < layers_.size(); ++i) {
    scale_rows(pass, *network_->layers()[static_cast<std::size_t>(layers_[i])], first, count, factors);
  }
  return finite || drops();
}

// Neither the deltas nor what they are multiplied with may keep a number that is not finite, in the padding of their rows
// no more than in these: 0 times it is none either.
template <Scalar T>
void SampleClipping<T>::drop_row(const Pass<T>& pass, std::int64_t row) const noexcept {
  for (const int index : layers_) {
    const RowFactors<T> factors = network_->layers()[static_cast<std::size_t>(index)]->row_factors(pass, row);
    // Both are rows of the workspace, which is the step's own.
    std::fill_n(const_cast<T*>(factors.x), round_up(factors.inputs, kPanel<T>), T(0));
    std::fill_n(const_cast<T*>(factors.delta), round_up(factors.outputs, kPanel<T>), T(0));
  }
}

template <Scalar T>
void SampleClipping<T>::scale_rows(const Pass<T>& pass, const Layer<T>& layer, std::int64_t first, std::int64_t count,
                                   const double* factors) const noexcept {
  const BufferInfo& buffer = network_->buffers()[static_cast<std::size_t>(layer.output)];
  T* const rows = pass.adjoint_set()[layer.output] + first * buffer.ld;
  kernels<T>().scale_rows(factors, rows, buffer.ld, count, round_up(buffer.width, kPanel<T>));
}

template <Scalar T>
ClippingSummary SampleClipping<T>::summary() const noexcept {
  const std::int64_t rows = rows_.load(std::memory_order_relaxed);
  ClippingSummary summary;
  std::int64_t kept = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    const double norm = norms_[static_cast<std::size_t>(row)];
    if (!std::isfinite(norm) && drops()) continue;
    ++kept;
    summary.mean_norm += norm;
    summary.largest_norm = std::max(summary.largest_norm, norm);
    summary.clipped += clipped_[static_cast<std::size_t>(row)];
  }
  if (kept == 0) return summary;
  const double factors = spec_.by_layer ? static_cast<double>(layers_.size()) : 1;
  summary.mean_norm /= static_cast<double>(kept);
  summary.clipped /= static_cast<double>(kept) * factors;
  return summary;
}

template <Scalar T>
void SampleClipping<T>::save(TrainingState& state) const {
  thresholds_.save(state);
  if (drops()) state.numbers.emplace_back("clipping.droppedSamples", static_cast<double>(dropped_));
}

template <Scalar T>
Status SampleClipping<T>::restore(const TrainingState& state) {
  const double* dropped = find_number(state, "clipping.droppedSamples");
  if (drops() && (dropped == nullptr || !(*dropped >= 0))) {
    return Status::error(ErrorCode::kState, "state.numbers.clipping.droppedSamples", "a count of samples");
  }
  if (Status s = thresholds_.restore(state); !s.ok()) return s;
  if (drops()) dropped_ = static_cast<std::int64_t>(*dropped);
  update_ = state.updates;
  return Status::success();
}

template <Scalar T>
void SampleClipping<T>::describe(StepNumbers& numbers) const {
  if (rows_.load(std::memory_order_relaxed) > 0) {
    const ClippingSummary summary = this->summary();
    numbers.numbers.emplace_back("meanGradientNorm", summary.mean_norm);
    numbers.numbers.emplace_back("largestGradientNorm", summary.largest_norm);
    numbers.numbers.emplace_back("clippedShare", summary.clipped);
  }
  thresholds_.describe(numbers);
  if (drops()) numbers.numbers.emplace_back("droppedSamples", static_cast<double>(dropped_));
}

template class SampleClipping<float>;
template class SampleClipping<double>;

}  // namespace krylov
