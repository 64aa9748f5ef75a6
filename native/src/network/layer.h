// What every layer does. A layer reads one batch buffer and writes another;
// its parameters are one block of the arena. Rows are independent of each other
// in everything but gradient(), so threads may share a pass by rows.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"
#include "krylov/network.h"

namespace krylov {

// Copies `columns` of each row, padding included by the caller's choice of columns.
template <Scalar T>
void copy_rows(const T* from, std::int64_t ld_from, T* to, std::int64_t ld_to, std::int64_t rows,
               std::int64_t columns) noexcept;
// to = from, or to += from, over whole panels of `width`.
template <Scalar T>
void pass_on(const T* from, std::int64_t ld_from, T* to, std::int64_t ld_to, bool accumulate, std::int64_t rows,
             std::int64_t width) noexcept;

// The largest unit: 64 inputs and a bias, a panel wide (network/builder.cpp); room for one more row.
template <Scalar T>
inline constexpr std::size_t kUnitElements = static_cast<std::size_t>(66 * kPanel<T>);

// Results of so many bytes are written past the caches: they would be gone from there before they are read.
inline constexpr std::int64_t kStreamBytes = std::int64_t(16) << 20;
template <Scalar T>
constexpr bool streams(std::int64_t rows, std::int64_t size) noexcept {
  return rows * size * static_cast<std::int64_t>(sizeof(T)) >= kStreamBytes;
}

template <Scalar T> class ResidualSumLayer;

// What one row's gradient is made of: delta x' for the weight of a dense layer, delta * x by elements for the gain of a
// normalisation, delta for the bias of either.
template <Scalar T>
struct RowFactors {
  const T* x = nullptr;
  std::int64_t inputs = 0;
  const T* delta = nullptr;
  std::int64_t outputs = 0;
  bool outer = true;
  bool bias = true;
};

template <Scalar T>
class Layer {
 public:
  virtual ~Layer() = default;
  // For the planner, which must know who fuses a derivative and who has a skip.
  virtual bool fuses_derivative() const noexcept { return false; }
  virtual ResidualSumLayer<T>* residual_sum() noexcept { return nullptr; }
  // Elements of the transposed copy that backward reads, and its place.
  virtual std::int64_t transposed_size() const noexcept { return 0; }
  virtual void transpose(const T* unit_parameters, const GradientUnit& unit, T* transposed) const noexcept {
    (void)unit_parameters, (void)unit, (void)transposed;
  }
  std::int64_t transposed_offset = -1;  // or -1 where backward needs none

  // Position in Network::layers(), buffers read and written, block or -1.
  int index = 0, input = 0, output = 0, block = -1;
  // Set by the planner: whether backward owes the input a delta, and whether a
  // later layer has already put one there.
  bool input_delta = false, accumulate = false;

