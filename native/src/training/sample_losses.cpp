#include "training/sample_losses.h"

#include <algorithm>

#include "krylov/threads.h"
#include "krylov/training.h"

namespace krylov {

namespace {
constexpr std::int64_t kChunkRows = 512;
}

template <Scalar T>
SampleLosses<T>::SampleLosses(const Network<T>& network, const std::vector<LossSpec>& losses)
    : losses_(losses), workspace_(network, kChunkRows, WorkspaceKind::kForward), batch_(network, losses, kChunkRows) {
  pass_.network = &network;
  pass_.workspace = &workspace_;
}

template <Scalar T>
void SampleLosses<T>::compute(const Dataset& data, const T* parameters, int threads, std::vector<double>& heads,
                              std::vector<double>& samples) {
  pass_.parameters = parameters;
  heads.assign(losses_.size(), 0.0);
  samples.assign(static_cast<std::size_t>(data.rows()), 0.0);
  std::vector<double> divisors(losses_.size(), 0.0);
  const double cost = pass_.network->forward_cost();
  for (std::int64_t row = 0; row < data.rows(); row += kChunkRows) {
    const std::int64_t count = std::min(kChunkRows, data.rows() - row);
    batch_.select(data, nullptr, count, row);
    pass_.rows = count;
    ComputeThread::instance().run_and_wait(
        useful_threads(cost * double(count), count, threads),
        [](void* context, int thread, int of) noexcept {
          auto& self = *static_cast<SampleLosses*>(context);
          const std::int64_t first = self.pass_.rows * thread / of;
          const std::int64_t part = self.pass_.rows * (thread + 1) / of - first;
          if (part == 0) return;
          self.batch_.load(self.pass_, first, part);
          self.pass_.forward(first, part);
          self.batch_.evaluate(self.pass_, Deltas::kNone, first, part);
        },
        this);
    for (std::size_t h = 0; h < losses_.size(); ++h) {
      const std::span<const double> losses = batch_.sample_losses(h);
      heads[h] += sum_in_order(losses);
      if (!losses_[h].sum_reduction) divisors[h] += batch_.mass(h);
      for (std::int64_t r = 0; r < count; ++r) {
        samples[static_cast<std::size_t>(row + r)] += losses_[h].weight * losses[static_cast<std::size_t>(r)];
      }
    }
  }
  for (std::size_t h = 0; h < losses_.size(); ++h) {
    if (divisors[h] > 0) heads[h] /= divisors[h];
  }
}

template class SampleLosses<float>;
template class SampleLosses<double>;

}  // namespace krylov
