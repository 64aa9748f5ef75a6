// Methods that weigh the gradients: fixed weights, MGDA, CAGrad, GradNorm.
#include <algorithm>
#include <cmath>

#include "optimizers/simplex.h"
#include "optimizers/task_rules.h"

namespace krylov {

namespace {

template <Scalar T>
class WeightedSum final : public TaskRule<T> {
 public:
  WeightedSum(const TaskCombinerSpec& spec, int tasks) : weights_(spec.weights), mean_(spec.mean) {
    if (weights_.empty()) weights_.assign(static_cast<std::size_t>(tasks), 1.0);
  }

  void combine(TaskWork<T>& work) override {
    TaskCombination& result = work.result;
    result.linear = result.weighted = true;
    result.weights = result.coefficients = weights_;
    if (!mean_) return;
    for (double& a : result.coefficients) a /= static_cast<double>(weights_.size());
  }

 private:
  std::vector<double> weights_;
  bool mean_;
};

// Desideri 2012, "Multiple-gradient descent algorithm"; Sener & Koltun 2018 (arXiv 1810.04650), section 3. With scales
// s_i, w minimises |sum w_i g_i / s_i| on the simplex.
//
// 1. By an active set, exact for any number of tasks; the released code's Frank-Wolfe is an option.
// 2. A scale of zero (a zero gradient, a zero loss) leaves its gradient as it is.
template <Scalar T>
class Mgda final : public TaskRule<T> {
 public:
  Mgda(const MgdaOptions& options, int tasks)
      : options_(options), program_(tasks), scaled_(static_cast<std::size_t>(tasks * tasks)) {}

  bool wants_losses() const noexcept override {
    return options_.scaling == MgdaOptions::Scaling::kLoss || options_.scaling == MgdaOptions::Scaling::kLossNorm;
  }

  void combine(TaskWork<T>& work) override {
    TaskCombination& result = work.result;
    const auto n = static_cast<std::size_t>(work.tasks());
    std::vector<double>& factors = factors_;
    factors.assign(n, 1.0);
    for (std::size_t i = 0; i < n; ++i) {
      double scale = 1;
      if (wants_losses()) scale *= work.given.losses[i];
      if (options_.scaling == MgdaOptions::Scaling::kNorm || options_.scaling == MgdaOptions::Scaling::kLossNorm) {
        scale *= result.norms[i];
      }
      const double factor = 1 / scale;
      // The reciprocal of a tiny scale may be infinite as well.
      factors[i] = std::isfinite(factor) ? factor : 1;
    }
    // One factor for all changes no weight, and keeps the products finite.
    const double largest = *std::max_element(factors.begin(), factors.end());
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        scaled_[i * n + j] = factors[i] / largest * work.q[i * n + j] * (factors[j] / largest);
      }
    }
    result.linear = result.weighted = true;
    result.weights.resize(n);
    if (options_.exact) {
      program_.solve(scaled_.data(), nullptr, result.weights);
    } else {
      program_.frank_wolfe(scaled_.data(), options_.max_iterations, options_.tolerance, result.weights);
    }
    result.coefficients = result.weights;
    for (std::size_t i = 0; options_.scaled_direction && i < n; ++i) result.coefficients[i] *= factors[i];
  }

 private:
  MgdaOptions options_;
  SimplexProgram program_;
  std::vector<double> scaled_, factors_;
};

// Liu et al. 2021 (arXiv 2110.14048): d maximises min_i g_i . d in the ball |d - g0| <= c |g0| around the mean g0. With
// gw = sum w_i g_i, b_i = g_i . g0 and k = c |g0|, the dual minimises b'w + k |gw| on the simplex, and
// d = g0 + k gw / |gw|.
//
// Solved to rounding rather than by a general optimizer: since k |gw| = min over s > 0 of k (|gw|^2 / s + s) / 2, the
// least over w for a fixed s is a quadratic program, w(s), and the right s is the one zero of |gw(s)| - s, which
// changes its sign there. Where gw = 0 the tasks admit no common descent, and d = g0.
template <Scalar T>
class CaGrad final : public TaskRule<T> {
 public:
  CaGrad(const TaskCombinerSpec& spec, int tasks)
      : options_(spec.ca_grad),
        sum_(!spec.mean),
        program_(tasks),
        slopes_(static_cast<std::size_t>(tasks)),
        linear_(static_cast<std::size_t>(tasks)) {}

