// Which stages a step has: each checked against the network and the others, and made.
#include "training/gradient_chain_stage.h"
#include "training/step_engine.h"
#include "training/tasks.h"

namespace krylov {

namespace {

// A stage on the deltas of single samples leaves one divisor for all heads to the gradient.
Status check_per_sample(const char* stage, const std::vector<HeadTask>& tasks) {
  for (const HeadTask& task : tasks) {
    if (task.loss.normalize_weights || task.loss.sum_reduction != tasks.front().loss.sum_reduction) {
      return Status::error(ErrorCode::kOption, stage, "losses that are all means over samples, or all sums");
    }
  }
  return Status::success();
}

}  // namespace

Status check_no_stages(const TrainingOptions& options) {
  constexpr const char* kNone = "none: this optimizer looks at the function more than once";
  const std::pair<bool, const char*> given[] = {
      {options.clipping.has_value(), "clipping"},   {!options.gradient.empty(), "gradient"},
      {options.multitask.has_value(), "multitask"}, {options.weights.has_value(), "weights"},
      {options.privacy.has_value(), "privacy"},     {options.gradients.has_value(), "record.gradients"}};
  for (const auto& [there, name] : given) {
    if (there) return Status::error(ErrorCode::kOption, name, kNone);
  }
  if (options.step_size) {
    return Status::error(ErrorCode::kOption, "stepSize", "none: this optimizer finds its step sizes itself");
  }
  if (options.sampling && options.sampling->kind != SamplingKind::kShuffled) {
    return Status::error(ErrorCode::kOption, "sampling", "shuffled: this optimizer looks at the function more than once");
  }
  return Status::success();
}

template <Scalar T>
Status StepEngine<T>::make_stages(const TrainingOptions& options, std::int64_t max_rows) {
  if (options.weights) {
    if (Status s = SampleWeighting<T>::check(*network_, options); !s.ok()) return s;
    if (Status s = check_per_sample("weights", options.tasks); !s.ok()) return s;
    weighting_ = std::make_unique<SampleWeighting<T>>(*network_, options, max_rows);
    stages_.push_back(weighting_.get());
    deltas_ = Deltas::kPerSample;
  }
  if (options.clipping) {
    if (Status s = SampleClipping<T>::check(*network_, *options.clipping); !s.ok()) return s;
    if (Status s = check_per_sample("clipping", options.tasks); !s.ok()) return s;
    const bool whole = weighting_ != nullptr && (weighting_->decides() || weighting_->asks());
    if (whole && options.clipping->drop_not_finite && !options.privacy) {
      return Status::error(ErrorCode::kOption, "clipping.notFinite", "'throw' with weights that look at the whole batch");
    }
    const PrivacySpec* privacy = options.privacy ? &*options.privacy : nullptr;
    clipping_ = std::make_unique<SampleClipping<T>>(*network_, *options.clipping, max_rows, privacy);
    stages_.push_back(clipping_.get());
    deltas_ = Deltas::kPerSample;
  }
  if (options.privacy) {
    if (Status s = PrivacyNoise<T>::check(options); !s.ok()) return s;
    privacy_ = std::make_unique<PrivacyNoise<T>>(*network_, *options.privacy, *clipping_);
    stages_.push_back(privacy_.get());
  }
  const RowScore score = score_of(options.sampling);
  // Factors of rows are no part of the sum of weights that a mean over weights divides by.
  const bool factors = options.sampling && options.sampling->kind == SamplingKind::kWeighted && options.sampling->unbiased;
  if (factors || score != RowScore::kNone) {
    if (Status s = check_per_sample("sampling", options.tasks); !s.ok()) return s;
  }
  if (score != RowScore::kNone) {
    if (weighting_ != nullptr && score != RowScore::kLoss) {
      return Status::error(ErrorCode::kOption, "sampling", "one that needs no scores of gradients, beside weights");
    }
    if (options.multitask) {
      return Status::error(ErrorCode::kOption, "sampling", "one that needs no scores of samples, beside multitask");
    }
    scores_ = std::make_unique<RowScores<T>>(*network_, score, max_rows);
  }
  if (options.step_size) {
    if (options.clipping && options.clipping->drop_not_finite) {
      return Status::error(ErrorCode::kOption, "clipping.notFinite", "'throw' with stepSize, which looks at every sample");
    }
    if (Status s = RadiusStage<T>::check(*network_, options); !s.ok()) return s;
    radius_ = std::make_unique<RadiusStage<T>>(*network_, options, max_rows);
    stages_.push_back(radius_.get());
  }
  if (options.gradients) {
    if (Status s = GradientRecord<T>::check(options); !s.ok()) return s;
    if (Status s = check_per_sample("record.gradients", options.tasks); !s.ok()) return s;
    record_ = std::make_unique<GradientRecord<T>>(*network_, *options.gradients, sum_reduction_, max_rows);
    stages_.push_back(record_.get());
  }
  if (options.multitask) {
    if (Status s = TaskStage<T>::check(*network_, options); !s.ok()) return s;
    multitask_ = std::make_unique<TaskStage<T>>(*network_, options, max_rows);
    stages_.push_back(multitask_.get());
  }
  if (!options.gradient.empty()) {
    std::unique_ptr<GradientChainStage<T>> chain;
    if (Status s = GradientChainStage<T>::create(*network_, options.gradient, chain); !s.ok()) return s;
    gradient_stages_.push_back(std::move(chain));
  }
  for (const auto& stage : gradient_stages_) stages_.push_back(stage.get());
  if (!gradient_stages_.empty()) whole_ = AlignedBuffer<T>(static_cast<std::size_t>(network_->arena_size()));
  return Status::success();
}

template Status StepEngine<float>::make_stages(const TrainingOptions&, std::int64_t);
template Status StepEngine<double>::make_stages(const TrainingOptions&, std::int64_t);

}  // namespace krylov
