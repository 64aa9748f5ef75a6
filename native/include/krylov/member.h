#pragma once

#include "krylov/threads.h"

namespace krylov {

// A thread among those of a step. Phases of a stage are called by all of them; where a phase needs what the others made,
// they meet.
struct Member {
  Barrier* barrier = nullptr;  // none: one thread only
  int thread = 0, threads = 1;

  void meet() const noexcept {
    if (barrier != nullptr) barrier->wait(thread, threads);
  }
};

}  // namespace krylov
