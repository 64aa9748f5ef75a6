// The list of minimizers.
#include <utility>

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
    {"saddleFreeNewton", &make_saddle_free_newton<T>},
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

// What to do where a function lacks what the optimizer needs.
const char* without(std::uint32_t missing) noexcept {
  constexpr std::pair<Need, const char*> kTexts[] = {
      {kNeedsHessian,
       "one that does without Hessian products, or a function that has them: a loss with curvature, no sign or step units"},
      {kNeedsGaussNewton,
       "one that does without Gauss-Newton products, or a function that has them: a loss with curvature, no sign or step "
       "units"},
      {kNeedsFisher,
       "one that does without the Fisher matrix, or a loss that is a negative log-likelihood and no sign or step units"},
      {kNeedsEmpiricalFisher, "one that does without the empirical Fisher matrix, or a network"},
      {kNeedsSquares, "one that does without per-sample gradients, or a network"},
      {kNeedsResiduals,
       "one that does without residuals, or a sum of squares: losses that are all meanSquaredError, no sign or step units"},
      {kNeedsSampledLabels,
       "one that draws no labels from the model, or a loss that is a negative log-likelihood and no sign or step units"},
      {kNeedsNetwork, "one that does without the layers of a network, or a network"}};
  for (const auto& [need, text] : kTexts) {
    if ((missing & need) != 0) return text;
  }
  return "one that this function can serve";
}

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
    if (const std::uint32_t missing = minimizer->needs() & ~objective.provides(); missing != 0) {
      return Status::error(ErrorCode::kOption, "optimizer", without(missing));
    }
    out = std::move(minimizer);
    return Status::success();
  }
  return Status::error(ErrorCode::kOption, "optimizer.kind", "a known optimizer");
}

template Status make_minimizer(const OptimizerSpec&, const Objective<float>&, std::unique_ptr<Minimizer<float>>&);
template Status make_minimizer(const OptimizerSpec&, const Objective<double>&, std::unique_ptr<Minimizer<double>>&);

}  // namespace krylov
