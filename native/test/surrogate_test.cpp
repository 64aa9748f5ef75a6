// Sign and step units: the kernels of every set against the definitions, networks with them against the twin, and what
// such networks refuse.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "reference/bounded.h"
#include "support/kernel_cases.h"
#include "support/point_cases.h"

namespace krylov {
namespace {

using test::Comparison;
using test::Grid;
using test::padded;
using test::PointProblem;
using test::PointRun;
using test::PointTwin;
using test::Values;

std::vector<ActivationSpec> surrogate_cases() {
  std::vector<ActivationSpec> all;
  for (const Activation kind : {Activation::kSign, Activation::kStep}) {
    for (int s = 0; s < kSurrogateCount; ++s) {
      for (const double beta : {0.5, 1.0, 3.0}) all.push_back({kind, beta, static_cast<Surrogate>(s)});
    }
  }
  return all;
}

std::string name_of(const ActivationSpec& act) {
  return std::string(act.kind == Activation::kSign ? "sign" : "step") + ", surrogate " +
         std::to_string(static_cast<int>(act.surrogate)) + ", beta " + std::to_string(act.parameter);
}

TEST_CASE_TEMPLATE("signs and steps are exact, their surrogates within bounds of the definitions", T, float, double) {
  using reference::Bounded;
  Bounded::unit = test::gamma<T>(1) + test::gamma<double>(1);
  constexpr std::int64_t rows = 9, columns = 113;
  Grid<T> z(rows, columns, padded<T>(columns));
  // From -28 to 28 unevenly, 0 among them.
  z.set([](std::int64_t r, std::int64_t c) { return std::pow((double(r * columns + c) - 508) / 508.0, 3) * 28; });
  z.at(0, 0) = T(-0.0), z.at(0, 1) = T(1e30), z.at(0, 2) = T(-1e30), z.at(0, 3) = std::numeric_limits<T>::min();
  z.at(0, 4) = -std::numeric_limits<T>::infinity(), z.at(0, 5) = T(1), z.at(0, 6) = T(-2);
  int zeros = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) zeros += z.at(r, c) == 0;
  }
  CHECK(zeros == 2);
  test::for_each_set<T>([&](const KernelTable<T>& k) {
    for (const ActivationSpec& act : surrogate_cases()) {
      const std::int64_t ld = padded<T>(columns);
      Grid<T> a(rows, columns, ld), slope(rows, columns, ld), in_place(rows, columns, ld), delta(rows, columns, ld);
      k.activate(act, z.data(), ld, a.data(), ld, slope.data(), ld, rows, columns);
      in_place.set([&](std::int64_t r, std::int64_t c) { return z.at(r, c); });
      Grid<T> slope_in_place(rows, columns, ld);
      k.activate(act, in_place.data(), ld, in_place.data(), ld, slope_in_place.data(), ld, rows, columns);
      delta.set([](auto, auto) { return 1; });
      k.multiply_slope(act, slope.data(), ld, delta.data(), ld, rows, columns);
      Comparison comparison;
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < columns; ++c) {
          const double at = double(z.at(r, c));
          comparison.equal(r, c, double(a.at(r, c)), reference::activate(act, at));
          comparison.equal(r, c, double(in_place.at(r, c)), reference::activate(act, at));
          comparison.equal(r, c, double(slope_in_place.at(r, c)), double(slope.at(r, c)));
          const double want = reference::activation_slope(act, at);
          // Bounds grow with z, surrogates do not.
          const double error = activation_slope(act, Bounded(std::min(1.0, std::max(-1.0, at)))).error;
          comparison.within(r, c, double(delta.at(r, c)), want, error);
        }
      }
      comparison.check(name_of(act));
    }
  });
}

TEST_CASE_TEMPLATE("signs and steps keep a NaN", T, float, double) {
  test::for_each_set<T>([&](const KernelTable<T>& k) {
    for (const ActivationSpec& act : surrogate_cases()) {
      Grid<T> z(1, kPanel<T>, kPanel<T>), slope(1, kPanel<T>, kPanel<T>);
      z.fill(std::numeric_limits<T>::quiet_NaN());
      k.activate(act, z.data(), kPanel<T>, z.data(), kPanel<T>, slope.data(), kPanel<T>, 1, kPanel<T>);
      int kept = 0;
      for (std::int64_t c = 0; c < kPanel<T>; ++c) kept += std::isnan(z.at(0, c));
      CHECK_MESSAGE(kept == kPanel<T>, name_of(act));
    }
  });
}

