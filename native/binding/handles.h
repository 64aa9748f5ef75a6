// Native objects behind JavaScript objects. Methods and accessors check the
// type tag of `this` and of every handle they are given.
#pragma once

#include "errors.h"

#include <cstdint>

#include "environment.h"
#include "values.h"

namespace krylov::binding {

// T: an ObjectWrap with kTag and kName.
template <class T>
T& unwrap(const Napi::Value& value, std::string_view argument) {
  bool tagged = false;
  if (value.IsObject()) {
    const napi_status status = napi_check_object_type_tag(value.Env(), value, &T::kTag, &tagged);
    if (status != napi_ok) tagged = false;
  }
  if (!tagged) fail(ErrorCode::kOption, argument, std::string("a native ") + T::kName, describe(value));
  return *T::Unwrap(value.As<Napi::Object>());
}

// The last act of a constructor: only a finished object passes unwrap.
template <class T>
void seal(const Napi::CallbackInfo& info) {
  if (napi_type_tag_object(info.Env(), info.This(), &T::kTag) != napi_ok) {
    fail(ErrorCode::kNative, "this", std::string("a new native ") + T::kName);
  }
}

// Constructs an object of a class that only this addon may construct.
template <class T>
Napi::Object make(Napi::Env env, const Napi::FunctionReference& constructor, typename T::Content& content) {
  Environment& environment = Environment::of(env);
  environment.making = &T::kTag;
  environment.content = &content;
  return constructor.New({});
}

template <class T>
typename T::Content& take_content(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  const bool ours = environment.making == &T::kTag;
  void* const content = std::exchange(environment.content, nullptr);
  environment.making = nullptr;
  if (!ours || content == nullptr) {
    fail(ErrorCode::kState, T::kName, "to be made by a model", "a call of its constructor");
  }
  return *static_cast<typename T::Content*>(content);
}

// kMethod: Napi::Value or void (T::*)(const Napi::CallbackInfo&).
template <class T, auto kMethod>
napi_value method_entry(napi_env env, napi_callback_info info) noexcept {
  return enter(env, [&]() -> napi_value {
    const Napi::CallbackInfo call(env, info);
    T& self = unwrap<T>(call.This(), "this");
    if constexpr (std::is_void_v<decltype((self.*kMethod)(call))>) {
      (self.*kMethod)(call);
      return nullptr;
    } else {
      return (self.*kMethod)(call);
    }
  });
}

template <class T, auto kMethod>
Napi::ClassPropertyDescriptor<T> method(const char* name) {
  return napi_property_descriptor{name,    nullptr, &method_entry<T, kMethod>, nullptr,
                                  nullptr, nullptr, napi_default_method,       nullptr};
}

template <class T, auto kMethod>
Napi::ClassPropertyDescriptor<T> getter(const char* name) {
  return napi_property_descriptor{name,    nullptr, nullptr,                &method_entry<T, kMethod>,
                                  nullptr, nullptr, napi_default_jsproperty, nullptr};
}

// Tells the garbage collector of memory that it does not see.
class ExternalMemory {
 public:
  ExternalMemory() noexcept = default;
  ~ExternalMemory() { set(0); }
  ExternalMemory(const ExternalMemory&) = delete;
  ExternalMemory& operator=(const ExternalMemory&) = delete;

  void attach(napi_env env, std::int64_t bytes) noexcept {
    env_ = env;
    set(bytes);
  }
  void set(std::int64_t bytes) noexcept {
    if (env_ == nullptr || bytes == bytes_) return;
    std::int64_t total = 0;
    napi_adjust_external_memory(env_, bytes - bytes_, &total);
    bytes_ = bytes;
  }

 private:
  napi_env env_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace krylov::binding
