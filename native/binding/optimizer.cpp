#include "optimizer.h"

#include <cstring>
#include <functional>

#include "specs.h"

namespace krylov::binding {

namespace {

// More elements than any memory holds; sizes in bytes stay far from overflow.
constexpr std::int64_t kLargestSize = std::int64_t(1) << 40;

template <Scalar T>
bool overlap(std::span<const T> a, std::span<const T> b) noexcept {
  const std::less<const T*> before;
  return !a.empty() && !b.empty() && before(a.data(), b.data() + b.size()) && before(b.data(), a.data() + a.size());
}

template <Scalar T>
int find_state(const krylov::Optimizer<T>& optimizer, const std::string& name) {
  const auto names = optimizer.rule().state_names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (name == names[i]) return static_cast<int>(i);
  }
  std::string list = names.empty() ? "no name, since the rule has no state" : "one of";
  for (const char* known : names) list += std::string(" '") + known + "'";
  fail(ErrorCode::kOption, "name", list, "'" + name + "'");
}

}  // namespace

Napi::Function NativeOptimizer::define(Napi::Env env) {
  using O = NativeOptimizer;
  return DefineClass(env, kName,
                     {getter<O, &O::updates>("updates"), getter<O, &O::state_names>("stateNames"),
                      method<O, &O::step>("step"), method<O, &O::evaluation_point>("evaluationPoint"),
                      method<O, &O::get_state>("getState"), method<O, &O::set_state>("setState"),
                      method<O, &O::set_updates>("setUpdates")});
}

NativeOptimizer::NativeOptimizer(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guard(info.Env(), [&] {
    const OptimizerSpec spec = read_optimizer(info[0], "optimizer");
    const std::int64_t size = integer(info[1], "size", 0, kLargestSize);
    const auto create = [&]<class T>(T) {
      std::unique_ptr<krylov::Optimizer<T>> optimizer;
      check(krylov::Optimizer<T>::create(spec, size, optimizer));
      const auto states = static_cast<std::int64_t>(optimizer->rule().state_names().size());
      memory_.attach(info.Env(), states * size * static_cast<std::int64_t>(sizeof(T)));
      optimizer_ = std::move(optimizer);
    };
    if (dtype(info[2], "dtype") == DType::kFloat32) {
      create(float());
    } else {
      create(double());
    }
    seal<NativeOptimizer>(info);
  });
}

Napi::Value NativeOptimizer::updates(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(visit([](auto& o) { return o.updates(); })));
}

Napi::Value NativeOptimizer::state_names(const Napi::CallbackInfo& info) {
  return visit([&](auto& optimizer) -> Napi::Value {
    const auto names = optimizer.rule().state_names();
    auto list = Napi::Array::New(info.Env(), names.size());
    for (std::size_t i = 0; i < names.size(); ++i) list.Set(static_cast<std::uint32_t>(i), names[i]);
    return list;
  });
}

void NativeOptimizer::step(const Napi::CallbackInfo& info) {
  visit([&]<class T>(krylov::Optimizer<T>& optimizer) {
    const std::span<T> parameters = typed<T>(info[0], "parameters", optimizer.size());
    const std::span<T> gradients = typed<T>(info[1], "gradients", optimizer.size());
    const std::span<T> out = typed<T>(info[2], "out", optimizer.size());
    if (overlap<T>(out, gradients)) {
      fail(ErrorCode::kOption, "out", "an array that shares no memory with the gradients", describe(info[2]));
    }
    if (!out.empty() && out.data() != parameters.data()) std::memmove(out.data(), parameters.data(), out.size_bytes());
    optimizer.begin();
    optimizer.update_range(out.data(), gradients.data(), 0, optimizer.size());
    optimizer.end();
  });
}

void NativeOptimizer::evaluation_point(const Napi::CallbackInfo& info) {
  visit([&]<class T>(krylov::Optimizer<T>& optimizer) {
    const std::span<T> parameters = typed<T>(info[0], "parameters", optimizer.size());
    const std::span<T> out = typed<T>(info[1], "out", optimizer.size());
    if (out.empty()) return;
    if (out.data() != parameters.data()) std::memmove(out.data(), parameters.data(), out.size_bytes());
    optimizer.begin();
    optimizer.place_range(out.data(), out.data(), 0, optimizer.size());
  });
}

void NativeOptimizer::get_state(const Napi::CallbackInfo& info) {
  const std::string name = text(info[0], "name");
  visit([&]<class T>(krylov::Optimizer<T>& optimizer) {
    const std::span<const T> state = optimizer.state(find_state(optimizer, name));
    const std::span<T> out = typed<T>(info[1], "out", optimizer.size());
    if (!out.empty()) std::memcpy(out.data(), state.data(), out.size_bytes());
  });
}

void NativeOptimizer::set_state(const Napi::CallbackInfo& info) {
  const std::string name = text(info[0], "name");
  visit([&]<class T>(krylov::Optimizer<T>& optimizer) {
    const std::span<T> state = optimizer.state(find_state(optimizer, name));
    const std::span<T> values = typed<T>(info[1], "values", optimizer.size());
    if (!values.empty()) std::memcpy(state.data(), values.data(), values.size_bytes());
  });
}

void NativeOptimizer::set_updates(const Napi::CallbackInfo& info) {
  const std::int64_t updates = integer(info[0], "updates", 0);
  visit([&](auto& optimizer) { optimizer.set_updates(updates); });
}

}  // namespace krylov::binding
