// NativeTrainer: one step at a time on the caller's batches.
#pragma once

#include "handles.h"

#include <memory>
#include <variant>

#include "krylov/training.h"
#include "model.h"

namespace krylov::binding {

class NativeTrainer final : public Napi::ObjectWrap<NativeTrainer> {
 public:
  static constexpr napi_type_tag kTag = {0xc94f6a3305be4d17, 0xb2e87d410f5c963a};
  static constexpr const char* kName = "Trainer";
  using AnyTrainer = std::variant<std::unique_ptr<krylov::Trainer<float>>, std::unique_ptr<krylov::Trainer<double>>>;
  struct Content {
    std::shared_ptr<ModelCore> model;
    AnyTrainer trainer;
  };
  static Napi::Function define(Napi::Env env);

  explicit NativeTrainer(const Napi::CallbackInfo& info);

 private:
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  void set_state(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  void check_usable() const;

  Content content_;
  bool disposed_ = false;
  bool stepping_ = false;  // a function of the caller's is called by step()
};

}  // namespace krylov::binding
