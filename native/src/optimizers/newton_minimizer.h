// What newtonCG, newtonMR, saddleFreeNewton and gradientNormalizedSmoothness
// have in common: one kind of curvature, one number that is carried from update
// to update, and a gradient that the last update may have left.
#pragma once

#include <cstdint>

#include "optimizers/newton_support.h"

namespace krylov {

template <Scalar T>
class NewtonMinimizer : public Minimizer<T> {
 public:
  std::uint32_t needs() const noexcept final { return need_of(curvature_); }
  std::int64_t updates() const noexcept final { return updates_; }
  bool knows(const Objective<T>& objective, const T* x) const noexcept final { return known_.holds(objective, x); }

  MinimizerState save() const final {
    MinimizerState state;
    state.updates = updates_;
    if (updates_ > 0) state.numbers.emplace_back(name_, carried_);
    return state;
  }
  Status restore(const MinimizerState& state) final {
    if (Status s = check_positive(state, name_); !s.ok()) return s;
    updates_ = state.updates;
    carried_ = state.number(name_, first_);
    known_.forget();
    return Status::success();
  }

 protected:
  // `name` of the number in a saved state, and what it is before the first update.
  NewtonMinimizer(std::int64_t size, Curvature curvature, const char* name, double first) noexcept
      : size_(size), curvature_(curvature), name_(name), first_(first), carried_(first) {}

  const std::int64_t size_;
  std::int64_t updates_ = 0;
  const Curvature curvature_;

 private:
  const char* name_;
  double first_;

 protected:
  double carried_;
  KnownGradient<T> known_;
};

}  // namespace krylov
