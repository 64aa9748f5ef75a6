// NativeDataset: rows copied into the core.
#pragma once

#include "handles.h"

#include <memory>

#include "krylov/dataset.h"

namespace krylov::binding {

class NativeDataset final : public Napi::ObjectWrap<NativeDataset> {
 public:
  static constexpr napi_type_tag kTag = {0x8f1d54a2c7e04b31, 0x9b6a2f6d1c53e870};
  static constexpr const char* kName = "Dataset";
  static Napi::Function define(Napi::Env env);

  explicit NativeDataset(const Napi::CallbackInfo& info);
  // The rows; ERR_STATE once disposed. `argument` is how the caller's error names it.
  const std::shared_ptr<const krylov::Dataset>& data(std::string_view argument) const;

 private:
  Napi::Value rows(const Napi::CallbackInfo& info);
  Napi::Value columns(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<const krylov::Dataset> data_;
  ExternalMemory memory_;
};

}  // namespace krylov::binding
