// Everything of one instruction set, and its two tables. Included once by each
// target_<set>.cpp, which defines KRYLOV_SET.
#pragma once

#include "kernels/curvature_losses-inl.h"
#include "kernels/elementwise-inl.h"
#include "kernels/kernel_table.h"
#include "kernels/losses-inl.h"
#include "kernels/outer_product-inl.h"
#include "kernels/probes-inl.h"
#include "kernels/product-inl.h"
#include "kernels/row_squares-inl.h"
#include "kernels/rows-inl.h"
#include "kernels/second_slope-inl.h"
#include "kernels/update_adam-inl.h"
#include "kernels/update_classical_momentum-inl.h"
#include "kernels/update_sgd-inl.h"
#include "kernels/vectors-inl.h"

namespace krylov {
namespace KRYLOV_SET {

template <Scalar T>
constexpr KernelTable<T> make_table() {
  KernelTable<T> t{};
  t.panel_product = &panel_product<T>;
  t.weight_unit = &weight_unit<T>;
  t.transpose_panel = &transpose_panel<T>;
  t.outer_product = &outer_product<T>;
  t.stream_outer_product = &stream_outer_product<T>;
  t.activate = &activate_block<T>;
  t.multiply_slope = &multiply_slope_block<T>;
  t.second_slope = &second_slope_block<T>;
  t.multiply = &multiply_rows<T>;
  t.add = &add_rows<T>;
  t.gather = &gather<T>;
  t.softmax_rows = &softmax_rows<T>;
  t.log_sum_exp_rows = &log_sum_exp_rows<T>;
  t.loss_rows = &loss_rows<T>;
  t.loss_curvature_rows = &loss_curvature_form<T, CurvatureForm::kProduct>;
  t.loss_root_rows = &loss_curvature_form<T, CurvatureForm::kRoot>;
  t.loss_curvature_diagonal_rows = &loss_curvature_form<T, CurvatureForm::kDiagonal>;
  t.layer_norm_forward = &layer_norm_forward<T>;
  t.layer_norm_backward = &layer_norm_backward<T>;
  t.layer_norm_tangent = &layer_norm_tangent<T>;
  t.dropout_mask = &dropout_mask<T>;
  t.dot = &dot<T>;
  t.sum_squares = &sum_squares<T>;
  t.row_squares = &row_squares<T>;
  t.all_finite = &all_finite<T>;
  t.scaled_sum = &scaled_sum<T>;
  t.scale = &scale<T>;
  t.scale_rows = &scale_rows<T>;
  t.update_sgd = &update_sgd<T>;
  t.update_momentum = &update_momentum<T>;
  t.update_adam = &update_adam<T>;
  t.fma_probe = &fma_probe<T>;
  t.fill_probe = &fill_probe<T>;
  return t;
}

extern constinit const KernelTable<float> kFloatTable = make_table<float>();
extern constinit const KernelTable<double> kDoubleTable = make_table<double>();

}  // namespace KRYLOV_SET
}  // namespace krylov
