// NativeGradientChain: a chain of gradient transformations with its memory, over flat arrays of the caller.
#pragma once

#include "handles.h"

#include <memory>
#include <variant>
#include <vector>

#include "krylov/gradient_transforms.h"

namespace krylov::binding {

std::vector<GradientTransformSpec> read_gradient_transforms(const Napi::Value& value, const std::string& path);

class NativeGradientChain final : public Napi::ObjectWrap<NativeGradientChain> {
 public:
  static constexpr napi_type_tag kTag = {0x4be2f09a6d31c875, 0x92a7c14e5f80d36b};
  static constexpr const char* kName = "GradientChain";
  static Napi::Function define(Napi::Env env);

  explicit NativeGradientChain(const Napi::CallbackInfo& info);

 private:
  Napi::Value updates(const Napi::CallbackInfo& info);
  Napi::Value needs_parameters(const Napi::CallbackInfo& info);
  Napi::Value apply(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  void set_state(const Napi::CallbackInfo& info);

  // Calls body(GradientChain<T>&).
  template <class Body>
  decltype(auto) visit(Body&& body) {
    return std::visit([&](auto& chain) -> decltype(auto) { return body(*chain); }, chain_);
  }

  std::variant<std::unique_ptr<GradientChain<float>>, std::unique_ptr<GradientChain<double>>> chain_;
  ExternalMemory memory_;
};

}  // namespace krylov::binding
