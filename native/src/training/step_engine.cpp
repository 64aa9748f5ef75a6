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
  if (Status s = check_losses<T>(network, losses_of(options.tasks)); !s.ok()) return s;
  std::unique_ptr<StepEngine> engine(new StepEngine(network, options, max_rows));
  if (Status s = Optimizer<T>::create(options.optimizer, network.arena_size(), engine->optimizer_); !s.ok()) return s;
  if (engine->has_place()) engine->point_ = AlignedBuffer<T>(static_cast<std::size_t>(network.arena_size()));
  if (Status s = engine->make_stages(options, max_rows); !s.ok()) return s;
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
void StepEngine<T>::begin_scores(const Dataset& data, const std::uint32_t* index, std::int64_t rows) noexcept {
  batch_.select(data, index, rows);
  pass_.rows = rows;
  optimizer_->begin();
}

template <Scalar T>
void StepEngine<T>::score(Barrier* barrier, int thread, int threads) noexcept {
  const auto [first, count] = rows_of(thread, threads);
  Pass<T> pass = pass_;
  pass.training = false;
  if (has_place() && scores_->needs_backward()) {
    place(thread, threads);
    Member{barrier, thread, threads}.meet();
  } else {
    pass.parameters = parameters_;
  }
  if (count > 0) scores_->of_pool(pass, batch_, first, count);
}

template <Scalar T>
std::span<const double> StepEngine<T>::scores() const noexcept {
  return scores_ != nullptr ? scores_->values(pass_.rows) : std::span<const double>{};
}

template <Scalar T>
void StepEngine<T>::begin(const Dataset& data, const std::uint32_t* index, std::int64_t rows,
                          const double* factors) noexcept {
  batch_.select(data, index, rows, 0, factors);
  pass_.rows = rows;
  pass_.step = static_cast<std::uint64_t>(optimizer_->updates());
  losses_finite_.store(true, std::memory_order_relaxed);
  not_finite_unit_.store(-1, std::memory_order_relaxed);
  for (Stage<T>* stage : stages_) stage->begin();
  if (privacy_ != nullptr) privacy_->begin_update(optimizer_->updates());
  if (record_ != nullptr) {
    const bool reduced = deltas_ == Deltas::kReduced && !sum_reduction_;
    record_->prepare(optimizer_->updates() + 1, rows, reduced ? static_cast<double>(rows) : 1.0);
  }
  optimizer_->begin();
}

template <Scalar T>
void StepEngine<T>::take(Barrier* barrier, int thread, int threads) noexcept {
  take_losses(barrier, thread, threads);
  if (weighting_ != nullptr) weigh({barrier, thread, threads});
  take_update(barrier, thread, threads);
}

template <Scalar T>
void StepEngine<T>::take_losses(Barrier* barrier, int thread, int threads) noexcept {
  if (has_place()) {
    place(thread, threads);
    Member{barrier, thread, threads}.meet();
  }
  losses(rows_of(thread, threads));
}

template <Scalar T>
void StepEngine<T>::take_update(Barrier* barrier, int thread, int threads) noexcept {
  const Member member{barrier, thread, threads};
  const Range range = rows_of(thread, threads);
  backward(range);
  member.meet();
  if (!updated()) return;
  if (multitask_ != nullptr) {
    multitask_->combine(pass_, batch_, gradient_scale(), member);
    if (!updated()) return;
  }
  if (!whole_.empty()) {
    whole_gradient(member);
    if (!updated()) return;
  }
  units(member);
  if (radius_ == nullptr) return;
  member.meet();
  if (range.count > 0) radius_->slopes(pass_, range.first, range.count);
  member.meet();
  if (thread == 0) radius_->decide(pass_.rows);
  member.meet();
  apply(thread, threads);
}

template <Scalar T>
bool StepEngine<T>::updated() const noexcept {
  if (!losses_finite()) return false;
  for (const Stage<T>* stage : stages_) {
    if (stage != radius_.get() && !stage->finite()) return false;
  }
  return true;
}

