#include "krylov/procedure.h"

namespace krylov {

struct Session::Root {
  Procedure<void> procedure;
};

Session::~Session() { delete root_; }

void Session::start(Procedure<void> root) {
  root_ = new Root{std::move(root)};
  root_->procedure.handle_.promise().session = this;
  next_ = root_->procedure.handle_;
}

Session::State Session::resume(Team& team, Clock::time_point slice_end) noexcept {
  team_ = &team;
  slice_end_ = slice_end;
  if (state_ == State::kFinished) return state_;
  state_ = State::kRunning;
  while (state_ == State::kRunning && next_) std::exchange(next_, {}).resume();
  if (state_ == State::kRunning) {
    state_ = State::kFinished;
    failure_ = root_->procedure.handle_.promise().failure;
  }
  team_ = nullptr;
  return state_;
}

}  // namespace krylov
