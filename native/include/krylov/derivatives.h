// A network linearised at a batch, and the quantities that follow from it: what
// a NetworkPoint computes, in public order and for callers outside the team.
// Keeps its own copy of the parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "krylov/dataset.h"
#include "krylov/linear_operator.h"
#include "krylov/model.h"
#include "krylov/objective.h"
#include "krylov/spec.h"
#include "krylov/status.h"

namespace krylov {

template <Scalar T> class NetworkPoint;

// Curvature at a point as an operator on vectors in arena order; an error where the losses have none of this kind.
// Takes the memory that its products need, so may throw std::bad_alloc.
template <Scalar T>
Status curvature_operator(std::shared_ptr<NetworkPoint<T>> point, Curvature kind,
                          std::shared_ptr<LinearOperator<T>>& out);
// Its Jacobian: from arena order to the outputs [rows, width] of each head, one head after the other.
template <Scalar T>
std::shared_ptr<LinearOperator<T>> jacobian_operator(std::shared_ptr<NetworkPoint<T>> point);

// Products share the memory of one workspace; more rows than it has go through it in parts, again each time.
inline constexpr std::int64_t kLinearizationRows = 4096;

// For one caller at a time. What takes memory when it is first asked may throw std::bad_alloc.
template <Scalar T>
class Linearization {
 public:
  virtual ~Linearization() = default;
  // max_rows: of the workspace; 0: all rows up to kLinearizationRows.
  static Status create(const Model<T>& model, std::shared_ptr<const Dataset> batch, std::vector<LossSpec> losses,
                       double l2, std::int64_t max_rows, std::unique_ptr<Linearization>& out);

  virtual const Network<T>& network() const noexcept = 0;
  // The same point for operators, which live as long as they like.
  virtual const std::shared_ptr<NetworkPoint<T>>& point() const noexcept = 0;
  virtual VectorLayout<T> layout() const noexcept = 0;  // of its operators: its own network
  virtual int threads() const noexcept = 0;             // that pay off for one product
  virtual double l2() const noexcept = 0;
  virtual std::int64_t rows() const noexcept = 0;
  virtual std::int64_t bytes() const noexcept = 0;  // taken by now
  virtual double loss() const noexcept = 0;         // reduced, with l2's term
  virtual double head_loss(std::size_t head) const noexcept = 0;
  // [rows]: weighted by sample and head, summed over heads.
  virtual std::span<const double> sample_losses() const noexcept = 0;
  // [rows, width] into out.
  virtual void outputs(std::size_t head, std::span<T> out) = 0;
  // Of the reduced loss, public order, [P].
  virtual void gradient(std::span<T> out) = 0;
  // Of each sample's own weighted loss: rows first.. of [N, P]; nothing is divided by N, no l2.
  virtual void per_sample_gradients(std::int64_t first, std::int64_t count, std::span<T> out) = 0;
  virtual void per_sample_norms(std::span<double> out) = 0;
  // J v: one destination [rows, width] a head; v is [P] in public order.
  virtual void jvp(std::span<const T> v, std::span<T* const> out) = 0;
  // J' u: u is [rows, width] a head, out [P].
  virtual void vjp(std::span<const T* const> u, std::span<T> out) = 0;
};

}  // namespace krylov
