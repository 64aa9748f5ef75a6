// For callers outside the team: body(team) on it, from whichever thread.
#pragma once

#include <exception>

#include "krylov/threads.h"

namespace krylov {

// What the body throws is thrown again here.
template <class Body>
void lead(int threads, Body body) {
  struct Turn {
    Body& body;
    std::exception_ptr failure;
  } turn{body, nullptr};
  ComputeThread::instance().lead_and_wait(
      threads,
      [](void* context, Team& team) noexcept {
        Turn& t = *static_cast<Turn*>(context);
        try {
          t.body(team);
        } catch (...) {
          t.failure = std::current_exception();
        }
      },
      &turn);
  if (turn.failure) std::rethrow_exception(turn.failure);
}

}  // namespace krylov
