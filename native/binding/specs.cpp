#include "specs.h"

namespace krylov::binding {

namespace {

// Bounds on what a spec may hold. Shared or cyclic objects make a spec of any
// size out of a few, hence the bounds on nesting and on layers in all.
constexpr int kDeepest = 64;
constexpr std::size_t kMostLayers = 16384;
constexpr std::uint32_t kMostHeads = 1024;
constexpr std::uint32_t kMostMetrics = 256;
constexpr std::uint32_t kMostClasses = 1u << 24;
constexpr std::int64_t kLargestWidth = std::int64_t(1) << 24;

constexpr Word<Activation> kActivations[] = {
    {"identity", Activation::kIdentity}, {"relu", Activation::kRelu},         {"leakyRelu", Activation::kLeakyRelu},
    {"elu", Activation::kElu},           {"selu", Activation::kSelu},         {"gelu", Activation::kGelu},
    {"geluTanh", Activation::kGeluTanh}, {"silu", Activation::kSilu},         {"tanh", Activation::kTanh},
    {"sigmoid", Activation::kSigmoid},   {"softplus", Activation::kSoftplus}, {"softsign", Activation::kSoftsign}};
constexpr Word<Initialiser> kInitialisers[] = {{"zeros", Initialiser::kZeros},
                                               {"constant", Initialiser::kConstant},
                                               {"normal", Initialiser::kNormal},
                                               {"uniform", Initialiser::kUniform},
                                               {"fanInNormal", Initialiser::kFanInNormal},
                                               {"lecunNormal", Initialiser::kLecunNormal},
                                               {"lecunUniform", Initialiser::kLecunUniform},
                                               {"xavierNormal", Initialiser::kXavierNormal},
                                               {"xavierUniform", Initialiser::kXavierUniform},
                                               {"heNormal", Initialiser::kHeNormal},
                                               {"heUniform", Initialiser::kHeUniform},
                                               {"torchLinear", Initialiser::kTorchLinear},
                                               {"sparse", Initialiser::kSparse},
                                               {"orthogonal", Initialiser::kOrthogonal},
                                               {"truncatedNormal", Initialiser::kTruncatedNormal}};
constexpr Word<Fan> kFans[] = {{"fanIn", Fan::kIn}, {"fanOut", Fan::kOut}};
constexpr Word<LayerKind> kLayers[] = {{"dense", LayerKind::kDense},
                                       {"layerNorm", LayerKind::kLayerNorm},
                                       {"dropout", LayerKind::kDropout},
                                       {"residual", LayerKind::kResidual}};
constexpr Word<Loss> kLosses[] = {{"meanSquaredError", Loss::kMeanSquaredError},
                                  {"meanAbsoluteError", Loss::kMeanAbsoluteError},
                                  {"huber", Loss::kHuber},
                                  {"binaryCrossEntropy", Loss::kBinaryCrossEntropy},
                                  {"softmaxCrossEntropy", Loss::kSoftmaxCrossEntropy}};
constexpr Word<bool> kMeanOrSum[] = {{"mean", false}, {"sum", true}};
constexpr Word<MetricKind> kMetrics[] = {{"accuracy", MetricKind::kAccuracy},
                                         {"topK", MetricKind::kTopK},
                                         {"precision", MetricKind::kPrecision},
                                         {"recall", MetricKind::kRecall},
                                         {"f1", MetricKind::kF1},
                                         {"auc", MetricKind::kAuc},
                                         {"r2", MetricKind::kR2},
                                         {"meanAbsoluteError", MetricKind::kMeanAbsoluteError},
                                         {"meanSquaredError", MetricKind::kMeanSquaredError},
                                         {"rootMeanSquaredError", MetricKind::kRootMeanSquaredError}};
constexpr Word<Averaging> kAverages[] = {
    {"macro", Averaging::kMacro}, {"micro", Averaging::kMicro}, {"binary", Averaging::kBinary}};
constexpr Word<ScheduleKind> kSchedules[] = {{"constant", ScheduleKind::kConstant},
                                             {"polynomial", ScheduleKind::kPolynomial},
                                             {"cosine", ScheduleKind::kCosine},
                                             {"warmup", ScheduleKind::kWarmup},
                                             {"sutskeverMomentum", ScheduleKind::kSutskeverMomentum}};
constexpr Word<Output> kOutputs[] = {
    {"raw", Output::kRaw}, {"probability", Output::kProbability}, {"class", Output::kClass}};
constexpr Word<Link> kLinks[] = {
    {"softmax", Link::kSoftmax}, {"sigmoid", Link::kSigmoid}, {"identity", Link::kIdentity}};

std::string element(const std::string& path, std::uint32_t index) { return path + "[" + std::to_string(index) + "]"; }

ActivationSpec read_activation(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  return {fields.word("kind", kActivations), fields.number("parameter")};
}

InitialiserSpec read_initialiser(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  InitialiserSpec spec;
  spec.kind = fields.word("kind", kInitialisers);
  switch (spec.kind) {
    case Initialiser::kConstant: spec.value = fields.number("value"); break;
    case Initialiser::kNormal: spec.deviation = fields.number("standardDeviation", 0); break;
    case Initialiser::kUniform: spec.bound = fields.number("bound", 0); break;
    case Initialiser::kXavierNormal:
    case Initialiser::kXavierUniform:
    case Initialiser::kOrthogonal: spec.gain = fields.number("gain", 0); break;
    case Initialiser::kHeNormal:
    case Initialiser::kHeUniform:
      spec.gain = fields.number("gain", 0);
      spec.mode = fields.word("mode", kFans);
      break;
    case Initialiser::kSparse:
      spec.connections = fields.integer("connections", 1);
      spec.deviation = fields.number("standardDeviation", 0);
      break;
    case Initialiser::kTruncatedNormal:
      spec.deviation = fields.number("standardDeviation", 0);
      spec.limit = fields.number("cut");
      break;
    default: break;
  }
  return spec;
}

class LayerReader {
 public:
  std::vector<LayerSpec> layers(const Napi::Value& value, const std::string& path, int depth) {
    if (depth > kDeepest) {
      fail(ErrorCode::kOption, path, "layers nested at most " + std::to_string(kDeepest) + " deep");
    }
    const Napi::Array list = array(value, path, static_cast<std::uint32_t>(kMostLayers));
    const std::uint32_t count = list.Length();
    std::vector<LayerSpec> result;
    for (std::uint32_t i = 0; i < count; ++i) result.push_back(layer(list.Get(i), element(path, i), depth));
    return result;
  }

