// A function outside of the core, by requests; see FunctionSources.
#pragma once

#include <array>
#include <optional>

#include "krylov/minimization.h"

namespace krylov {

template <Scalar T>
class ForeignObjective final : public Objective<T> {
 public:
  ForeignObjective(std::int64_t size, const FunctionSources& sources);

  std::int64_t evaluations() const noexcept { return evaluations_; }
  // f(x) where it was among the last values asked for.
  std::optional<double> known(const T* x) const noexcept;
  // At the start of an update, so that what is known later depends on nothing before it but f at x.
  void forget_all_but(const T* x);
  // The gradient to come has been counted, before a state was saved.
  bool repeats_gradient() const noexcept { return repeats_gradient_; }
  void restore(const T* x, const MinimizationState& state);

  std::int64_t size() const noexcept override { return size_; }
  std::uint32_t provides() const noexcept override;
  bool same_samples(Samples, Samples) const noexcept override { return true; }
  bool steady() const noexcept override { return true; }

  Procedure<double> value(Session& session, const T* x, Samples samples) override;
  Procedure<double> gradient(Session& session, const T* x, Samples samples, T* g, T* squares) override;
  Procedure<OperatorPort<T>> curvature(Session& session, const T* x, Samples samples, Curvature kind) override;
  Procedure<double> residuals(Session& session, const T* x, double* jtj, double* jte) override;

 private:
  // e at x in residuals_; its sum of squares.
  Procedure<double> ask_residuals(Session& session, const T* x);
  Procedure<void> ask_jacobian(Session& session, const T* x);
  void remember(const T* x, double f);
  // The same of a gradient, which may repeat one.
  void remember_gradient(const T* x, double f);
  void keep(const T* x, double f);

  std::int64_t size_;
  FunctionSources sources_;
  std::int64_t evaluations_ = 0;
  AlignedBuffer<T> scratch_, residuals_;
  AlignedBuffer<T> jacobian_;  // shared with the operator of the last curvature()
  // The newest values: a line search ends at one of its last trials.
  struct Known {
    AlignedBuffer<T> x;
    double f = 0;
    bool is_set = false;
  };
  std::array<Known, 4> known_;
  std::size_t next_known_ = 0;
  bool repeats_gradient_ = false;
};

}  // namespace krylov
