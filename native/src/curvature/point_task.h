// What can be done with the rows of a NetworkPoint. The point walks over them,
// part by part where they do not fit its workspace, and brings each block of
// rows to the level that the task asks for; the task then goes over the block,
// and, when all rows of the part are done, over what sums them up: units of a
// gradient, columns of a factor. Both run on all threads of the team: no member
// may depend on how many there are.
#pragma once

#include <cstdint>
#include <limits>

#include "krylov/network.h"
#include "network/unit_shares.h"
#include "samples/batch.h"

namespace krylov {

// What the rows of a workspace carry; each level holds what the one before holds.
enum class PointLevel : std::uint8_t {
  kNothing,
  kLoaded,   // inputs, targets, weights
  kForward,  // activations, losses
  kDeltas,   // deltas of the losses, in the workspace's own set
  kCurves,   // and d(loss)/d(activation) * act''(z)
};

// The rows that are in the workspace.
template <Scalar T>
struct PointPart {
  Pass<T> pass;               // works on the workspace's deltas
  Batch<T>* batch = nullptr;
  std::int64_t start = 0;     // of row 0 among the point's rows
  bool first = true, last = true;
  Deltas deltas = Deltas::kPerSample;  // what the deltas are of
  double scale = 1;           // what makes of a sum over these deltas the derivative of the reduced loss
  const UnitShares* units = nullptr;
  const T* transposed_direction = nullptr;        // where the task has a direction
  // Where the task uses products: a second set of deltas, free for the task.
  const BatchMatrices<T>* adjoints = nullptr;
  const BatchMatrices<T>* curves = nullptr;       // kCurves
  const BatchMatrices<T>* bends = nullptr;        // kCurves

  // The pass with the second set of deltas.
  Pass<T> adjoint_pass() const noexcept {
    Pass<T> p = pass;
    p.adjoints = adjoints;
    return p;
  }
};

// What a task needs.
template <Scalar T>
struct PointNeeds {
  PointLevel level = PointLevel::kForward;
  // Deltas of each sample's own loss; otherwise those of the reduced loss, up to `scale`.
  bool per_sample = false;
  bool backward = false;         // the transposed copy of the weights, also where the level does not need it
  bool adjoints = false;         // tangents and the second set of deltas
  const T* direction = nullptr;  // whose transposed copy is wanted, arena order
  // Rows of the point that the task looks at; others are left out where parts go through the workspace.
  std::int64_t first = 0, last = std::numeric_limits<std::int64_t>::max();
};

template <Scalar T>
class PointTask {
 public:
  virtual ~PointTask() = default;
  virtual PointNeeds<T> needs() const noexcept = 0;
  // Rounds over each part: rows, then columns, then the next round.
  virtual int rounds() const noexcept { return 1; }
  // Rows [first, first + count) of the part; at most kBlockRows.
  virtual void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept {
    (void)part, (void)round, (void)first, (void)count;
  }
  // All rows of the part are done.
  virtual void columns(const PointPart<T>& part, int round, int thread, int threads) noexcept {
    (void)part, (void)round, (void)thread, (void)threads;
  }

  // A block's activations stay in the second-level cache; a multiple of the rows of all register tiles.
  static constexpr std::int64_t kBlockRows = 120;
};

// A task whose columns are gradient units: unit() computes one over the rows that part.pass has from its first_row on;
// these sums add up in `out`.
template <Scalar T>
class UnitTask : public PointTask<T> {
 public:
  // out: arena order. Once, at the end, l2 * at is added, where `at` is given.
  explicit UnitTask(T* out, double l2 = 0, const T* at = nullptr) : out_(out), l2_(l2), at_(at) {}
  void columns(const PointPart<T>& part, int round, int thread, int threads) noexcept override;

 protected:
  virtual void unit(const PointPart<T>& part, int round, const GradientUnit& unit, T* out) noexcept = 0;

 private:
  T* out_;
  double l2_;
  const T* at_;
};

}  // namespace krylov
