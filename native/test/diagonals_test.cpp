// Diagonals of curvature, and products and gradients with labels drawn from the
// model: against dense matrices and plain recursions, and against their
// expectations.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "support/estimate_checks.h"
#include "support/layerwise_twin.h"

namespace krylov::test {
namespace {

constexpr std::int64_t kRows = 9;

template <Scalar T>
constexpr double kTolerance = sizeof(T) == 8 ? 1e-10 : 1e-4;

bool small(const PointProblem& problem) { return problem.parameters.size() < 150; }

TEST_CASE_TEMPLATE("the Gauss-Newton diagonal is that of the dense matrix", T, float, double) {
  for (const PointProblem& problem : point_problems(kRows)) {
    if (!small(problem)) continue;
    CAPTURE(problem.name);
    const Values want = diagonal_of(dense_gauss_newton(problem));
    PointRun<T> run(problem, kRows);
    check_close("whole", diagonal(run, DiagonalKind::kGaussNewton), want, kTolerance<T>);
    PointRun<T> parts(problem, 4);
    check_close("in parts", diagonal(parts, DiagonalKind::kGaussNewton), want, kTolerance<T>);
  }
}

TEST_CASE_TEMPLATE("the empirical Fisher diagonal is the mean square of the gradients", T, float, double) {
  for (const PointProblem& problem : point_problems(kRows)) {
    CAPTURE(problem.name);
    PointRun<T> run(problem, kRows);
    const Values want = PointTwin(problem).squares(problem.parameters);
    check_close("squares", diagonal(run, DiagonalKind::kEmpiricalFisher), want, kTolerance<T>);
  }
}

TEST_CASE_TEMPLATE("layer-wise diagonals follow their recursions", T, float, double) {
  for (const PointProblem& problem : point_problems(kRows)) {
    CAPTURE(problem.name);
    for (const bool curved : {false, true}) {
      const DiagonalKind kind = curved ? DiagonalKind::kBeckerLeCun : DiagonalKind::kGaussNewtonLeCun;
      PointRun<T> run(problem, kRows), parts(problem, 4);
      if (has_norm(problem.spec)) {
        AlignedBuffer<T> unused(static_cast<std::size_t>(run.network().arena_size()));
        run.lead([&](Team& team) {
          const Status s = curvature_diagonal(run.point(), team, kind, {}, unused.data());
          CHECK(s.code == ErrorCode::kOption);
        });
        continue;
      }
      const Values want = LayerwiseTwin(problem, curved).diagonal();
      check_close("whole", diagonal(run, kind), want, kTolerance<T>);
      check_close("in parts", diagonal(parts, kind), want, kTolerance<T>);
    }
  }
}

TEST_CASE("without hidden layers the layer-wise diagonal is exact") {
  SpecCase one{"one layer", {}, true};
  one.spec.inputs = 4;
  one.spec.layers = {dense(3)};
  const PointProblem problem = point_problem(one, 3, kRows);
  PointRun<double> run(problem, kRows);
  check_close("one layer", diagonal(run, DiagonalKind::kBeckerLeCun), diagonal(run, DiagonalKind::kGaussNewton), 1e-12);
}

TEST_CASE("sampled Gauss-Newton diagonals have the exact one as their mean") {
  for (const PointProblem& problem : point_problems(kRows)) {
    if (problem.parameters.size() > 60) continue;
    CAPTURE(problem.name);
    PointRun<double> run(problem, kRows);
    Moments moments;
    constexpr std::int64_t kDraws = 150;
    for (std::int64_t d = 0; d < kDraws; ++d) {
      moments.add(diagonal(run, DiagonalKind::kSampledGaussNewton, {1, 5, static_cast<std::uint64_t>(7 + d)}));
    }
    moments.check("signs", diagonal(run, DiagonalKind::kGaussNewton));
    check_close("draws of one call", diagonal(run, DiagonalKind::kSampledGaussNewton, {kDraws, 5, 7}), moments.mean(),
                1e-12);
    PointRun<double> parts(problem, 2);
    check_close("in parts", diagonal(parts, DiagonalKind::kSampledGaussNewton, {3, 5, 7}),
                diagonal(run, DiagonalKind::kSampledGaussNewton, {3, 5, 7}), 1e-12);
  }
}

TEST_CASE("a single output needs one draw of signs") {
  SpecCase one{"single output", {}, true};
  one.spec.inputs = 4;
  one.spec.layers = {dense(6, Activation::kTanh), dense(1)};
  for (const std::size_t turn : {0, 2}) {
    const PointProblem problem = point_problem(one, turn, kRows);
    PointRun<double> run(problem, kRows);
    check_close("signs", diagonal(run, DiagonalKind::kSampledGaussNewton, {1, 3, 0}),
                diagonal(run, DiagonalKind::kGaussNewton), 1e-12);
  }
}

// The mean of products over draws is the Gauss-Newton product, whatever weights, masses and divisors there are.
TEST_CASE("products and gradients with drawn labels have the Gauss-Newton matrix as their mean") {
  int tried = 0;
  for (const PointProblem& problem : point_problems(kRows)) {
    if (problem.parameters.size() > 60) continue;
    CAPTURE(problem.name);
    PointRun<double> run(problem, kRows);
    const std::shared_ptr<NetworkPoint<double>> point(&run.point(), [](auto*) {});
    std::shared_ptr<LinearOperator<double>> op;
    if (has_loss(problem, Loss::kHuber)) {
      CHECK(sampled_fisher_operator(point, {1, 1, 0}, op).code == ErrorCode::kOption);
      continue;
    }
    ++tried;
    const Values v = random_values(problem.parameters.size(), 91);
    Moments products, gradients;
    constexpr std::int64_t kDraws = 200;
    for (std::int64_t d = 0; d < kDraws; ++d) {
      const Draws draws{1, 11, static_cast<std::uint64_t>(d)};
      REQUIRE(sampled_fisher_operator(point, draws, op).ok());
      products.add(apply(run, *op, v));
      AlignedBuffer<double> g(static_cast<std::size_t>(run.network().arena_size()));
      run.lead([&](Team& team) { CHECK(sampled_gradient(run.point(), team, draws, g.data()).ok()); });
      Values square = run.flat(g);
      for (double& x : square) x = double(kRows) * x * x;
      gradients.add(square);
    }
    products.check("products", run.product(Curvature::kGaussNewton, v));
    gradients.check("squared gradients", diagonal(run, DiagonalKind::kGaussNewton));
    REQUIRE(sampled_fisher_operator(point, {kDraws, 11, 0}, op).ok());
    check_close("draws of one operator", apply(run, *op, v), products.mean(), 1e-12);
    check_close("once more", apply(run, *op, v), products.mean(), 1e-12);
  }
  CHECK(tried > 5);
}

TEST_CASE_TEMPLATE("drawn labels do not depend on parts, threads and dtype", T, float, double) {
  for (const PointProblem& problem : point_problems(kRows)) {
    if (has_loss(problem, Loss::kHuber)) continue;
    CAPTURE(problem.name);
    const Values v = random_values(problem.parameters.size(), 92);
    Values want, one_thread;
    {
      PointRun<double> run(problem, kRows);
      const std::shared_ptr<NetworkPoint<double>> point(&run.point(), [](auto*) {});
      std::shared_ptr<LinearOperator<double>> op;
      REQUIRE(sampled_fisher_operator(point, {2, 3, 1}, op).ok());
      want = apply(run, *op, v);
    }
    for (const std::int64_t max_rows : {kRows, std::int64_t{4}}) {
      for (const int threads : {1, 2, 3}) {
        PointRun<T> run(problem, max_rows, threads);
        const std::shared_ptr<NetworkPoint<T>> point(&run.point(), [](auto*) {});
        std::shared_ptr<LinearOperator<T>> op;
        REQUIRE(sampled_fisher_operator(point, {2, 3, 1}, op).ok());
        const Values got = apply(run, *op, v);
        check_close("product", got, want, sizeof(T) == 8 ? 1e-12 : 1e-3);
        if (threads == 1) one_thread = got;
        CHECK((got == one_thread));
      }
    }
  }
}

// With one sample the gradient is that of the loss for one of the labels, as often as the model says.
TEST_CASE("a drawn class gives the gradient of that class") {
  SpecCase one{"three classes", {}, true};
  one.spec.inputs = 4;
  one.spec.layers = {dense(5, Activation::kTanh), dense(3)};
  PointProblem problem = point_problem(one, 3, 1);
  problem.l2 = 0;
  problem.table.weights.clear();
  REQUIRE(problem.losses[0].class_targets);
  const PointTwin twin(problem);
  std::vector<Values> candidates;
  Values counts(3, 0.0), probabilities(3, 0.0);
  const reference::ReferenceNetwork<double> network(problem.spec);
  const Values input = twin.input(0);
  const Values o = network.forward({problem.parameters, input})[0];
  double total = 0;
  for (int k = 0; k < 3; ++k) total += std::exp(o[std::size_t(k)]);
  for (int k = 0; k < 3; ++k) {
    probabilities[std::size_t(k)] = std::exp(o[std::size_t(k)]) / total;
    PointProblem labelled = problem;
    labelled.table.targets[0].labels[0] = k;
    candidates.push_back(PointTwin(labelled).gradient(problem.parameters));
  }
  PointRun<double> run(problem, 1);
  AlignedBuffer<double> g(static_cast<std::size_t>(run.network().arena_size()));
  constexpr int kDraws = 600;
  for (int d = 0; d < kDraws; ++d) {
    run.lead([&](Team& team) {
      CHECK(sampled_gradient(run.point(), team, {1, 2, static_cast<std::uint64_t>(d)}, g.data()).ok());
    });
    const Values got = run.flat(g);
    int found = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      double distance = 0;
      for (std::size_t i = 0; i < got.size(); ++i) distance = std::max(distance, std::abs(got[i] - candidates[k][i]));
      if (distance < 1e-12) ++found, counts[k] += 1;
    }
    CHECK(found == 1);
  }
  for (std::size_t k = 0; k < 3; ++k) {
    const double p = probabilities[k];
    CHECK(std::abs(counts[k] / kDraws - p) <= 5 * std::sqrt(p * (1 - p) / kDraws));
  }
}

TEST_CASE("estimates refuse what they cannot serve") {
  SpecCase one{"one layer", {}, true};
  one.spec.inputs = 3;
  one.spec.layers = {dense(2)};
  PointProblem problem = point_problem(one, 0, kRows);
  PointRun<double> fine(problem, kRows);
  problem.losses[0] = loss_spec(Loss::kMeanAbsoluteError);
  PointRun<double> absolute(problem, kRows);
  AlignedBuffer<double> out(static_cast<std::size_t>(fine.network().arena_size()));
  KroneckerFactors factors;
  fine.lead([&](Team& team) {
    CHECK(curvature_diagonal(fine.point(), team, DiagonalKind::kSampledGaussNewton, {0, 0, 0}, out.data()).code ==
          ErrorCode::kOption);
    CHECK(kronecker_factors(fine.point(), team, true, {0, 0, 0}, factors).code == ErrorCode::kOption);
  });
  absolute.lead([&](Team& team) {
    for (const DiagonalKind kind :
         {DiagonalKind::kGaussNewton, DiagonalKind::kSampledGaussNewton, DiagonalKind::kBeckerLeCun}) {
      CHECK(curvature_diagonal(absolute.point(), team, kind, {}, out.data()).code == ErrorCode::kOption);
    }
    CHECK(curvature_diagonal(absolute.point(), team, DiagonalKind::kEmpiricalFisher, {}, out.data()).ok());
    CHECK(kronecker_factors(absolute.point(), team, false, {}, factors).code == ErrorCode::kOption);
    CHECK(sampled_gradient(absolute.point(), team, {}, out.data()).code == ErrorCode::kOption);
  });
}

}  // namespace
}  // namespace krylov::test
