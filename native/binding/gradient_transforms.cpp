#include "gradient_transforms.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "specs.h"

namespace krylov::binding {

namespace {

// More elements than any memory holds; sizes in bytes stay far from overflow.
constexpr std::int64_t kLargestSize = std::int64_t(1) << 40;
constexpr std::uint32_t kMaxTransforms = 64;
constexpr std::uint32_t kMaxTensors = 1u << 20;

std::vector<std::int64_t> read_indices(const Napi::Value& value, const std::string& path) {
  const std::span<std::uint32_t> indices = typed<std::uint32_t>(value, path);
  return {indices.begin(), indices.end()};
}

std::string item(const std::string& path, std::uint32_t index) { return path + "[" + std::to_string(index) + "]"; }

ClipByLayerNormSpec read_layer_norm(const Fields& fields) {
  using Groups = ClipByLayerNormSpec::Groups;
  static constexpr Word<Groups> kGroups[] = {
      {"tensor", Groups::kTensor}, {"layer", Groups::kLayer}, {"listed", Groups::kListed}};
  ClipByLayerNormSpec spec{fields.number("maxNorm"), fields.number("epsilon"), fields.word("groups", kGroups), {}};
  const Napi::Array listed = fields.array("listed", kMaxTensors);
  for (std::uint32_t i = 0; i < listed.Length(); ++i) {
    spec.listed.push_back(read_indices(listed.Get(i), item(fields.at("listed"), i)));
  }
  return spec;
}

enum class Kind : std::uint8_t { kValue, kGlobalNorm, kLayerNorm, kAdaptive, kAuto, kSmoothing, kFilter, kBias };
constexpr Word<Kind> kKinds[] = {{"clipByValue", Kind::kValue},
                                 {"clipByGlobalNorm", Kind::kGlobalNorm},
                                 {"clipByLayerNorm", Kind::kLayerNorm},
                                 {"adaptiveClip", Kind::kAdaptive},
                                 {"autoClip", Kind::kAuto},
                                 {"asymmetricSmoothing", Kind::kSmoothing},
                                 {"lowRankFilter", Kind::kFilter},
                                 {"directionalBias", Kind::kBias}};

GradientTransformSpec read_transform(const Fields& f) {
  switch (f.word("kind", kKinds)) {
    case Kind::kValue: return ClipByValueSpec{f.number("limit")};
    case Kind::kGlobalNorm: return ClipByGlobalNormSpec{f.number("maxNorm"), f.number("epsilon")};
    case Kind::kLayerNorm: return read_layer_norm(f);
    case Kind::kAdaptive:
      return AdaptiveClipSpec{f.number("clipping"), f.number("epsilon"), read_indices(f.get("exclude"), f.at("exclude"))};
    case Kind::kAuto: return AutoClipSpec{f.number("percentile"), f.integer("window", 0)};
    case Kind::kSmoothing:
      return AsymmetricSmoothingSpec{f.number("decayPositive"), f.number("decayNegative"), f.boolean("biasCorrection")};
    case Kind::kFilter:
      return LowRankFilterSpec{f.integer("rank", 1), f.number("decay"), f.integer("refresh", 1, 1 << 30),
                               f.integer("warmup", 0, 1 << 30), f.number("residual")};
    case Kind::kBias: break;
  }
  static constexpr Word<bool> kScopes[] = {{"tensor", false}, {"global", true}};
  return DirectionalBiasSpec{f.number("decay"), f.number("parallel"), f.number("perpendicular"),
                             f.word("scope", kScopes)};
}

GradientLayout read_layout(const Napi::Value& value) {
  const Napi::Array list = array(value, "shapes", kMaxTensors);
  std::vector<std::vector<std::int64_t>> shapes;
  std::int64_t total = 0;
  for (std::uint32_t i = 0; i < list.Length(); ++i) {
    shapes.push_back(read_indices(list.Get(i), item("shapes", i)));
    std::int64_t size = 1;
    for (const std::int64_t side : shapes.back()) {
      if (side > 0 && size > kLargestSize / side) fail(ErrorCode::kShape, item("shapes", i), "a shape that fits in memory", "more");
      size *= side;
    }
    total += size;
    if (total > kLargestSize) fail(ErrorCode::kShape, "shapes", "shapes that fit in memory", "more");
  }
  return GradientLayout(shapes);
}

template <Scalar T>
bool overlap(std::span<const T> a, std::span<const T> b) noexcept {
  const std::less<const T*> before;
  return !a.empty() && !b.empty() && before(a.data(), b.data() + b.size()) && before(b.data(), a.data() + a.size());
}

}  // namespace

std::vector<GradientTransformSpec> read_gradient_transforms(const Napi::Value& value, const std::string& path) {
  const Napi::Array list = array(value, path, kMaxTransforms);
  std::vector<GradientTransformSpec> specs;
  for (std::uint32_t i = 0; i < list.Length(); ++i) specs.push_back(read_transform(Fields(list.Get(i), item(path, i))));
  return specs;
}

Napi::Function NativeGradientChain::define(Napi::Env env) {
  using C = NativeGradientChain;
  return DefineClass(env, kName,
                     {getter<C, &C::updates>("updates"), getter<C, &C::needs_parameters>("needsParameters"),
                      method<C, &C::apply>("apply"), method<C, &C::state>("state"),
                      method<C, &C::set_state>("setState")});
}

NativeGradientChain::NativeGradientChain(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guard(info.Env(), [&] {
    const std::vector<GradientTransformSpec> specs = read_gradient_transforms(info[0], "gradient");
    const GradientLayout layout = read_layout(info[1]);
    const auto create = [&]<class T>(T) {
      std::unique_ptr<GradientChain<T>> chain;
      check(GradientChain<T>::create(specs, layout, chain));
      std::int64_t bytes = 0;
      const GradientMemory<T> memory = chain->memory();
      for (const auto& [name, values] : memory.arrays) bytes += static_cast<std::int64_t>(values.size_bytes());
      for (const auto& field : memory.plain) bytes += static_cast<std::int64_t>(field.values->size() * sizeof(double));
      memory_.attach(info.Env(), bytes);
      chain_ = std::move(chain);
    };
    if (dtype(info[2], "dtype") == DType::kFloat32) {
      create(float());
    } else {
      create(double());
    }
    seal<NativeGradientChain>(info);
  });
}

Napi::Value NativeGradientChain::updates(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(visit([](auto& c) { return c.updates(); })));
}

