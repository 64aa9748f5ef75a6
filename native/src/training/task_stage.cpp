#include "training/task_stage.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <set>
#include <string>

#include "kernels/kernel_table.h"
#include "network/layer.h"

namespace krylov {

namespace {

// Cosines of all pairs are told of at most so many tasks.
constexpr int kMostToldTasks = 8;

// Names of numbers outlive the stage in records that are still on their way: they are kept for good, each once.
const char* lasting(std::string name) {
  static auto* const names = new std::set<std::string>;
  static std::mutex guard;
  const std::scoped_lock lock(guard);
  return names->insert(std::move(name)).first->c_str();
}

// Where the elements of a trunk's tensors lie in the arena.
template <Scalar T>
std::vector<TaskPiece> pieces_of(const Network<T>& network, std::int64_t arena_size) {
  std::vector<TaskPiece> pieces;
  int tensor = 0;
  for (const TensorInfo& info : network.tensors()) {
    const ParameterBlock& block = network.blocks()[static_cast<std::size_t>(info.block)];
    if (block.offset >= arena_size) continue;
    for (std::int64_t panel = 0; panel < block.panels; ++panel) {
      pieces.push_back({tensor, block.offset + (panel * block.rows + info.first_row) * kPanel<T>,
                        info.row_count * kPanel<T>});
    }
    ++tensor;
  }
  return pieces;
}

bool has_direction(TaskMethod method) noexcept { return method == TaskMethod::kSamGs || method == TaskMethod::kGCond; }

std::string state_name(const char* name) { return std::string("multitask.") + name; }
std::string state_name(const char* name, std::int64_t index) { return state_name(name) + '.' + std::to_string(index); }

const std::vector<double>* find_array(const std::vector<std::pair<std::string, std::vector<double>>>& arrays,
                                      const std::string& name) noexcept {
  for (const auto& [key, values] : arrays) {
    if (key == name) return &values;
  }
  return nullptr;
}

}  // namespace

template <Scalar T>
TaskStage<T>::Trunk::Trunk(const Network<T>& network) : owners(network.layers().size(), kShared) {
  const auto layers = network.layers();
  const auto heads = network.heads();
  std::vector<int> users(layers.size(), 0);
  for (std::size_t h = 0; h < heads.size(); ++h) {
    std::vector<bool> needed(network.buffers().size(), false);
    needed[static_cast<std::size_t>(heads[h].buffer)] = true;
    for (std::size_t i = layers.size(); i-- > 0;) {
      if (!needed[static_cast<std::size_t>(layers[i]->output)]) continue;
      needed[static_cast<std::size_t>(layers[i]->input)] = true;
      if (auto* sum = layers[i]->residual_sum()) needed[static_cast<std::size_t>(sum->skip)] = true;
      owners[i] = static_cast<int>(h);
      ++users[i];
    }
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (users[i] < 2) continue;
    owners[i] = kShared;
    joint = layers[i]->output;
  }
  for (const GradientUnit& unit : network.units()) {
    if (owners[static_cast<std::size_t>(unit.layer)] != kShared) continue;
    ++units;
    arena_size = std::max(arena_size, unit.offset + (unit.row1 - unit.row0) * kPanel<T>);
  }
  for (const TensorInfo& tensor : network.tensors()) {
    if (network.blocks()[static_cast<std::size_t>(tensor.block)].offset < arena_size) parameters += tensor.size();
  }
}

template <Scalar T>
Status TaskStage<T>::check(const Network<T>& network, const TrainingOptions& options) {
  const auto heads = static_cast<std::int64_t>(network.heads().size());
  if (heads < 2) return Status::error(ErrorCode::kOption, "multitask", "a model with two heads or more", heads);
  if (options.clipping) {
    return Status::error(ErrorCode::kOption, "clipping", "none with multitask, which has no gradient of a sample");
  }
  if (options.gradients) {
    return Status::error(ErrorCode::kOption, "record.gradients",
                         "none with multitask, which has no gradient of a sample");
  }
  const Trunk trunk(network);
  if (trunk.parameters == 0) {
    return Status::error(ErrorCode::kOption, "multitask",
                         "layers with parameters before the heads, for the tasks to share");
  }
  return check_task_combiner(*options.multitask, heads, trunk.parameters, {});
}

template <Scalar T>
TaskStage<T>::TaskStage(const Network<T>& network, const TrainingOptions& options, std::int64_t max_rows)
    : network_(&network), trunk_(network), shares_(network.units().first(trunk_.units)),
      products_(static_cast<std::int64_t>(network.heads().size() * (network.heads().size() + 1)), trunk_.arena_size) {
  const TaskCombinerSpec& spec = *options.multitask;
  const std::size_t n = network.heads().size(), pairs = n * (n + 1) / 2;
  for (const HeadInfo& head : network.heads()) {
    names_.push_back(lasting(head.name));
    norm_names_.push_back(lasting("taskNorm." + head.name));
    weight_names_.push_back(lasting("taskWeight." + head.name));
  }
  for (int i = 0; i < tasks() && tasks() <= kMostToldTasks; ++i) {
    for (int j = i + 1; j < tasks(); ++j) {
      cosine_names_.push_back(lasting(std::string("cosine.") + names_[static_cast<std::size_t>(i)] + '.' +
                                      names_[static_cast<std::size_t>(j)]));
    }
  }
  for (std::size_t t = 1; t < n; ++t) deltas_.emplace_back(network, max_rows, MatrixKind::kDelta);
  rows_ = AlignedBuffer<T>(n * static_cast<std::size_t>(trunk_.arena_size));
  for (int t = 0; t < tasks(); ++t) row_pointers_.push_back(row(t));
  if (has_direction(spec.method)) direction_ = AlignedBuffer<T>(static_cast<std::size_t>(trunk_.arena_size));
  partials_ = AlignedBuffer<double>(trunk_.units * pairs);
  q_.resize(n * n), losses_.resize(n);
  rule_ = make_task_rule<T>(spec, tasks(), trunk_.arena_size, pieces_of(network, trunk_.arena_size));
  const GradNormOptions& norm = spec.grad_norm;
  if (spec.method == TaskMethod::kGradNorm && (norm.first > 0 || norm.count >= 0)) {
    std::vector<double> chosen(static_cast<std::size_t>(network.parameter_count()), 0.0);
    const std::int64_t last = norm.count < 0 ? trunk_.parameters : norm.first + norm.count;
    std::fill(chosen.begin() + norm.first, chosen.begin() + last, 1.0);
    balanced_ = AlignedBuffer<T>(static_cast<std::size_t>(network.arena_size()));
    network.template to_arena<double>(chosen, balanced_.span());
    parts_ = AlignedBuffer<double>(trunk_.units * n);
    part_norms_.resize(n);
  }
}

template <Scalar T>
Pass<T> TaskStage<T>::of_task(const Pass<T>& pass, int task) const noexcept {
  Pass<T> own = pass;
  if (task > 0) own.adjoints = &deltas_[static_cast<std::size_t>(task - 1)];
  return own;
}

template <Scalar T>
void TaskStage<T>::backward(const Pass<T>& pass, std::int64_t first, std::int64_t count) noexcept {
  const auto layers = network_->layers();
  const BufferInfo& joint = network_->buffers()[static_cast<std::size_t>(trunk_.joint)];
  for (int t = 0; t < tasks(); ++t) {
    const Pass<T> own = of_task(pass, t);
    const BatchMatrices<T>& deltas = own.adjoint_set();
    const int buffer = network_->heads()[static_cast<std::size_t>(t)].buffer;
    const BufferInfo& info = network_->buffers()[static_cast<std::size_t>(buffer)];
    if (t > 0) {
      copy_rows(pass.adjoint_set()[buffer] + first * info.ld, info.ld, deltas[buffer] + first * info.ld, info.ld, count,
                round_up(info.width, kPanel<T>));
    }
    // A head adds to what those behind it have left there, in a pass of all of them.
    std::memset(deltas[trunk_.joint] + first * joint.ld, 0, static_cast<std::size_t>(count * joint.ld) * sizeof(T));
    for (std::size_t i = layers.size(); i-- > 0;) {
      if (trunk_.owners[i] == kShared || trunk_.owners[i] == t) layers[i]->backward(own, first, count);
    }
  }
}

template <Scalar T>
void TaskStage<T>::combine(const Pass<T>& pass, const Batch<T>& batch, T scale, const Member& member) noexcept {
  const auto [first, last] = shares_.of(member.thread, member.threads);
  for (std::size_t u = first; u < last; ++u) {
    const GradientUnit& unit = network_->units()[u];
    for (int t = 0; t < tasks(); ++t) of_task(pass, t).gradient(unit, scale, row(t) + unit.offset);
    unit_products(unit, u);
  }
  member.meet();
  if (member.thread != 0) return crew_.serve(member);
  crew_.open(member);
  decide(pass, batch, member.threads);
  crew_.close();
}

template <Scalar T>
void TaskStage<T>::unit_products(const GradientUnit& unit, std::size_t index) noexcept {
  const std::int64_t size = (unit.row1 - unit.row0) * kPanel<T>;
  const auto n = static_cast<std::size_t>(tasks());
  double* to = partials_.data() + index * (n * (n + 1) / 2);
  for (int i = 0; i < tasks(); ++i) {
    for (int j = 0; j <= i; ++j) *to++ = kernels<T>().dot(row(i) + unit.offset, row(j) + unit.offset, size);
  }
  if (balanced_.empty()) return;
  const T* chosen = balanced_.data() + unit.offset;
  for (int t = 0; t < tasks(); ++t) {
    const T* g = row(t) + unit.offset;
    double sum = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      const auto x = static_cast<double>(g[i]);
      sum += static_cast<double>(chosen[i]) * x * x;
    }
    parts_[index * n + static_cast<std::size_t>(t)] = sum;
  }
}

