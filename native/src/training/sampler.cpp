#include "training/sampler.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "krylov/rng.h"
#include "training/samplers.h"
#include "training/stage.h"

namespace krylov {

Sampler::Sampler(const SamplerInput& input)
    : count_(input.rows.empty() ? input.rows_of_data : static_cast<std::int64_t>(input.rows.size())),
      rows_(input.rows.begin(), input.rows.end()), seed_(input.seed) {}

void Sampler::start_epoch(std::int64_t epoch) noexcept {
  epoch_ = epoch;
  set_position(0);
}

ShuffledSampler::ShuffledSampler(const SamplerInput& input)
    : Sampler(input), order_(static_cast<std::size_t>(count_)), shuffle_(input.shuffle) {}

void ShuffledSampler::start_epoch(std::int64_t epoch) noexcept {
  Sampler::start_epoch(epoch);
  if (shuffle_) {
    permutation(seed_, Stream::kShuffle, static_cast<std::uint64_t>(epoch), order_.span());
  } else {
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<std::uint32_t>(i);
  }
  if (rows_.empty()) return;
  for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = rows_[order_[i]];
}

Draw ShuffledSampler::next(std::int64_t size, std::span<const double>) noexcept {
  const std::int64_t take = left(size);
  const std::span<const std::uint32_t> rows =
      order_.span().subspan(static_cast<std::size_t>(position_), static_cast<std::size_t>(take));
  position_ += take;
  return {rows};
}

namespace {

Status wrong(const char* argument, const char* expected) {
  return Status::error(ErrorCode::kOption, argument, expected);
}

bool finite(double value) noexcept { return std::isfinite(value); }

Status check_weighted(const SamplingSpec& spec, const SamplerInput& input) {
  const auto given = static_cast<std::int64_t>(spec.probabilities.size());
  if (given != input.rows_of_data) {
    return Status::error(ErrorCode::kShape, "sampling.probabilities", "one for each row of the data", given,
                         input.rows_of_data);
  }
  double sum = 0;
  const auto add = [&](double p) {
    sum += p;
    return p >= 0 && finite(p) && (p > 0 || !spec.unbiased);
  };
  bool fine = true;
  if (input.rows.empty()) {
    for (const double p : spec.probabilities) fine = add(p) && fine;
  } else {
    for (const std::uint32_t row : input.rows) fine = add(spec.probabilities[row]) && fine;
  }
  if (!fine && spec.unbiased) {
    return wrong("sampling.probabilities", "numbers above 0: what is never drawn cannot be made up for by weights");
  }
  if (!fine || !(sum > 0) || !finite(sum)) {
    return wrong("sampling.probabilities", "finite numbers that are not negative, and not all 0");
  }
  return Status::success();
}

Status check_importance(const SamplingSpec& spec) {
  if (spec.score == RowScore::kNone) return wrong("sampling.by", "upperBound, gradientNorm or loss");
  if (!(spec.presample >= 1) || !finite(spec.presample)) return wrong("sampling.presample", "a finite number of at least 1");
  if (!(spec.smoothing >= 0) || !finite(spec.smoothing) || !(spec.smoothing_fraction >= 0) ||
      !finite(spec.smoothing_fraction)) {
    return wrong("sampling.smoothing", "a finite number of at least 0");
  }
  if (spec.start_threshold < 0) return wrong("sampling.startThreshold", "a number of at least 0");
  if (!(spec.bias_power >= 0 && spec.bias_power <= 1)) return wrong("sampling.biasPower", "a number from 0 to 1");
  return Status::success();
}

Status check_poisson(const SamplingSpec& spec, std::int64_t rows) {
  const double rate = spec.rate;
  if (rate == 0 || (rate <= 1 && rate * static_cast<double>(rows) >= 1)) return Status::success();
  return wrong("sampling.rate", "a probability from 1 / rows to 1");
}

bool is_samplers(std::string_view name) noexcept { return name.substr(0, 9) == "sampling."; }

}  // namespace

Status make_sampler(const std::optional<SamplingSpec>& spec, const SamplerInput& input, std::unique_ptr<Sampler>& out) {
  const SamplingKind kind = spec ? spec->kind : SamplingKind::kShuffled;
  const auto rows = static_cast<std::int64_t>(input.rows.size());
  switch (kind) {
    case SamplingKind::kShuffled: out = std::make_unique<ShuffledSampler>(input); break;
    case SamplingKind::kReplacement: out = make_replacement_sampler(input); break;
    case SamplingKind::kPoisson:
      if (Status s = check_poisson(*spec, rows > 0 ? rows : input.rows_of_data); !s.ok()) return s;
      out = make_poisson_sampler(*spec, input);
      break;
    case SamplingKind::kWeighted:
      if (Status s = check_weighted(*spec, input); !s.ok()) return s;
      out = make_weighted_sampler(*spec, input);
      break;
    case SamplingKind::kImportance:
      if (Status s = check_importance(*spec); !s.ok()) return s;
      out = make_importance_sampler(*spec, input);
      break;
    case SamplingKind::kHistory: out = make_history_sampler(*spec, input); break;
  }
  return Status::success();
}

Status restore_sampler(Sampler& sampler, TrainingState& state) {
  if (!sampler.has_state()) return Status::success();
  const auto own = [](const auto& entry) { return is_samplers(entry.first); };
  const bool given = std::any_of(state.numbers.begin(), state.numbers.end(), own);
  // A state without updates may be that of a start that never was a run's.
  if (given || state.updates > 0) {
    if (Status s = sampler.restore(state); !s.ok()) return s;
  }
  std::erase_if(state.numbers, own);
  std::erase_if(state.plain, own);
  return Status::success();
}

const double* state_number(const TrainingState& state, std::string_view name, double least, Status& status) noexcept {
  const double* value = find_number(state, name);
  if (value != nullptr && finite(*value) && *value >= least) return value;
  status = Status::error(ErrorCode::kState, "state.numbers", "the numbers of this sampling");
  return nullptr;
}

const std::vector<double>* state_array(const TrainingState& state, std::string_view name, std::int64_t size,
                                       Status& status) noexcept {
  for (const auto& [key, values] : state.plain) {
    if (key != name) continue;
    const auto found = static_cast<std::int64_t>(values.size());
    const auto fine = [](double value) { return value == kUnseen || (value >= 0 && finite(value)); };
    if (found == size && std::all_of(values.begin(), values.end(), fine)) return &values;
    status = Status::error(ErrorCode::kShape, "state.arrays", "one figure a row of the data, none negative", found, size);
    return nullptr;
  }
  status = Status::error(ErrorCode::kState, "state.arrays", "the arrays of this sampling");
  return nullptr;
}

}  // namespace krylov
