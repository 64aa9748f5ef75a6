#include "per_sample.h"

#include "krylov/per_sample.h"
#include "point.h"

namespace krylov::binding {

namespace {

template <class T>
using Point = std::shared_ptr<Linearization<T>>;

// body(Point<T>, Point<T>); the second may be the first.
template <class Body>
Napi::Value with_points(const Napi::Value& value, const Napi::Value& with, Body&& body) {
  return with_point(value, [&]<class T>(const Point<T>& point) {
    NativePoint& native = unwrap<NativePoint>(with, "with");
    const NativePoint::Content content = native.get("with");
    const Point<T>* const other = std::get_if<Point<T>>(&content);
    if (other == nullptr) fail(ErrorCode::kDType, "with", "a point of the same dtype", "one of the other");
    const Napi::Value result = body(point, *other);
    native.measure();
    return result;
  });
}

// A product of sizes that a typed array can have.
std::int64_t elements_of(std::initializer_list<std::int64_t> sizes, std::string_view name) {
  double total = 1;
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) {
    total *= static_cast<double>(size);
    if (total > static_cast<double>(kLargestInteger)) {
      fail(ErrorCode::kShape, name, "fewer elements than would fill memory", "more");
    }
    count *= size;
  }
  return count;
}

OutputRange read_outputs(const Napi::Value& first, const Napi::Value& count) {
  OutputRange outputs;
  outputs.first = integer(first, "firstOutput", 0);
  outputs.count = integer(count, "outputCount", 1);
  return outputs;
}

template <Scalar T>
Napi::Array names_of(Napi::Env env, const Network<T>& network, ParameterGroups groups) {
  const std::vector<std::string> names = group_names(network, groups);
  auto list = Napi::Array::New(env, names.size());
  for (std::uint32_t i = 0; i < names.size(); ++i) list.Set(i, names[i]);
  return list;
}

}  // namespace

Napi::Value parameter_groups_of(const Napi::CallbackInfo& info) {
  return with_point(info[0], [&]<class T>(const Point<T>& point) -> Napi::Value {
    auto groups = Napi::Object::New(info.Env());
    groups.Set("total", names_of(info.Env(), point->network(), ParameterGroups::kAll));
    groups.Set("layer", names_of(info.Env(), point->network(), ParameterGroups::kLayers));
    groups.Set("tensor", names_of(info.Env(), point->network(), ParameterGroups::kTensors));
    return groups;
  });
}

Napi::Value per_sample_squares_of(const Napi::CallbackInfo& info) {
  static constexpr Word<ParameterGroups> kGroups[] = {{"total", ParameterGroups::kAll},
                                                      {"layer", ParameterGroups::kLayers},
                                                      {"tensor", ParameterGroups::kTensors}};
  const ParameterGroups groups = word(info[1], "by", kGroups);
  return with_point(info[0], [&]<class T>(const Point<T>& point) -> Napi::Value {
    const auto width = static_cast<std::int64_t>(group_names(point->network(), groups).size());
    per_sample_squares<T>(*point->point(), groups, typed<double>(info[2], "out", point->rows() * width).data());
    return info[2];
  });
}

Napi::Value per_sample_products_of(const Napi::CallbackInfo& info) {
  return with_point(info[0], [&]<class T>(const Point<T>& point) -> Napi::Value {
    const Network<T>& network = point->network();
    double* const out = typed<double>(info[2], "out", point->rows()).data();
    AlignedBuffer<T> v(static_cast<std::size_t>(network.arena_size()));
    network.template to_arena<T>(typed<T>(info[1], "v", network.parameter_count()), v.span());
    per_sample_products<T>(*point->point(), v.data(), out);
    return info[2];
  });
}

Napi::Value gram_matrix_of(const Napi::CallbackInfo& info) {
  const bool by_layer = boolean(info[2], "byLayer");
  return with_points(info[0], info[1], [&]<class T>(const Point<T>& a, const Point<T>& b) -> Napi::Value {
    const auto layers = static_cast<std::int64_t>(by_layer ? a->network().blocks().size() : 1);
    const std::int64_t size = elements_of({layers, a->rows(), b->rows()}, "out");
    check(gram_matrix<T>(*a->point(), *b->point(), by_layer, typed<double>(info[3], "out", size).data()));
    return info[3];
  });
}

