// Gradient units shared out to the threads of a team: runs of about equal cost.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "krylov/network.h"

namespace krylov {

class UnitShares {
 public:
  UnitShares() = default;
  explicit UnitShares(std::span<const GradientUnit> units) {
    double sum = 0;
    costs_.push_back(0);
    for (const GradientUnit& unit : units) costs_.push_back(sum += unit.cost);
  }
  // Units [first, last) of a thread.
  std::pair<std::size_t, std::size_t> of(int thread, int threads) const noexcept {
    return {thread == 0 ? 0 : bound(thread, threads),
            thread + 1 == threads ? costs_.size() - 1 : bound(thread + 1, threads)};
  }

 private:
  std::size_t bound(int thread, int threads) const noexcept {
    const double target = costs_.back() * double(thread) / double(threads);
    const auto above = std::lower_bound(costs_.begin(), costs_.end(), target);
    const auto at = static_cast<std::size_t>(above - costs_.begin());
    return at > 0 && target - costs_[at - 1] < *above - target ? at - 1 : at;
  }
  std::vector<double> costs_;  // running sum
};

}  // namespace krylov
