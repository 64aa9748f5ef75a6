#include "parallel/crowding.h"

#include <algorithm>

namespace krylov {

int Crowding::allow(int threads, std::int64_t now) noexcept {
  if (limit_ == 0 || limit_ >= threads) return threads;
  if (now < settled_until_) return limit_;
  limit_ = 0;
  retrying_ = true;
  return threads;
}

void Crowding::observe(int threads, std::int64_t now, double used) noexcept {
  if (limit_ != 0) {
    if (threads != limit_ || compared_) return;
    compared_ = true;
    if (used >= kTolerance * used_before_) return;
    limit_ = 0;
    retrying_ = true;
    settled_until_ = now + hold_;
    return;
  }
  if (now < settled_until_) return;
  const double waste = threads - used;
  if (waste < kWaste) {
    bad_samples_ = 0;
    retrying_ = false;
    hold_ = kFirstHold;
    return;
  }
  if (++bad_samples_ < kBadSamples && !retrying_) return;
  if (retrying_) hold_ = std::min(2 * hold_, kLongestHold);
  bad_samples_ = 0;
  retrying_ = false;
  compared_ = false;
  used_before_ = used;
  limit_ = std::max(1, threads - std::max(1, static_cast<int>(waste + (1.0 - kWaste))));
  settled_until_ = now + hold_;
}

}  // namespace krylov
