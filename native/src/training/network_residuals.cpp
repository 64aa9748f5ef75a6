#include "training/network_residuals.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "training/normal_equations.h"

namespace krylov {

namespace {

// Rows of the Jacobian that are there at once: its columns stay in the second-level cache while they are multiplied.
constexpr std::int64_t kJacobianRows = 256;
constexpr std::int64_t kMostChunkRows = 256;

template <Scalar T>
std::int64_t outputs_of(const Network<T>& network) noexcept {
  std::int64_t outputs = 0;
  for (const HeadInfo& head : network.heads()) outputs += head.width;
  return outputs;
}

template <Scalar T>
std::int64_t chunk_rows(const Network<T>& network) noexcept {
  return std::clamp<std::int64_t>(kJacobianRows / outputs_of(network), 1, kMostChunkRows);
}

}  // namespace

template <Scalar T>
bool NetworkResiduals<T>::exist(const std::vector<LossSpec>& losses) noexcept {
  return std::all_of(losses.begin(), losses.end(),
                     [](const LossSpec& loss) { return loss.kind == Loss::kMeanSquaredError; });
}

template <Scalar T>
NetworkResiduals<T>::NetworkResiduals(std::shared_ptr<const Network<T>> network, const std::vector<LossSpec>& losses)
    : network_(std::move(network)), losses_(losses), scales_(losses.size(), 1.0), outputs_(outputs_of(*network_)),
      columns_(network_->parameter_count()), ld_(equation_stride(columns_)),
      workspace_(*network_, chunk_rows(*network_), WorkspaceKind::kBackward),
      batch_(*network_, losses, workspace_.max_rows()), transposed_(static_cast<std::size_t>(network_->transposed_size())),
      residuals_(static_cast<std::size_t>(workspace_.max_rows())) {
  pass_.network = network_.get();
  pass_.workspace = &workspace_;
  pass_.transposed = transposed_.data();
}

template <Scalar T>
void NetworkResiduals<T>::select(std::shared_ptr<const Dataset> data, const std::uint32_t* index, std::int64_t rows) {
  data_ = std::move(data);
  index_ = index;
  row_count_ = rows;
  double weights = double(rows);
  if (const double* w = data_->weights()) {
    weights = 0;
    for (std::int64_t r = 0; r < rows; ++r) weights += w[index != nullptr ? std::int64_t(index[r]) : r];
  }
  std::vector<double> factors;
  for (std::size_t h = 0; h < losses_.size(); ++h) {
    const LossSpec& loss = losses_[h];
    double factor = loss.weight * loss.scale;
    if (!loss.sum_outputs) factor /= double(network_->heads()[h].width);
    if (!loss.sum_reduction) factor /= loss.normalize_weights ? (weights > 0 ? weights : 1.0) : double(rows);
    factors.push_back(factor);
  }
  const double largest = *std::max_element(factors.begin(), factors.end());
  factor_ = largest > 0 ? largest : 1.0;
  for (std::size_t h = 0; h < factors.size(); ++h) scales_[h] = std::sqrt(std::max(0.0, factors[h] / factor_));
}

template <Scalar T>
double NetworkResiduals<T>::cost(bool equations) const noexcept {
  if (!equations) return network_->forward_cost();
  const double n = double(columns_);
  return double(outputs_) * (network_->step_cost() + 0.5 * n * n);
}

template <Scalar T>
void NetworkResiduals<T>::begin(const T* x, double* jtj, double* jte, int threads) {
  threads_ = std::clamp(threads, 1, Team::kMaxThreads);
  x_ = x, jtj_ = jtj, jte_ = jte;
  position_ = 0, sum_ = 0;
  pass_.parameters = x;
  if (jtj == nullptr) return;
  if (jacobian_.empty()) {
    jacobian_ = AlignedBuffer<double>(static_cast<std::size_t>(workspace_.max_rows() * outputs_ * ld_));
  }
  const auto gradients = static_cast<std::size_t>(threads_ * columns_);
  if (sample_.size() < gradients) sample_ = AlignedBuffer<T>(gradients);
  network_->transpose(x, transposed_.data());
  std::fill_n(jtj, columns_ * columns_, 0.0);
  std::fill_n(jte, columns_, 0.0);
}

template <Scalar T>
bool NetworkResiduals<T>::chunk(Team& team) noexcept {
  const std::int64_t count = std::min(workspace_.max_rows(), row_count_ - position_);
  batch_.select(*data_, index_ != nullptr ? index_ + position_ : nullptr, count, index_ != nullptr ? 0 : position_);
  pass_.rows = count;
  position_ += count;
  team_ = &team;
  team.run(
      threads_,
      [](void* context, int t, int n) noexcept {
        auto& self = *static_cast<NetworkResiduals*>(context);
        self.rows(t, n);
        if (self.jtj_ == nullptr) return;
        self.team_->barrier().wait(t, n);
        add_equations(self.jacobian_.data(), self.ld_, self.pass_.rows * self.outputs_, self.columns_, self.jtj_,
                      self.jte_, t, n);
        if (self.position_ < self.row_count_) return;
        self.team_->barrier().wait(t, n);
        mirror_equations(self.jtj_, self.columns_, t, n);
      },
      this);
  sum_ += sum_in_order({residuals_.data(), static_cast<std::size_t>(count)});
  return position_ < row_count_;
}

// Residuals of the thread's rows, and with the equations their derivatives, one backward pass an output.
template <Scalar T>
void NetworkResiduals<T>::rows(int thread, int threads) noexcept {
  const std::int64_t first = pass_.rows * thread / threads;
  const std::int64_t count = pass_.rows * (thread + 1) / threads - first;
  if (count == 0) return;
  batch_.load(pass_, first, count);
  pass_.forward(first, count);
  const double* weights = batch_.sample_weights();
  for (std::int64_t r = first; r < first + count; ++r) {
    const double root = weights != nullptr ? std::sqrt(weights[r]) : 1.0;
    double squares = 0;
    std::int64_t row = r * outputs_;
    for (std::size_t h = 0; h < losses_.size(); ++h) {
      const HeadInfo& head = network_->heads()[h];
      const T* o = workspace_.activation(head.buffer) + r * network_->buffers()[static_cast<std::size_t>(head.buffer)].ld;
      const T* y = batch_.targets(h) + r * batch_.ld_targets(h);
      for (std::int64_t k = 0; k < head.width; ++k, ++row) {
        const double e = scales_[h] * root * (double(o[k]) - double(y[k]));
        squares += e * e;
        if (jtj_ != nullptr) jacobian_[static_cast<std::size_t>(row * ld_ + columns_)] = e;
      }
    }
    residuals_[static_cast<std::size_t>(r)] = squares;
  }
  if (jtj_ == nullptr) return;
  T* sample = sample_.data() + thread * columns_;
  std::int64_t output = 0;
  for (std::size_t h = 0; h < losses_.size(); ++h) {
    for (std::int64_t k = 0; k < network_->heads()[h].width; ++k, ++output) {
      for (std::size_t other = 0; other < losses_.size(); ++other) {
        const int buffer = network_->heads()[other].buffer;
        const std::int64_t ld = network_->buffers()[static_cast<std::size_t>(buffer)].ld;
        T* delta = workspace_.delta(buffer) + first * ld;
        std::fill_n(delta, count * ld, T(0));
        if (other != h) continue;
        for (std::int64_t r = 0; r < count; ++r) delta[r * ld + k] = T(1);
      }
      pass_.backward(first, count);
      for (std::int64_t r = first; r < first + count; ++r) {
        pass_.per_sample_gradient(r, sample);
        const double scale = scales_[h] * (weights != nullptr ? std::sqrt(weights[r]) : 1.0);
        double* to = jacobian_.data() + (r * outputs_ + output) * ld_;
        for (std::int64_t p = 0; p < columns_; ++p) to[p] = scale * double(sample[p]);
      }
    }
  }
}

template class NetworkResiduals<float>;
template class NetworkResiduals<double>;

}  // namespace krylov
