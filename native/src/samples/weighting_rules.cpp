#include <algorithm>
#include <cmath>
#include <numeric>

#include "krylov/sample_weights.h"

namespace krylov {

namespace {

// (1 - 0.9) 10 is below 1 in floating point, and means 1.
constexpr double kRoundingOfShares = 1e-9;

std::size_t whole_share(double part, std::size_t count) noexcept {
  const double whole = std::floor(part * double(count) + kRoundingOfShares);
  if (!(whole >= 1)) return std::min<std::size_t>(count, 1);
  return whole < double(count) ? static_cast<std::size_t>(whole) : count;
}

// At p = 1 its limit; p log p is 0 at p = 0.
double focal_loss_weight(double p, double rest, double gamma) noexcept {
  if (gamma == 0) return 1;
  if (rest == 0) return 0;
  if (p == 0) return std::pow(rest, gamma);
  const double log_p = rest < 0.5 ? std::log1p(-rest) : std::log(p);
  return std::pow(rest, gamma) - gamma * p * std::pow(rest, gamma - 1) * log_p;
}

// By sample `i` alone, for rules without a look at the others.
double own_weight(WeightRule rule, double a, double b, const SampleFigures& f, std::size_t i) noexcept {
  const auto rest = [&] { return f.complements.empty() ? 1 - f.probabilities[i] : f.complements[i]; };
  switch (rule) {
    case WeightRule::kFocal: return std::pow(rest(), a);
    case WeightRule::kFocalLoss: return focal_loss_weight(f.probabilities[i], rest(), a);
    case WeightRule::kGeneralizedCrossEntropy: return std::pow(f.probabilities[i], a);
    case WeightRule::kTruncatedCrossEntropy: return f.probabilities[i] > b ? std::pow(f.probabilities[i], a) : 0;
    case WeightRule::kHuberizedCrossEntropy: return f.probabilities[i] >= 1 / a ? 1 : a * f.probabilities[i];
    case WeightRule::kInverseLoss: return a / (a + f.losses[i]);
    case WeightRule::kConfidence: return std::pow(f.confidences[i], a);
    case WeightRule::kLossThreshold: return f.losses[i] < a ? 1 : 0;
    case WeightRule::kAlignment: return std::max(0.0, f.alignments[i]);
    case WeightRule::kTilted:
    case WeightRule::kHardExamples:
    case WeightRule::kSmallLoss:
    case WeightRule::kFunction: break;
  }
  return 1;
}

// The first `kept` samples by loss get the weight, the others 0; of equal losses the first come first.
void select(std::span<const double> losses, bool largest, std::size_t kept, double weight,
            std::span<std::uint32_t> order, std::span<double> weights) noexcept {
  const auto indices = order.first(losses.size());
  std::iota(indices.begin(), indices.end(), 0u);
  const auto before = [&](std::uint32_t i, std::uint32_t j) noexcept {
    if (losses[i] != losses[j]) return largest ? losses[i] > losses[j] : losses[i] < losses[j];
    return i < j;
  };
  if (kept < indices.size()) {
    std::nth_element(indices.begin(), indices.begin() + static_cast<std::ptrdiff_t>(kept), indices.end(), before);
  }
  std::fill(weights.begin(), weights.end(), 0.0);
  for (const std::uint32_t i : indices.first(kept)) weights[i] = weight;
}

double sum_of(std::span<const double> values) noexcept { return std::accumulate(values.begin(), values.end(), 0.0); }

// Times their number over their sum; false where that is 0.
bool to_mean_one(std::span<double> weights) noexcept {
  const double sum = sum_of(weights);
  if (sum == 0) return weights.empty();
  for (double& w : weights) w = w * double(weights.size()) / sum;
  return true;
}

}  // namespace

WeightFigure figure_of(WeightRule rule) noexcept {
  switch (rule) {
    case WeightRule::kFocal:
    case WeightRule::kFocalLoss:
    case WeightRule::kGeneralizedCrossEntropy:
    case WeightRule::kTruncatedCrossEntropy:
    case WeightRule::kHuberizedCrossEntropy: return WeightFigure::kProbabilities;
    case WeightRule::kConfidence: return WeightFigure::kConfidences;
    case WeightRule::kAlignment: return WeightFigure::kAlignments;
    case WeightRule::kInverseLoss:
    case WeightRule::kTilted:
    case WeightRule::kLossThreshold:
    case WeightRule::kHardExamples:
    case WeightRule::kSmallLoss:
    case WeightRule::kFunction: break;
  }
  return WeightFigure::kLosses;
}

bool is_local(const SampleWeightsSpec& spec) noexcept {
  if (spec.normalize) return false;
  switch (spec.rule) {
    case WeightRule::kTilted:
    case WeightRule::kHardExamples:
    case WeightRule::kSmallLoss:
    case WeightRule::kAlignment:
    case WeightRule::kFunction: return false;
    default: return true;
  }
}

bool sample_weights(const SampleWeightsSpec& spec, std::int64_t t, const SampleFigures& figures,
                    std::span<std::uint32_t> order, std::span<double> weights) noexcept {
  const double a = schedule_value(spec.a, t);
  const std::span<const double> losses = figures.losses;
  switch (spec.rule) {
    case WeightRule::kTilted: {
      double largest = -INFINITY;
      for (const double loss : losses) largest = std::max(largest, loss);
      for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = std::exp((losses[i] - largest) / a);
      return to_mean_one(weights);
    }
    case WeightRule::kHardExamples:
      select(losses, true, whole_share(a, losses.size()), 1, order, weights);
      break;
    case WeightRule::kSmallLoss: {
      const std::size_t kept = whole_share(1 - a, losses.size());
      select(losses, false, kept, double(losses.size()) / double(kept), order, weights);
      break;
    }
    default: {
      const double b = schedule_value(spec.b, t);
      for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = own_weight(spec.rule, a, b, figures, i);
      // Without a clean direction nothing is learnt: all stay 0.
      if (spec.rule == WeightRule::kAlignment) to_mean_one(weights);
    }
  }
  return !spec.normalize || to_mean_one(weights);
}

// By the differences of the other logits to the label's, so that 1 - p keeps its digits.
template <Scalar T>
LabelFigures label_figures(const T* logits, std::int64_t width, std::int64_t label) noexcept {
  const double own = static_cast<double>(logits[label]);
  double top = 0;
  for (std::int64_t c = 0; c < width; ++c) {
    if (c != label) top = std::max(top, static_cast<double>(logits[c]) - own);
  }
  double rest = 0;
  for (std::int64_t c = 0; c < width; ++c) {
    if (c != label) rest += std::exp(static_cast<double>(logits[c]) - own - top);
  }
  const double mine = std::exp(-top);
  const double total = mine + rest;
  return {mine / total, rest / total, top > 0 ? top + std::log(total) : std::log1p(rest), 1 / total};
}

LabelFigures binary_figures(double logit, double target) noexcept {
  // As a softmax over the two answers; the loss is the cross-entropy, linear in the target.
  const double logits[2] = {0, logit};
  const LabelFigures no = label_figures(logits, 2, 0), yes = label_figures(logits, 2, 1);
  if (target == 1) return yes;
  if (target == 0) return no;
  const auto mean = [&](double a, double b) { return target * a + (1 - target) * b; };
  return {mean(yes.probability, no.probability), mean(yes.complement, no.complement), mean(yes.loss, no.loss),
          yes.confidence};
}

template LabelFigures label_figures<float>(const float*, std::int64_t, std::int64_t) noexcept;
template LabelFigures label_figures<double>(const double*, std::int64_t, std::int64_t) noexcept;

}  // namespace krylov
