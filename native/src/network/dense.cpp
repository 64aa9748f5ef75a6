// Dense layers: products over panels, the activation in the epilogue.
#include "network/layer.h"

namespace krylov {

template <Scalar T>
PanelProduct<T> DenseLayer<T>::product(const T* block, const T* a, std::int64_t lda, T* c, std::int64_t ldc,
                                       std::int64_t rows) const noexcept {
  PanelProduct<T> p{};
  p.a = a, p.lda = lda, p.rows = rows, p.depth = inputs_;
  p.b = block, p.panel_rows = this->rows(), p.columns = units_;
  p.c = c, p.ldc = ldc;
  if (bias_) {
    p.bias = block + inputs_ * kPanel<T>;
    p.bias_stride = p.panel_rows * kPanel<T>;
  }
  return p;
}

template <Scalar T>
void DenseLayer<T>::transpose(const T* unit_parameters, const GradientUnit& unit, T* transposed) const noexcept {
  const std::int64_t last = unit.row1 < inputs_ ? unit.row1 : inputs_;
  const std::int64_t lane0 = unit.panel * kPanel<T>;
  const std::int64_t lanes = units_ - lane0 < kPanel<T> ? units_ - lane0 : kPanel<T>;
  const std::int64_t dst_panel = units_ * kPanel<T>;
  kernels<T>().transpose_panel(
      unit_parameters, last - unit.row0, lanes,
      transposed + this->transposed_offset + (unit.row0 / kPanel<T>) * dst_panel + lane0 * kPanel<T>, dst_panel);
}

template <Scalar T>
void DenseLayer<T>::forward(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept {
  const BufferInfo& in = this->info(pass, this->input);
  const BufferInfo& out = this->info(pass, this->output);
  const T* block = pass.parameters + pass.network->blocks()[static_cast<std::size_t>(this->block)].offset;
  PanelProduct<T> p = product(block, this->activation(pass, this->input, first), in.ld,
                              this->activation(pass, this->output, first), out.ld, count);
  p.epilogue = Epilogue::kBiasActivation;
  p.activation = out.activation;
  if (out.has_slope && pass.workspace->slope(this->output) != nullptr) {
    p.slope = pass.workspace->slope(this->output) + first * out.ld;
    p.ld_slope = out.ld;
  }
  kernels<T>().panel_product(p);
}

template <Scalar T>
void DenseLayer<T>::backward(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept {
  const BufferInfo& out = this->info(pass, this->output);
  T* delta = this->delta(pass, this->output, first);
  if (!out.derivative_fused && out.activation.kind != Activation::kIdentity) {
    kernels<T>().multiply_slope(out.activation, this->saved(pass, this->output, first), out.ld, delta, out.ld, count,
                                round_up(units_, kPanel<T>));
  }
  if (!this->input_delta) return;
  const BufferInfo& in = this->info(pass, this->input);
  PanelProduct<T> p{};
  p.a = delta, p.lda = out.ld, p.rows = count, p.depth = units_;
  p.b = pass.transposed + this->transposed_offset, p.panel_rows = units_, p.columns = inputs_;
  p.c = this->delta(pass, this->input, first), p.ldc = in.ld;
  p.accumulate = this->accumulate;
  if (in.derivative_fused) {
    p.epilogue = Epilogue::kActivationGradient;
    p.activation = in.activation;
    p.saved = this->saved(pass, this->input, first);
    p.ld_saved = in.ld;
  }
  kernels<T>().panel_product(p);
}

// R{z} = R{x} W' + x V' + v, R{a} = act'(z) R{z} (Pearlmutter 1994).
template <Scalar T>
void DenseLayer<T>::tangent(const Pass<T>& pass, const T* direction, std::int64_t first,
                            std::int64_t count) const noexcept {
  const BufferInfo& in = this->info(pass, this->input);
  const BufferInfo& out = this->info(pass, this->output);
  const std::int64_t offset = pass.network->blocks()[static_cast<std::size_t>(this->block)].offset;
  T* result = this->tangent_of(pass, this->output, first);
  const bool moves = this->input != this->kInputBuffer;
  if (moves) {
    kernels<T>().panel_product(product(pass.parameters + offset, this->tangent_of(pass, this->input, first), in.ld,
                                       result, out.ld, count));
  }
  PanelProduct<T> p = product(direction + offset, this->activation(pass, this->input, first), in.ld, result, out.ld,
                              count);
  p.accumulate = moves;
  p.epilogue = Epilogue::kBiasActivation;
  kernels<T>().panel_product(p);
  if (out.activation.kind != Activation::kIdentity) {
    kernels<T>().multiply_slope(out.activation, this->saved(pass, this->output, first), out.ld, result, out.ld, count,
                                round_up(units_, kPanel<T>));
  }
}

template <Scalar T>
void DenseLayer<T>::gradient(const Pass<T>& pass, const GradientUnit& unit, T scale, T* out) const noexcept {
  const std::int64_t last = unit.row1 < inputs_ ? unit.row1 : inputs_;
  const std::int64_t column = unit.panel * kPanel<T>;
  WeightUnit<T> u{};
  u.x = this->activation(pass, this->input, 0) + unit.row0;
  u.ldx = this->info(pass, this->input).ld;
  u.inputs = last - unit.row0;
  u.delta = this->delta(pass, this->output, 0) + column;
  u.ldd = this->info(pass, this->output).ld;
  u.rows = pass.rows;
  u.columns = units_ - column < kPanel<T> ? units_ - column : kPanel<T>;
  u.bias = unit.row1 > inputs_;
  u.scale = scale;
  u.out = out;
  kernels<T>().weight_unit(u);
}

template <Scalar T>
void DenseLayer<T>::per_sample_gradient(const Pass<T>& pass, std::int64_t row, T* out) const noexcept {
  const T* delta = this->delta(pass, this->output, row);
  kernels<T>().outer_product(delta, units_, this->activation(pass, this->input, row), inputs_, out + weight_offset);
  if (bias_) copy_rows(delta, 0, out + bias_offset, 0, 1, units_);
}

// |delta|^2 (|x|^2 + 1): the weight's gradient is an outer product (Goodfellow 2015).
template <Scalar T>
double DenseLayer<T>::per_sample_square(const Pass<T>& pass, std::int64_t row) const noexcept {
  const double delta = kernels<T>().sum_squares(this->delta(pass, this->output, row), units_);
  const double x = kernels<T>().sum_squares(this->activation(pass, this->input, row), inputs_);
  return delta * (x + (bias_ ? 1.0 : 0.0));
}

template class DenseLayer<float>;
template class DenseLayer<double>;

}  // namespace krylov