template <Scalar T>
void TaskStage<T>::decide(const Pass<T>& pass, const Batch<T>& batch, int threads) noexcept {
  const auto n = static_cast<std::size_t>(tasks());
  const std::size_t pairs = n * (n + 1) / 2;
  std::size_t pair = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j, ++pair) {
      double sum = 0;
      for (std::size_t u = 0; u < trunk_.units; ++u) sum += partials_[u * pairs + pair];
      q_[i * n + j] = q_[j * n + i] = sum;
    }
    finite_ = finite_ && std::isfinite(q_[i * n + i]);
    losses_[i] = batch.losses()[i].weight * batch.head_loss(i);
  }
  if (!finite_) return;
  for (std::size_t t = 0; t < part_norms_.size(); ++t) {
    double sum = 0;
    for (std::size_t u = 0; u < trunk_.units; ++u) sum += parts_[u * n + t];
    part_norms_[t] = std::sqrt(sum);
  }
  reset(result_);
  describe_products(q_, tasks(), result_);
  const TaskGradients<T> given{row_pointers_, losses_, pass.parameters};
  TaskWork<T> work{crew_,     threads, given,   trunk_.arena_size, steps_, q_,
                   products_, direction_.data(), result_, part_norms_};
  rule_->combine(work);
  ++steps_;
  conflicts_ += result_.conflicts;
  combined_ = true;
}

