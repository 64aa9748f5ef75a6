// The optimizers that look at the function more than once an update, one file
// each; make_minimizer.cpp lists them.
#pragma once

#include "krylov/minimizer.h"
#include "optimizers/rules.h"

namespace krylov {

template <Scalar T> using MinimizerPointer = std::unique_ptr<Minimizer<T>>;

template <Scalar T> MinimizerPointer<T> make_hessian_free(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_newton_cg(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_newton_mr(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_saddle_free_newton(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_krylov_subspace_descent(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_gradient_normalized_smoothness(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_nonlinear_conjugate_gradient(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_lbfgs(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_stochastic_lbfgs(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_bfgs(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_levenberg_marquardt(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_kfac(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_adahessian(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_sophia(RuleOptions& options, const Objective<T>& objective);
template <Scalar T> MinimizerPointer<T> make_diagonal_newton(RuleOptions& options, const Objective<T>& objective);

}  // namespace krylov
