// The narrow waist: every hot loop of the core is one of these entries, compiled
// once for each instruction set and chosen once (dispatch.cpp). Contracts are
// stated here; bodies are in the *-inl.h files by family.
//
// Matrices are row-major with a leading dimension in elements. "Panels" are the
// storage of weights: [ceil(columns / P)][panel_rows][P], P = kPanel<T>, columns
// beyond the true width hold zeros. Batch matrices are padded to whole panels;
// kernels may read and write the padding of a row, never beyond it.
#pragma once

#include <cstdint>

#include "krylov/dtype.h"
#include "krylov/spec.h"
#include "krylov/system.h"

namespace krylov {

// What happens to a finished tile of the product before it is stored.
enum class Epilogue : std::uint8_t {
  kStore,               // c = product (+ c when accumulate)
  kBiasActivation,      // c = act(product + bias); slope = act' when slope is given
  kActivationGradient,  // c = (product (+ c)) * act'(saved): saved is the activation, or the slope where needs_slope(act)
};

// Activations whose derivative (or its surrogate) cannot be told from their
// output keep it in a buffer of its own when they run forward.
constexpr bool needs_slope(Activation a) noexcept {
  return a == Activation::kGelu || a == Activation::kGeluTanh || a == Activation::kSilu || has_surrogate(a);
}

// c[rows, columns] = a[rows, depth] * b, b in panels of `panel_rows` >= depth rows.
template <Scalar T>
struct PanelProduct {
  const T* a; std::int64_t lda; std::int64_t rows; std::int64_t depth;
  const T* b; std::int64_t panel_rows; std::int64_t columns;
  T* c; std::int64_t ldc;
  bool accumulate = false;
  Epilogue epilogue = Epilogue::kStore;
  ActivationSpec activation{};
  const T* bias = nullptr;      // kBiasActivation: element o at bias[(o / P) * bias_stride + o % P]; may be null
  std::int64_t bias_stride = 0;
  T* slope = nullptr; std::int64_t ld_slope = 0;
  const T* saved = nullptr; std::int64_t ld_saved = 0;
};

// One unit of a weight gradient: out[i][P] = scale * sum_n x[n][i] * delta[n][0..P) for i in [0, inputs), then,
// with `bias`, one more row: the column sums of delta. Sums run over n in order.
template <Scalar T>
struct WeightUnit {
  const T* x; std::int64_t ldx; std::int64_t inputs;
  const T* delta; std::int64_t ldd; std::int64_t rows;
  std::int64_t columns;  // valid columns of this panel, 1..P
  bool bias; T scale; T* out;
};

// Losses of `rows` samples and their derivative by the outputs.
// losses[r] = w_r * scale * loss(outputs_r), delta_r = factor_r * d(loss)/d(outputs); padding of delta is set to 0.
template <Scalar T>
struct LossRows {
  const LossSpec* spec;
  const T* outputs; std::int64_t ldo; std::int64_t rows; std::int64_t columns;
  const std::int32_t* classes;      // [rows] (class targets), or null
  const T* targets; std::int64_t ldt;  // [rows, columns], or null
  const double* weights;            // [rows] sample weight times class weight of the label, or null for 1
  double seed;                      // delta_r = seed * weights_r * d(scale * loss)/d(outputs)
  double* losses;                   // [rows], weighted; or null
  T* delta; std::int64_t ldd;       // or null: losses only
};

// Second derivatives of the losses of `rows` samples by the outputs, H_r of sample r's scale * loss. Fields as in LossRows;
// the factor of row r is seed * weights_r. Padding of out is set to 0; out may be u, and overlaps nothing else.
template <Scalar T>
struct LossCurvatureRows {
  const LossSpec* spec;
  const T* outputs; std::int64_t ldo; std::int64_t rows; std::int64_t columns;
  const std::int32_t* classes;         // not read: class targets leave H without them; or null
  const T* targets; std::int64_t ldt;  // [rows, columns]; may be null with class targets
  const double* weights;
  double seed;
  const T* u; std::int64_t ldu;        // not read by the diagonal
  T* out; std::int64_t ld_out;
};

template <Scalar T>
struct SgdScalars {
  T learning_rate, momentum /* 0 at the first update */, gradient_factor /* 1 - dampening */, decay;
  T nesterov_momentum;  // the momentum option, also at the first update
  bool nesterov;
};
template <Scalar T>
struct MomentumScalars { T learning_rate, gradient_scale, momentum, decay; };
template <Scalar T>
struct AdamScalars {
  T beta1, beta2, rest1 /* 1 - beta1, rounded once */, rest2, epsilon, step_size /* learningRate / c1 */, root_correction /* 1 / sqrt(c2) */;
  T coupled_decay, decoupled_factor /* 1 - learningRate * weightDecay, or 1 */;
};

template <Scalar T>
struct KernelTable {
  // products
  void (*panel_product)(const PanelProduct<T>&) noexcept;
  void (*weight_unit)(const WeightUnit<T>&) noexcept;
  // layout: panel block src[rows][P] (rows counted from a multiple of P) -> dst where dst[(i / P) * dst_panel + lane][i % P]
  void (*transpose_panel)(const T* src, std::int64_t rows, std::int64_t lanes, T* dst, std::int64_t dst_panel) noexcept;
  // outer product of one sample in public order: out[o][i] = delta[o] * x[i]
  void (*outer_product)(const T* delta, std::int64_t outputs, const T* x, std::int64_t inputs, T* out) noexcept;
  // the same bits, written past the caches: for results that are larger than these
  void (*stream_outer_product)(const T* delta, std::int64_t outputs, const T* x, std::int64_t inputs, T* out) noexcept;
  // elementwise over [rows, columns]
  void (*activate)(ActivationSpec, const T* z, std::int64_t ldz, T* a, std::int64_t lda, T* slope, std::int64_t lds,
                   std::int64_t rows, std::int64_t columns) noexcept;
  void (*multiply_slope)(ActivationSpec, const T* saved, std::int64_t lds, T* delta, std::int64_t ldd,
                         std::int64_t rows, std::int64_t columns) noexcept;
  // out = act''(z); source is the activation's output, or z itself where needs_slope(act); at kinks the value from the
  // left; 0 for a sign and a step. out may be source.
  void (*second_slope)(ActivationSpec, const T* source, std::int64_t lds, T* out, std::int64_t ldo, std::int64_t rows,
                       std::int64_t columns) noexcept;
  void (*multiply)(const T* x, std::int64_t ldx, const T* y, std::int64_t ldy, T* out, std::int64_t ldo, bool accumulate,
                   std::int64_t rows, std::int64_t columns) noexcept;
  void (*add)(const T* x, std::int64_t ldx, const T* y, std::int64_t ldy, T* out, std::int64_t ldo,
              std::int64_t rows, std::int64_t columns) noexcept;
  // rows
  void (*gather)(const void* source, DType dtype, std::int64_t columns, const std::uint32_t* index, std::int64_t rows,
                 T scale, T* out, std::int64_t ldo) noexcept;  // padding of out is set to 0; index null: rows 0..rows-1
  void (*softmax_rows)(const T* z, std::int64_t ldz, T* p, std::int64_t ldp, std::int64_t rows, std::int64_t columns) noexcept;
  void (*log_sum_exp_rows)(const T* z, std::int64_t ldz, double* out, std::int64_t rows, std::int64_t columns) noexcept;
  void (*loss_rows)(const LossRows<T>&) noexcept;
  void (*loss_curvature_rows)(const LossCurvatureRows<T>&) noexcept;           // out_r = factor_r * H_r u_r
  void (*loss_root_rows)(const LossCurvatureRows<T>&) noexcept;                // out_r = S_r u_r, S_r S_r' = factor_r * H_r
  void (*loss_curvature_diagonal_rows)(const LossCurvatureRows<T>&) noexcept;  // out_r = factor_r * diag(H_r)
  void (*layer_norm_forward)(const T* x, std::int64_t ldx, const T* gain_bias, std::int64_t panel_stride, double epsilon,
                             T* y, std::int64_t ldy, T* normalized, std::int64_t ldn, T* inverse_deviation,
                             std::int64_t rows, std::int64_t columns) noexcept;
  // dx (+)= derivative through the normalisation of dy
  void (*layer_norm_backward)(const T* dy, std::int64_t lddy, const T* gain_bias, std::int64_t panel_stride,
                              const T* normalized, std::int64_t ldn, const T* inverse_deviation, T* dx, std::int64_t lddx,
                              bool accumulate, std::int64_t rows, std::int64_t columns) noexcept;
  // normalized tangent: rn = inverse_deviation * (rx - mean(rx) - normalized * mean(normalized * rx))
  void (*layer_norm_tangent)(const T* rx, std::int64_t ldrx, const T* normalized, std::int64_t ldn,
                             const T* inverse_deviation, T* rn, std::int64_t ldrn, std::int64_t rows,
                             std::int64_t columns) noexcept;
  // mask[r][c] = 0 with probability rate, else 1 / (1 - rate); element (first_row + r) * columns + c of the stream
  void (*dropout_mask)(std::uint64_t seed, std::uint64_t step, std::uint32_t layer, double rate, std::int64_t first_row,
                       T* mask, std::int64_t ldm, std::int64_t rows, std::int64_t columns) noexcept;
  // vectors
  double (*dot)(const T* x, const T* y, std::int64_t n) noexcept;      // products and sums in float64
  double (*sum_squares)(const T* x, std::int64_t n) noexcept;
  void (*row_squares)(const T* x, std::int64_t ldx, std::int64_t rows, std::int64_t columns, double* out) noexcept;
  bool (*all_finite)(const T* x, std::int64_t n) noexcept;
  // out = x + a y; out may be x or y
  void (*scaled_sum)(const T* x, T a, const T* y, T* out, std::int64_t n) noexcept;
  void (*scale)(T a, T* x, std::int64_t n) noexcept;
  // x_r = factors_r x_r; columns: of whole panels; a row of factor 1 is not touched
  void (*scale_rows)(const double* factors, T* x, std::int64_t ldx, std::int64_t rows, std::int64_t columns) noexcept;
  // updates: w, g and state over n elements
  // momentum may be null when scalars.momentum is 0
  void (*update_sgd)(const SgdScalars<T>&, T* w, const T* g, T* momentum, std::int64_t n) noexcept;
  void (*update_momentum)(const MomentumScalars<T>&, T* w, const T* g, T* momentum, std::int64_t n) noexcept;
  void (*update_adam)(const AdamScalars<T>&, T* w, const T* g, T* m, T* v, T* max_v, std::int64_t n) noexcept;
  // probes for benchmarks: flops done by a register-only loop of fused multiply-adds; whole cache lines of one value,
  // written past the caches
  double (*fma_probe)(std::int64_t iterations, T* sink) noexcept;
  void (*fill_probe)(T value, T* out, std::int64_t n) noexcept;
};

// The table of the chosen set (KRYLOV_ISA lowers it); constant for the process.
template <Scalar T>
const KernelTable<T>& kernels() noexcept;

// The table of one set, or null when this build or processor lacks it. For tests.
template <Scalar T>
const KernelTable<T>* kernels_for(Isa isa) noexcept;

}  // namespace krylov
