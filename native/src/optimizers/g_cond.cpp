// GCond: Limarenko, Studenikina 2025 (arXiv 2509.07252), after the released code of August 2025. Until none is left,
// the pair with the least cosine c below `weak` is resolved; then the sum of the gradients goes into a momentum,
// m <- b m + (1 - b) g, d = m / (1 - b^t).
//
// smooth: with an angle a(c) that grows from 0 at `weak` over pi/2 at `main` to pi at `critical`, winner w and loser l
// at once: g_w <- g_w - sin(a) (g_w . g_l) / (|g_l|^2 + e) g_l,
//          g_l <- g_l - sin(min(a, pi/2)) (g_w . g_l) / (|g_w|^2 + e) g_w.
// zones: below `critical` the loser becomes zero; below `main` it is projected off the winner; below `weak` both are,
// off each other.
//
// 1. In coefficients of the gradients as given, with products from C Q C'.
// 2. `tolerance` is taken off `weak` where the search ends: a pair just made orthogonal is no conflict again by
//    rounding.
// 3. Vectors have the type of the parameters, where the code has bfloat16.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "krylov/buffer.h"
#include "optimizers/task_rules.h"
#include "solvers/chunks.h"

namespace krylov {

namespace {

constexpr std::int64_t kBlock = 512;

template <Scalar T>
class GCond final : public TaskRule<T> {
 public:
  GCond(const GCondOptions& options, int tasks, std::int64_t size, std::vector<TaskPiece> pieces)
      : options_(options),
        pieces_(std::move(pieces)),
        previous_(static_cast<std::size_t>(tasks > 1 ? tasks * size : 0)),
        momentum_(static_cast<std::size_t>(size)),
        norm_ema_(static_cast<std::size_t>(tasks), 1.0),
        history_(static_cast<std::size_t>(options.window), -1.0) {
    tensor_squares_.resize(static_cast<std::size_t>(2 * (pieces_.back().tensor + 1)));
    if (options_.max_iterations == 0) options_.max_iterations = 2 * tasks;
    if (tasks > 1) states_.push_back({"previous", previous_.span(), {}});
    states_.push_back({"momentum", momentum_.span(), {}});
    if (tasks > 1) states_.push_back({"normEma", {}, norm_ema_});
    if (tasks > 1) states_.push_back({"history", {}, history_});
  }

  bool wants_parameters() const noexcept override { return options_.lion; }
  std::span<const TaskState<T>> states() noexcept override { return states_; }

  void combine(TaskWork<T>& work) override {
    const int n = work.tasks();
    c_.assign(static_cast<std::size_t>(n * n), 0.0);
    for (int i = 0; i < n; ++i) at(c_, i, i) = 1;
    stability_.clear();
    if (n > 1) resolve(work);
    TaskCombination& result = work.result;
    if (n > 1) {
      result.resolves = true;
      result.resolved_conflicts = cosines_of_products(products_, n, result.resolved_cosines);
    }
    sum_.assign(static_cast<std::size_t>(n), 0.0);
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < n; ++j) sum_[static_cast<std::size_t>(j)] += at(c_, i, j);
    }
    advance(work);
    if (options_.lion) scale_signs(work);
  }

 private:
  double& at(std::vector<double>& matrix, int i, int j) const noexcept {
    return matrix[static_cast<std::size_t>(i) * norm_ema_.size() + static_cast<std::size_t>(j)];
  }
  double square(int i) noexcept { return std::max(at(products_, i, i), 0.0); }

  void resolve(TaskWork<T>& work) {
    const int n = work.tasks();
    for (int i = 0; i < n; ++i) {
      const double norm = work.result.norms[static_cast<std::size_t>(i)];
      double& average = norm_ema_[static_cast<std::size_t>(i)];
      average = std::max(options_.norm_decay * average + (1 - options_.norm_decay) * norm, kLeastNorm);
      if (options_.norm_cap > 0 && norm > options_.norm_cap) {
        at(c_, i, i) = options_.norm_cap / (norm + options_.epsilon);
      }
    }
    products_of_combinations(c_, work.q, n, half_, products_);
    for (int k = 0; k < options_.max_iterations; ++k) {
      int first = -1, second = -1;
      double least = 0;
      for (int i = 0; i < n; ++i) {
        for (int j = i + 1; j < n; ++j) {
          if (square(i) < options_.epsilon || square(j) < options_.epsilon) continue;
          const double lengths = std::sqrt(square(i)) * std::sqrt(square(j));
          const double cosine = at(products_, i, j) / (lengths + options_.epsilon);
          if (first < 0 || cosine < least) first = i, second = j, least = cosine;
        }
      }
      if (first < 0 || !(least < options_.weak - options_.tolerance)) return;
      resolve_pair(work, first, second, least);
      products_of_combinations(c_, work.q, n, half_, products_);
    }
  }

