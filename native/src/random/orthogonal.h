// Internal: the orthogonal factor behind Initialiser::kOrthogonal.
#pragma once

#include <cstdint>
#include <span>

namespace krylov {

// Replaces the n columns of length m (m >= n, column k at columns + k m) by the
// columns of Q of their QR factorisation, signs chosen so that R has a
// non-negative diagonal. Allocates n doubles and a copy of the columns.
void orthonormalise(std::int64_t m, std::int64_t n, std::span<double> columns);

}  // namespace krylov