// The epilogues equal the separate kernels on the plain product, to the bit.
TEST_CASE_TEMPLATE("fused signs and steps equal the kernels they fuse", T, float, double) {
  test::Random random(13);
  constexpr std::int64_t depth = 7, rows = 11, columns = 37;
  const std::int64_t ld = padded<T>(columns, kPanel<T>);
  Grid<T> a(rows, depth, depth + 1), saved(rows, ld, ld);
  a.set([&](auto, auto) { return random.uniform(); });
  saved.set([&](auto, auto) { return random.uniform(); });
  const auto panels =
      test::make_panels<T>(depth + 1, columns, depth + 1, [&](auto, auto) { return random.uniform(); });
  test::for_each_set<T>([&](const KernelTable<T>& k) {
    for (const ActivationSpec& act : surrogate_cases()) {
      Grid<T> z(rows, columns, ld), fused(rows, columns, ld), slope(rows, columns, ld + 1);
      Grid<T> separate(rows, columns, ld), separate_slope(rows, columns, ld + 1), bare(rows, columns, ld);
      PanelProduct<T> p{};
      p.a = a.data(), p.lda = a.ld(), p.rows = rows, p.depth = depth;
      p.b = panels.data(), p.panel_rows = depth + 1, p.columns = columns;
      p.bias = panels.data() + depth * kPanel<T>, p.bias_stride = (depth + 1) * kPanel<T>;
      p.epilogue = Epilogue::kBiasActivation;
      p.c = z.data(), p.ldc = ld;
      k.panel_product(p);
      p.activation = act;
      p.c = bare.data();
      k.panel_product(p);
      p.c = fused.data(), p.slope = slope.data(), p.ld_slope = slope.ld();
      k.panel_product(p);
      k.activate(act, z.data(), ld, separate.data(), ld, separate_slope.data(), separate_slope.ld(), rows, columns);
      Grid<T> gradient(rows, columns, ld), product(rows, columns, ld);
      p.slope = nullptr, p.bias = nullptr;
      p.epilogue = Epilogue::kStore;
      p.c = product.data();
      k.panel_product(p);
      k.multiply_slope(act, saved.data(), ld, product.data(), ld, rows, columns);
      p.epilogue = Epilogue::kActivationGradient;
      p.saved = saved.data(), p.ld_saved = ld;
      p.c = gradient.data();
      k.panel_product(p);
      Comparison comparison;
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t j = 0; j < columns; ++j) {
          comparison.equal(r, j, double(fused.at(r, j)), double(separate.at(r, j)));
          comparison.equal(r, j, double(bare.at(r, j)), double(separate.at(r, j)));
          comparison.equal(r, j, double(slope.at(r, j)), double(separate_slope.at(r, j)));
          comparison.equal(r, j, double(gradient.at(r, j)), double(product.at(r, j)));
        }
      }
      comparison.check(name_of(act));
    }
  });
}

// Two layers of such units, one of them in a block, and a normalisation. Numbers of the first layer are multiples of
// 1/64, so that its sums are exact in float32 too and no sign depends on a rounding.
PointProblem network_problem(const ActivationSpec& act, bool block) {
  LayerSpec units = test::dense(13), narrow = test::dense(6);
  units.activation = narrow.activation = act;
  test::SpecCase spec;
  spec.name = name_of(act);
  spec.spec.inputs = 5;
  if (block) {
    spec.spec.layers = {units, test::residual({narrow, test::dense(13, Activation::kTanh)}), test::layer_norm(),
                        test::dense(3)};
  } else {
    spec.spec.layers = {units, narrow, test::dense(3)};
  }
  spec.smooth = false;
  PointProblem problem = test::point_problem(spec, 0, 9);
  for (double& x : problem.table.inputs) x = std::round(64 * x) / 64;
  for (double& p : problem.parameters) p = (std::round(64 * p) + 0.5) / 64;
  return problem;
}

TEST_CASE_TEMPLATE("gradients of networks of signs and steps equal those of the twin", T, float, double) {
  for (const ActivationSpec& act : surrogate_cases()) {
    for (const bool block : {false, true}) {
      const PointProblem problem = network_problem(act, block);
      CAPTURE(problem.name);
      PointRun<T> run(problem, problem.table.rows), shared(problem, problem.table.rows, 3);
      const PointTwin twin(problem);
      const Values want = twin.gradient(problem.parameters);
      const Values squares = twin.squares(problem.parameters);
      Values own_squares, shared_squares;
      const Values own = run.gradient(&own_squares), other = shared.gradient(&shared_squares);
      double scale = 0, largest = 0;
      for (const double g : want) scale = std::max(scale, std::abs(g));
      for (const double g : squares) largest = std::max(largest, g);
      REQUIRE(scale > 0);
      Comparison comparison;
      for (std::size_t i = 0; i < want.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i);
        comparison.within(0, at, own[i], want[i], test::gamma<T>(200) * scale);
        comparison.within(1, at, own_squares[i], squares[i], test::gamma<T>(400) * largest);
        comparison.equal(2, at, other[i], own[i]);
        comparison.equal(3, at, shared_squares[i], own_squares[i]);
      }
      comparison.check(problem.name);
      CHECK(run.loss() == doctest::Approx(twin.loss(problem.parameters)).epsilon(test::gamma<T>(64)));
    }
  }
}

TEST_CASE("curvature and tangents are refused where an activation has a surrogate, products of gradients are not") {
  const PointProblem problem = network_problem({Activation::kSign, 1, Surrogate::kTanh}, false);
  PointRun<double> run(problem, problem.table.rows);
  CHECK_FALSE(run.network().differentiable());
  for (const Curvature kind : {Curvature::kHessian, Curvature::kGaussNewton, Curvature::kFisher}) {
    const Status status = run.point().check(kind);
    CHECK(status.code == ErrorCode::kOption);
    CHECK(std::string(status.argument) == "model");
  }
  const Values v = test::random_values(problem.parameters.size(), 3);
  const Values own = run.product(Curvature::kEmpiricalFisher, v);
  const Values want = PointTwin(problem).empirical_fisher(problem.parameters, v);
  Comparison comparison;
  for (std::size_t i = 0; i < v.size(); ++i) {
    comparison.within(0, static_cast<std::int64_t>(i), own[i], want[i], 1e-12 * (1 + std::abs(want[i])));
  }
  comparison.check("empirical Fisher product");

  NetworkSpec spec = problem.spec;
  for (const double beta : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    spec.layers[0].activation.parameter = beta;
    std::unique_ptr<const Network<double>> network;
    const Status status = Network<double>::create(spec, network);
    CHECK(status.code == ErrorCode::kOption);
    CHECK(std::string(status.argument) == "activation");
  }
}

}  // namespace
}  // namespace krylov
