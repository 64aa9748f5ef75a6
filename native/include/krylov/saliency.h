// What speaks for an output of a network: maps over its inputs, and NormGrad
// maps of its dense layers. See each enumerator for its formula.
#pragma once

#include <cstdint>
#include <span>

#include "krylov/dataset.h"
#include "krylov/model.h"
#include "krylov/status.h"

namespace krylov {

// Maps over inputs; f: the explained output, g = df/dx.
enum class InputMap : std::uint8_t {
  kGradient,               // g
  kGradientInput,          // x o g
  kIntegratedGradients,    // (x - b) o mean of g along the line from the baseline b (Sundararajan, Taly, Yan 2017)
  kAbsoluteGradientInput,  // |x_k| |g_k|
  kColumnNorm,             // |x_k| |delta|: the norm of column k of the gradient of the weight that reads the input
};

// One number for each position: x what the layer reads there, g the gradient by what it writes there, or by x itself
// (Rebuffi, Fong, Ji, Vedaldi 2020, arXiv 2004.02866).
enum class PositionMap : std::uint8_t {
  kNorm,          // |x| |g|: the Frobenius norm of the position's term of the weight's gradient
  kNormWithBias,  // sqrt(|x|^2 + 1) |g|
  kScaling,       // |x o g|
  kSelective,     // |max(x o g, 0)|
  kBias,          // |g|
  kLinear,        // sum of x o g
  kGradientMax,   // max |g_c|
};

inline constexpr std::int32_t kMostProbable = -1, kLeastProbable = -2;

struct ExplainedOutput {
  std::size_t head = 0;
  // So many consecutive rows are the positions of one sample, which share the network; f is the sum of their outputs.
  std::int64_t positions = 1;
  // One a sample: an output, or one of the constants above, which the output that is meant replaces (by the sum over
  // positions; the first of equals).
  std::span<std::int32_t> targets;
  // Not 0: maps at parameters moved for each sample by -meta_step times the gradient of its softmax cross-entropy with
  // the target as label. One position only.
  double meta_step = 0;
};

template <Scalar T>
struct InputSaliency {
  InputMap map = InputMap::kGradient;
  const Dataset* baseline = nullptr;  // kIntegratedGradients: one row, or one a row of the inputs; null: zeros
  std::int64_t steps = 1;             // kIntegratedGradients: points of the midpoint rule
  std::span<T> maps;                  // [rows, inputs]
  std::span<double> baseline_values;  // kIntegratedGradients: f at the baseline, one a sample; may be empty
};

template <Scalar T>
struct LayerSaliency {
  std::span<const std::int64_t> layers;  // numbers among the dense layers, in the order of the parameters
  PositionMap map = PositionMap::kNorm;
  bool identity = false;  // g is by the layer's input, as of an identity layer before it
  std::span<T> maps;      // [layers, rows]
};

// values: f of each sample, at the parameters of the model. Dropout is off. May throw std::bad_alloc.
template <Scalar T>
Status input_saliency(const Model<T>& model, const Dataset& inputs, const ExplainedOutput& explained,
                      const InputSaliency<T>& wanted, std::span<double> values);
template <Scalar T>
Status layer_saliency(const Model<T>& model, const Dataset& inputs, const ExplainedOutput& explained,
                      const LayerSaliency<T>& wanted, std::span<double> values);

// Rows of x [rows, width] and g [rows, gradient_width]; the two widths are equal where the map multiplies element by
// element.
template <Scalar T>
double position_value(PositionMap map, const T* x, std::int64_t width, const T* g, std::int64_t gradient_width) noexcept;
constexpr bool elementwise(PositionMap map) noexcept {
  return map == PositionMap::kScaling || map == PositionMap::kSelective || map == PositionMap::kLinear;
}

enum class MapCombination : std::uint8_t { kSum, kProduct, kPlainProduct };
// maps: one [rows, positions] a layer. Each row of each is scaled to [0, 1] by its smallest and largest value (a constant
// row becomes 0); then the sum or the product of powers with weights over their sum, or the plain product.
void combine_maps(std::span<const double* const> maps, std::span<const double> weights, MapCombination rule,
                  std::int64_t rows, std::int64_t positions, double* out);

// Spearman's: the correlation of the ranks, equals sharing their mean rank; NaN where one side is constant or shorter
// than two. May throw std::bad_alloc.
double rank_correlation(std::span<const double> a, std::span<const double> b);

}  // namespace krylov
