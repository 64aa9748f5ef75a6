#include "task_gradients.h"

#include <cstring>
#include <functional>

#include "krylov/threads.h"
#include "specs.h"

namespace krylov::binding {

namespace {

// More elements than any memory holds; sizes in bytes stay far from overflow.
constexpr std::int64_t kLargestSize = std::int64_t(1) << 40;
constexpr std::uint32_t kMostTensors = 1u << 20;

template <Scalar T>
bool overlap(std::span<const T> a, std::span<const T> b) noexcept {
  const std::less<const T*> before;
  return !a.empty() && !b.empty() && before(a.data(), b.data() + b.size()) && before(b.data(), a.data() + a.size());
}

double between(const Fields& fields, const char* key, double least, double most, const char* range) {
  const double value = fields.number(key);
  if (!(value >= least && value <= most)) fail(ErrorCode::kOption, fields.at(key), range, describe(fields.get(key)));
  return value;
}
double share(const Fields& fields, const char* key) { return between(fields, key, 0, 1, "a number from 0 to 1"); }
// A factor of a running mean: below 1.
double decay(const Fields& fields, const char* key) {
  return between(fields, key, 0, 1 - 0x1p-53, "a number from 0 to less than 1");
}

// Numbers of a plain list; an empty one where it is null.
std::vector<double> numbers(const Fields& fields, const char* key, double least) {
  std::vector<double> values;
  if (fields.get(key).IsNull()) return values;
  const Napi::Array list = fields.array(key, kMostTasks);
  const std::uint32_t count = list.Length();
  for (std::uint32_t i = 0; i < count; ++i) values.push_back(number(list.Get(i), fields.at(key), least));
  return values;
}

constexpr double kAny = -1.7976931348623157e308;

void read_pc_grad(const Fields& fields, PcGradOptions& options) {
  using Order = PcGradOptions::Order;
  options.include_self = fields.boolean("includeSelf");
  options.seed = read_seed(fields.get("seed"), fields.at("seed"));
  const Napi::Value order = fields.get("order");
  if (!order.IsArray()) {
    static constexpr Word<Order> kOrders[] = {{"random", Order::kRandom}, {"index", Order::kIndex}};
    options.order = word(order, fields.at("order"), kOrders);
    return;
  }
  options.order = Order::kGiven;
  const Napi::Array lists = array(order, fields.at("order"), kMostTasks);
  const std::uint32_t count = lists.Length();
  constexpr std::uint32_t kMostVisits = 1u << 12;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Napi::Array list = array(lists.Get(i), fields.at("order"), kMostVisits);
    const std::uint32_t length = list.Length();
    std::vector<std::uint32_t> visits;
    for (std::uint32_t j = 0; j < length; ++j) {
      visits.push_back(static_cast<std::uint32_t>(integer(list.Get(j), fields.at("order"), 0, kMostTasks - 1)));
    }
    options.orders.push_back(std::move(visits));
  }
}

void read_g_cond(const Fields& fields, GCondOptions& options) {
  static constexpr Word<bool> kModes[] = {{"smooth", false}, {"zones", true}};
  static constexpr Word<bool> kDominance[] = {{"loses", true}, {"wins", false}};
  static constexpr Word<bool> kPrevious[] = {{"resolved", true}, {"raw", false}};
  constexpr int kMost = 1'000'000;
  constexpr int kLongestWindow = 4096;
  options.zones = fields.word("mode", kModes);
  const Fields thresholds(fields.get("thresholds"), fields.at("thresholds"));
  options.weak = between(thresholds, "weak", -1, 1, "a number from -1 to 1");
  options.main = between(thresholds, "main", -1, options.weak, "a number from -1 to weak");
  options.critical = between(thresholds, "critical", -1, options.main, "a number from -1 to main");
  options.remap_power = fields.number("remapPower", 0);
  options.window = static_cast<int>(fields.integer("dominanceWindow", 1, kLongestWindow));
  options.dominant_loses = fields.word("dominance", kDominance);
  const Fields arbiter(fields.get("arbiter"), fields.at("arbiter"));
  options.stability_weight = arbiter.number("stability", 0);
  options.strength_weight = arbiter.number("strength", 0);
  options.previous_resolved = fields.word("previousGradient", kPrevious);
  options.norm_decay = share(fields, "normDecay");
  options.norm_cap = fields.number("normCap", 0);
  options.max_iterations = static_cast<int>(fields.integer("maxIterations", 0, kMost));
  options.momentum = decay(fields, "momentum");
  options.epsilon = fields.number("epsilon", 1e-300);
  options.tolerance = fields.number("tolerance", 0);
  const Napi::Value lion = fields.get("lion");
  options.lion = lion.IsObject();
  if (!options.lion) return void(boolean(lion, fields.at("lion")));
  const Fields signs(lion, fields.at("lion"));
  options.lion_scale = signs.number("scale", 0);
  options.lion_max_ratio = signs.number("maxRatio", 0);
}

}  // namespace

