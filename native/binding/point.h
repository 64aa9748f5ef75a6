// NativePoint: a network linearised at a batch.
#pragma once

#include "handles.h"

#include <memory>
#include <variant>

#include "krylov/derivatives.h"

namespace krylov::binding {

class NativePoint final : public Napi::ObjectWrap<NativePoint> {
 public:
  static constexpr napi_type_tag kTag = {0x5b7c02e18d9f4a66, 0x84d3be1f60a2975c};
  static constexpr const char* kName = "Point";
  // Shared, since code of the caller may dispose a point while a method reads its arguments.
  using Content =
      std::variant<std::shared_ptr<krylov::Linearization<float>>, std::shared_ptr<krylov::Linearization<double>>>;
  static Napi::Function define(Napi::Env env);

  explicit NativePoint(const Napi::CallbackInfo& info);

  // The point, when it is in use.
  const Content& get(std::string_view argument) const;
  // After calls that may have taken memory; nothing where it has been disposed meanwhile.
  void measure();

 private:
  Napi::Value loss(const Napi::CallbackInfo& info);
  Napi::Value head_losses(const Napi::CallbackInfo& info);
  Napi::Value loss_per_sample(const Napi::CallbackInfo& info);
  Napi::Value outputs(const Napi::CallbackInfo& info);
  void gradient(const Napi::CallbackInfo& info);
  void per_sample_gradients(const Napi::CallbackInfo& info);
  void per_sample_norms(const Napi::CallbackInfo& info);
  void jvp(const Napi::CallbackInfo& info);
  void vjp(const Napi::CallbackInfo& info);
  Napi::Value make_operator(const Napi::CallbackInfo& info);
  Napi::Value curvature_rows_per_sample(const Napi::CallbackInfo& info);
  void curvature_rows(const Napi::CallbackInfo& info);
  void curvature_norms(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  void check_usable() const { get("point"); }
  // Calls body(Linearization<T>&) of a point in use.
  template <class Body>
  decltype(auto) visit(Body&& body);

  Content point_;
  bool disposed_ = false;
  ExternalMemory memory_;
};

// body(std::shared_ptr<Linearization<T>>): after every other argument has been read, since to read them may run code
// that disposes the point.
template <class Body>
Napi::Value with_point(const Napi::Value& value, Body&& body) {
  NativePoint& native = unwrap<NativePoint>(value, "point");
  const NativePoint::Content content = native.get("point");
  const Napi::Value result = std::visit(body, content);
  native.measure();
  return result;
}

}  // namespace krylov::binding
