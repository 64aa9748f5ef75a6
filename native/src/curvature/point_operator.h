// Curvature at a point and its Jacobian as linear operators. They share the
// point: what it is set to is what they multiply with.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "curvature/network_point.h"
#include "krylov/linear_operator.h"

namespace krylov {

template <Scalar T>
class PointOperator final : public LinearOperator<T> {
 public:
  // After point->check(kind).
  PointOperator(std::shared_ptr<NetworkPoint<T>> point, Curvature kind) noexcept
      : point_(std::move(point)), kind_(kind) {}

  Curvature kind() const noexcept { return kind_; }
  NetworkPoint<T>& point() const noexcept { return *point_; }
  std::int64_t rows() const noexcept override { return point_->network()->arena_size(); }
  VectorLayout<T> layout() const noexcept override { return point_->network(); }
  int threads() const noexcept override { return point_->threads(); }
  void apply(Team& team, const T* v, T* out) noexcept override { point_->product(team, kind_, v, out); }
  void apply_transposed(Team& team, const T* u, T* out) noexcept override { apply(team, u, out); }

 private:
  std::shared_ptr<NetworkPoint<T>> point_;
  Curvature kind_;
};

// d(outputs)/d(parameters): the outputs of each head [rows, width], one head after the other.
template <Scalar T>
class JacobianOperator final : public LinearOperator<T> {
 public:
  explicit JacobianOperator(std::shared_ptr<NetworkPoint<T>> point);

  std::int64_t rows() const noexcept override { return rows_; }
  std::int64_t columns() const noexcept override { return point_->network()->arena_size(); }
  VectorLayout<T> layout() const noexcept override { return point_->network(); }
  VectorLayout<T> output_layout() const noexcept override { return nullptr; }
  int threads() const noexcept override { return point_->threads(); }
  void apply(Team& team, const T* v, T* out) noexcept override;
  void apply_transposed(Team& team, const T* u, T* out) noexcept override;

 private:
  std::shared_ptr<NetworkPoint<T>> point_;
  std::int64_t rows_ = 0;
  std::vector<std::int64_t> offsets_;  // of the heads
  // Where a product finds or puts each head.
  std::mutex mutex_;
  std::vector<T*> out_;
  std::vector<const T*> u_;
};

}  // namespace krylov
