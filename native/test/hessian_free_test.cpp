// Hessian-free optimization: two runs computed independently, and what each
// option does.
#include "support/newton_fixture.h"

#include <limits>

#include "support/hessian_free_cases.h"
#include "support/reference_problem.h"
#include "training/network_objective.h"

namespace krylov {
namespace {

using namespace test;

constexpr std::int64_t kWidth = 6;  // of the autoencoder's inputs

NetworkSpec autoencoder() {
  NetworkSpec spec;
  spec.inputs = kWidth;
  for (const std::int64_t units : {5, 2, 5, 6}) {
    LayerSpec layer;
    layer.units = units;
    layer.activation.kind = units == 5 ? Activation::kSigmoid : Activation::kIdentity;
    spec.layers.push_back(layer);
  }
  return spec;
}

ReferenceProblem problem_of(const HessianFreeCase& c) {
  LossSpec loss;
  loss.kind = Loss::kBinaryCrossEntropy;
  std::vector<reference::Values> rows;
  for (auto at = c.rows.begin(); at != c.rows.end(); at += kWidth) rows.emplace_back(at, at + kWidth);
  return ReferenceProblem(autoencoder(), loss, rows, rows, 2e-5);
}

OptimizerSpec spec_of(const HessianFreeCase& c) {
  OptimizerSpec spec = hessian_free_spec();
  set(spec, "damping.initial", c.initial_damping);
  set(spec, "cg.maxIterations", 60);
  set_flag(spec, "backtracking", c.backtracking);
  return spec;
}

// The curvature's rows of an update: the halves in turn.
void take_half(ReferenceProblem& problem, std::int64_t update) {
  ReferenceProblem::Rows& rows = problem.rows(Samples::kCurvature);
  const std::size_t half = problem.rows(Samples::kGradient).size() / 2;
  rows.resize(half);
  for (std::size_t i = 0; i < half; ++i) rows[i] = i + (update % 2 == 0 ? 0 : half);
}

TEST_CASE("hessianFree repeats runs computed independently") {
  for (const HessianFreeCase& c : hessian_free_cases()) {
    CAPTURE(c.initial_damping);
    ReferenceProblem problem = problem_of(c);
    FunctionObjective<double> f = problem.objective<double>();
    f.same_samples_ = false;
    f.with_batches([&](std::int64_t update) { take_half(problem, update); });
    const MinimizerPointer<double> minimizer = make<double>(spec_of(c), f);
    std::vector<double> x = c.parameters;
    double before = NAN;
    for (const HessianFreeUpdate& expected : c.updates) {
      CAPTURE(minimizer->updates());
      const MinimizerReport report = update(*minimizer, f, x);
      if (!std::isnan(before)) CHECK(report.loss == doctest::Approx(before).epsilon(1e-5));
      CHECK(number_of(report, "damping") == doctest::Approx(expected.damping).epsilon(1e-14));
      CHECK(number_of(report, "cgIterations") == expected.cg_iterations);
      CHECK(word_of(report, "cgReason") == "progress");
      CHECK(number_of(report, "modelValue") == doctest::Approx(expected.model_value).epsilon(1e-4));
      if (std::isinf(expected.reduction_ratio)) {
        CHECK(number_of(report, "reductionRatio") == expected.reduction_ratio);
      } else {
        CHECK(number_of(report, "reductionRatio") == doctest::Approx(expected.reduction_ratio).epsilon(1e-4));
      }
      CHECK(report.learning_rate == doctest::Approx(expected.rate).epsilon(1e-12));
      before = expected.loss_after;
    }
  }
}

TEST_CASE("hessianFree in float32 ends within a hundredth of the float64 run") {
  const HessianFreeCase c = hessian_free_cases()[0];
  ReferenceProblem problem = problem_of(c);
  FunctionObjective<double> wide = problem.objective<double>();
  FunctionObjective<float> narrow = problem.objective<float>();
  const MinimizerPointer<double> a = make<double>(spec_of(c), wide);
  const MinimizerPointer<float> b = make<float>(spec_of(c), narrow);
  std::vector<double> x = c.parameters;
  std::vector<float> y(c.parameters.begin(), c.parameters.end());
  double wide_loss = 0, narrow_loss = 0;
  for (int i = 0; i < 25; ++i) {
    wide_loss = update(*a, wide, x).loss;
    narrow_loss = update(*b, narrow, y).loss;
  }
  CHECK(wide_loss < 0.69);
  CHECK(narrow_loss == doctest::Approx(wide_loss).epsilon(0.01));
}

// The same problem on the fast path; curvature on rows [first, first + count).
struct FastProblem {
  explicit FastProblem(const HessianFreeCase& c) : rows(static_cast<std::int64_t>(c.rows.size()) / kWidth) {
    std::unique_ptr<const Network<double>> made;
    REQUIRE(Network<double>::create(autoencoder(), made).ok());
    network = std::move(made);
    std::unique_ptr<Dataset> set;
    const std::size_t bytes = c.rows.size() * sizeof(double);
    REQUIRE(Dataset::create(c.rows.data(), DType::kFloat64, bytes, rows, kWidth, set).ok());
    REQUIRE(set->add_values(c.rows.data(), DType::kFloat64, bytes, kWidth).ok());
    data = std::move(set);
    LossSpec loss;
    loss.kind = Loss::kBinaryCrossEntropy;
    REQUIRE(NetworkObjective<double>::create(network, {loss}, 2e-5, 1, 0, objective).ok());
    REQUIRE(objective->select(Samples::kGradient, data, nullptr, rows).ok());
  }
  void select(std::int64_t first, std::int64_t count) {
    index.clear();
    for (std::int64_t i = 0; i < count; ++i) index.push_back(static_cast<std::uint32_t>(first + i));
    REQUIRE(objective->select(Samples::kCurvature, data, index.data(), count).ok());
  }
  std::vector<double> arena(const std::vector<double>& plain) const {
    std::vector<double> x(static_cast<std::size_t>(objective->size()));
    objective->from_plain(plain, x.data());
    return x;
  }
  std::vector<double> plain(const std::vector<double>& x) const {
    std::vector<double> p(static_cast<std::size_t>(objective->dimension()));
    objective->to_plain(x.data(), p);
    return p;
  }

