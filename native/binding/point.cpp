#include "point.h"

#include <optional>

#include "krylov/curvature_rows.h"
#include "operator.h"

namespace krylov::binding {

namespace {

template <Scalar T>
std::int64_t parameter_count(const Linearization<T>& point) noexcept {
  return point.network().parameter_count();
}

// One array [rows, width] of T a head. Elements are all read before the first
// pointer is taken.
template <Scalar T>
std::vector<T*> head_arrays(const Linearization<T>& point, const Napi::Value& value, std::string_view name) {
  const std::span<const HeadInfo> heads = point.network().heads();
  const Napi::Array list = array(value, name, 0xffffffffu);
  if (list.Length() != heads.size()) {
    fail(ErrorCode::kShape, name, "one array for each of " + std::to_string(heads.size()) + " heads", describe(value));
  }
  std::vector<Napi::Value> values;
  for (std::size_t h = 0; h < heads.size(); ++h) values.push_back(list.Get(static_cast<std::uint32_t>(h)));
  std::vector<T*> arrays;
  for (std::size_t h = 0; h < heads.size(); ++h) {
    arrays.push_back(typed<T>(values[h], name, point.rows() * heads[h].width).data());
  }
  return arrays;
}

}  // namespace

Napi::Function NativePoint::define(Napi::Env env) {
  using P = NativePoint;
  return DefineClass(
      env, kName,
      {getter<P, &P::loss>("loss"), getter<P, &P::head_losses>("headLosses"),
       getter<P, &P::loss_per_sample>("lossPerSample"), method<P, &P::outputs>("outputs"),
       method<P, &P::gradient>("gradient"), method<P, &P::per_sample_gradients>("perSampleGradients"),
       method<P, &P::per_sample_norms>("perSampleGradientNorms"), method<P, &P::jvp>("jvp"),
       method<P, &P::vjp>("vjp"), method<P, &P::make_operator>("operator"),
       getter<P, &P::curvature_rows_per_sample>("curvatureRowsPerSample"),
       method<P, &P::curvature_rows>("curvatureRows"), method<P, &P::curvature_norms>("curvatureNorms"),
       method<P, &P::dispose>("dispose")});
}

NativePoint::NativePoint(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guard(info.Env(), [&] {
    point_ = std::move(take_content<NativePoint>(info));
    const std::int64_t bytes = std::visit([](auto& point) { return point->bytes(); }, point_);
    memory_.attach(info.Env(), bytes);
    seal<NativePoint>(info);
  });
}

const NativePoint::Content& NativePoint::get(std::string_view argument) const {
  if (disposed_) fail(ErrorCode::kState, argument, "a point in use", "a disposed one");
  return point_;
}

void NativePoint::measure() {
  if (!disposed_) memory_.set(std::visit([](auto& point) { return point->bytes(); }, point_));
}

template <class Body>
decltype(auto) NativePoint::visit(Body&& body) {
  check_usable();
  return std::visit([&](auto point) -> decltype(auto) { return body(*point); }, point_);
}

Napi::Value NativePoint::loss(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), visit([](auto& point) { return point.loss(); }));
}

Napi::Value NativePoint::head_losses(const Napi::CallbackInfo& info) {
  return visit([&](auto& point) -> Napi::Value {
    std::vector<double> losses;
    for (std::size_t h = 0; h < point.network().heads().size(); ++h) losses.push_back(point.head_loss(h));
    return number_array(info.Env(), losses);
  });
}

Napi::Value NativePoint::loss_per_sample(const Napi::CallbackInfo& info) {
  return visit([&](auto& point) { return copy_array<double>(info.Env(), point.sample_losses()); });
}

Napi::Value NativePoint::outputs(const Napi::CallbackInfo& info) {
  return visit([&]<class T>(Linearization<T>& point) -> Napi::Value {
    const std::span<const HeadInfo> heads = point.network().heads();
    const auto head = static_cast<std::size_t>(integer(info[0], "head", 0, static_cast<std::int64_t>(heads.size()) - 1));
    Napi::Value array;
    const auto size = static_cast<std::size_t>(point.rows() * heads[head].width);
    point.outputs(head, make_array<T>(info.Env(), size, array));
    return array;
  });
}

void NativePoint::gradient(const Napi::CallbackInfo& info) {
  visit([&]<class T>(Linearization<T>& point) { point.gradient(typed<T>(info[0], "out", parameter_count(point))); });
}

