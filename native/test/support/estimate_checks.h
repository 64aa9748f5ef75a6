// What the tests of curvature estimates share.
#pragma once

#include <algorithm>
#include <cmath>

#include "krylov/estimates.h"
#include "support/comparison.h"
#include "support/point_cases.h"

namespace krylov::test {

inline double largest(const Values& x) {
  double m = 0;
  for (const double e : x) m = std::max(m, std::abs(e));
  return m;
}

// Within `relative` of the largest entry, or of `floor` where all are small.
inline void check_close(const std::string& what, const Values& got, const Values& want, double relative,
                        double floor = 1e-3) {
  REQUIRE(got.size() == want.size());
  Comparison comparison;
  const double bound = relative * std::max(largest(want), floor);
  for (std::size_t i = 0; i < got.size(); ++i) comparison.within(0, std::int64_t(i), got[i], want[i], bound);
  comparison.check(what);
}

// Mean and spread of independent draws, held against an expectation.
class Moments {
 public:
  void add(const Values& x) {
    sum_.resize(x.size()), squares_.resize(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) sum_[i] += x[i], squares_[i] += x[i] * x[i];
    ++count_;
  }
  Values mean() const {
    Values out = sum_;
    for (double& x : out) x /= count_;
    return out;
  }
  // Six standard errors: with thousands of elements a correct estimate fails once in 1e5 runs of the suite, and the
  // draws are the same in all of them.
  void check(const std::string& what, const Values& want) const {
    REQUIRE(sum_.size() == want.size());
    Comparison comparison;
    const Values got = mean();
    for (std::size_t i = 0; i < want.size(); ++i) {
      const double variance = std::max(0.0, squares_[i] / count_ - got[i] * got[i]);
      comparison.within(0, std::int64_t(i), got[i], want[i], 6 * std::sqrt(variance / count_) + 1e-10 * largest(want));
    }
    comparison.check(what);
  }

 private:
  Values sum_, squares_;
  double count_ = 0;
};

// Column by column, without l2.
inline Values dense_gauss_newton(const PointProblem& problem) {
  const PointTwin twin(problem);
  const std::size_t n = twin.size();
  Values matrix;
  for (std::size_t i = 0; i < n; ++i) {
    Values unit(n, 0.0);
    unit[i] = 1;
    Values column = twin.gauss_newton(problem.parameters, unit);
    column[i] -= problem.l2;
    matrix.insert(matrix.end(), column.begin(), column.end());
  }
  return matrix;
}
inline Values diagonal_of(const Values& matrix) {
  Values out;
  const auto n = static_cast<std::size_t>(std::lround(std::sqrt(double(matrix.size()))));
  for (std::size_t i = 0; i < n; ++i) out.push_back(matrix[i * n + i]);
  return out;
}

template <Scalar T>
Values diagonal(PointRun<T>& run, DiagonalKind kind, const Draws& draws = {}) {
  AlignedBuffer<T> out(static_cast<std::size_t>(run.network().arena_size()));
  for (T& x : out.span()) x = std::numeric_limits<T>::quiet_NaN();
  run.lead([&](Team& team) { CHECK(curvature_diagonal(run.point(), team, kind, draws, out.data()).ok()); });
  return run.flat(out);
}

template <Scalar T>
Values apply(PointRun<T>& run, LinearOperator<T>& op, const Values& v) {
  const AlignedBuffer<T> from = run.arena(v);
  AlignedBuffer<T> out(from.size());
  for (T& x : out.span()) x = std::numeric_limits<T>::quiet_NaN();
  run.lead([&](Team& team) { op.apply(team, from.data(), out.data()); });
  return run.flat(out);
}

inline bool has_norm(const std::vector<LayerSpec>& layers) {
  return std::any_of(layers.begin(), layers.end(), [](const LayerSpec& layer) {
    return layer.kind == LayerKind::kLayerNorm || has_norm(layer.layers);
  });
}
inline bool has_norm(const NetworkSpec& spec) {
  return has_norm(spec.layers) || std::any_of(spec.heads.begin(), spec.heads.end(),
                                              [](const HeadSpec& head) { return has_norm(head.layers); });
}
inline bool has_loss(const PointProblem& problem, Loss kind) {
  return std::any_of(problem.losses.begin(), problem.losses.end(),
                     [&](const LossSpec& loss) { return loss.kind == kind; });
}

}  // namespace krylov::test