  void combine(TaskWork<T>& work) override {
    TaskCombination& result = work.result;
    const auto n = static_cast<std::size_t>(work.tasks());
    const double count = static_cast<double>(n);
    double square = 0;
    for (std::size_t i = 0; i < n; ++i) {
      slopes_[i] = 0;
      for (std::size_t j = 0; j < n; ++j) slopes_[i] += work.q[i * n + j] / count;
      square += slopes_[i] / count;
    }
    const double mean_length = std::sqrt(std::max(square, 0.0));
    const double radius = options_.c * mean_length;
    result.linear = result.weighted = true;
    result.weights.assign(n, 1 / count);
    double pull = 0;  // k / |gw|
    if (radius > 0) {
      const double length = solve(work, radius, result.weights);
      if (length > 0) pull = radius / length;
    }
    double divisor = 1;
    switch (options_.rescale) {
      case CaGradOptions::Rescale::kNone: break;
      case CaGradOptions::Rescale::kLinear: divisor = 1 + options_.c; break;
      case CaGradOptions::Rescale::kSquared: divisor = 1 + options_.c * options_.c; break;
      case CaGradOptions::Rescale::kLengths: divisor = 1 + pull; break;
    }
    const double factor = (sum_ ? count : 1) / divisor;
    result.coefficients.resize(n);
    for (std::size_t i = 0; i < n; ++i) result.coefficients[i] = factor * (1 / count + pull * result.weights[i]);
  }

 private:
  // |gw| at w(s).
  double length_at(const TaskWork<T>& work, double s, double radius, std::span<double> w) {
    for (std::size_t i = 0; i < slopes_.size(); ++i) linear_[i] = s / radius * slopes_[i];
    program_.solve(work.q.data(), linear_.data(), w);
    return std::sqrt(quadratic_form(work.q.data(), w));
  }

  // |gw| at the dual's solution, 0 where it is not above rounding.
  double solve(const TaskWork<T>& work, double radius, std::span<double> w) {
    const std::vector<double>& norms = work.result.norms;
    // |gw| is at most the largest length. Downwards from there, since products of tiny gw are lost in rounding.
    double high = *std::max_element(norms.begin(), norms.end());
    double below = length_at(work, high, radius, w) - high;
    if (below >= 0) return high + below;
    double low = high, above = below;  // above is positive below the zero
    while (above < 0) {
      if (lost(low + above, norms, w)) return 0;
      high = low, below = above;
      low = high / 4;
      above = length_at(work, low, radius, w) - low;
    }
    // False position, the Illinois rule.
    double length = low + above;
    int last = 0;
    for (int k = 0; k < 200 && above != 0 && high - low > 4e-16 * high; ++k) {
      double s = low + (high - low) * (above / (above - below));
      if (!(s > low && s < high)) s = low + 0.5 * (high - low);
      if (!(s > low && s < high)) break;
      length = length_at(work, s, radius, w);
      const double gap = length - s;
      if (gap == 0) break;
      if (gap > 0) {
        low = s, above = gap;
        if (last > 0) below *= 0.5;
        last = 1;
      } else {
        high = s, below = gap;
        if (last < 0) above *= 0.5;
        last = -1;
      }
    }
    return lost(length, norms, w) ? 0 : length;
  }

  // The square of a sum of vectors is known to rounding of the squares of their lengths.
  static bool lost(double length, std::span<const double> norms, std::span<const double> w) noexcept {
    double sizes = 0;
    for (std::size_t i = 0; i < norms.size(); ++i) sizes += w[i] * norms[i];
    return !(length > 1e-7 * sizes);
  }

  CaGradOptions options_;
  bool sum_;
  SimplexProgram program_;
  std::vector<double> slopes_, linear_;
};

// Chen et al. 2018 (arXiv 1711.02257), algorithm 1. With n_i = |g_i| over the chosen elements, G_i = w_i n_i and
// r_i = (L_i / L_i(0)) / mean: the weights take a step down sum |G_i - mean(G) r_i^alpha|, in which the targets are
// constants, and are scaled to the sum T. The direction is made with the weights before that step.
//
// 1. Plain gradient descent on the weights.
// 2. Initial losses below 1e-12 count as that, weights below 1e-6 as that before they are scaled.
template <Scalar T>
class GradNorm final : public TaskRule<T> {
 public:
  GradNorm(const GradNormOptions& options, int tasks, std::int64_t size)
      : options_(options),
        weights_(static_cast<std::size_t>(tasks), 1.0),
        initial_(options.initial_losses),
        given_(!options.initial_losses.empty()) {
    if (options_.count < 0) options_.count = size - options_.first;
    initial_.resize(static_cast<std::size_t>(tasks));
    states_ = {{{"weights", {}, weights_}, {"initialLosses", {}, initial_}}};
  }

