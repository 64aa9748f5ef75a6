// A network linearised at a batch: one forward and backward pass, kept, and the
// quantities that follow from it. Keeps its own copy of the parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "krylov/dataset.h"
#include "krylov/model.h"
#include "krylov/spec.h"
#include "krylov/status.h"

namespace krylov {

template <Scalar T>
class Linearization {
 public:
  virtual ~Linearization() = default;
  static Status create(const Model<T>& model, const Dataset& batch, std::vector<LossSpec> losses, double l2,
                       std::unique_ptr<Linearization>& out);

  virtual const Network<T>& network() const noexcept = 0;
  virtual std::int64_t rows() const noexcept = 0;
  virtual double loss() const noexcept = 0;  // reduced, with l2's term
  virtual double head_loss(std::size_t head) const noexcept = 0;
  // [rows]: weighted by sample and head, summed over heads.
  virtual std::span<const double> sample_losses() const noexcept = 0;
  // [rows, width] into out.
  virtual void outputs(std::size_t head, std::span<T> out) const noexcept = 0;
  // Of the reduced loss, public order, [P].
  virtual void gradient(std::span<T> out) noexcept = 0;
  // Of each sample's own weighted loss: rows first.. of [N, P]; nothing is divided by N, no l2.
  virtual void per_sample_gradients(std::int64_t first, std::int64_t count, std::span<T> out) const noexcept = 0;
  virtual void per_sample_norms(std::span<double> out) const noexcept = 0;
  // J v: one destination [rows, width] a head; v is [P] in public order.
  virtual void jvp(std::span<const T> v, std::span<T* const> out) noexcept = 0;
  // J' u: u is [rows, width] a head, out [P].
  virtual void vjp(std::span<const T* const> u, std::span<T> out) noexcept = 0;
};

}  // namespace krylov