  std::int64_t rows;
  std::shared_ptr<const Network<double>> network;
  std::shared_ptr<const Dataset> data;
  std::vector<std::uint32_t> index;
  std::unique_ptr<NetworkObjective<double>> objective;
};

TEST_CASE("hessianFree on a compiled network is hessianFree on its slow twin") {
  for (const HessianFreeCase& c : hessian_free_cases()) {
    CAPTURE(c.initial_damping);
    ReferenceProblem problem = problem_of(c);
    FunctionObjective<double> slow = problem.objective<double>();
    slow.same_samples_ = false;
    slow.with_batches([&](std::int64_t update) { take_half(problem, update); });
    FastProblem fast(c);
    const MinimizerPointer<double> a = make<double>(spec_of(c), slow), b = make<double>(spec_of(c), *fast.objective);
    std::vector<double> x = c.parameters, y = fast.arena(c.parameters);
    for (std::int64_t i = 0; i < 6; ++i) {
      fast.select(i % 2 == 0 ? 0 : fast.rows / 2, fast.rows / 2);
      const MinimizerReport slow_report = update(*a, slow, x), fast_report = update(*b, *fast.objective, y);
      CHECK(number_of(fast_report, "cgIterations") == number_of(slow_report, "cgIterations"));
      CHECK(fast_report.learning_rate == slow_report.learning_rate);
      const std::vector<double> z = fast.plain(y);
      for (std::size_t k = 0; k < x.size(); ++k) CHECK(z[k] == doctest::Approx(x[k]).epsilon(1e-5));
    }
    CHECK(fast.arena(fast.plain(y)) == y);  // the padding is still zero
    // Backtracking on the curvature's samples moves them away from where B was taken.
    OptimizerSpec spec = spec_of(c);
    set_flag(spec, "backtracking", true);
    set_word(spec, "backtrackingSamples", "curvature");
    set(spec, "damping.initial", 1);  // a step that falls, with a finite ratio
    take_half(problem, 0);
    fast.select(0, fast.rows / 2);
    std::vector<double> u = c.parameters, v = fast.arena(c.parameters);
    const MinimizerReport slow_report = update(*make<double>(spec, slow), slow, u);
    const MinimizerReport fast_report = update(*make<double>(spec, *fast.objective), *fast.objective, v);
    for (const char* name : {"reductionRatio", "curvature", "stepNorm"}) {
      CHECK(number_of(fast_report, name) == doctest::Approx(number_of(slow_report, name)).epsilon(1e-6));
    }
  }
}

TEST_CASE("hessianFree preconditions with the Gauss-Newton diagonal") {
  const HessianFreeCase c = hessian_free_cases()[0];
  FastProblem fast(c);
  fast.select(0, fast.rows);
  ReferenceProblem problem = problem_of(c);
  FunctionObjective<double> slow = problem.objective<double>();
  OptimizerSpec spec = spec_of(c);
  set_word(spec, "preconditioner.kind", "ggnDiagonal");
  set(spec, "preconditioner.exponent", 1);
  set(spec, "preconditioner.draws", 0);
  set(spec, "cg.maxIterations", 1);
  const std::vector<double> start = fast.arena(c.parameters);
  std::vector<double> x = start;
  const MinimizerPointer<double> minimizer = make<double>(spec, *fast.objective);
  CHECK(update(*minimizer, *fast.objective, x).accepted);
  // The step is a multiple of -g / (diag G + lambda), l2 in G.
  const std::vector<double> end = fast.plain(x);
  const std::size_t n = end.size();
  std::vector<double> g(n), unit(n), column(n);
  Session session;
  Team team;
  run(session, slow.gradient(session, c.parameters.data(), Samples::kGradient, g.data(), nullptr), team);
  Session other;
  const OperatorPort<double> b = run(
      other, slow.curvature(other, c.parameters.data(), Samples::kGradient, Curvature::kGaussNewton), team);
  double scale = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::fill(unit.begin(), unit.end(), 0.0);
    unit[i] = 1;
    b.native()->apply(team, unit.data(), column.data());
    const double direction = -g[i] / (column[i] + c.initial_damping);
    if (i == 0) scale = (end[i] - c.parameters[i]) / direction;
    CHECK(end[i] - c.parameters[i] == doctest::Approx(scale * direction).epsilon(1e-6));
  }
  CHECK(scale > 0);
  // Drawn signs: the same for a seed, others for another.
  set(spec, "preconditioner.draws", 2);
  const auto drawn = [&](double seed) {
    set(spec, "preconditioner.seed", seed);
    std::vector<double> y = start;
    update(*make<double>(spec, *fast.objective), *fast.objective, y);
    return y;
  };
  CHECK(drawn(1) == drawn(1));
  CHECK(drawn(1) != drawn(2));
  CHECK(drawn(1) != x);
}

// One update of x on f.
MinimizerReport first_update(const OptimizerSpec& spec, FunctionObjective<double>& f, std::vector<double>& x) {
  return update(*make<double>(spec, f), f, x);
}

TEST_CASE("hessianFree adapts its damping within its limits, or follows a schedule") {
  FunctionObjective<double> f = quadratic<double>(diagonal({1, 2}), {1, -1});
  OptimizerSpec spec = hessian_free_spec();
  set(spec, "damping.initial", 3);
  std::vector<double> x = {4, 4};
  MinimizerReport report = first_update(spec, f, x);
  CHECK(number_of(report, "reductionRatio") == doctest::Approx(1));  // the model is the function
  CHECK(number_of(report, "dampingAfter") == 3 * (2.0 / 3));
  set(spec, "damping.minimum", 2.5);
  CHECK(number_of(first_update(spec, f, x), "dampingAfter") == 2.5);
  set(spec, "damping.upper", 2);
  CHECK(number_of(first_update(spec, f, x), "dampingAfter") == 3);
  set(spec, "damping.lower", 1.5);
  set(spec, "damping.boost", 5);
  CHECK(number_of(first_update(spec, f, x), "dampingAfter") == 15);

  set_flag(spec, "damping.adapt", false);
  for (auto& [name, schedule] : spec.numbers) {
    if (name == "damping.initial") schedule = linear_schedule(8, 4);
  }
  const MinimizerPointer<double> minimizer = make<double>(spec, f);
  for (const double expected : {8, 6, 4, 2}) {
    CHECK(number_of(update(*minimizer, f, x), "damping") == expected);
  }
}

TEST_CASE("hessianFree's damping and preconditioner are what the paper says") {
  // One CG iteration from zero: the step is a multiple of M^-1 g, M = (s + lambda + l2)^exponent.
  const std::vector<double> b = {1, -3};
  const double l2 = 0.5, lambda = 2;
  FunctionObjective<double> f = quadratic<double>(diagonal({1, 2}), b);
  f.with_l2(l2);
  OptimizerSpec spec = hessian_free_spec();
  set(spec, "damping.initial", lambda);
  set(spec, "cg.maxIterations", 1);
  set(spec, "preconditioner.exponent", 0.6);
  std::vector<double> x = {0, 0};
  first_update(spec, f, x);
  const double m0 = std::pow(b[0] * b[0] + lambda + l2, 0.6), m1 = std::pow(b[1] * b[1] + lambda + l2, 0.6);
  CHECK(x[1] / x[0] == doctest::Approx((b[1] / m1) / (b[0] / m0)));
  set_word(spec, "preconditioner.kind", "none");
  x = {0, 0};
  first_update(spec, f, x);
  CHECK(x[1] / x[0] == doctest::Approx(b[1] / b[0]));
  // To the end: (A + lambda) p = -b.
  set(spec, "cg.maxIterations", 2);
  x = {0, 0};
  const MinimizerReport report = first_update(spec, f, x);
  CHECK(x[0] == doctest::Approx(-b[0] / (1 + lambda)));
  CHECK(x[1] == doctest::Approx(-b[1] / (2 + lambda)));
  CHECK(number_of(report, "products") == 2);  // rho takes none of its own
  CHECK(number_of(report, "stepNorm") == doctest::Approx(std::hypot(x[0], x[1])));
  const double xx = x[0] * x[0], yy = x[1] * x[1];
  CHECK(number_of(report, "curvature") == doctest::Approx((xx + 2 * yy) / (xx + yy)));
}

// The quadratic of a damping so large holds no digit of p'Ap in float32: a product tells it.
TEST_CASE("hessianFree tells the curvature beside any damping") {
  FunctionObjective<float> f = quadratic<float>(diagonal({1, 1}), {3, -4});
  OptimizerSpec spec = hessian_free_spec();
  set_word(spec, "preconditioner.kind", "none");
  for (const double lambda : {0.0, 1.0, 1e9}) {
    CAPTURE(lambda);
    set(spec, "damping.initial", lambda);
    const MinimizerPointer<float> minimizer = make<float>(spec, f);
    std::vector<float> x = {0, 0};
    const MinimizerReport report = update(*minimizer, f, x);
    CHECK(number_of(report, "curvature") == doctest::Approx(1).epsilon(1e-3));
    CHECK(number_of(report, "products") - number_of(report, "cgIterations") == (lambda > 1 ? 1 : 0));
  }
}

TEST_CASE("hessianFree starts CG from the decayed last iterate, whatever became of the step") {
  FunctionObjective<double> f = quadratic<double>(diagonal({1, 5}), {1, 1});
  OptimizerSpec spec = hessian_free_spec();
  set_word(spec, "preconditioner.kind", "none");
  set(spec, "cg.maxIterations", 1);
  set(spec, "warmStartDecay", 0.5);
  set(spec, "learningRate", 1e-9);
  set_flag(spec, "lineSearch.enabled", false);
  set_flag(spec, "damping.adapt", false);
  const MinimizerPointer<double> minimizer = make<double>(spec, f);
  std::vector<double> x = {0, 0};
  MinimizerReport report = update(*minimizer, f, x);
  CHECK(report.learning_rate == 1e-9);
  const std::vector<double> last = minimizer->save().vector("warmStart")->values;  // unscaled
  CHECK(x[0] == doctest::Approx(1e-9 * last[0]));
  report = update(*minimizer, f, x);
  CHECK(number_of(report, "products") == 2);  // the start's residual and CG's one iteration
  // One exact step of steepest descent on (A + 1) d = -g from last / 2.
  const double start[] = {0.5 * last[0], 0.5 * last[1]}, r[] = {-1 - x[0] - 2 * start[0], -1 - 5 * x[1] - 6 * start[1]};
  const double alpha = (r[0] * r[0] + r[1] * r[1]) / (2 * r[0] * r[0] + 6 * r[1] * r[1]);
  const std::vector<double> next = minimizer->save().vector("warmStart")->values;
  for (std::size_t i = 0; i < 2; ++i) CHECK(next[i] == doctest::Approx(start[i] + alpha * r[i]));
}

// Curvature so small that Newton's step is far too long: f = log cosh, at 6 almost a straight line.
FunctionObjective<double> log_cosh(double curvature) {
  FunctionObjective<double> f(1, [](const double* x, Samples, double* g) {
    if (g != nullptr) *g = std::tanh(*x);
    return std::abs(*x) + std::log1p(std::exp(-2 * std::abs(*x)));
  });
  f.with_curvature(Curvature::kGaussNewton, [curvature](const double*, Samples, const double* v, double* out) {
    *out = curvature * *v;
  });
  f.with_squares([](const double*, double* s) { *s = 1; });
  return f;
}

TEST_CASE("hessianFree shortens or refuses steps that do not pay") {
  FunctionObjective<double> f = log_cosh(0.05);
  OptimizerSpec spec = hessian_free_spec();
  set(spec, "damping.initial", 0);
  std::vector<double> x = {6};
  MinimizerReport report = first_update(spec, f, x);  // p = -20
  CHECK(number_of(report, "reductionRatio") == -std::numeric_limits<double>::infinity());
  double rate = 1;
  while (std::abs(6 - 20 * rate) > 6 - 0.01 * rate * 20) rate *= 0.8;
  CHECK(report.learning_rate == doctest::Approx(rate));
  CHECK(x[0] == doctest::Approx(6 - 20 * rate).epsilon(1e-4));

  set(spec, "lineSearch.maxTries", 2);
  set(spec, "damping.initial", 1e-8);
  x = {6};
  report = first_update(spec, f, x);
  CHECK_FALSE(report.accepted);
  CHECK(report.learning_rate == 0);
  CHECK(number_of(report, "stepNorm") == 0);
  CHECK(number_of(report, "dampingAfter") == 1.5 * 1e-8);
  CHECK(x[0] == 6);
}

TEST_CASE("hessianFree backtracks along CG's iterates on the samples it is told") {
  // The curvature's samples know nothing of the far end: f on the gradient's has a wall behind x_0 = 0.5.
  const std::vector<double> d = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const std::size_t n = d.size();
  FunctionObjective<double> f(static_cast<std::int64_t>(n), [d, n](const double* x, Samples samples, double* g) {
    double total = 0;
    for (std::size_t i = 0; i < n; ++i) {
      total += d[i] * x[i] * x[i] / 2 - x[i];
      if (g != nullptr) g[i] = d[i] * x[i] - 1;
    }
    return total + (samples == Samples::kGradient ? 10 * std::fmax(0, x[0] - 0.5) : 0);
  });
  f.same_samples_ = false;
  f.with_curvature(Curvature::kGaussNewton, [d, n](const double*, Samples, const double* v, double* out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = d[i] * v[i];
  });
  f.with_squares([n](const double*, double* s) { std::fill_n(s, n, 1.0); });
  OptimizerSpec spec = hessian_free_spec();
  set(spec, "damping.initial", 0);
  set(spec, "cg.progressTolerance", 0);
  set(spec, "cg.maxIterations", 12);
  const auto chosen = [&](const char* samples) {
    std::vector<double> x(n, 0.0);
    set_word(spec, "backtrackingSamples", samples);
    const MinimizerReport report = first_update(spec, f, x);
    CHECK(number_of(report, "cgIterations") == 12);
    return number_of(report, "chosenIterate");
  };
  CHECK(chosen("curvature") == 12);
  CHECK(chosen("selection") == 12);
  CHECK(chosen("gradient") == 5);
  f.same_samples_ = true;  // then a value on one is taken for all: at x, and at the 6 iterates kept
  f.values = f.gradients = 0;
  CHECK(chosen("gradient") == 5);
  CHECK(f.gradients == 1);
  CHECK(f.values >= 6);
  set_flag(spec, "backtracking", false);
  CHECK(chosen("gradient") == 12);
}

TEST_CASE("hessianFree takes the direction itself where CG meets negative curvature at once") {
  FunctionObjective<double> f = quadratic<double>(diagonal({-1}), {0.5});
  OptimizerSpec spec = hessian_free_spec();
  set_word(spec, "curvature", "hessian");
  set_word(spec, "preconditioner.kind", "none");
  set(spec, "damping.initial", 0.25);
  std::vector<double> x = {0};
  const MinimizerReport report = first_update(spec, f, x);
  CHECK(word_of(report, "cgReason") == "negativeCurvature");
  CHECK(report.accepted);
  CHECK(x[0] == doctest::Approx(-0.5));
}

}  // namespace
}  // namespace krylov
