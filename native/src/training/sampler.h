// Which rows form the batches: shuffled epochs without replacement. Position
// and seed are the whole state, since a permutation follows from seed and epoch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "krylov/buffer.h"

namespace krylov {

class Sampler {
 public:
  // `rows`: the subset of the data set to use, or empty for 0..count-1.
  Sampler(std::int64_t count, std::span<const std::uint32_t> rows, bool shuffle, std::uint64_t seed);

  void start_epoch(std::int64_t epoch) noexcept;  // 0, 1, ...
  std::int64_t count() const noexcept { return count_; }
  std::int64_t position() const noexcept { return position_; }
  void set_position(std::int64_t position) noexcept { position_ = position; }
  bool done() const noexcept { return position_ >= count_; }
  // The next at most `size` rows; advances.
  std::span<const std::uint32_t> next(std::int64_t size) noexcept;

 private:
  std::int64_t count_;
  std::vector<std::uint32_t> rows_;
  AlignedBuffer<std::uint32_t> order_;
  bool shuffle_;
  std::uint64_t seed_;
  std::int64_t position_ = 0;
};

}  // namespace krylov
