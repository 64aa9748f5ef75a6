#include "errors.h"

#include "environment.h"

namespace krylov::binding {

std::string Failure::message() const {
  std::string text = argument_ + ": expected " + expected_;
  if (!received_.empty()) text += ", received " + received_;
  return text;
}

void fail(ErrorCode code, std::string_view argument, std::string_view expected, std::string_view received) {
  throw Failure(code, argument, expected, received);
}

void check(const Status& status) {
  if (status.ok()) return;
  std::string received;
  for (int i = 0; i < status.received_count; ++i) {
    if (i > 0) received += ", ";
    received += std::to_string(status.received[i]);
  }
  fail(status.code, status.argument, status.expected, received);
}

const char* code_name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kShape: return "ERR_SHAPE";
    case ErrorCode::kDType: return "ERR_DTYPE";
    case ErrorCode::kOption: return "ERR_OPTION";
    case ErrorCode::kNotFinite: return "ERR_NOT_FINITE";
    case ErrorCode::kBusy: return "ERR_BUSY";
    case ErrorCode::kState: return "ERR_STATE";
    case ErrorCode::kFile: return "ERR_FILE";
    case ErrorCode::kOk:
    case ErrorCode::kNative: break;
  }
  return "ERR_NATIVE";
}

Napi::Error to_error(Napi::Env env, const Failure& failure) {
  const auto code = Napi::String::New(env, code_name(failure.code()));
  const Environment* const environment = Environment::find(env);
  if (environment == nullptr || environment->error_class.IsEmpty()) {
    Napi::Error error = Napi::Error::New(env, failure.message());
    error.Set("code", code);
    return error;
  }
  auto details = Napi::Object::New(env);
  details.Set("name", failure.argument());
  details.Set("expected", failure.expected());
  if (!failure.received().empty()) details.Set("received", failure.received());
  const Napi::Object error =
      environment->error_class.New({code, Napi::String::New(env, failure.message()), details});
  return Napi::Error(env, error);
}

}  // namespace krylov::binding
