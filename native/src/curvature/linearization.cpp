// A forward and a backward pass at a batch, kept with the parameters they were
// made at. Deltas are those of each sample's own weighted loss; what divides by
// the batch divides at the end.
#include "krylov/derivatives.h"

#include <cmath>
#include <cstring>

#include "kernels/kernel_table.h"
#include "krylov/threads.h"
#include "network/layer.h"
#include "samples/batch.h"

namespace krylov {

namespace {

template <Scalar T>
class Point final : public Linearization<T> {
 public:
  // Compiles the network again, so that a point may outlive its model.
  Point(std::unique_ptr<const Network<T>> network, std::vector<LossSpec> losses, std::int64_t rows, double l2)
      : l2_(l2), rows_(rows), network_(std::move(network)), batch_(*network_, std::move(losses), rows) {}

  void prepare(const Model<T>& model, const Dataset& data) {
    workspace_ = std::make_unique<Workspace<T>>(*network_, rows_, WorkspaceKind::kTangent);
    parameters_ = AlignedBuffer<T>(static_cast<std::size_t>(network_->arena_size()));
    transposed_ = AlignedBuffer<T>(static_cast<std::size_t>(network_->transposed_size()));
    direction_ = AlignedBuffer<T>(parameters_.size());
    model.snapshot(parameters_.span());
    network_->transpose(parameters_.data(), transposed_.data());
    pass_.network = network_.get();
    pass_.workspace = workspace_.get();
    pass_.parameters = parameters_.data();
    pass_.transposed = transposed_.data();
    pass_.rows = rows_;
    batch_.select(data, nullptr, rows_);
    batch_.load(pass_, 0, rows_);
    pass_.forward(0, rows_);
    batch_.evaluate(pass_, Deltas::kPerSample, 0, rows_);
    pass_.backward(0, rows_);
    loss_ = batch_.loss();
    if (l2_ != 0) loss_ += 0.5 * l2_ * kernels<T>().sum_squares(parameters_.data(), network_->arena_size());
    sample_losses_.assign(static_cast<std::size_t>(rows_), 0.0);
    for (std::size_t h = 0; h < batch_.losses().size(); ++h) {
      const auto losses = batch_.sample_losses(h);
      for (std::size_t r = 0; r < losses.size(); ++r) sample_losses_[r] += batch_.losses()[h].weight * losses[r];
    }
  }

  const Network<T>& network() const noexcept override { return *network_; }
  std::int64_t rows() const noexcept override { return rows_; }
  double loss() const noexcept override { return loss_; }
  double head_loss(std::size_t head) const noexcept override { return batch_.head_loss(head); }
  std::span<const double> sample_losses() const noexcept override { return sample_losses_; }

  void outputs(std::size_t head, std::span<T> out) const noexcept override {
    copy_head(head, workspace_->activation(network_->heads()[head].buffer), out.data());
  }

  void gradient(std::span<T> out) noexcept override {
    // With one divisor for all heads the sum divides at the end; otherwise the
    // deltas carry each head's own.
    const bool common = common_divisor();
    if (!common) seed_and_backward(Deltas::kReduced);
    collect(common ? static_cast<T>(1.0 / batch_.divisor(0)) : T(1), out);
    if (!common) seed_and_backward(Deltas::kPerSample);
    if (l2_ == 0) return;
    network_->template to_public<T>(parameters_.span(), scratch(out.size()));
    kernels<T>().scaled_sum(out.data(), static_cast<T>(l2_), scratch_.data(), out.data(),
                            static_cast<std::int64_t>(out.size()));
  }

  void per_sample_gradients(std::int64_t first, std::int64_t count, std::span<T> out) const noexcept override {
    const auto size = static_cast<std::size_t>(network_->parameter_count());
    for (std::int64_t r = 0; r < count; ++r) {
      pass_.per_sample_gradient(first + r, out.data() + static_cast<std::size_t>(r) * size);
    }
  }

  // |g_i|^2 a dense layer: |delta|^2 (|a|^2 + 1) (Goodfellow 2015); other layers
  // through their gradient, which is as small as the layer is wide.
  void per_sample_norms(std::span<double> out) const noexcept override {
    for (std::int64_t r = 0; r < rows_; ++r) {
      double sum = 0;
      for (const auto& layer : network_->layers()) sum += layer->per_sample_square(pass_, r);
      out[static_cast<std::size_t>(r)] = std::sqrt(sum);
    }
  }

