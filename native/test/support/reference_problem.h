// A small network with a loss and data as a function to be minimised, by the
// slow twin: what optimizers are tried on without the fast path.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "function_objective.h"
#include "reference/reference_losses.h"
#include "reference/reference_network.h"

namespace krylov::test {

class ReferenceProblem {
 public:
  using Rows = std::vector<std::size_t>;

  ReferenceProblem(const NetworkSpec& spec, LossSpec loss, std::vector<reference::Values> inputs,
                   std::vector<reference::Values> targets, double l2)
      : network_(spec), loss_(std::move(loss)), inputs_(std::move(inputs)), targets_(std::move(targets)), l2_(l2) {
    Rows all(inputs_.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    rows_[0] = rows_[1] = rows_[2] = all;
  }

  std::int64_t size() const { return static_cast<std::int64_t>(network_.parameter_count()); }
  // The rows of each kind of samples; all at first.
  Rows& rows(Samples samples) { return rows_[static_cast<std::size_t>(samples)]; }

  // Values, gradients, squares and Gauss-Newton products of this problem, which must outlive it.
  template <Scalar T>
  FunctionObjective<T> objective() {
    FunctionObjective<T> f(size(), [this](const T* x, Samples samples, T* g) {
      reference::Values total(g == nullptr ? 0 : network_.parameter_count());
      const double value = this->value(widen(x), rows(samples), g == nullptr ? nullptr : &total, nullptr);
      narrow(total, g);
      return value;
    });
    f.with_squares([this](const T* x, T* squares) {
      reference::Values gradient(network_.parameter_count()), total(network_.parameter_count());
      value(widen(x), rows(Samples::kGradient), &gradient, &total);
      narrow(total, squares);
    });
    f.with_curvature(Curvature::kGaussNewton, [this](const T* x, Samples samples, const T* v, T* out) {
      narrow(gauss_newton(widen(x), rows(samples), widen(v)), out);
    });
    f.with_l2(l2_);
    return f;
  }

 private:
  template <Scalar T>
  reference::Values widen(const T* x) const {
    return reference::Values(x, x + size());
  }
  template <Scalar T>
  static void narrow(const reference::Values& values, T* out) {
    for (std::size_t i = 0; i < values.size(); ++i) out[i] = static_cast<T>(values[i]);
  }

  double value(const reference::Values& x, const Rows& rows, reference::Values* gradient,
               reference::Values* squares) const {
    double total = 0;
    const double share = 1 / static_cast<double>(rows.size());
    for (const std::size_t r : rows) {
      const reference::Sample sample{x, inputs_[r]};
      const reference::Values outputs = network_.forward(sample)[0];
      const reference::Target target{-1, targets_[r]};
      total += share * reference::sample_loss(loss_, outputs, target);
      if (gradient == nullptr) continue;
      const reference::Values g = network_.vjp(sample, {reference::sample_loss_slope(loss_, outputs, target)});
      for (std::size_t i = 0; i < g.size(); ++i) {
        (*gradient)[i] += share * g[i];
        if (squares != nullptr) (*squares)[i] += share * g[i] * g[i];
      }
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      total += l2_ / 2 * x[i] * x[i];
      if (gradient != nullptr) (*gradient)[i] += l2_ * x[i];
    }
    return total;
  }

  reference::Values gauss_newton(const reference::Values& x, const Rows& rows, const reference::Values& v) const {
    reference::Values total(v.size());
    const double share = 1 / static_cast<double>(rows.size());
    for (const std::size_t r : rows) {
      const reference::Sample sample{x, inputs_[r]};
      const reference::Values moved = network_.jvp(sample, v)[0];
      const reference::Values bent =
          reference::sample_loss_curvature(loss_, network_.forward(sample)[0], {-1, targets_[r]}, moved);
      const reference::Values product = network_.vjp(sample, {bent});
      for (std::size_t i = 0; i < total.size(); ++i) total[i] += share * product[i];
    }
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += l2_ * v[i];
    return total;
  }

  reference::ReferenceNetwork<double> network_;
  LossSpec loss_;
  std::vector<reference::Values> inputs_, targets_;
  double l2_;
  Rows rows_[3];
};

}  // namespace krylov::test
