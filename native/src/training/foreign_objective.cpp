#include "training/foreign_objective.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/kernel_table.h"
#include "solvers/vectors.h"
#include "training/normal_equations.h"

namespace krylov {

namespace {

// Rows of the Jacobian brought into float64 at a time.
constexpr std::int64_t kEquationRows = 256;

// B = 2 J'J: the Gauss-Newton matrix of the sum of squared residuals.
template <Scalar T>
class SquaresOperator final : public LinearOperator<T> {
 public:
  SquaresOperator(AlignedBuffer<T> jacobian, std::int64_t residuals, std::int64_t size)
      : jacobian_(std::move(jacobian)), residuals_(residuals), size_(size) {}

  std::int64_t rows() const noexcept override { return size_; }
  void apply(Team&, const T* v, T* out) noexcept override {
    const KernelTable<T>& k = kernels<T>();
    std::fill_n(out, size_, T(0));
    for (std::int64_t r = 0; r < residuals_; ++r) {
      const T* row = jacobian_.data() + r * size_;
      k.scaled_sum(out, static_cast<T>(2 * k.dot(row, v, size_)), row, out, size_);
    }
  }
  void apply_transposed(Team& team, const T* u, T* out) noexcept override { apply(team, u, out); }

 private:
  AlignedBuffer<T> jacobian_;
  std::int64_t residuals_, size_;
};

}  // namespace

template <Scalar T>
ForeignObjective<T>::ForeignObjective(std::int64_t size, const FunctionSources& sources)
    : size_(size), sources_(sources), residuals_(static_cast<std::size_t>(sources.residual_count)) {}

template <Scalar T>
std::uint32_t ForeignObjective<T>::provides() const noexcept {
  std::uint32_t bits = 0;
  if (sources_.hessian) bits |= kNeedsHessian;
  // Residuals beside a function need not be its own, so they alone do not give its curvature.
  if (sources_.ggn || (sources_.residual_count > 0 && !sources_.gradient)) bits |= kNeedsGaussNewton;
  if (sources_.residual_count > 0) bits |= kNeedsResiduals;
  return bits;
}

template <Scalar T>
std::optional<double> ForeignObjective<T>::known(const T* x) const noexcept {
  for (const Known& k : known_) {
    if (k.is_set && std::equal(x, x + size_, k.x.data())) return k.f;
  }
  return std::nullopt;
}

template <Scalar T>
void ForeignObjective<T>::forget_all_but(const T* x) {
  const std::optional<double> f = known(x);
  for (Known& k : known_) k.is_set = false;
  next_known_ = 0;
  if (f) keep(x, *f);
}

template <Scalar T>
void ForeignObjective<T>::restore(const T* x, const MinimizationState& state) {
  evaluations_ = state.evaluations;
  repeats_gradient_ = state.gradient_known;
  for (Known& k : known_) k.is_set = false;
  next_known_ = 0;
  if (state.value) keep(x, *state.value);
}

template <Scalar T>
void ForeignObjective<T>::remember(const T* x, double f) {
  ++evaluations_;
  keep(x, f);
}

template <Scalar T>
void ForeignObjective<T>::remember_gradient(const T* x, double f) {
  if (!std::exchange(repeats_gradient_, false)) remember(x, f);
}

template <Scalar T>
void ForeignObjective<T>::keep(const T* x, double f) {
  Known& slot = known_[next_known_++ % known_.size()];
  if (slot.x.empty()) slot.x = AlignedBuffer<T>(static_cast<std::size_t>(size_));
  std::copy_n(x, size_, slot.x.data());
  slot.f = f;
  slot.is_set = true;
}

template <Scalar T>
Procedure<double> ForeignObjective<T>::value(Session& session, const T* x, Samples) {
  double f = 0;
  if (sources_.value) {
    f = co_await session.ask({FunctionSources::kValue, x, size_, nullptr, 0});
  } else if (sources_.gradient) {
    if (scratch_.empty()) scratch_ = AlignedBuffer<T>(static_cast<std::size_t>(size_));
    f = co_await session.ask({FunctionSources::kGradient, x, size_, scratch_.data(), size_});
  } else {
    f = co_await ask_residuals(session, x);
  }
  if (!session.stopped()) remember(x, f);
  co_return f;
}

template <Scalar T>
Procedure<double> ForeignObjective<T>::gradient(Session& session, const T* x, Samples, T* g, T*) {
  double f = 0;
  if (sources_.gradient) {
    f = co_await session.ask({FunctionSources::kGradient, x, size_, g, size_});
  } else {
    f = co_await ask_residuals(session, x);
    if (!session.stopped()) co_await ask_jacobian(session, x);
    if (session.stopped()) co_return f;
    Vectors<T> vectors(session, size_);
    vectors.fill(T(0), g);
    std::vector<double> twice(residuals_.data(), residuals_.data() + residuals_.size());
    for (double& e : twice) e *= 2;
    vectors.add_rows(twice, jacobian_.data(), g);
  }
  if (!session.stopped()) remember_gradient(x, f);
  co_return f;
}

template <Scalar T>
Procedure<OperatorPort<T>> ForeignObjective<T>::curvature(Session& session, const T* x, Samples, Curvature kind) {
  if (kind == Curvature::kGaussNewton && !sources_.ggn) {
    co_await ask_jacobian(session, x);
    co_return OperatorPort<T>(
        std::make_shared<SquaresOperator<T>>(std::move(jacobian_), sources_.residual_count, size_));
  }
  co_await session.ask({FunctionSources::kPlace, x, size_, nullptr, 0});
  const int source = kind == Curvature::kHessian ? FunctionSources::kHessianProduct : FunctionSources::kGgnProduct;
  co_return OperatorPort<T>(source, size_, size_, source);
}

template <Scalar T>
Procedure<double> ForeignObjective<T>::ask_residuals(Session& session, const T* x) {
  co_await session.ask({FunctionSources::kResidual, x, size_, residuals_.data(), sources_.residual_count});
  co_return kernels<T>().sum_squares(residuals_.data(), sources_.residual_count);
}

template <Scalar T>
Procedure<void> ForeignObjective<T>::ask_jacobian(Session& session, const T* x) {
  const auto elements = static_cast<std::size_t>(sources_.residual_count * size_);
  if (jacobian_.size() != elements) jacobian_ = AlignedBuffer<T>(elements);
  co_await session.ask({FunctionSources::kJacobian, x, size_, jacobian_.data(), sources_.residual_count * size_});
}

template <Scalar T>
Procedure<double> ForeignObjective<T>::residuals(Session& session, const T* x, double* jtj, double* jte) {
  const double sum = co_await ask_residuals(session, x);
  if (session.stopped()) co_return sum;
  if (jtj == nullptr) {
    remember(x, sum);
    co_return sum;
  }
  remember_gradient(x, sum);
  co_await ask_jacobian(session, x);
  if (session.stopped()) co_return sum;
  std::fill_n(jtj, size_ * size_, 0.0);
  std::fill_n(jte, size_, 0.0);
  const std::int64_t stride = equation_stride(size_);
  AlignedBuffer<double> rows(static_cast<std::size_t>(std::min(kEquationRows, sources_.residual_count) * stride));
  for (std::int64_t first = 0; first < sources_.residual_count; first += kEquationRows) {
    const std::int64_t count = std::min(kEquationRows, sources_.residual_count - first);
    for (std::int64_t r = 0; r < count; ++r) {
      const T* from = jacobian_.data() + (first + r) * size_;
      double* to = rows.data() + r * stride;
      std::copy_n(from, size_, to);
      to[size_] = static_cast<double>(residuals_[static_cast<std::size_t>(first + r)]);
    }
    add_equations(rows.data(), stride, count, size_, jtj, jte, 0, 1);
  }
  mirror_equations(jtj, size_, 0, 1);
  co_return sum;
}

template class ForeignObjective<float>;
template class ForeignObjective<double>;

}  // namespace krylov
