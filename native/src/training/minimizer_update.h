// One update of a minimizer with what belongs around it: the samples, a copy of
// the parameters to go back to, and whether the result is any good.
#pragma once

#include <cstdint>
#include <string>

#include "krylov/minimization.h"
#include "krylov/training.h"

namespace krylov {

struct UpdateResult {
  MinimizerReport report;
  UpdateOutcome outcome = UpdateOutcome::kStopped;
  // kNotFinite: the first such element of the new x; -1: the function or its gradient.
  std::int64_t not_finite_at = -1;
};

// `before`: a copy of x, which x is given back where the update is not finite. The arguments by reference outlive the
// session.
template <Scalar T>
Procedure<void> run_update(Session& session, Objective<T>& objective, Minimizer<T>& minimizer, T* x, const T* before,
                           UpdateResult& result);

// What an update that was not finite is reported as: a tensor's name, "gradient" or "loss".
template <Scalar T>
std::string where_not_finite(const UpdateResult& result, const Network<T>& network);

// Arrays by parameter in public order; position and seed are left to the caller.
template <Scalar T>
TrainingState to_training_state(const MinimizerState& state, const Network<T>& network);
// Checks the lengths of the arrays by parameter.
template <Scalar T>
Status to_minimizer_state(const TrainingState& state, const Network<T>& network, MinimizerState& out);

}  // namespace krylov
