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
    {"sigmoid", Activation::kSigmoid},   {"softplus", Activation::kSoftplus}, {"softsign", Activation::kSoftsign},
    {"sign", Activation::kSign},         {"step", Activation::kStep}};
constexpr Word<Surrogate> kSurrogates[] = {{"erf", Surrogate::kErf},
                                           {"straightThrough", Surrogate::kStraightThrough},
                                           {"clippedStraightThrough", Surrogate::kClippedStraightThrough},
                                           {"tanh", Surrogate::kTanh},
                                           {"sigmoid", Surrogate::kSigmoid},
                                           {"superSpike", Surrogate::kSuperSpike},
                                           {"arctan", Surrogate::kArctan},
                                           {"triangle", Surrogate::kTriangle}};
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
  ActivationSpec spec{fields.word("kind", kActivations), fields.number("parameter")};
  if (has_surrogate(spec.kind)) spec.surrogate = read_surrogate(fields, "surrogate");
  return spec;
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

}  // namespace

std::uint64_t read_seed(const Napi::Value& value, std::string_view name) {
  return static_cast<std::uint64_t>(integer(value, name, 0));
}

int read_threads(const Napi::Value& value, std::string_view name) {
  constexpr std::int64_t kMostThreads = 1024;
  return static_cast<int>(integer(value, name, 0, kMostThreads));
}

Surrogate read_surrogate(const Fields& fields, const char* key) { return fields.word(key, kSurrogates); }

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

}  // namespace krylov::binding
