// Gradients of several tasks: the quadratic program against all supports, the bits against the number of threads.
#include "krylov/task_gradients.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "krylov/rng.h"
#include "optimizers/simplex.h"
#include "solvers/dense.h"

namespace krylov {
namespace {

using Values = std::vector<double>;

Values normals(std::int64_t count, std::uint64_t seed) {
  Values values(static_cast<std::size_t>(count));
  fill_normal(seed, Stream::kProbe, 0, 0, values);
  return values;
}

double objective(const Values& q, const Values& r, const Values& w) {
  double sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    sum += r[i] * w[i];
    for (std::size_t j = 0; j < w.size(); ++j) sum += 0.5 * w[i] * q[i * w.size() + j] * w[j];
  }
  return sum;
}

// The least over every support by its bordered system, Gaussian elimination with row exchanges.
double least_of_supports(const Values& q, const Values& r) {
  const std::size_t n = r.size();
  double least = std::numeric_limits<double>::infinity();
  for (unsigned support = 1; support < 1u << n; ++support) {
    std::vector<std::size_t> in;
    for (std::size_t i = 0; i < n; ++i) {
      if (support >> i & 1u) in.push_back(i);
    }
    const std::size_t m = in.size() + 1;
    std::vector<Values> rows(m, Values(m + 1, 1.0));
    for (std::size_t i = 0; i + 1 < m; ++i) {
      for (std::size_t j = 0; j + 1 < m; ++j) rows[i][j] = q[in[i] * n + in[j]];
      rows[i][m] = -r[in[i]];
    }
    rows[m - 1][m - 1] = 0;
    bool regular = true;
    for (std::size_t k = 0; k < m && regular; ++k) {
      std::size_t pivot = k;
      for (std::size_t i = k + 1; i < m; ++i) {
        if (std::abs(rows[i][k]) > std::abs(rows[pivot][k])) pivot = i;
      }
      std::swap(rows[k], rows[pivot]);
      regular = std::abs(rows[k][k]) > 1e-10;
      for (std::size_t i = 0; i < m && regular; ++i) {
        const double factor = i == k ? 0 : rows[i][k] / rows[k][k];
        for (std::size_t j = k; j <= m && i != k; ++j) rows[i][j] -= factor * rows[k][j];
      }
    }
    if (!regular) continue;
    Values w(n, 0.0);
    bool inside = true;
    for (std::size_t i = 0; i + 1 < m; ++i) {
      w[in[i]] = rows[i][m] / rows[i][i];
      inside = inside && w[in[i]] >= -1e-12;
    }
    if (inside) least = std::min(least, objective(q, r, w));
  }
  return least;
}

}  // namespace

TEST_CASE("simplex program: no support does better") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const auto n = static_cast<std::int64_t>(1 + seed % 8), dimensions = static_cast<std::int64_t>(1 + seed % 5);
    Values g = normals(n * dimensions, seed);
    // Some of it duplicated, and some far away.
    if (n > 2 && seed % 3 == 0) std::copy_n(g.begin(), dimensions, g.begin() + dimensions);
    if (n > 3 && seed % 4 == 0) g[static_cast<std::size_t>(2 * dimensions)] *= 1e4;
    Values q(static_cast<std::size_t>(n * n)), r(static_cast<std::size_t>(n)), h = normals(dimensions, seed + 1000);
    if (seed % 2 == 0) std::fill(h.begin(), h.end(), 0.0);
    multiply_by_transposed(g.data(), h.data(), r.data(), n, dimensions, 1);
    multiply_by_transposed(g.data(), g.data(), q.data(), n, dimensions, n);
    SimplexProgram program(n);
    Values w(static_cast<std::size_t>(n));
    program.solve(q.data(), r.data(), w);
    CAPTURE(seed);
    double sum = 0;
    for (const double x : w) {
      CHECK(x >= 0);
      sum += x;
    }
    CHECK(std::abs(sum - 1) < 1e-12);
    const double best = least_of_supports(q, r);
    CHECK(std::abs(objective(q, r, w) - best) <= 1e-10 * (1 + std::abs(best)));
  }
}

TEST_CASE_TEMPLATE("task gradients: the same bits for one thread and for three", T, float, double) {
  constexpr std::int64_t kSize = 150'001;
  constexpr int kTasks = 3;
  const Values numbers = normals(kTasks * kSize, 7);
  std::vector<T> gradients(numbers.begin(), numbers.end());
  // The first two oppose each other.
  for (std::size_t i = 0; i < kSize; ++i) gradients[kSize + i] -= gradients[i];
  const T* rows[kTasks] = {gradients.data(), gradients.data() + kSize, gradients.data() + 2 * kSize};
  const Values losses{1, 2, 3};
  for (int method = 0; method <= static_cast<int>(TaskMethod::kGCond); ++method) {
    TaskCombinerSpec spec;
    spec.method = static_cast<TaskMethod>(method);
    CAPTURE(method);
    std::vector<std::vector<T>> results;
    for (const int threads : {1, 3}) {
      std::unique_ptr<TaskCombiner<T>> combiner;
      REQUIRE(TaskCombiner<T>::create(spec, kTasks, kSize, {}, combiner).ok());
      struct Turn {
        TaskCombiner<T>& combiner;
        TaskGradients<T> given;
        std::vector<T> out;
        int threads;
        bool ok;
      } turn{*combiner, {rows, losses, nullptr}, std::vector<T>(kSize), threads, true};
      Team team;
      team.serve(
          threads,
          [](void* context, Team& serving) noexcept {
            Turn& t = *static_cast<Turn*>(context);
            for (int step = 0; step < 3; ++step) {
              TaskCombination result;
              t.ok = t.ok && t.combiner.combine(serving, t.threads, t.given, t.out.data(), result).ok();
            }
          },
          &turn);
      CHECK(turn.ok);
      results.push_back(std::move(turn.out));
    }
    CHECK(results[0] == results[1]);
    CHECK(std::any_of(results[0].begin(), results[0].end(), [](T x) { return x != 0; }));
  }
}

TEST_CASE("task gradients: what create refuses") {
  std::unique_ptr<TaskCombiner<double>> combiner;
  const auto refused = [&](const TaskCombinerSpec& spec, std::int64_t tasks, std::int64_t size,
                           std::vector<std::int64_t> tensors) {
    return std::string(TaskCombiner<double>::create(spec, tasks, size, std::move(tensors), combiner).argument);
  };
  TaskCombinerSpec spec;
  CHECK(refused(spec, 0, 3, {}) == "tasks");
  CHECK(refused(spec, kMostTasks + 1, 3, {}) == "tasks");
  CHECK(refused(spec, 2, 0, {}) == "parameterCount");
  CHECK(refused(spec, 2, 3, {1, 1}) == "tensors");
  CHECK(refused(spec, 2, 3, {4}) == "tensors");
  spec.weights = {1};
  CHECK(refused(spec, 2, 3, {}) == "weights");
  spec = {};
  spec.method = TaskMethod::kPcGrad;
  spec.pc_grad.order = PcGradOptions::Order::kGiven;
  spec.pc_grad.orders = {{1}, {2}};
  CHECK(refused(spec, 2, 3, {}) == "order");
  CHECK(combiner == nullptr);
}

}  // namespace krylov
