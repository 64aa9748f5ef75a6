// The Newton-type optimizers: what holds for all of them, then what each is for.
#include "support/newton_fixture.h"
#include "support/solve_cases.h"

#include <limits>

namespace krylov {
namespace {

using namespace test;

template <Scalar T>
Status status_of(const NewtonMethod<T>& method, const OptimizerSpec& spec) {
  const FunctionObjective<T> f = paired_rosenbrock<T>(2);
  RuleOptions options(spec);
  method.make(options, f);
  return options.status();
}

TEST_CASE_TEMPLATE("a Newton method refuses options that are missing or unknown, by name", T, float, double) {
  for (const NewtonMethod<T>& method : newton_methods<T>()) {
    CAPTURE(method.spec.kind);
    CHECK(status_of(method, method.spec).ok());
    const auto refused = [&](const OptimizerSpec& spec, const std::string& name) {
      CAPTURE(name);
      const Status status = status_of(method, spec);
      CHECK(status.code == ErrorCode::kOption);
      CHECK(std::string(status.argument) == name);
    };
    const auto without = [](auto list, std::size_t i) {
      list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
      return list;
    };
    OptimizerSpec spec = method.spec;
    for (std::size_t i = 0; i < method.spec.numbers.size(); ++i, spec = method.spec) {
      spec.numbers = without(spec.numbers, i);
      refused(spec, method.spec.numbers[i].first);
    }
    for (std::size_t i = 0; i < method.spec.flags.size(); ++i, spec = method.spec) {
      spec.flags = without(spec.flags, i);
      refused(spec, method.spec.flags[i].first);
    }
    for (std::size_t i = 0; i < method.spec.words.size(); ++i, spec = method.spec) {
      spec.words[i].second = "Newton";
      refused(spec, method.spec.words[i].first);
    }
  }
}

TEST_CASE_TEMPLATE("Newton methods minimise a parabola", T, float, double) {
  const double accuracy = sizeof(T) == 4 ? 1e-2 : 1e-6;
  for (const NewtonMethod<T>& method : newton_methods<T>()) {
    CAPTURE(method.spec.kind);
    FunctionObjective<T> f = quadratic<T>(diagonal({1, 3, 10, 30}), {-1, -6, 10, 60});
    const MinimizerPointer<T> minimizer = make<T>(method.spec, f);
    std::vector<T> x(4, T(0.5));
    for (int i = 0; i < 60; ++i) update(*minimizer, f, x);
    const double best[] = {1, 2, -1, -2};
    for (std::size_t i = 0; i < 4; ++i) CHECK(double(x[i]) == doctest::Approx(best[i]).epsilon(accuracy));
  }
}

TEST_CASE_TEMPLATE("Newton methods minimise Rosenbrock's function", T, float, double) {
  const double accuracy = sizeof(T) == 4 ? 1e-2 : 1e-6;
  for (const NewtonMethod<T>& method : newton_methods<T>()) {
    CAPTURE(method.spec.kind);
    FunctionObjective<T> f = paired_rosenbrock<T>(4);
    const MinimizerPointer<T> minimizer = make<T>(method.spec, f);
    std::vector<T> x = {T(-1.2), T(1), T(0.5), T(2)};
    double last = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 100; ++i) {
      const MinimizerReport report = update(*minimizer, f, x);
      CHECK(report.loss <= last * (1 + 1e-5));  // each of them falls, to rounding
      CHECK(report.accepted == (report.learning_rate > 0));
      last = report.loss;
    }
    for (const T v : x) CHECK(double(v) == doctest::Approx(1).epsilon(accuracy));
  }
}

TEST_CASE_TEMPLATE("a Newton method that is restored goes on to the same bits", T, float, double) {
  for (const NewtonMethod<T>& method : newton_methods<T>()) {
    CAPTURE(method.spec.kind);
    FunctionObjective<T> f = paired_rosenbrock<T>(6);
    std::vector<T> x = {T(-1.2), T(1), T(0.5), T(2), T(3), T(-1)};
    MinimizerPointer<T> whole = make<T>(method.spec, f);
    for (int i = 0; i < 4; ++i) update(*whole, f, x);
    std::vector<T> y = x;
    const MinimizerPointer<T> resumed = make<T>(method.spec, f);
    REQUIRE(resumed->restore(whole->save()).ok());
    CHECK(resumed->updates() == whole->updates());
    for (int i = 0; i < 4; ++i) {
      const MinimizerReport a = update(*whole, f, x), b = update(*resumed, f, y);
      CHECK(a.loss == b.loss);
      CHECK(a.numbers == b.numbers);
      CHECK(x == y);
    }
    MinimizerState state = whole->save();
    for (auto& [name, value] : state.numbers) {
      const double good = value;
      for (const double bad : {-1.0, double(NAN), double(INFINITY)}) {
        value = bad;
        CHECK(resumed->restore(state).code == ErrorCode::kState);
      }
      value = good;
    }
    for (MinimizerState::Vector& v : state.vectors) {
      v.values.push_back(0);
      CHECK(resumed->restore(state).code == ErrorCode::kState);
      v.values.pop_back();
    }
    state.updates = -1;
    CHECK(resumed->restore(state).code == ErrorCode::kState);
    update(*whole, f, x);
    update(*resumed, f, y);  // what was refused changed nothing
    CHECK(x == y);
  }
}

TEST_CASE("a Newton method that is stopped leaves the parameters and itself as they were") {
  using T = double;
  for (const NewtonMethod<T>& method : newton_methods<T>()) {
    CAPTURE(method.spec.kind);
    FunctionObjective<T> f = paired_rosenbrock<T>(4);
    const std::vector<T> start = {-1.2, 1, 0.5, 2};
    std::vector<T> once = start, twice;
    const MinimizerPointer<T> reference = make<T>(method.spec, f);
    update(*reference, f, once);
    twice = once;
    update(*reference, f, twice);
    int stops = 0;
    for (std::int64_t after = 1;; ++after) {
      const MinimizerPointer<T> minimizer = make<T>(method.spec, f);
      std::vector<T> x = start;
      update(*minimizer, f, x);
      f.values = f.gradients = 0;
      f.stop_after = after;
      update(*minimizer, f, x);
      const bool stopped = f.values + f.gradients >= after;
      f.stop_after = -1;
      if (!stopped) {
        CHECK(x == twice);
        break;
      }
      ++stops;
      CAPTURE(after);
      CHECK((x == once || x == twice));  // the last evaluation may come too late
      if (x == once) update(*minimizer, f, x);
      CHECK(x == twice);
    }
    CHECK(stops >= 1);
  }
}

TEST_CASE("Newton methods see no difference in slices, threads and foreign functions") {
  using T = double;
  for (const NewtonMethod<T>& method : newton_methods<T>()) {
    CAPTURE(method.spec.kind);
    FunctionObjective<T> f = paired_rosenbrock<T>(4), foreign = paired_rosenbrock<T>(4);
    foreign.asking();
    std::vector<T> x = {-1.2, 1, 0.5, 2}, y = x;
    const MinimizerPointer<T> a = make<T>(method.spec, f), b = make<T>(method.spec, foreign);
    for (int i = 0; i < 3; ++i) {
      update(*a, f, x);
      Session session(2);
      Team team;
      run(session, b->update(session, foreign, y.data()), team, foreign.answer(), true);
      CHECK(x == y);
    }
  }
}

TEST_CASE("Newton methods say where they have converged, and stay where the function is not finite") {
  using T = double;
  for (const NewtonMethod<T>& method : newton_methods<T>()) {
    CAPTURE(method.spec.kind);
    FunctionObjective<T> f = paired_rosenbrock<T>(2);
    std::vector<T> x = {1, 1};
    const MinimizerPointer<T> minimizer = make<T>(method.spec, f);
    const MinimizerReport report = update(*minimizer, f, x);
    CHECK(std::string(report.converged) == "gradientTolerance");
    CHECK_FALSE(report.accepted);
    CHECK(x == std::vector<T>{1, 1});

    x = {T(NAN), 1};
    CHECK_FALSE(update(*minimizer, f, x).accepted);
    CHECK(minimizer->updates() == 0);
    // Finite only near the start: no step leads out of there.
    FunctionObjective<T> island(1, [](const T* z, Samples, T* g) {
      if (g != nullptr) *g = 1;
      return std::abs(*z) < 1e-3 ? *z : T(NAN);
    });
    const auto flat = [](const T*, Samples, const T* v, T* out) { *out = 1e-2 * *v; };
    island.with_curvature(Curvature::kHessian, flat).with_curvature(Curvature::kGaussNewton, flat);
    island.with_squares([](const T*, T* s) { *s = 1; });
    const MinimizerPointer<T> careful = make<T>(method.spec, island);
    std::vector<T> z = {0};
    for (int i = 0; i < 8; ++i) {
      update(*careful, island, z);
      CHECK(std::abs(z[0]) < 1e-3);
    }
  }
}

TEST_CASE("negative curvature leads away from a saddle point") {
  for (OptimizerSpec spec : {hessian_free_spec(), newton_cg_spec(), newton_mr_spec(), saddle_free_newton_spec(),
                             krylov_subspace_descent_spec(), gradient_normalized_smoothness_spec()}) {
    CAPTURE(spec.kind);
    set_word(spec, "curvature", "hessian");
    FunctionObjective<double> f = double_well();
    const MinimizerPointer<double> minimizer = make<double>(spec, f);
    std::vector<double> x = {1e-3, 1};
    for (int i = 0; i < 60; ++i) update(*minimizer, f, x);
    CHECK(x[0] == doctest::Approx(1).epsilon(1e-6));
    CHECK(std::abs(x[1]) < 1e-6);
  }
}

TEST_CASE("newtonCG follows the trust region's rules") {
  FunctionObjective<double> f = quadratic<double>(diagonal({1, 4}), {-3, -8});
  OptimizerSpec spec = newton_cg_spec();
  set(spec, "radius.initial", 0.5);
  set(spec, "cg.tolerance", 1e-10);
  MinimizerPointer<double> minimizer = make<double>(spec, f);
  std::vector<double> x = {0, 0};
  MinimizerReport report = update(*minimizer, f, x);
  CHECK(word_of(report, "cgReason") == "boundary");
  CHECK(std::hypot(x[0], x[1]) == doctest::Approx(0.5));
  CHECK(number_of(report, "reductionRatio") == doctest::Approx(1));
  CHECK(number_of(report, "radiusAfter") == 1);
  // The model is the function: every step is taken, the radius doubles until the minimiser is inside.
  for (int i = 0; i < 4; ++i) report = update(*minimizer, f, x);
  CHECK(x[0] == doctest::Approx(3));
  CHECK(x[1] == doctest::Approx(2));

  // A function that rises where its gradient says it falls: every step is refused, the radius shrinks to nothing.
  FunctionObjective<double> lie(1, [](const double* z, Samples, double* g) {
    if (g != nullptr) *g = -2;
    return *z;
  });
  lie.with_curvature(Curvature::kHessian, [](const double*, Samples, const double* v, double* out) { *out = *v; });
  set(spec, "radius.initial", 0);
  minimizer = make<double>(spec, lie);
  std::vector<double> z = {1};
  double radius = 1;  // min(1, |g|)
  for (report = update(*minimizer, lie, z); report.converged[0] == '\0'; report = update(*minimizer, lie, z)) {
    CHECK_FALSE(report.accepted);
    CHECK(report.learning_rate == 0);
    CHECK(number_of(report, "radius") == radius);
    radius /= 4;
    CHECK(number_of(report, "radiusAfter") == radius);
  }
  CHECK(std::string(report.converged) == "radius");
  CHECK(radius < 1e-12);
  CHECK(z[0] == 1);
  CHECK(lie.gradients == 1);  // it is known after a refused step, and nothing changes the samples
}

TEST_CASE("newtonMR takes residuals of non-positive curvature, and can search on the gradient") {
  FunctionObjective<double> f = double_well();
  MinimizerPointer<double> minimizer = make<double>(newton_mr_spec(), f);
  std::vector<double> x = {0.1, 0};
  const MinimizerReport report = update(*minimizer, f, x);
  CHECK(word_of(report, "direction") == "negativeCurvature");
  CHECK(word_of(report, "minresReason") == "negativeCurvature");
  CHECK(number_of(report, "curvature") == doctest::Approx(3 * 0.01 - 1));
  CHECK(report.learning_rate >= 1);  // tracked forwards
  CHECK(x[0] > 0.1);

  // The naive form goes for small gradients: from here that is the saddle.
  OptimizerSpec naive = newton_mr_spec();
  set_word(naive, "merit", "gradientNorm");
  set(naive, "lineSearch.armijo", 1e-4);
  minimizer = make<double>(naive, f);
  x = {0.1, 0.5};
  for (int i = 0; i < 20; ++i) update(*minimizer, f, x);
  CHECK(std::abs(x[0]) < 1e-6);
  CHECK(std::abs(x[1]) < 1e-6);
}

// (|H| + lambda)^-1 from the eigenvectors of H, where all of the space is the Krylov space.
TEST_CASE("saddleFreeNewton takes the magnitudes of H's eigenvalues") {
  constexpr std::size_t n = 6;
  const Numbers a = with_spectrum({-3, -1, -0.1, 0.5, 2, 4}, 3), b = random_numbers(n, 4);
  Numbers values(n), vectors(n * n);
  symmetric_eigen(a.data(), n, values.data(), vectors.data());
  const std::vector<double> start = random_numbers(n, 5);
  FunctionObjective<double> f = quadratic<double>(a, b);
  const Numbers g = plus(times(a, start), 1, b);
  for (const double lambda : {0.0, 0.5, 20.0}) {
    CAPTURE(lambda);
    OptimizerSpec spec = saddle_free_newton_spec();
    set_flag(spec, "damping.adapt", false);
    set(spec, "damping.initial", lambda);
    const MinimizerPointer<double> minimizer = make<double>(spec, f);
    std::vector<double> x = start;
    const MinimizerReport report = update(*minimizer, f, x);
    Numbers p(n);
    double model = 0;
    for (std::size_t k = 0; k < n; ++k) {
      const Numbers v(vectors.data() + k * n, vectors.data() + (k + 1) * n);
      const double length = -dot(g, v) / (std::abs(values[k]) + lambda);
      p = plus(p, length, v);
      model += dot(g, v) * length + std::abs(values[k]) * length * length / 2;
    }
    CHECK(report.accepted);
    CHECK(distance(plus(x, -1, start), p) <= 1e-10 * norm(p));
    CHECK(number_of(report, "modelValue") == doctest::Approx(model).epsilon(1e-10));
    CHECK(number_of(report, "stepNorm") == doctest::Approx(norm(p)).epsilon(1e-10));
    CHECK(number_of(report, "curvature") == doctest::Approx(dot(p, times(a, p)) / dot(p, p)).epsilon(1e-10));
    CHECK(number_of(report, "smallestCurvature") == doctest::Approx(-3).epsilon(1e-10));
    CHECK(number_of(report, "largestCurvature") == doctest::Approx(4).epsilon(1e-10));
    CHECK(number_of(report, "products") == n);
  }
  // Two vectors: p is in span{g, Hg}.
  OptimizerSpec spec = saddle_free_newton_spec();
  set(spec, "subspaceSize", 2);
  const MinimizerPointer<double> small = make<double>(spec, f);
  std::vector<double> x = start;
  const MinimizerReport report = update(*small, f, x);
  CHECK(number_of(report, "products") == 2);
  CHECK(number_of(report, "subspaceSize") == 2);
  Numbers rest = plus(x, -1, start);
  const Numbers q1 = plus(g, 1 / norm(g) - 1, g), hq = times(a, q1), w = plus(hq, -dot(hq, q1), q1);
  rest = plus(rest, -dot(rest, q1), q1);
  rest = plus(rest, -dot(rest, w) / dot(w, w), w);
  CHECK(norm(rest) <= 1e-12 * norm(start));
}

TEST_CASE("saddleFreeNewton adapts its damping within an update, for a value a try") {
  FunctionObjective<double> f = paired_rosenbrock<double>(4);
  OptimizerSpec spec = saddle_free_newton_spec();
  set(spec, "damping.initial", 1e-6);
  const MinimizerPointer<double> minimizer = make<double>(spec, f);
  std::vector<double> x = {-1.2, 1, 0.5, 2};
  double most = 0, damping = 1e-6;
  for (int i = 0; i < 30; ++i) {
    f.values = f.products = 0;
    const MinimizerReport report = update(*minimizer, f, x);
    if (report.converged[0] != '\0') break;
    const double tries = number_of(report, "tries"), rho = number_of(report, "reductionRatio"),
                 used = number_of(report, "damping");
    most = std::fmax(most, tries);
    CHECK(f.values == static_cast<std::int64_t>(tries));
    CHECK(f.products == static_cast<std::int64_t>(number_of(report, "products")));
    CHECK(f.products <= 4);
    if (tries == 1) CHECK(used == damping);
    if (tries > 1) CHECK(used > damping);
    CHECK(number_of(report, "dampingAfter") == doctest::Approx(rho > 0.75   ? used * 2 / 3
                                                               : rho < 0.25 ? used * 1.5
                                                                            : used));
    damping = number_of(report, "dampingAfter");
  }
  CHECK(most > 1);
  // A gradient that lies: no damping helps.
  FunctionObjective<double> lie(1, [](const double* z, Samples, double* g) {
    if (g != nullptr) *g = 1;
    return std::abs(*z);
  });
  lie.with_curvature(Curvature::kHessian, [](const double*, Samples, const double* v, double* out) { *out = *v; });
  const MinimizerPointer<double> other = make<double>(spec, lie);
  std::vector<double> z = {0};
  const MinimizerReport report = update(*other, lie, z);
  CHECK(std::string(report.converged) == "noDescent");
  CHECK(number_of(report, "tries") == 40);
  CHECK(z[0] == 0);
}

TEST_CASE("krylovSubspaceDescent minimises over the Krylov vectors and the step before") {
  // Computed independently of this project: 3 preconditioned Krylov vectors and `previous` span the subspace.
  const std::vector<double> matrix = {
      7.807539246904346, 1.0366502130402402, 2.839390056283989, -1.376100068744948, 2.0522844040308046,
      2.452657011399362, 2.3570445916654377, 0.3110146429463253, 1.0366502130402402, 14.355812541613327,
      0.02877232504739914, 8.770836910350155, -5.131041009160105, 5.819733778152109, 7.3621973500679445,
      -9.567101059149905, 2.839390056283989, 0.02877232504739914, 15.563917107705047, -3.5103414260869332,
      -4.963976202514157, 4.9403326381346595, -3.1309764872687875, 6.165503615461189, -1.376100068744948,
      8.770836910350155, -3.5103414260869332, 10.59240533675491, -2.284369726545532, 0.29332787749108147,
      5.406319550154916, -9.32964497560106, 2.0522844040308046, -5.131041009160105, -4.963976202514157,
      -2.284369726545532, 7.019942168013859, -3.6969664414234362, -1.2327165782435892, 1.6405148578279416,
      2.452657011399362, 5.819733778152109, 4.9403326381346595, 0.29332787749108147, -3.6969664414234362,
      8.574000502641152, 3.4300175693662953, -1.0887800488190362, 2.3570445916654377, 7.3621973500679445,
      -3.1309764872687875, 5.406319550154916, -1.2327165782435892, 3.4300175693662953, 17.22892067331599,
      -4.724928995554487, 0.3110146429463253, -9.567101059149905, 6.165503615461189, -9.32964497560106,
      1.6405148578279416, -1.0887800488190362, -4.724928995554487, 15.068494657625706};
  const std::vector<double> gradient = {
      -0.8640612461056245, -0.4566113538204948, -0.2719670947399131, -0.6665238894858158, -0.3140710474125683,
      -1.3390864303444756, -1.0764495659086584, -1.2856509368220987};
  const std::vector<double> preconditioner = {
      1.0447069576732226, 1.663030199713476, 0.6427730863194632, 1.5608482525565057, 1.461524984300942,
      0.5025634175011865, 1.324060259632955, 1.0723593121592858};
  const std::vector<double> previous = {
      0.5741133503029312, -0.45952159325212044, 1.2449569820407471, -0.6797478544854076, -2.418969255598033,
      0.3069226157174226, 1.2850583366929587, -1.8526429245219131};
  const std::vector<double> minimiser = {
      0.09971958726806837, -0.09489939522261162, -0.17347966814794613, 0.4013107430117515, -0.019589951980619164,
      0.31852341465689266, -0.016798521367113503, 0.4058651846655553};
  FunctionObjective<double> f = quadratic<double>(matrix, gradient);
  f.with_squares([&](const double*, double* s) {
    for (std::size_t i = 0; i < preconditioner.size(); ++i) s[i] = std::pow(preconditioner[i], 1 / 0.75);
  });
  OptimizerSpec spec = krylov_subspace_descent_spec();
  set(spec, "subspaceSize", 3);
  const MinimizerPointer<double> minimizer = make<double>(spec, f);
  REQUIRE(minimizer->restore({1, {}, {{"previousStep", false, previous}}}).ok());
  std::vector<double> x(8, 0.0);
  const MinimizerReport report = update(*minimizer, f, x);
  CHECK(number_of(report, "subspaceSize") == 4);
  CHECK(number_of(report, "products") == 4);
  CHECK(number_of(report, "evaluations") == 1);  // whitened: the first step of BFGS is the minimiser
  for (std::size_t i = 0; i < 8; ++i) CHECK(x[i] == doctest::Approx(minimiser[i]).epsilon(1e-9));

  // The search looks at the selection's samples; a Krylov space that ends early is no harm.
  FunctionObjective<double> split(2, [](const double* z, Samples samples, double* g) {
    const double centre = samples == Samples::kSelection ? 2 : 1;
    if (g != nullptr) g[0] = z[0] - centre, g[1] = 0;
    return (z[0] - centre) * (z[0] - centre) / 2;
  });
  split.same_samples_ = false;
  split.with_curvature(Curvature::kGaussNewton, [](const double*, Samples, const double* v, double* out) {
    out[0] = v[0];
    out[1] = 0;
  });
  split.with_squares([](const double*, double* s) { s[0] = s[1] = 1; });
  const MinimizerPointer<double> other = make<double>(krylov_subspace_descent_spec(), split);
  std::vector<double> z = {0, 0};
  const MinimizerReport found = update(*other, split, z);
  CHECK(number_of(found, "subspaceSize") == 1);
  CHECK(z[0] == doctest::Approx(2));
  CHECK(z[1] == 0);
}

}  // namespace
}  // namespace krylov
