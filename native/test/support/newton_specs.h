// Specs of the Newton-type optimizers with the defaults of the public interface.
#pragma once

#include <string>

#include "optimizer_specs.h"

namespace krylov::test {

inline void set(OptimizerSpec& spec, const std::string& name, double value) {
  for (auto& [key, schedule] : spec.numbers) {
    if (key == name) schedule = number(value);
  }
}
inline void set_flag(OptimizerSpec& spec, const std::string& name, bool value) {
  for (auto& [key, flag] : spec.flags) {
    if (key == name) flag = value;
  }
}
inline void set_word(OptimizerSpec& spec, const std::string& name, const std::string& value) {
  for (auto& [key, word] : spec.words) {
    if (key == name) word = value;
  }
}

inline OptimizerSpec hessian_free_spec() {
  return {"hessianFree",
          {{"damping.initial", number(1)},
           {"damping.drop", number(2.0 / 3)},
           {"damping.boost", number(1.5)},
           {"damping.lower", number(0.25)},
           {"damping.upper", number(0.75)},
           {"damping.minimum", number(0)},
           {"cg.maxIterations", number(250)},
           {"cg.minIterations", number(10)},
           {"cg.progressTolerance", number(5e-4)},
           {"cg.tolerance", number(0)},
           {"warmStartDecay", number(0.95)},
           {"preconditioner.exponent", number(0.75)},
           {"preconditioner.draws", number(1)},
           {"preconditioner.seed", number(0)},
           {"preconditioner.every", number(1)},
           {"preconditioner.history", number(10)},
           {"storeGrowth", number(1.3)},
           {"lineSearch.armijo", number(1e-2)},
           {"lineSearch.shrink", number(0.8)},
           {"lineSearch.maxTries", number(60)},
           {"learningRate", number(1)},
           {"gradientTolerance", number(0)}},
          {{"damping.adapt", true}, {"backtracking", true}, {"lineSearch.enabled", true}},
          {{"preconditioner.kind", "martens"},
           {"preconditioner.form", "factored"},
           {"preconditioner.choice", "spread"},
           {"backtrackingSamples", "gradient"},
           {"curvature", "ggn"}}};
}

inline OptimizerSpec newton_cg_spec() {
  return {"newtonCG",
          {{"radius.initial", number(0)},
           {"radius.maximum", number(1e10)},
           {"acceptance", number(1e-4)},
           {"cg.tolerance", number(0.5)},
           {"cg.maxIterations", number(250)},
           {"gradientTolerance", number(1e-7)}},
          {},
          {{"curvature", "hessian"}}};
}

inline OptimizerSpec newton_mr_spec() {
  return {"newtonMR",
          {{"minres.inexactness", number(1e-2)},
           {"minres.maxIterations", number(250)},
           {"lineSearch.armijo", number(0.25)},
           {"gradientTolerance", number(1e-7)}},
          {},
          {{"merit", "value"}, {"curvature", "hessian"}}};
}

inline OptimizerSpec saddle_free_newton_spec() {
  return {"saddleFreeNewton",
          {{"subspaceSize", number(20)},
           {"damping.initial", number(1)},
           {"damping.drop", number(2.0 / 3)},
           {"damping.boost", number(1.5)},
           {"damping.lower", number(0.25)},
           {"damping.upper", number(0.75)},
           {"damping.minimum", number(0)},
           {"acceptance", number(1e-4)},
           {"maxTries", number(40)},
           {"gradientTolerance", number(1e-7)}},
          {{"damping.adapt", true}},
          {{"curvature", "hessian"}}};
}

inline OptimizerSpec krylov_subspace_descent_spec() {
  return {"krylovSubspaceDescent",
          {{"subspaceSize", number(20)},
           {"preconditioner.exponent", number(0.75)},
           {"preconditioner.draws", number(1)},
           {"preconditioner.seed", number(0)},
           {"preconditioner.every", number(1)},
           {"preconditioner.history", number(10)},
           {"preconditioner.floor", number(1e-4)},
           {"eigenvalueFloor", number(1e-4)},
           {"search.maxEvaluations", number(30)},
           {"search.tolerance", number(1e-4)},
           {"gradientTolerance", number(1e-7)}},
          {},
          {{"preconditioner.kind", "martens"},
           {"preconditioner.form", "factored"},
           {"preconditioner.choice", "spread"},
           {"curvature", "ggn"}}};
}

inline OptimizerSpec gradient_normalized_smoothness_spec() {
  return {"gradientNormalizedSmoothness",
          {{"gamma.initial", number(1)},
           {"gamma.minimum", number(1e-9)},
           {"tolerance", number(1e-8)},
           {"maxTries", number(40)},
           {"cg.tolerance", number(0.1)},
           {"cg.maxIterations", number(250)},
           {"gradientTolerance", number(1e-7)}},
          {{"gamma.adapt", true}},
          {{"solver", "auto"}, {"curvature", "ggn"}}};
}

}  // namespace krylov::test