Napi::Value tangent_kernel_of(const Napi::CallbackInfo& info) {
  static constexpr Word<TangentKernel> kKinds[] = {
      {"blocks", TangentKernel::kBlocks}, {"trace", TangentKernel::kTrace}, {"sum", TangentKernel::kSum}};
  const TangentKernel kind = word(info[2], "kind", kKinds);
  const OutputRange outputs = read_outputs(info[3], info[4]);
  return with_points(info[0], info[1], [&]<class T>(const Point<T>& a, const Point<T>& b) -> Napi::Value {
    const std::int64_t columns = kind == TangentKernel::kBlocks ? outputs.count : 1;
    const std::int64_t size = elements_of({a->rows(), b->rows(), columns, columns}, "out");
    check(tangent_kernel<T>(*a->point(), *b->point(), kind, outputs, typed<double>(info[5], "out", size).data()));
    return info[5];
  });
}

Napi::Value output_jacobians_of(const Napi::CallbackInfo& info) {
  const std::int64_t first = integer(info[1], "first", 0), count = integer(info[2], "count", 0);
  const OutputRange outputs = read_outputs(info[3], info[4]);
  return with_point(info[0], [&]<class T>(const Point<T>& point) -> Napi::Value {
    if (first > point->rows() || count > point->rows() - first) {
      fail(ErrorCode::kShape, "count", "samples that the point has", describe(info[2]));
    }
    const std::int64_t size = elements_of({count, outputs.count, point->network().parameter_count()}, "out");
    check(output_jacobians<T>(*point->point(), first, count, outputs, typed<T>(info[5], "out", size).data()));
    return info[5];
  });
}

Napi::Value gradient_square_sums_of(const Napi::CallbackInfo& info) {
  return with_point(info[0], [&]<class T>(const Point<T>& point) -> Napi::Value {
    gradient_square_sums<T>(*point->point(), typed<T>(info[1], "out", point->network().parameter_count()).data());
    return info[1];
  });
}

Napi::Value gradient_variance_of(const Napi::CallbackInfo& info) {
  const bool unbiased = boolean(info[1], "unbiased");
  return with_point(info[0], [&]<class T>(const Point<T>& point) -> Napi::Value {
    T* const out = typed<T>(info[2], "out", point->network().parameter_count()).data();
    check(gradient_variance<T>(*point->point(), unbiased, out));
    return info[2];
  });
}

Napi::Value gradient_statistics_of(const Napi::CallbackInfo& info) {
  return with_point(info[0], [&]<class T>(const Point<T>& point) -> Napi::Value {
    const Napi::Env env = info.Env();
    const auto rows = static_cast<std::size_t>(point->rows());
    std::vector<double> squares(rows), products(rows), cosines(rows);
    const GradientStatistics s = gradient_statistics<T>(*point->point(), squares, products, cosines);
    auto noise = Napi::Object::New(env);
    noise.Set("traceUnbiased", s.noise_scale.trace_unbiased);
    noise.Set("squaredGradientUnbiased", s.noise_scale.squared_gradient_unbiased);
    noise.Set("simpleUnbiased", s.noise_scale.simple_unbiased);
    noise.Set("simplePlain", s.noise_scale.simple_plain);
    auto result = Napi::Object::New(env);
    result.Set("squaredNorms", copy_array<double>(env, squares));
    result.Set("meanSquaredNorm", s.mean_squared_norm);
    result.Set("squaredMeanNorm", s.squared_mean_norm);
    result.Set("dotWithMean", copy_array<double>(env, products));
    result.Set("cosineWithMean", copy_array<double>(env, cosines));
    result.Set("noiseScale", noise);
    result.Set("gradientDiversity", s.diversity);
    result.Set("coherence", s.coherence);
    result.Set("normTest", s.norm_test);
    result.Set("innerProductTest", s.inner_product_test);
    return result;
  });
}

}  // namespace krylov::binding
