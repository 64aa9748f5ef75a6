// Stability of small problems, the softmax radius, Hessian alignment.
#include "krylov/step_control.h"
#include "krylov/hessian_alignment.h"
#include "krylov/spectra.h"
#include "krylov/stability.h"
#include "operator.h"
#include "specs.h"
#include "spectra.h"

namespace krylov::binding {

namespace {

struct StabilityCall {
  std::vector<double> rows;
  StabilityResult result;
};

Napi::Value write_stability(Napi::Env env, const StabilityCall& call) {
  const StabilityResult& result = call.result;
  auto object = Napi::Object::New(env);
  object.Set("largestEigenvalue", result.largest_eigenvalue);
  object.Set("trace", result.trace);
  object.Set("frobeniusNorm", result.frobenius);
  object.Set("meanThreshold", result.mean_threshold);
  object.Set("traceThreshold", result.trace_threshold);
  object.Set("reason", name_of(result.reason));
  auto cases = Napi::Array::New(env, result.cases.size());
  for (std::uint32_t i = 0; i < result.cases.size(); ++i) {
    auto one = Napi::Object::New(env);
    one.Set("batchSize", static_cast<double>(result.cases[i].batch));
    one.Set("noiseFactor", result.cases[i].noise_factor);
    one.Set("meanSquareThreshold", result.cases[i].mean_square_threshold);
    one.Set("necessaryBound", result.cases[i].necessary_bound);
    cases.Set(i, one);
  }
  object.Set("cases", cases);
  return object;
}

}  // namespace

// (rows [samples * perSample, columns], samples, perSample, columns, batchSizes)
Napi::Value start_stability(const Napi::CallbackInfo& info) {
  constexpr std::int64_t kMost = std::int64_t(1) << 24;
  const std::int64_t samples = integer(info[1], "samples", 1, kMost),
                     per_sample = integer(info[2], "perSample", 1, kMost);
  const std::int64_t columns = integer(info[3], "columns", 1, kMost);
  const std::int64_t side = std::min(samples * per_sample, columns);
  if (side > kLargestStabilityProblem) {
    fail(ErrorCode::kShape, "rows", "at most " + std::to_string(kLargestStabilityProblem) + " rows or columns",
         std::to_string(side) + " of both");
  }
  constexpr std::uint32_t kMostBatches = 1u << 16;
  const Napi::Array list = array(info[4], "batchSizes", kMostBatches);
  const std::uint32_t count = list.Length();
  std::vector<std::int64_t> batches;
  for (std::uint32_t i = 0; i < count; ++i) batches.push_back(integer(list.Get(i), "batchSizes", 1, samples));
  // The product may pass 2^63 before any array is that long.
  if (double(samples) * double(per_sample) * double(columns) > double(kLargestInteger)) {
    fail(ErrorCode::kShape, "rows", "fewer than would fill memory", describe(info[0]));
  }
  const std::span<const double> rows = typed<double>(info[0], "rows", samples * per_sample * columns);
  auto call = std::make_shared<StabilityCall>();
  call->rows.assign(rows.begin(), rows.end());
  return start_call<double>(
      info.Env(), nullptr, 1, call,
      [samples, per_sample, columns, batches](Session& session, StabilityCall& given) {
        return stability(session, given.rows.data(), samples, per_sample, columns, batches);
      },
      write_stability);
}

// (slopes [rows, columns], logits likewise or null, columns, update or null, options): without an update the length of
// the step is options.stepLength.
Napi::Value softmax_radius(const Napi::CallbackInfo& info) {
  return with_scalar(info[0], "slopes", [&]<class T>(T) {
    const Fields fields(info[4], "options");
    RadiusOptions options = read_radius(fields);
    options.step_length = fields.number("stepLength", 0);
    const bool along_update = fields.boolean("alongUpdate");
    const std::int64_t columns = integer(info[2], "columns", 1, std::int64_t(1) << 30);
    const std::span<const T> slopes = typed<T>(info[0], "slopes");
    const auto elements = static_cast<std::int64_t>(slopes.size());
    if (elements % columns != 0) {
      fail(ErrorCode::kShape, "slopes", "rows of " + std::to_string(columns), std::to_string(elements));
    }
    RadiusRows<T> rows;
    rows.slopes = slopes.data();
    rows.ld_slopes = rows.ld_outputs = rows.columns = columns;
    rows.rows = elements / columns;
    rows.sigmoids = fields.boolean("sigmoids");
    const bool binary = rows.sigmoids || columns <= 2;
    if (!info[1].IsNull()) rows.outputs = typed<T>(info[1], "logits", elements).data();
    if (options.exact_binary && binary && rows.outputs == nullptr) {
      fail(ErrorCode::kOption, "logits", "an array for the exact radius", "null");
    }
    if (!info[3].IsNull()) {
      const std::span<const T> update = typed<T>(info[3], "update");
      options.step_length = step_length<T>(update.data(), static_cast<std::int64_t>(update.size()));
    }
    struct Turn {
      RadiusRows<T> rows;
      RadiusOptions options;
      std::vector<double> values;
      StepRadius result;
    };
    // Slopes along the update itself are those along its direction times its length: a step of length one.
    Turn turn{rows, options, std::vector<double>(static_cast<std::size_t>(rows.rows)), {}};
    if (along_update) turn.options.step_length = 1;
    constexpr std::int64_t kWorthSharing = std::int64_t(1) << 15;
    const int threads = elements < kWorthSharing ? 1 : available_processors();
    ComputeThread::instance().lead_and_wait(
        threads,
        [](void* context, Team& team) noexcept {
          Turn& t = *static_cast<Turn*>(context);
          t.result = krylov::softmax_radius<T>(team, team.size(), t.rows, t.options, t.values.data());
        },
        &turn);
    const double unit = along_update && options.step_length > 0 ? options.step_length : 1;
    const Napi::Env env = info.Env();
    auto object = Napi::Object::New(env);
    object.Set("spread", turn.result.spread / unit);
    object.Set("radius", turn.result.radius * unit);
    object.Set("normalisedStep", turn.result.normalised_step);
    object.Set("scale", turn.result.scale);
    object.Set("stepLength", options.step_length);
    Napi::Value spreads;
    const std::span<double> out = make_array<double>(env, turn.values.size(), spreads);
    slope_spreads<T>(rows, options.temperature, 0, rows.rows, out.data());
    for (double& spread : out) spread /= unit;
    object.Set("spreads", spreads);
    object.Set("binaryRadii", env.Null());
    if (binary && rows.outputs != nullptr) {
      Napi::Value radii;
      const std::span<double> to = make_array<double>(env, turn.values.size(), radii);
      binary_radii<T>(rows, options.temperature, 0, rows.rows, to.data());
      for (double& radius : to) radius *= unit;
      object.Set("binaryRadii", radii);
    }
    return object;
  });
}

// ({ weight, bias, domains: [{ features, labels }], penalty, alpha, beta, probes, seed, given, gradients }):
// given is null or sign vectors, `probes` the number of random ones.
Napi::Value hessian_alignment(const Napi::CallbackInfo& info) {
  const Fields fields(info[0], "options");
  const Napi::Value weight = fields.get("weight"), bias = fields.get("bias"), given = fields.get("given");
  AlignmentOptions options;
  static constexpr Word<AlignmentPenalty> kPenalties[] = {{"hessianGradient", AlignmentPenalty::kHessianGradient},
                                                          {"hessianDiagonal", AlignmentPenalty::kHessianDiagonal}};
  options.penalty = fields.word("penalty", kPenalties);
  options.alpha = fields.number("alpha");
  options.beta = fields.number("beta");
  constexpr std::int64_t kMostProbes = 1 << 20;
  options.probe_count = fields.integer("probes", 0, kMostProbes);
  const std::int64_t seed = fields.integer("seed", 0);
  const bool gradients = fields.boolean("gradients");
  constexpr std::uint32_t kMostDomains = 1u << 16;
  const Napi::Array list = fields.array("domains", kMostDomains);
  const std::uint32_t count = list.Length();
  std::vector<std::pair<Napi::Value, Napi::Value>> parts;
  for (std::uint32_t e = 0; e < count; ++e) {
    const Fields domain(list.Get(e), "domains");
    const Napi::Value features = domain.get("features"), labels = domain.get("labels");
    parts.emplace_back(features, labels);
  }
  return with_scalar(weight, "weight", [&]<class T>(T) -> Napi::Value {
    const Napi::Env env = info.Env();
    SoftmaxHead<T> head;
    const std::span<const T> b = typed<T>(bias, "bias"), w = typed<T>(weight, "weight");
    head.classes = static_cast<std::int64_t>(b.size());
    if (b.empty() || w.size() % b.size() != 0) {
      fail(ErrorCode::kShape, "weight", "as many rows as bias has elements", std::to_string(w.size()));
    }
    head.inputs = static_cast<std::int64_t>(w.size() / b.size());
    const std::size_t size = w.size() + b.size();
    std::vector<double> probes;
    if (!given.IsNull()) {
      const std::span<const double> signs = typed<double>(given, "probes");
      if (signs.size() % size != 0) {
        fail(ErrorCode::kShape, "probes", "rows of " + std::to_string(size), std::to_string(signs.size()));
      }
      probes.assign(signs.begin(), signs.end());
      options.probe_count = static_cast<std::int64_t>(signs.size() / size);
    } else {
      probes.resize(static_cast<std::size_t>(options.probe_count) * size);
      const Probes<double> random{ProbeKind::kSigns, static_cast<std::uint64_t>(seed), nullptr, 0, nullptr};
      for (std::size_t p = 0; p * size < probes.size(); ++p) {
        fill_probe<double>(random, p, std::span<double>(probes).subspan(p * size, size));
      }
    }
    options.probes = probes.data();
    std::vector<T> head_gradient(gradients ? size : 0);
    std::vector<std::vector<T>> feature_gradients;
    std::vector<AlignmentDomain<T>> domains;
    for (const auto& [features, labels] : parts) {
      const std::span<const std::int32_t> y = typed<std::int32_t>(labels, "labels");
      const auto rows = static_cast<std::int64_t>(y.size());
      const std::span<const T> x = typed<T>(features, "features", rows * head.inputs);
      feature_gradients.emplace_back(gradients ? x.size() : 0);
      domains.push_back({x.data(), y.data(), rows, gradients ? feature_gradients.back().data() : nullptr});
    }
    head.weight = w.data(), head.bias = b.data();
    AlignmentResult result;
    check(krylov::hessian_alignment<T>(head, domains, options, result, head_gradient));
    auto object = Napi::Object::New(env);
    object.Set("loss", result.loss);
    object.Set("gradientTerm", result.gradient_term);
    object.Set("hessianGradientTerm", result.hessian_gradient_term);
    object.Set("hessianDiagonalTerm", result.hessian_diagonal_term);
    object.Set("value", result.value);
    const std::span<const T> all = head_gradient;
    object.Set("weight", gradients ? copy_array<T>(env, all.first(w.size())) : env.Null());
    object.Set("bias", gradients ? copy_array<T>(env, all.subspan(w.size())) : env.Null());
    auto features = Napi::Array::New(env, gradients ? domains.size() : 0);
    for (std::uint32_t e = 0; e < features.Length(); ++e) features.Set(e, copy_array<T>(env, feature_gradients[e]));
    object.Set("features", features);
    return object;
  });
}

}  // namespace krylov::binding
