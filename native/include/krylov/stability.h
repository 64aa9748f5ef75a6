// Which learning rates a minimum of a small problem survives: linear stability of
// gradient descent with and without batches, exactly.
#pragma once

#include <cstdint>
#include <vector>

#include "krylov/procedure.h"
#include "krylov/spectra.h"

namespace krylov {

// The largest of samples * per_sample and columns, of which the smaller one is the side of a dense eigenproblem.
inline constexpr std::int64_t kLargestStabilityProblem = 1024;

struct StabilityCase {
  std::int64_t batch = 1;
  double noise_factor = 0;           // p = (n - B) / (B (n - 1))
  double mean_square_threshold = 0;  // largest stable rate of SGD in mean square
  double necessary_bound = 0;        // at most 2 / rate wherever SGD is stable
};
struct StabilityResult {
  double largest_eigenvalue = 0, trace = 0, frobenius = 0;  // of H = mean of H_i
  double mean_threshold = 0;                                // 2 / largest eigenvalue
  double trace_threshold = 0;                               // 2 / trace
  std::vector<StabilityCase> cases;                         // one a batch size; fewer where the procedure was stopped
  SpectrumReason reason = SpectrumReason::kConverged;
};
// rows [samples * per_sample, columns]: the Hessian of sample i is H_i = sum of r r' over its rows. With no curvature
// at all the thresholds are infinite. `rows` must outlive the procedure.
Procedure<StabilityResult> stability(Session& session, const double* rows, std::int64_t samples,
                                     std::int64_t per_sample, std::int64_t columns, std::vector<std::int64_t> batches);

}  // namespace krylov
