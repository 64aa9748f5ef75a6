#include "training/sample_weighting.h"

#include <algorithm>
#include <cmath>

#include "kernels/kernel_table.h"

namespace krylov {

namespace {

bool is_softmax(const LossSpec& loss) noexcept {
  return loss.kind == Loss::kSoftmaxCrossEntropy && loss.class_targets;
}

template <Scalar T>
bool is_sigmoid(const Network<T>& network, const LossSpec& loss) noexcept {
  return loss.kind == Loss::kBinaryCrossEntropy && network.heads()[0].width == 1;
}

}  // namespace

template <Scalar T>
Status SampleWeighting<T>::check(const Network<T>& network, const TrainingOptions& options) {
  const WeightFigure figure = figure_of(options.weights->rule);
  if (figure == WeightFigure::kAlignments) {
    return Status::error(ErrorCode::kOption, "weights", "a rule by losses or probabilities: steps have no clean samples");
  }
  if (figure == WeightFigure::kLosses) return Status::success();
  const LossSpec& loss = options.tasks.front().loss;
  if (options.tasks.size() == 1 && (is_softmax(loss) || is_sigmoid(network, loss))) return Status::success();
  return Status::error(ErrorCode::kOption, "weights",
                       "a rule by losses, or one output with a softmax cross-entropy on class indices or a binary "
                       "cross-entropy of width 1");
}

template <Scalar T>
SampleWeighting<T>::SampleWeighting(const Network<T>& network, const TrainingOptions& options, std::int64_t max_rows)
    : network_(&network), spec_(*options.weights) {
  const auto rows = static_cast<std::size_t>(max_rows);
  const LossSpec& loss = options.tasks.front().loss;
  const bool told = options.tasks.size() == 1 && (is_softmax(loss) || is_sigmoid(network, loss));
  const WeightFigure figure = figure_of(spec_.rule);
  labels_ = told && (asks() || figure == WeightFigure::kProbabilities || figure == WeightFigure::kConfidences);
  sigmoid_ = labels_ && !is_softmax(loss);
  losses_ = AlignedBuffer<double>(rows);
  weights_ = AlignedBuffer<double>(rows);
  if (labels_) probabilities_ = AlignedBuffer<double>(rows);
  if (labels_) complements_ = AlignedBuffer<double>(rows);
  if (labels_) confidences_ = AlignedBuffer<double>(rows);
  if (decides()) order_ = AlignedBuffer<std::uint32_t>(rows);
}

template <Scalar T>
SampleFigures SampleWeighting<T>::figures(std::int64_t first, std::int64_t count) const noexcept {
  const auto part = [&](const AlignedBuffer<double>& buffer) {
    return buffer.empty() ? std::span<const double>()
                          : std::span<const double>(buffer.data() + first, static_cast<std::size_t>(count));
  };
  return {part(losses_), part(probabilities_), part(complements_), part(confidences_), {}};
}

template <Scalar T>
void SampleWeighting<T>::observe(const Pass<T>& pass, const Batch<T>& batch, std::int64_t first,
                                 std::int64_t count) noexcept {
  double* const losses = losses_.data();
  std::fill_n(losses + first, count, 0.0);
  for (std::size_t h = 0; h < batch.losses().size(); ++h) {
    const double weight = batch.losses()[h].weight;
    const auto own = batch.sample_losses(h);
    for (std::int64_t r = first; r < first + count; ++r) losses[r] += weight * own[static_cast<std::size_t>(r)];
  }
  // A factor by which a sample was drawn is none of its loss.
  if (const double* factors = batch.factors()) {
    for (std::int64_t r = first; r < first + count; ++r) {
      if (factors[r] > 0) losses[r] /= factors[r];
    }
  }
  if (labels_) {
    const int buffer = network_->heads()[0].buffer;
    const std::int64_t ld = network_->buffers()[static_cast<std::size_t>(buffer)].ld;
    const T* const outputs = pass.workspace->activation(buffer);
    for (std::int64_t r = first; r < first + count; ++r) observe_label(outputs + r * ld, batch, r);
  }
  if (asks() || decides()) return;
  const std::span<double> weights(weights_.data() + first, static_cast<std::size_t>(count));
  sample_weights(spec_, static_cast<std::int64_t>(pass.step), figures(first, count), {}, weights);
}

template <Scalar T>
void SampleWeighting<T>::observe_label(const T* outputs, const Batch<T>& batch, std::int64_t row) noexcept {
  const LabelFigures own =
      sigmoid_ ? binary_figures(static_cast<double>(outputs[0]),
                                static_cast<double>(batch.targets(0)[row * batch.ld_targets(0)]))
               : label_figures(outputs, network_->heads()[0].width, batch.labels(0)[row]);
  const auto at = static_cast<std::size_t>(row);
  probabilities_[at] = own.probability;
  complements_[at] = own.complement;
  confidences_[at] = own.confidence;
}

template <Scalar T>
void SampleWeighting<T>::decide(const Pass<T>& pass) noexcept {
  const auto rows = static_cast<std::size_t>(pass.rows);
  sample_weights(spec_, static_cast<std::int64_t>(pass.step), figures(0, pass.rows), order_.span().first(rows),
                 weights_.span().first(rows));
}

template <Scalar T>
void SampleWeighting<T>::scale(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept {
  rows_.store(pass.rows, std::memory_order_relaxed);
  bool finite = true;
  for (std::int64_t r = first; r < first + count; ++r) {
    const double weight = weights_[static_cast<std::size_t>(r)];
    // Of a loss that is not finite the losses tell, or clipping that leaves the sample out.
    finite = finite && ((std::isfinite(weight) && weight >= 0) || !std::isfinite(losses_[static_cast<std::size_t>(r)]));
  }
  for (const HeadInfo& head : network_->heads()) {
    const BufferInfo& buffer = network_->buffers()[static_cast<std::size_t>(head.buffer)];
    T* const rows = pass.adjoint_set()[head.buffer] + first * buffer.ld;
    kernels<T>().scale_rows(&weights_[static_cast<std::size_t>(first)], rows, buffer.ld, count,
                            round_up(buffer.width, kPanel<T>));
  }
  if (!finite) finite_.store(false, std::memory_order_relaxed);
}

template <Scalar T>
WeightRequest SampleWeighting<T>::request(const Pass<T>& pass) const noexcept {
  return {figures(0, pass.rows), static_cast<std::int64_t>(pass.step), 0};
}

template <Scalar T>
void SampleWeighting<T>::end() noexcept {
  told_rows_ = rows_.load(std::memory_order_relaxed);
  const auto own = weights(told_rows_);
  if (told_rows_ > 0 && std::none_of(own.begin(), own.end(), [](double w) { return w > 0; })) ++weightless_;
}

template <Scalar T>
void SampleWeighting<T>::save(TrainingState& state) const {
  state.numbers.emplace_back("weights.weightlessSteps", static_cast<double>(weightless_));
}

template <Scalar T>
Status SampleWeighting<T>::restore(const TrainingState& state) {
  const double* steps = find_number(state, "weights.weightlessSteps");
  if (steps == nullptr || !(*steps >= 0)) {
    return Status::error(ErrorCode::kState, "state.numbers.weights.weightlessSteps", "a count of steps");
  }
  weightless_ = static_cast<std::int64_t>(*steps);
  return Status::success();
}

template <Scalar T>
void SampleWeighting<T>::describe(StepNumbers& numbers) const {
  if (told_rows_ == 0) return;
  double sum = 0, squares = 0, largest = 0, zeros = 0;
  for (std::int64_t r = 0; r < told_rows_; ++r) {
    const double weight = weights_[static_cast<std::size_t>(r)];
    sum += weight;
    squares += weight * weight;
    largest = std::max(largest, weight);
    zeros += weight == 0 ? 1 : 0;
  }
  const double rows = static_cast<double>(told_rows_);
  numbers.numbers.emplace_back("meanWeight", sum / rows);
  numbers.numbers.emplace_back("largestWeight", largest);
  numbers.numbers.emplace_back("zeroWeightShare", zeros / rows);
  // Kish's effective sample size, as a share.
  numbers.numbers.emplace_back("effectiveSampleShare", squares > 0 ? sum / squares * sum / rows : 0);
  numbers.numbers.emplace_back("weightlessSteps", static_cast<double>(weightless_));
}

template class SampleWeighting<float>;
template class SampleWeighting<double>;

}  // namespace krylov
