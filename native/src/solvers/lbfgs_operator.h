// Limited-memory BFGS: pairs (s, y) that have seen y = B s, and the inverse of
// B that they imply, by the two-loop recursion (Nocedal 1980; Liu & Nocedal
// 1989). The L-BFGS optimizers keep such pairs; as an operator they are a
// preconditioner, made from the products of an earlier conjugate-gradient solve:
// a pair and its multiple imply the same inverse, so that a direction p and B p
// serve for the step alpha p and what it does to the residual.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "krylov/solvers.h"
#include "solvers/vectors.h"

namespace krylov {

template <Scalar T>
class LbfgsPairs {
 public:
  struct Pair {
    AlignedBuffer<T> s, y;
    double curvature = 0;   // s'y > 0
    double scale = 0;       // s'y / y'y
    std::int64_t time = 0;  // its number in the sequence offered to sample()
  };

  LbfgsPairs(std::int64_t size, std::int64_t capacity) : size_(size), capacity_(capacity < 1 ? 1 : capacity) {}

  std::int64_t size() const noexcept { return size_; }
  std::int64_t capacity() const noexcept { return capacity_; }
  const std::vector<Pair>& pairs() const noexcept { return pairs_; }  // oldest first
  bool empty() const noexcept { return pairs_.empty(); }
  void clear() noexcept;

  // Copies in the newest pair; the oldest gives way where there are `capacity`. False, and nothing happens, unless
  // s'y > least_curvature.
  bool add(Vectors<T>& vectors, const T* s, const T* y, double least_curvature);
  // For a sequence of pairs, of which few are to be kept, spread evenly over all so far (Morales & Nocedal 2000, §3:
  // the distance between kept ones doubles when there is no more room). Pairs without positive curvature are left out.
  void sample(Vectors<T>& vectors, const T* s, const T* y);
  // One of the two: sample(), or add() of whatever has positive curvature.
  void offer(Vectors<T>& vectors, const T* s, const T* y, bool spread);
  // For state that is read back.
  void append(Pair pair);
  // y += shift s, as for the matrix plus shift I; pairs whose curvature is then not positive are dropped.
  void shift(Vectors<T>& vectors, double shift);
  // The pairs, which leave.
  std::vector<CollectedPair<T>> release();

  // out = H v with H_0 = initial_scale I; out may be v. Without pairs H = I.
  void apply(Vectors<T>& vectors, const T* v, T* out, double initial_scale);
  // With the newest pair's s'y / y'y, as Liu & Nocedal have it.
  void apply(Vectors<T>& vectors, const T* v, T* out) { apply(vectors, v, out, newest_scale()); }
  double newest_scale() const noexcept { return pairs_.empty() ? 1 : pairs_.back().scale; }
  double mean_scale() const noexcept;  // over all pairs, as oLBFGS has it

 private:
  void put(Vectors<T>& vectors, std::size_t victim, const T* s, const T* y, double curvature);

  std::int64_t size_, capacity_;
  std::int64_t offered_ = 0, spacing_ = 1;  // of sample()
  std::vector<Pair> pairs_;
  std::vector<double> weights_;  // of the two loops
};

// The inverse that pairs imply, as an operator: symmetric positive definite.
template <Scalar T>
class LbfgsOperator final : public LinearOperator<T> {
 public:
  LbfgsOperator(LbfgsPairs<T> pairs, VectorLayout<T> layout, int threads)
      : pairs_(std::move(pairs)), layout_(std::move(layout)), threads_(threads), vectors_(threads, pairs_.size()) {}

  std::int64_t rows() const noexcept override { return pairs_.size(); }
  VectorLayout<T> layout() const noexcept override { return layout_; }
  int threads() const noexcept override { return threads_; }
  void apply(Team& team, const T* v, T* out) noexcept override;
  void apply_transposed(Team& team, const T* v, T* out) noexcept override { apply(team, v, out); }
  // Not while there is a product.
  LbfgsPairs<T>& pairs() noexcept { return pairs_; }

 private:
  std::mutex mutex_;  // products share the weights of the two loops
  LbfgsPairs<T> pairs_;
  VectorLayout<T> layout_;
  int threads_;
  Vectors<T> vectors_;
};

}  // namespace krylov