Napi::Value NativeGradientChain::needs_parameters(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), visit([](auto& c) { return c.needs_parameters(); }));
}

Napi::Value NativeGradientChain::apply(const Napi::CallbackInfo& info) {
  return visit([&]<class T>(GradientChain<T>& chain) -> Napi::Value {
    const std::span<T> gradients = typed<T>(info[0], "gradients", chain.size());
    const std::span<T> parameters = info[1].IsNull() ? std::span<T>{} : typed<T>(info[1], "parameters", chain.size());
    const std::span<T> out = typed<T>(info[2], "out", chain.size());
    if (info[1].IsNull() && chain.needs_parameters()) {
      fail(ErrorCode::kOption, "parameters", ArrayType<T>::kName, describe(info[1]));
    }
    if (overlap<T>(out, parameters)) {
      fail(ErrorCode::kOption, "out", "an array that shares no memory with the parameters", describe(info[2]));
    }
    if (!out.empty() && out.data() != gradients.data()) std::memmove(out.data(), gradients.data(), out.size_bytes());
    chain.begin();
    chain.apply(parameters.data(), out.data(), Member{});
    if (chain.finite()) chain.end();
    auto result = Napi::Object::New(info.Env());
    result.Set("finite", chain.finite());
    result.Set("normBefore", chain.norm_before());
    result.Set("normAfter", chain.norm_after());
    result.Set("smallestFactor", chain.smallest_factor());
    return result;
  });
}

Napi::Value NativeGradientChain::state(const Napi::CallbackInfo& info) {
  return visit([&]<class T>(GradientChain<T>& chain) -> Napi::Value {
    const Napi::Env env = info.Env();
    const GradientMemory<T> memory = chain.memory();
    auto values = Napi::Object::New(env), arrays = Napi::Object::New(env), result = Napi::Object::New(env);
    for (const auto& [name, array] : memory.arrays) values.Set(name, copy_array<T>(env, array));
    for (const auto& field : memory.plain) arrays.Set(field.name, copy_array<double>(env, *field.values));
    result.Set("updates", static_cast<double>(chain.updates()));
    result.Set("values", values);
    result.Set("arrays", arrays);
    return result;
  });
}

void NativeGradientChain::set_state(const Napi::CallbackInfo& info) {
  visit([&]<class T>(GradientChain<T>& chain) {
    const Fields fields(info[0], "state");
    const std::int64_t updates = fields.integer("updates", 0);
    const Fields values(fields.get("values"), fields.at("values")), arrays(fields.get("arrays"), fields.at("arrays"));
    const GradientMemory<T> memory = chain.memory();
    std::vector<std::vector<double>> plain;
    for (const auto& field : memory.plain) {
      plain.push_back(read_doubles(arrays.get(field.name.c_str()), arrays.at(field.name.c_str())));
      if (!field.accepts(plain.back())) {
        fail(ErrorCode::kShape, arrays.at(field.name.c_str()), "finite numbers as many as the transformation keeps",
             describe(arrays.get(field.name.c_str())));
      }
    }
    // Everything of the caller's is read before the first is written.
    std::vector<std::vector<T>> by_parameter;
    for (const auto& [name, array] : memory.arrays) {
      const std::span<T> given = typed<T>(values.get(name.c_str()), values.at(name.c_str()), chain.size());
      by_parameter.emplace_back(given.begin(), given.end());
    }
    for (std::size_t i = 0; i < by_parameter.size(); ++i) {
      std::copy(by_parameter[i].begin(), by_parameter[i].end(), memory.arrays[i].second.begin());
    }
    for (std::size_t i = 0; i < plain.size(); ++i) *memory.plain[i].values = std::move(plain[i]);
    chain.restored(updates);
  });
}

}  // namespace krylov::binding
