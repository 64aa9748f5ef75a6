#include "sampling.h"

#include <algorithm>
#include <cmath>

#include "specs.h"

namespace krylov::binding {

namespace {

constexpr Word<SamplingKind> kKinds[] = {
    {"shuffled", SamplingKind::kShuffled},       {"replacement", SamplingKind::kReplacement},
    {"poisson", SamplingKind::kPoisson},         {"weighted", SamplingKind::kWeighted},
    {"importance", SamplingKind::kImportance},   {"history", SamplingKind::kHistory}};
constexpr Word<RowScore> kScores[] = {{"upperBound", RowScore::kUpperBound},
                                      {"gradientNorm", RowScore::kGradientNorm},
                                      {"loss", RowScore::kLoss}};

// Numbers that are finite and not negative, at least one.
std::span<double> figures(const Napi::Value& value, std::string_view name, std::int64_t length = -1) {
  const std::span<double> values = typed<double>(value, name, length);
  const bool fine = std::all_of(values.begin(), values.end(), [](double x) { return x >= 0 && std::isfinite(x); });
  if (values.empty() || !fine) {
    fail(ErrorCode::kOption, name, "at least one number, all finite and not negative", describe(value));
  }
  return values;
}

std::span<std::uint32_t> indices(const Napi::Value& value, std::string_view name, std::size_t below) {
  const std::span<std::uint32_t> list = typed<std::uint32_t>(value, name);
  if (!std::all_of(list.begin(), list.end(), [&](std::uint32_t index) { return index < below; })) {
    fail(ErrorCode::kOption, name, "indices below the number of samples", describe(value));
  }
  return list;
}

}  // namespace

SamplingSpec read_sampling(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  SamplingSpec spec;
  spec.kind = fields.word("kind", kKinds);
  switch (spec.kind) {
    case SamplingKind::kPoisson: spec.rate = fields.number("rate", 0); break;
    case SamplingKind::kWeighted:
      spec.probabilities = read_doubles(fields.get("probabilities"), fields.at("probabilities"));
      spec.unbiased = fields.boolean("unbiased");
      break;
    case SamplingKind::kHistory: spec.unbiased = fields.boolean("unbiased"); break;
    case SamplingKind::kImportance: {
      spec.score = fields.word("by", kScores);
      spec.presample = fields.number("presample", 1);
      spec.smoothing = fields.number("smoothing", 0);
      spec.smoothing_fraction = fields.number("smoothingFraction", 0);
      // Null: by the cost of the pool.
      const Napi::Value threshold = fields.get("startThreshold");
      if (!threshold.IsNull()) spec.start_threshold = number(threshold, fields.at("startThreshold"), 0);
      spec.bias_power = fields.number("biasPower", 0);
      break;
    }
    default: break;
  }
  return spec;
}

Napi::Value sampling_probabilities_of(const Napi::CallbackInfo& info) {
  const double mix = number(info[1], "mix", 0), constant = number(info[2], "smoothing", 0);
  if (mix > 1) fail(ErrorCode::kOption, "mix", "at most 1", describe(info[1]));
  const std::span<const double> given = figures(info[0], "scores");
  std::vector<double> p(given.size());
  for (std::size_t i = 0; i < p.size(); ++i) p[i] = given[i] + constant;
  mixed_probabilities(p, mix, p);
  return copy_array<double>(info.Env(), p);
}

Napi::Value importance_weights_of(const Napi::CallbackInfo& info) {
  const double power = number(info[3], "power", 0);
  const std::span<const double> p = figures(info[0], "probabilities");
  const std::span<const std::uint32_t> picked = indices(info[1], "picked", p.size());
  const bool drawn = std::all_of(picked.begin(), picked.end(), [&](std::uint32_t i) { return p[i] > 0; });
  if (!drawn) fail(ErrorCode::kOption, "picked", "samples of a probability above 0", describe(info[1]));
  std::vector<double> weights(picked.size());
  importance_weights(p, picked, weights);
  if (!info[2].IsNull()) {
    soften_weights(weights, picked, figures(info[2], "scores", static_cast<std::int64_t>(p.size())), power);
  }
  return copy_array<double>(info.Env(), weights);
}

Napi::Value variance_reduction_of(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), variance_reduction(figures(info[0], "probabilities")));
}

Napi::Value record_history_of(const Napi::CallbackInfo& info) {
  const std::span<double> to = typed<double>(info[0], "figures");
  const std::span<const std::uint32_t> index = indices(info[1], "index", to.size());
  record_history(to, index, figures(info[2], "records", static_cast<std::int64_t>(index.size())));
  return info[0];
}

}  // namespace krylov::binding
