#include "krylov/minimization.h"

#include <algorithm>

#include "training/foreign_objective.h"
#include "training/minimizer_update.h"

namespace krylov {

namespace {

// Elements from which several threads pay off for the vectors of a method.
constexpr std::int64_t kManyElements = 1 << 15;

template <Scalar T>
class ForeignMinimization final : public Minimization<T> {
 public:
  ForeignMinimization(std::span<const T> x0, const FunctionSources& sources)
      : objective_(static_cast<std::int64_t>(x0.size()), sources), x_(x0.size()), before_(x0.size()) {
    std::copy(x0.begin(), x0.end(), x_.data());
  }
  Status prepare(const OptimizerSpec& spec) { return make_minimizer<T>(spec, objective_, minimizer_); }

  Procedure<void> update(Session& session) override {
    std::copy_n(x_.data(), x_.size(), before_.data());
    objective_.forget_all_but(x_.data());
    co_await run_update<T>(session, objective_, *minimizer_, x_.data(), before_.data(), result_);
  }
  Procedure<void> evaluate(Session& session) override {
    const std::optional<double> known = objective_.known(x_.data());
    if (known) {
      value_ = *known;
    } else {
      value_ = co_await objective_.value(session, x_.data(), Samples::kGradient);
    }
  }

  MinimizationState save() const override {
    MinimizationState state;
    state.optimizer = minimizer_->save();
    state.evaluations = objective_.evaluations();
    state.value = objective_.known(x_.data());
    state.gradient_known = objective_.repeats_gradient() || minimizer_->knows(objective_, x_.data());
    return state;
  }
  Status restore(const MinimizationState& state) override {
    if (Status s = minimizer_->restore(state.optimizer); !s.ok()) return s;
    objective_.restore(x_.data(), state);
    return Status::success();
  }

  std::span<const T> x() const noexcept override { return x_.span(); }
  int threads() const noexcept override { return objective_.size() >= kManyElements ? available_processors() : 1; }
  UpdateOutcome outcome() const noexcept override { return result_.outcome; }
  const MinimizerReport& report() const noexcept override { return result_.report; }
  double value() const noexcept override { return value_; }
  std::int64_t updates() const noexcept override { return minimizer_->updates(); }
  std::int64_t evaluations() const noexcept override { return objective_.evaluations(); }

 private:
  ForeignObjective<T> objective_;
  std::unique_ptr<Minimizer<T>> minimizer_;
  AlignedBuffer<T> x_, before_;
  UpdateResult result_;
  double value_ = 0;
};

}  // namespace

template <Scalar T>
Status Minimization<T>::create(const OptimizerSpec& spec, std::span<const T> x0, const FunctionSources& sources,
                               std::unique_ptr<Minimization>& out) {
  if (!sources.gradient && sources.residual_count < 1) {
    return Status::error(ErrorCode::kOption, "problem", "a gradient or residuals");
  }
  auto minimization = std::make_unique<ForeignMinimization<T>>(x0, sources);
  if (Status s = minimization->prepare(spec); !s.ok()) return s;
  out = std::move(minimization);
  return Status::success();
}

template class Minimization<float>;
template class Minimization<double>;

}  // namespace krylov
