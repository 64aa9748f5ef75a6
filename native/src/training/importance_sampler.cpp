// Importance sampling out of a uniform pool, switched on where it pays
// (Katharopoulos & Fleuret 2018, algorithm 1). Differences from their program:
// while it is off the batches are those of shuffled epochs, not draws with
// replacement, so that nothing changes before it begins.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "krylov/rng.h"
#include "training/samplers.h"

namespace krylov {

namespace {

// Weight of the newest value in the moving averages of tau and of the scores.
constexpr double kNewest = 0.1;

class ImportanceSampler final : public ShuffledSampler {
 public:
  ImportanceSampler(const SamplingSpec& spec, const SamplerInput& input)
      : ShuffledSampler(input), spec_(spec),
        pool_(static_cast<std::size_t>(largest_draw(spec, count_, input.batch_size))), probabilities_(pool_.size()),
        distribution_(pool_.size()), picked_(static_cast<std::size_t>(input.batch_size)), drawn_(picked_.size()), factors_(picked_.size()) {
    const double passes = spec.score == RowScore::kGradientNorm ? 2 : 1;
    threshold_ = std::isnan(spec.start_threshold)
                     ? importance_threshold(double(pool_.size()), double(input.batch_size), passes)
                     : spec.start_threshold;
  }

  RowScore score() const noexcept override { return spec_.score; }

  std::span<const std::uint32_t> pool(std::int64_t size) noexcept override {
    if (!(tau_ > threshold_)) return {};
    random_ = RandomSequence(seed_, Stream::kSample, draw_number());
    const double rows = std::ceil(spec_.presample * static_cast<double>(left(size)));
    pooled_ = std::min(static_cast<std::size_t>(rows), pool_.size());
    for (std::size_t i = 0; i < pooled_; ++i) pool_[i] = row(random_.below(static_cast<std::uint32_t>(count_)));
    return {pool_.data(), pooled_};
  }

  Draw next(std::int64_t size, std::span<const double> pool_scores) noexcept override {
    on_ = !pool_scores.empty();
    if (!on_) return ShuffledSampler::next(size, {});
    look_at(pool_scores);
    const std::span<double> p(probabilities_.data(), pooled_);
    importance_probabilities(pool_scores, spec_.smoothing + spec_.smoothing_fraction * mean_, p);
    distribution_.assign(p);
    batch_ = static_cast<std::size_t>(left(size));
    for (std::size_t i = 0; i < batch_; ++i) picked_[i] = distribution_.at(random_.uniform01());
    const std::span<const std::uint32_t> picked(picked_.data(), batch_);
    const std::span<double> factors(factors_.data(), batch_);
    importance_weights(p, picked, factors);
    soften_weights(factors, picked, pool_scores, spec_.bias_power);
    for (std::size_t i = 0; i < batch_; ++i) drawn_[i] = pool_[picked_[i]];
    position_ += static_cast<std::int64_t>(batch_);
    return {{drawn_.data(), batch_}, factors_.data()};
  }

  void learn(std::span<const double> scores) noexcept override {
    if (!on_) look_at(scores);
    tau_ = (1 - kNewest) * tau_ + kNewest * newest_tau_;
    mean_ = mean_ == 0 ? newest_mean_ : (1 - kNewest) * mean_ + kNewest * newest_mean_;
  }

  bool has_state() const noexcept override { return true; }
  void save(TrainingState& state) const override {
    state.numbers.emplace_back("sampling.tau", tau_);
    state.numbers.emplace_back("sampling.score", mean_);
  }
  Status restore(const TrainingState& state) override {
    Status status = Status::success();
    const double* tau = state_number(state, "sampling.tau", 0, status);
    const double* mean = state_number(state, "sampling.score", 0, status);
    if (!status.ok()) return status;
    tau_ = *tau;
    mean_ = *mean;
    return status;
  }
  void describe(StepNumbers& numbers) const override {
    numbers.numbers.emplace_back("importanceTau", tau_);
    numbers.numbers.emplace_back("importanceOn", on_ ? 1 : 0);
    if (on_) numbers.numbers.emplace_back("effectiveSampleSize", effective_sample_size({factors_.data(), batch_}));
  }

 private:
  // tau and the mean of scores, without smoothing.
  void look_at(std::span<const double> scores) noexcept {
    const std::span<double> p(probabilities_.data(), scores.size());
    mixed_probabilities(scores, 1, p);
    newest_tau_ = variance_reduction(p);
    const double mean = std::accumulate(scores.begin(), scores.end(), 0.0) / static_cast<double>(scores.size());
    newest_mean_ = std::isfinite(mean) ? mean : mean_;
  }

  SamplingSpec spec_;
  double threshold_ = 0, tau_ = 0, mean_ = 0, newest_tau_ = 1, newest_mean_ = 0;
  bool on_ = false;
  RandomSequence random_{0, Stream::kSample, 0};
  std::vector<std::uint32_t> pool_;
  std::vector<double> probabilities_;
  DiscreteDistribution distribution_;
  std::vector<std::uint32_t> picked_, drawn_;
  std::vector<double> factors_;
  std::size_t pooled_ = 0, batch_ = 0;
};

}  // namespace

std::unique_ptr<Sampler> make_importance_sampler(const SamplingSpec& spec, const SamplerInput& input) {
  return std::make_unique<ImportanceSampler>(spec, input);
}

}  // namespace krylov
