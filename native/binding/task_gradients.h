// NativeTaskCombiner: a method that makes one direction of the gradients of
// several tasks, with its state, over arrays of the caller.
#pragma once

#include "handles.h"

#include <memory>
#include <variant>

#include "krylov/task_gradients.h"

namespace krylov::binding {

TaskCombinerSpec read_task_combiner(const Napi::Value& value, const std::string& path);

class NativeTaskCombiner final : public Napi::ObjectWrap<NativeTaskCombiner> {
 public:
  static constexpr napi_type_tag kTag = {0x3c1f9a7be4d2508e, 0x96b7e01d4fa83c25};
  static constexpr const char* kName = "TaskCombiner";
  static Napi::Function define(Napi::Env env);

  explicit NativeTaskCombiner(const Napi::CallbackInfo& info);

 private:
  Napi::Value combine(const Napi::CallbackInfo& info);
  Napi::Value steps(const Napi::CallbackInfo& info);
  Napi::Value state_names(const Napi::CallbackInfo& info);
  Napi::Value get_state(const Napi::CallbackInfo& info);
  void set_state(const Napi::CallbackInfo& info);
  void set_steps(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  // Calls body(TaskCombiner<T>&); an error after dispose.
  template <class Body>
  decltype(auto) visit(Body&& body) {
    return std::visit(
        [&](auto& combiner) -> decltype(auto) {
          if (combiner == nullptr) fail(ErrorCode::kState, "task combiner", "one in use", "one that was disposed");
          return body(*combiner);
        },
        combiner_);
  }

  std::variant<std::unique_ptr<krylov::TaskCombiner<float>>, std::unique_ptr<krylov::TaskCombiner<double>>> combiner_;
  ExternalMemory memory_;
};

}  // namespace krylov::binding
