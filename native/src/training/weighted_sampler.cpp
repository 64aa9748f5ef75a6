// Rows drawn by probabilities: fixed ones, and those that the epoch before gave.
#include <algorithm>

#include "krylov/rng.h"
#include "training/samplers.h"

namespace krylov {

ProbabilitySampler::ProbabilitySampler(const SamplerInput& input, bool unbiased)
    : Sampler(input), unbiased_(unbiased), probabilities_(static_cast<std::size_t>(count_)),
      factors_(static_cast<std::size_t>(input.batch_size)), picked_(factors_.size()), drawn_rows_(factors_.size()),
      distribution_(probabilities_.size()) {}

void ProbabilitySampler::set_probabilities(std::span<const double> probabilities) noexcept {
  std::copy(probabilities.begin(), probabilities.end(), probabilities_.begin());
  distribution_.assign(probabilities_);
}

Draw ProbabilitySampler::next(std::int64_t size, std::span<const double>) noexcept {
  drawn_ = static_cast<std::size_t>(left(size));
  RandomSequence random(seed_, Stream::kSample, draw_number());
  for (std::size_t i = 0; i < drawn_; ++i) {
    picked_[i] = distribution_.at(random.uniform01());
    drawn_rows_[i] = row(picked_[i]);
  }
  position_ += static_cast<std::int64_t>(drawn_);
  if (!unbiased_) return {{drawn_rows_.data(), drawn_}};
  importance_weights(probabilities_, picked(), {factors_.data(), drawn_});
  return {{drawn_rows_.data(), drawn_}, factors_.data()};
}

void ProbabilitySampler::describe(StepNumbers& numbers) const {
  if (!unbiased_ || drawn_ == 0) return;
  numbers.numbers.emplace_back("effectiveSampleSize", effective_sample_size({factors_.data(), drawn_}));
}

namespace {

class WeightedSampler final : public ProbabilitySampler {
 public:
  WeightedSampler(const SamplingSpec& spec, const SamplerInput& input) : ProbabilitySampler(input, spec.unbiased) {
    std::vector<double> own(static_cast<std::size_t>(count_));
    for (std::size_t i = 0; i < own.size(); ++i) own[i] = spec.probabilities[row(static_cast<std::uint32_t>(i))];
    mixed_probabilities(own, 1, own);
    set_probabilities(own);
  }
};

// PA&DA's data sampling (Lu et al. 2023). Differences from the program: the factors 1/(N p), where asked for; records are
// of the norm of any loss's gradient by the pre-activations of the outputs, |softmax - onehot| for a softmax
// cross-entropy.
class HistorySampler final : public ProbabilitySampler {
 public:
  HistorySampler(const SamplingSpec& spec, const SamplerInput& input)
      : ProbabilitySampler(input, spec.unbiased), figures_(static_cast<std::size_t>(count_), kUnseen),
        previous_(figures_.size(), 0.0), mixed_(figures_.size()), epochs_(std::max<std::int64_t>(1, input.epochs)) {}

  RowScore score() const noexcept override { return RowScore::kUpperBound; }

  // An epoch begins with the figures of the one before, unless it is gone on with.
  void start_epoch(std::int64_t epoch) noexcept override {
    Sampler::start_epoch(epoch);
    if (epoch != begun_) {
      for (std::size_t i = 0; i < figures_.size(); ++i) previous_[i] = figures_[i] == kUnseen ? 0 : figures_[i];
      std::fill(figures_.begin(), figures_.end(), kUnseen);
      begun_ = epoch;
    }
    const double share = static_cast<double>(epoch) / static_cast<double>(epochs_);
    mixed_probabilities(previous_, std::min(share, 1.0), mixed_);
    set_probabilities(mixed_);
  }

  void learn(std::span<const double> scores) noexcept override { record_history(figures_, picked(), scores); }

  bool has_state() const noexcept override { return true; }
  void save(TrainingState& state) const override {
    state.numbers.emplace_back("sampling.epoch", static_cast<double>(begun_));
    state.plain.emplace_back("sampling.figures", figures_);
    state.plain.emplace_back("sampling.previous", previous_);
  }
  Status restore(const TrainingState& state) override {
    Status status = Status::success();
    const double* epoch = state_number(state, "sampling.epoch", -1, status);
    const std::vector<double>* figures = state_array(state, "sampling.figures", count_, status);
    const std::vector<double>* previous = state_array(state, "sampling.previous", count_, status);
    if (!status.ok()) return status;
    begun_ = static_cast<std::int64_t>(*epoch);
    figures_ = *figures;
    previous_ = *previous;
    return status;
  }

 private:
  std::vector<double> figures_, previous_, mixed_;
  std::int64_t epochs_, begun_ = -1;
};

}  // namespace

std::unique_ptr<Sampler> make_weighted_sampler(const SamplingSpec& spec, const SamplerInput& input) {
  return std::make_unique<WeightedSampler>(spec, input);
}
std::unique_ptr<Sampler> make_history_sampler(const SamplingSpec& spec, const SamplerInput& input) {
  return std::make_unique<HistorySampler>(spec, input);
}

}  // namespace krylov
