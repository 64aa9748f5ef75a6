// One of each minimizer, for tests that hold for all; options as the public
// interface would fill them in, tolerances so that none ends by itself.
#pragma once

#include <vector>

#include "support/minimizer_cases.h"
#include "support/newton_specs.h"

namespace krylov::test {

inline OptimizerSpec sampled_kfac_spec() {
  return {"kfac",
          {{"learningRate", number(1)},
           {"damping.initial", number(1)},
           {"damping.every", number(2)},
           {"gammaEvery", number(3)},
           {"inverseEvery", number(2)},
           {"factorDecay", number(0.95)},
           {"klClip", number(1e-3)},
           {"seed", number(4)}},
          {{"damping.adapt", true}, {"momentum", true}},
          {{"factors", "sampled"}, {"dampingForm", "factored"}, {"rescaling", "model"}}};
}
inline OptimizerSpec adahessian_spec(double learning_rate) {
  return {"adahessian",
          {{"learningRate", number(learning_rate)},
           {"beta1", number(0.9)},
           {"beta2", number(0.999)},
           {"epsilon", number(1e-4)},
           {"hessianPower", number(1)},
           {"weightDecay", number(0)},
           {"every", number(2)},
           {"seed", number(3)}},
          {},
          {}};
}
inline OptimizerSpec sophia_spec(const char* estimator) {
  return {"sophia",
          {{"learningRate", number(1e-3)},
           {"beta1", number(0.96)},
           {"beta2", number(0.99)},
           {"gamma", number(0.05)},
           {"epsilon", number(1e-12)},
           {"weightDecay", number(0)},
           {"every", number(3)},
           {"seed", number(0)}},
          {},
          {{"estimator", estimator}}};
}
inline OptimizerSpec diagonal_newton_spec(const char* diagonal) {
  return {"diagonalNewton",
          {{"learningRate", number(0.005)},
           {"damping", number(0.1)},
           {"smoothing", number(0.5)},
           {"every", number(2)},
           {"seed", number(1)}},
          {},
          {{"diagonal", diagonal}}};
}
inline OptimizerSpec levenberg_marquardt_spec(const char* schedule) {
  return {"levenbergMarquardt",
          {{"damping.initial", number(1e-3)},
           {"damping.drop", number(0.1)},
           {"damping.boost", number(10)},
           {"damping.maximum", number(1e10)},
           {"damping.minimum", number(1e-20)},
           {"gradientTolerance", number(1e-7)},
           {"goal", number(0)}},
          {},
          {{"schedule", schedule}}};
}

// Few and cheap iterations where there is a choice.
inline std::vector<OptimizerSpec> minimizers_for_networks() {
  OptimizerSpec hessian_free = hessian_free_spec(), subspace = krylov_subspace_descent_spec(),
                newton = newton_cg_spec(), residuals = newton_mr_spec(),
                smoothness = gradient_normalized_smoothness_spec(), saddles = saddle_free_newton_spec();
  set(hessian_free, "cg.maxIterations", 12);
  set_word(hessian_free, "backtrackingSamples", "selection");
  set(hessian_free, "preconditioner.every", 2);
  OptimizerSpec factored = hessian_free, paired = hessian_free, probed = hessian_free;
  set_word(factored, "preconditioner.kind", "kfac");
  set_word(paired, "preconditioner.kind", "lbfgs");
  set_word(probed, "preconditioner.kind", "hutchinson");
  set(subspace, "subspaceSize", 4);
  set(subspace, "search.maxEvaluations", 6);
  set(newton, "cg.maxIterations", 8);
  set(residuals, "minres.maxIterations", 8);
  set(smoothness, "cg.maxIterations", 8);
  set(saddles, "subspaceSize", 5);
  return {hessian_free,
          factored,
          paired,
          probed,
          newton,
          residuals,
          saddles,
          subspace,
          smoothness,
          nonlinear_cg("polakRibiere", 1e-9, 0.1),
          lbfgs(5, 1e-9),
          stochastic_lbfgs("sameBatch", 0.05, 1),
          stochastic_lbfgs("ggn", 0.05, 2),
          sampled_kfac_spec(),
          adahessian_spec(0.02),
          sophia_spec("gaussNewtonBartlett"),
          diagonal_newton_spec("ggn")};
}

}  // namespace krylov::test
