// Quantities of a point's single samples: the gradient g_i of each sample's own
// weighted loss (nothing divided by N, no l2), and the Jacobian of the outputs.
// Specification: docs/per-sample.md. Results are float64 where they are numbers
// of samples, and do not depend on the number of threads nor on the place of a
// sample among the rows.
//
// All run on the threads that pay off, from any thread that is not inside a
// body of the team; what they take in memory may throw std::bad_alloc.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "krylov/dtype.h"
#include "krylov/gradient_statistics.h"
#include "krylov/network.h"
#include "krylov/status.h"

namespace krylov {

template <Scalar T>
class NetworkPoint;

enum class ParameterGroups : std::uint8_t { kAll, kLayers, kTensors };

// Names of the groups: "total"; what the names of a layer's tensors begin with; those of the tensors.
template <Scalar T>
std::vector<std::string> group_names(const Network<T>& network, ParameterGroups groups);

// |g_i|^2 by groups, [rows, groups], without making the gradients.
template <Scalar T>
void per_sample_squares(NetworkPoint<T>& point, ParameterGroups groups, double* out);

// g_i . v, v in arena order: [rows].
template <Scalar T>
void per_sample_products(NetworkPoint<T>& point, const T* v, double* out);

// g_i . g_j, [layers or 1, rows of a, rows of b]. Of a point with itself where b is a: the diagonal is |g_i|^2 then.
// An error where the networks have not the same parameters.
template <Scalar T>
Status gram_matrix(NetworkPoint<T>& a, NetworkPoint<T>& b, bool by_layer, double* out);

// Outputs of all heads are counted one head after the other.
struct OutputRange {
  std::int64_t first = 0, count = 0;
};

enum class TangentKernel : std::uint8_t {
  kBlocks,  // J_c(x_i) . J_d(x_j) of all pairs of outputs, [rows of a, rows of b, count, count]
  kTrace,   // sum over c = d, [rows of a, rows of b]
  kSum,     // sum over all c and d: the kernel of the sum of the outputs
};

// The empirical neural tangent kernel of the outputs in the range; for one output all kinds agree.
template <Scalar T>
Status tangent_kernel(NetworkPoint<T>& a, NetworkPoint<T>& b, TangentKernel kind, const OutputRange& outputs,
                      double* out);

// Rows first .. first + count of the samples, one a sample and output of the range, into out
// [count * outputs.count, P] in public order.
template <Scalar T>
Status output_jacobians(NetworkPoint<T>& point, std::int64_t first, std::int64_t count, const OutputRange& outputs,
                        T* out);

// sum_i g_i and sum_i g_i^2 by elements, arena order, zeros in the padding; either may be null.
template <Scalar T>
void gradient_moments(NetworkPoint<T>& point, double* sums, double* squares);

// sum_i g_i^2 in public order, or their variance: (1/N) sum g_i^2 - mean^2, times N / (N - 1) where unbiased.
template <Scalar T>
void gradient_square_sums(NetworkPoint<T>& point, T* out);
template <Scalar T>
Status gradient_variance(NetworkPoint<T>& point, bool unbiased, T* out);

// squares, products and cosines: [rows] each.
template <Scalar T>
GradientStatistics gradient_statistics(NetworkPoint<T>& point, std::span<double> squares, std::span<double> products,
                                       std::span<double> cosines);

}  // namespace krylov
