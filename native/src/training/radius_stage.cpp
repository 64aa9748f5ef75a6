#include "training/radius_stage.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/kernel_table.h"
#include "krylov/threads.h"

namespace krylov {

namespace {

bool on_logits(const LossSpec& loss) noexcept {
  return loss.kind == Loss::kSoftmaxCrossEntropy || loss.kind == Loss::kBinaryCrossEntropy;
}

bool counts(const StepSizeSpec& spec, const std::string& name) noexcept { return spec.head.empty() || spec.head == name; }

}  // namespace

template <Scalar T>
Status RadiusStage<T>::check(const Network<T>& network, const TrainingOptions& options) {
  const StepSizeSpec& spec = *options.step_size;
  if (Status s = check_differentiable(network, "stepSize"); !s.ok()) return s;
  for (std::size_t h = 0; h < options.tasks.size(); ++h) {
    if (counts(spec, network.heads()[h].name) && on_logits(options.tasks[h].loss)) return Status::success();
  }
  return Status::error(ErrorCode::kOption, spec.head.empty() ? "stepSize" : "stepSize.head",
                       "a head with a softmax or binary cross-entropy");
}

template <Scalar T>
RadiusStage<T>::RadiusStage(const Network<T>& network, const TrainingOptions& options, std::int64_t max_rows)
    : network_(&network), options_(options.step_size->radius),
      candidate_(static_cast<std::size_t>(network.arena_size())),
      direction_(static_cast<std::size_t>(network.arena_size())), squares_(network.units().size()) {
  options_.step_length = 1;  // slopes are taken along p itself
  for (std::size_t h = 0; h < options.tasks.size(); ++h) {
    const LossSpec& loss = options.tasks[h].loss;
    const HeadInfo& info = network.heads()[h];
    if (!counts(*options.step_size, info.name) || !on_logits(loss)) continue;
    Head head;
    head.index = h;
    head.sigmoids = loss.kind == Loss::kBinaryCrossEntropy;
    head.exact = options_.exact_binary && (head.sigmoids || info.width == 2);
    head.values = AlignedBuffer<double>(static_cast<std::size_t>(max_rows));
    heads_.push_back(std::move(head));
  }
  begin();
}

template <Scalar T>
void RadiusStage<T>::begin() noexcept {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  radius_ = {kNan, kNan, kNan, kNan};
  step_length_ = kNan;
  decided_ = false;
}

template <Scalar T>
bool RadiusStage<T>::finite() const noexcept {
  return !decided_ || !std::isnan(radius_.scale);
}

template <Scalar T>
void RadiusStage<T>::save(TrainingState& state) const {
  state.numbers.emplace_back("stepSize.shortenedSteps", static_cast<double>(shortened_));
}

template <Scalar T>
Status RadiusStage<T>::restore(const TrainingState& state) {
  const double* steps = find_number(state, "stepSize.shortenedSteps");
  if (steps == nullptr || !(*steps >= 0)) {
    return Status::error(ErrorCode::kState, "state.numbers.stepSize.shortenedSteps", "a count of steps");
  }
  shortened_ = static_cast<std::int64_t>(*steps);
  return Status::success();
}

template <Scalar T>
void RadiusStage<T>::describe(StepNumbers& numbers) const {
  numbers.numbers.emplace_back("stepScale", radius_.scale);
  numbers.numbers.emplace_back("normalisedStep", radius_.normalised_step);
  numbers.numbers.emplace_back("convergenceRadius", radius_.radius);
  numbers.numbers.emplace_back("stepLength", step_length_);
  numbers.numbers.emplace_back("shortenedSteps", static_cast<double>(shortened_));
}

template <Scalar T>
T* RadiusStage<T>::candidate(const T* w, std::int64_t offset, std::int64_t size) noexcept {
  T* const to = candidate_.data() + offset;
  std::memcpy(to, w, static_cast<std::size_t>(size) * sizeof(T));
  return to;
}

template <Scalar T>
void RadiusStage<T>::take(const T* w, std::int64_t offset, std::int64_t size, std::size_t unit) noexcept {
  const KernelTable<T>& k = kernels<T>();
  T* const p = direction_.data() + offset;
  k.scaled_sum(candidate_.data() + offset, T(-1), w, p, size);
  squares_[unit] = k.sum_squares(p, size);
}

template <Scalar T>
RadiusRows<T> RadiusStage<T>::rows_of(const Pass<T>& pass, const Head& head) const noexcept {
  const HeadInfo& info = network_->heads()[head.index];
  const std::int64_t ld = network_->buffers()[static_cast<std::size_t>(info.buffer)].ld;
  RadiusRows<T> rows;
  rows.outputs = pass.workspace->activation(info.buffer);
  rows.slopes = pass.workspace->tangent(info.buffer);
  rows.ld_outputs = rows.ld_slopes = ld;
  rows.rows = pass.rows;
  rows.columns = info.width;
  rows.sigmoids = head.sigmoids;
  return rows;
}

template <Scalar T>
void RadiusStage<T>::slopes(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept {
  pass.tangent(direction_.data(), first, count);
  for (Head& head : heads_) {
    const RadiusRows<T> rows = rows_of(pass, head);
    if (head.exact) {
      binary_radii(rows, options_.temperature, first, count, head.values.data());
    } else {
      slope_spreads(rows, options_.temperature, first, count, head.values.data());
    }
  }
}

template <Scalar T>
void RadiusStage<T>::decide(std::int64_t rows) noexcept {
  decided_ = true;
  step_length_ = std::sqrt(sum_in_order(squares_.span()));
  bool first = true;
  for (Head& head : heads_) {
    const StepRadius own = radius_of(head.values.data(), rows, head.exact, options_);
    if (first || std::isnan(own.scale) || own.normalised_step > radius_.normalised_step) radius_ = own;
    first = false;
    if (std::isnan(radius_.scale)) break;
  }
  // Elements of p that overflowed let no step be taken.
  if (!std::isfinite(step_length_)) radius_.scale = std::numeric_limits<double>::quiet_NaN();
  // From lengths of p to those of the parameters' space.
  if (step_length_ > 0) {
    radius_.radius *= step_length_;
    radius_.spread /= step_length_;
  }
  if (radius_.scale < 1) ++shortened_;
}

template <Scalar T>
void RadiusStage<T>::apply(T* w, std::int64_t offset, std::int64_t size) const noexcept {
  // Whole steps are the candidate itself, to the bit.
  if (radius_.scale == 1) {
    std::memcpy(w, candidate_.data() + offset, static_cast<std::size_t>(size) * sizeof(T));
  } else {
    kernels<T>().scaled_sum(w, static_cast<T>(radius_.scale), direction_.data() + offset, w, size);
  }
}

template class RadiusStage<float>;
template class RadiusStage<double>;

}  // namespace krylov
