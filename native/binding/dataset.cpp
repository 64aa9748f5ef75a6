#include "dataset.h"

namespace krylov::binding {

namespace {

enum class TargetKind : std::uint8_t { kClasses, kDense };
constexpr Word<TargetKind> kTargetKinds[] = {{"classes", TargetKind::kClasses}, {"dense", TargetKind::kDense}};
constexpr std::uint32_t kMostHeads = 1024;

struct Target {
  std::string path;
  TargetKind kind;
  Napi::Value data;
  std::int64_t columns;
};

DType input_dtype(const Elements& inputs, const Napi::Value& value) {
  switch (inputs.type) {
    case napi_uint8_array: return DType::kUint8;
    case napi_float32_array: return DType::kFloat32;
    case napi_float64_array: return DType::kFloat64;
    default: fail(ErrorCode::kDType, "inputs", "Float32Array, Float64Array or Uint8Array", describe(value));
  }
}

std::unique_ptr<krylov::Dataset> read(const Napi::Value& value) {
  const Fields fields(value, "dataset");
  const Napi::Value inputs = fields.get("inputs");
  const std::int64_t rows = fields.integer("rows", 0);
  const std::int64_t columns = fields.integer("columns", 1);
  std::vector<Target> targets;
  const Napi::Array list = fields.array("targets", kMostHeads);
  const std::uint32_t count = list.Length();
  for (std::uint32_t i = 0; i < count; ++i) {
    const Fields target(list.Get(i), fields.at("targets") + "[" + std::to_string(i) + "]");
    const TargetKind kind = target.word("kind", kTargetKinds);
    targets.push_back({target.at("data"), kind, target.get("data"),
                       kind == TargetKind::kDense ? target.integer("columns", 1) : 1});
  }
  const Napi::Value weights = fields.get("sampleWeights");

  // From here on no code of the caller runs.
  const Elements e = elements(inputs, "inputs", "Float32Array, Float64Array or Uint8Array");
  std::unique_ptr<krylov::Dataset> data;
  check(krylov::Dataset::create(e.data, input_dtype(e, inputs), e.bytes, rows, columns, data));
  for (const Target& target : targets) {
    if (target.kind == TargetKind::kClasses) {
      check(data->add_labels(typed<std::int32_t>(target.data, target.path)));
      continue;
    }
    const Elements v = elements(target.data, target.path, "Float32Array or Float64Array");
    if (!v.is_float()) fail(ErrorCode::kDType, target.path, "Float32Array or Float64Array", describe(target.data));
    check(data->add_values(v.data, v.dtype(), v.bytes, target.columns));
  }
  if (!weights.IsNull()) check(data->set_weights(typed<double>(weights, "sampleWeights")));
  return data;
}

}  // namespace

Napi::Function NativeDataset::define(Napi::Env env) {
  return DefineClass(env, kName,
                     {getter<NativeDataset, &NativeDataset::rows>("rows"),
                      getter<NativeDataset, &NativeDataset::columns>("columns"),
                      method<NativeDataset, &NativeDataset::dispose>("dispose")});
}

NativeDataset::NativeDataset(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guard(info.Env(), [&] {
    data_ = read(info[0]);
    memory_.attach(info.Env(), static_cast<std::int64_t>(data_->bytes()));
    seal<NativeDataset>(info);
  });
}

const std::shared_ptr<const krylov::Dataset>& NativeDataset::data(std::string_view argument) const {
  if (data_ == nullptr) fail(ErrorCode::kState, argument, "a dataset in use", "a disposed one");
  return data_;
}

Napi::Value NativeDataset::rows(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(data("dataset")->rows()));
}

Napi::Value NativeDataset::columns(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(data("dataset")->columns()));
}

// A run that reads the rows keeps them until its end.
void NativeDataset::dispose(const Napi::CallbackInfo&) {
  data_.reset();
  memory_.set(0);
}

}  // namespace krylov::binding
