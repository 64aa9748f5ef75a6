// How batches are drawn in a run of epochs, and the arithmetic of importance
// sampling: sample i drawn with probability p_i and weighted by 1/(N p_i) leaves
// the gradient unbiased; its variance is least for p_i proportional to |g_i|.
//
// Katharopoulos & Fleuret 2018 (arXiv 1803.00942); Lu et al. 2023 (PA&DA, arXiv
// 2302.14772), both as their programs compute it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace krylov {

enum class SamplingKind : std::uint8_t {
  kShuffled,     // epochs without replacement
  kReplacement,  // rows drawn uniformly
  kPoisson,      // every row independently: batches of varying size
  kWeighted,     // rows drawn by fixed probabilities
  kImportance,   // out of a uniform pool by scores of the moment
  kHistory,      // by what the epoch before recorded of each row
};

// What is known of a row: its loss; the norm of the loss's gradient by the pre-activations of the outputs, which is
// an upper bound of the next up to a constant; the norm of its gradient.
enum class RowScore : std::uint8_t { kNone, kLoss, kUpperBound, kGradientNorm };

struct SamplingSpec {
  SamplingKind kind = SamplingKind::kShuffled;
  double rate = 0;                    // Poisson; 0: batch size over rows
  std::vector<double> probabilities;  // weighted: one a row of the data, up to a factor
  bool unbiased = true;               // weighted, history: 1/(N p) as a factor of the row's loss
  // Importance.
  RowScore score = RowScore::kUpperBound;
  double presample = 3;           // rows of the pool over those of the batch
  double smoothing = 0;           // added to every score
  double smoothing_fraction = 0;  // the same, times a moving average of their mean
  double start_threshold = std::numeric_limits<double>::quiet_NaN();  // of tau; NaN: see importance_threshold
  double bias_power = 1;          // of the weights
};

// What has to be known of rows.
RowScore score_of(const std::optional<SamplingSpec>& spec) noexcept;
// The largest number of rows that a step has to do with.
std::int64_t largest_draw(const SamplingSpec& spec, std::int64_t rows, std::int64_t batch_size) noexcept;
// Poisson: batches of an epoch.
std::int64_t poisson_steps(double rate) noexcept;

// p = mix s / sum s + (1 - mix) / B; uniform where the sum is 0 or not finite. `out` may be `scores`.
void mixed_probabilities(std::span<const double> scores, double mix, std::span<double> out) noexcept;
// p = (s + constant) / sum (s + constant).
void importance_probabilities(std::span<const double> scores, double constant, std::span<double> out) noexcept;
// w = 1 / (B p) of the picked, all of p > 0.
void importance_weights(std::span<const double> probabilities, std::span<const std::uint32_t> picked,
                        std::span<double> out) noexcept;
// w^power, rescaled so that sum w s over the picked stays what it was. `scores` are by pool.
void soften_weights(std::span<double> weights, std::span<const std::uint32_t> picked, std::span<const double> scores,
                    double power) noexcept;
// tau = 1 / sqrt(1 - sum (p - 1/B)^2 / sum p^2) = sqrt(B sum p^2), at least 1. The second form has no difference of
// nearly equal numbers.
double variance_reduction(std::span<const double> probabilities) noexcept;
// tau above which drawing b of a pool of B saves more than it costs: (B passes + 3 b) / (3 b), a backward pass costing two
// forward ones (their equation 29); `passes` of the pool's rows: 1 for a forward pass, 2 with their deltas.
double importance_threshold(double pool, double batch, double passes) noexcept;
// (sum w)^2 / sum w^2
double effective_sample_size(std::span<const double> weights) noexcept;

// PA&DA's figure of a row in an epoch: its first record, then (figure + record) / 2 for each further one; kUnseen before.
inline constexpr double kUnseen = -1;
void record_history(std::span<double> figures, std::span<const std::uint32_t> index,
                    std::span<const double> records) noexcept;

// Draws by probabilities, up to a factor. At least one is above 0.
class DiscreteDistribution {
 public:
  explicit DiscreteDistribution(std::size_t largest) : sums_(largest) {}
  void assign(std::span<const double> weights) noexcept;
  std::uint32_t at(double uniform) const noexcept;  // uniform in [0, 1)

 private:
  std::vector<double> sums_;
  std::size_t size_ = 0;
  std::uint32_t last_ = 0;  // of weight above 0
};

}  // namespace krylov
