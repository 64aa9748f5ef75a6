#include "training/step_engine.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernel_table.h"
#include "network/layer.h"
#include "training/tasks.h"

namespace krylov {

namespace {

// Rows are shared out in whole register tiles of the widest set.
constexpr std::int64_t kRowGrain = 8;

}  // namespace

Status check_no_stages(const TrainingOptions& options) {
  if (options.clipping) {
    return Status::error(ErrorCode::kOption, "clipping", "none: this optimizer looks at the function more than once");
  }
  if (options.step_size) {
    return Status::error(ErrorCode::kOption, "stepSize", "none: this optimizer finds its step sizes itself");
  }
  return Status::success();
}

template <Scalar T>
StepEngine<T>::StepEngine(const Network<T>& network, const TrainingOptions& options, std::int64_t max_rows)
    : network_(&network),
      workspace_(network, max_rows, options.step_size ? WorkspaceKind::kTangent : WorkspaceKind::kBackward),
      batch_(network, losses_of(options.tasks), max_rows),
      transposed_(static_cast<std::size_t>(network.transposed_size())),
      penalties_(options.l2 != 0 ? network.units().size() : 0), shares_(network.units()), l2_(options.l2),
      sum_reduction_(options.tasks.front().loss.sum_reduction) {
  pass_.network = &network;
  pass_.workspace = &workspace_;
  pass_.transposed = transposed_.data();
  pass_.training = true;
  pass_.seed = options.seed;
}

template <Scalar T>
Status StepEngine<T>::create(const Network<T>& network, const TrainingOptions& options, std::int64_t max_rows,
                             std::unique_ptr<StepEngine>& out) {
  const std::vector<LossSpec> losses = losses_of(options.tasks);
  if (Status s = check_losses<T>(network, losses); !s.ok()) return s;
  if (options.clipping) {
    if (Status s = SampleClipping<T>::check(network, *options.clipping); !s.ok()) return s;
    for (const LossSpec& loss : losses) {
      if (loss.normalize_weights || loss.sum_reduction != losses.front().sum_reduction) {
        return Status::error(ErrorCode::kOption, "clipping", "losses that are all means over samples, or all sums");
      }
    }
  }
  if (options.step_size) {
    if (Status s = RadiusStage<T>::check(network, options); !s.ok()) return s;
  }
  std::unique_ptr<StepEngine> engine(new StepEngine(network, options, max_rows));
  if (Status s = Optimizer<T>::create(options.optimizer, network.arena_size(), engine->optimizer_); !s.ok()) return s;
  if (engine->has_place()) engine->point_ = AlignedBuffer<T>(static_cast<std::size_t>(network.arena_size()));
  if (options.clipping) {
    engine->clipping_ = std::make_unique<SampleClipping<T>>(network, *options.clipping, max_rows);
  }
  if (options.step_size) engine->radius_ = std::make_unique<RadiusStage<T>>(network, options, max_rows);
  out = std::move(engine);
  return Status::success();
}

template <Scalar T>
void StepEngine<T>::attach(T* parameters) noexcept {
  parameters_ = parameters;
  pass_.parameters = has_place() ? point_.data() : parameters;
  if (!has_place()) network_->transpose(parameters, transposed_.data());
}

template <Scalar T>
void StepEngine<T>::begin(const Dataset& data, const std::uint32_t* index, std::int64_t rows) noexcept {
  batch_.select(data, index, rows);
  pass_.rows = rows;
  pass_.step = static_cast<std::uint64_t>(optimizer_->updates());
  losses_finite_.store(true, std::memory_order_relaxed);
  gradients_finite_.store(true, std::memory_order_relaxed);
  not_finite_unit_.store(-1, std::memory_order_relaxed);
  if (radius_ != nullptr) radius_->begin();
  optimizer_->begin();
}

template <Scalar T>
void StepEngine<T>::take(Barrier* barrier, int thread, int threads) noexcept {
  const auto meet = [&] {
    if (barrier != nullptr) barrier->wait(thread, threads);
  };
  const Range range = rows_of(thread, threads);
  if (has_place()) {
    place(thread, threads);
    meet();
  }
  rows(range);
  meet();
  if (!updated()) return;
  units(thread, threads);
  if (radius_ == nullptr) return;
  meet();
  if (range.count > 0) radius_->slopes(pass_, range.first, range.count);
  meet();
  if (thread == 0) radius_->decide(pass_.rows);
  meet();
  apply(thread, threads);
}

template <Scalar T>
void StepEngine<T>::place(int thread, int threads) noexcept {
  const auto [first, last] = shares_.of(thread, threads);
  for (std::size_t u = first; u < last; ++u) {
    const GradientUnit& unit = network_->units()[u];
    const std::int64_t size = (unit.row1 - unit.row0) * kPanel<T>;
    optimizer_->place_range(parameters_ + unit.offset, point_.data() + unit.offset, unit.offset, size);
    network_->transpose_unit(point_.data(), unit, transposed_.data());
  }
}

template <Scalar T>
typename StepEngine<T>::Range StepEngine<T>::rows_of(int thread, int threads) const noexcept {
  const std::int64_t tiles = ceil_div(pass_.rows, kRowGrain);
  const std::int64_t first = std::min(tiles * thread / threads * kRowGrain, pass_.rows);
  return {first, std::min(tiles * (thread + 1) / threads * kRowGrain, pass_.rows) - first};
}

template <Scalar T>
void StepEngine<T>::rows(Range range) noexcept {
  const auto [first, count] = range;
  if (count <= 0) return;
  batch_.load(pass_, first, count);
  pass_.forward(first, count);
  const Deltas deltas = clipping_ != nullptr ? Deltas::kPerSample : Deltas::kReduced;
  if (!batch_.evaluate(pass_, deltas, first, count)) losses_finite_.store(false, std::memory_order_relaxed);
  pass_.backward(first, count);
  if (clipping_ != nullptr && !clipping_->clip(pass_, first, count)) {
    gradients_finite_.store(false, std::memory_order_relaxed);
  }
}

template <Scalar T>
void StepEngine<T>::units(int thread, int threads) noexcept {
  const KernelTable<T>& k = kernels<T>();
  alignas(kCacheLine) T gradient[kUnitElements<T>];
  // Deltas of single samples have no share of the mean in them yet.
  const T scale = clipping_ != nullptr && !sum_reduction_ ? static_cast<T>(1.0 / double(pass_.rows)) : T(1);
  const auto [first, last] = shares_.of(thread, threads);
  for (std::size_t u = first; u < last; ++u) {
    const GradientUnit& unit = network_->units()[u];
    const std::int64_t size = (unit.row1 - unit.row0) * kPanel<T>;
    T* w = parameters_ + unit.offset;
    optimizer_->prefetch_range(w, unit.offset, size);
    pass_.gradient(unit, scale, gradient);
    if (l2_ != 0) {
      const T* at = pass_.parameters + unit.offset;
      penalties_[u] = k.sum_squares(at, size);
      k.scaled_sum(gradient, static_cast<T>(l2_), at, gradient, size);
    }
    if (radius_ != nullptr) {
      update(radius_->candidate(w, unit.offset, size), gradient, u, size);
      radius_->take(w, unit.offset, size, u);
    } else {
      update(w, gradient, u, size);
      if (!has_place()) network_->transpose_unit(parameters_, unit, transposed_.data());
    }
  }
}

template <Scalar T>
void StepEngine<T>::update(T* w, const T* gradient, std::size_t unit, std::int64_t size) noexcept {
  // An update that overflows is taken back, so that the parameters stay finite.
  alignas(kCacheLine) T before[kUnitElements<T>];
  std::memcpy(before, w, static_cast<std::size_t>(size) * sizeof(T));
  optimizer_->update_range(w, gradient, network_->units()[unit].offset, size);
  if (kernels<T>().all_finite(w, size)) return;
  std::memcpy(w, before, static_cast<std::size_t>(size) * sizeof(T));
  std::int64_t seen = not_finite_unit_.load(std::memory_order_relaxed);
  const auto mine = static_cast<std::int64_t>(unit);
  while ((seen < 0 || seen > mine) &&
         !not_finite_unit_.compare_exchange_weak(seen, mine, std::memory_order_relaxed)) {
  }
}

template <Scalar T>
void StepEngine<T>::apply(int thread, int threads) noexcept {
  if (std::isnan(radius_->radius().scale)) return;
  const auto [first, last] = shares_.of(thread, threads);
  for (std::size_t u = first; u < last; ++u) {
    const GradientUnit& unit = network_->units()[u];
    radius_->apply(parameters_ + unit.offset, unit.offset, (unit.row1 - unit.row0) * kPanel<T>);
    if (!has_place()) network_->transpose_unit(parameters_, unit, transposed_.data());
  }
}

template <Scalar T>
double StepEngine<T>::loss() const noexcept {
  const double loss = batch_.loss();
  return l2_ != 0 ? loss + 0.5 * l2_ * sum_in_order(penalties_.span()) : loss;
}

template <Scalar T>
bool StepEngine<T>::update_finite() const noexcept {
  const bool units = not_finite_unit_.load(std::memory_order_relaxed) < 0;
  return units && (radius_ == nullptr || !std::isnan(radius_->radius().scale));
}

template <Scalar T>
std::string StepEngine<T>::not_finite_in() const {
  if (!losses_finite()) return "loss";
  if (!updated()) return "gradient";
  const std::int64_t index = not_finite_unit_.load(std::memory_order_relaxed);
  if (index < 0) return "step";
  const GradientUnit& u = network_->units()[static_cast<std::size_t>(index)];
  for (const TensorInfo& tensor : network_->tensors()) {
    const ParameterBlock& block = network_->blocks()[static_cast<std::size_t>(tensor.block)];
    const std::int64_t end = block.offset + block.panels * block.rows * kPanel<T>;
    if (block.offset <= u.offset && u.offset < end) return tensor.name;
  }
  return "parameters";
}

template <Scalar T>
void StepEngine<T>::describe(StepNumbers& numbers) const {
  if (clipping_ != nullptr && pass_.rows > 0) {
    const ClippingSummary summary = clipping_->summary(pass_.rows);
    numbers.numbers.emplace_back("meanGradientNorm", summary.mean_norm);
    numbers.numbers.emplace_back("largestGradientNorm", summary.largest_norm);
    numbers.numbers.emplace_back("clippedShare", summary.clipped);
  }
  if (radius_ == nullptr) return;
  const StepRadius& radius = radius_->radius();
  numbers.numbers.emplace_back("stepScale", radius.scale);
  numbers.numbers.emplace_back("normalisedStep", radius.normalised_step);
  numbers.numbers.emplace_back("convergenceRadius", radius.radius);
  numbers.numbers.emplace_back("stepLength", radius_->step_length());
  numbers.numbers.emplace_back("shortenedSteps", static_cast<double>(radius_->shortened()));
}

template <Scalar T>
TrainingState StepEngine<T>::save() const {
  TrainingState state;
  state.updates = optimizer_->updates();
  const auto names = optimizer_->rule().state_names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    state.names.emplace_back(names[i]);
    std::vector<double> values(static_cast<std::size_t>(network_->parameter_count()));
    network_->template to_public<double>(optimizer_->state(static_cast<int>(i)), values);
    state.arrays.push_back(std::move(values));
  }
  return state;
}

template <Scalar T>
Status StepEngine<T>::restore(const TrainingState& state) noexcept {
  // All is checked before anything is written: a state that does not fit changes nothing.
  const auto names = optimizer_->rule().state_names();
  const std::vector<double>* arrays[kMaxStates] = {};
  for (std::size_t i = 0; i < names.size(); ++i) {
    for (std::size_t j = 0; j < state.names.size(); ++j) {
      if (state.names[j] == names[i]) arrays[i] = &state.arrays[j];
    }
    if (arrays[i] == nullptr) {
      return Status::error(ErrorCode::kState, "state.optimizer", "the state arrays of this optimizer");
    }
    const auto size = static_cast<std::int64_t>(arrays[i]->size());
    if (size != network_->parameter_count()) {
      return Status::error(ErrorCode::kShape, "state.optimizer", "one value a parameter", size,
                           network_->parameter_count());
    }
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    network_->template to_arena<double>(*arrays[i], optimizer_->state(static_cast<int>(i)));
  }
  optimizer_->set_updates(state.updates);
  return Status::success();
}

template class StepEngine<float>;
template class StepEngine<double>;

}  // namespace krylov
