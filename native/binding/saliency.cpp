#include "saliency.h"

#include <limits>

#include "dataset.h"
#include "krylov/saliency.h"
#include "model.h"

namespace krylov::binding {

namespace {

constexpr Word<PositionMap> kPositionMaps[] = {
    {"norm", PositionMap::kNorm},           {"normWithBias", PositionMap::kNormWithBias},
    {"scaling", PositionMap::kScaling},     {"selective", PositionMap::kSelective},
    {"bias", PositionMap::kBias},           {"linear", PositionMap::kLinear},
    {"gradientMax", PositionMap::kGradientMax}};

// Everything that may run the caller's code; the targets are an array of the caller's, written to.
struct Explained {
  explicit Explained(const Napi::Value& value) : fields(value, "explained") {
    output.head = static_cast<std::size_t>(fields.integer("head", 0, 1 << 20));
    output.positions = fields.integer("positions", 1);
    output.meta_step = fields.number("metaStep");
    targets = fields.get("targets");
    values = fields.get("values");
  }
  // After every other argument has been read.
  std::span<double> bind() {
    output.targets = typed<std::int32_t>(targets, "explained.targets");
    return typed<double>(values, "explained.values", static_cast<std::int64_t>(output.targets.size()));
  }
  Fields fields;
  ExplainedOutput output;
  Napi::Value targets, values;
};

void check_size(std::int64_t rows, std::int64_t columns) {
  if (double(rows) * double(columns) > double(kLargestInteger)) {
    fail(ErrorCode::kShape, "maps", "fewer numbers than would fill memory", std::to_string(rows));
  }
}

}  // namespace

Napi::Value input_saliency_of(const Napi::CallbackInfo& info) {
  static constexpr Word<InputMap> kMaps[] = {{"gradient", InputMap::kGradient},
                                             {"gradientInput", InputMap::kGradientInput},
                                             {"integratedGradients", InputMap::kIntegratedGradients},
                                             {"absoluteGradientInput", InputMap::kAbsoluteGradientInput},
                                             {"columnNorm", InputMap::kColumnNorm}};
  Explained explained(info[2]);
  const Fields fields(info[3], "options");
  const InputMap map = fields.word("map", kMaps);
  const std::int64_t steps = fields.integer("steps", 1, std::int64_t(1) << 20);
  const Napi::Value baseline_value = fields.get("baseline"), baseline_values = fields.get("baselineValues");
  ModelCore& core = unwrap<NativeModel>(info[0], "model").core();
  const auto inputs = unwrap<NativeDataset>(info[1], "inputs").data("inputs");
  std::shared_ptr<const krylov::Dataset> baseline;
  if (!baseline_value.IsNull()) baseline = unwrap<NativeDataset>(baseline_value, "baseline").data("baseline");
  core.visit([&]<class T>(std::shared_ptr<krylov::Model<T>>& model) {
    check_rows(model->network(), inputs->rows(), "inputs");
    const std::span<double> values = explained.bind();
    InputSaliency<T> wanted;
    wanted.map = map;
    wanted.steps = steps;
    wanted.baseline = baseline.get();
    wanted.maps = typed<T>(info[4], "maps", inputs->rows() * inputs->columns());
    if (map == InputMap::kIntegratedGradients) {
      wanted.baseline_values =
          typed<double>(baseline_values, "options.baselineValues", static_cast<std::int64_t>(values.size()));
    }
    check(krylov::input_saliency<T>(*model, *inputs, explained.output, wanted, values));
  });
  return info[4];
}

Napi::Value layer_saliency_of(const Napi::CallbackInfo& info) {
  Explained explained(info[2]);
  const Fields fields(info[3], "options");
  const PositionMap map = fields.word("map", kPositionMaps);
  const bool identity = fields.boolean("identity");
  const Napi::Array list = fields.array("layers", 1u << 20);
  std::vector<std::int64_t> layers;
  for (std::uint32_t i = 0; i < list.Length(); ++i) layers.push_back(integer(list.Get(i), "options.layers", 0));
  ModelCore& core = unwrap<NativeModel>(info[0], "model").core();
  const auto inputs = unwrap<NativeDataset>(info[1], "inputs").data("inputs");
  core.visit([&]<class T>(std::shared_ptr<krylov::Model<T>>& model) {
    check_rows(model->network(), inputs->rows(), "inputs");
    const std::span<double> values = explained.bind();
    LayerSaliency<T> wanted;
    wanted.layers = layers;
    wanted.map = map;
    wanted.identity = identity;
    wanted.maps = typed<T>(info[4], "maps", inputs->rows() * static_cast<std::int64_t>(layers.size()));
    check(krylov::layer_saliency<T>(*model, *inputs, explained.output, wanted, values));
  });
  return info[4];
}

Napi::Value position_map_of(const Napi::CallbackInfo& info) {
  const PositionMap map = word(info[0], "variant", kPositionMaps);
  const std::int64_t rows = integer(info[2], "rows", 0), width = integer(info[3], "width", 1);
  const std::int64_t gradient_width = integer(info[5], "gradientWidth", 1);
  check_size(rows, width);
  check_size(rows, gradient_width);
  if (elementwise(map) && width != gradient_width) {
    fail(ErrorCode::kShape, "gradients", "as many columns as the activations", std::to_string(gradient_width));
  }
  const std::span<const double> x = typed<double>(info[1], "activations", rows * width);
  const std::span<const double> g = typed<double>(info[4], "gradients", rows * gradient_width);
  const std::span<double> out = typed<double>(info[6], "out", rows);
  for (std::int64_t r = 0; r < rows; ++r) {
    out[static_cast<std::size_t>(r)] =
        position_value(map, x.data() + r * width, width, g.data() + r * gradient_width, gradient_width);
  }
  return info[6];
}

Napi::Value combine_maps_of(const Napi::CallbackInfo& info) {
  static constexpr Word<MapCombination> kRules[] = {{"sum", MapCombination::kSum},
                                                    {"product", MapCombination::kProduct},
                                                    {"plainProduct", MapCombination::kPlainProduct}};
  const MapCombination rule = word(info[2], "rule", kRules);
  const std::int64_t rows = integer(info[3], "rows", 0), positions = integer(info[4], "positions", 1);
  check_size(rows, positions);
  const Napi::Array list = array(info[0], "maps", 1u << 20);
  std::vector<Napi::Value> values;
  for (std::uint32_t i = 0; i < list.Length(); ++i) values.push_back(list.Get(i));
  std::vector<const double*> maps;
  for (const Napi::Value& value : values) maps.push_back(typed<double>(value, "maps", rows * positions).data());
  const std::span<const double> weights = typed<double>(info[1], "weights", static_cast<std::int64_t>(maps.size()));
  const std::span<double> out = typed<double>(info[5], "out", rows * positions);
  combine_maps(maps, weights, rule, rows, positions, out.data());
  return info[5];
}

Napi::Value rank_correlation_of(const Napi::CallbackInfo& info) {
  const std::int64_t rows = integer(info[2], "rows", 0), columns = integer(info[3], "columns", 0);
  check_size(rows, columns);
  const std::span<const double> a = typed<double>(info[0], "a", rows * columns);
  const std::span<const double> b = typed<double>(info[1], "b", rows * columns);
  const std::span<double> out = typed<double>(info[4], "out", rows);
  for (std::size_t r = 0; r < out.size(); ++r) {
    const auto at = r * static_cast<std::size_t>(columns), size = static_cast<std::size_t>(columns);
    out[r] = rank_correlation(a.subspan(at, size), b.subspan(at, size));
  }
  return info[4];
}

}  // namespace krylov::binding
