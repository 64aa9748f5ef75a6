#include <algorithm>
#include <cmath>

#include "kernels/kernel_table.h"
#include "optimizers/task_rules.h"
#include "solvers/chunks.h"

namespace krylov {

namespace {

// Partial results of a product: as many as a large team has threads, whatever the length.
constexpr std::int64_t kMostSlots = 64;
// Elements of all rows that a thread takes at a time: they stay in the second-level cache over all pairs.
constexpr std::int64_t kProductBlock = 2048;
// Elements that are summed in float64 before they are rounded.
constexpr std::int64_t kSumBlock = 512;
// What stays of a conflict after a projection is rounding.
constexpr double kConflict = -1e-12;

std::int64_t slots_of(std::int64_t size) noexcept {
  return std::clamp<std::int64_t>(ceil_div(size, kVectorChunk), 1, kMostSlots);
}

template <Scalar T>
void combine_rows(Crew& crew, int threads, std::span<const double> a, std::span<const T* const> rows,
                  std::int64_t size, T* out) noexcept {
  each_chunk(crew, threads, size, [&](std::int64_t first, std::int64_t count) {
    double sums[kSumBlock];
    for (std::int64_t from = first; from < first + count; from += kSumBlock) {
      const std::int64_t n = std::min(kSumBlock, first + count - from);
      std::fill_n(sums, n, 0.0);
      for (std::size_t k = 0; k < rows.size(); ++k) {
        if (a[k] == 0) continue;
        const T* row = rows[k] + from;
        for (std::int64_t i = 0; i < n; ++i) sums[i] += a[k] * static_cast<double>(row[i]);
      }
      for (std::int64_t i = 0; i < n; ++i) out[from + i] = static_cast<T>(sums[i]);
    }
  });
}

}  // namespace

template <Scalar T>
PairProducts<T>::PairProducts(std::int64_t most_pairs, std::int64_t size)
    : slots_(slots_of(size)), partials_(static_cast<std::size_t>(most_pairs * slots_)) {
  pairs_.reserve(static_cast<std::size_t>(most_pairs));
}

template <Scalar T>
void PairProducts<T>::compute(Crew& crew, int threads, std::span<const Pair> pairs, std::int64_t size,
                              double* out) noexcept {
  const std::int64_t slots = std::min(slots_, slots_of(size));
  const auto count = static_cast<std::int64_t>(pairs.size());
  each_unit(crew, size < kWorthSharing ? 1 : threads, slots, [&](std::int64_t slot) {
    double* sums = partials_.data() + slot * count;
    std::fill_n(sums, count, 0.0);
    const std::int64_t end = size * (slot + 1) / slots;
    for (std::int64_t from = size * slot / slots; from < end; from += kProductBlock) {
      const std::int64_t n = std::min(kProductBlock, end - from);
      for (std::int64_t p = 0; p < count; ++p) {
        const auto& [x, y] = pairs[static_cast<std::size_t>(p)];
        sums[p] += kernels<T>().dot(x + from, y + from, n);
      }
    }
  });
  for (std::int64_t p = 0; p < count; ++p) {
    out[p] = 0;
    for (std::int64_t slot = 0; slot < slots; ++slot) out[p] += partials_[static_cast<std::size_t>(slot * count + p)];
  }
}

void products_of_combinations(std::span<const double> c, std::span<const double> q, int tasks,
                              std::vector<double>& half, std::vector<double>& out) {
  const auto n = static_cast<std::size_t>(tasks);
  half.assign(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < n; ++k) {
      for (std::size_t j = 0; c[i * n + k] != 0 && j < n; ++j) half[i * n + j] += c[i * n + k] * q[k * n + j];
    }
  }
  out.assign(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      for (std::size_t k = 0; k < n; ++k) out[i * n + j] += half[i * n + k] * c[j * n + k];
    }
  }
}

int cosines_of_products(std::span<const double> products, int tasks, std::vector<double>& cosines) {
  const auto n = static_cast<std::size_t>(tasks);
  cosines.assign(n * n, 0.0);
  int conflicts = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double a = std::sqrt(std::max(products[i * n + i], 0.0));
    cosines[i * n + i] = a > 0 ? 1 : 0;
    for (std::size_t j = 0; j < i; ++j) {
      const double b = std::sqrt(std::max(products[j * n + j], 0.0));
      if (!(a > 0 && b > 0)) continue;
      const double cosine = std::clamp(products[i * n + j] / a / b, -1.0, 1.0);
      cosines[i * n + j] = cosines[j * n + i] = cosine;
      if (cosine < kConflict) ++conflicts;
    }
  }
  return conflicts;
}

void reset(TaskCombination& r) noexcept {
  for (std::vector<double>* list : {&r.norms, &r.cosines, &r.alignments, &r.coefficients, &r.weights,
                                    &r.resolved_cosines, &r.targets, &r.weight_gradient, &r.next_weights,
                                    &r.similarities}) {
    list->clear();
  }
  r.resolutions.clear();
  r.conflicts = r.opposed = r.resolved_conflicts = 0;
  r.linear = r.weighted = r.resolves = r.equalised = false;
  r.balance_loss = 0;
}