template <Scalar T>
void TaskStage<T>::gradient(const Pass<T>& pass, std::size_t index, T scale, T* out) const noexcept {
  const GradientUnit& unit = network_->units()[index];
  const int owner = trunk_.owners[static_cast<std::size_t>(unit.layer)];
  if (owner != kShared) return of_task(pass, owner).gradient(unit, scale, out);
  const std::int64_t size = (unit.row1 - unit.row0) * kPanel<T>;
  const bool linear = result_.linear;
  const T* from = linear ? row_pointers_[0] : direction_.data();
  std::memcpy(out, from + unit.offset, static_cast<std::size_t>(size) * sizeof(T));
  if (!linear) return;
  const KernelTable<T>& k = kernels<T>();
  const std::vector<double>& a = result_.coefficients;
  if (a[0] != 1) k.scale(static_cast<T>(a[0]), out, size);
  for (std::size_t t = 1; t < a.size(); ++t) {
    if (a[t] != 0) k.scaled_sum(out, static_cast<T>(a[t]), row_pointers_[t] + unit.offset, out, size);
  }
}

template <Scalar T>
void TaskStage<T>::begin() noexcept {
  finite_ = true;
  combined_ = false;
}

template <Scalar T>
void TaskStage<T>::save(TrainingState& state) const {
  state.numbers.emplace_back("multitask.steps", static_cast<double>(steps_));
  state.numbers.emplace_back("multitask.conflicts", static_cast<double>(conflicts_));
  AlignedBuffer<T> arena(static_cast<std::size_t>(network_->arena_size()));
  for (const TaskState<T>& own : rule_->states()) {
    if (own.vector.empty()) {
      state.plain.emplace_back(state_name(own.name), std::vector<double>(own.numbers.begin(), own.numbers.end()));
      continue;
    }
    const auto size = static_cast<std::size_t>(trunk_.arena_size);
    for (std::size_t i = 0; i * size < own.vector.size(); ++i) {
      std::copy_n(own.vector.begin() + static_cast<std::ptrdiff_t>(i * size), size, arena.data());
      std::vector<double> values(static_cast<std::size_t>(network_->parameter_count()));
      network_->template to_public<double>(arena.span(), values);
      state.names.push_back(own.vector.size() == size ? state_name(own.name)
                                                      : state_name(own.name, static_cast<std::int64_t>(i)));
      state.arrays.push_back(std::move(values));
    }
  }
}

