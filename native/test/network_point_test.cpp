// Gradients and curvature products of a network at a point: against twins in
// plain loops, against differences, and against themselves in other parts, on
// other threads and in the other dtype.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "curvature/point_operator.h"
#include "krylov/derivatives.h"
#include "support/comparison.h"
#include "support/point_cases.h"

namespace krylov::test {
namespace {

constexpr std::int64_t kRows = 9;
constexpr Curvature kKinds[] = {Curvature::kHessian, Curvature::kGaussNewton, Curvature::kEmpiricalFisher};

double largest(const Values& x) {
  double m = 0;
  for (const double e : x) m = std::max(m, std::abs(e));
  return m;
}

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Within `relative` of the largest entry, or of `floor` where all are small.
void check_close(const char* what, const Values& got, const Values& want, double relative, double floor = 1e-3) {
  REQUIRE(got.size() == want.size());
  Comparison comparison;
  const double bound = relative * std::max(largest(want), floor);
  for (std::size_t i = 0; i < got.size(); ++i) comparison.within(0, std::int64_t(i), got[i], want[i], bound);
  comparison.check(what);
}

void check_same(const char* what, const Values& got, const Values& want) {
  REQUIRE(got.size() == want.size());
  Comparison comparison;
  for (std::size_t i = 0; i < got.size(); ++i) comparison.equal(0, std::int64_t(i), got[i], want[i]);
  comparison.check(what);
}

// The tolerances of the golden files (their README).
template <Scalar T>
constexpr double kFirst = sizeof(T) == 8 ? 1e-10 : 1e-4;
template <Scalar T>
constexpr double kSecond = sizeof(T) == 8 ? 1e-8 : 1e-3;

TEST_CASE_TEMPLATE("losses, gradients and products equal plain loops and differences", T, float, double) {
  for (const PointProblem& problem : point_problems(kRows)) {
    CAPTURE(problem.name);
    const PointTwin twin(problem);
    PointRun<T> run(problem, kRows);
    const Values v = random_values(twin.size(), 51);
    const Values& at = problem.parameters;
    CHECK(run.loss() == doctest::Approx(twin.loss(at)).epsilon(sizeof(T) == 8 ? 1e-12 : 1e-5));
    check_close("Gauss-Newton", run.product(Curvature::kGaussNewton, v), twin.gauss_newton(at, v), kFirst<T>);
    Values squares;
    check_close("gradient", run.gradient(&squares), twin.gradient(at), kFirst<T>);
    check_close("squares", squares, twin.squares(at), kFirst<T>);
    check_close("empirical Fisher", run.product(Curvature::kEmpiricalFisher, v), twin.empirical_fisher(at, v),
                kFirst<T>);
    check_close("Hessian", run.product(Curvature::kHessian, v), twin.hessian(at, v), kSecond<T>);
  }
}

TEST_CASE_TEMPLATE("products are linear and symmetric, Gauss-Newton's not negative", T, float, double) {
  const double unit = sizeof(T) == 8 ? 1e-12 : 1e-4;
  for (const PointProblem& problem : point_problems(kRows)) {
    CAPTURE(problem.name);
    PointRun<T> run(problem, kRows);
    const std::size_t size = problem.parameters.size();
    const Values u = random_values(size, 61), v = random_values(size, 62);
    Values both(size);
    for (std::size_t i = 0; i < size; ++i) both[i] = 0.5 * u[i] + v[i];
    for (const Curvature kind : kKinds) {
      CAPTURE(int(kind));
      const Values bu = run.product(kind, u), bv = run.product(kind, v);
      const double scale = std::sqrt(dot(u, u) * dot(bv, bv)) + std::sqrt(dot(v, v) * dot(bu, bu));
      CHECK(std::abs(dot(u, bv) - dot(v, bu)) <= unit * scale);
      Values sum(size);
      for (std::size_t i = 0; i < size; ++i) sum[i] = 0.5 * bu[i] + bv[i];
      check_close("linear", run.product(kind, both), sum, unit * 10);
      if (kind != Curvature::kHessian) CHECK(dot(v, bv) >= -unit * scale);
      check_same("twice", run.product(kind, v), bv);
    }
  }
}

TEST_CASE_TEMPLATE("the order of questions does not matter, nor what was there before", T, float, double) {
  for (const PointProblem& problem : point_problems(kRows)) {
    CAPTURE(problem.name);
    const std::size_t size = problem.parameters.size();
    const Values v = random_values(size, 71);
    const Values other = random_values(size, 72);
    PointRun<T> first(problem, kRows), second(problem, kRows + 5);
    Values squares_first, squares_second;
    double loss_first = 0, loss_second = 0;
    const Values g = first.gradient(nullptr, &loss_first);
    const Values h = first.product(Curvature::kHessian, v), n = first.product(Curvature::kGaussNewton, v);
    const Values e = first.product(Curvature::kEmpiricalFisher, v);
    check_same("gradient after products", first.gradient(&squares_first), g);
    check_same("Hessian after others", first.product(Curvature::kHessian, v), h);
    second.set_parameters(other);
    second.product(Curvature::kEmpiricalFisher, v);
    second.set_parameters(problem.parameters);
    check_same("Hessian first", second.product(Curvature::kHessian, v), h);
    check_same("empirical Fisher", second.product(Curvature::kEmpiricalFisher, v), e);
    check_same("Gauss-Newton", second.product(Curvature::kGaussNewton, v), n);
    check_same("gradient", second.gradient(&squares_second, &loss_second), g);
    check_same("squares", squares_second, squares_first);
    CHECK(loss_first == loss_second);
    CHECK(second.loss() == loss_first);
  }
}

TEST_CASE("rows beyond the workspace go through in parts") {
  for (const PointProblem& problem : point_problems(kRows)) {
    CAPTURE(problem.name);
    PointRun<double> whole(problem, kRows);
    const Values v = random_values(problem.parameters.size(), 81);
    Values squares;
    const Values g = whole.gradient(&squares);
    const auto jv = whole.jvp(v);
    auto u = jv;
    for (auto& rows : u) {
      for (double& x : rows) x = std::cos(x);
    }
    for (const std::int64_t max_rows : {1, 4, 8}) {
      CAPTURE(max_rows);
      PointRun<double> parts(problem, max_rows);
      CHECK(!parts.point().cached());
      CHECK(parts.loss() == whole.loss());
      Values parts_squares;
      check_close("gradient", parts.gradient(&parts_squares), g, 1e-12);
      check_close("squares", parts_squares, squares, 1e-12);
      for (const Curvature kind : kKinds) {
        CAPTURE(int(kind));
        check_close("product", parts.product(kind, v), whole.product(kind, v), 1e-12);
      }
      CHECK((parts.jvp(v) == jv));
      check_close("vjp", parts.vjp(u), whole.vjp(u), 1e-12);
    }
  }
}

// Sums go over several segments of the rows.
TEST_CASE("many rows in the workspace") {
  const std::vector<SpecCase> specs = spec_cases();
  std::size_t turn = 0;
  for (const SpecCase& spec_case : specs) {
    if (spec_case.name != "normalised" && spec_case.name != "heads" && spec_case.name != "width 17") continue;
    const PointProblem problem = point_problem(spec_case, ++turn, 1300);
    CAPTURE(problem.name);
    const PointTwin twin(problem);
    PointRun<double> run(problem, 1300), parts(problem, 700);
    const Values v = random_values(twin.size(), 55);
    const Values& at = problem.parameters;
    Values squares;
    check_close("gradient", run.gradient(&squares), twin.gradient(at), 1e-10);
    check_close("squares", squares, twin.squares(at), 1e-10);
    check_close("Gauss-Newton", run.product(Curvature::kGaussNewton, v), twin.gauss_newton(at, v), 1e-10);
    for (const Curvature kind : kKinds) {
      check_close("parts", parts.product(kind, v), run.product(kind, v), 1e-12);
    }
  }
  CHECK(turn == 3);
}

// Wide enough for three threads; a part of the rows as well as all of them in the workspace.
TEST_CASE_TEMPLATE("the same bits on any number of threads", T, float, double) {
  for (const TaskCase& task : task_cases()) {
    CAPTURE(task.name);
    PointProblem problem;
    problem.spec = task.spec;
    for (const HeadTask& head : task.tasks) problem.losses.push_back(head.loss);
    problem.table = task.table;
    problem.l2 = 0.01;
    problem.parameters = random_values(reference::ReferenceNetwork<double>(task.spec).parameter_count(), 91, 0.3);
    const Values v = random_values(problem.parameters.size(), 92);
    for (const std::int64_t max_rows : {std::int64_t(100), task.table.rows}) {
      CAPTURE(max_rows);
      PointRun<T> one(problem, max_rows, 1);
      Values squares;
      const Values g = one.gradient(&squares);
      for (const int threads : {2, 3}) {
        CAPTURE(threads);
        PointRun<T> more(problem, max_rows, threads);
        REQUIRE(more.point().threads() == threads);
        Values more_squares;
        check_same("gradient", more.gradient(&more_squares), g);
        check_same("squares", more_squares, squares);
        for (const Curvature kind : kKinds) check_same("product", more.product(kind, v), one.product(kind, v));
        CHECK((more.jvp(v) == one.jvp(v)));
        CHECK(more.loss() == one.loss());
      }
    }
  }
}

TEST_CASE("columns of a symmetric matrix: the Hessian of one dense layer is its Gauss-Newton matrix") {
  SpecCase one_layer{"one layer", {}, true};
  one_layer.spec.inputs = 3;
  one_layer.spec.layers = {dense(4)};
  for (std::size_t turn = 0; turn < 14; ++turn) {
    const PointProblem problem = point_problem(one_layer, turn, 5);
    CAPTURE(turn);
    PointRun<double> run(problem, 5);
    const std::size_t size = problem.parameters.size();
    std::vector<Values> columns;
    for (std::size_t k = 0; k < size; ++k) {
      Values unit(size, 0.0);
      unit[k] = 1;
      columns.push_back(run.product(Curvature::kHessian, unit));
      check_close("column", run.product(Curvature::kGaussNewton, unit), columns.back(), 1e-12);
    }
    Comparison comparison;
    for (std::size_t k = 0; k < size; ++k) {
      for (std::size_t j = 0; j < size; ++j) {
        comparison.within(std::int64_t(k), std::int64_t(j), columns[k][j], columns[j][k], 1e-12);
      }
    }
    comparison.check("symmetric");
  }
}

TEST_CASE_TEMPLATE("operators multiply as their point does", T, float, double) {
  const std::vector<SpecCase> specs = spec_cases();
  for (const std::size_t at : {std::size_t(0), specs.size() - 3}) {
    PointProblem problem = point_problem(specs[at], 2, kRows);
    for (std::size_t h = 0; h < problem.losses.size(); ++h) {
      if (problem.losses[h].kind == Loss::kHuber) problem.losses[h].kind = Loss::kMeanSquaredError;
    }
    CAPTURE(problem.name);
    PointRun<T> run(problem, kRows);
    const auto shared = run.share();
    const Values v = random_values(problem.parameters.size(), 97);
    const AlignedBuffer<T> direction = run.arena(v);
    AlignedBuffer<T> out(direction.size()), back(direction.size());
    const auto count = static_cast<std::int64_t>(direction.size());
    for (const Curvature kind :
         {Curvature::kHessian, Curvature::kGaussNewton, Curvature::kFisher, Curvature::kEmpiricalFisher}) {
      std::shared_ptr<LinearOperator<T>> b;
      REQUIRE(curvature_operator<T>(shared, kind, b).ok());
      CHECK(b->rows() == count);
      CHECK(b->columns() == count);
      CHECK(same_layout<T>(b->layout(), shared->network()));
      run.lead([&](Team& team) {
        b->apply(team, direction.data(), out.data());
        b->apply_transposed(team, direction.data(), back.data());
      });
      check_same("product", run.flat(out), run.product(kind, v));
      check_same("transposed", run.flat(back), run.flat(out));
    }
    check_same("Fisher is Gauss-Newton", run.product(Curvature::kFisher, v), run.product(Curvature::kGaussNewton, v));

    const auto jacobian = jacobian_operator<T>(shared);
    const auto jv = run.jvp(v);
    std::vector<T> flat_jv;
    for (const auto& rows : jv) flat_jv.insert(flat_jv.end(), rows.begin(), rows.end());
    REQUIRE(jacobian->rows() == std::int64_t(flat_jv.size()));
    CHECK(jacobian->columns() == count);
    CHECK(jacobian->output_layout() == nullptr);
    std::vector<T> outputs(flat_jv.size());
    run.lead([&](Team& team) {
      jacobian->apply(team, direction.data(), outputs.data());
      jacobian->apply_transposed(team, outputs.data(), back.data());
    });
    CHECK(outputs == flat_jv);
    check_same("J' J v", run.flat(back), run.vjp(jv));
  }
  PointProblem absolute = point_problem(specs.front(), 0, kRows);
  absolute.losses[0] = loss_spec(Loss::kMeanAbsoluteError);
  std::shared_ptr<LinearOperator<T>> none;
  PointRun<T> run(absolute, kRows);
  CHECK(curvature_operator<T>(run.share(), Curvature::kGaussNewton, none).code == ErrorCode::kOption);
  CHECK(none == nullptr);
}

TEST_CASE("what a point refuses") {
  const std::vector<SpecCase> specs = spec_cases();
  const PointProblem problem = point_problem(specs.front(), 0, kRows);
  std::unique_ptr<const Network<double>> made;
  REQUIRE(Network<double>::create(problem.spec, made).ok());
  const std::shared_ptr<const Network<double>> network(std::move(made));
  std::unique_ptr<NetworkPoint<double>> point;
  CHECK(NetworkPoint<double>::create(network, problem.losses, 0, 0, point).code == ErrorCode::kOption);
  CHECK(NetworkPoint<double>::create(network, {}, 0, 4, point).code == ErrorCode::kOption);
  REQUIRE(NetworkPoint<double>::create(network, {loss_spec(Loss::kMeanAbsoluteError)}, 0, 4, point).ok());
  for (const Curvature kind : {Curvature::kHessian, Curvature::kGaussNewton, Curvature::kFisher}) {
    CHECK(point->check(kind).code == ErrorCode::kOption);
  }
  CHECK(point->check(Curvature::kEmpiricalFisher).ok());
  REQUIRE(NetworkPoint<double>::create(network, {loss_spec(Loss::kHuber)}, 0, 4, point).ok());
  CHECK(point->check(Curvature::kFisher).code == ErrorCode::kOption);
  CHECK(point->check(Curvature::kGaussNewton).ok());
  CHECK(point->check(Curvature::kHessian).ok());
  const auto data = problem.table.dataset();
  CHECK(point->set_data(data, nullptr, 0).code == ErrorCode::kShape);
  CHECK(point->set_data(data, nullptr, kRows + 1).code == ErrorCode::kShape);
  const std::uint32_t index[] = {0, kRows};
  CHECK(point->set_data(data, index, 2).code == ErrorCode::kShape);
  Table wide = problem.table;
  wide.columns = 1, wide.rows = 1;
  wide.inputs.resize(1), wide.targets[0].values.resize(3);
  CHECK(point->set_data(wide.dataset(), nullptr, 1).code == ErrorCode::kShape);
}

TEST_CASE_TEMPLATE("rows by index are those rows", T, float, double) {
  const std::vector<SpecCase> specs = spec_cases();
  const PointProblem problem = point_problem(specs[1], 1, kRows);
  PointProblem part = problem;
  part.table.rows = 2;
  const std::uint32_t index[] = {5, 2};
  part.table.inputs.clear();
  part.table.weights.clear();
  for (auto& target : part.table.targets) target.values.clear(), target.labels.clear();
  for (const std::uint32_t r : index) {
    const auto copy = [&](const auto& from, auto& to, std::int64_t width) {
      if (!from.empty()) to.insert(to.end(), from.begin() + r * width, from.begin() + (r + 1) * width);
    };
    copy(problem.table.inputs, part.table.inputs, problem.table.columns);
    copy(problem.table.weights, part.table.weights, 1);
    for (std::size_t h = 0; h < part.table.targets.size(); ++h) {
      copy(problem.table.targets[h].values, part.table.targets[h].values, problem.table.targets[h].columns);
      copy(problem.table.targets[h].labels, part.table.targets[h].labels, 1);
    }
  }
  for (const std::int64_t max_rows : {1, 9}) {
    PointRun<T> chosen(problem, max_rows), alone(part, max_rows);
    chosen.gradient();  // of all rows, before
    REQUIRE(chosen.point().set_data(problem.table.dataset(), index, 2).ok());
    CHECK(chosen.point().rows() == 2);
    check_same("gradient", chosen.gradient(), alone.gradient());
    const Values v = random_values(problem.parameters.size(), 95);
    for (const Curvature kind : kKinds) check_same("product", chosen.product(kind, v), alone.product(kind, v));
  }
}

}  // namespace
}  // namespace krylov::test