 private:
  LayerSpec layer(const Napi::Value& value, const std::string& path, int depth) {
    if (++read_ > kMostLayers) {
      fail(ErrorCode::kOption, path, "at most " + std::to_string(kMostLayers) + " layers in all");
    }
    const Fields fields(value, path);
    LayerSpec spec;
    spec.kind = fields.word("kind", kLayers);
    switch (spec.kind) {
      case LayerKind::kDense:
        spec.units = fields.integer("units", 1, kLargestWidth);
        spec.bias = fields.boolean("bias");
        spec.activation = read_activation(fields.get("activation"), fields.at("activation"));
        spec.weight_initialiser = read_initialiser(fields.get("weightInitialiser"), fields.at("weightInitialiser"));
        spec.bias_initialiser = read_initialiser(fields.get("biasInitialiser"), fields.at("biasInitialiser"));
        break;
      case LayerKind::kLayerNorm: spec.epsilon = fields.number("epsilon"); break;
      case LayerKind::kDropout: spec.rate = fields.number("rate", 0); break;
      case LayerKind::kResidual: spec.layers = layers(fields.get("layers"), fields.at("layers"), depth + 1); break;
    }
    return spec;
  }

  std::size_t read_ = 0;
};

MetricSpec read_metric(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  MetricSpec spec;
  spec.kind = fields.word("name", kMetrics);
  spec.k = static_cast<int>(fields.integer("k", 1, kLargestWidth));
  spec.averaging = fields.word("average", kAverages);
  spec.threshold = fields.number("threshold");
  return spec;
}

std::vector<std::uint32_t> read_rows(const Napi::Value& value, std::string_view name) {
  const std::span<std::uint32_t> rows = typed<std::uint32_t>(value, name);
  if (rows.empty()) fail(ErrorCode::kShape, name, "at least one row, or null for all", "none");
  return {rows.begin(), rows.end()};
}

EarlyStopping read_early_stopping(const Napi::Value& value, const std::string& path,
                                  const std::vector<HeadTask>& tasks) {
  const Fields fields(value, path);
  EarlyStopping spec;
  const auto heads = static_cast<std::int64_t>(tasks.size());
  spec.head = static_cast<int>(fields.integer("head", -1, heads - 1));
  const std::size_t metrics = spec.head < 0 ? 0 : tasks[static_cast<std::size_t>(spec.head)].metrics.size();
  spec.metric = static_cast<int>(fields.integer("metric", -1, static_cast<std::int64_t>(metrics) - 1));
  spec.maximize = fields.boolean("maximize");
  spec.patience = fields.integer("patience", 0);
  spec.min_delta = fields.number("minDelta", 0);
  spec.restore_best = fields.boolean("restoreBest");
  return spec;
}

}  // namespace

std::uint64_t read_seed(const Napi::Value& value, std::string_view name) {
  return static_cast<std::uint64_t>(integer(value, name, 0));
}

int read_threads(const Napi::Value& value, std::string_view name) {
  constexpr std::int64_t kMostThreads = 1024;
  return static_cast<int>(integer(value, name, 0, kMostThreads));
}

NetworkSpec read_network(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  LayerReader reader;
  NetworkSpec spec;
  spec.inputs = fields.integer("inputs", 1, kLargestWidth);
  spec.input_scale = fields.number("inputScale");
  spec.layers = reader.layers(fields.get("layers"), fields.at("layers"), 0);
  const Napi::Array heads = fields.array("heads", kMostHeads);
  const std::uint32_t count = heads.Length();
  for (std::uint32_t i = 0; i < count; ++i) {
    const Fields head(heads.Get(i), element(fields.at("heads"), i));
    spec.heads.push_back({head.text("name"), reader.layers(head.get("layers"), head.at("layers"), 0)});
  }
  return spec;
}

LossSpec read_loss(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  LossSpec spec;
  spec.kind = fields.word("kind", kLosses);
  spec.delta = fields.number("delta", 0);
  spec.sum_outputs = fields.word("outputs", kMeanOrSum);
  spec.scale = fields.number("scale");
  spec.sum_reduction = fields.word("reduction", kMeanOrSum);
  spec.normalize_weights = fields.boolean("normalizeWeights");
  spec.label_smoothing = fields.number("labelSmoothing", 0);
  if (spec.label_smoothing > 1) fail(ErrorCode::kOption, fields.at("labelSmoothing"), "a number from 0 to 1");
  spec.class_targets = fields.boolean("classTargets");
  spec.weight = fields.number("weight");
  const Napi::Array weights = fields.array("classWeights", kMostClasses);
  const std::string at = fields.at("classWeights");
  const std::uint32_t count = weights.Length();
  for (std::uint32_t i = 0; i < count; ++i) spec.class_weights.push_back(number(weights.Get(i), at, 0));
  return spec;
}

std::vector<HeadTask> read_tasks(const Napi::Value& value, const std::string& path) {
  const Napi::Array list = array(value, path, kMostHeads);
  const std::uint32_t count = list.Length();
  std::vector<HeadTask> tasks;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Fields fields(list.Get(i), element(path, i));
    HeadTask task;
    task.loss = read_loss(fields.get("loss"), fields.at("loss"));
    const Napi::Array metrics = fields.array("metrics", kMostMetrics);
    const std::uint32_t metric_count = metrics.Length();
    for (std::uint32_t m = 0; m < metric_count; ++m) {
      task.metrics.push_back(read_metric(metrics.Get(m), element(fields.at("metrics"), m)));
    }
    tasks.push_back(std::move(task));
  }
  return tasks;
}

