// A network at parameters and rows of a data set: losses, gradients and
// curvature products in arena order, on a team. What a product needs (forward
// pass, deltas, second derivatives) is computed when first asked for and kept
// while parameters and rows stay; rows beyond the workspace go through it in
// chunks, and then nothing is kept.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "krylov/dataset.h"
#include "krylov/network.h"
#include "krylov/objective.h"
#include "krylov/spec.h"
#include "krylov/status.h"
#include "krylov/threads.h"

namespace krylov {

template <Scalar T> class PointTask;

template <Scalar T>
class NetworkPoint {
 public:
  // max_rows: rows of the workspace, at least 1. Checks losses against the network.
  static Status create(std::shared_ptr<const Network<T>> network, std::vector<LossSpec> losses, double l2,
                       std::int64_t max_rows, std::unique_ptr<NetworkPoint>& out);
  virtual ~NetworkPoint() = default;

  virtual const std::shared_ptr<const Network<T>>& network() const noexcept = 0;
  virtual const std::vector<LossSpec>& losses() const noexcept = 0;
  virtual double l2() const noexcept = 0;
  virtual std::int64_t rows() const noexcept = 0;
  // True where all rows are in the workspace at once.
  virtual bool cached() const noexcept = 0;
  // Threads that pay off for one product; never more than asked for (0, as at first: the processors).
  virtual int threads() const noexcept = 0;
  virtual void set_threads(int asked) noexcept = 0;

  // Rows index[0..rows) of the data, or rows 0.. without an index (copied). Keeps the data set.
  virtual Status set_data(std::shared_ptr<const Dataset> data, const std::uint32_t* index, std::int64_t rows) = 0;
  // Arena order, copied; no effect on what is kept where they are the same parameters.
  virtual void set_parameters(const T* parameters) noexcept = 0;
  virtual const T* parameters() const noexcept = 0;

  // Whether the products of a kind exist: a Hessian and a Gauss-Newton matrix need losses with second derivatives, a
  // Fisher matrix losses that are negative log-likelihoods; all three a differentiable network.
  virtual Status check(Curvature kind) const noexcept = 0;
  // Memory for the products of a kind, which product() would otherwise take when it is first called. May throw
  // std::bad_alloc.
  virtual void reserve(Curvature kind) = 0;
  // Bytes of the point as it is now.
  virtual std::int64_t bytes() const noexcept = 0;

  // All below: by the leader of `team`; vectors in arena order with zeros in the padding.
  virtual double loss(Team& team) noexcept = 0;  // reduced, l2 included
  // Gradient of loss(). squares, where not null: mean over the rows of the squares of the per-sample gradients
  // (of each sample's own weighted loss; no l2).
  virtual double gradient(Team& team, T* out, T* squares) noexcept = 0;
  // The same for a session: where the rows go through in parts, a rest is possible after each, and a session that is
  // stopped goes no further, so that the result means nothing. The point is the session's alone meanwhile.
  virtual Procedure<double> loss(Session& session) = 0;
  virtual Procedure<double> gradient(Session& session, T* out, T* squares) = 0;
  // out = B v, l2 included (not for kEmpiricalFisher). After check(kind).
  virtual void product(Team& team, Curvature kind, const T* v, T* out) noexcept = 0;
  // Outputs move along v: a destination [rows, width] a head. And J'u.
  virtual void jvp(Team& team, const T* v, std::span<T* const> out) noexcept = 0;
  virtual void vjp(Team& team, std::span<const T* const> u, T* out) noexcept = 0;
  // Anything else over the rows, see point_task.h.
  virtual void run(Team& team, PointTask<T>& task) noexcept = 0;

  // After loss() or gradient(), until parameters or rows change: a head's reduced loss without its weight, the
  // weighted losses of its samples [rows], and what divides their sum.
  virtual double head_loss(std::size_t head) const noexcept = 0;
  virtual std::span<const double> sample_losses(std::size_t head) const noexcept = 0;
  virtual double divisor(std::size_t head) const noexcept = 0;
};

}  // namespace krylov
