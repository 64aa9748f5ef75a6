// Weights of samples by how well the model does on them: the gradient is
// (1/N) sum w_i g_i, and nothing is differentiated through the weights. p is
// the probability of a sample's own label, l its loss, N the number of samples,
// a and b the rule's numbers.
//
// A loss psi(p) of p alone has -p psi'(p) times the gradient of the
// cross-entropy -log p: a weight w(p) trains the loss whose -p psi'(p) it is.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "krylov/dtype.h"
#include "krylov/spec.h"

namespace krylov {

enum class WeightRule : std::uint8_t {
  kFocal,                    // (1 - p)^a
  kFocalLoss,                // (1 - p)^a - a p (1 - p)^(a - 1) log p      (Lin et al. 2017, arXiv 1708.02002)
  kGeneralizedCrossEntropy,  // p^a                                        (Zhang & Sabuncu 2018, arXiv 1805.07836)
  kTruncatedCrossEntropy,    // p^a where p > b, else 0
  kHuberizedCrossEntropy,    // min(1, a p)                                (Menon, Rawat, Reddi & Kumar 2020)
  kInverseLoss,              // a / (a + l), the gradient of a log(1 + l / a)
  kConfidence,               // q^a, q the largest probability of any class
  kTilted,                   // N e^(l / a) / sum e^(l / a)
  kLossThreshold,            // 1 where l < a, else 0
  kHardExamples,             // 1 for the share a of largest losses, else 0
  kSmallLoss,                // N / kept for the share 1 - a of smallest losses, else 0  (Han et al. 2018, arXiv 1804.06872)
  kAlignment,                // N max(0, d) / sum max(0, d), d the inner product with a clean gradient
  kFunction,                 // the caller's
};

struct SampleWeightsSpec {
  WeightRule rule = WeightRule::kFocal;
  ScheduleSpec a, b;
  bool normalize = false;  // divided by their mean
};

// What rules look at, one number a sample. Complements are 1 - p with the digits that p near 1 does not have; empty: 1 - p.
struct SampleFigures {
  std::span<const double> losses, probabilities, complements, confidences, alignments;
};

enum class WeightFigure : std::uint8_t { kLosses, kProbabilities, kConfidences, kAlignments };
WeightFigure figure_of(WeightRule rule) noexcept;
// A sample's weight depends on its own figures only.
bool is_local(const SampleWeightsSpec& spec) noexcept;

// The weights for update t + 1 from the figure that the rule looks at, which is finite. `order` has room for as many
// indices. False where all are 0 and were to be divided by their mean; they are left 0.
bool sample_weights(const SampleWeightsSpec& spec, std::int64_t t, const SampleFigures& figures,
                    std::span<std::uint32_t> order, std::span<double> weights) noexcept;

struct LabelFigures {
  double probability = 0, complement = 0, loss = 0;  // of the label: p, 1 - p, -log p
  double confidence = 0;                             // largest probability of any class
};
// Softmax over a row of logits, and the label's share.
template <Scalar T>
LabelFigures label_figures(const T* logits, std::int64_t width, std::int64_t label) noexcept;
// Sigmoid of one logit; target from 0 to 1, where p is the mean over both answers.
LabelFigures binary_figures(double logit, double target) noexcept;

// What a caller's function is told of a step: losses, and probabilities where the loss has them.
struct WeightRequest {
  SampleFigures figures;
  std::int64_t updates = 0;  // done
  std::int64_t epoch = 0;    // 1, 2, ... of a run; 0: a trainer's step
};
using WeightFunction = std::function<void(const WeightRequest&, std::span<double> weights)>;

}  // namespace krylov
