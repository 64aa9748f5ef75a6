// K-FAC's updates: against its formulas computed another way, and as a method
// that can be stopped, resumed and compared to the bit.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "solvers/dense.h"
#include "support/kfac_fixture.h"

namespace krylov::test {
namespace {

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}
Values minus(const Values& a, const Values& b) {
  Values out = a;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] -= b[i];
  return out;
}

PointProblem tanh_problem(std::size_t turn = 3, std::int64_t rows = 40) {
  SpecCase c{"tanh", {}, true};
  c.spec.inputs = 5;
  c.spec.layers = {dense(9, Activation::kTanh), dense(6, Activation::kSigmoid), dense(3)};
  return point_problem(c, turn, rows);
}

PointProblem normalised_problem() {
  SpecCase c{"normalised", {}, true};
  c.spec.inputs = 5;
  c.spec.layers = {dense(9, Activation::kTanh), layer_norm(), residual({dense(9, Activation::kSilu)}), dense(3)};
  return point_problem(c, 3, 30);
}

// With one sample and one layer the approximation is the matrix itself.
TEST_CASE("where the factors are exact the step is the damped Newton step") {
  SpecCase one{"one layer", {}, true};
  one.spec.inputs = 4;
  one.spec.layers = {dense(3)};
  PointProblem problem = point_problem(one, 0, 1);
  problem.l2 = 0;
  const PointTwin twin(problem);
  const std::size_t n = twin.size();
  constexpr double kDamping = 0.2;
  Values matrix = dense_gauss_newton(problem), step = twin.gradient(problem.parameters);
  for (std::size_t i = 0; i < n; ++i) matrix[i * n + i] += kDamping, step[i] = -step[i];
  REQUIRE(cholesky(matrix.data(), std::int64_t(n)));
  cholesky_solve(matrix.data(), std::int64_t(n), step.data());
  for (const char* rescaling : {"none", "model"}) {
    OptimizerSpec spec = kfac_spec();
    set(spec, "damping.initial", kDamping);
    set_word(spec, "dampingForm", "eigen");
    set_word(spec, "rescaling", rescaling);
    set_flag(spec, "momentum", false);
    KfacRun<double> run(problem, spec);
    const MinimizerReport report = run.update();
    CHECK(report.accepted);
    CHECK(reported(report, "scale") == doctest::Approx(1).epsilon(1e-10));
    check_close("step", minus(run.parameters(), problem.parameters), step, 1e-10);
  }
}

// The model's value by the twin's products; its minimum over the plane of the two directions.
TEST_CASE("rescaled steps minimise the model, and its value is what is reported") {
  for (const PointProblem& problem : {tanh_problem(1), tanh_problem(3), normalised_problem()}) {
    const PointTwin twin(problem);
    for (const bool momentum : {false, true}) {
      OptimizerSpec spec = kfac_spec();
      set(spec, "damping.initial", 0.05);
      set_flag(spec, "momentum", momentum);
      KfacRun<double> run(problem, spec);
      Values previous;
      for (int k = 0; k < 4; ++k) {
        CAPTURE(k);
        const Values before = run.parameters();
        const MinimizerReport report = run.update();
        const Values step = minus(run.parameters(), before), g = twin.gradient(before);
        Values product = twin.gauss_newton(before, step);
        for (std::size_t i = 0; i < step.size(); ++i) product[i] += reported(report, "damping") * step[i];
        const double model = dot(g, step) + dot(step, product) / 2;
        CHECK(model < 0);
        CHECK(reported(report, "modelValue") == doctest::Approx(model).epsilon(1e-8));
        CHECK(std::abs(dot(g, step) + dot(step, product)) <= 1e-9 * std::abs(model));
        if (momentum && k > 0) {
          CHECK(std::abs(dot(g, previous) + dot(previous, product)) <= 1e-9 * std::abs(model));
          CHECK(reported(report, "momentum") != 0);
        }
        CHECK(report.loss == doctest::Approx(twin.loss(before)).epsilon(1e-12));
        CHECK(reported(report, "stepNorm") == doctest::Approx(std::sqrt(dot(step, step))).epsilon(1e-12));
        previous = step;
      }
    }
  }
}