template <Scalar T>
Status TaskStage<T>::restore(const TrainingState& state) {
  const double* steps = find_number(state, "multitask.steps");
  const double* conflicts = find_number(state, "multitask.conflicts");
  if (steps == nullptr || conflicts == nullptr || !(*steps >= 0) || !(*conflicts >= 0)) {
    return Status::error(ErrorCode::kState, "state.optimizer.numbers",
                         "the task method's counts of steps and conflicts");
  }
  const auto size = static_cast<std::size_t>(trunk_.arena_size);
  const auto array_of = [&](const std::string& name) -> const std::vector<double>* {
    const auto at = std::find(state.names.begin(), state.names.end(), name);
    return at == state.names.end() ? nullptr : &state.arrays[static_cast<std::size_t>(at - state.names.begin())];
  };
  AlignedBuffer<T> arena(static_cast<std::size_t>(network_->arena_size()));
  // First a look at everything, then the change.
  for (const bool change : {false, true}) {
    for (const TaskState<T>& own : rule_->states()) {
      if (own.vector.empty()) {
        const std::vector<double>* values = find_array(state.plain, state_name(own.name));
        if (values == nullptr || values->size() != own.numbers.size()) {
          return Status::error(ErrorCode::kState, "state.optimizer.arrays", "the numbers of this task method");
        }
        if (change) std::copy(values->begin(), values->end(), own.numbers.begin());
        continue;
      }
      for (std::size_t i = 0; i * size < own.vector.size(); ++i) {
        const bool one = own.vector.size() == size;
        const auto* values = array_of(one ? state_name(own.name) : state_name(own.name, static_cast<std::int64_t>(i)));
        if (values == nullptr || values->size() != static_cast<std::size_t>(network_->parameter_count())) {
          return Status::error(ErrorCode::kState, "state.optimizer.values", "the arrays of this task method");
        }
        if (!change) continue;
        network_->template to_arena<double>(*values, arena.span());
        std::copy_n(arena.data(), size, own.vector.begin() + static_cast<std::ptrdiff_t>(i * size));
      }
    }
  }
  steps_ = static_cast<std::int64_t>(*steps);
  conflicts_ = static_cast<std::int64_t>(*conflicts);
  return Status::success();
}

template <Scalar T>
void TaskStage<T>::describe(StepNumbers& numbers) const {
  if (!combined_) return;
  auto& list = numbers.numbers;
  const auto n = static_cast<std::size_t>(tasks());
  const double pairs = 0.5 * static_cast<double>(n) * static_cast<double>(n - 1);
  list.emplace_back("conflicts", static_cast<double>(result_.conflicts));
  list.emplace_back("conflictShare", static_cast<double>(conflicts_) / (static_cast<double>(steps_) * pairs));
  double least = 1;
  std::size_t pair = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i + 1; j < n; ++j, ++pair) {
      const double cosine = result_.cosines[i * n + j];
      least = std::min(least, cosine);
      if (pair < cosine_names_.size()) list.emplace_back(cosine_names_[pair], cosine);
    }
  }
  list.emplace_back("leastCosine", least);
  for (std::size_t t = 0; t < n; ++t) list.emplace_back(norm_names_[t], result_.norms[t]);
  for (std::size_t t = 0; result_.linear && t < n; ++t) list.emplace_back(weight_names_[t], result_.coefficients[t]);
  if (result_.resolves) list.emplace_back("resolvedConflicts", static_cast<double>(result_.resolved_conflicts));
}

template class TaskStage<float>;
template class TaskStage<double>;

}  // namespace krylov
