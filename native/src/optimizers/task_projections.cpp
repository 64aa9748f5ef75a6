// PCGrad: Yu et al. 2020 (arXiv 2001.06782), algorithm 1. For each task p = g_i visits the others in turn, and where
// p . g_j < 0, p <- p - (p . g_j) / |g_j|^2 g_j with the g_j as given. The direction is the sum of the p.
//
// In coefficients: p = sum c_j g_j, and its products with the gradients are the entries of Q c, so that no long vector
// is touched until the sum.
#include <numeric>

#include "krylov/rng.h"
#include "optimizers/task_rules.h"

namespace krylov {

namespace {

template <Scalar T>
class PcGrad final : public TaskRule<T> {
 public:
  PcGrad(const TaskCombinerSpec& spec, int tasks)
      : options_(spec.pc_grad), mean_(spec.mean), tasks_(static_cast<std::size_t>(tasks)) {}

  void combine(TaskWork<T>& work) override {
    const int n = work.tasks();
    const auto size = static_cast<std::size_t>(n);
    std::vector<double>&c = c_, &products = products_;
    c.assign(size * size, 0.0), products.resize(size);
    RandomSequence random(options_.seed, Stream::kTaskOrder, static_cast<std::uint64_t>(work.step));
    for (int i = 0; i < n; ++i) {
      double* own = c.data() + i * n;
      own[i] = 1;
      for (int j = 0; j < n; ++j) products[static_cast<std::size_t>(j)] = work.product(i, j);
      for (const std::uint32_t other : visits(i, random)) {
        const int j = static_cast<int>(other);
        const double product = products[other];
        const double square = work.product(j, j);
        if (!(product < 0) || !(square > 0)) continue;
        const double share = product / square;
        own[j] -= share;
        for (int k = 0; k < n; ++k) products[static_cast<std::size_t>(k)] -= share * work.product(j, k);
        products[other] = 0;
      }
    }
    TaskCombination& result = work.result;
    result.linear = result.resolves = true;
    result.coefficients.assign(size, 0.0);
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t j = 0; j < size; ++j) result.coefficients[j] += c[i * size + j] / (mean_ ? n : 1);
    }
    products_of_combinations(c, work.q, n, half_, resolved_);
    result.resolved_conflicts = cosines_of_products(resolved_, n, result.resolved_cosines);
  }

 private:
  std::span<const std::uint32_t> visits(int task, RandomSequence& random) {
    if (options_.order == PcGradOptions::Order::kGiven) return options_.orders[static_cast<std::size_t>(task)];
    order_.resize(tasks_);
    std::iota(order_.begin(), order_.end(), 0u);
    if (!options_.include_self) order_.erase(order_.begin() + task);
    if (options_.order == PcGradOptions::Order::kRandom) {
      // Fisher-Yates.
      for (std::size_t k = order_.size(); k > 1; --k) {
        std::swap(order_[k - 1], order_[random.below(static_cast<std::uint32_t>(k))]);
      }
    }
    return order_;
  }

  PcGradOptions options_;
  bool mean_;
  std::size_t tasks_;
  std::vector<std::uint32_t> order_;
  std::vector<double> c_, products_, half_, resolved_;
};

}  // namespace

template <Scalar T>
std::unique_ptr<TaskRule<T>> make_pc_grad(const TaskCombinerSpec& spec, int tasks) {
  return std::make_unique<PcGrad<T>>(spec, tasks);
}

template std::unique_ptr<TaskRule<float>> make_pc_grad<float>(const TaskCombinerSpec&, int);
template std::unique_ptr<TaskRule<double>> make_pc_grad<double>(const TaskCombinerSpec&, int);

}  // namespace krylov
