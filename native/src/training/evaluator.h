// Losses and metrics over a data set, a chunk of rows at a time: the team's
// threads run the forward pass over their rows of the chunk, then one thread
// adds the chunk in the order of its rows, so that sums do not depend on threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "krylov/metrics.h"
#include "krylov/training.h"
#include "samples/batch.h"

namespace krylov {

template <Scalar T>
class Evaluator {
 public:
  // Checks tasks and metrics against the network.
  static Status create(const Network<T>& network, const std::vector<HeadTask>& tasks, double l2,
                       std::unique_ptr<Evaluator>& out);

  // Rows of `data` to go over: index[0..count), or all in order where index is null.
  void begin(const T* parameters, const Dataset& data, const std::uint32_t* index, std::int64_t count);
  // One more chunk; false when none is left.
  bool advance(Team& team, int threads) noexcept;
  std::int64_t done() const noexcept { return position_; }
  Evaluation result() const;

 private:
  Evaluator(const Network<T>& network, const std::vector<HeadTask>& tasks, double l2);
  void add_chunk() noexcept;

  const Network<T>* network_;
  std::vector<HeadTask> tasks_;
  double l2_;
  Workspace<T> workspace_;
  Batch<T> batch_;
  Pass<T> pass_;
  const T* parameters_ = nullptr;
  const Dataset* data_ = nullptr;
  const std::uint32_t* index_ = nullptr;
  std::int64_t count_ = 0, position_ = 0;
  std::vector<std::vector<MetricAccumulator>> metrics_;  // by head
  std::vector<double> loss_sums_, divisors_;
};

}  // namespace krylov
