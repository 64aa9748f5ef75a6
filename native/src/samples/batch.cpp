#include "samples/batch.h"

#include <cmath>

#include "kernels/kernel_table.h"
#include "krylov/threads.h"

namespace krylov {

template <Scalar T>
Status check_losses(const Network<T>& network, std::span<const LossSpec> losses) {
  const auto heads = network.heads();
  if (losses.size() != heads.size()) {
    return Status::error(ErrorCode::kOption, "loss", "one loss for each head", static_cast<std::int64_t>(losses.size()),
                         static_cast<std::int64_t>(heads.size()));
  }
  for (std::size_t h = 0; h < losses.size(); ++h) {
    const LossSpec& loss = losses[h];
    const bool logits = loss.kind == Loss::kBinaryCrossEntropy || loss.kind == Loss::kSoftmaxCrossEntropy;
    if (logits && heads[h].squashed) {
      return Status::error(ErrorCode::kOption, "loss", "an identity output layer under a loss on logits");
    }
    if (!loss.class_weights.empty() && static_cast<std::int64_t>(loss.class_weights.size()) != heads[h].width) {
      return Status::error(ErrorCode::kShape, "classWeights", "one weight for each output",
                           static_cast<std::int64_t>(loss.class_weights.size()), heads[h].width);
    }
    if (loss.class_targets && loss.kind != Loss::kSoftmaxCrossEntropy) {
      return Status::error(ErrorCode::kOption, "loss", "dense targets for every loss but softmaxCrossEntropy");
    }
  }
  return Status::success();
}

template <Scalar T>
Status check_dataset(const Network<T>& network, std::span<const LossSpec> losses, const Dataset& data) {
  if (data.columns() != network.inputs()) {
    return Status::error(ErrorCode::kShape, "inputs", "as many columns as the model has inputs", data.columns(),
                         network.inputs());
  }
  const auto heads = network.heads();
  if (data.targets().size() != heads.size()) {
    return Status::error(ErrorCode::kShape, "targets", "one target for each head",
                         static_cast<std::int64_t>(data.targets().size()), static_cast<std::int64_t>(heads.size()));
  }
  for (std::size_t h = 0; h < heads.size(); ++h) {
    const DatasetTargets& t = data.targets()[h];
    if (t.classes != losses[h].class_targets) {
      return Status::error(ErrorCode::kDType, "targets", "class indices for a loss on classes, rows of numbers otherwise");
    }
    if (t.classes && t.largest_label >= heads[h].width) {
      return Status::error(ErrorCode::kShape, "targets", "class indices below the head's width", t.largest_label,
                           heads[h].width);
    }
    if (!t.classes && t.columns != heads[h].width) {
      return Status::error(ErrorCode::kShape, "targets", "as many columns as the head has outputs", t.columns,
                           heads[h].width);
    }
  }
  return Status::success();
}

template <Scalar T>
void gather_inputs(const Network<T>& network, const void* rows, DType dtype, const std::uint32_t* index,
                   std::int64_t count, T* out) noexcept {
  const T scale = dtype == DType::kUint8 ? static_cast<T>(network.spec().input_scale) : T(1);
  kernels<T>().gather(rows, dtype, network.inputs(), index, count, scale, out, network.buffers()[0].ld);
}

template <Scalar T>
Batch<T>::Batch(const Network<T>& network, std::vector<LossSpec> losses, std::int64_t max_rows)
    : network_(&network), losses_(std::move(losses)), sample_weights_(static_cast<std::size_t>(max_rows)) {
  const auto rows = static_cast<std::size_t>(max_rows);
  for (std::size_t h = 0; h < losses_.size(); ++h) {
    Head head;
    head.classes = losses_[h].class_targets;
    head.width = network.heads()[h].width;
    head.ld = round_up(head.width, kPanel<T>);
    head.expanded = head.classes && losses_[h].label_smoothing > 0 && !losses_[h].class_weights.empty();
    if (head.expanded) {
      head.row_loss = losses_[h];
      head.row_loss.class_targets = false;
    }
    if (head.classes) head.labels = AlignedBuffer<std::int32_t>(rows);
    if (!head.classes || head.expanded) {
      head.targets = AlignedBuffer<T>(rows * static_cast<std::size_t>(head.ld));
    }
    head.weights = AlignedBuffer<double>(rows);
    head.losses = AlignedBuffer<double>(rows);
    heads_.push_back(std::move(head));
  }
}

template <Scalar T>
double Batch<T>::class_weight(const LossSpec& loss, std::size_t number, std::int64_t row) const noexcept {
  if (!loss.class_targets || loss.class_weights.empty()) return 1.0;
  return loss.class_weights[static_cast<std::size_t>(data_->targets()[number].labels[static_cast<std::size_t>(row)])];
}

// Factor of a row's loss: sample weight times the label's class weight, unless the loss itself has the latter.
template <Scalar T>
double Batch<T>::weight_of(const Head& head, const LossSpec& loss, std::size_t number, std::int64_t row) const noexcept {
  const double w = data_->weights() != nullptr ? data_->weights()[row] : 1.0;
  return head.expanded ? w : w * class_weight(loss, number, row);
}

template <Scalar T>
void Batch<T>::select(const Dataset& data, const std::uint32_t* index, std::int64_t rows,
                      std::int64_t first_row, const double* factors) noexcept {
  data_ = &data;
  index_ = selected_ = index;
  factors_ = selected_factors_ = factors;
  rows_ = rows;
  first_row_ = selected_first_ = first_row;
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    const LossSpec& loss = losses_[h];
    Head& head = heads_[h];
    const bool by_class = head.classes && !loss.class_weights.empty();
    head.weighted = data.weights() != nullptr || factors != nullptr || (by_class && !head.expanded);
    head.mass = loss.sum_reduction ? 1.0 : static_cast<double>(rows);
    if (!loss.sum_reduction && loss.normalize_weights && (data.weights() != nullptr || by_class)) {
      head.mass = 0;
      for (std::int64_t r = 0; r < rows; ++r) {
        head.mass += weight_of(head, loss, h, source(r)) * (head.expanded ? class_weight(loss, h, source(r)) : 1.0);
      }
    }
  }
}

