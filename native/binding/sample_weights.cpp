#include "sample_weights.h"

#include <algorithm>
#include <cmath>

#include "specs.h"

namespace krylov::binding {

namespace {

struct Rule {
  WeightRule rule = WeightRule::kFunction;
  const char* a = nullptr;  // names of its numbers
  const char* b = nullptr;
};

constexpr Word<Rule> kRules[] = {
    {"focalWeights", {WeightRule::kFocal, "gamma"}},
    {"focalLossWeights", {WeightRule::kFocalLoss, "gamma"}},
    {"generalizedCrossEntropyWeights", {WeightRule::kGeneralizedCrossEntropy, "q"}},
    {"truncatedCrossEntropyWeights", {WeightRule::kTruncatedCrossEntropy, "q", "k"}},
    {"huberizedCrossEntropyWeights", {WeightRule::kHuberizedCrossEntropy, "tau"}},
    {"inverseLossWeights", {WeightRule::kInverseLoss, "offset"}},
    {"confidenceWeights", {WeightRule::kConfidence, "power"}},
    {"tiltedWeights", {WeightRule::kTilted, "temperature"}},
    {"lossThresholdWeights", {WeightRule::kLossThreshold, "threshold"}},
    {"hardExampleWeights", {WeightRule::kHardExamples, "share"}},
    {"smallLossWeights", {WeightRule::kSmallLoss, "forgetRate"}},
    {"alignmentWeights", {WeightRule::kAlignment}},
    {"function", {WeightRule::kFunction}}};
constexpr Word<bool> kNormalize[] = {{"none", false}, {"mean", true}};

// A figure of every sample, or nothing; NaN would leave no order to the samples.
std::vector<double> read_figure(const Fields& figures, const char* name) {
  const Napi::Value value = figures.get(name);
  if (value.IsNull()) return {};
  const std::span<const double> from = typed<double>(value, figures.at(name));
  if (!std::all_of(from.begin(), from.end(), [](double x) { return std::isfinite(x); })) {
    fail(ErrorCode::kNotFinite, figures.at(name), "finite numbers", "NaN or infinity");
  }
  return {from.begin(), from.end()};
}

}  // namespace

SampleWeightsSpec read_sample_weights(const Napi::Value& value, const std::string& path) {
  const Fields fields(value, path);
  const Rule rule = fields.word("kind", kRules);
  SampleWeightsSpec spec;
  spec.rule = rule.rule;
  const Fields numbers(fields.get("numbers"), fields.at("numbers"));
  if (rule.a != nullptr) spec.a = read_schedule(numbers.get(rule.a), numbers.at(rule.a));
  if (rule.b != nullptr) spec.b = read_schedule(numbers.get(rule.b), numbers.at(rule.b));
  const Fields words(fields.get("words"), fields.at("words"));
  if (!words.get("normalize").IsUndefined()) spec.normalize = words.word("normalize", kNormalize);
  return spec;
}

Napi::Object write_weight_request(Napi::Env env, const WeightRequest& request) {
  auto object = Napi::Object::New(env);
  object.Set("losses", copy_array<double>(env, request.figures.losses));
  const auto& p = request.figures.probabilities;
  object.Set("probabilities", p.empty() ? env.Null() : copy_array<double>(env, p));
  object.Set("updates", static_cast<double>(request.updates));
  object.Set("epoch", static_cast<double>(request.epoch));
  return object;
}

// (logits [rows, width], width, labels [rows])
Napi::Value label_figures_of(const Napi::CallbackInfo& info) {
  const std::int64_t width = integer(info[1], "width", 1, std::int64_t(1) << 31);
  const std::span<const std::int32_t> labels = typed<std::int32_t>(info[2], "labels");
  const auto rows = static_cast<std::int64_t>(labels.size());
  const std::span<const double> logits = typed<double>(info[0], "logits", rows * width);
  for (const std::int32_t label : labels) {
    if (label < 0 || label >= std::max<std::int64_t>(width, 2)) {
      fail(ErrorCode::kShape, "labels", "classes below the width", std::to_string(label));
    }
  }
  std::vector<double> figures[4];
  for (auto& figure : figures) figure.resize(labels.size());
  for (std::size_t r = 0; r < labels.size(); ++r) {
    const double* row = logits.data() + static_cast<std::int64_t>(r) * width;
    const LabelFigures own = width == 1 ? binary_figures(row[0], labels[r]) : label_figures(row, width, labels[r]);
    figures[0][r] = own.probability;
    figures[1][r] = own.complement;
    figures[2][r] = own.loss;
    figures[3][r] = own.confidence;
  }
  const Napi::Env env = info.Env();
  auto result = Napi::Object::New(env);
  static constexpr const char* kNames[] = {"probabilities", "complements", "losses", "confidences"};
  for (std::size_t i = 0; i < 4; ++i) result.Set(kNames[i], copy_array<double>(env, figures[i]));
  return result;
}

// (rule, t, { losses, probabilities, complements, confidences, alignments }, arrays or null): the weights, or null
// where they were to be divided by a mean of 0
Napi::Value sample_weights_of(const Napi::CallbackInfo& info) {
  const SampleWeightsSpec spec = read_sample_weights(info[0], "rule");
  if (spec.rule == WeightRule::kFunction) fail(ErrorCode::kOption, "rule.kind", "a rule", "'function'");
  const std::int64_t t = integer(info[1], "t", 0);
  const Fields fields(info[2], "figures");
  const std::vector<double> losses = read_figure(fields, "losses"), probabilities = read_figure(fields, "probabilities"),
                            complements = read_figure(fields, "complements"),
                            confidences = read_figure(fields, "confidences"),
                            alignments = read_figure(fields, "alignments");
  const std::vector<double>* looked_at[] = {&losses, &probabilities, &confidences, &alignments};
  const std::size_t count = looked_at[static_cast<std::size_t>(figure_of(spec.rule))]->size();
  if (!complements.empty() && complements.size() != probabilities.size()) {
    wrong_length("figures.complements", "Float64Array", static_cast<std::int64_t>(probabilities.size()),
                 complements.size());
  }
  std::vector<double> weights(count);
  std::vector<std::uint32_t> order(count);
  const SampleFigures figures{losses, probabilities, complements, confidences, alignments};
  if (!sample_weights(spec, t, figures, order, weights)) return info.Env().Null();
  return copy_array<double>(info.Env(), weights);
}

}  // namespace krylov::binding
