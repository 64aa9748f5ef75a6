// The gradients of samples as the two matrices of each layer that they are
// outer products of (Goodfellow 2015, arXiv 1510.01799): layer inputs and
// deltas. From them come inner products of all pairs without any gradient.
#pragma once

#include <cstdint>
#include <vector>

#include "krylov/buffer.h"
#include "krylov/network.h"
#include "krylov/threads.h"

namespace krylov {

// `columns` gradients a sample: one of its loss, or one an output. Threads keep disjoint samples.
template <Scalar T>
class SampleFactors {
 public:
  SampleFactors(const Network<T>& network, std::int64_t samples, std::int64_t columns);

  std::int64_t samples() const noexcept { return samples_; }
  std::int64_t columns() const noexcept { return columns_; }
  std::size_t layers() const noexcept { return layers_.size(); }
  // Takes what a row of the pass carries.
  void keep(const Pass<T>& pass, std::int64_t row, std::int64_t sample, std::int64_t column) noexcept;

  // Of one layer. The gradient of sample i, column c is delta x' and, with a bias, delta; or, of a normalisation, the
  // row of deltas itself, which then holds the gradients of gain and bias.
  struct Factor {
    bool outer = true, bias = true;
    std::int64_t inputs = 0, outputs = 0;  // widths of the rows; inputs 0 for a normalisation
    AlignedBuffer<T> x;                    // [samples, inputs]
    AlignedBuffer<T> delta;                // [samples * columns, outputs]
  };
  const Factor& factor(std::size_t layer) const noexcept { return layers_[layer]; }

 private:
  std::int64_t samples_, columns_;
  std::vector<Factor> layers_;  // by ParameterBlock
};

enum class PairProducts : std::uint8_t {
  kAllColumns,   // [samples of a, samples of b, columns, columns]
  kSameColumns,  // [samples of a, samples of b]: summed over columns
};

// Inner products of the gradients of a with those of b, summed over layers in their order, or layer by layer into
// [layers, ...]. Layer by layer (A A2' + 1 1') o (D D2'), products and sums in float64, in tiles that the numbers of
// samples and columns fix. Symmetric to the bit where b is a. Both have the same layers and columns.
template <Scalar T>
void pair_products(const SampleFactors<T>& a, const SampleFactors<T>& b, PairProducts kind, bool by_layer, Team& team,
                   double* out);
// Multiply-adds of it.
template <Scalar T>
double pair_products_cost(const SampleFactors<T>& a, const SampleFactors<T>& b, PairProducts kind) noexcept;

}  // namespace krylov
