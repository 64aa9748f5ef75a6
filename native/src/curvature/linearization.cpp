// A NetworkPoint in public order: what it computes runs on the team, from the
// thread of the caller.
#include "krylov/derivatives.h"

#include <algorithm>

#include "curvature/network_point.h"
#include "curvature/point_tasks.h"
#include "krylov/threads.h"

namespace krylov {

namespace {

// A call with less work than this is over sooner on the caller's thread than the team has been asked.
constexpr double kWorthHandingOver = 12e6;  // multiply-adds

template <Scalar T>
class PointInPublicOrder final : public Linearization<T> {
 public:
  explicit PointInPublicOrder(std::shared_ptr<NetworkPoint<T>> point)
      : point_(std::move(point)), arena_(static_cast<std::size_t>(network().arena_size())) {
    const double cost = network().step_cost() * double(rows());
    threads_ = cost < kWorthHandingOver ? 1 : point_->threads();
    lead([&](Team& team) { loss_ = point_->loss(team); });
    sample_losses_.assign(static_cast<std::size_t>(rows()), 0.0);
    for (std::size_t h = 0; h < network().heads().size(); ++h) {
      const auto losses = point_->sample_losses(h);
      for (std::size_t r = 0; r < losses.size(); ++r) sample_losses_[r] += point_->losses()[h].weight * losses[r];
    }
  }

  const Network<T>& network() const noexcept override { return *point_->network(); }
  const std::shared_ptr<NetworkPoint<T>>& point() const noexcept override { return point_; }
  VectorLayout<T> layout() const noexcept override { return point_->network(); }
  int threads() const noexcept override { return point_->threads(); }
  double l2() const noexcept override { return point_->l2(); }
  std::int64_t rows() const noexcept override { return point_->rows(); }
  std::int64_t bytes() const noexcept override {
    return point_->bytes() + static_cast<std::int64_t>(arena_.bytes() + sample_losses_.size() * sizeof(double));
  }
  double loss() const noexcept override { return loss_; }
  double head_loss(std::size_t head) const noexcept override { return point_->head_loss(head); }
  std::span<const double> sample_losses() const noexcept override { return sample_losses_; }

  void outputs(std::size_t head, std::span<T> out) override { run(OutputsTask<T>(head, out.data())); }
  void per_sample_gradients(std::int64_t first, std::int64_t count, std::span<T> out) override {
    if (count > 0) run(PerSampleTask<T>(first, count, out.data()));
  }
  void per_sample_norms(std::span<double> out) override { run(NormsTask<T>(out.data())); }

  void gradient(std::span<T> out) override {
    lead([&](Team& team) { point_->gradient(team, arena_.data(), nullptr); });
    network().template to_public<T>(arena_.span(), out);
  }
  void jvp(std::span<const T> v, std::span<T* const> out) override {
    point_->reserve(Curvature::kGaussNewton);
    network().template to_arena<T>(v, arena_.span());
    lead([&](Team& team) { point_->jvp(team, arena_.data(), out); });
  }
  void vjp(std::span<const T* const> u, std::span<T> out) override {
    point_->reserve(Curvature::kGaussNewton);
    lead([&](Team& team) { point_->vjp(team, u, arena_.data()); });
    network().template to_public<T>(arena_.span(), out);
  }

 private:
  template <class Body>
  void lead(Body body) {
    ComputeThread::instance().lead_and_wait(
        threads_, [](void* context, Team& team) noexcept { (*static_cast<Body*>(context))(team); }, &body);
  }
  template <class Task>
  void run(Task task) {
    lead([&](Team& team) { point_->run(team, task); });
  }

  std::shared_ptr<NetworkPoint<T>> point_;
  AlignedBuffer<T> arena_;  // a vector on its way between the orders
  std::vector<double> sample_losses_;
  double loss_ = 0;
  int threads_ = 1;
};

}  // namespace

template <Scalar T>
Status Linearization<T>::create(const Model<T>& model, std::shared_ptr<const Dataset> batch,
                                std::vector<LossSpec> losses, double l2, std::int64_t max_rows,
                                std::unique_ptr<Linearization>& out) {
  const std::int64_t rows = batch->rows();
  if (rows < 1) return Status::error(ErrorCode::kShape, "batch", "at least one row", rows);
  // Compiled again, so that a point may outlive its model.
  std::unique_ptr<const Network<T>> network;
  if (Status s = Network<T>::create(model.network().spec(), network); !s.ok()) return s;
  std::unique_ptr<NetworkPoint<T>> point;
  if (Status s = NetworkPoint<T>::create(std::move(network), std::move(losses), l2,
                                         std::min(rows, max_rows > 0 ? max_rows : kLinearizationRows), point);
      !s.ok()) {
    return s;
  }
  if (Status s = point->set_data(std::move(batch), nullptr, rows); !s.ok()) return s;
  AlignedBuffer<T> parameters(static_cast<std::size_t>(model.network().arena_size()));
  model.snapshot(parameters.span());
  point->set_parameters(parameters.data());
  out = std::make_unique<PointInPublicOrder<T>>(std::move(point));
  return Status::success();
}
template Status Linearization<float>::create(const Model<float>&, std::shared_ptr<const Dataset>,
                                             std::vector<LossSpec>, double, std::int64_t,
                                             std::unique_ptr<Linearization>&);
template Status Linearization<double>::create(const Model<double>&, std::shared_ptr<const Dataset>,
                                              std::vector<LossSpec>, double, std::int64_t,
                                              std::unique_ptr<Linearization>&);

}  // namespace krylov
