// The rows of a data set that a pass works on: their targets, weights, losses
// and the deltas that the losses put on the heads. Threads load and evaluate
// disjoint rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "krylov/dataset.h"
#include "krylov/network.h"
#include "krylov/spec.h"

namespace krylov {

// Checks losses against the network's heads: one a head, logits not squashed,
// class weights of the right number.
template <Scalar T>
Status check_losses(const Network<T>& network, std::span<const LossSpec> losses);
// Checks a data set against network and losses: columns, labels below the width.
template <Scalar T>
Status check_dataset(const Network<T>& network, std::span<const LossSpec> losses, const Dataset& data);

// Raw inputs to buffer 0 of a pass: converted, unsigned bytes scaled by the
// network's factor. Rows index[0..count) of `rows`, or the first `count`.
template <Scalar T>
void gather_inputs(const Network<T>& network, const void* rows, DType dtype, const std::uint32_t* index,
                   std::int64_t count, T* out) noexcept;

enum class Deltas : std::uint8_t {
  kNone,       // losses only
  kReduced,    // of the batch loss: weights and the reduction's divisor included
  kPerSample,  // of each sample's own weighted loss
};

template <Scalar T> struct LossCurvatureRows;

template <Scalar T>
class Batch {
 public:
  Batch(const Network<T>& network, std::vector<LossSpec> losses, std::int64_t max_rows);

  const std::vector<LossSpec>& losses() const noexcept { return losses_; }
  // Row r of the batch is row index[r] of the data, or first_row + r without an index. `factors`, one a row, multiply the
  // rows' losses as sample weights do, but count for no mass; null: 1.
  void select(const Dataset& data, const std::uint32_t* index, std::int64_t rows, std::int64_t first_row = 0,
              const double* factors = nullptr) noexcept;
  // Only rows first.. of what was selected, as rows 0.. of the pass; mass and divisor remain those of the whole.
  void select_part(std::int64_t first, std::int64_t rows) noexcept;
  std::int64_t rows() const noexcept { return rows_; }

  // Gathers inputs into the pass's buffer 0, targets and weights.
  void load(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept;
  // Losses of the rows from the pass's outputs, their deltas into its adjoints; true when all are finite.
  bool evaluate(const Pass<T>& pass, Deltas deltas, std::int64_t first, std::int64_t count) noexcept;
  // Second derivatives of the losses by the outputs, with the factors that the deltas have, times the heads' tangents:
  // into the adjoints of the heads.
  void curvature(const Pass<T>& pass, Deltas deltas, std::int64_t first, std::int64_t count) const noexcept;
  // The same for one head and what the caller multiplies: u and out of the result are his to fill in.
  LossCurvatureRows<T> curvature_rows(const Pass<T>& pass, std::size_t head, Deltas deltas, std::int64_t first,
                                      std::int64_t count) const noexcept;

  // After evaluate: false where a head's loss of the row is not; and makes them 0.
  bool loss_is_finite(std::int64_t row) const noexcept;
  void drop_loss(std::int64_t row) noexcept;

  // After evaluate of all rows; sums run in the order of the rows.
  double head_loss(std::size_t head) const noexcept;   // reduced, without the head's weight
  double loss() const noexcept;                        // sum over heads of weight times loss
  // What head_loss divides by, and the factor of the head's deltas.
  double divisor(std::size_t head) const noexcept { return heads_[head].mass > 0 ? heads_[head].mass : 1.0; }
  // Rows, or the sum of the weights where those normalise; 0 where all of these are. A mean over several batches
  // divides by the sum of this.
  double mass(std::size_t head) const noexcept { return heads_[head].mass; }
  std::span<const double> sample_losses(std::size_t head) const noexcept;  // weighted
  const std::int32_t* labels(std::size_t head) const noexcept;
  const T* targets(std::size_t head) const noexcept;
  std::int64_t ld_targets(std::size_t head) const noexcept { return heads_[head].ld; }
  const double* factors() const noexcept { return factors_; }  // those of select
  // Sample weights alone, by which metrics count, or null for 1; class weights belong to the loss.
  const double* sample_weights() const noexcept { return data_->weights() != nullptr ? sample_weights_.data() : nullptr; }

 private:
  struct Head {
    bool classes = false, weighted = false;
    // Class targets whose terms have weights of their own (class weights with
    // label smoothing): the loss sees them as rows of probabilities.
    bool expanded = false;
    LossSpec row_loss;  // of an expanded head
    std::int64_t width = 0, ld = 0;
    AlignedBuffer<std::int32_t> labels;
    AlignedBuffer<T> targets;
    AlignedBuffer<double> weights;
    AlignedBuffer<double> losses;
    double mass = 1;
  };
  std::int64_t source(std::int64_t row) const noexcept {
    return index_ != nullptr ? std::int64_t(index_[row]) : first_row_ + row;
  }
  // The fields that LossRows and its relatives share, for rows first.. of a head.
  template <class Rows>
  Rows rows_of(const Pass<T>& pass, std::size_t number, Deltas deltas, std::int64_t first,
               std::int64_t count) const noexcept;
  double weight_of(const Head& head, const LossSpec& loss, std::size_t number, std::int64_t row) const noexcept;
  double class_weight(const LossSpec& loss, std::size_t number, std::int64_t row) const noexcept;

  const Network<T>* network_;
  std::vector<LossSpec> losses_;
  std::vector<Head> heads_;
  AlignedBuffer<double> sample_weights_;
  const Dataset* data_ = nullptr;
  const std::uint32_t* index_ = nullptr;     // of the part
  const std::uint32_t* selected_ = nullptr;  // of all that was selected
  const double* factors_ = nullptr;  // of the part
  const double* selected_factors_ = nullptr;
  std::int64_t rows_ = 0, first_row_ = 0, selected_first_ = 0;
};

}  // namespace krylov