TEST_CASE("clipping bounds the change that the model expects") {
  const PointProblem problem = tanh_problem();
  const Values g = PointTwin(problem).gradient(problem.parameters);
  for (const double clip : {1e-3, 1e6}) {
    Values steps[2];
    for (const bool clipped : {false, true}) {
      OptimizerSpec spec = kfac_spec();
      set(spec, "learningRate", 0.5);
      set(spec, "klClip", clip);
      set_word(spec, "rescaling", clipped ? "klClip" : "none");
      set_flag(spec, "momentum", false);
      KfacRun<double> run(problem, spec);
      run.update();
      steps[clipped] = minus(run.parameters(), problem.parameters);
    }
    // learningRate^2 u'g = -learningRate step'g.
    const double scale = std::fmin(1, std::sqrt(clip / std::abs(0.5 * dot(steps[0], g))));
    CHECK((clip > 1 ? scale == 1 : scale < 1));
    for (double& x : steps[0]) x *= scale;
    check_close("clipped", steps[1], steps[0], 1e-10);
  }
}

TEST_CASE("lambda follows the reduction ratio, gamma the model") {
  const PointProblem problem = tanh_problem(1);
  OptimizerSpec spec = kfac_spec();
  set(spec, "damping.every", 2);
  set(spec, "gammaEvery", 3);
  set(spec, "inverseEvery", 5);
  KfacRun<double> run(problem, spec);
  double lambda = 1, gamma = std::sqrt(lambda + problem.l2), last = run.loss();
  int changes = 0, gammas = 0;
  for (int k = 1; k <= 30; ++k) {
    CAPTURE(k);
    const MinimizerReport report = run.update();
    const double now = run.loss(), rho = reported(report, "reductionRatio");
    CHECK(reported(report, "damping") == doctest::Approx(lambda).epsilon(1e-13));
    if (k % 2 == 0) {
      CHECK(rho == doctest::Approx((now - last) / reported(report, "modelValue")).epsilon(1e-5));
      const double w = std::pow(0.95, 2);
      lambda *= rho > 0.75 ? w : rho < 0.25 ? 1 / w : 1;
      changes += rho > 0.75 || rho < 0.25;
    } else {
      CHECK(std::isnan(rho));
    }
    CHECK(reported(report, "dampingAfter") == doctest::Approx(lambda).epsilon(1e-13));
    if (k % 3 == 0) {
      const double ratio = std::log(reported(report, "gamma") / gamma) / (1.5 * std::log(0.95));
      CHECK((std::abs(ratio) < 1e-9 || std::abs(std::abs(ratio) - 1) < 1e-9));
      gammas += std::abs(ratio) > 0.5;
      gamma = reported(report, "gamma");
    }
    CHECK(reported(report, "gamma") == doctest::Approx(gamma).epsilon(1e-12));
    last = now;
  }
  CHECK(changes > 0);
  CHECK(gammas > 0);
}

TEST_CASE("of three gammas the one with the best model wins") {
  const PointProblem problem = tanh_problem(1);
  const double c = std::sqrt(0.95), damping = 0.2;
  OptimizerSpec spec = kfac_spec();
  set(spec, "damping.initial", damping);
  set(spec, "gammaEvery", 0);
  const double alone = reported(KfacRun<double>(problem, spec).update(), "modelValue");
  set(spec, "gammaEvery", 1);
  const MinimizerReport report = KfacRun<double>(problem, spec).update();
  const double ratio = reported(report, "gamma") / std::sqrt(damping + problem.l2);
  CHECK((std::abs(ratio - c) < 1e-12 || std::abs(ratio - 1 / c) < 1e-12));
  CHECK(reported(report, "modelValue") < alone);
}