  // row i <- row i - a row j
  void subtract(int i, double a, std::span<const double> row) noexcept {
    for (std::size_t k = 0; k < row.size(); ++k) at(c_, i, static_cast<int>(k)) -= a * row[k];
  }

  void resolve_pair(TaskWork<T>& work, int first, int second, double cosine) {
    using Zone = TaskResolution::Zone;
    TaskResolution event{first, second, cosine, -1, Zone::kSmooth, 0};
    const double e = options_.epsilon;
    const auto n = static_cast<std::size_t>(work.tasks());
    const auto row = [&](int i) {
      const auto begin = c_.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(i) * n);
      return std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(n));
    };
    if (options_.zones) {
      event.zone = cosine < options_.critical ? Zone::kCritical : cosine < options_.main ? Zone::kMain : Zone::kWeak;
    }
    if (event.zone == Zone::kWeak) {
      const double product = cosine * std::sqrt(square(first)) * std::sqrt(square(second));
      const std::vector<double> a = row(first), b = row(second);
      subtract(first, product / (square(second) + e), b);
      subtract(second, product / (square(first) + e), a);
      work.result.resolutions.push_back(event);
      return;
    }
    const int winner = arbitrate(work, first, second), loser = winner == first ? second : first;
    event.winner = winner;
    std::rotate(history_.begin(), history_.begin() + 1, history_.end());
    history_.back() = winner;
    const double product = at(products_, winner, loser);
    const std::vector<double> won = row(winner), lost = row(loser);
    double winners = 0, losers = 1;  // shares of the projections
    if (event.zone == Zone::kSmooth) {
      event.angle = angle(cosine);
      winners = std::sin(event.angle);
      losers = std::sin(std::min(event.angle, std::numbers::pi / 2));
    }
    if (event.zone == Zone::kCritical) {
      subtract(loser, 1, lost);
    } else {
      subtract(winner, winners * product / (square(loser) + e), lost);
      subtract(loser, losers * product / (square(winner) + e), won);
    }
    work.result.resolutions.push_back(event);
  }

  double angle(double c) const noexcept {
    constexpr double kQuarter = std::numbers::pi / 2;
    const double e = options_.epsilon;
    if (c >= options_.main) {
      const double t = std::clamp((c - options_.main) / (options_.weak - options_.main + e), 0.0, 1.0);
      return kQuarter * (1 - t);
    }
    if (c <= options_.critical) return std::numbers::pi;
    // The epsilon takes from a negative difference: just above `critical`, t would pass 1.
    const double t = std::min((c - options_.main) / (options_.critical - options_.main + e), 1.0);
    return kQuarter + kQuarter * std::pow(t, options_.remap_power);
  }

  int arbitrate(TaskWork<T>& work, int first, int second) {
    const double last = history_.back();
    const bool dominated = (last == first || last == second) &&
                           std::all_of(history_.begin(), history_.end(), [&](double won) { return won == last; });
    if (dominated) {
      const bool is_first = last == first;
      return is_first != options_.dominant_loses ? first : second;
    }
    const double a = strength(first), b = strength(second);
    const double sum = a + b + options_.epsilon;
    const double x = options_.stability_weight * stability(work, first) + options_.strength_weight * a / sum;
    const double y = options_.stability_weight * stability(work, second) + options_.strength_weight * b / sum;
    return y > x ? second : first;
  }

  double strength(int i) noexcept {
    return std::sqrt(square(i)) / (norm_ema_[static_cast<std::size_t>(i)] + options_.epsilon);
  }

  // The cosine of gradient i as resolved so far and its previous one, not below zero.
  double stability(TaskWork<T>& work, int i) {
    const int n = work.tasks();
    if (stability_.empty()) {
      // g_j . previous_k at [k, j], then |previous_k|^2
      auto& pairs = work.products.pairs();
      pairs.clear();
      for (int k = 0; k < n; ++k) {
        for (int j = 0; j < n; ++j) pairs.emplace_back(previous(work, k), work.given.rows[static_cast<std::size_t>(j)]);
      }
      for (int k = 0; k < n; ++k) pairs.emplace_back(previous(work, k), previous(work, k));
      stability_.resize(pairs.size());
      work.products.compute(work.crew, work.threads, pairs, work.size, stability_.data());
    }
    double product = 0;
    for (int j = 0; j < n; ++j) product += at(c_, i, j) * stability_[static_cast<std::size_t>(i * n + j)];
    const double before = std::sqrt(stability_[static_cast<std::size_t>(n * n + i)]);
    return std::max(0.0, product / (std::sqrt(square(i)) * before + options_.epsilon));
  }

  T* previous(const TaskWork<T>& work, int k) noexcept { return previous_.data() + k * work.size; }

  // Momentum, direction and the gradients that the next call calls previous, in one pass.
  void advance(TaskWork<T>& work) noexcept {
    const int n = work.tasks();
    const double keep = options_.momentum, take = 1 - options_.momentum;
    const double correction = 1 - std::pow(options_.momentum, static_cast<double>(work.step) + 1);
    each_chunk(work.crew, work.threads, work.size, [&](std::int64_t first, std::int64_t count) {
      double sums[kBlock];
      const auto combine = [&](const double* a, std::int64_t from, std::int64_t block) {
        std::fill_n(sums, block, 0.0);
        for (int k = 0; k < n; ++k) {
          if (a[k] == 0) continue;
          const T* row = work.given.rows[static_cast<std::size_t>(k)] + from;
          for (std::int64_t i = 0; i < block; ++i) sums[i] += a[k] * static_cast<double>(row[i]);
        }
      };
      for (std::int64_t from = first; from < first + count; from += kBlock) {
        const std::int64_t block = std::min(kBlock, first + count - from);
        combine(sum_.data(), from, block);
        for (std::int64_t i = 0; i < block; ++i) {
          const double m = keep * static_cast<double>(momentum_[static_cast<std::size_t>(from + i)]) + take * sums[i];
          momentum_[static_cast<std::size_t>(from + i)] = static_cast<T>(m);
          work.out[from + i] = static_cast<T>(m / correction);
        }
        for (int k = 0; n > 1 && k < n; ++k) {
          T* kept = previous(work, k) + from;
          if (options_.previous_resolved) {
            combine(c_.data() + k * n, from, block);
            for (std::int64_t i = 0; i < block; ++i) kept[i] = static_cast<T>(sums[i]);
          } else {
            std::memcpy(kept, work.given.rows[static_cast<std::size_t>(k)] + from,
                        static_cast<std::size_t>(block) * sizeof(T));
          }
        }
      }
    });
  }

  // d <- sign(d) scale min(|parameters| / |d|, most), tensor by tensor.
  void scale_signs(TaskWork<T>& work) noexcept {
    std::fill(tensor_squares_.begin(), tensor_squares_.end(), 0.0);
    auto& pairs = work.products.pairs();
    for (const TaskPiece& piece : pieces_) {
      const T* d = work.out + piece.first;
      const T* p = work.given.parameters + piece.first;
      double squares[2];
      pairs.clear();
      pairs.emplace_back(p, p);
      pairs.emplace_back(d, d);
      work.products.compute(work.crew, work.threads, pairs, piece.length, squares);
      for (std::size_t k = 0; k < 2; ++k) tensor_squares_[2 * static_cast<std::size_t>(piece.tensor) + k] += squares[k];
    }
    for (const TaskPiece& piece : pieces_) {
      const double* squares = tensor_squares_.data() + 2 * piece.tensor;
      T* d = work.out + piece.first;
      const double size = std::sqrt(squares[0]), step = std::sqrt(squares[1]);
      const bool tiny = size < options_.epsilon || step < options_.epsilon;
      const double ratio = tiny ? 1 : std::min(size / step, options_.lion_max_ratio);
      const T rate = static_cast<T>(options_.lion_scale * ratio);
      each_chunk(work.crew, work.threads, piece.length, [&](std::int64_t from, std::int64_t count) {
        for (std::int64_t i = from; i < from + count; ++i) d[i] = d[i] > 0 ? rate : d[i] < 0 ? -rate : T(0);
      });
    }
  }

  static constexpr double kLeastNorm = 1e-8;

  GCondOptions options_;
  std::vector<TaskPiece> pieces_;
  AlignedBuffer<T> previous_, momentum_;
  std::vector<double> norm_ema_, history_;
  std::vector<TaskState<T>> states_;
  std::vector<double> c_, products_, half_, sum_, stability_;
  std::vector<double> tensor_squares_;  // of parameters and direction
};

}  // namespace

template <Scalar T>
std::unique_ptr<TaskRule<T>> make_g_cond(const TaskCombinerSpec& spec, int tasks, std::int64_t size,
                                         std::vector<TaskPiece> pieces) {
  return std::make_unique<GCond<T>>(spec.g_cond, tasks, size, std::move(pieces));
}

template std::unique_ptr<TaskRule<float>> make_g_cond<float>(const TaskCombinerSpec&, int, std::int64_t,
                                                             std::vector<TaskPiece>);
template std::unique_ptr<TaskRule<double>> make_g_cond<double>(const TaskCombinerSpec&, int, std::int64_t,
                                                               std::vector<TaskPiece>);

}  // namespace krylov
