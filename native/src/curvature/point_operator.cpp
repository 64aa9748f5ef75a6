#include "curvature/point_operator.h"

#include "krylov/derivatives.h"

namespace krylov {

template <Scalar T>
JacobianOperator<T>::JacobianOperator(std::shared_ptr<NetworkPoint<T>> point) : point_(std::move(point)) {
  for (const HeadInfo& head : point_->network()->heads()) {
    offsets_.push_back(rows_);
    rows_ += point_->rows() * head.width;
  }
  out_.resize(offsets_.size());
  u_.resize(offsets_.size());
}

template <Scalar T>
void JacobianOperator<T>::apply(Team& team, const T* v, T* out) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (std::size_t h = 0; h < offsets_.size(); ++h) out_[h] = out + offsets_[h];
  point_->jvp(team, v, out_);
}

template <Scalar T>
void JacobianOperator<T>::apply_transposed(Team& team, const T* u, T* out) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (std::size_t h = 0; h < offsets_.size(); ++h) u_[h] = u + offsets_[h];
  point_->vjp(team, u_, out);
}

template <Scalar T>
Status curvature_operator(std::shared_ptr<NetworkPoint<T>> point, Curvature kind,
                          std::shared_ptr<LinearOperator<T>>& out) {
  if (Status s = point->check(kind); !s.ok()) return s;
  point->reserve(kind);
  out = std::make_shared<PointOperator<T>>(std::move(point), kind);
  return Status::success();
}

template <Scalar T>
std::shared_ptr<LinearOperator<T>> jacobian_operator(std::shared_ptr<NetworkPoint<T>> point) {
  point->reserve(Curvature::kGaussNewton);
  return std::make_shared<JacobianOperator<T>>(std::move(point));
}

template Status curvature_operator(std::shared_ptr<NetworkPoint<float>>, Curvature,
                                   std::shared_ptr<LinearOperator<float>>&);
template Status curvature_operator(std::shared_ptr<NetworkPoint<double>>, Curvature,
                                   std::shared_ptr<LinearOperator<double>>&);
template std::shared_ptr<LinearOperator<float>> jacobian_operator(std::shared_ptr<NetworkPoint<float>>);
template std::shared_ptr<LinearOperator<double>> jacobian_operator(std::shared_ptr<NetworkPoint<double>>);
template class JacobianOperator<float>;
template class JacobianOperator<double>;

}  // namespace krylov