TaskCombinerSpec read_task_combiner(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  static constexpr Word<TaskMethod> kKinds[] = {
      {"weightedSum", TaskMethod::kWeightedSum}, {"pcGrad", TaskMethod::kPcGrad}, {"mgda", TaskMethod::kMgda},
      {"caGrad", TaskMethod::kCaGrad},           {"gradNorm", TaskMethod::kGradNorm}, {"samGs", TaskMethod::kSamGs},
      {"gCond", TaskMethod::kGCond}};
  static constexpr Word<bool> kReductions[] = {{"sum", false}, {"mean", true}};
  TaskCombinerSpec spec;
  spec.method = fields.word("kind", kKinds);
  switch (spec.method) {
    case TaskMethod::kWeightedSum:
      spec.mean = fields.word("reduction", kReductions);
      spec.weights = numbers(fields, "weights", kAny);
      break;
    case TaskMethod::kPcGrad:
      spec.mean = fields.word("reduction", kReductions);
      read_pc_grad(fields, spec.pc_grad);
      break;
    case TaskMethod::kMgda: {
      using Scaling = MgdaOptions::Scaling;
      static constexpr Word<Scaling> kScalings[] = {
          {"none", Scaling::kNone}, {"l2", Scaling::kNorm}, {"loss", Scaling::kLoss}, {"loss+", Scaling::kLossNorm}};
      static constexpr Word<bool> kSolvers[] = {{"exact", true}, {"frankWolfe", false}};
      static constexpr Word<bool> kDirections[] = {{"scaled", true}, {"unscaled", false}};
      constexpr int kMost = 1'000'000;
      spec.mgda.scaling = fields.word("scaling", kScalings);
      spec.mgda.exact = fields.word("solver", kSolvers);
      spec.mgda.scaled_direction = fields.word("direction", kDirections);
      spec.mgda.max_iterations = static_cast<int>(fields.integer("maxIterations", 1, kMost));
      spec.mgda.tolerance = fields.number("tolerance", 0);
      break;
    }
    case TaskMethod::kCaGrad: {
      using Rescale = CaGradOptions::Rescale;
      static constexpr Word<Rescale> kRescales[] = {{"none", Rescale::kNone},
                                                    {"linear", Rescale::kLinear},
                                                    {"squared", Rescale::kSquared},
                                                    {"lengths", Rescale::kLengths}};
      spec.mean = fields.word("reduction", kReductions);
      spec.ca_grad.c = decay(fields, "c");
      spec.ca_grad.rescale = fields.word("rescale", kRescales);
      break;
    }
    case TaskMethod::kGradNorm: {
      spec.grad_norm.alpha = fields.number("alpha", 0);
      spec.grad_norm.learning_rate = fields.number("learningRate", 0);
      spec.grad_norm.initial_losses = numbers(fields, "initialLosses", 0);
      if (fields.get("elements").IsNull()) break;
      const Fields range(fields.get("elements"), fields.at("elements"));
      spec.grad_norm.first = range.integer("first", 0, kLargestSize);
      spec.grad_norm.count = range.integer("count", 1, kLargestSize);
      break;
    }
    case TaskMethod::kSamGs: {
      using Branch = SamGsOptions::Branch;
      static constexpr Word<Branch> kRules[] = {{"mean", Branch::kMean}, {"any", Branch::kAny}};
      spec.sam_gs.rule = fields.word("rule", kRules);
      spec.sam_gs.gamma = share(fields, "gamma");
      spec.sam_gs.beta1 = decay(fields, "beta1");
      spec.sam_gs.beta2 = decay(fields, "beta2");
      spec.sam_gs.epsilon = fields.number("epsilon", 1e-300);
      break;
    }
    case TaskMethod::kGCond: read_g_cond(fields, spec.g_cond); break;
  }
  return spec;
}

