#include "training/gradient_record.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernel_table.h"
#include "krylov/per_sample.h"
#include "network/layer.h"

namespace krylov {

template <Scalar T>
Status GradientRecord<T>::check(const TrainingOptions& options) {
  const GradientRecordSpec& spec = *options.gradients;
  if (options.multitask) {
    return Status::error(ErrorCode::kOption, "record.gradients", "none beside multitask: it has gradients of tasks");
  }
  if (options.privacy) {
    return Status::error(ErrorCode::kOption, "record.gradients", "none beside privacy, which it would give away");
  }
  if (spec.every < 1) return Status::error(ErrorCode::kOption, "record.gradients.every", "at least 1", spec.every);
  if (!(spec.beta >= 0 && spec.beta < 1)) {
    return Status::error(ErrorCode::kOption, "record.gradients.beta", "a number from 0 to less than 1");
  }
  return Status::success();
}

template <Scalar T>
GradientRecord<T>::GradientRecord(const Network<T>& network, const GradientRecordSpec& spec, bool sum_reduction,
                                  std::int64_t max_rows)
    : network_(&network), spec_(spec), sum_reduction_(sum_reduction), max_rows_(max_rows),
      layers_(network.blocks().size()), row_squares_(network.blocks().size() * static_cast<std::size_t>(max_rows)),
      unit_squares_(network.units().size()), unit_dots_(network.units().size()),
      previous_(static_cast<std::size_t>(network.arena_size())) {
  for (const auto& layer : network.layers()) {
    if (layer->block >= 0) layers_[static_cast<std::size_t>(layer->block)] = layer->index;
  }
  for (const GradientUnit& unit : network.units()) {
    const int block = network.layers()[static_cast<std::size_t>(unit.layer)]->block;
    block_of_unit_.push_back(static_cast<std::size_t>(block));
  }
  for (std::string& name : group_names(network, ParameterGroups::kLayers)) {
    summary_.layers.push_back({std::move(name), 0, 0, 0});
  }
}

template <Scalar T>
void GradientRecord<T>::prepare(std::int64_t update, std::int64_t rows, double delta_factor) noexcept {
  update_ = update;
  rows_ = rows;
  delta_factor_ = delta_factor;
  measures_ = update % spec_.every == 0;
  keeps_ = (update + 1) % spec_.every == 0;
  compares_ = measures_ && previous_update_ > 0 && previous_update_ == update - 1;
}

template <Scalar T>
void GradientRecord<T>::rows(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept {
  if (!measures_) return;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const Layer<T>& layer = *network_->layers()[static_cast<std::size_t>(layers_[l])];
    double* const squares = row_squares_.data() + static_cast<std::int64_t>(l) * max_rows_;
    for (std::int64_t row = first; row < first + count; row += Layer<T>::kSquareRows) {
      layer.per_sample_squares(pass, row, std::min(Layer<T>::kSquareRows, first + count - row), squares + row);
    }
  }
}

template <Scalar T>
void GradientRecord<T>::unit(std::size_t unit, const T* gradient) noexcept {
  if (!measures_ && !keeps_) return;
  const KernelTable<T>& k = kernels<T>();
  const GradientUnit& place = network_->units()[unit];
  const std::int64_t size = (place.row1 - place.row0) * kPanel<T>;
  T* const previous = previous_.data() + place.offset;
  unit_squares_[unit] = k.sum_squares(gradient, size);
  if (compares_) unit_dots_[unit] = k.dot(gradient, previous, size);
  if (keeps_) std::memcpy(previous, gradient, static_cast<std::size_t>(size) * sizeof(T));
}

template <Scalar T>
void GradientRecord<T>::end() noexcept {
  if (measures_) summarise();
  if (keeps_) {
    previous_update_ = update_;
    previous_square_ = sum_in_order(unit_squares_.span());
  }
}

// With m the mean of |g_i|^2 and q = |gbar|^2: the covariance's trace (m - q) N / (N - 1) and the square of the true
// gradient (N q - m) / (N - 1), both unbiased: the estimators of McCandlish, Kaplan, Amodei et al. 2018 (arXiv 1812.06162,
// appendix A.1) for batches of 1 and N. Sums over pairs: sum_{i != j} g_i . g_j = N^2 q - N m, and of |g_i| |g_j| likewise.
template <Scalar T>
void GradientRecord<T>::summarise() noexcept {
  GradientSummary& s = summary_;
  const auto n = static_cast<double>(rows_);
  s.update = update_;
  s.samples = rows_;
  s.largest_norm = 0;
  for (LayerGradientSummary& layer : s.layers) layer.norm = layer.mean_norm = layer.largest_norm = 0;
  for (std::size_t u = 0; u < unit_squares_.size(); ++u) s.layers[block_of_unit_[u]].norm += unit_squares_[u];
  const double square = sum_in_order(unit_squares_.span());
  s.norm = std::sqrt(square);
  for (LayerGradientSummary& layer : s.layers) layer.norm = std::sqrt(layer.norm);
  double squares = 0, norms = 0;
  for (std::int64_t row = 0; row < rows_; ++row) {
    double total = 0;
    for (std::size_t l = 0; l < s.layers.size(); ++l) {
      const double own = row_squares_[l * static_cast<std::size_t>(max_rows_) + static_cast<std::size_t>(row)];
      const double norm = delta_factor_ * std::sqrt(own);
      s.layers[l].mean_norm += norm / n;
      s.layers[l].largest_norm = std::max(s.layers[l].largest_norm, norm);
      total += own;
    }
    const double norm = delta_factor_ * std::sqrt(total);
    squares += norm * norm;
    norms += norm;
    s.largest_norm = std::max(s.largest_norm, norm);
  }
  s.mean_norm = norms / n;
  s.variance = s.squared_gradient = s.noise_scale = s.mean_cosine = s.step_cosine = GradientSummary::kNan;
  const double q = sum_reduction_ ? square / (n * n) : square, m = squares / n;
  if (rows_ > 1) {
    s.variance = std::max(0.0, m - q) * n / (n - 1);
    s.squared_gradient = (n * q - m) / (n - 1);
    if (s.squared_gradient > 0) s.noise_scale = s.variance / s.squared_gradient;
    const double pairs = norms * norms - squares;
    if (pairs > 0) s.mean_cosine = std::clamp((n * n * q - squares) / pairs, -1.0, 1.0);
    average(s);
  }
  if (compares_) {
    const double lengths = s.norm * std::sqrt(previous_square_);
    s.step_cosine = lengths > 0 ? std::clamp(sum_in_order(unit_dots_.span()) / lengths, -1.0, 1.0) : 0.0;
  }
  measured_ = true;
}

// Numerator and denominator apart, each over 1 - beta^t.
template <Scalar T>
void GradientRecord<T>::average(GradientSummary& s) noexcept {
  if (std::isfinite(s.variance) && std::isfinite(s.squared_gradient)) {
    ++averages_;
    const double share = (1 - spec_.beta) / (1 - std::pow(spec_.beta, static_cast<double>(averages_)));
    trace_ += share * (s.variance - trace_);
    squared_gradient_ += share * (s.squared_gradient - squared_gradient_);
  }
  s.averaged_noise_scale = squared_gradient_ > 0 ? trace_ / squared_gradient_ : GradientSummary::kNan;
}

namespace {

constexpr const char* kPrevious = "gradients.previous";
constexpr const char* kPreviousUpdate = "gradients.previousUpdate";
constexpr const char* kAverages = "gradients.averages";
constexpr const char* kTrace = "gradients.trace";
constexpr const char* kSquaredGradient = "gradients.squaredGradient";

}  // namespace

template <Scalar T>
void GradientRecord<T>::save(TrainingState& state) const {
  state.names.emplace_back(kPrevious);
  std::vector<double> values(static_cast<std::size_t>(network_->parameter_count()));
  network_->template to_public<double>(previous_.span(), values);
  state.arrays.push_back(std::move(values));
  state.numbers.emplace_back(kPreviousUpdate, static_cast<double>(previous_update_));
  state.numbers.emplace_back(kAverages, static_cast<double>(averages_));
  state.numbers.emplace_back(kTrace, trace_);
  state.numbers.emplace_back(kSquaredGradient, squared_gradient_);
}

template <Scalar T>
Status GradientRecord<T>::restore(const TrainingState& state) {
  const auto found = std::find(state.names.begin(), state.names.end(), kPrevious);
  const double* const update = find_number(state, kPreviousUpdate);
  const double* const averages = find_number(state, kAverages);
  const double* const trace = find_number(state, kTrace);
  const double* const squared = find_number(state, kSquaredGradient);
  const bool array = found != state.names.end();
  const int numbers = (update != nullptr) + (averages != nullptr) + (trace != nullptr) + (squared != nullptr);
  if (!array && numbers == 0) return Status::success();
  if (!array || numbers != 4 || !(*update >= 0) || !(*averages >= 0)) {
    return Status::error(ErrorCode::kState, "state.optimizer", "all that record.gradients keeps, or nothing of it");
  }
  const std::vector<double>& values = state.arrays[static_cast<std::size_t>(found - state.names.begin())];
  const auto size = static_cast<std::int64_t>(values.size());
  if (size != network_->parameter_count()) {
    return Status::error(ErrorCode::kShape, "state.optimizer.values.gradients.previous", "one value a parameter", size,
                         network_->parameter_count());
  }
  network_->template to_arena<double>(values, previous_.span());
  previous_update_ = static_cast<std::int64_t>(*update);
  averages_ = static_cast<std::int64_t>(*averages);
  trace_ = *trace;
  squared_gradient_ = *squared;
  // Unit by unit, as it was summed up.
  for (std::size_t u = 0; u < unit_squares_.size(); ++u) {
    const GradientUnit& unit = network_->units()[u];
    unit_squares_[u] = kernels<T>().sum_squares(previous_.data() + unit.offset, (unit.row1 - unit.row0) * kPanel<T>);
  }
  previous_square_ = sum_in_order(unit_squares_.span());
  return Status::success();
}

template <Scalar T>
void GradientRecord<T>::describe(StepNumbers& numbers) const {
  if (measured_) numbers.gradients = summary_;
}

template class GradientRecord<float>;
template class GradientRecord<double>;

}  // namespace krylov
