// Failures of the binding and of the core, and how they become JavaScript
// errors. Every entry from JavaScript goes through guard().
#pragma once

// A worker that is being terminated refuses new exceptions; that is no reason
// to end the process.
#ifndef NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#endif
#include <napi.h>

#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "krylov/status.h"

namespace krylov::binding {

// What went wrong, in the words of the message: "argument: expected ..., received ...".
class Failure : public std::exception {
 public:
  Failure(ErrorCode code, std::string_view argument, std::string_view expected, std::string_view received)
      : code_(code), argument_(argument), expected_(expected), received_(received) {}

  ErrorCode code() const noexcept { return code_; }
  const std::string& argument() const noexcept { return argument_; }
  const std::string& expected() const noexcept { return expected_; }
  const std::string& received() const noexcept { return received_; }  // empty when there is nothing to say
  std::string message() const;
  const char* what() const noexcept override { return expected_.c_str(); }

 private:
  ErrorCode code_;
  std::string argument_, expected_, received_;
};

[[noreturn]] void fail(ErrorCode code, std::string_view argument, std::string_view expected,
                       std::string_view received = {});

// Throws a Failure unless the status is ok.
void check(const Status& status);

const char* code_name(ErrorCode code) noexcept;

// An instance of the registered error class; before one is registered, a plain
// Error with the code as a property.
Napi::Error to_error(Napi::Env env, const Failure& failure);

// Runs fn; whatever it throws leaves as a Napi::Error.
template <class Function>
decltype(auto) guard(Napi::Env env, Function&& fn) {
  try {
    return std::forward<Function>(fn)();
  } catch (const Failure& failure) {
    throw to_error(env, failure);
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw to_error(env, {ErrorCode::kNative, "memory", "enough for this call", "an allocation that failed"});
  } catch (const std::exception& error) {
    throw to_error(env, {ErrorCode::kNative, "native code", "success", error.what()});
  }
}

// The outermost frame of a call from JavaScript: no C++ exception passes it.
template <class Function>
napi_value enter(napi_env env, Function&& fn) noexcept {
  try {
    try {
      return guard(env, std::forward<Function>(fn));
    } catch (const Napi::Error& error) {
      error.ThrowAsJavaScriptException();
    }
  } catch (...) {
    // The environment takes no exceptions any more.
  }
  return nullptr;
}

// kFunction: Napi::Value (const Napi::CallbackInfo&).
template <auto kFunction>
napi_value function_entry(napi_env env, napi_callback_info info) noexcept {
  return enter(env, [&]() -> napi_value {
    const Napi::CallbackInfo call(env, info);
    return kFunction(call);
  });
}

}  // namespace krylov::binding
