// The options of training and the state of a run, as TypeScript passes them.
#include "sample_weights.h"
#include "sampling.h"
#include "gradient_transforms.h"
#include "specs.h"
#include "task_gradients.h"

namespace krylov::binding {

namespace {

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

void read_threshold_rule(const Napi::Value& value, const std::string& path, ClippingSpec& spec) {
  static constexpr Word<ThresholdRule> kRules[] = {{"quantile", ThresholdRule::kQuantile},
                                                   {"layerStatistics", ThresholdRule::kLayerStatistics}};
  const Fields fields(value, path);
  spec.rule = fields.word("kind", kRules);
  if (spec.rule == ThresholdRule::kQuantile) {
    spec.quantile = fields.number("quantile", 0);
    spec.rate = fields.number("rate", 0);
    spec.least = fields.number("min", 0);
    spec.largest = fields.number("max", 0);
  } else {
    spec.decay = fields.number("decay", 0);
    spec.kappa_first = fields.number("kappaFirst", 0);
    spec.kappa_last = fields.number("kappaLast", 0);
  }
}

ClippingSpec read_clipping(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  ClippingSpec spec;
  spec.mode = word(fields.get("mode"), fields.at("mode"), kClippingModes);
  spec.by_layer = fields.boolean("byLayer");
  spec.thresholds = read_doubles(fields.get("thresholds"), fields.at("thresholds"));
  spec.epsilon = fields.number("epsilon", 0);
  spec.drop_not_finite = fields.boolean("dropNotFinite");
  const Napi::Value adapt = fields.get("adapt");
  if (!adapt.IsNull()) read_threshold_rule(adapt, fields.at("adapt"), spec);
  return spec;
}

PrivacySpec read_privacy(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  PrivacySpec spec;
  spec.noise_multiplier = fields.number("noiseMultiplier", 0);
  spec.gradient_noise = fields.number("gradientNoise", 0);
  spec.count_noise = fields.number("countNoise", 0);
  spec.sample_rate = fields.number("sampleRate", 0);
  spec.expected_rows = fields.number("expectedRows", 0);
  spec.seed = read_seed(fields.get("seed"), fields.at("seed"));
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
  const Napi::Value sampling = fields.get("sampling");
  if (!sampling.IsNull()) options.sampling = read_sampling(sampling, fields.at("sampling"));
  const Napi::Value privacy = fields.get("privacy");
  if (!privacy.IsNull()) {
    options.privacy = read_privacy(privacy, fields.at("privacy"));
    // The one way to draw batches that its accounting is about.
    options.sampling.emplace().kind = SamplingKind::kPoisson;
  }
  const Napi::Value step_size = fields.get("stepSize");
  if (!step_size.IsNull()) options.step_size = read_step_size(step_size, fields.at("stepSize"));
  const Napi::Value multitask = fields.get("multitask");
  if (!multitask.IsNull()) options.multitask = read_task_combiner(multitask, fields.at("multitask"));
  const Napi::Value weights = fields.get("weights");
  if (!weights.IsNull()) options.weights = read_sample_weights(weights, fields.at("weights"));
  const Napi::Value gradient = fields.get("gradient");
  if (!gradient.IsNull() && !gradient.IsUndefined()) {
    options.gradient = read_gradient_transforms(gradient, fields.at("gradient"));
  }
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

GradientRecordSpec read_gradient_record(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  return {fields.integer("every", 1), fields.number("beta", 0)};
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
