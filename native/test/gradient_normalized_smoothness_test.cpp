// gradientNormalizedSmoothness: the authors' program, failed tries, the limits of rounding, and what a try costs.
#include "support/newton_fixture.h"
#include "support/solve_cases.h"

namespace krylov {
namespace {

using namespace test;

TEST_CASE("gradientNormalizedSmoothness follows the authors' program on Rosenbrock's function") {
  struct Row {
    double x0, x1, f, gamma, tries;
  };
  // From (-2, 2), exact Hessian; x, f before and gamma after each update.
  const Row rows[] = {
      {-2.0, 2.0, 409.0, 2.0, 1},
      {-1.7301426151120223, 2.099249470121396, 87.40302770515021, 4.0, 1},
      {-1.5508526463989083, 2.203597815327956, 10.568932891540388, 8.0, 1},
      {-1.4921253225399214, 2.2201674877389634, 6.21462052826284, 2.0, 4},
      {-1.4340381186713635, 2.0601453344651492, 5.925895809520945, 0.5, 4},
      {-1.386860376786138, 1.9286603682545258, 5.699888887164496, 0.5, 2},
      {-1.321446843459265, 1.7495584492478782, 5.390228796461646, 0.5, 2},
      {-1.2712065811458984, 1.6210389200524902, 5.160952611572948, 0.5, 2}};
  for (const char* solver : {"cholesky", "cg"}) {
    CAPTURE(solver);
    OptimizerSpec spec = gradient_normalized_smoothness_spec();
    set_word(spec, "curvature", "hessian");
    set_word(spec, "solver", solver);
    set(spec, "cg.tolerance", 1e-14);
    set(spec, "gradientTolerance", 0);
    FunctionObjective<double> f = paired_rosenbrock<double>(2);
    const MinimizerPointer<double> minimizer = make<double>(spec, f);
    std::vector<double> x = {-2, 2};
    for (const Row& row : rows) {
      CHECK(x[0] == doctest::Approx(row.x0).epsilon(1e-9));
      CHECK(x[1] == doctest::Approx(row.x1).epsilon(1e-9));
      const MinimizerReport report = update(*minimizer, f, x);
      CHECK(report.loss == doctest::Approx(row.f).epsilon(1e-9));
      CHECK(number_of(report, "gammaAfter") == row.gamma);
      CHECK(number_of(report, "tries") == row.tries);
    }
  }
}

TEST_CASE("gradientNormalizedSmoothness does not move where no try succeeds, and tries indefinite matrices again") {
  // A gradient that lies: the value rises whatever the step.
  FunctionObjective<double> lie(1, [](const double* z, Samples, double* g) {
    if (g != nullptr) *g = 1;
    return std::abs(*z);
  });
  const auto flat = [](const double*, Samples, const double* v, double* out) { *out = *v; };
  lie.with_curvature(Curvature::kGaussNewton, flat);
  OptimizerSpec spec = gradient_normalized_smoothness_spec();
  const MinimizerPointer<double> minimizer = make<double>(spec, lie);
  std::vector<double> z = {0};
  const MinimizerReport report = update(*minimizer, lie, z);
  CHECK(number_of(report, "tries") == 40);
  CHECK(number_of(report, "gammaAfter") == 1e-9);
  CHECK(std::string(report.converged) == "noDescent");
  CHECK(z[0] == 0);

  // H = -1 at 0.01: lambda must outgrow 1 before there is a step, so gamma halves until |g| / gamma does.
  for (const char* solver : {"cholesky", "cg"}) {
    CAPTURE(solver);
    FunctionObjective<double> f = double_well();
    set_word(spec, "curvature", "hessian");
    set_word(spec, "solver", solver);
    const MinimizerPointer<double> m = make<double>(spec, f);
    std::vector<double> x = {0.01, 0};
    const MinimizerReport first = update(*m, f, x);
    CHECK(first.accepted);
    CHECK(number_of(first, "damping") > 1);
    CHECK(number_of(first, "tries") >= 7);  // |g| / 2^-7 > 1
    CHECK(x[0] > 0.01);
  }
  // Without adaptation gamma is what it is told, and nothing is tested.
  set_flag(spec, "gamma.adapt", false);
  set(spec, "gamma.initial", 0.25);
  set_word(spec, "curvature", "ggn");
  const MinimizerPointer<double> fixed = make<double>(spec, lie);
  z = {1};
  const MinimizerReport moved = update(*fixed, lie, z);
  CHECK(moved.accepted);
  CHECK(number_of(moved, "tries") == 1);
  CHECK(z[0] == doctest::Approx(1 - 1 / (1 + 1 / (0.25 + 1e-8))));
}

// Mean of log(1 + exp(-y a.x)) + l2 |x|^2 / 2 over random rows a, some labels wrong; kEmpiricalFisher: with l2.
template <Scalar T>
FunctionObjective<T> logistic(std::int64_t rows, std::int64_t columns, double l2) {
  const Numbers a = random_numbers(rows * columns, 11), noise = random_numbers(rows, 12),
                truth = random_numbers(columns, 13);
  const auto row_dot = [a, columns](std::int64_t i, const auto* v) {
    double sum = 0;
    for (std::int64_t j = 0; j < columns; ++j) sum += a[std::size_t(i * columns + j)] * double(v[j]);
    return sum;
  };
  Numbers y(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < rows; ++i) {
    const double sign = row_dot(i, truth.data()) > 0 ? 1 : -1;
    y[std::size_t(i)] = std::abs(noise[std::size_t(i)]) < 0.2 ? -sign : sign;
  }
  // sum_i weight(margin, y) a_i / rows + l2 v
  const auto add = [a, y, rows, columns, l2, row_dot](const T* x, const T* v, T* out, auto&& weight) {
    Numbers sum(static_cast<std::size_t>(columns));
    for (std::int64_t i = 0; i < rows; ++i) {
      const double factor = weight(i, y[std::size_t(i)] * row_dot(i, x)) / static_cast<double>(rows);
      for (std::int64_t j = 0; j < columns; ++j) sum[std::size_t(j)] += factor * a[std::size_t(i * columns + j)];
    }
    for (std::int64_t j = 0; j < columns; ++j) out[j] = static_cast<T>(sum[std::size_t(j)] + l2 * double(v[j]));
  };
  FunctionObjective<T> f(columns, [=](const T* x, Samples, T* g) {
    if (g != nullptr) {
      add(x, x, g, [&](std::int64_t i, double z) { return -y[std::size_t(i)] / (1 + std::exp(z)); });
    }
    double total = 0, square = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
      const double z = y[std::size_t(i)] * row_dot(i, x);
      total += std::fmax(0, -z) + std::log1p(std::exp(-std::abs(z)));
    }
    for (std::int64_t j = 0; j < columns; ++j) square += double(x[j]) * double(x[j]);
    return total / static_cast<double>(rows) + l2 / 2 * square;
  });
  const auto product = [=](auto&& weight) {
    return [=](const T* x, Samples, const T* v, T* out) {
      add(x, v, out, [&](std::int64_t i, double z) { return weight(1 / (1 + std::exp(z))) * row_dot(i, v); });
    };
  };
  f.with_curvature(Curvature::kGaussNewton, product([](double p) { return p * (1 - p); }));
  f.with_curvature(Curvature::kEmpiricalFisher, product([](double p) { return p * p; }));
  return f;
}

// The empirical Fisher matrix is too small at the minimum: steps overshoot, and values tell of it only above rounding.
TEST_CASE_TEMPLATE("gradientNormalizedSmoothness ends at the limits of rounding", T, float, double) {
  for (const char* solver : {"cholesky", "cg"}) {
    for (const char* curvature : {"empiricalFisher", "ggn"}) {
      for (const double tolerance : {0.0, 1e-8}) {
        CAPTURE(solver);
        CAPTURE(curvature);
        CAPTURE(tolerance);
        OptimizerSpec spec = gradient_normalized_smoothness_spec();
        set_word(spec, "solver", solver);
        set_word(spec, "curvature", curvature);
        set(spec, "gradientTolerance", tolerance);
        FunctionObjective<T> f = logistic<T>(500, 40, 1e-3);
        const MinimizerPointer<T> minimizer = make<T>(spec, f);
        std::vector<T> x(40);
        MinimizerReport report;
        double norm = 1;
        int updates = 0;
        for (; updates < 100 && report.converged[0] == '\0'; ++updates) {
          report = update(*minimizer, f, x);
          // Where values tell nothing, the gradient must fall.
          if (norm < 1e-7) CHECK(number_of(report, "gradientNorm") < norm);
          norm = number_of(report, "gradientNorm");
        }
        CHECK(updates < 60);
        const bool reachable = tolerance > 0 || std::string(curvature) == "ggn";
        if (sizeof(T) == 8 && tolerance > 0) CHECK(std::string(report.converged) == "gradientTolerance");
        if (tolerance == 0) CHECK(std::string(report.converged) == "noDescent");
        CHECK(norm < (sizeof(T) == 4 ? 1e-7 : reachable ? 1e-8 : 1e-9));
      }
    }
  }
}

TEST_CASE("gradientNormalizedSmoothness makes the products of one system, however many tries there are") {
  OptimizerSpec spec = gradient_normalized_smoothness_spec();
  set_word(spec, "solver", "cg");
  set_word(spec, "curvature", "empiricalFisher");
  set(spec, "cg.tolerance", 1e-3);
  FunctionObjective<double> f = logistic<double>(500, 40, 1e-3);
  set(spec, "gradientTolerance", 1e-6);
  const MinimizerPointer<double> minimizer = make<double>(spec, f);
  std::vector<double> x(40);
  double most_tries = 0;
  for (int i = 0;; ++i) {
    REQUIRE(i < 30);
    f.products = 0;
    const std::vector<double> start = x;
    const MinimizerReport report = update(*minimizer, f, x);
    if (report.converged[0] != '\0') break;
    const double tries = number_of(report, "tries");
    most_tries = std::fmax(most_tries, tries);
    CHECK(number_of(report, "products") == static_cast<double>(f.products));
    CHECK(f.products <= 40);
    if (tries > 1) CHECK(number_of(report, "cgIterations") > number_of(report, "products"));
    // The step is what conjugate gradients find for the last damping alone.
    Team team;
    Session session;
    Numbers g(40);
    run(session, f.gradient(session, start.data(), Samples::kGradient, g.data(), nullptr), team);
    const double length = norm(g);
    for (double& v : g) v = -v;
    Session other;
    const auto b = run(other, f.curvature(other, start.data(), Samples::kCurvature, Curvature::kEmpiricalFisher), team);
    ConjugateGradientOptions options;
    options.tolerance = 1e-3 * std::fmin(1, length);
    options.shift = number_of(report, "damping");
    const Solve alone = noted_solve(40, [&](Session& s, const SolveObserver<double>& observer) {
      return conjugate_gradient<double>(s, b, g.data(), nullptr, {}, options, observer);
    });
    CHECK(distance(plus(x, -1, start), alone.x) <= 1e-9 * norm(alone.x));
  }
  CHECK(most_tries >= 3);
}

}  // namespace
}  // namespace krylov