namespace {

Napi::Value list_or_null(Napi::Env env, bool there, const std::vector<double>& values) {
  return there ? copy_array<double>(env, values) : env.Null();
}

Napi::Object write_combination(Napi::Env env, const TaskCombination& result) {
  auto object = Napi::Object::New(env);
  object.Set("norms", copy_array<double>(env, result.norms));
  object.Set("cosines", copy_array<double>(env, result.cosines));
  object.Set("conflicts", result.conflicts);
  object.Set("alignments", copy_array<double>(env, result.alignments));
  object.Set("opposed", result.opposed);
  object.Set("coefficients", list_or_null(env, result.linear, result.coefficients));
  object.Set("weights", list_or_null(env, result.weighted, result.weights));
  object.Set("resolvedCosines", list_or_null(env, result.resolves, result.resolved_cosines));
  object.Set("resolvedConflicts", result.resolved_conflicts);
  const bool balanced = !result.next_weights.empty();
  object.Set("targets", list_or_null(env, balanced, result.targets));
  object.Set("weightGradient", list_or_null(env, balanced, result.weight_gradient));
  object.Set("nextWeights", list_or_null(env, balanced, result.next_weights));
  object.Set("balanceLoss", result.balance_loss);
  object.Set("similarities", copy_array<double>(env, result.similarities));
  object.Set("equalised", result.equalised);
  auto resolutions = Napi::Array::New(env, result.resolutions.size());
  for (std::uint32_t i = 0; i < result.resolutions.size(); ++i) {
    static constexpr const char* kZones[] = {"smooth", "weak", "main", "critical"};
    const TaskResolution& one = result.resolutions[i];
    auto entry = Napi::Object::New(env);
    entry.Set("first", one.first);
    entry.Set("second", one.second);
    entry.Set("cosine", one.cosine);
    entry.Set("winner", one.winner);
    entry.Set("zone", kZones[static_cast<int>(one.zone)]);
    entry.Set("angle", one.angle);
    resolutions.Set(i, entry);
  }
  object.Set("resolutions", resolutions);
  return object;
}

template <Scalar T>
const TaskState<T>& find_state(krylov::TaskCombiner<T>& combiner, const std::string& name) {
  std::string list;
  for (const TaskState<T>& state : combiner.states()) {
    if (name == state.name) return state;
    list += std::string(list.empty() ? "one of '" : ", '") + state.name + "'";
  }
  fail(ErrorCode::kOption, "name", list.empty() ? "no name, since the method has no state" : list, "'" + name + "'");
}

}  // namespace

Napi::Function NativeTaskCombiner::define(Napi::Env env) {
  using C = NativeTaskCombiner;
  return DefineClass(env, kName,
                     {getter<C, &C::steps>("steps"), getter<C, &C::state_names>("stateNames"),
                      method<C, &C::combine>("combine"), method<C, &C::get_state>("getState"),
                      method<C, &C::set_state>("setState"), method<C, &C::set_steps>("setSteps"),
                      method<C, &C::dispose>("dispose")});
}

// (spec, tasks, parameterCount, tensors: lengths, dtype)
NativeTaskCombiner::NativeTaskCombiner(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guard(info.Env(), [&] {
    const TaskCombinerSpec spec = read_task_combiner(info[0], "method");
    const std::int64_t tasks = integer(info[1], "tasks", 1, kMostTasks);
    const std::int64_t size = integer(info[2], "parameterCount", 1, kLargestSize);
    const Napi::Array list = array(info[3], "tensors", kMostTensors);
    std::vector<std::int64_t> tensors;
    const std::uint32_t count = list.Length();
    for (std::uint32_t i = 0; i < count; ++i) tensors.push_back(integer(list.Get(i), "tensors", 0, kLargestSize));
    const auto create = [&]<class T>(T) {
      std::unique_ptr<krylov::TaskCombiner<T>> combiner;
      check(krylov::TaskCombiner<T>::create(spec, tasks, size, tensors, combiner));
      memory_.attach(info.Env(), combiner->bytes());
      combiner_ = std::move(combiner);
    };
    if (dtype(info[4], "dtype") == DType::kFloat32) {
      create(float());
    } else {
      create(double());
    }
    seal<NativeTaskCombiner>(info);
  });
}

