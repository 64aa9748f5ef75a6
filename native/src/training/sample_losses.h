// Losses of a batch sample by sample, for trainers whose update does not leave them behind.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "samples/batch.h"

namespace krylov {

template <Scalar T>
class SampleLosses {
 public:
  SampleLosses(const Network<T>& network, const std::vector<LossSpec>& losses);
  // At `parameters`, as a training pass without dropout has them: `heads` each head's reduced loss, `samples` weighted
  // and summed over heads with their weights. `threads` as in TrainingOptions.
  void compute(const Dataset& data, const T* parameters, int threads, std::vector<double>& heads,
               std::vector<double>& samples);

 private:
  std::vector<LossSpec> losses_;
  Workspace<T> workspace_;
  Batch<T> batch_;
  Pass<T> pass_;
};

}  // namespace krylov