ScheduleSpec read_schedule(const Napi::Value& value, const std::string& path, int depth) {
  if (depth > kDeepest) {
    fail(ErrorCode::kOption, path, "schedules nested at most " + std::to_string(kDeepest) + " deep");
  }
  const Fields fields(value, path);
  ScheduleSpec spec;
  spec.kind = fields.word("kind", kSchedules);
  switch (spec.kind) {
    case ScheduleKind::kConstant: spec.value = fields.number("value"); break;
    case ScheduleKind::kPolynomial:
      spec.value = fields.number("learningRate");
      spec.end_value = fields.number("endLearningRate");
      spec.power = fields.number("power");
      spec.total_steps = fields.number("totalSteps", 0);
      break;
    case ScheduleKind::kCosine:
      spec.value = fields.number("learningRate");
      spec.end_value = fields.number("minLearningRate");
      spec.total_steps = fields.number("totalSteps", 0);
      break;
    case ScheduleKind::kWarmup:
      spec.warmup_steps = static_cast<double>(fields.integer("warmupSteps", 0));
      spec.start_factor = fields.number("startFactor");
      spec.after = std::make_shared<const ScheduleSpec>(
          read_schedule(fields.get("after"), fields.at("after"), depth + 1));
      break;
    case ScheduleKind::kSutskeverMomentum:
      spec.value = fields.number("maxMomentum");
      spec.period = fields.number("period", 0);
      break;
  }
  return spec;
}

