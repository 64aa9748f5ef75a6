// Evaluation and prediction of a whole data set as jobs of the compute thread,
// on the parameters that were published when the job began.
#include <algorithm>
#include <atomic>
#include <chrono>

#include "krylov/training.h"
#include "samples/batch.h"
#include "training/evaluator.h"
#include "training/tasks.h"

namespace krylov {

namespace {

using Clock = std::chrono::steady_clock;

bool slice_over(Clock::time_point start) noexcept {
  return Clock::now() - start >= std::chrono::milliseconds(Job::kSliceMilliseconds);
}

template <Scalar T>
class Evaluate final : public EvaluationJob<T> {
 public:
  Evaluate(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data, int threads, void (*done)(void*),
           void* context)
      : model_(std::move(model)), data_(std::move(data)), done_(done), context_(context),
        parameters_(static_cast<std::size_t>(model_->network().arena_size())) {
    threads_ = useful_threads(model_->network().forward_cost() * double(data_->rows()), data_->rows(), threads);
  }

  Status prepare(std::vector<HeadTask> tasks, double l2) {
    if (Status s = Evaluator<T>::create(model_->network(), tasks, l2, evaluator_); !s.ok()) return s;
    const std::vector<LossSpec> losses = losses_of(tasks);
    if (Status s = check_dataset<T>(model_->network(), losses, *data_); !s.ok()) return s;
    model_->snapshot(parameters_.span());
    evaluator_->begin(parameters_.data(), *data_, nullptr, data_->rows());
    return Status::success();
  }

  int threads() const noexcept override { return threads_; }
  bool advance(Team& team) noexcept override {
    const Clock::time_point start = Clock::now();
    while (!abort_.load(std::memory_order_relaxed)) {
      if (!evaluator_->advance(team, threads_)) {
        result_ = evaluator_->result();
        return false;
      }
      if (slice_over(start)) return true;
    }
    aborted_ = true;
    return false;
  }
  void finished() noexcept override { done_(context_); }
  void abort() noexcept override { abort_.store(true, std::memory_order_relaxed); }
  bool aborted() const noexcept override { return aborted_; }
  const Evaluation& result() const noexcept override { return result_; }

 private:
  std::shared_ptr<Model<T>> model_;
  std::shared_ptr<const Dataset> data_;
  void (*done_)(void*);
  void* context_;
  AlignedBuffer<T> parameters_;
  std::unique_ptr<Evaluator<T>> evaluator_;
  Evaluation result_;
  int threads_ = 1;
  std::atomic<bool> abort_{false};
  bool aborted_ = false;
};

template <Scalar T>
class Predict final : public PredictionJob<T> {
 public:
  Predict(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data, Output output, std::vector<Link> links,
          int threads, void (*done)(void*), void* context)
      : model_(std::move(model)), data_(std::move(data)), output_(output), links_(std::move(links)), done_(done),
        context_(context), parameters_(static_cast<std::size_t>(model_->network().arena_size())),
        workspace_(model_->network(), kChunkRows, WorkspaceKind::kForward) {
    const Network<T>& network = model_->network();
    threads_ = useful_threads(network.forward_cost() * double(data_->rows()), data_->rows(), threads);
    for (const HeadInfo& head : network.heads()) {
      const std::size_t element = output == Output::kClass ? sizeof(std::int32_t) : sizeof(T) * std::size_t(head.width);
      results_.emplace_back(static_cast<std::size_t>(data_->rows()) * element);
      destinations_.push_back(results_.back().data());
    }
    model_->snapshot(parameters_.span());
    pass_.network = &network;
    pass_.workspace = &workspace_;
    pass_.parameters = parameters_.data();
  }