template <Scalar T>
void Batch<T>::select_part(std::int64_t first, std::int64_t rows) noexcept {
  index_ = selected_ != nullptr ? selected_ + first : nullptr;
  factors_ = selected_factors_ != nullptr ? selected_factors_ + first : nullptr;
  first_row_ = selected_first_ + (selected_ != nullptr ? 0 : first);
  rows_ = rows;
}

template <Scalar T>
void Batch<T>::load(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept {
  const std::uint32_t* index = index_ != nullptr ? index_ + first : nullptr;
  // Without an index the rows are a run of the data set.
  const auto from = [&](const std::byte* base, DType dtype, std::int64_t columns) -> const void* {
    return index != nullptr ? base : base + static_cast<std::size_t>((first_row_ + first) * columns) * size_of(dtype);
  };
  gather_inputs<T>(*network_, from(static_cast<const std::byte*>(data_->inputs()), data_->dtype(), data_->columns()),
                   data_->dtype(), index, count, pass.workspace->activation(0) + first * network_->buffers()[0].ld);
  if (const double* weights = data_->weights()) {
    for (std::int64_t r = first; r < first + count; ++r) sample_weights_[static_cast<std::size_t>(r)] = weights[source(r)];
  }
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    Head& head = heads_[h];
    const DatasetTargets& targets = data_->targets()[h];
    if (!head.classes) {
      kernels<T>().gather(from(targets.values.data(), targets.dtype, targets.columns), targets.dtype, targets.columns,
                          index, count, T(1), head.targets.data() + first * head.ld, head.ld);
    }
    for (std::int64_t r = first; r < first + count; ++r) {
      const auto at = static_cast<std::size_t>(r);
      if (head.classes) head.labels[at] = targets.labels[static_cast<std::size_t>(source(r))];
      if (head.expanded) {
        T* row = head.targets.data() + r * head.ld;
        for (std::int64_t c = 0; c < head.width; ++c) row[c] = c == head.labels[at] ? T(1) : T(0);
      }
      if (!head.weighted) continue;
      head.weights[at] = weight_of(head, losses_[h], h, source(r));
      if (factors_ != nullptr) head.weights[at] *= factors_[r];
    }
  }
}

