#include "training/sampler.h"

#include "krylov/rng.h"

namespace krylov {

Sampler::Sampler(std::int64_t count, std::span<const std::uint32_t> rows, bool shuffle, std::uint64_t seed)
    : count_(rows.empty() ? count : static_cast<std::int64_t>(rows.size())), rows_(rows.begin(), rows.end()),
      order_(static_cast<std::size_t>(count_)), shuffle_(shuffle), seed_(seed) {}

void Sampler::start_epoch(std::int64_t epoch) noexcept {
  position_ = 0;
  if (shuffle_) {
    permutation(seed_, Stream::kShuffle, static_cast<std::uint64_t>(epoch), order_.span());
  } else {
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<std::uint32_t>(i);
  }
  if (rows_.empty()) return;
  for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = rows_[order_[i]];
}

std::span<const std::uint32_t> Sampler::next(std::int64_t size) noexcept {
  const std::int64_t left = count_ - position_;
  const std::int64_t take = size < left ? size : left;
  const std::span<const std::uint32_t> rows = order_.span().subspan(static_cast<std::size_t>(position_),
                                                                    static_cast<std::size_t>(take));
  position_ += take;
  return rows;
}

}  // namespace krylov
