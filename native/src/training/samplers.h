// The kinds of samplers; see krylov/sampling.h. Specs have been checked.
#pragma once

#include <memory>

#include "krylov/buffer.h"
#include "training/sampler.h"

namespace krylov {

// Epochs in a shuffled order, a new one each; or in the order of the data.
class ShuffledSampler : public Sampler {
 public:
  explicit ShuffledSampler(const SamplerInput& input);
  void start_epoch(std::int64_t epoch) noexcept override;
  Draw next(std::int64_t size, std::span<const double> pool_scores) noexcept override;

 private:
  AlignedBuffer<std::uint32_t> order_;
  bool shuffle_;
};

std::unique_ptr<Sampler> make_replacement_sampler(const SamplerInput& input);
std::unique_ptr<Sampler> make_poisson_sampler(const SamplingSpec& spec, const SamplerInput& input);
std::unique_ptr<Sampler> make_weighted_sampler(const SamplingSpec& spec, const SamplerInput& input);
std::unique_ptr<Sampler> make_importance_sampler(const SamplingSpec& spec, const SamplerInput& input);
std::unique_ptr<Sampler> make_history_sampler(const SamplingSpec& spec, const SamplerInput& input);

// Draws with replacement by probabilities over the rows, with the factors 1/(N p) that keep the gradient unbiased, or none.
class ProbabilitySampler : public Sampler {
 public:
  ProbabilitySampler(const SamplerInput& input, bool unbiased);
  Draw next(std::int64_t size, std::span<const double> pool_scores) noexcept override;
  void describe(StepNumbers& numbers) const override;

 protected:
  // One a row, adding up to 1.
  void set_probabilities(std::span<const double> probabilities) noexcept;
  std::span<const std::uint32_t> picked() const noexcept { return {picked_.data(), drawn_}; }  // numbers of the newest

 private:
  bool unbiased_;
  std::vector<double> probabilities_, factors_;
  std::vector<std::uint32_t> picked_, drawn_rows_;
  std::size_t drawn_ = 0;
  DiscreteDistribution distribution_;
};

// A number or an array that a state must have; null and an error otherwise.
const double* state_number(const TrainingState& state, std::string_view name, double least, Status& status) noexcept;
const std::vector<double>* state_array(const TrainingState& state, std::string_view name, std::int64_t size,
                                       Status& status) noexcept;

}  // namespace krylov