  void jvp(std::span<const T> v, std::span<T* const> out) noexcept override {
    network_->template to_arena<T>(v, direction_.span());
    pass_.tangent(direction_.data(), 0, rows_);
    for (std::size_t h = 0; h < out.size(); ++h) {
      copy_head(h, workspace_->tangent(network_->heads()[h].buffer), out[h]);
    }
  }

  void vjp(std::span<const T* const> u, std::span<T> out) noexcept override {
    for (std::size_t h = 0; h < u.size(); ++h) {
      const HeadInfo& head = network_->heads()[h];
      const std::int64_t ld = ld_of(head);
      T* delta = workspace_->delta(head.buffer);
      for (std::int64_t r = 0; r < rows_; ++r) {
        std::memcpy(delta + r * ld, u[h] + r * head.width, static_cast<std::size_t>(head.width) * sizeof(T));
        for (std::int64_t c = head.width; c < ld; ++c) delta[r * ld + c] = T(0);
      }
    }
    pass_.backward(0, rows_);
    collect(T(1), out);
    seed_and_backward(Deltas::kPerSample);
  }

 private:
  std::int64_t ld_of(const HeadInfo& head) const noexcept {
    return network_->buffers()[static_cast<std::size_t>(head.buffer)].ld;
  }
  void copy_head(std::size_t head, const T* from, T* out) const noexcept {
    const HeadInfo& info = network_->heads()[head];
    for (std::int64_t r = 0; r < rows_; ++r) {
      std::memcpy(out + r * info.width, from + r * ld_of(info), static_cast<std::size_t>(info.width) * sizeof(T));
    }
  }
  std::span<T> scratch(std::size_t size) {
    if (scratch_.size() < size) scratch_ = AlignedBuffer<T>(size);
    return scratch_.span().first(size);
  }
  bool common_divisor() const noexcept {
    for (std::size_t h = 1; h < batch_.losses().size(); ++h) {
      if (batch_.divisor(h) != batch_.divisor(0)) return false;
    }
    return true;
  }
  void seed_and_backward(Deltas deltas) noexcept {
    batch_.evaluate(pass_, deltas, 0, rows_);
    pass_.backward(0, rows_);
  }
  // scale * sum over the rows, of all units, in public order.
  void collect(T scale, std::span<T> out) noexcept {
    for (const GradientUnit& unit : network_->units()) pass_.gradient(unit, scale, direction_.data() + unit.offset);
    network_->template to_public<T>(direction_.span(), out);
  }

  double l2_, loss_ = 0;
  std::int64_t rows_;
  std::unique_ptr<const Network<T>> network_;
  Batch<T> batch_;
  std::unique_ptr<Workspace<T>> workspace_;
  Pass<T> pass_;
  AlignedBuffer<T> parameters_, transposed_, direction_, scratch_;
  std::vector<double> sample_losses_;
};

}  // namespace

template <Scalar T>
Status Linearization<T>::create(const Model<T>& model, const Dataset& batch, std::vector<LossSpec> losses, double l2,
                                std::unique_ptr<Linearization>& out) {
  if (batch.rows() < 1) return Status::error(ErrorCode::kShape, "batch", "at least one row", batch.rows());
  if (Status s = check_losses<T>(model.network(), losses); !s.ok()) return s;
  if (Status s = check_dataset<T>(model.network(), losses, batch); !s.ok()) return s;
  std::unique_ptr<const Network<T>> network;
  if (Status s = Network<T>::create(model.network().spec(), network); !s.ok()) return s;
  auto point = std::make_unique<Point<T>>(std::move(network), std::move(losses), batch.rows(), l2);
  point->prepare(model, batch);
  out = std::move(point);
  return Status::success();
}
template Status Linearization<float>::create(const Model<float>&, const Dataset&, std::vector<LossSpec>, double,
                                             std::unique_ptr<Linearization>&);
template Status Linearization<double>::create(const Model<double>&, const Dataset&, std::vector<LossSpec>, double,
                                              std::unique_ptr<Linearization>&);

}  // namespace krylov
