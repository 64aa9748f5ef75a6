// The list of update rules, and the optimizer that holds a rule and its state.
#include <cstring>

#include "optimizers/rules.h"

namespace krylov {

ScheduleSpec RuleOptions::number(const char* name) {
  for (const auto& [key, schedule] : spec_.numbers) {
    if (key == name) return schedule;
  }
  if (status_.ok()) status_ = Status::error(ErrorCode::kOption, name, "a number or a schedule");
  return {};
}

bool RuleOptions::flag(const char* name) {
  for (const auto& [key, value] : spec_.flags) {
    if (key == name) return value;
  }
  if (status_.ok()) status_ = Status::error(ErrorCode::kOption, name, "true or false");
  return false;
}

int RuleOptions::find_word(const char* name, const char* const* words, int count) {
  for (const auto& [key, value] : spec_.words) {
    if (key != name) continue;
    for (int i = 0; i < count; ++i) {
      if (value == words[i]) return i;
    }
  }
  if (status_.ok()) status_ = Status::error(ErrorCode::kOption, name, "one of the rule's words");
  return 0;
}

namespace {

template <Scalar T>
struct RuleEntry {
  const char* kind;
  std::unique_ptr<UpdateRule<T>> (*make)(RuleOptions&);
};

template <Scalar T>
constexpr RuleEntry<T> kRules[] = {
    {"sgd", &make_sgd<T>},
    {"classicalMomentum", &make_classical_momentum<T>},
    {"adam", &make_adam<T>},
    {"adamw", &make_adamw<T>},
};

}  // namespace

template <Scalar T>
Status make_update_rule(const OptimizerSpec& spec, std::unique_ptr<UpdateRule<T>>& out) {
  for (const RuleEntry<T>& entry : kRules<T>) {
    if (spec.kind != entry.kind) continue;
    RuleOptions options(spec);
    std::unique_ptr<UpdateRule<T>> rule = entry.make(options);
    if (!options.status().ok()) return options.status();
    out = std::move(rule);
    return Status::success();
  }
  return Status::error(ErrorCode::kOption, "optimizer.kind", "a known update rule");
}

template <Scalar T>
void UpdateRule<T>::place(const T* w, T* const*, T* point, std::int64_t n) const noexcept {
  if (point != w) std::memcpy(point, w, static_cast<std::size_t>(n) * sizeof(T));
}

template <Scalar T>
Status Optimizer<T>::create(const OptimizerSpec& spec, std::int64_t size, std::unique_ptr<Optimizer>& out) {
  auto optimizer = std::make_unique<Optimizer>();
  if (Status s = make_update_rule<T>(spec, optimizer->rule_); !s.ok()) return s;
  optimizer->size_ = size;
  if (optimizer->rule_->state_names().size() > kMaxStates) {
    return Status::error(ErrorCode::kNative, "optimizer", "a rule with fewer state arrays");
  }
  for (std::size_t i = 0; i < optimizer->rule_->state_names().size(); ++i) {
    optimizer->states_.emplace_back(static_cast<std::size_t>(size));
  }
  out = std::move(optimizer);
  return Status::success();
}

template <Scalar T>
void Optimizer<T>::update_range(T* w, const T* g, std::int64_t offset, std::int64_t n) const noexcept {
  T* state[kMaxStates] = {};
  for (std::size_t i = 0; i < states_.size(); ++i) state[i] = states_[i].data() + offset;
  rule_->update(w, g, state, n);
}

template <Scalar T>
void Optimizer<T>::prefetch_range(const T* w, std::int64_t offset, std::int64_t n) const noexcept {
  // Smaller optimizers stay in the cores' own caches from step to step.
  constexpr std::size_t kCachedBytes = std::size_t(4) << 20;
  if (static_cast<std::size_t>(size_) * sizeof(T) * (states_.size() + 1) < kCachedBytes) return;
  const auto fetch = [n](const T* from) {
    for (std::int64_t i = 0; i < n; i += kPanel<T>) __builtin_prefetch(from + i, 1, 2);
  };
  fetch(w);
  for (const AlignedBuffer<T>& state : states_) fetch(state.data() + offset);
}

template <Scalar T>
void Optimizer<T>::place_range(const T* w, T* point, std::int64_t offset, std::int64_t n) const noexcept {
  T* state[kMaxStates] = {};
  for (std::size_t i = 0; i < states_.size(); ++i) state[i] = states_[i].data() + offset;
  rule_->place(w, state, point, n);
}

template class UpdateRule<float>;
template class UpdateRule<double>;
template class Optimizer<float>;
template class Optimizer<double>;
template Status make_update_rule(const OptimizerSpec&, std::unique_ptr<UpdateRule<float>>&);
template Status make_update_rule(const OptimizerSpec&, std::unique_ptr<UpdateRule<double>>&);

}  // namespace krylov
