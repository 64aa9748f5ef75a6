// What a run records of gradients: the batch's and those of its samples, in the
// updates that are measured. Equations: docs/per-sample.md.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace krylov {

struct GradientRecordSpec {
  std::int64_t every = 1;  // updates: every, 2 every, ... are measured
  double beta = 0.99;      // weight of the past in the averaged noise scale
};

struct LayerGradientSummary {
  std::string name;
  double norm = 0;          // of the batch's gradient
  double mean_norm = 0;     // of the samples'
  double largest_norm = 0;
};

// g_i: gradients of the samples' own weighted losses as they enter the batch's (factors of stages on samples included),
// l2 not included; G: the batch's gradient of them, with the loss's reduction; gbar their mean.
struct GradientSummary {
  static constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  std::int64_t update = 0, samples = 0;
  double norm = 0;                                // |G|
  double mean_norm = 0, largest_norm = 0;         // of g_i
  double variance = kNan;                         // trace of the unbiased covariance of g_i
  double squared_gradient = kNan;                 // unbiased estimate of the true gradient's square; may be negative
  double noise_scale = kNan;                      // their ratio, where the latter is above 0
  double averaged_noise_scale = kNan;             // the ratio of their moving averages
  double mean_cosine = kNan;                      // over pairs, weighted by the product of the norms
  double step_cosine = kNan;                      // of G with that of the update before
  std::vector<LayerGradientSummary> layers;
};

}  // namespace krylov
