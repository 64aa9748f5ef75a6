// NativeRun: a training run on the compute thread.
#pragma once

#include "handles.h"

#include <memory>

#include "krylov/training.h"

namespace krylov::binding {

class RunWork;

class NativeRun final : public Napi::ObjectWrap<NativeRun> {
 public:
  static constexpr napi_type_tag kTag = {0x28b5f07ed1934e8a, 0x97c60a3d5fe1b842};
  static constexpr const char* kName = "Run";
  using Content = std::shared_ptr<RunWork>;
  static Napi::Function define(Napi::Env env);

  explicit NativeRun(const Napi::CallbackInfo& info);

 private:
  void abort(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  void answer_weights(const Napi::CallbackInfo& info);

  std::shared_ptr<RunWork> work_;
};

}  // namespace krylov::binding
