#include "training/evaluator.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernel_table.h"
#include "training/tasks.h"

namespace krylov {

namespace {
constexpr std::int64_t kChunkRows = 512;
}

template <Scalar T>
Evaluator<T>::Evaluator(const Network<T>& network, const std::vector<HeadTask>& tasks, double l2)
    : network_(&network), tasks_(tasks), l2_(l2), workspace_(network, kChunkRows, WorkspaceKind::kForward),
      batch_(network, losses_of(tasks), kChunkRows), loss_sums_(tasks.size()), divisors_(tasks.size()) {
  for (std::size_t h = 0; h < tasks.size(); ++h) {
    metrics_.emplace_back();
    for (const MetricSpec& metric : tasks[h].metrics) {
      metrics_.back().emplace_back(metric, tasks[h].loss, network.heads()[h].width);
    }
  }
  pass_.network = &network;
  pass_.workspace = &workspace_;
}

template <Scalar T>
Status Evaluator<T>::create(const Network<T>& network, const std::vector<HeadTask>& tasks, double l2,
                            std::unique_ptr<Evaluator>& out) {
  const std::vector<LossSpec> losses = losses_of(tasks);
  if (Status s = check_losses<T>(network, losses); !s.ok()) return s;
  for (std::size_t h = 0; h < tasks.size(); ++h) {
    for (const MetricSpec& metric : tasks[h].metrics) {
      if (Status s = check_metric(metric, tasks[h].loss, network.heads()[h].width); !s.ok()) return s;
    }
  }
  out.reset(new Evaluator(network, tasks, l2));
  return Status::success();
}

template <Scalar T>
void Evaluator<T>::begin(const T* parameters, const Dataset& data, const std::uint32_t* index, std::int64_t count) {
  parameters_ = parameters;
  pass_.parameters = parameters;
  data_ = &data;
  index_ = index;
  count_ = count;
  position_ = 0;
  std::fill(loss_sums_.begin(), loss_sums_.end(), 0.0);
  std::fill(divisors_.begin(), divisors_.end(), 0.0);
  for (auto& head : metrics_) {
    for (MetricAccumulator& metric : head) {
      metric.reset();
      metric.reserve(count);
    }
  }
}

template <Scalar T>
bool Evaluator<T>::advance(Team& team, int threads) noexcept {
  if (position_ >= count_) return false;
  const std::int64_t rows = std::min(kChunkRows, count_ - position_);
  batch_.select(*data_, index_ != nullptr ? index_ + position_ : nullptr, rows, position_);
  pass_.rows = rows;
  team.run(
      threads,
      [](void* context, int thread, int of) noexcept {
        Evaluator& self = *static_cast<Evaluator*>(context);
        const std::int64_t first = self.pass_.rows * thread / of;
        const std::int64_t count = self.pass_.rows * (thread + 1) / of - first;
        if (count == 0) return;
        self.batch_.load(self.pass_, first, count);
        self.pass_.forward(first, count);
        self.batch_.evaluate(self.pass_, Deltas::kNone, first, count);
      },
      this);
  add_chunk();
  position_ += rows;
  return position_ < count_;
}

template <Scalar T>
void Evaluator<T>::add_chunk() noexcept {
  for (std::size_t h = 0; h < tasks_.size(); ++h) {
    loss_sums_[h] += sum_in_order(batch_.sample_losses(h));
    divisors_[h] += tasks_[h].loss.sum_reduction ? 0.0 : batch_.mass(h);
    const int buffer = network_->heads()[h].buffer;
    const std::int64_t ld = network_->buffers()[static_cast<std::size_t>(buffer)].ld;
    for (MetricAccumulator& metric : metrics_[h]) {
      metric.add(workspace_.activation(buffer), ld, batch_.rows(), batch_.labels(h), batch_.targets(h),
                 batch_.ld_targets(h), batch_.sample_weights());
    }
  }
}

template <Scalar T>
Evaluation Evaluator<T>::result() const {
  Evaluation result;
  for (std::size_t h = 0; h < tasks_.size(); ++h) {
    HeadEvaluation head;
    const double divisor = tasks_[h].loss.sum_reduction ? 1.0 : divisors_[h];
    head.loss = divisor > 0 ? loss_sums_[h] / divisor : std::numeric_limits<double>::quiet_NaN();
    for (const MetricAccumulator& metric : metrics_[h]) head.metrics.push_back(metric.value());
    result.loss += tasks_[h].loss.weight * head.loss;
    result.heads.push_back(std::move(head));
  }
  if (l2_ != 0) result.loss += 0.5 * l2_ * kernels<T>().sum_squares(parameters_, network_->arena_size());
  return result;
}

template class Evaluator<float>;
template class Evaluator<double>;

}  // namespace krylov
