// What is asked of the heads, in parts.
#pragma once

#include <vector>

#include "krylov/training.h"

namespace krylov {

inline std::vector<LossSpec> losses_of(const std::vector<HeadTask>& tasks) {
  std::vector<LossSpec> losses;
  for (const HeadTask& task : tasks) losses.push_back(task.loss);
  return losses;
}

}  // namespace krylov
