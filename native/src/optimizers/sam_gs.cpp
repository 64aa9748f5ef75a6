// SAM-GS: Borsani, Rosani, Nicosia, Di Fatta 2025 (arXiv 2506.06130), after the released code. With n_i = |g_i| and
// s_ij = 2 n_i n_j / (n_i^2 + n_j^2), s their mean over pairs:
//
//   m <- b1 m + (1 - b1) G, v <- b2 v + (1 - b2)(1 - s)^2 + epsilon, mhat and vhat without their bias towards zero
//   s < gamma:  d = sum g_i / n_i mean(n)                     (equalisation)
//   else:       d = sum g_i o |mhat_i| / sqrt(vhat)           (modulation, by elements)
//
// 1. The rule `any` equalises where any pair is below gamma, as the code for reinforcement learning does.
// 2. Two zero gradients have s_ij = 1; a single task's gradient is returned as it is.
#include <algorithm>
#include <cmath>

#include "krylov/buffer.h"
#include "optimizers/task_rules.h"
#include "solvers/chunks.h"

namespace krylov {

namespace {

constexpr std::int64_t kBlock = 512;

template <Scalar T>
class SamGs final : public TaskRule<T> {
 public:
  SamGs(const SamGsOptions& options, int tasks, std::int64_t size)
      : options_(options), momentum_(static_cast<std::size_t>(tasks * size)), variance_(1, 0.0) {
    states_ = {{{"momentum", momentum_.span(), {}}, {"variance", {}, variance_}}};
  }

  std::span<const TaskState<T>> states() noexcept override { return states_; }

  void combine(TaskWork<T>& work) override {
    TaskCombination& result = work.result;
    const int n = work.tasks();
    double sum = 0, least = 1;
    for (int i = 0; i < n; ++i) {
      for (int j = i + 1; j < n; ++j) {
        const double own = result.norms[static_cast<std::size_t>(i)], other = result.norms[static_cast<std::size_t>(j)];
        const double s = similarity(own, other);
        result.similarities.push_back(s);
        sum += s, least = std::min(least, s);
      }
    }
    const double mean = n > 1 ? sum / static_cast<double>(result.similarities.size()) : 1;
    const double t = static_cast<double>(work.step) + 1;
    const double gap = 1 - mean;
    variance_[0] = options_.beta2 * variance_[0] + (1 - options_.beta2) * gap * gap + options_.epsilon;
    const double root = std::sqrt(variance_[0] / (1 - std::pow(options_.beta2, t)));
    const double correction = 1 - std::pow(options_.beta1, t);
    result.equalised = n > 1 && (options_.rule == SamGsOptions::Branch::kAny ? least : mean) < options_.gamma;
    result.linear = result.equalised || n == 1;
    if (result.linear) {
      double mean_norm = 0;
      for (const double norm : result.norms) mean_norm += norm / n;
      for (const double norm : result.norms) result.coefficients.push_back(norm > 0 ? mean_norm / norm : 0);
      if (n == 1) result.coefficients[0] = 1;
    }
    advance(work, result.linear ? 0 : 1 / (correction * root));
  }

 private:
  static double similarity(double a, double b) noexcept {
    if (a == 0 && b == 0) return 1;
    // In ratios: squares of lengths may leave the range.
    const double ratio = std::min(a, b) / std::max(a, b);
    return 2 * ratio / (1 + ratio * ratio);
  }

  // The momenta, and the modulated sum times `factor` where that is not zero.
  void advance(TaskWork<T>& work, double factor) noexcept {
    const double keep = options_.beta1, take = 1 - options_.beta1;
    each_chunk(work.crew, work.threads, work.size, [&](std::int64_t first, std::int64_t count) {
      double sums[kBlock];
      for (std::int64_t from = first; from < first + count; from += kBlock) {
        const std::int64_t block = std::min(kBlock, first + count - from);
        std::fill_n(sums, block, 0.0);
        for (int k = 0; k < work.tasks(); ++k) {
          const T* g = work.given.rows[static_cast<std::size_t>(k)] + from;
          T* m = momentum_.data() + k * work.size + from;
          for (std::int64_t i = 0; i < block; ++i) {
            const double value = keep * static_cast<double>(m[i]) + take * static_cast<double>(g[i]);
            m[i] = static_cast<T>(value);
            sums[i] += static_cast<double>(g[i]) * std::abs(value);
          }
        }
        if (factor == 0) continue;
        for (std::int64_t i = 0; i < block; ++i) work.out[from + i] = static_cast<T>(factor * sums[i]);
      }
    });
  }

  SamGsOptions options_;
  AlignedBuffer<T> momentum_;
  std::vector<double> variance_;
  std::array<TaskState<T>, 2> states_;
};

}  // namespace

template <Scalar T>
std::unique_ptr<TaskRule<T>> make_sam_gs(const TaskCombinerSpec& spec, int tasks, std::int64_t size) {
  return std::make_unique<SamGs<T>>(spec.sam_gs, tasks, size);
}

template std::unique_ptr<TaskRule<float>> make_sam_gs<float>(const TaskCombinerSpec&, int, std::int64_t);
template std::unique_ptr<TaskRule<double>> make_sam_gs<double>(const TaskCombinerSpec&, int, std::int64_t);

}  // namespace krylov
