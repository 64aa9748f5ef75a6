// Which rows form the batches of a run. Draws follow from seed, epoch, position
// and what has been learnt, so that a run that goes on draws what it would have
// drawn; what has been learnt changes with finished steps only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "krylov/sampling.h"
#include "krylov/training.h"

namespace krylov {

struct Draw {
  std::span<const std::uint32_t> rows;
  const double* factors = nullptr;  // of the rows' losses; null: all 1
};

// What samplers are made of. `rows`: the subset of the data set to use, or empty for 0..rows_of_data-1.
struct SamplerInput {
  std::int64_t rows_of_data = 0;
  std::span<const std::uint32_t> rows;
  bool shuffle = true;
  std::uint64_t seed = 0;
  std::int64_t batch_size = 1, epochs = 1;
};

class Sampler {
 public:
  explicit Sampler(const SamplerInput& input);
  virtual ~Sampler() = default;
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  std::int64_t count() const noexcept { return count_; }
  // Rows of the epoch that are done; for batches of varying size the share of the epoch, in rows.
  std::int64_t position() const noexcept { return position_; }
  virtual void set_position(std::int64_t position) noexcept { position_ = position; }
  bool done() const noexcept { return position_ >= count_; }
  virtual void start_epoch(std::int64_t epoch) noexcept;  // 0, 1, ...

  // What the sampler has to know of the pool's rows, or, without a pool, of the step's.
  virtual RowScore score() const noexcept { return RowScore::kNone; }
  // Rows out of which next() draws a batch of at most `size` by their scores; none: it needs no scores.
  virtual std::span<const std::uint32_t> pool(std::int64_t size) noexcept {
    (void)size;
    return {};
  }
  // The next at most `size` rows, Poisson's as many as there are; advances. Valid until the next draw.
  virtual Draw next(std::int64_t size, std::span<const double> pool_scores = {}) noexcept = 0;
  // The step on the newest draw was taken; the scores of its rows, where score() asks for them.
  virtual void learn(std::span<const double> scores) noexcept { (void)scores; }

  // Names begin with `sampling.`; restore checks everything before it changes anything.
  virtual bool has_state() const noexcept { return false; }
  virtual void save(TrainingState& state) const { (void)state; }
  virtual Status restore(const TrainingState& state) {
    (void)state;
    return Status::success();
  }
  virtual void describe(StepNumbers& numbers) const { (void)numbers; }

 protected:
  // A number of their own for the draws of every batch.
  std::uint64_t draw_number() const noexcept {
    return static_cast<std::uint64_t>(epoch_) * static_cast<std::uint64_t>(count_) +
           static_cast<std::uint64_t>(position_);
  }
  // Row of the data set of number 0..count-1.
  std::uint32_t row(std::uint32_t number) const noexcept { return rows_.empty() ? number : rows_[number]; }
  std::int64_t left(std::int64_t size) const noexcept { return std::min(size, count_ - position_); }

  std::int64_t count_, position_ = 0, epoch_ = 0;
  std::vector<std::uint32_t> rows_;
  std::uint64_t seed_;
};

// Checks spec and input; no spec: shuffled epochs.
Status make_sampler(const std::optional<SamplingSpec>& spec, const SamplerInput& input, std::unique_ptr<Sampler>& out);
// Takes over what a sampler with state has in `state`, and takes it out there. No name of a sampler that has none.
Status restore_sampler(Sampler& sampler, TrainingState& state);

}  // namespace krylov
