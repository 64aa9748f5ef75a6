#include "training/network_objective.h"

#include <algorithm>
#include <limits>

#include "curvature/point_operator.h"
#include "krylov/estimates.h"
#include "krylov/training.h"

namespace krylov {

namespace {

// Rows of the workspaces. Gradients are sums over rows that need no second look, so a part of them at a time will do;
// a product that has all its rows there saves the forward and backward pass.
constexpr std::int64_t kGradientRows = 2048;
constexpr std::int64_t kCurvatureRows = 8192;

constexpr Need kNeedOf[] = {kNeedsHessian, kNeedsGaussNewton, kNeedsFisher, kNeedsEmpiricalFisher};
constexpr Curvature kCurvatures[] = {Curvature::kHessian, Curvature::kGaussNewton, Curvature::kFisher,
                                     Curvature::kEmpiricalFisher};

}  // namespace

template <Scalar T>
Status NetworkObjective<T>::create(std::shared_ptr<const Network<T>> network, std::vector<LossSpec> losses, double l2,
                                   int threads, std::uint64_t seed, std::unique_ptr<NetworkObjective>& out) {
  std::unique_ptr<NetworkObjective> objective(
      new NetworkObjective(std::move(network), std::move(losses), l2, threads, seed));
  if (Status s = objective->prepare(); !s.ok()) return s;
  out = std::move(objective);
  return Status::success();
}

template <Scalar T>
Status NetworkObjective<T>::prepare() {
  // Of one row, until data is selected: it knows what the losses and layers have.
  for (const Samples samples : {Samples::kGradient, Samples::kCurvature}) {
    if (Status s = make_point(samples, 1); !s.ok()) return s;
  }
  provides_ = kNeedsSquares | kNeedsNetwork;
  for (std::size_t i = 0; i < std::size(kCurvatures); ++i) {
    if (points_[0]->check(kCurvatures[i]).ok()) provides_ |= kNeedOf[i];
  }
  if ((provides_ & kNeedsFisher) != 0) provides_ |= kNeedsSampledLabels;
  if (NetworkResiduals<T>::exist(losses_) && network_->differentiable()) {
    provides_ |= kNeedsResiduals;
    residuals_ = std::make_unique<NetworkResiduals<T>>(network_, losses_);
  }
  return Status::success();
}

template <Scalar T>
Status NetworkObjective<T>::make_point(Samples samples, std::int64_t rows) {
  const auto at = static_cast<std::size_t>(samples);
  std::unique_ptr<NetworkPoint<T>> point;
  if (Status s = NetworkPoint<T>::create(network_, losses_, l2_, rows, point); !s.ok()) return s;
  point->set_threads(asked_);
  points_[at] = std::move(point);
  point_rows_[at] = rows;
  return Status::success();
}

template <Scalar T>
Status NetworkObjective<T>::select(Samples samples, std::shared_ptr<const Dataset> data, const std::uint32_t* index,
                                   std::int64_t rows) {
  if (samples == Samples::kSelection) own_selection_ = true;
  const auto at = static_cast<std::size_t>(samples);
  const std::int64_t wanted = std::min(rows, samples == Samples::kCurvature ? kCurvatureRows : kGradientRows);
  if (wanted > point_rows_[at]) {
    if (Status s = make_point(samples, wanted); !s.ok()) return s;
  }
  rows_[at] = {data.get(), index, rows};
  if (samples == Samples::kGradient && residuals_ != nullptr) residuals_->select(data, index, rows);
  return points_[at]->set_data(std::move(data), index, rows);
}

template <Scalar T>
bool NetworkObjective<T>::same_samples(Samples a, Samples b) const noexcept {
  return rows_[index_of(a)] == rows_[index_of(b)];
}

template <Scalar T>
int NetworkObjective<T>::threads() const noexcept {
  int threads = 1;
  for (const auto& point : points_) {
    if (point != nullptr) threads = std::max(threads, point->threads());
  }
  return asked_ > 0 ? std::min(threads, asked_) : threads;
}

template <Scalar T>
Procedure<double> NetworkObjective<T>::value(Session& session, const T* x, Samples samples) {
  co_await session.pause();
  NetworkPoint<T>& point = at(samples);
  point.set_parameters(x);
  co_return co_await point.loss(session);
}

template <Scalar T>
Procedure<double> NetworkObjective<T>::gradient(Session& session, const T* x, Samples samples, T* g, T* squares) {
  co_await session.pause();
  NetworkPoint<T>& point = at(samples);
  point.set_parameters(x);
  co_return co_await point.gradient(session, g, squares);
}

template <Scalar T>
Procedure<OperatorPort<T>> NetworkObjective<T>::curvature(Session& session, const T* x, Samples samples,
                                                          Curvature kind) {
  co_await session.pause();
  const std::shared_ptr<NetworkPoint<T>>& point = points_[index_of(samples)];
  point->set_parameters(x);
  point->reserve(kind);
  co_return OperatorPort<T>(std::make_shared<PointOperator<T>>(point, kind));
}

template <Scalar T>
Procedure<double> NetworkObjective<T>::residuals(Session& session, const T* x, double* jtj, double* jte) {
  const std::int64_t rows = at(Samples::kGradient).rows();
  // Equations are solved in between by one thread, while the others fall asleep: a share of the work has to pay for
  // waking them too.
  constexpr double kWaking = 5;
  const int threads = useful_threads(residuals_->cost(jtj != nullptr) * double(rows) / kWaking, rows, asked_);
  residuals_->begin(x, jtj, jte, threads);
  bool more = true;
  while (more && !session.stopped()) {
    co_await session.pause();
    more = residuals_->chunk(session.team());
  }
  co_return residuals_->sum();
}

template <Scalar T>
Procedure<double> NetworkObjective<T>::sampled_gradient(Session& session, const T* x, Samples samples,
                                                        std::uint64_t draw, T* g) {
  co_await session.pause();
  NetworkPoint<T>& point = at(samples);
  point.set_parameters(x);
  const Status status = krylov::sampled_gradient<T>(point, session.team(), {1, seed_, draw}, g);
  co_return status.ok() ? 0.0 : std::numeric_limits<double>::quiet_NaN();
}

template <Scalar T>
NetworkPoint<T>* NetworkObjective<T>::point(Session&, const T* x, Samples samples) {
  NetworkPoint<T>& point = at(samples);
  point.set_parameters(x);
  return &point;
}

template class NetworkObjective<float>;
template class NetworkObjective<double>;

}  // namespace krylov
