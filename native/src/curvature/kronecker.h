// The layers that have Kronecker factors (krylov/estimates.h).
#pragma once

#include <vector>

#include "krylov/estimates.h"

namespace krylov {

// The dense layers of a network, in order, with their sizes and without matrices.
template <Scalar T>
std::vector<KroneckerFactor> kronecker_layers(const Network<T>& network);

}  // namespace krylov
