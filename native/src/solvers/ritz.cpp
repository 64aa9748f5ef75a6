#include <cmath>
#include <vector>

#include "krylov/solvers.h"
#include "solvers/dense.h"

namespace krylov {

void ritz(std::span<const double> alpha, std::span<const double> beta, double last_beta, std::span<double> values,
          std::span<double> residuals) {
  const std::size_t n = alpha.size();
  if (n == 0) return;
  std::vector<double> vectors(n * n);
  tridiagonal_eigen(alpha, beta, values.data(), vectors.data());
  for (std::size_t i = 0; i < n; ++i) residuals[i] = std::abs(last_beta * vectors[i * n + n - 1]);
}

}  // namespace krylov
