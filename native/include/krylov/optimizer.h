// Update rules. A rule is elementwise over (parameters, gradient, state) arrays
// of one length, so it knows nothing of layouts; the trainer applies it unit by
// unit, createOptimizer over a whole vector.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "krylov/buffer.h"
#include "krylov/dtype.h"
#include "krylov/spec.h"
#include "krylov/status.h"

namespace krylov {

inline constexpr std::size_t kMaxStates = 8;

template <Scalar T>
class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  virtual std::span<const char* const> state_names() const noexcept = 0;
  // Scalars of update t = 1, 2, ...; computed in double. Called by one thread, before update().
  virtual void prepare(std::int64_t t) noexcept = 0;
  // w, g and each state array over n elements; g is not changed.
  virtual void update(T* w, const T* g, T* const* state, std::int64_t n) const noexcept = 0;
  // Rules that take the gradient away from w (Nesterov's lookahead): place()
  // writes the point for the update that the last prepare(t) announced.
  virtual bool evaluates_elsewhere() const noexcept { return false; }
  virtual void place(const T* w, T* const* state, T* point, std::int64_t n) const noexcept;
  virtual double learning_rate() const noexcept = 0;  // of the prepared update, for reports
};

// Makes the rule for spec.kind; an error names the unknown kind or missing option.
template <Scalar T>
Status make_update_rule(const OptimizerSpec& spec, std::unique_ptr<UpdateRule<T>>& out);

// A rule with its state over `size` elements and its update count.
template <Scalar T>
class Optimizer {
 public:
  static Status create(const OptimizerSpec& spec, std::int64_t size, std::unique_ptr<Optimizer>& out);

  UpdateRule<T>& rule() noexcept { return *rule_; }
  const UpdateRule<T>& rule() const noexcept { return *rule_; }
  std::int64_t size() const noexcept { return size_; }
  std::int64_t updates() const noexcept { return updates_; }  // done so far
  void set_updates(std::int64_t updates) noexcept { updates_ = updates; }
  std::span<T> state(int index) noexcept { return states_[static_cast<std::size_t>(index)].span(); }

  // begin(); then update_range over disjoint ranges, from any threads; then end().
  void begin() noexcept { rule_->prepare(updates_ + 1); }
  void update_range(T* w, const T* g, std::int64_t offset, std::int64_t n) const noexcept;  // w and g begin at the range
  // Asks the cache for the range that update_range will need, while something else is computed.
  void prefetch_range(const T* w, std::int64_t offset, std::int64_t n) const noexcept;
  void place_range(const T* w, T* point, std::int64_t offset, std::int64_t n) const noexcept;
  void end() noexcept { ++updates_; }

 private:
  std::unique_ptr<UpdateRule<T>> rule_;
  mutable std::vector<AlignedBuffer<T>> states_;
  std::int64_t size_ = 0, updates_ = 0;
};

}  // namespace krylov
