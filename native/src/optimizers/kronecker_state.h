// Kronecker factors in a saved state: the input's matrices of all layers one
// after the other, the output's, and the diagonal of what is not dense.
#pragma once

#include <memory>
#include <string>

#include "krylov/estimates.h"
#include "krylov/minimizer.h"

namespace krylov {

// Under names that begin with the prefix.
void save_factors(MinimizerState& state, const std::string& prefix, const KroneckerFactors& factors);
// Null where the state has none; an error where they are of another network.
template <Scalar T>
Status restore_factors(const MinimizerState& state, const std::string& prefix, const Network<T>& network,
                       std::shared_ptr<const KroneckerFactors>& out);

}  // namespace krylov
