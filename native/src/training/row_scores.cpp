#include "training/row_scores.h"

#include <algorithm>
#include <cmath>

#include "kernels/kernel_table.h"
#include "network/layer.h"

namespace krylov {

template <Scalar T>
RowScores<T>::RowScores(const Network<T>& network, RowScore score, std::int64_t max_rows)
    : network_(&network), score_(score), values_(static_cast<std::size_t>(max_rows)) {}

template <Scalar T>
void RowScores<T>::of_pool(const Pass<T>& pass, Batch<T>& batch, std::int64_t first, std::int64_t count) noexcept {
  batch.load(pass, first, count);
  pass.forward(first, count);
  (void)batch.evaluate(pass, score_ == RowScore::kLoss ? Deltas::kNone : Deltas::kPerSample, first, count);
  switch (score_) {
    case RowScore::kLoss: losses(batch, first, count); break;
    case RowScore::kGradientNorm:
      pass.backward(first, count);
      gradient_norms(pass, first, count);
      break;
    default:
      to_pre_activations(pass, first, count);
      output_norms(pass, first, count);
  }
  keep_finite(first, count);
}

// From outputs to their pre-activations, as the last layers' backward would begin.
template <Scalar T>
void RowScores<T>::to_pre_activations(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept {
  for (const HeadInfo& head : network_->heads()) {
    const BufferInfo& out = network_->buffers()[static_cast<std::size_t>(head.buffer)];
    if (out.activation.kind == Activation::kIdentity) continue;
    const Workspace<T>& space = *pass.workspace;
    const T* saved = out.has_slope ? space.slope(head.buffer) : space.activation(head.buffer);
    kernels<T>().multiply_slope(out.activation, saved + first * out.ld, out.ld,
                                pass.adjoint_set()[head.buffer] + first * out.ld, out.ld, count,
                                round_up(out.width, kPanel<T>));
  }
}

template <Scalar T>
void RowScores<T>::of_step(const Pass<T>& pass, const Batch<T>& batch, double divisor, std::int64_t first,
                           std::int64_t count) noexcept {
  switch (score_) {
    case RowScore::kLoss: losses(batch, first, count); break;
    case RowScore::kGradientNorm: gradient_norms(pass, first, count); break;
    default: output_norms(pass, first, count);
  }
  const double* factors = batch.factors();
  const double scale = score_ == RowScore::kLoss ? 1 : divisor;
  for (std::int64_t r = first; r < first + count; ++r) {
    values_[static_cast<std::size_t>(r)] *= factors != nullptr ? scale / factors[r] : scale;
  }
  keep_finite(first, count);
}

template <Scalar T>
void RowScores<T>::keep_finite(std::int64_t first, std::int64_t count) noexcept {
  for (std::int64_t r = first; r < first + count; ++r) {
    double& value = values_[static_cast<std::size_t>(r)];
    if (!std::isfinite(value)) value = 0;
  }
}

template <Scalar T>
void RowScores<T>::losses(const Batch<T>& batch, std::int64_t first, std::int64_t count) noexcept {
  for (std::int64_t r = first; r < first + count; ++r) {
    const auto at = static_cast<std::size_t>(r);
    double loss = 0;
    for (std::size_t h = 0; h < batch.losses().size(); ++h) loss += batch.losses()[h].weight * batch.sample_losses(h)[at];
    values_[at] = std::max(loss, 0.0);
  }
}

template <Scalar T>
void RowScores<T>::output_norms(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept {
  for (std::int64_t r = first; r < first + count; ++r) {
    double sum = 0;
    for (const HeadInfo& head : network_->heads()) {
      const BufferInfo& out = network_->buffers()[static_cast<std::size_t>(head.buffer)];
      sum += kernels<T>().sum_squares(pass.adjoint_set()[head.buffer] + r * out.ld, head.width);
    }
    values_[static_cast<std::size_t>(r)] = std::sqrt(sum);
  }
}

template <Scalar T>
void RowScores<T>::gradient_norms(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept {
  double own[Layer<T>::kSquareRows];
  for (std::int64_t row = first; row < first + count; row += Layer<T>::kSquareRows) {
    const std::int64_t few = std::min(Layer<T>::kSquareRows, first + count - row);
    double* const to = values_.data() + row;
    std::fill(to, to + few, 0.0);
    for (const auto& layer : network_->layers()) {
      if (layer->block < 0) continue;
      layer->per_sample_squares(pass, row, few, own);
      for (std::int64_t r = 0; r < few; ++r) to[r] += own[r];
    }
    for (std::int64_t r = 0; r < few; ++r) to[r] = std::sqrt(to[r]);
  }
}

template class RowScores<float>;
template class RowScores<double>;

}  // namespace krylov
