// Layer normalisation over the units of a row.
#include <algorithm>

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
  if (pass.bends != nullptr) keep_normalized_tangent(pass, moves ? result : nullptr, first, count);
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
void LayerNormLayer<T>::per_sample_gradient(const Pass<T>& pass, std::int64_t row, T* out, bool) const noexcept {
  const T* delta = this->delta(pass, this->output, row);
  const T* n = normalized(pass, row);
  for (std::int64_t c = 0; c < width_; ++c) {
    out[gain_offset + c] = delta[c] * n[c];
    out[bias_offset + c] = delta[c];
  }
}

template <Scalar T>
RowFactors<T> LayerNormLayer<T>::row_factors(const Pass<T>& pass, std::int64_t row) const noexcept {
  return {normalized(pass, row), width_, this->delta(pass, this->output, row), width_, false, true};
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

// The bend of a normalisation: R{n}, or zeros where the input does not move.
template <Scalar T>
void LayerNormLayer<T>::keep_normalized_tangent(const Pass<T>& pass, const T* moved, std::int64_t first,
                                                std::int64_t count) const noexcept {
  const std::int64_t ld = this->info(pass, this->output).ld, columns = round_up(width_, kPanel<T>);
  T* kept = this->bend(pass, this->output, first);
  if (moved != nullptr) return copy_rows(moved, ld, kept, ld, count, columns);
  for (std::int64_t r = 0; r < count; ++r) std::fill_n(kept + r * ld, columns, T(0));
}

// With d = g delta (g the gain, delta = d(loss)/dy), s the inverse deviation and means over the row,
//   dx    = s (d - mean(d) - n mean(d n))
//   R{d}  = g R{delta} + V_gain delta,   R{s} = -s^2 mean(n R{x})
//   R{dx} = -s mean(n R{x}) dx + s (R{d} - mean(R{d}) - R{n} mean(d n) - n (mean(R{d} n) + mean(d R{n})))
template <Scalar T>
void LayerNormLayer<T>::second_backward(const Pass<T>& pass, const T* direction, const T*, std::int64_t first,
                                        std::int64_t count) const noexcept {
  if (!this->input_delta) return;
  const std::int64_t offset = pass.network->blocks()[static_cast<std::size_t>(this->block)].offset;
  const std::int64_t ld = this->info(pass, this->output).ld, ldx = this->info(pass, this->input).ld;
  const T* gain = pass.parameters + offset;
  const T* gain_moves = direction + offset;
  const T* inverse = inverse_deviation(pass, first);
  const double width = static_cast<double>(width_);
  const auto at = [](std::int64_t c) { return (c / kPanel<T>) * 2 * kPanel<T> + c % kPanel<T>; };
  for (std::int64_t r = 0; r < count; ++r) {
    const T* n = normalized(pass, first) + r * ld;
    const T* rn = this->bend(pass, this->output, first) + r * ld;
    const T* rx = this->tangent_of(pass, this->input, first) + r * ldx;
    const T* delta = this->loss_delta(pass, this->output, first) + r * ld;
    const T* rdelta = this->delta(pass, this->output, first) + r * ld;
    T* out = this->delta(pass, this->input, first) + r * ldx;
    double d_sum = 0, dn_sum = 0, rd_sum = 0, rdn_sum = 0, nrx_sum = 0;
    for (std::int64_t c = 0; c < width_; ++c) {
      const double d = double(gain[at(c)]) * double(delta[c]);
      const double rd = double(gain[at(c)]) * double(rdelta[c]) + double(gain_moves[at(c)]) * double(delta[c]);
      d_sum += d;
      dn_sum += d * double(n[c]);
      rd_sum += rd;
      rdn_sum += rd * double(n[c]) + d * double(rn[c]);
      nrx_sum += double(n[c]) * double(rx[c]);
    }
    const double s = double(inverse[r]);
    const double d_mean = d_sum / width, dn_mean = dn_sum / width, rd_mean = rd_sum / width;
    const double rdn_mean = rdn_sum / width, shrinkage = s * nrx_sum / width;
    for (std::int64_t c = 0; c < width_; ++c) {
      const double d = double(gain[at(c)]) * double(delta[c]);
      const double rd = double(gain[at(c)]) * double(rdelta[c]) + double(gain_moves[at(c)]) * double(delta[c]);
      const double dx = d - d_mean - double(n[c]) * dn_mean;
      const double moved = rd - rd_mean - double(rn[c]) * dn_mean - double(n[c]) * rdn_mean;
      const T value = static_cast<T>(s * (moved - shrinkage * dx));
      out[c] = this->accumulate ? out[c] + value : value;
    }
    if (!this->accumulate) std::fill(out + width_, out + round_up(width_, kPanel<T>), T(0));
  }
}

// sum delta n and sum delta over the rows; with squares, whose deltas are squared already, sum delta n^2.
template <Scalar T>
void LayerNormLayer<T>::sum_rows(const Pass<T>& pass, const GradientUnit& unit, T scale, T* out,
                                 bool squared) const noexcept {
  const std::int64_t ld = this->info(pass, this->output).ld;
  const T* delta = this->delta(pass, this->output, 0) + unit.panel * kPanel<T>;
  const T* n = normalized(pass, 0) + unit.panel * kPanel<T>;
  T gain[kPanel<T>] = {}, bias[kPanel<T>] = {};
  for (std::int64_t r = pass.first_row; r < pass.rows; ++r) {
    for (std::int64_t c = 0; c < kPanel<T>; ++c) {
      const T x = n[r * ld + c];
      gain[c] += delta[r * ld + c] * (squared ? x * x : x);
      bias[c] += delta[r * ld + c];
    }
  }
  for (std::int64_t c = 0; c < kPanel<T>; ++c) {
    out[c] = scale * gain[c];
    out[kPanel<T> + c] = scale * bias[c];
  }
}

template <Scalar T>
void LayerNormLayer<T>::gradient(const Pass<T>& pass, const GradientUnit& unit, T scale, T* out) const noexcept {
  sum_rows(pass, unit, scale, out, false);
}

template <Scalar T>
void LayerNormLayer<T>::squared_gradient(const Pass<T>& pass, const GradientUnit& unit, T scale,
                                         T* out) const noexcept {
  sum_rows(pass, unit, scale, out, true);
}

// R{delta} n + delta R{n} for the gain, R{delta} for the bias.
template <Scalar T>
void LayerNormLayer<T>::second_gradient(const Pass<T>& pass, const GradientUnit& unit, T scale,
                                        T* out) const noexcept {
  gradient(pass, unit, scale, out);
  const std::int64_t ld = this->info(pass, this->output).ld;
  const T* delta = this->loss_delta(pass, this->output, 0) + unit.panel * kPanel<T>;
  const T* rn = this->bend(pass, this->output, 0) + unit.panel * kPanel<T>;
  T gain[kPanel<T>] = {};
  for (std::int64_t r = pass.first_row; r < pass.rows; ++r) {
    for (std::int64_t c = 0; c < kPanel<T>; ++c) gain[c] += delta[r * ld + c] * rn[r * ld + c];
  }
  for (std::int64_t c = 0; c < kPanel<T>; ++c) out[c] += scale * gain[c];
}

template <Scalar T>
void LayerNormLayer<T>::per_sample_products(const Pass<T>& pass, const T* direction, std::int64_t first,
                                            std::int64_t count, double* sums) const noexcept {
  const T* v = direction + pass.network->blocks()[static_cast<std::size_t>(this->block)].offset;
  for (std::int64_t r = 0; r < count; ++r) {
    const T* delta = this->delta(pass, this->output, first + r);
    const T* n = normalized(pass, first + r);
    double sum = 0;
    for (std::int64_t c = 0; c < width_; ++c) {
      const std::int64_t at = (c / kPanel<T>) * 2 * kPanel<T> + c % kPanel<T>;
      sum += double(delta[c]) * (double(n[c]) * double(v[at]) + double(v[at + kPanel<T>]));
    }
    sums[r] += sum;
  }
}

template <Scalar T>
void LayerNormLayer<T>::square(const Pass<T>& pass, const BatchMatrices<T>& deltas, std::int64_t first,
                               std::int64_t count) const noexcept {
  const std::int64_t ld = this->info(pass, this->output).ld;
  const T* delta = deltas[this->output] + first * ld;
  kernels<T>().multiply(delta, ld, delta, ld, this->delta(pass, this->output, first), ld, false, count,
                        round_up(width_, kPanel<T>));
}

template class LayerNormLayer<float>;
template class LayerNormLayer<double>;

}  // namespace krylov