  virtual std::int64_t scratch_size(std::int64_t max_rows, std::span<const BufferInfo> buffers) const noexcept {
    (void)max_rows, (void)buffers;
    return 0;
  }
  virtual void forward(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept = 0;
  // delta(output) is d(loss)/d(output), or d(loss)/d(pre-activation) where the
  // consumer has fused the derivative; leaves d(loss)/d(pre-activation) there.
  virtual void backward(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept = 0;
  virtual void tangent(const Pass<T>& pass, const T* direction, std::int64_t first,
                       std::int64_t count) const noexcept = 0;
  // scale * sum over rows first_row.. of the pass, in the unit's arena order. Layers with parameters.
  virtual void gradient(const Pass<T>& pass, const GradientUnit& unit, T scale, T* out) const noexcept {
    (void)pass, (void)unit, (void)scale, (void)out;
  }
  // One row's gradient at the layer's place in the public vector `out`.
  virtual void per_sample_gradient(const Pass<T>& pass, std::int64_t row, T* out, bool stream) const noexcept {
    (void)pass, (void)row, (void)out, (void)stream;
  }
  // Second derivatives, see Pass. Layers that are linear in their input and have no parameters go back as ever.
  virtual void second_backward(const Pass<T>& pass, const T* direction, const T* transposed_direction,
                               std::int64_t first, std::int64_t count) const noexcept {
    (void)direction, (void)transposed_direction;
    backward(pass, first, count);
  }
  virtual void second_gradient(const Pass<T>& pass, const GradientUnit& unit, T scale, T* out) const noexcept {
    (void)pass, (void)unit, (void)scale, (void)out;
  }
  virtual void per_sample_products(const Pass<T>& pass, const T* direction, std::int64_t first, std::int64_t count,
                                   double* sums) const noexcept {
    (void)pass, (void)direction, (void)first, (void)count, (void)sums;
  }
  virtual void square(const Pass<T>& pass, const BatchMatrices<T>& deltas, std::int64_t first,
                      std::int64_t count) const noexcept {
    (void)pass, (void)deltas, (void)first, (void)count;
  }
  virtual void squared_gradient(const Pass<T>& pass, const GradientUnit& unit, T scale, T* out) const noexcept {
    (void)pass, (void)unit, (void)scale, (void)out;
  }
  // Of the pass's adjoints. Layers with parameters.
  virtual RowFactors<T> row_factors(const Pass<T>& pass, std::int64_t row) const noexcept {
    (void)pass, (void)row;
    return {};
  }
  // Squared norm of one row's gradient by this layer's parameters.
  virtual double per_sample_square(const Pass<T>& pass, std::int64_t row) const noexcept {
    (void)pass, (void)row;
    return 0;
  }
  // Of at most kSquareRows rows; the same bits.
  static constexpr std::int64_t kSquareRows = 64;
  virtual void per_sample_squares(const Pass<T>& pass, std::int64_t first, std::int64_t count,
                                  double* out) const noexcept {
    for (std::int64_t r = 0; r < count; ++r) out[r] = per_sample_square(pass, first + r);
  }

 protected:
  // Pointers to row `first` of a buffer.
  static const BufferInfo& info(const Pass<T>& pass, int buffer) noexcept {
    return pass.network->buffers()[static_cast<std::size_t>(buffer)];
  }
  static T* activation(const Pass<T>& pass, int buffer, std::int64_t first) noexcept {
    return pass.workspace->activation(buffer) + first * info(pass, buffer).ld;
  }
  // What backward works on, and the deltas of the loss: the same unless the pass has adjoints.
  static T* delta(const Pass<T>& pass, int buffer, std::int64_t first) noexcept {
    return pass.adjoint_set()[buffer] + first * info(pass, buffer).ld;
  }
  static const T* loss_delta(const Pass<T>& pass, int buffer, std::int64_t first) noexcept {
    return pass.workspace->delta(buffer) + first * info(pass, buffer).ld;
  }
  static T* curve(const Pass<T>& pass, int buffer, std::int64_t first) noexcept {
    return (*pass.curves)[buffer] + first * info(pass, buffer).ld;
  }
  static T* bend(const Pass<T>& pass, int buffer, std::int64_t first) noexcept {
    return (*pass.bends)[buffer] + first * info(pass, buffer).ld;
  }
  static T* tangent_of(const Pass<T>& pass, int buffer, std::int64_t first) noexcept {
    return pass.workspace->tangent(buffer) + first * info(pass, buffer).ld;
  }
  // What the derivative of the buffer's activation is computed from.
  static const T* saved(const Pass<T>& pass, int buffer, std::int64_t first) noexcept {
    const BufferInfo& b = info(pass, buffer);
    return (b.has_slope ? pass.workspace->slope(buffer) : pass.workspace->activation(buffer)) + first * b.ld;
  }
  // Buffer 0 is the network's input: its tangent is zero and is never stored.
  static constexpr int kInputBuffer = 0;
};

// y = act(x W' + b)
template <Scalar T>
class DenseLayer final : public Layer<T> {
 public:
  DenseLayer(std::int64_t inputs, std::int64_t units, bool bias) : inputs_(inputs), units_(units), bias_(bias) {}
  std::int64_t weight_offset = 0, bias_offset = 0;  // in the public vector

  std::int64_t inputs() const noexcept { return inputs_; }
  std::int64_t units() const noexcept { return units_; }
  std::int64_t rows() const noexcept { return inputs_ + (bias_ ? 1 : 0); }
  bool fuses_derivative() const noexcept override { return true; }
  std::int64_t transposed_size() const noexcept override { return round_up(inputs_, kPanel<T>) * units_; }

  void transpose(const T* unit_parameters, const GradientUnit& unit, T* transposed) const noexcept override;
  void forward(const Pass<T>&, std::int64_t first, std::int64_t count) const noexcept override;
  void backward(const Pass<T>&, std::int64_t first, std::int64_t count) const noexcept override;
  void tangent(const Pass<T>&, const T* direction, std::int64_t first, std::int64_t count) const noexcept override;
  void gradient(const Pass<T>&, const GradientUnit& unit, T scale, T* out) const noexcept override;
  void per_sample_gradient(const Pass<T>&, std::int64_t row, T* out, bool stream) const noexcept override;
  RowFactors<T> row_factors(const Pass<T>&, std::int64_t row) const noexcept override;
  double per_sample_square(const Pass<T>&, std::int64_t row) const noexcept override;
  void per_sample_squares(const Pass<T>&, std::int64_t first, std::int64_t count, double* out) const noexcept override;
  void second_backward(const Pass<T>&, const T* direction, const T* transposed_direction, std::int64_t first,
                       std::int64_t count) const noexcept override;
  void second_gradient(const Pass<T>&, const GradientUnit& unit, T scale, T* out) const noexcept override;
  void per_sample_products(const Pass<T>&, const T* direction, std::int64_t first, std::int64_t count,
                           double* sums) const noexcept override;
  void square(const Pass<T>&, const BatchMatrices<T>& deltas, std::int64_t first,
              std::int64_t count) const noexcept override;
  void squared_gradient(const Pass<T>&, const GradientUnit& unit, T scale, T* out) const noexcept override;

 private:
  PanelProduct<T> product(const T* block, const T* a, std::int64_t lda, T* c, std::int64_t ldc,
                          std::int64_t rows) const noexcept;
  PanelProduct<T> back_product(const Pass<T>& pass, const T* delta, const T* transposed, std::int64_t first,
                               std::int64_t rows) const noexcept;
  void fill_curve(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept;
  void weight_gradient(const Pass<T>& pass, const GradientUnit& unit, const BatchMatrices<T>& x,
                       const BatchMatrices<T>& deltas, bool bias, T scale, T* out) const noexcept;
  std::int64_t inputs_, units_;
  bool bias_;
};

// Ba, Kiros, Hinton 2016; scratch: normalised rows, then one inverse deviation a row.
template <Scalar T>
class LayerNormLayer final : public Layer<T> {
 public:
  LayerNormLayer(std::int64_t width, double epsilon) : width_(width), epsilon_(epsilon) {}
  std::int64_t gain_offset = 0, bias_offset = 0;  // in the public vector

  std::int64_t scratch_size(std::int64_t max_rows, std::span<const BufferInfo> buffers) const noexcept override;
  void forward(const Pass<T>&, std::int64_t first, std::int64_t count) const noexcept override;
  void backward(const Pass<T>&, std::int64_t first, std::int64_t count) const noexcept override;
  void tangent(const Pass<T>&, const T* direction, std::int64_t first, std::int64_t count) const noexcept override;
  void gradient(const Pass<T>&, const GradientUnit& unit, T scale, T* out) const noexcept override;
  void per_sample_gradient(const Pass<T>&, std::int64_t row, T* out, bool stream) const noexcept override;
  RowFactors<T> row_factors(const Pass<T>&, std::int64_t row) const noexcept override;
  double per_sample_square(const Pass<T>&, std::int64_t row) const noexcept override;
  void second_backward(const Pass<T>&, const T* direction, const T* transposed_direction, std::int64_t first,
                       std::int64_t count) const noexcept override;
  void second_gradient(const Pass<T>&, const GradientUnit& unit, T scale, T* out) const noexcept override;
  void per_sample_products(const Pass<T>&, const T* direction, std::int64_t first, std::int64_t count,
                           double* sums) const noexcept override;
  void square(const Pass<T>&, const BatchMatrices<T>& deltas, std::int64_t first,
              std::int64_t count) const noexcept override;
  void squared_gradient(const Pass<T>&, const GradientUnit& unit, T scale, T* out) const noexcept override;

 private:
  T* normalized(const Pass<T>& pass, std::int64_t first) const noexcept;
  T* inverse_deviation(const Pass<T>& pass, std::int64_t first) const noexcept;
  void keep_normalized_tangent(const Pass<T>& pass, const T* moved, std::int64_t first,
                               std::int64_t count) const noexcept;
  void sum_rows(const Pass<T>& pass, const GradientUnit& unit, T scale, T* out, bool squared) const noexcept;
  std::int64_t width_;
  double epsilon_;
};

// Inverted dropout (Srivastava et al. 2014): off unless the pass trains. Scratch: the mask.
template <Scalar T>
class DropoutLayer final : public Layer<T> {
 public:
  explicit DropoutLayer(double rate) : rate_(rate) {}
  std::int64_t scratch_size(std::int64_t max_rows, std::span<const BufferInfo> buffers) const noexcept override;
  void forward(const Pass<T>&, std::int64_t first, std::int64_t count) const noexcept override;
  void backward(const Pass<T>&, std::int64_t first, std::int64_t count) const noexcept override;
  void tangent(const Pass<T>&, const T* direction, std::int64_t first, std::int64_t count) const noexcept override;

 private:
  T* mask(const Pass<T>& pass, std::int64_t first) const noexcept;
  double rate_;
};

// The end of a residual block: y = skip + input, where input is f(skip).
template <Scalar T>
class ResidualSumLayer final : public Layer<T> {
 public:
  explicit ResidualSumLayer(int skip) : skip(skip) {}
  int skip;
  bool skip_delta = false, accumulate_skip = false;  // as input_delta and accumulate, for the skip
  ResidualSumLayer* residual_sum() noexcept override { return this; }

  void forward(const Pass<T>&, std::int64_t first, std::int64_t count) const noexcept override;
  void backward(const Pass<T>&, std::int64_t first, std::int64_t count) const noexcept override;
  void tangent(const Pass<T>&, const T* direction, std::int64_t first, std::int64_t count) const noexcept override;
};

}  // namespace krylov
