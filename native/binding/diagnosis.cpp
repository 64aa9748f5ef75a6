#include "diagnosis.h"

#include "krylov/cosines.h"
#include "krylov/unit_activity.h"
#include "point.h"

namespace krylov::binding {

namespace {

// So that n * n stays far from overflow, and the result within what memory holds.
constexpr std::int64_t kMostVectors = 1 << 15;

std::int64_t pairs(std::int64_t n) { return n * n; }

template <Scalar T>
Napi::Value products_of(const Napi::Array& list, std::int64_t length, const Napi::Value& out) {
  std::vector<const T*> vectors;
  std::vector<Napi::Value> kept;
  for (std::uint32_t i = 0; i < list.Length(); ++i) kept.push_back(list.Get(i));
  const auto n = static_cast<std::int64_t>(kept.size());
  double* const to = typed<double>(out, "out", pairs(n)).data();
  for (const Napi::Value& value : kept) vectors.push_back(typed<T>(value, "vectors", length).data());
  gram_of_vectors<T>(vectors, length, to);
  return out;
}

}  // namespace

Napi::Value cosines_of(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::int64_t n = integer(info[1], "count", 1, kMostVectors);
  const bool known = !info[2].IsNull();
  const std::span<const double> gram = typed<double>(info[0], "gram", pairs(n));
  std::span<const std::int32_t> classes;
  if (known) classes = typed<std::int32_t>(info[2], "classes", n);
  double* const out = typed<double>(info[3], "out", pairs(n)).data();
  const CosineSummary summary = cosines_of_gram(gram.data(), n, classes, out);
  auto result = Napi::Object::New(env);
  result.Set("mean", summary.mean);
  result.Set("negativeShare", summary.negative_share);
  result.Set("within", summary.within);
  result.Set("between", summary.between);
  return result;
}

Napi::Value vector_products_of(const Napi::CallbackInfo& info) {
  const Napi::Array list = array(info[0], "vectors", kMostVectors);
  if (list.Length() == 0) fail(ErrorCode::kShape, "vectors", "at least one vector", "none");
  const Elements first = elements(list.Get(0u), "vectors[0]", "a Float32Array or Float64Array");
  if (!first.is_float()) {
    fail(ErrorCode::kDType, "vectors[0]", "a Float32Array or Float64Array", describe(list.Get(0u)));
  }
  const auto length = static_cast<std::int64_t>(first.length);
  return first.dtype() == DType::kFloat64 ? products_of<double>(list, length, info[1])
                                          : products_of<float>(list, length, info[1]);
}

Napi::Value unit_activity_of(const Napi::CallbackInfo& info) {
  const double threshold = number(info[1], "slopeThreshold", 0);
  return with_point(info[0], [&]<class T>(const std::shared_ptr<Linearization<T>>& point) -> Napi::Value {
    const Napi::Env env = info.Env();
    const std::vector<LayerActivity> layers = unit_activity<T>(*point->point(), threshold);
    auto list = Napi::Array::New(env, layers.size());
    for (std::uint32_t l = 0; l < layers.size(); ++l) {
      const std::vector<double> flat(layers[l].flat.begin(), layers[l].flat.end());
      auto layer = Napi::Object::New(env);
      layer.Set("name", layers[l].name);
      layer.Set("rectifies", layers[l].activation == Activation::kRelu);
      layer.Set("flat", copy_array<double>(env, flat));
      list.Set(l, layer);
    }
    return list;
  });
}

}  // namespace krylov::binding
