// Preconditioners of the Newton-type methods, and the pairs of conjugate
// gradients: fewer iterations to the same solution, states that go on to the
// same bits, and what is refused.
#include <algorithm>
#include <cmath>
#include <string>

#include "solvers/lbfgs_operator.h"
#include "support/kfac_fixture.h"
#include "support/newton_fixture.h"
#include "support/solve_cases.h"

namespace krylov {
namespace {

using namespace test;
using Options = ConjugateGradientOptions;

// Log-uniform from 1 to 1e4, in no axis's direction.
Numbers ill_conditioned(std::int64_t n) {
  Numbers values;
  for (std::int64_t i = 0; i < n; ++i) values.push_back(std::pow(10.0, 4.0 * double(i) / double(n - 1)));
  return with_spectrum(values, 5);
}

template <Scalar T>
OperatorPort<T> inverse_of(std::vector<CollectedPair<T>> pairs) {
  std::vector<SecantPair<T>> views;
  for (const CollectedPair<T>& pair : pairs) views.push_back({pair.s.span(), pair.y.span()});
  OperatorPointer<T> inverse;
  REQUIRE(lbfgs_inverse<T>(views, inverse).ok());
  return OperatorPort<T>(inverse);
}

TEST_CASE_TEMPLATE("the pairs of a full conjugate-gradient solve give the inverse", T, float, double) {
  constexpr std::int64_t n = 6;
  const Numbers matrix = with_spectrum({1, 2, 3, 5, 8, 13}, 2), v = random_numbers(n, 3);
  const OperatorPort<T> b = port<T>(matrix, n, n);
  const std::vector<T> rhs = cast<T>(random_numbers(n, 4)), u = cast<T>(v);
  Options options;
  options.collect_history = n;
  options.max_iterations = n;
  options.tolerance = 0;
  Session session;
  SolveResult<T> solved = run<SolveResult<T>, T>(
      session, conjugate_gradient<T>(session, b, rhs.data(), nullptr, {}, options, {}));
  REQUIRE(solved.pairs.size() == std::size_t(n));
  const OperatorPort<T> inverse = inverse_of<T>(std::move(solved.pairs));
  Team team;
  std::vector<T> product(u.size()), back(u.size()), again(u.size());
  b.native()->apply(team, u.data(), product.data());
  inverse.native()->apply(team, product.data(), back.data());
  const double bound = sizeof(T) == 4 ? 2e-3 : 1e-9;
  for (std::size_t i = 0; i < u.size(); ++i) CHECK(back[i] == doctest::Approx(u[i]).epsilon(bound));
  inverse.native()->apply_transposed(team, product.data(), again.data());
  CHECK(again == back);
}

TEST_CASE("conjugate gradients collect pairs that help the next solve") {
  constexpr std::int64_t n = 60;
  const Numbers matrix = ill_conditioned(n), rhs = random_numbers(n, 6);
  const OperatorPort<double> native = square_port(matrix), foreign(0, n, n);
  const Foreign<double> multiply = [&](int, std::span<const double> in, std::span<double> out) {
    Team team;
    native.native()->apply(team, in.data(), out.data());
  };
  Options options;
  options.shift = 0.5;
  options.tolerance = 1e-8;
  const auto solve = [&](const OperatorPort<double>& b, const OperatorPort<double>& m) {
    Session session;
    return run(session, conjugate_gradient<double>(session, b, rhs.data(), nullptr, m, options, {}), multiply);
  };
  const SolveResult<double> plain = solve(native, {});
  CHECK(plain.pairs.empty());
  for (const bool spread : {true, false}) {
    CAPTURE(spread);
    options.collect_history = 20;
    options.collect_spread = spread;
    SolveResult<double> first = solve(native, {}), asked = solve(foreign, {});
    CHECK(first.iterations == plain.iterations);
    CHECK(numbers(first.solution) == numbers(plain.solution));
    REQUIRE(first.pairs.size() > 10);
    REQUIRE(first.pairs.size() <= 20);
    REQUIRE(asked.pairs.size() == first.pairs.size());
    for (std::size_t i = 0; i < first.pairs.size(); ++i) {
      const Numbers s = numbers(first.pairs[i].s), y = numbers(first.pairs[i].y);
      CHECK(distance(y, plus(times(matrix, s), options.shift, s)) <= 1e-12 * norm(y));
      CHECK(dot(s, y) > 0);
      CHECK(numbers(asked.pairs[i].s) == s);
      CHECK(numbers(asked.pairs[i].y) == y);
    }
    const SolveResult<double> second = solve(native, inverse_of<double>(std::move(first.pairs)));
    CHECK(second.reason == SolveReason::kConverged);
    CHECK(second.iterations < plain.iterations);
    CHECK(distance(numbers(second.solution), numbers(plain.solution)) <= 1e-6 * norm(numbers(plain.solution)));
  }
  // The last ones are the end of the sequence; directions of negative curvature are none.
  options.collect_history = 1;
  options.max_iterations = 7;
  const SolveResult<double> last = solve(native, {});
  options.collect_history = 7;
  const SolveResult<double> all = solve(native, {});
  REQUIRE(last.pairs.size() == 1);
  REQUIRE(all.pairs.size() == 7);
  CHECK(numbers(last.pairs[0].s) == numbers(all.pairs[6].s));
  options.on_negative_curvature = Options::OnNegativeCurvature::kAbsolute;
  options.shift = -5000;
  for (const CollectedPair<double>& pair : solve(native, {}).pairs) {
    CHECK(dot(numbers(pair.s), numbers(pair.y)) > 0);
  }
}

TEST_CASE("pairs follow a shift of their matrix, and leave where it is not positive any more") {
  Team team;
  Vectors<double> vectors(1, 2);
  vectors.lend(team);
  LbfgsPairs<double> pairs(2, 3);
  const double first[] = {1, 0}, b_first[] = {2, 1}, second[] = {0, 2}, b_second[] = {2, 12};  // B = [2 1; 1 6]
  REQUIRE(pairs.add(vectors, first, b_first, 0));
  REQUIRE(pairs.add(vectors, second, b_second, 0));
  pairs.shift(vectors, 3);
  REQUIRE(pairs.pairs().size() == 2);
  CHECK(numbers(pairs.pairs()[0].y) == Numbers{5, 1});
  CHECK(numbers(pairs.pairs()[1].y) == Numbers{2, 18});
  CHECK(pairs.pairs()[1].curvature == 36);
  CHECK(pairs.pairs()[1].scale == doctest::Approx(36.0 / (4 + 18 * 18)));
  pairs.shift(vectors, -5);
  REQUIRE(pairs.pairs().size() == 1);
  CHECK(numbers(pairs.pairs()[0].y) == Numbers{2, 8});
  CHECK(pairs.pairs()[0].curvature == 16);
  pairs.shift(vectors, -4);  // curvature 0
  CHECK(pairs.empty());
}

// Least squares: one linear layer, whose inputs differ in size by a factor of 1000.
PointProblem least_squares_problem() {
  constexpr std::int64_t kInputs = 40;
  SpecCase c{"least squares", {}, true};
  c.spec.inputs = kInputs;
  c.spec.layers = {dense(1)};
  PointProblem problem = point_problem(c, 0, 200);
  for (std::size_t i = 0; i < problem.table.inputs.size(); ++i) {
    problem.table.inputs[i] *= std::pow(10.0, -3 * double(i % kInputs) / kInputs);
  }
  problem.l2 = 0;
  return problem;
}


std::string word_in(const OptimizerSpec& spec, const std::string& name) {
  for (const auto& [key, word] : spec.words) {
    if (key == name) return word;
  }
  return "";
}

OptimizerSpec preconditioned(OptimizerSpec spec, const std::string& kind) {
  set_word(spec, "preconditioner.kind", kind);
  if (kind == "hutchinson") set(spec, "preconditioner.draws", 20);
  return spec;
}

// The same system twice, solved to its end: the step is far too short to leave the point.
OptimizerSpec solving_spec(const std::string& kind) {
  OptimizerSpec spec = preconditioned(hessian_free_spec(), kind);
  set(spec, "damping.initial", 1e-4);
  set_flag(spec, "damping.adapt", false);
  set(spec, "cg.progressTolerance", 0);
  set(spec, "cg.tolerance", 1e-10);
  set(spec, "preconditioner.history", 20);
  set(spec, "warmStartDecay", 0);
  set(spec, "learningRate", 1e-12);
  set_flag(spec, "lineSearch.enabled", false);
  set_flag(spec, "backtracking", false);
  return spec;
}

struct SecondSolve {
  double iterations = 0;
  Numbers solution;
};

SecondSolve second_solve(const PointProblem& problem, const OptimizerSpec& spec) {
  MinimizerRun<double> run(problem, spec);
  run.update();
  const MinimizerReport report = run.update();
  CHECK(word_of(report, "cgReason") == "converged");
  return {number_of(report, "cgIterations"), run.minimizer().save().vector("warmStart")->values};
}

TEST_CASE("hessianFree: every preconditioner saves iterations on ill-conditioned least squares, to the same step") {
  const PointProblem problem = least_squares_problem();
  const SecondSolve plain = second_solve(problem, solving_spec("none"));
  CHECK(plain.iterations > 60);
  for (const std::string kind : {"martens", "ggnDiagonal", "hutchinson", "kfac", "lbfgs"}) {
    CAPTURE(kind);
    const SecondSolve helped = second_solve(problem, solving_spec(kind));
    CHECK(helped.iterations < plain.iterations);
    CHECK(distance(helped.solution, plain.solution) <= 1e-6 * norm(plain.solution));
  }
  // Without hidden layers the factors are the matrix itself.
  OptimizerSpec exact = solving_spec("kfac");
  set(exact, "preconditioner.draws", 0);
  set_word(exact, "preconditioner.form", "exact");
  CHECK(second_solve(problem, exact).iterations <= 2);
  OptimizerSpec last = solving_spec("lbfgs");
  set_word(last, "preconditioner.choice", "last");
  CHECK(second_solve(problem, last).iterations < plain.iterations);
}

TEST_CASE_TEMPLATE("hessianFree: factors without full rank need no damping of their own", T, float, double) {
  PointProblem problem = least_squares_problem();
  for (std::size_t i = 0; i < problem.table.inputs.size(); i += 40) problem.table.inputs[i] = 0;
  for (const char* form : {"factored", "exact"}) {
    OptimizerSpec spec = preconditioned(hessian_free_spec(), "kfac");
    set(spec, "damping.initial", 0);
    set_word(spec, "preconditioner.form", form);
    MinimizerRun<T> run(problem, spec);
    const double before = run.loss();
    const MinimizerReport report = run.update();
    CHECK(report.accepted);
    CHECK(word_of(report, "cgReason") != "preconditioner");
    CHECK(number_of(report, "cgIterations") > 1);
    CHECK(run.loss() < before);
  }
}

PointProblem normalised_problem() {
  SpecCase c{"normalised", {}, true};
  c.spec.inputs = 5;
  c.spec.layers = {dense(7, Activation::kTanh), layer_norm(), dense(3)};
  return point_problem(c, 3, 30);
}

// Estimates that live longer than an update, with everything that the methods vary.
std::vector<OptimizerSpec> long_lived_specs() {
  std::vector<OptimizerSpec> specs;
  for (OptimizerSpec method : {hessian_free_spec(), krylov_subspace_descent_spec()}) {
    set(method, "cg.maxIterations", 15);
    set(method, "subspaceSize", 6);
    set(method, "preconditioner.every", 3);
    set(method, "preconditioner.history", 4);
    for (const char* kind : {"martens", "ggnDiagonal", "hutchinson", "kfac", "lbfgs"}) {
      specs.push_back(preconditioned(method, kind));
    }
    specs.push_back(preconditioned(method, "kfac"));
    set_word(specs.back(), "preconditioner.form", "exact");
    specs.push_back(preconditioned(method, "lbfgs"));
    set_word(specs.back(), "preconditioner.choice", "last");
  }
  return specs;
}

TEST_CASE_TEMPLATE("preconditioners: a restored state goes on to the same bits, rests change nothing", T, float,
                   double) {
  constexpr int kUpdates = 7;
  const PointProblem problem = normalised_problem();
  for (const OptimizerSpec& spec : long_lived_specs()) {
    CAPTURE(spec.kind);
    CAPTURE(word_in(spec, "preconditioner.kind"));
    MinimizerRun<T> whole(problem, spec), rested(problem, spec);
    const double before = whole.loss();
    std::vector<MinimizerState> states;
    std::vector<Values> points;
    for (int i = 0; i < kUpdates; ++i) {
      states.push_back(whole.minimizer().save());
      points.push_back(whole.parameters());
      whole.update();
      rested.update(true);
    }
    CHECK(whole.loss() < before);
    CHECK(rested.parameters() == whole.parameters());
    for (int from = 1; from < kUpdates; ++from) {
      CAPTURE(from);
      MinimizerRun<T> resumed(problem, spec);
      resumed.set_parameters(points[std::size_t(from)]);
      REQUIRE(resumed.minimizer().restore(states[std::size_t(from)]).ok());
      for (int i = from; i < kUpdates; ++i) resumed.update();
      CHECK(resumed.parameters() == whole.parameters());
    }
  }
}

TEST_CASE("preconditioners: a stopped update, made again, is the unbroken one") {
  const PointProblem problem = normalised_problem();
  for (const OptimizerSpec& spec : long_lived_specs()) {
    CAPTURE(spec.kind);
    for (const int at : {1, 3, 5}) {  // the second and third leave or make an estimate
      MinimizerRun<double> whole(problem, spec), broken(problem, spec);
      for (int i = 0; i < at; ++i) whole.update(), broken.update();
      const Values before = broken.parameters();
      Session stopped;
      stopped.stop();
      broken.update(false, &stopped);
      CHECK(broken.parameters() == before);
      for (int i = 0; i < 3; ++i) whole.update(), broken.update();
      CHECK(broken.parameters() == whole.parameters());
    }
  }
}

TEST_CASE("states of another network or with broken pairs are refused, and change nothing") {
  const PointProblem problem = normalised_problem();
  for (const std::string kind : {"martens", "kfac", "lbfgs"}) {
    CAPTURE(kind);
    OptimizerSpec spec = preconditioned(hessian_free_spec(), kind);
    set(spec, "preconditioner.every", 3);
    MinimizerRun<double> run(problem, spec);
    run.update();
    const MinimizerState good = run.minimizer().save();
    int broken = 0;
    for (std::size_t i = 0; i < good.vectors.size(); ++i) {
      if (good.vectors[i].name == "warmStart") continue;
      MinimizerState bad = good;
      bad.updates = 9;
      bad.vectors[i].values.push_back(1);
      CHECK_FALSE(run.minimizer().restore(bad).ok());
      CHECK(run.minimizer().updates() == 1);
      ++broken;
    }
    CHECK(broken > 0);
    const Values from = run.parameters();
    run.update();
    const Values to = run.parameters();
    run.set_parameters(from);
    REQUIRE(run.minimizer().restore(good).ok());
    run.update();
    CHECK(run.parameters() == to);
  }
}

TEST_CASE("hutchinson takes the curvature's own diagonal, without l2, every so many updates") {
  const std::vector<double> d = {2, -3, 5}, b = {1, -3, 2};
  constexpr double kL2 = 0.5, kLambda = 2;
  std::vector<double> shifted = d;
  for (double& x : shifted) x += kL2;
  FunctionObjective<double> f = quadratic<double>(diagonal(shifted), b);
  f.with_l2(kL2);
  OptimizerSpec spec = preconditioned(hessian_free_spec(), "hutchinson");
  set_word(spec, "curvature", "hessian");
  set(spec, "damping.initial", kLambda);
  set_flag(spec, "damping.adapt", false);
  set(spec, "cg.maxIterations", 1);
  set(spec, "preconditioner.draws", 4);
  set(spec, "preconditioner.every", 2);
  set(spec, "warmStartDecay", 0);
  const MinimizerPointer<double> minimizer = make<double>(spec, f);
  std::vector<double> x = {0, 0, 0};
  update(*minimizer, f, x);
  CHECK(f.products == 4 + 1);  // CG's one
  const auto direction = [&](std::size_t i) { return b[i] / std::pow(std::abs(d[i]) + kLambda + kL2, 0.75); };
  for (const std::size_t i : {1, 2}) CHECK(x[i] / x[0] == doctest::Approx(direction(i) / direction(0)));
  update(*minimizer, f, x);
  CHECK(f.products == 4 + 2);
  update(*minimizer, f, x);
  CHECK(f.products == 8 + 3);
}

TEST_CASE("a function that is no network refuses what comes from its layers or samples") {
  FunctionObjective<double> bare(3, [](const double*, Samples, double*) { return 0.0; });
  bare.with_curvature(Curvature::kGaussNewton, [](const double*, Samples, const double*, double*) {});
  for (const OptimizerSpec& method : {hessian_free_spec(), krylov_subspace_descent_spec()}) {
    for (const char* kind : {"martens", "ggnDiagonal", "kfac"}) {
      Status status;
      CHECK(make<double>(preconditioned(method, kind), bare, &status) == nullptr);
      CHECK(status.code == ErrorCode::kOption);
      CHECK(std::string(status.argument) == "optimizer.preconditioner.kind");
      CHECK(std::string(status.expected).find("'hutchinson', 'lbfgs' or 'none'") != std::string::npos);
    }
    for (const char* kind : {"hutchinson", "lbfgs", "none"}) {
      CHECK(make<double>(preconditioned(method, kind), bare) != nullptr);
    }
  }
}

}  // namespace
}  // namespace krylov