template <Scalar T>
template <class Rows>
Rows Batch<T>::rows_of(const Pass<T>& pass, std::size_t number, Deltas deltas, std::int64_t first,
                       std::int64_t count) const noexcept {
  const Head& head = heads_[number];
  const HeadInfo& info = network_->heads()[number];
  Rows rows{};
  const bool classes = head.classes && !head.expanded;
  rows.spec = head.expanded ? &head.row_loss : &losses_[number];
  rows.ldo = network_->buffers()[static_cast<std::size_t>(info.buffer)].ld;
  rows.outputs = pass.workspace->activation(info.buffer) + first * rows.ldo;
  rows.rows = count;
  rows.columns = head.width;
  rows.classes = classes ? head.labels.data() + first : nullptr;
  rows.targets = classes ? nullptr : head.targets.data() + first * head.ld;
  rows.ldt = head.ld;
  rows.weights = head.weighted ? head.weights.data() + first : nullptr;
  rows.seed = losses_[number].weight / (deltas == Deltas::kReduced ? divisor(number) : 1.0);
  return rows;
}

template <Scalar T>
bool Batch<T>::evaluate(const Pass<T>& pass, Deltas deltas, std::int64_t first, std::int64_t count) noexcept {
  double sum = 0;
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    LossRows<T> rows = rows_of<LossRows<T>>(pass, h, deltas, first, count);
    rows.losses = heads_[h].losses.data() + first;
    if (deltas != Deltas::kNone) {
      rows.delta = pass.adjoint_set()[network_->heads()[h].buffer] + first * rows.ldo;
      rows.ldd = rows.ldo;
    }
    kernels<T>().loss_rows(rows);
    for (std::int64_t r = first; r < first + count; ++r) sum += heads_[h].losses[static_cast<std::size_t>(r)];
  }
  return std::isfinite(sum);
}

template <Scalar T>
bool Batch<T>::loss_is_finite(std::int64_t row) const noexcept {
  for (const Head& head : heads_) {
    if (!std::isfinite(head.losses[static_cast<std::size_t>(row)])) return false;
  }
  return true;
}

template <Scalar T>
void Batch<T>::drop_loss(std::int64_t row) noexcept {
  for (Head& head : heads_) head.losses[static_cast<std::size_t>(row)] = 0;
}

template <Scalar T>
void Batch<T>::curvature(const Pass<T>& pass, Deltas deltas, std::int64_t first, std::int64_t count) const noexcept {
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    const int buffer = network_->heads()[h].buffer;
    LossCurvatureRows<T> rows = rows_of<LossCurvatureRows<T>>(pass, h, deltas, first, count);
    rows.u = pass.workspace->tangent(buffer) + first * rows.ldo;
    rows.out = pass.adjoint_set()[buffer] + first * rows.ldo;
    rows.ldu = rows.ld_out = rows.ldo;
    kernels<T>().loss_curvature_rows(rows);
  }
}

template <Scalar T>
LossCurvatureRows<T> Batch<T>::curvature_rows(const Pass<T>& pass, std::size_t head, Deltas deltas, std::int64_t first,
                                              std::int64_t count) const noexcept {
  return rows_of<LossCurvatureRows<T>>(pass, head, deltas, first, count);
}

template <Scalar T>
std::span<const double> Batch<T>::sample_losses(std::size_t head) const noexcept {
  return {heads_[head].losses.data(), static_cast<std::size_t>(rows_)};
}

template <Scalar T>
double Batch<T>::head_loss(std::size_t head) const noexcept {
  return sum_in_order(sample_losses(head)) / divisor(head);
}

template <Scalar T>
double Batch<T>::loss() const noexcept {
  double total = 0;
  for (std::size_t h = 0; h < heads_.size(); ++h) total += losses_[h].weight * head_loss(h);
  return total;
}

template <Scalar T>
const std::int32_t* Batch<T>::labels(std::size_t head) const noexcept {
  return heads_[head].classes ? heads_[head].labels.data() : nullptr;
}
template <Scalar T>
const T* Batch<T>::targets(std::size_t head) const noexcept {
  return heads_[head].classes ? nullptr : heads_[head].targets.data();
}
template void gather_inputs(const Network<float>&, const void*, DType, const std::uint32_t*, std::int64_t, float*) noexcept;
template void gather_inputs(const Network<double>&, const void*, DType, const std::uint32_t*, std::int64_t, double*) noexcept;
template class Batch<float>;
template class Batch<double>;
template Status check_losses(const Network<float>&, std::span<const LossSpec>);
template Status check_losses(const Network<double>&, std::span<const LossSpec>);
template Status check_dataset(const Network<float>&, std::span<const LossSpec>, const Dataset&);
template Status check_dataset(const Network<double>&, std::span<const LossSpec>, const Dataset&);

}  // namespace krylov
