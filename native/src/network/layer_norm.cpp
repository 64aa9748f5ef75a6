// Layer normalisation over the units of a row.
#include "network/layer.h"

namespace krylov {

template <Scalar T>
std::int64_t LayerNormLayer<T>::scratch_size(std::int64_t max_rows,
                                             std::span<const BufferInfo> buffers) const noexcept {
  return max_rows * buffers[static_cast<std::size_t>(this->output)].ld + round_up(max_rows, kPanel<T>);
}

template <Scalar T>
T* LayerNormLayer<T>::normalized(const Pass<T>& pass, std::int64_t first) const noexcept {
  return pass.workspace->scratch(this->index) + first * this->info(pass, this->output).ld;
}

template <Scalar T>
T* LayerNormLayer<T>::inverse_deviation(const Pass<T>& pass, std::int64_t first) const noexcept {
  return normalized(pass, pass.workspace->max_rows()) + first;
}

template <Scalar T>
void LayerNormLayer<T>::forward(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept {
  const ParameterBlock& block = pass.network->blocks()[static_cast<std::size_t>(this->block)];
  const std::int64_t ld = this->info(pass, this->output).ld;
  kernels<T>().layer_norm_forward(this->activation(pass, this->input, first), this->info(pass, this->input).ld,
                                  pass.parameters + block.offset, 2 * kPanel<T>, epsilon_,
                                  this->activation(pass, this->output, first), ld, normalized(pass, first), ld,
                                  inverse_deviation(pass, first), count, width_);
}

template <Scalar T>
void LayerNormLayer<T>::backward(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept {
  if (!this->input_delta) return;
  const ParameterBlock& block = pass.network->blocks()[static_cast<std::size_t>(this->block)];
  const std::int64_t ld = this->info(pass, this->output).ld;
  kernels<T>().layer_norm_backward(this->delta(pass, this->output, first), ld, pass.parameters + block.offset,
                                   2 * kPanel<T>, normalized(pass, first), ld, inverse_deviation(pass, first),
                                   this->delta(pass, this->input, first), this->info(pass, this->input).ld,
                                   this->accumulate, count, width_);
}

// R{y} = gain R{n} + n V_gain + v_bias.
template <Scalar T>
void LayerNormLayer<T>::tangent(const Pass<T>& pass, const T* direction, std::int64_t first,
                                std::int64_t count) const noexcept {
  const std::int64_t offset = pass.network->blocks()[static_cast<std::size_t>(this->block)].offset;
  const std::int64_t ld = this->info(pass, this->output).ld;
  T* result = this->tangent_of(pass, this->output, first);
  const bool moves = this->input != this->kInputBuffer;
  if (moves) {
    kernels<T>().layer_norm_tangent(this->tangent_of(pass, this->input, first), this->info(pass, this->input).ld,
                                    normalized(pass, first), ld, inverse_deviation(pass, first), result, ld, count,
                                    width_);
  }
  const T* gain = pass.parameters + offset;
  const T* v = direction + offset;
  const T* n = normalized(pass, first);
  for (std::int64_t r = 0; r < count; ++r) {
    for (std::int64_t c = 0; c < round_up(width_, kPanel<T>); ++c) {
      const std::int64_t at = (c / kPanel<T>) * 2 * kPanel<T> + c % kPanel<T>;
      const T moved = moves ? gain[at] * result[r * ld + c] : T(0);
      result[r * ld + c] = moved + n[r * ld + c] * v[at] + v[at + kPanel<T>];
    }
  }
}

template <Scalar T>
void LayerNormLayer<T>::gradient(const Pass<T>& pass, const GradientUnit& unit, T scale, T* out) const noexcept {
  const std::int64_t ld = this->info(pass, this->output).ld;
  const T* delta = this->delta(pass, this->output, 0) + unit.panel * kPanel<T>;
  const T* n = normalized(pass, 0) + unit.panel * kPanel<T>;
  T gain[kPanel<T>] = {}, bias[kPanel<T>] = {};
  for (std::int64_t r = 0; r < pass.rows; ++r) {
    for (std::int64_t c = 0; c < kPanel<T>; ++c) {
      gain[c] += delta[r * ld + c] * n[r * ld + c];
      bias[c] += delta[r * ld + c];
    }
  }
  for (std::int64_t c = 0; c < kPanel<T>; ++c) {
    out[c] = scale * gain[c];
    out[kPanel<T> + c] = scale * bias[c];
  }
}

template <Scalar T>
void LayerNormLayer<T>::per_sample_gradient(const Pass<T>& pass, std::int64_t row, T* out) const noexcept {
  const T* delta = this->delta(pass, this->output, row);
  const T* n = normalized(pass, row);
  for (std::int64_t c = 0; c < width_; ++c) {
    out[gain_offset + c] = delta[c] * n[c];
    out[bias_offset + c] = delta[c];
  }
}

template <Scalar T>
double LayerNormLayer<T>::per_sample_square(const Pass<T>& pass, std::int64_t row) const noexcept {
  const T* delta = this->delta(pass, this->output, row);
  const T* n = normalized(pass, row);
  double sum = 0;
  for (std::int64_t c = 0; c < width_; ++c) {
    const double d = static_cast<double>(delta[c]), x = static_cast<double>(n[c]);
    sum += d * d * (x * x + 1.0);
  }
  return sum;
}

template class LayerNormLayer<float>;
template class LayerNormLayer<double>;

}  // namespace krylov
