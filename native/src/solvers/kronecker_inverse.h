// The inverse of a damped Kronecker-factored matrix, whose damping can be changed.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "krylov/buffer.h"
#include "krylov/estimates.h"

namespace krylov {

template <Scalar T>
class KroneckerInverse final : public LinearOperator<T> {
 public:
  // Checks the factors against the network. `factors` are kept.
  static Status create(std::shared_ptr<const Network<T>> network, std::shared_ptr<const KroneckerFactors> factors,
                       KroneckerDamping form, std::shared_ptr<KroneckerInverse>& out);
  // damping > 0. An error where a factor is not finite or, damped, not positive definite; apply() only after success.
  // A layer at a time, so that whoever calls can give up his turn in between.
  std::size_t layers() const noexcept { return layers_.size(); }
  Status damp(Team& team, std::size_t layer, double damping);
  Status damp(Team& team, double damping);

  const std::shared_ptr<const KroneckerFactors>& factors() const noexcept { return factors_; }
  // pi of the factored form: damping of the input's factor over that of the output's.
  double balance(std::size_t layer) const noexcept { return layers_[layer].balance; }

  std::int64_t rows() const noexcept override { return network_->arena_size(); }
  VectorLayout<T> layout() const noexcept override { return network_; }
  int threads() const noexcept override { return threads_; }
  void apply(Team& team, const T* v, T* out) noexcept override;
  void apply_transposed(Team& team, const T* u, T* out) noexcept override { apply(team, u, out); }

 private:
  // A block V' [inputs, outputs] in panels becomes left V' right; with eigenvectors, of both sides of a division by
  // their values, once more with the second pair.
  struct Factors {
    AlignedBuffer<T> left;   // [inputs, ld]
    AlignedBuffer<T> right;  // panels over the outputs, [panels][outputs][P]
  };
  struct Layer {
    const KroneckerFactor* factor = nullptr;
    std::int64_t offset = 0;  // in the arena
    std::int64_t ld = 0;      // of left
    double balance = 1;
    Factors first, second;
    std::vector<double> input_values, output_values;  // eigenvalues, not negative
    AlignedBuffer<T> divided;                         // the block between the pairs, in panels
  };
  struct Piece {
    std::size_t layer = 0;
    std::int64_t row0 = 0, row1 = 0;  // of V'
  };
  KroneckerInverse() = default;
  void decompose(Team& team, Layer& layer);
  Status invert(Team& team, Layer& layer, double damping);
  template <class Store>
  void multiply(const Layer& layer, const Factors& factors, const Piece& piece, const T* block, T* scratch,
                Store store) const noexcept;
  void share(int thread, int threads, std::size_t& first, std::size_t& last) const noexcept;

  std::shared_ptr<const Network<T>> network_;
  std::shared_ptr<const KroneckerFactors> factors_;
  KroneckerDamping form_ = KroneckerDamping::kFactored;
  std::vector<Layer> layers_;
  std::vector<Piece> pieces_;
  std::vector<double> costs_;  // running sum over the pieces
  AlignedBuffer<T> scratch_;   // two strips a thread
  std::int64_t scratch_size_ = 0;
  double damping_ = 0;
  int threads_ = 1;
  std::mutex mutex_;  // of the scratch
};

}  // namespace krylov
