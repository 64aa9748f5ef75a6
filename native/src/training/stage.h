// A part of a step that the user asked for: it acts between the phases of the
// step engine, may keep state from one step to the next, and has numbers to tell.
#pragma once

#include <string_view>

#include "krylov/dtype.h"
#include "krylov/member.h"
#include "krylov/status.h"
#include "krylov/training.h"

namespace krylov {

template <Scalar T>
class Stage {
 public:
  virtual ~Stage() = default;
  // Before a step, by one thread.
  virtual void begin() noexcept {}
  // After a step that was taken, by one thread.
  virtual void end() noexcept {}
  // False where the newest step met a number that is not finite; then what it was.
  virtual bool finite() const noexcept { return true; }
  virtual std::string_view not_finite_in() const noexcept { return "gradient"; }

  // State and numbers go by names with the stage's own before a dot: `clipping.threshold`. Arrays are in public order.
  virtual void save(TrainingState& state) const { (void)state; }
  // Checks everything before it changes anything. Called for a state that has updates.
  virtual Status restore(const TrainingState& state) {
    (void)state;
    return Status::success();
  }
  virtual void describe(StepNumbers& numbers) const { (void)numbers; }
};

// A stage on the whole gradient, l2's term included, in the layout of the arena. Steps without such a stage never have it
// whole.
template <Scalar T>
class GradientStage : public Stage<T> {
 public:
  // By every member, when all of the gradient is there; the step goes on when all have returned. `parameters` are where
  // the gradient was taken.
  virtual void apply(const T* parameters, T* gradient, const Member& member) noexcept = 0;
};

// The number of that name in a state, or null.
inline const double* find_number(const TrainingState& state, std::string_view name) noexcept {
  for (const auto& [key, value] : state.numbers) {
    if (key == name) return &value;
  }
  return nullptr;
}

}  // namespace krylov
