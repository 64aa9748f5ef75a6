// Rows drawn uniformly: with replacement, and Poisson's.
#include <cmath>

#include "krylov/rng.h"
#include "training/samplers.h"

namespace krylov {

namespace {

class ReplacementSampler final : public Sampler {
 public:
  explicit ReplacementSampler(const SamplerInput& input)
      : Sampler(input), drawn_(static_cast<std::size_t>(input.batch_size)) {}

  Draw next(std::int64_t size, std::span<const double>) noexcept override {
    const std::span<std::uint32_t> rows(drawn_.data(), static_cast<std::size_t>(left(size)));
    RandomSequence random(seed_, Stream::kSample, draw_number());
    for (std::uint32_t& to : rows) to = row(random.below(static_cast<std::uint32_t>(count_)));
    position_ += static_cast<std::int64_t>(rows.size());
    return {rows};
  }

 private:
  std::vector<std::uint32_t> drawn_;
};

// Every row with probability q, independently, as gaps between those that are drawn: a gap of k rows has probability
// (1 - q)^k q. An epoch is round(1/q) draws; the position is the share of them that is done, times the rows, rounded
// down. As an epoch has at most as many draws as rows, the draws that are done follow from it.
class PoissonSampler final : public Sampler {
 public:
  PoissonSampler(const SamplingSpec& spec, const SamplerInput& input)
      : Sampler(input),
        rate_(spec.rate > 0 ? spec.rate : static_cast<double>(input.batch_size) / static_cast<double>(count_)),
        steps_(std::min(poisson_steps(rate_), count_)), log_kept_(std::log1p(-rate_)),
        drawn_(static_cast<std::size_t>(largest_draw(spec, count_, input.batch_size))) {}

  void set_position(std::int64_t position) noexcept override {
    position_ = position;
    step_ = (position * steps_ + count_ - 1) / count_;
  }

  Draw next(std::int64_t, std::span<const double>) noexcept override {
    RandomSequence random(seed_, Stream::kSample, draw_number());
    std::size_t size = 0;
    for (double at = gap(random); at < static_cast<double>(count_) && size < drawn_.size(); at += 1 + gap(random)) {
      drawn_[size++] = row(static_cast<std::uint32_t>(at));
    }
    ++step_;
    position_ = count_ * step_ / steps_;
    return {{drawn_.data(), size}};
  }

 private:
  double gap(RandomSequence& random) const noexcept {
    if (rate_ >= 1) return 0;
    const std::uint32_t high = random.next();
    return std::floor(std::log(to_uniform_open(high, random.next())) / log_kept_);
  }

  double rate_;
  std::int64_t steps_, step_ = 0;
  double log_kept_;
  std::vector<std::uint32_t> drawn_;
};

}  // namespace

std::unique_ptr<Sampler> make_replacement_sampler(const SamplerInput& input) {
  return std::make_unique<ReplacementSampler>(input);
}
std::unique_ptr<Sampler> make_poisson_sampler(const SamplingSpec& spec, const SamplerInput& input) {
  return std::make_unique<PoissonSampler>(spec, input);
}

}  // namespace krylov