TEST_CASE_TEMPLATE("every variant learns", T, float, double) {
  const PointProblem problem = tanh_problem(3);
  for (const char* factors : {"exact", "sampled"}) {
    for (const char* form : {"factored", "eigen"}) {
      for (const char* rescaling : {"model", "klClip", "none"}) {
        CAPTURE(std::string(factors) + " " + form + " " + rescaling);
        const bool model = std::string(rescaling) == "model";
        OptimizerSpec spec = kfac_spec();
        set(spec, "damping.initial", 0.01);
        if (std::string(rescaling) == "none") set(spec, "learningRate", 0.3);
        set(spec, "klClip", 0.05);
        set_word(spec, "factors", factors);
        set_word(spec, "dampingForm", form);
        set_word(spec, "rescaling", rescaling);
        set_flag(spec, "momentum", model);
        KfacRun<T> run(problem, spec);
        const double first = run.loss();
        for (int k = 0; k < 40; ++k) CHECK(run.update().accepted);
        CHECK(run.loss() < 0.62 * first);  // the minimum is at 0.613
      }
    }
  }
}

TEST_CASE_TEMPLATE("a restored state continues to the same bits", T, float, double) {
  for (const PointProblem& problem : {tanh_problem(), normalised_problem()}) {
    OptimizerSpec spec = kfac_spec();
    set(spec, "inverseEvery", 4);
    set(spec, "gammaEvery", 9);
    set_word(spec, "factors", "sampled");
    for (const int before : {0, 1, 5, 9}) {
      CAPTURE(before);
      KfacRun<T> whole(problem, spec), first(problem, spec), second(problem, spec);
      for (int k = 0; k < 12; ++k) whole.update();
      for (int k = 0; k < before; ++k) first.update();
      second.set_parameters(first.parameters());
      REQUIRE(second.minimizer().restore(first.minimizer().save()).ok());
      CHECK(second.minimizer().updates() == before);
      for (int k = before; k < 12; ++k) second.update(k % 2 == 1);
      CHECK((second.parameters() == whole.parameters()));
    }
    KfacRun<T> run(problem, spec);
    run.update();
    for (const char* name : {"averageInputFactors", "invertedOutputFactors", "previousStep"}) {
      MinimizerState state = run.minimizer().save();
      for (auto& vector : state.vectors) {
        if (vector.name == name) vector.values.pop_back();
      }
      CHECK(run.minimizer().restore(state).code == ErrorCode::kState);
    }
  }
}

TEST_CASE("a stopped update leaves everything as it was") {
  const PointProblem problem = tanh_problem();
  KfacRun<double> run(problem, kfac_spec()), other(problem, kfac_spec());
  for (int k = 0; k < 4; ++k) run.update(), other.update();
  const Values before = run.parameters();
  Session session;
  session.stop();
  CHECK(!run.update(false, &session).accepted);
  CHECK((run.parameters() == before));
  for (int k = 0; k < 3; ++k) run.update(), other.update();
  CHECK((run.parameters() == other.parameters()));
}

TEST_CASE("K-FAC refuses momentum without a model, and functions without layers") {
  const PointProblem problem = tanh_problem();
  OptimizerSpec spec = kfac_spec();
  set_word(spec, "rescaling", "klClip");
  FunctionObjective<double> f(2, [](const double* x, Samples, double* g) {
    if (g != nullptr) g[0] = x[0], g[1] = x[1];
    return (x[0] * x[0] + x[1] * x[1]) / 2;
  });
  RuleOptions with_momentum(spec);
  make_kfac<double>(with_momentum, f);
  CHECK(with_momentum.status().code == ErrorCode::kOption);
  CHECK(std::string(with_momentum.status().argument) == "momentum");
  const OptimizerSpec plain = kfac_spec();
  RuleOptions without_layers(plain);
  make_kfac<double>(without_layers, f);
  CHECK(without_layers.status().code == ErrorCode::kOption);
}

}  // namespace
}  // namespace krylov::test