// (gradients: an array a task, losses or null, parameters or null, out)
Napi::Value NativeTaskCombiner::combine(const Napi::CallbackInfo& info) {
  const Napi::Array list = array(info[0], "gradients", kMostTasks);
  const std::uint32_t count = list.Length();
  // All elements are fetched before the combiner and the first pointer are taken: a getter may do anything.
  std::vector<Napi::Value> values;
  for (std::uint32_t i = 0; i < count; ++i) values.push_back(list.Get(i));
  return visit([&]<class T>(krylov::TaskCombiner<T>& combiner) -> Napi::Value {
    std::vector<const T*> rows;
    const std::int64_t size = combiner.parameters();
    const std::span<T> out = typed<T>(info[3], "out", size);
    const auto refuse_overlap = [&](std::span<const T> other) {
      if (overlap<T>(out, other)) {
        fail(ErrorCode::kOption, "out", "an array that shares no memory with the inputs", describe(info[3]));
      }
    };
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::span<const T> row = typed<T>(values[i], "gradients[" + std::to_string(i) + "]", size);
      refuse_overlap(row);
      rows.push_back(row.data());
    }
    TaskGradients<T> given;
    given.rows = rows;
    if (!info[1].IsNull()) given.losses = typed<double>(info[1], "losses", combiner.tasks());
    if (!info[2].IsNull()) {
      const std::span<const T> parameters = typed<T>(info[2], "parameters", size);
      refuse_overlap(parameters);
      given.parameters = parameters.data();
    }
    struct Turn {
      krylov::TaskCombiner<T>& combiner;
      const TaskGradients<T>& given;
      T* out;
      TaskCombination result;
      Status status;
      std::exception_ptr failure;
      int threads;
    } turn{combiner, given, out.data(), {}, {}, nullptr, 1};
    constexpr std::int64_t kWorthSharing = std::int64_t(1) << 16;
    if (size * static_cast<std::int64_t>(count) >= kWorthSharing) turn.threads = available_processors();
    ComputeThread::instance().lead_and_wait(
        turn.threads,
        [](void* context, Team& team) noexcept {
          Turn& t = *static_cast<Turn*>(context);
          try {
            t.status = t.combiner.combine(team, t.threads, t.given, t.out, t.result);
          } catch (...) {
            t.failure = std::current_exception();
          }
        },
        &turn);
    if (turn.failure != nullptr) std::rethrow_exception(turn.failure);
    check(turn.status);
    return write_combination(info.Env(), turn.result);
  });
}

Napi::Value NativeTaskCombiner::steps(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(visit([](auto& c) { return c.steps(); })));
}

Napi::Value NativeTaskCombiner::state_names(const Napi::CallbackInfo& info) {
  return visit([&](auto& combiner) -> Napi::Value {
    const auto states = combiner.states();
    auto list = Napi::Array::New(info.Env(), states.size());
    for (std::size_t i = 0; i < states.size(); ++i) list.Set(static_cast<std::uint32_t>(i), states[i].name);
    return list;
  });
}

// A copy: long vectors in the dtype, numbers in float64.
Napi::Value NativeTaskCombiner::get_state(const Napi::CallbackInfo& info) {
  const std::string name = text(info[0], "name");
  return visit([&]<class T>(krylov::TaskCombiner<T>& combiner) -> Napi::Value {
    const TaskState<T>& state = find_state(combiner, name);
    if (!state.numbers.empty()) return copy_array<double>(info.Env(), state.numbers);
    return copy_array<T>(info.Env(), state.vector);
  });
}

void NativeTaskCombiner::set_state(const Napi::CallbackInfo& info) {
  const std::string name = text(info[0], "name");
  visit([&]<class T>(krylov::TaskCombiner<T>& combiner) {
    const TaskState<T>& state = find_state(combiner, name);
    const auto copy = [&]<class V>(std::span<V> to) {
      const std::span<const V> from = typed<V>(info[1], "values", static_cast<std::int64_t>(to.size()));
      if (!to.empty()) std::memcpy(to.data(), from.data(), from.size_bytes());
    };
    if (!state.numbers.empty()) {
      copy(state.numbers);
    } else {
      copy(state.vector);
    }
  });
}

void NativeTaskCombiner::set_steps(const Napi::CallbackInfo& info) {
  const std::int64_t steps = integer(info[0], "steps", 0);
  visit([&](auto& combiner) { combiner.set_steps(steps); });
}

void NativeTaskCombiner::dispose(const Napi::CallbackInfo&) {
  std::visit([](auto& combiner) { combiner.reset(); }, combiner_);
  memory_.set(0);
}

}  // namespace krylov::binding