OptimizerSpec read_optimizer(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  OptimizerSpec spec;
  spec.kind = fields.text("kind");
  const Fields numbers(fields.get("numbers"), fields.at("numbers"));
  for (const std::string& key : numbers.keys()) {
    spec.numbers.emplace_back(key, read_schedule(numbers.get(key.c_str()), numbers.at(key.c_str())));
  }
  const Fields flags(fields.get("flags"), fields.at("flags"));
  for (const std::string& key : flags.keys()) spec.flags.emplace_back(key, flags.boolean(key.c_str()));
  const Fields words(fields.get("words"), fields.at("words"));
  for (const std::string& key : words.keys()) spec.words.emplace_back(key, words.text(key.c_str()));
  return spec;
}

std::vector<double> read_doubles(const Napi::Value& array, const std::string& name) {
  const Elements e = elements(array, name, "Float32Array or Float64Array");
  if (!e.is_float()) fail(ErrorCode::kDType, name, "Float32Array or Float64Array", describe(array));
  std::vector<double> values(e.length);
  for (std::size_t i = 0; i < e.length; ++i) {
    values[i] = e.type == napi_float32_array ? double(reinterpret_cast<const float*>(e.data)[i])
                                             : reinterpret_cast<const double*>(e.data)[i];
  }
  return values;
}

TrainingState read_state(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  TrainingState state;
  state.updates = fields.integer("updates", 0);
  state.epoch = fields.integer("epoch", 0);
  state.position = fields.integer("position", 0);
  state.seed = read_seed(fields.get("seed"), fields.at("seed"));
  state.loss_sum = fields.number("lossSum");
  state.weight_sum = fields.number("weightSum", 0);
  const Fields arrays(fields.get("optimizer"), fields.at("optimizer"));
  for (const std::string& key : arrays.keys()) {
    state.arrays.push_back(read_doubles(arrays.get(key.c_str()), arrays.at(key.c_str())));
    state.names.push_back(key);
  }
  const Fields numbers(fields.get("numbers"), fields.at("numbers"));
  for (const std::string& key : numbers.keys()) state.numbers.emplace_back(key, numbers.number(key.c_str()));
  const Fields plain(fields.get("plain"), fields.at("plain"));
  for (const std::string& key : plain.keys()) {
    state.plain.emplace_back(key, read_doubles(plain.get(key.c_str()), plain.at(key.c_str())));
  }
  return state;
}

namespace {

constexpr Word<ClippingMode> kClippingModes[] = {
    {"clip", ClippingMode::kClip}, {"automatic", ClippingMode::kAutomatic}, {"global", ClippingMode::kGlobal}};

ClippingSpec read_clipping(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  ClippingSpec spec;
  spec.mode = word(fields.get("mode"), fields.at("mode"), kClippingModes);
  spec.by_layer = fields.boolean("byLayer");
  spec.thresholds = read_doubles(fields.get("thresholds"), fields.at("thresholds"));
  spec.epsilon = fields.number("epsilon", 0);
  return spec;
}

StepSizeSpec read_step_size(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  return {read_radius(fields), fields.text("head")};
}

}  // namespace