template <Scalar T>
void StepEngine<T>::end() noexcept {
  for (Stage<T>* stage : stages_) stage->end();
  optimizer_->end();
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
void StepEngine<T>::losses(Range range) noexcept {
  const auto [first, count] = range;
  if (count <= 0) return;
  batch_.load(pass_, first, count);
  pass_.forward(first, count);
  const bool finite = batch_.evaluate(pass_, deltas_, first, count);
  // Samples that are left out take their losses with them.
  if (!finite && (clipping_ == nullptr || !clipping_->drops())) losses_finite_.store(false, std::memory_order_relaxed);
  if (weighting_ != nullptr) weighting_->observe(pass_, batch_, first, count);
}

template <Scalar T>
void StepEngine<T>::weigh(const Member& member) noexcept {
  if (!weighting_->decides()) return;
  member.meet();
  if (member.thread == 0 && losses_finite()) weighting_->decide(pass_);
  member.meet();
}

template <Scalar T>
void StepEngine<T>::backward(Range range) noexcept {
  const auto [first, count] = range;
  if (count <= 0) return;
  if (weighting_ != nullptr) weighting_->scale(pass_, first, count);
  if (multitask_ != nullptr) return multitask_->backward(pass_, first, count);
  pass_.backward(first, count);
  if (scores_ != nullptr) {
    const bool reduced = deltas_ == Deltas::kReduced && !sum_reduction_;
    scores_->of_step(pass_, batch_, reduced ? double(pass_.rows) : 1.0, first, count);
  }
  if (clipping_ != nullptr) clipping_->clip(pass_, batch_, first, count);
  if (record_ != nullptr) record_->rows(pass_, first, count);
}

template <Scalar T>
void StepEngine<T>::units(const Member& member) noexcept {
  alignas(kCacheLine) T own[kUnitElements<T>];
  const auto [first, last] = shares_.of(member.thread, member.threads);
  for (std::size_t u = first; u < last; ++u) {
    const GradientUnit& unit = network_->units()[u];
    optimizer_->prefetch_range(parameters_ + unit.offset, unit.offset, (unit.row1 - unit.row0) * kPanel<T>);
    if (whole_.empty()) gradient(u, own);
    step_unit(u, whole_.empty() ? own : whole_.data() + unit.offset);
  }
}

template <Scalar T>
void StepEngine<T>::whole_gradient(const Member& member) noexcept {
  const auto [first, last] = shares_.of(member.thread, member.threads);
  for (std::size_t u = first; u < last; ++u) gradient(u, whole_.data() + network_->units()[u].offset);
  for (const auto& stage : gradient_stages_) {
    member.meet();
    stage->apply(pass_.parameters, whole_.data(), member);
  }
  member.meet();
}

template <Scalar T>
T StepEngine<T>::gradient_scale() const noexcept {
  const bool mean = deltas_ == Deltas::kPerSample && !sum_reduction_;
  const double size = privacy_ != nullptr ? privacy_->divisor() : double(pass_.rows);
  return mean ? static_cast<T>(1.0 / size) : T(1);
}

template <Scalar T>
void StepEngine<T>::gradient(std::size_t u, T* out) noexcept {
  const GradientUnit& unit = network_->units()[u];
  const std::int64_t size = (unit.row1 - unit.row0) * kPanel<T>;
  if (multitask_ != nullptr) {
    multitask_->gradient(pass_, u, gradient_scale(), out);
  } else {
    pass_.gradient(unit, gradient_scale(), out);
  }
  if (record_ != nullptr) record_->unit(u, out);
  if (privacy_ != nullptr) privacy_->add(unit, out);
  if (l2_ == 0) return;
  const KernelTable<T>& k = kernels<T>();
  const T* at = pass_.parameters + unit.offset;
  penalties_[u] = k.sum_squares(at, size);
  k.scaled_sum(out, static_cast<T>(l2_), at, out, size);
}

template <Scalar T>
void StepEngine<T>::step_unit(std::size_t u, const T* gradient) noexcept {
  const GradientUnit& unit = network_->units()[u];
  const std::int64_t size = (unit.row1 - unit.row0) * kPanel<T>;
  T* w = parameters_ + unit.offset;
  if (radius_ != nullptr) {
    update(radius_->candidate(w, unit.offset, size), gradient, u, size);
    radius_->take(w, unit.offset, size, u);
  } else {
    update(w, gradient, u, size);
    if (!has_place()) network_->transpose_unit(parameters_, unit, transposed_.data());
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
  if (!radius_->finite()) return;
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
  return l2_ != 0 && updated() ? loss + 0.5 * l2_ * sum_in_order(penalties_.span()) : loss;
}

template <Scalar T>
bool StepEngine<T>::update_finite() const noexcept {
  const bool units = not_finite_unit_.load(std::memory_order_relaxed) < 0;
  return units && (radius_ == nullptr || radius_->finite());
}

template <Scalar T>
std::string StepEngine<T>::not_finite_in() const {
  if (!losses_finite()) return "loss";
  for (const Stage<T>* stage : stages_) {
    if (stage != radius_.get() && !stage->finite()) return std::string(stage->not_finite_in());
  }
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
  for (const Stage<T>* stage : stages_) stage->describe(numbers);
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
  for (const Stage<T>* stage : stages_) stage->save(state);
  return state;
}

// Names that neither the optimizer nor a stage has: the state is another run's.
template <Scalar T>
Status StepEngine<T>::check_names(const TrainingState& state) const {
  const TrainingState own = save();
  const auto known = [](const auto& list, const std::string& name) {
    return std::any_of(list.begin(), list.end(), [&](const auto& entry) { return entry.first == name; });
  };
  // What was recorded of gradients does not act on the run.
  const auto recorded = [](const std::string& name) { return name.starts_with("gradients."); };
  for (const std::string& name : state.names) {
    if (recorded(name)) continue;
    if (std::find(own.names.begin(), own.names.end(), name) == own.names.end()) {
      return Status::error(ErrorCode::kState, "state.optimizer.values", "only names that the optimizer or a stage has");
    }
  }
  for (const auto& [name, value] : state.numbers) {
    if (!recorded(name) && !known(own.numbers, name)) {
      return Status::error(ErrorCode::kState, "state.optimizer.numbers", "only names that a stage has");
    }
  }
  for (const auto& [name, values] : state.plain) {
    if (!recorded(name) && !known(own.plain, name)) {
      return Status::error(ErrorCode::kState, "state.optimizer.arrays", "only names that a stage has");
    }
  }
  return Status::success();
}

template <Scalar T>
Status StepEngine<T>::restore(const TrainingState& state) {
  if (Status s = check_names(state); !s.ok()) return s;
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
  for (Stage<T>* stage : stages_) {
    if (state.updates == 0) break;
    if (Status s = stage->restore(state); !s.ok()) return s;
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
