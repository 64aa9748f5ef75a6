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

// [count, units] times W, the transposed copy of the weight.
template <Scalar T>
PanelProduct<T> DenseLayer<T>::back_product(const Pass<T>& pass, const T* delta, const T* transposed,
                                            std::int64_t first, std::int64_t rows) const noexcept {
  const BufferInfo& in = this->info(pass, this->input);
  PanelProduct<T> p{};
  p.a = delta, p.lda = this->info(pass, this->output).ld, p.rows = rows, p.depth = units_;
  p.b = transposed + this->transposed_offset, p.panel_rows = units_, p.columns = inputs_;
  p.c = this->delta(pass, this->input, first), p.ldc = in.ld;
  p.accumulate = this->accumulate;
  p.activation = in.activation;
  p.saved = this->saved(pass, this->input, first);
  p.ld_saved = in.ld;
  return p;
}

// d(loss)/d(activation) * act''(z) while the delta is still the former. Where act'' does not follow from the
// activation, z is computed once more.
template <Scalar T>
void DenseLayer<T>::fill_curve(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept {
  const BufferInfo& out = this->info(pass, this->output);
  const std::int64_t columns = round_up(units_, kPanel<T>);
  T* curve = this->curve(pass, this->output, first);
  const T* source = this->activation(pass, this->output, first);
  if (out.has_slope) {
    const BufferInfo& in = this->info(pass, this->input);
    const T* block = pass.parameters + pass.network->blocks()[static_cast<std::size_t>(this->block)].offset;
    PanelProduct<T> p = product(block, this->activation(pass, this->input, first), in.ld, curve, out.ld, count);
    p.epilogue = Epilogue::kBiasActivation;
    kernels<T>().panel_product(p);
    source = curve;
  }
  kernels<T>().second_slope(out.activation, source, out.ld, curve, out.ld, count, columns);
  kernels<T>().multiply(curve, out.ld, this->delta(pass, this->output, first), out.ld, curve, out.ld, false, count,
                        columns);
}

template <Scalar T>
void DenseLayer<T>::backward(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept {
  const BufferInfo& out = this->info(pass, this->output);
  T* delta = this->delta(pass, this->output, first);
  const bool curved = pass.curves != nullptr;
  if (curved && out.has_curve) fill_curve(pass, first, count);
  if ((!out.derivative_fused || curved) && out.activation.kind != Activation::kIdentity) {
    kernels<T>().multiply_slope(out.activation, this->saved(pass, this->output, first), out.ld, delta, out.ld, count,
                                round_up(units_, kPanel<T>));
  }
  if (!this->input_delta) return;
  PanelProduct<T> p = back_product(pass, delta, pass.transposed, first, count);
  if (this->info(pass, this->input).derivative_fused && !curved) p.epilogue = Epilogue::kActivationGradient;
  kernels<T>().panel_product(p);
}

// R{delta} = R{d(loss)/d(a)} act'(z) + d(loss)/d(a) act''(z) R{z}; then R{delta} W + delta V for the layer before.
template <Scalar T>
void DenseLayer<T>::second_backward(const Pass<T>& pass, const T*, const T* transposed_direction, std::int64_t first,
                                    std::int64_t count) const noexcept {
  const KernelTable<T>& k = kernels<T>();
  const BufferInfo& out = this->info(pass, this->output);
  const std::int64_t columns = round_up(units_, kPanel<T>);
  T* delta = this->delta(pass, this->output, first);
  if (!out.derivative_fused && out.activation.kind != Activation::kIdentity) {
    k.multiply_slope(out.activation, this->saved(pass, this->output, first), out.ld, delta, out.ld, count, columns);
  }
  if (out.has_bend) k.add(delta, out.ld, this->bend(pass, this->output, first), out.ld, delta, out.ld, count, columns);
  if (!this->input_delta) return;
  k.panel_product(back_product(pass, delta, pass.transposed, first, count));
  PanelProduct<T> p =
      back_product(pass, this->loss_delta(pass, this->output, first), transposed_direction, first, count);
  p.accumulate = true;
  if (this->info(pass, this->input).derivative_fused) p.epilogue = Epilogue::kActivationGradient;
  k.panel_product(p);
}

// R{z} = R{x} W' + x V' + v, R{a} = act'(z) R{z} (Pearlmutter 1994).
template <Scalar T>
void DenseLayer<T>::tangent(const Pass<T>& pass, const T* direction, std::int64_t first,
                            std::int64_t count) const noexcept {
  const BufferInfo& in = this->info(pass, this->input);
  const BufferInfo& out = this->info(pass, this->output);
  const std::int64_t offset = pass.network->blocks()[static_cast<std::size_t>(this->block)].offset;
  const std::int64_t columns = round_up(units_, kPanel<T>);
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
  if (pass.bends != nullptr && out.has_bend) {
    kernels<T>().multiply(result, out.ld, this->curve(pass, this->output, first), out.ld,
                          this->bend(pass, this->output, first), out.ld, false, count, columns);
  }
  if (out.activation.kind != Activation::kIdentity) {
    kernels<T>().multiply_slope(out.activation, this->saved(pass, this->output, first), out.ld, result, out.ld, count,
                                columns);
  }
}

template <Scalar T>
void DenseLayer<T>::weight_gradient(const Pass<T>& pass, const GradientUnit& unit, const BatchMatrices<T>& x,
                                    const BatchMatrices<T>& deltas, bool bias, T scale, T* out) const noexcept {
  const std::int64_t last = unit.row1 < inputs_ ? unit.row1 : inputs_;
  const std::int64_t column = unit.panel * kPanel<T>;
  WeightUnit<T> u{};
  u.ldx = this->info(pass, this->input).ld;
  u.x = x[this->input] + pass.first_row * u.ldx + unit.row0;
  u.inputs = last - unit.row0;
  u.ldd = this->info(pass, this->output).ld;
  u.delta = deltas[this->output] + pass.first_row * u.ldd + column;
  u.rows = pass.rows - pass.first_row;
  u.columns = units_ - column < kPanel<T> ? units_ - column : kPanel<T>;
  u.bias = bias && unit.row1 > inputs_;
  u.scale = scale;
  u.out = out;
  kernels<T>().weight_unit(u);
}

template <Scalar T>
void DenseLayer<T>::gradient(const Pass<T>& pass, const GradientUnit& unit, T scale, T* out) const noexcept {
  weight_gradient(pass, unit, pass.workspace->activations(), pass.adjoint_set(), true, scale, out);
}

// R{delta}' x + delta' R{x}; the bias has no second term, nor has what reads the network's input.
template <Scalar T>
void DenseLayer<T>::second_gradient(const Pass<T>& pass, const GradientUnit& unit, T scale, T* out) const noexcept {
  gradient(pass, unit, scale, out);
  if (this->input == this->kInputBuffer) return;
  alignas(kCacheLine) T moved[kUnitElements<T>];
  weight_gradient(pass, unit, pass.workspace->tangents(), pass.workspace->deltas(), false, scale, moved);
  const std::int64_t last = unit.row1 < inputs_ ? unit.row1 : inputs_;
  kernels<T>().scaled_sum(out, T(1), moved, out, (last - unit.row0) * kPanel<T>);
}

template <Scalar T>
void DenseLayer<T>::per_sample_gradient(const Pass<T>& pass, std::int64_t row, T* out, bool stream) const noexcept {
  const T* delta = this->delta(pass, this->output, row);
  const KernelTable<T>& k = kernels<T>();
  const auto write = stream ? k.stream_outer_product : k.outer_product;
  write(delta, units_, this->activation(pass, this->input, row), inputs_, out + weight_offset);
  if (bias_) copy_rows(delta, 0, out + bias_offset, 0, 1, units_);
}

template <Scalar T>
RowFactors<T> DenseLayer<T>::row_factors(const Pass<T>& pass, std::int64_t row) const noexcept {
  return {this->activation(pass, this->input, row), inputs_, this->delta(pass, this->output, row), units_, true, bias_};
}

// |delta|^2 (|x|^2 + 1): the weight's gradient is an outer product (Goodfellow 2015).
template <Scalar T>
double DenseLayer<T>::per_sample_square(const Pass<T>& pass, std::int64_t row) const noexcept {
  const double delta = kernels<T>().sum_squares(this->delta(pass, this->output, row), units_);
  const double x = kernels<T>().sum_squares(this->activation(pass, this->input, row), inputs_);
  return delta * (x + (bias_ ? 1.0 : 0.0));
}

template <Scalar T>
void DenseLayer<T>::per_sample_squares(const Pass<T>& pass, std::int64_t first, std::int64_t count,
                                       double* out) const noexcept {
  double x[Layer<T>::kSquareRows];
  const KernelTable<T>& k = kernels<T>();
  k.row_squares(this->delta(pass, this->output, first), this->info(pass, this->output).ld, count, units_, out);
  k.row_squares(this->activation(pass, this->input, first), this->info(pass, this->input).ld, count, inputs_, x);
  for (std::int64_t r = 0; r < count; ++r) out[r] *= x[r] + (bias_ ? 1.0 : 0.0);
}

// delta . (x V' + v), a sample at a time: the layer's input does not move.
template <Scalar T>
void DenseLayer<T>::per_sample_products(const Pass<T>& pass, const T* direction, std::int64_t first,
                                        std::int64_t count, double* sums) const noexcept {
  const BufferInfo& in = this->info(pass, this->input);
  const std::int64_t ld = this->info(pass, this->output).ld;
  const T* block = direction + pass.network->blocks()[static_cast<std::size_t>(this->block)].offset;
  T* moved = this->tangent_of(pass, this->output, first);
  PanelProduct<T> p = product(block, this->activation(pass, this->input, first), in.ld, moved, ld, count);
  p.epilogue = Epilogue::kBiasActivation;
  kernels<T>().panel_product(p);
  const T* delta = this->delta(pass, this->output, first);
  for (std::int64_t r = 0; r < count; ++r) sums[r] += kernels<T>().dot(delta + r * ld, moved + r * ld, units_);
}

template <Scalar T>
void DenseLayer<T>::square(const Pass<T>& pass, const BatchMatrices<T>& deltas, std::int64_t first,
                           std::int64_t count) const noexcept {
  const BufferInfo& in = this->info(pass, this->input);
  const BufferInfo& out = this->info(pass, this->output);
  const T* delta = deltas[this->output] + first * out.ld;
  const T* x = this->activation(pass, this->input, first);
  kernels<T>().multiply(delta, out.ld, delta, out.ld, this->delta(pass, this->output, first), out.ld, false, count,
                        round_up(units_, kPanel<T>));
  kernels<T>().multiply(x, in.ld, x, in.ld, this->tangent_of(pass, this->input, first), in.ld, false, count,
                        round_up(inputs_, kPanel<T>));
}

template <Scalar T>
void DenseLayer<T>::squared_gradient(const Pass<T>& pass, const GradientUnit& unit, T scale, T* out) const noexcept {
  weight_gradient(pass, unit, pass.workspace->tangents(), pass.adjoint_set(), true, scale, out);
}

template class DenseLayer<float>;
template class DenseLayer<double>;

}  // namespace krylov
