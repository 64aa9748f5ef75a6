// Internal: how many threads are worth using while others use the processors.
#pragma once

#include <cstdint>

namespace krylov {

// A phase between two barriers lasts as long as its slowest thread, and on a
// machine with busy neighbours that is a thread which waits for a processor:
// two threads are then slower than one. So a team counts the processors that
// its threads really had (their processor time over the wall time). Where
// kWaste of a thread or more was lost, that many threads are left out; if fewer
// threads turn out to get even less (neighbours on every processor: more
// threads mean a larger share), all come back. Either choice is tried again
// after a while. Nothing else depends on it: results do not know the threads.
class Crowding {
 public:
  // Threads to use of the `threads` wanted, at `now` nanoseconds (steady clock).
  int allow(int threads, std::int64_t now) noexcept;
  // Over a sample of kSample or longer, ending at `now`, bodies ran on `threads`
  // threads, which had `used` processors on average.
  void observe(int threads, std::int64_t now, double used) noexcept;
  bool limited() const noexcept { return limit_ != 0; }

  static constexpr double kWaste = 0.75;
  static constexpr double kTolerance = 0.9;  // fewer threads may get this much less
  static constexpr int kBadSamples = 2;      // in a row, before the first change
  static constexpr std::int64_t kSample = 8'000'000;
  static constexpr std::int64_t kFirstHold = 40'000'000;     // until the first retry;
  static constexpr std::int64_t kLongestHold = 640'000'000;  // doubled by each that fails

 private:
  int limit_ = 0;  // 0: none
  int bad_samples_ = 0;
  bool retrying_ = false;
  bool compared_ = false;
  double used_before_ = 0.0;
  std::int64_t hold_ = kFirstHold;
  std::int64_t settled_until_ = 0;
};

}  // namespace krylov