  bool wants_losses() const noexcept override { return true; }
  std::span<const TaskState<T>> states() noexcept override { return states_; }

  void combine(TaskWork<T>& work) override {
    TaskCombination& result = work.result;
    const auto n = static_cast<std::size_t>(work.tasks());
    const std::span<const double> losses = work.given.losses;
    result.linear = result.weighted = true;
    result.weights = result.coefficients = weights_;
    if (work.step == 0 && !given_) std::copy(losses.begin(), losses.end(), initial_.begin());

    std::vector<double>& norms = norms_;
    norms = result.norms;
    if (!work.part_norms.empty()) {
      norms.assign(work.part_norms.begin(), work.part_norms.end());
    } else if (options_.count < work.size) {
      auto& pairs = work.products.pairs();
      pairs.clear();
      for (const T* row : work.given.rows) pairs.emplace_back(row + options_.first, row + options_.first);
      work.products.compute(work.crew, work.threads, pairs, options_.count, norms.data());
      for (double& norm : norms) norm = std::sqrt(norm);
    }
    constexpr double kLeastLoss = 1e-12, kLeastWeight = 1e-6;
    std::vector<double>& rates = rates_;
    rates.resize(n);
    double mean_rate = 0, mean_norm = 0;
    for (std::size_t i = 0; i < n; ++i) {
      rates[i] = losses[i] / std::max(initial_[i], kLeastLoss);
      mean_rate += rates[i] / static_cast<double>(n);
      mean_norm += weights_[i] * norms[i] / static_cast<double>(n);
    }
    result.targets.resize(n), result.weight_gradient.resize(n);
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double rate = mean_rate > 0 ? rates[i] / mean_rate : 1;
      const double target = mean_norm * std::pow(rate, options_.alpha);
      const double gap = weights_[i] * norms[i] - target;
      result.targets[i] = target;
      result.balance_loss += std::abs(gap);
      result.weight_gradient[i] = gap > 0 ? norms[i] : gap < 0 ? -norms[i] : 0;
      weights_[i] = std::max(weights_[i] - options_.learning_rate * result.weight_gradient[i], kLeastWeight);
      sum += weights_[i];
    }
    for (double& w : weights_) w *= static_cast<double>(n) / sum;
    result.next_weights = weights_;
  }

 private:
  GradNormOptions options_;
  std::vector<double> weights_, initial_, norms_, rates_;
  std::array<TaskState<T>, 2> states_;
  bool given_;
};

}  // namespace

template <Scalar T>
std::unique_ptr<TaskRule<T>> make_weighted_sum(const TaskCombinerSpec& spec, int tasks) {
  return std::make_unique<WeightedSum<T>>(spec, tasks);
}
template <Scalar T>
std::unique_ptr<TaskRule<T>> make_mgda(const TaskCombinerSpec& spec, int tasks) {
  return std::make_unique<Mgda<T>>(spec.mgda, tasks);
}
template <Scalar T>
std::unique_ptr<TaskRule<T>> make_ca_grad(const TaskCombinerSpec& spec, int tasks) {
  return std::make_unique<CaGrad<T>>(spec, tasks);
}
template <Scalar T>
std::unique_ptr<TaskRule<T>> make_grad_norm(const TaskCombinerSpec& spec, int tasks, std::int64_t size) {
  return std::make_unique<GradNorm<T>>(spec.grad_norm, tasks, size);
}

template std::unique_ptr<TaskRule<float>> make_weighted_sum<float>(const TaskCombinerSpec&, int);
template std::unique_ptr<TaskRule<double>> make_weighted_sum<double>(const TaskCombinerSpec&, int);
template std::unique_ptr<TaskRule<float>> make_mgda<float>(const TaskCombinerSpec&, int);
template std::unique_ptr<TaskRule<double>> make_mgda<double>(const TaskCombinerSpec&, int);
template std::unique_ptr<TaskRule<float>> make_ca_grad<float>(const TaskCombinerSpec&, int);
template std::unique_ptr<TaskRule<double>> make_ca_grad<double>(const TaskCombinerSpec&, int);
template std::unique_ptr<TaskRule<float>> make_grad_norm<float>(const TaskCombinerSpec&, int, std::int64_t);
template std::unique_ptr<TaskRule<double>> make_grad_norm<double>(const TaskCombinerSpec&, int, std::int64_t);

}  // namespace krylov