TrainingOptions read_options(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  TrainingOptions options;
  options.tasks = read_tasks(fields.get("tasks"), fields.at("tasks"));
  options.optimizer = read_optimizer(fields.get("optimizer"), fields.at("optimizer"));
  options.batch_size = fields.integer("batchSize", 1, std::int64_t(1) << 32);
  options.curvature_batch_size = fields.integer("curvatureBatchSize", 0, std::int64_t(1) << 32);
  options.epochs = fields.integer("epochs", 0);
  options.shuffle = fields.boolean("shuffle");
  options.seed = read_seed(fields.get("seed"), fields.at("seed"));
  options.threads = read_threads(fields.get("threads"), fields.at("threads"));
  options.l2 = fields.number("l2", 0);
  options.step_every = fields.integer("stepEvery", 0);
  const Napi::Value clipping = fields.get("clipping");
  if (!clipping.IsNull()) options.clipping = read_clipping(clipping, fields.at("clipping"));
  const Napi::Value step_size = fields.get("stepSize");
  if (!step_size.IsNull()) options.step_size = read_step_size(step_size, fields.at("stepSize"));
  const Napi::Value rows = fields.get("rows");
  if (!rows.IsNull()) {
    options.has_rows = true;
    options.rows = read_rows(rows, fields.at("rows"));
  }
  const Napi::Value validation_rows = fields.get("validationRows");
  if (!validation_rows.IsNull()) {
    options.has_validation_rows = true;
    options.validation_rows = read_rows(validation_rows, fields.at("validationRows"));
  }
  const Napi::Value early_stopping = fields.get("earlyStopping");
  if (!early_stopping.IsNull()) {
    options.has_early_stopping = true;
    options.early_stopping = read_early_stopping(early_stopping, fields.at("earlyStopping"), options.tasks);
  }
  const Napi::Value state = fields.get("state");
  if (!state.IsNull()) {
    options.has_state = true;
    options.state = read_state(state, fields.at("state"));
  }
  return options;
}

StabilityOptions read_stability(const Napi::Value& value, const std::string& path) {
  static constexpr Word<Curvature> kCurvatures[] = {{"ggn", Curvature::kGaussNewton}, {"hessian", Curvature::kHessian}};
  const Fields fields(value, path);
  StabilityOptions options;
  options.every = fields.integer("every", 1);
  options.samples = fields.integer("samples", 1);
  options.curvature = fields.word("curvature", kCurvatures);
  options.tolerance = fields.number("tolerance", 0);
  options.iterations = fields.integer("iterations", 1);
  options.probes = fields.integer("probes", 2);
  return options;
}

RadiusOptions read_radius(const Fields& fields) {
  RadiusOptions options;
  options.target = fields.number("target", 0);
  options.temperature = fields.number("temperature", 0);
  options.quantile = fields.number("quantile", 0);
  if (options.quantile > 1)
    fail(ErrorCode::kOption, fields.at("quantile"), "at most 1", describe(fields.get("quantile")));
  options.exact_binary = fields.boolean("exactBinary");
  return options;
}

Output read_output(const Napi::Value& value, std::string_view name) { return word(value, name, kOutputs); }
Link read_link(const Napi::Value& value, std::string_view name) { return word(value, name, kLinks); }

Napi::Object write_evaluation(Napi::Env env, const Evaluation& evaluation) {
  auto heads = Napi::Array::New(env, evaluation.heads.size());
  for (std::size_t h = 0; h < evaluation.heads.size(); ++h) {
    auto head = Napi::Object::New(env);
    head.Set("loss", evaluation.heads[h].loss);
    head.Set("metrics", number_array(env, evaluation.heads[h].metrics));
    heads.Set(static_cast<std::uint32_t>(h), head);
  }
  auto result = Napi::Object::New(env);
  result.Set("loss", evaluation.loss);
  result.Set("heads", heads);
  return result;
}

Napi::Object write_state(Napi::Env env, const TrainingState& state, DType dtype) {
  auto arrays = Napi::Object::New(env);
  for (std::size_t i = 0; i < state.names.size(); ++i) {
    const std::vector<double>& values = state.arrays[i];
    if (dtype == DType::kFloat64 || state.wide) {
      arrays.Set(state.names[i], copy_array<double>(env, values));
      continue;
    }
    Napi::Value array;
    const std::span<float> to = make_array<float>(env, values.size(), array);
    for (std::size_t j = 0; j < to.size(); ++j) to[j] = static_cast<float>(values[j]);
    arrays.Set(state.names[i], array);
  }
  auto result = Napi::Object::New(env);
  result.Set("updates", static_cast<double>(state.updates));
  result.Set("optimizer", arrays);
  auto numbers = Napi::Object::New(env);
  for (const auto& [name, value] : state.numbers) numbers.Set(name, value);
  result.Set("numbers", numbers);
  auto plain = Napi::Object::New(env);
  for (const auto& [name, values] : state.plain) plain.Set(name, copy_array<double>(env, values));
  result.Set("plain", plain);
  result.Set("epoch", static_cast<double>(state.epoch));
  result.Set("position", static_cast<double>(state.position));
  result.Set("seed", static_cast<double>(state.seed));
  result.Set("lossSum", state.loss_sum);
  result.Set("weightSum", state.weight_sum);
  return result;
}

}  // namespace krylov::binding