void describe_products(std::span<const double> q, int tasks, TaskCombination& result) {
  const auto n = static_cast<std::size_t>(tasks);
  result.norms.resize(n);
  for (std::size_t i = 0; i < n; ++i) result.norms[i] = std::sqrt(q[i * n + i]);
  result.conflicts = cosines_of_products(q, tasks, result.cosines);
}

void align_to_direction(std::span<const double> products, double square, TaskCombination& result) {
  const std::size_t n = result.norms.size();
  result.alignments.assign(n, 0.0);
  const double length = std::sqrt(std::max(square, 0.0));
  for (std::size_t i = 0; i < n; ++i) {
    if (!(length > 0 && result.norms[i] > 0)) continue;
    result.alignments[i] = std::clamp(products[i] / length / result.norms[i], -1.0, 1.0);
    if (result.alignments[i] < kConflict) ++result.opposed;
  }
}

namespace {

class TeamCrew final : public Crew {
 public:
  explicit TeamCrew(Team& team) noexcept : team_(team) {}
  void run(int threads, TeamFunction body, void* context) noexcept override { team_.run(threads, body, context); }

 private:
  Team& team_;
};

template <Scalar T>
class Combiner final : public TaskCombiner<T> {
 public:
  Combiner(std::unique_ptr<TaskRule<T>> rule, int tasks, std::int64_t size)
      : rule_(std::move(rule)),
        // GCond asks for the most: every gradient with every previous one, and their norms.
        products_(tasks * tasks + tasks, size),
        q_(static_cast<std::size_t>(tasks * tasks)),
        dots_(static_cast<std::size_t>(tasks * tasks + tasks)),
        size_(size),
        tasks_(tasks) {}

  int tasks() const noexcept override { return tasks_; }
  std::int64_t parameters() const noexcept override { return size_; }
  bool wants_losses() const noexcept override { return rule_->wants_losses(); }
  bool wants_parameters() const noexcept override { return rule_->wants_parameters(); }
  std::span<const TaskState<T>> states() noexcept override { return rule_->states(); }
  std::int64_t steps() const noexcept override { return steps_; }
  void set_steps(std::int64_t steps) noexcept override { steps_ = steps; }
  std::int64_t bytes() const noexcept override {
    std::size_t elements = 0;
    for (const TaskState<T>& state : rule_->states()) elements += state.vector.size();
    return static_cast<std::int64_t>(elements * sizeof(T));
  }

  Status combine(Team& team, int threads, const TaskGradients<T>& given, T* out, TaskCombination& result) override {
    const auto n = static_cast<std::size_t>(tasks_);
    if (given.rows.size() != n) {
      return Status::error(ErrorCode::kShape, "gradients", "one for each task",
                           static_cast<std::int64_t>(given.rows.size()));
    }
    if (wants_losses() && given.losses.size() != n) {
      return Status::error(ErrorCode::kShape, "losses", "one for each task",
                           static_cast<std::int64_t>(given.losses.size()));
    }
    for (std::size_t i = 0; i < given.losses.size(); ++i) {
      if (!(given.losses[i] >= 0) || !std::isfinite(given.losses[i])) {
        return Status::error(ErrorCode::kOption, "losses", "finite numbers of at least 0; the wrong one is number",
                             static_cast<std::int64_t>(i));
      }
    }
    if (wants_parameters() && given.parameters == nullptr) {
      return Status::error(ErrorCode::kOption, "parameters", "the parameters that lion scales by");
    }
    TeamCrew crew(team);
    if (const Status status = gram(crew, threads, given); !status.ok()) return status;

    reset(result);
    describe_products(q_, tasks_, result);
    TaskWork<T> work{crew, threads, given, size_, steps_, q_, products_, out, result};
    rule_->combine(work);
    if (result.linear) combine_rows<T>(crew, threads, result.coefficients, given.rows, size_, out);
    align(work);
    ++steps_;
    return Status::success();
  }

 private:
  Status gram(Crew& crew, int threads, const TaskGradients<T>& given) {
    const auto n = static_cast<std::size_t>(tasks_);
    auto& pairs = products_.pairs();
    pairs.clear();
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j <= i; ++j) pairs.emplace_back(given.rows[i], given.rows[j]);
    }
    products_.compute(crew, threads, pairs, size_, dots_.data());
    const double* dot = dots_.data();
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j <= i; ++j) q_[i * n + j] = q_[j * n + i] = *dot++;
      if (!std::isfinite(q_[i * n + i])) {
        return Status::error(ErrorCode::kNotFinite, "gradients",
                             "finite elements with a finite sum of squares; the wrong one is number",
                             static_cast<std::int64_t>(i));
      }
    }
    return Status::success();
  }

  // Cosines of the gradients and the direction.
  void align(TaskWork<T>& work) {
    const auto n = static_cast<std::size_t>(tasks_);
    TaskCombination& result = work.result;
    double square = 0;
    if (result.linear) {
      for (std::size_t i = 0; i < n; ++i) {
        dots_[i] = 0;
        for (std::size_t j = 0; j < n; ++j) dots_[i] += q_[i * n + j] * result.coefficients[j];
        square += result.coefficients[i] * dots_[i];
      }
    } else {
      auto& pairs = products_.pairs();
      pairs.clear();
      for (std::size_t i = 0; i < n; ++i) pairs.emplace_back(work.given.rows[i], work.out);
      pairs.emplace_back(work.out, work.out);
      products_.compute(work.crew, work.threads, pairs, size_, dots_.data());
      square = dots_[n];
    }
    align_to_direction(dots_, square, result);
  }

  std::unique_ptr<TaskRule<T>> rule_;
  PairProducts<T> products_;
  std::vector<double> q_, dots_;
  std::int64_t size_, steps_ = 0;
  int tasks_;
};

}  // namespace