  int threads() const noexcept override { return threads_; }
  bool advance(Team& team) noexcept override {
    const Clock::time_point start = Clock::now();
    while (!abort_.load(std::memory_order_relaxed)) {
      if (position_ >= data_->rows()) return false;
      pass_.rows = std::min(kChunkRows, data_->rows() - position_);
      team.run(threads_, [](void* job, int t, int n) noexcept { static_cast<Predict*>(job)->body(t, n); }, this);
      position_ += pass_.rows;
      if (position_ < data_->rows() && slice_over(start)) return true;
    }
    aborted_ = true;
    return false;
  }
  void finished() noexcept override { done_(context_); }
  void abort() noexcept override { abort_.store(true, std::memory_order_relaxed); }
  bool aborted() const noexcept override { return aborted_; }
  std::span<const std::byte> result(std::size_t head) const noexcept override { return results_[head].span(); }

 private:
  static constexpr std::int64_t kChunkRows = 512;

  void body(int thread, int threads) noexcept {
    const Network<T>& network = model_->network();
    const std::int64_t first = pass_.rows * thread / threads;
    const std::int64_t count = pass_.rows * (thread + 1) / threads - first;
    if (count == 0) return;
    const auto* rows = static_cast<const std::byte*>(data_->inputs()) +
                       static_cast<std::size_t>((position_ + first) * data_->columns()) * size_of(data_->dtype());
    gather_inputs<T>(network, rows, data_->dtype(), nullptr, count,
                     workspace_.activation(0) + first * network.buffers()[0].ld);
    pass_.forward(first, count);
    write_outputs<T>(network, workspace_, first, count, output_, links_, destinations_, position_ + first);
  }

  std::shared_ptr<Model<T>> model_;
  std::shared_ptr<const Dataset> data_;
  Output output_;
  std::vector<Link> links_;
  void (*done_)(void*);
  void* context_;
  AlignedBuffer<T> parameters_;
  Workspace<T> workspace_;
  Pass<T> pass_;
  std::vector<AlignedBuffer<std::byte>> results_;
  std::vector<void*> destinations_;
  std::int64_t position_ = 0;
  int threads_ = 1;
  std::atomic<bool> abort_{false};
  bool aborted_ = false;
};

}  // namespace

template <Scalar T>
Status create_evaluation(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data,
                         std::vector<HeadTask> tasks, double l2, int threads, void (*done)(void*), void* context,
                         std::shared_ptr<EvaluationJob<T>>& out) {
  auto job = std::make_shared<Evaluate<T>>(std::move(model), std::move(data), threads, done, context);
  if (Status s = job->prepare(std::move(tasks), l2); !s.ok()) return s;
  out = std::move(job);
  return Status::success();
}

template <Scalar T>
Status create_prediction(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data, Output output,
                         std::vector<Link> links, int threads, void (*done)(void*), void* context,
                         std::shared_ptr<PredictionJob<T>>& out) {
  const Network<T>& network = model->network();
  if (data->columns() != network.inputs()) {
    return Status::error(ErrorCode::kShape, "inputs", "as many columns as the model has inputs", data->columns(),
                         network.inputs());
  }
  if (links.size() != network.heads().size()) {
    return Status::error(ErrorCode::kShape, "links", "one link for each head", static_cast<std::int64_t>(links.size()),
                         static_cast<std::int64_t>(network.heads().size()));
  }
  out = std::make_shared<Predict<T>>(std::move(model), std::move(data), output, std::move(links), threads, done, context);
  return Status::success();
}

#define KRYLOV_INSTANTIATE(T)                                                                                        \
  template Status create_evaluation(std::shared_ptr<Model<T>>, std::shared_ptr<const Dataset>, std::vector<HeadTask>, \
                                    double, int, void (*)(void*), void*, std::shared_ptr<EvaluationJob<T>>&);         \
  template Status create_prediction(std::shared_ptr<Model<T>>, std::shared_ptr<const Dataset>, Output,                \
                                    std::vector<Link>, int, void (*)(void*), void*, std::shared_ptr<PredictionJob<T>>&);
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