void NativePoint::per_sample_gradients(const Napi::CallbackInfo& info) {
  visit([&]<class T>(Linearization<T>& point) {
    const std::int64_t first = integer(info[0], "first", 0, point.rows());
    const std::int64_t count = integer(info[1], "count", 0, point.rows() - first);
    // The product may pass 2^63 before any array is that long.
    if (double(count) * double(parameter_count(point)) > double(kLargestInteger)) {
      fail(ErrorCode::kShape, "count", "fewer rows than would fill memory", describe(info[1]));
    }
    point.per_sample_gradients(first, count, typed<T>(info[2], "out", count * parameter_count(point)));
  });
}

void NativePoint::per_sample_norms(const Napi::CallbackInfo& info) {
  visit([&](auto& point) { point.per_sample_norms(typed<double>(info[0], "out", point.rows())); });
}

void NativePoint::jvp(const Napi::CallbackInfo& info) {
  visit([&]<class T>(Linearization<T>& point) {
    check(check_differentiable(point.network(), "model"));
    const std::vector<T*> out = head_arrays(point, info[1], "out");
    check_usable();  // an element may have been an accessor that disposed it
    point.jvp(typed<T>(info[0], "v", parameter_count(point)), out);
    memory_.set(point.bytes());
  });
}

void NativePoint::vjp(const Napi::CallbackInfo& info) {
  visit([&]<class T>(Linearization<T>& point) {
    const std::vector<T*> u = head_arrays(point, info[0], "u");
    check_usable();
    const std::vector<const T*> inputs(u.begin(), u.end());
    point.vjp(inputs, typed<T>(info[1], "out", parameter_count(point)));
    memory_.set(point.bytes());
  });
}

Napi::Value NativePoint::make_operator(const Napi::CallbackInfo& info) {
  static constexpr Word<std::optional<Curvature>> kKinds[] = {{"hessian", Curvature::kHessian},
                                                              {"ggn", Curvature::kGaussNewton},
                                                              {"fisher", Curvature::kFisher},
                                                              {"empiricalFisher", Curvature::kEmpiricalFisher},
                                                              {"jacobian", std::nullopt}};
  return visit([&]<class T>(Linearization<T>& point) {
    const std::optional<Curvature> kind = word(info[0], "kind", kKinds);
    OperatorPointer<T> op;
    if (kind) {
      check(curvature_operator<T>(point.point(), *kind, op));
    } else {
      check(check_differentiable(point.network(), "model"));
      op = jacobian_operator<T>(point.point());
    }
    memory_.set(point.bytes());
    return NativeOperator::create(info.Env(), std::move(op));
  });
}

Napi::Value NativePoint::curvature_rows_per_sample(const Napi::CallbackInfo& info) {
  return visit([&](auto& point) {
    return Napi::Number::New(info.Env(), static_cast<double>(krylov::curvature_rows_per_sample(*point.point())));
  });
}

void NativePoint::curvature_rows(const Napi::CallbackInfo& info) {
  visit([&]<class T>(Linearization<T>& point) {
    const std::int64_t first = integer(info[0], "first", 0, point.rows());
    const std::int64_t count = integer(info[1], "count", 0, point.rows() - first);
    const std::int64_t rows = count * krylov::curvature_rows_per_sample(*point.point());
    // The product may pass 2^63 before any array is that long.
    if (double(rows) * double(parameter_count(point)) > double(kLargestInteger)) {
      fail(ErrorCode::kShape, "count", "fewer rows than would fill memory", describe(info[1]));
    }
    T* const out = typed<T>(info[2], "out", rows * parameter_count(point)).data();
    check(krylov::curvature_rows<T>(*point.point(), first, count, out));
    memory_.set(point.bytes());
  });
}

void NativePoint::curvature_norms(const Napi::CallbackInfo& info) {
  visit([&]<class T>(Linearization<T>& point) {
    double* const out = typed<double>(info[0], "out", point.rows()).data();
    check(krylov::curvature_norms<T>(*point.point(), out));
    memory_.set(point.bytes());
  });
}

void NativePoint::dispose(const Napi::CallbackInfo&) {
  disposed_ = true;
  std::visit([](auto& point) { point.reset(); }, point_);
  memory_.set(0);
}

}  // namespace krylov::binding
