// The list of minimizers, and what they share.
#include <cmath>

#include "optimizers/minimizers.h"

namespace krylov {

namespace {

template <Scalar T>
struct MinimizerEntry {
  const char* kind;
  MinimizerPointer<T> (*make)(RuleOptions&, const Objective<T>&);
};

template <Scalar T>
constexpr MinimizerEntry<T> kMinimizers[] = {
    {"hessianFree", &make_hessian_free<T>},
    {"newtonCG", &make_newton_cg<T>},
    {"newtonMR", &make_newton_mr<T>},
    {"krylovSubspaceDescent", &make_krylov_subspace_descent<T>},
    {"gradientNormalizedSmoothness", &make_gradient_normalized_smoothness<T>},
    {"nonlinearConjugateGradient", &make_nonlinear_conjugate_gradient<T>},
    {"lbfgs", &make_lbfgs<T>},
    {"stochasticLbfgs", &make_stochastic_lbfgs<T>},
    {"bfgs", &make_bfgs<T>},
    {"levenbergMarquardt", &make_levenberg_marquardt<T>},
    {"kfac", &make_kfac<T>},
    {"adahessian", &make_adahessian<T>},
    {"sophia", &make_sophia<T>},
    {"diagonalNewton", &make_diagonal_newton<T>},
};

}  // namespace

bool is_minimizer(const std::string& kind) noexcept {
  for (const auto& entry : kMinimizers<double>) {
    if (kind == entry.kind) return true;
  }
  return false;
}

template <Scalar T>
Status make_minimizer(const OptimizerSpec& spec, const Objective<T>& objective, std::unique_ptr<Minimizer<T>>& out) {
  for (const MinimizerEntry<T>& entry : kMinimizers<T>) {
    if (spec.kind != entry.kind) continue;
    RuleOptions options(spec);
    MinimizerPointer<T> minimizer = entry.make(options, objective);
    if (!options.status().ok()) return options.status();
    if ((minimizer->needs() & ~objective.provides()) != 0) {
      return Status::error(ErrorCode::kOption, "optimizer", "one that this function and its loss can serve",
                           static_cast<std::int64_t>(minimizer->needs() & ~objective.provides()));
    }
    out = std::move(minimizer);
    return Status::success();
  }
  return Status::error(ErrorCode::kOption, "optimizer.kind", "a known optimizer");
}

double MinimizerState::number(const std::string& name, double fallback) const noexcept {
  for (const auto& [key, value] : numbers) {
    if (key == name) return value;
  }
  return fallback;
}

const MinimizerState::Vector* MinimizerState::vector(const std::string& name) const noexcept {
  for (const Vector& v : vectors) {
    if (v.name == name) return &v;
  }
  return nullptr;
}

template Status make_minimizer(const OptimizerSpec&, const Objective<float>&, std::unique_ptr<Minimizer<float>>&);
template Status make_minimizer(const OptimizerSpec&, const Objective<double>&, std::unique_ptr<Minimizer<double>>&);

}  // namespace krylov