template <Scalar T>
std::unique_ptr<TaskRule<T>> make_task_rule(const TaskCombinerSpec& spec, int tasks, std::int64_t size,
                                            std::vector<TaskPiece> pieces) {
  switch (spec.method) {
    case TaskMethod::kWeightedSum: return make_weighted_sum<T>(spec, tasks);
    case TaskMethod::kPcGrad: return make_pc_grad<T>(spec, tasks);
    case TaskMethod::kMgda: return make_mgda<T>(spec, tasks);
    case TaskMethod::kCaGrad: return make_ca_grad<T>(spec, tasks);
    case TaskMethod::kGradNorm: return make_grad_norm<T>(spec, tasks, size);
    case TaskMethod::kSamGs: return make_sam_gs<T>(spec, tasks, size);
    case TaskMethod::kGCond: return make_g_cond<T>(spec, tasks, size, std::move(pieces));
  }
  return nullptr;
}

Status check_task_combiner(const TaskCombinerSpec& spec, std::int64_t tasks, std::int64_t size,
                           std::span<const std::int64_t> tensors) {
  const auto wrong = [](const char* name, const char* expected, std::int64_t received) {
    return Status::error(ErrorCode::kShape, name, expected, received);
  };
  if (tasks < 1 || tasks > kMostTasks) return wrong("tasks", "a number from 1 to 128", tasks);
  if (size < 1) return wrong("parameterCount", "at least 1", size);
  if (!spec.weights.empty() && static_cast<std::int64_t>(spec.weights.size()) != tasks) {
    return wrong("weights", "one for each task", static_cast<std::int64_t>(spec.weights.size()));
  }
  const GradNormOptions& norm = spec.grad_norm;
  if (!norm.initial_losses.empty() && static_cast<std::int64_t>(norm.initial_losses.size()) != tasks) {
    return wrong("initialLosses", "one for each task", static_cast<std::int64_t>(norm.initial_losses.size()));
  }
  const std::int64_t rest = norm.count < 0 ? 0 : norm.count;
  if (norm.first < 0 || norm.first >= size || rest > size - norm.first) {
    return wrong("elements", "a range within the parameters", norm.first + rest);
  }
  if (spec.method == TaskMethod::kPcGrad && spec.pc_grad.order == PcGradOptions::Order::kGiven) {
    const auto& orders = spec.pc_grad.orders;
    if (static_cast<std::int64_t>(orders.size()) != tasks) {
      return wrong("order", "one list for each task", static_cast<std::int64_t>(orders.size()));
    }
    for (const auto& order : orders) {
      for (const std::uint32_t other : order) {
        if (other >= tasks) return wrong("order", "indices of tasks", other);
      }
    }
  }
  std::int64_t sum = 0;
  for (const std::int64_t length : tensors) {
    if (length < 0 || length > size - sum) return wrong("tensors", "lengths that add up to parameterCount", length);
    sum += length;
  }
  if (!tensors.empty() && sum != size) return wrong("tensors", "lengths that add up to parameterCount", sum);
  return Status::success();
}

template <Scalar T>
Status TaskCombiner<T>::create(const TaskCombinerSpec& spec, std::int64_t tasks, std::int64_t parameters,
                               std::vector<std::int64_t> tensors, std::unique_ptr<TaskCombiner>& out) {
  if (const Status status = check_task_combiner(spec, tasks, parameters, tensors); !status.ok()) return status;
  const int count = static_cast<int>(tasks);
  std::vector<TaskPiece> pieces;
  std::int64_t first = 0;
  for (const std::int64_t length : tensors) {
    pieces.push_back({static_cast<int>(pieces.size()), first, length});
    first += length;
  }
  if (pieces.empty()) pieces.push_back({0, 0, parameters});
  out = std::make_unique<Combiner<T>>(make_task_rule<T>(spec, count, parameters, std::move(pieces)), count, parameters);
  return Status::success();
}

template class PairProducts<float>;
template class PairProducts<double>;
template std::unique_ptr<TaskRule<float>> make_task_rule<float>(const TaskCombinerSpec&, int, std::int64_t,
                                                                std::vector<TaskPiece>);
template std::unique_ptr<TaskRule<double>> make_task_rule<double>(const TaskCombinerSpec&, int, std::int64_t,
                                                                  std::vector<TaskPiece>);
template class TaskCombiner<float>;
template class TaskCombiner<double>;

}  // namespace krylov
