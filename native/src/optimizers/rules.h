// The update rules by name, one file each; make_update_rule.cpp lists them.
#pragma once

#include "krylov/optimizer.h"

namespace krylov {

// What every factory needs: the rule's options with their schedules, checked.
class RuleOptions {
 public:
  explicit RuleOptions(const OptimizerSpec& spec) : spec_(spec) {}
  // Reads an option; a missing one is remembered as the first error.
  ScheduleSpec number(const char* name);
  bool flag(const char* name);
  // Index of the option's value in `words`; an unknown word is an error.
  template <std::size_t N>
  int word(const char* name, const char* const (&words)[N]) { return find_word(name, words, static_cast<int>(N)); }
  // Remembers an error of the factory's own, unless there is one already.
  void refuse(const Status& status) noexcept {
    if (status_.ok()) status_ = status;
  }
  const Status& status() const noexcept { return status_; }

 private:
  int find_word(const char* name, const char* const* words, int count);
  const OptimizerSpec& spec_;
  Status status_ = Status::success();
};

template <Scalar T> std::unique_ptr<UpdateRule<T>> make_sgd(RuleOptions& options);
template <Scalar T> std::unique_ptr<UpdateRule<T>> make_classical_momentum(RuleOptions& options);
template <Scalar T> std::unique_ptr<UpdateRule<T>> make_adam(RuleOptions& options);
template <Scalar T> std::unique_ptr<UpdateRule<T>> make_adamw(RuleOptions& options);

}  // namespace krylov
