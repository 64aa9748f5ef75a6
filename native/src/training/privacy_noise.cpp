#include "training/privacy_noise.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "krylov/rng.h"
#include "network/layer.h"

namespace krylov {

Status check_private_run(const TrainingOptions& options, std::int64_t rows) {
  if (!options.privacy) return Status::success();
  const bool poisson = options.sampling && options.sampling->kind == SamplingKind::kPoisson;
  const auto size = static_cast<double>(options.batch_size);
  const double of_batch = size / static_cast<double>(rows);
  const double rate = poisson && options.sampling->rate > 0 ? options.sampling->rate : of_batch;
  if (!poisson || rate != options.privacy->sample_rate) {
    return Status::error(ErrorCode::kOption, "sampling", "Poisson's at the rate that privacy is accounted with");
  }
  if (rate != of_batch || options.privacy->expected_rows != size) {
    return Status::error(ErrorCode::kOption, "privacy.expectedRows", "the batch size, and as rate its share of the rows");
  }
  return Status::success();
}

template <Scalar T>
Status PrivacyNoise<T>::check(const TrainingOptions& options) {
  const PrivacySpec& spec = *options.privacy;
  const auto option = [](const char* argument, const char* expected) {
    return Status::error(ErrorCode::kOption, argument, expected);
  };
  if (!options.clipping) return option("clipping", "clipping of every sample, which privacy rests on");
  const ClippingSpec& clipping = *options.clipping;
  if (!clipping.drop_not_finite) return option("clipping.notFinite", "samples left out, with privacy");
  if (clipping.rule == ThresholdRule::kLayerStatistics) {
    return option("clipping.adapt", "thresholds that tell nothing of single samples, with privacy");
  }
  if (options.multitask) return option("multitask", "none with privacy: it looks at gradients without noise");
  if (options.weights && (options.weights->rule == WeightRule::kFunction || !is_local(*options.weights))) {
    return option("weights", "with privacy, weights that depend on a sample alone");
  }
  if (options.step_size) return option("stepSize", "none with privacy: it looks at the samples without noise");
  if (!(spec.noise_multiplier >= 0) || !std::isfinite(spec.noise_multiplier) || !(spec.gradient_noise >= 0) ||
      !std::isfinite(spec.gradient_noise)) {
    return option("privacy.noiseMultiplier", "a finite number that is not negative");
  }
  if (!(spec.count_noise >= 0) || !std::isfinite(spec.count_noise)) {
    return option("privacy.countNoise", "a finite number that is not negative");
  }
  if (!(spec.sample_rate > 0) || !(spec.sample_rate <= 1)) {
    return option("privacy.sampleRate", "a number above 0 and at most 1");
  }
  if (!(spec.expected_rows > 0) || !std::isfinite(spec.expected_rows)) {
    return option("privacy.expectedRows", "a finite number above 0");
  }
  for (const HeadTask& task : options.tasks) {
    if (task.loss.sum_reduction) return option("loss", "means over samples, with privacy");
  }
  return Status::success();
}

template <Scalar T>
PrivacyNoise<T>::PrivacyNoise(const Network<T>& network, const PrivacySpec& spec, const SampleClipping<T>& clipping)
    : network_(&network), spec_(spec), clipping_(&clipping), tensors_(network.blocks().size()) {
  for (const TensorInfo& tensor : network.tensors()) tensors_[static_cast<std::size_t>(tensor.block)].push_back(&tensor);
}

template <Scalar T>
void PrivacyNoise<T>::begin_update(std::int64_t updates) noexcept {
  update_ = static_cast<std::uint64_t>(updates);
  deviation_ = spec_.gradient_noise * clipping_->sensitivity() / spec_.expected_rows;
}

template <Scalar T>
void PrivacyNoise<T>::add(const GradientUnit& unit, T* gradient) const noexcept {
  if (deviation_ == 0) return;
  constexpr std::int64_t kRows = static_cast<std::int64_t>(kUnitElements<T>) / kPanel<T>;
  double normals[kRows];
  const int block = network_->layers()[static_cast<std::size_t>(unit.layer)]->block;
  for (const TensorInfo* tensor : tensors_[static_cast<std::size_t>(block)]) {
    const std::int64_t row0 = std::max(unit.row0, tensor->first_row);
    const std::int64_t rows = std::min(unit.row1, tensor->first_row + tensor->row_count) - row0;
    if (rows <= 0) continue;
    const std::int64_t output = unit.panel * kPanel<T>;
    for (std::int64_t lane = 0; lane < std::min<std::int64_t>(kPanel<T>, tensor->outputs - output); ++lane) {
      const std::int64_t index =
          tensor->public_offset + (output + lane) * tensor->row_count + row0 - tensor->first_row;
      const std::span<double> draws(normals, static_cast<std::size_t>(rows));
      fill_normal(spec_.seed, Stream::kNoise, update_, static_cast<std::uint64_t>(index), draws);
      T* out = gradient + (row0 - unit.row0) * kPanel<T> + lane;
      for (std::int64_t r = 0; r < rows; ++r) out[r * kPanel<T>] += static_cast<T>(deviation_ * normals[r]);
    }
  }
}

template <Scalar T>
void PrivacyNoise<T>::save(TrainingState& state) const {
  state.numbers.emplace_back("privacy.noiseMultiplier", spec_.noise_multiplier);
  state.numbers.emplace_back("privacy.countNoise", spec_.count_noise);
  state.numbers.emplace_back("privacy.sampleRate", spec_.sample_rate);
  state.numbers.emplace_back("privacy.seed", static_cast<double>(spec_.seed));
}

template <Scalar T>
Status PrivacyNoise<T>::restore(const TrainingState& state) {
  const auto same = [&](const char* name, double value) {
    const double* found = find_number(state, name);
    return found != nullptr && *found == value;
  };
  const auto wrong = [](const char* argument, const char* expected) {
    return Status::error(ErrorCode::kState, argument, expected);
  };
  if (!same("privacy.noiseMultiplier", spec_.noise_multiplier)) {
    return wrong("state.numbers.privacy.noiseMultiplier", "the noise multiplier of all earlier updates");
  }
  if (!same("privacy.countNoise", spec_.count_noise)) {
    return wrong("state.numbers.privacy.countNoise", "the noise on counts of all earlier updates");
  }
  if (!same("privacy.sampleRate", spec_.sample_rate)) {
    return wrong("state.numbers.privacy.sampleRate", "the sample rate of all earlier updates");
  }
  if (!same("privacy.seed", static_cast<double>(spec_.seed))) {
    return wrong("state.numbers.privacy.seed", "the seed of the noise of all earlier updates");
  }
  return Status::success();
}

template <Scalar T>
void PrivacyNoise<T>::describe(StepNumbers& numbers) const {
  numbers.numbers.emplace_back("gradientNoise", deviation_);
}

template class PrivacyNoise<float>;
template class PrivacyNoise<double>;

}  // namespace krylov
