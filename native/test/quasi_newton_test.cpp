// L-BFGS, BFGS, nonlinear conjugate gradients and stochastic L-BFGS: numbers
// from outside, and twins in plain loops.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "optimizers/conjugate_beta.h"
#include "support/comparison.h"
#include "support/minimizer_cases.h"

namespace krylov {
namespace {

using namespace test;

// Iterates of torch's rules, from the golden vectors (lbfgs.json; all of them are compared from TypeScript).
TEST_CASE("L-BFGS goes the way of torch's rules") {
  struct Case {
    std::int64_t n;
    double history;
    std::vector<double> start, after_10, after_20;
    double f_10, f_20;
    std::vector<double> evaluations;
  };
  const Case cases[] = {
      {2, 3, {-1.2, 1}, {-0.552079682121273, 0.27576065635104263}, {0.38350697849381, 0.11884998595676943},
       2.493233088290507, 0.4597434794387606,
       {3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 17, 18, 19, 20, 21, 22, 23, 25}},
      {5, 100, {-1.2, 1, -1.2, 1, 0.5},
       {-0.14511381150717054, 0.03234923405270693, 0.002931190132301604, 0.006652135028039703, -0.017298100119250908},
       {0.654560913983874, 0.3924906928853222, 0.13467793509264236, 0.01485863043916169, -0.010582942672926313},
       4.276113590276785, 2.3872597811000276,
       {2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 14, 15, 18, 19, 20, 23, 24, 25, 26, 27}}};
  for (const Case& c : cases) {
    FunctionObjective<double> objective = rosenbrock<double>(c.n);
    const auto minimizer = make(lbfgs(c.history, 1e-9), objective);
    std::vector<double> x = c.start;
    Comparison comparison;
    for (std::size_t k = 0; k < c.evaluations.size(); ++k) {
      const MinimizerReport report = step(*minimizer, objective, x.data());
      comparison.equal(static_cast<std::int64_t>(k), -1, number_of(report, "evaluations"), c.evaluations[k]);
      if (k != 9 && k != 19) continue;
      const std::vector<double>& expected = k == 9 ? c.after_10 : c.after_20;
      for (std::size_t i = 0; i < x.size(); ++i) {
        comparison.within(static_cast<std::int64_t>(k), static_cast<std::int64_t>(i), x[i], expected[i], 1e-9);
      }
      const double f = k == 9 ? c.f_10 : c.f_20;
      comparison.within(static_cast<std::int64_t>(k), -2, number_of(report, "lossAfter"), f, 1e-9);
    }
    comparison.check("n = " + std::to_string(c.n));
    CHECK(static_cast<double>(objective.gradients) == c.evaluations.back());
  }
}

TEST_CASE("beta by every formula") {
  struct Case {
    std::vector<double> old_gradient, gradient, direction, beta;  // in the order of BetaFormula
  };
  // From the golden vectors (nonlinear-cg.json); the last two by hand, for the truncations they do not reach.
  const Case cases[] = {
      {{1.8781050142651812, -11.653223280688751, -0.43806157649709787, -5.409355956709414, 0.7885859835648408},
       {-0.40305590926679447, -0.1133942275236457, 2.3854876611355067, -0.4031720550019928, -2.156185419270358},
       {-1.8781050142651812, 11.653223280688751, 0.43806157649709787, 5.409355956709414, -0.7885859835648408},
       {0.06303164268004308, 0.06303164268004299, 0.06303164268004299, 0.06303164268004308,
        0.06303164268004316, 0.06303164268004316}},
      {{-1.153163434613414, 0.12239863088193283, 0.4848369623608753, -1.0797371487856855, 2.2223144924056313},
       {-0.9428237011572369, -0.9637486943268978, -0.07692182167984375, 0.18728655264184102, -1.4986636051002},
       {0.6129287013312773, 0.899913883129761, -0.2015838644926098, -1.211130702763324, -1.5579912952994421},
       {0.5341655241989525, 0.8726130107655251, 1.9009397880145185, 1.1636504221322774,
        0.04822780623576704, 0.04822780623576704}},
      {{0.09694776604712667, 0.8420540589010291, -0.9428084870907704, 1.9655185797286698, -0.8446758108454768},
       {1.5553887299413152, -0.3178816994122709, 0.5802801140251478, -0.05580618556222684, 0.34362689369653227},
       {-0.06574966892167827, -0.19612211724963824, 0.5344066635319931, -0.1265151083279824, -0.1575960327185751},
       {0.48159153328117155, 0.6536326710362709, 3.9863017177191895, 2.9370764978962045,
        -0.856847575022406, -0.9129402140481521}},
      {{0.7346857906418731, -0.3210640638639503, -0.5067866574532421, 2.1454894689737034, 1.5716412427135669},
       {0.800751109266231, -0.6156761064253738, -0.5276351857456613, 1.4325189636205646, -1.9848920311387015},
       {-1.1397913373661146, -0.5255117672290036, 0.5992086175512602, -2.1681142604777404, -0.8213196347434744},
       {0.914422914328529, 0.7880834746524452, 1.3858499533817772, 1.6080186857772845,
        4.4549904038121335, 4.4549904038121335}},
      {{-0.1996168321350319, 0.761205005470148, 1.2846071120733054, 0.8641497343225701, 0.8562146463266868},
       {-0.4474471185738285, -0.19640476273096746, -0.7066577823358391, -0.3950400140922687, -0.638290314977853},
       {-2.507580423477623, -0.19984621442228317, -0.6837343944184915, -0.25230494337567555, 0.02270762661158453},
       {0.3471585329943506, 0.8421374906359906, 1.2845230287141394, 0.5295253271637244,
        -0.04247998075273226, -3.732177564032332}},
      // y = (1, 0): d'y = 1, g_+'y = -1, y'y = 1, g_+'d = 51, so b = -103; |d| = |(1, 52)|.
      {{-2, 1}, {-1, 1}, {1, 52}, {0.4, 0, -1, 2, 0.4 * 50 / 2705, -100 / std::sqrt(2705.0)}},
      // |g| < 0.01: y = (0, 1), d'y = 1, g_+'y = 1.001, g_+'d = 1.001, b = -1.001; the bound is far below it.
      {{0, 0.001}, {0, 1.001}, {0, 1}, {1.001 * 1.001 * 1e6, 1.001e6, 1.001, 1.002001, 0.4 * 0.001, -1.001}},
  };
  Comparison comparison;
  for (std::size_t k = 0; k < std::size(cases); ++k) {
    const Case& c = cases[k];
    BetaProducts p{};
    for (std::size_t i = 0; i < c.gradient.size(); ++i) {
      const double g = c.old_gradient[i], next = c.gradient[i], d = c.direction[i], y = next - g;
      p.gg += g * g, p.next += next * next, p.next_y += next * y, p.dy += d * y;
      p.yy += y * y, p.next_d += next * d, p.dd += d * d, p.dg += d * g;
    }
    for (std::size_t i = 0; i < c.beta.size(); ++i) {
      comparison.within(static_cast<std::int64_t>(k), static_cast<std::int64_t>(i),
                        conjugate_beta(static_cast<BetaFormula>(i), p), c.beta[i], 1e-9 * std::abs(c.beta[i]));
    }
  }
  comparison.check("beta");
}

const std::vector<double>& saved(const MinimizerState& state, const std::string& name) {
  const MinimizerState::Vector* v = state.vector(name);
  REQUIRE(v != nullptr);
  return v->values;
}

// H after each update against (I - rho s y') H (I - rho y s') + rho s s' in plain loops.
TEST_CASE("BFGS keeps the inverse that its equations give") {
  for (const bool damping : {false, true}) {
    CAPTURE(damping);
    constexpr std::int64_t n = 5;
    // Without a search and with waves, so that s'y is negative now and then.
    FunctionObjective<double> objective(n, [](const double* x, Samples, double* g) {
      double f = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        const double scale = 1.0 + static_cast<double>(i), next = x[(i + 1) % n];
        f += scale * std::cos(x[i]) + 0.3 * x[i] * next + 0.7 * x[i] * x[i];
      }
      for (std::int64_t i = 0; g != nullptr && i < n; ++i) {
        const double scale = 1.0 + static_cast<double>(i), neighbours = x[(i + 1) % n] + x[(i + n - 1) % n];
        g[i] = -scale * std::sin(x[i]) + 0.3 * neighbours + 1.4 * x[i];
      }
      return f;
    });
    const auto minimizer = make(bfgs(damping, 1e-9, "none", 0.6), objective);
    std::vector<double> x{0.3, -0.4, 0.2, 0.1, -0.3}, h;
    int damped = 0, kept = 0;
    for (int update = 0; update < 12; ++update) {
      const std::vector<double> before = x;
      step(*minimizer, objective, x.data());
      std::vector<double> g(n), y(n), s(n), bs(n);
      const auto& function = [&](const std::vector<double>& at, std::vector<double>& out) {
        Team team;
        Session session;
        run(session, objective.gradient(session, at.data(), Samples::kGradient, out.data(), nullptr), team);
      };
      function(before, g);
      function(x, y);
      double sy = 0, sbs = 0, yy = 0;
      // B s = -step g, with the step from s against -H g.
      for (std::size_t i = 0; i < n; ++i) s[i] = x[i] - before[i];
      double direction = 0;
      for (std::size_t j = 0; j < n; ++j) direction -= (h.empty() ? (j == 0 ? 1 : 0) : h[j]) * g[j];
      const double length = s[0] / direction;
      for (std::size_t i = 0; i < n; ++i) {
        y[i] -= g[i];
        bs[i] = -length * g[i];
        sy += s[i] * y[i], sbs += s[i] * bs[i];
      }
      if (damping && sy < 0.2 * sbs) {
        const double tau = 0.8 * sbs / (sbs - sy);
        for (std::size_t i = 0; i < n; ++i) y[i] = tau * y[i] + (1 - tau) * bs[i];
        sy = 0.2 * sbs;
        ++damped;
      }
      if (sy > 1e-10) {
        ++kept;
        for (const double a : y) yy += a * a;
        if (h.empty()) {
          h.assign(n * n, 0);
          for (std::size_t i = 0; i < n; ++i) h[i * n + i] = sy / yy;
        }
        std::vector<double> left(n * n), next(n * n);
        for (std::size_t i = 0; i < n; ++i) {
          for (std::size_t j = 0; j < n; ++j) {
            for (std::size_t k = 0; k < n; ++k) left[i * n + j] += ((i == k) - s[i] * y[k] / sy) * h[k * n + j];
          }
        }
        for (std::size_t i = 0; i < n; ++i) {
          for (std::size_t j = 0; j < n; ++j) {
            next[i * n + j] = s[i] * s[j] / sy;
            for (std::size_t k = 0; k < n; ++k) next[i * n + j] += left[i * n + k] * ((k == j) - y[k] * s[j] / sy);
          }
        }
        h = next;
      }
      const MinimizerState state = minimizer->save();
      if (h.empty()) {
        CHECK(state.vector("inverseHessian") == nullptr);
        continue;
      }
      const std::vector<double>& actual = saved(state, "inverseHessian");
      Comparison comparison;
      for (std::size_t i = 0; i < n * n; ++i) {
        comparison.within(update, static_cast<std::int64_t>(i), actual[i], h[i], 1e-9 * (1 + std::abs(h[i])));
        comparison.equal(update, static_cast<std::int64_t>(i), actual[i], actual[i % n * n + i / n]);
      }
      comparison.check("inverse");
    }
    CHECK(kept > 2);
    CHECK((damped > 0) == damping);
    CHECK((kept < 12) == !damping);
  }
}

// A parabola for each of four batches, with curvature samples of their own; the matrices differ, so that pairs tell
// whose they are.
struct Batches {
  static constexpr std::int64_t n = 4;
  std::int64_t batch = 0;
  static double diagonal(std::int64_t b, std::int64_t i) { return 1 + 0.5 * static_cast<double>((3 * b + i) % 5); }
  static void multiply(std::int64_t b, const double* v, double* out) {
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += v[i];
    for (std::int64_t i = 0; i < n; ++i) out[i] = diagonal(b, i) * v[i] + 0.25 * sum;
  }
  static constexpr std::int64_t kCurvatureBatch = 7;

  FunctionObjective<double> objective() {
    FunctionObjective<double> f(n, [this](const double* x, Samples, double* g) {
      std::vector<double> from(n), product(n);
      for (std::int64_t i = 0; i < n; ++i) from[i] = x[i] - 0.1 * static_cast<double>((batch + i) % 3);
      multiply(batch, from.data(), product.data());
      double value = 0;
      for (std::int64_t i = 0; i < n; ++i) value += 0.5 * from[i] * product[i];
      if (g != nullptr) std::copy(product.begin(), product.end(), g);
      return value;
    });
    const auto product = [](const double*, Samples samples, const double* v, double* out) {
      multiply(samples == Samples::kCurvature ? kCurvatureBatch : -1, v, out);
    };
    f.with_curvature(Curvature::kHessian, product).with_curvature(Curvature::kGaussNewton, product);
    f.with_batches([this](std::int64_t update) { batch = update % 4; });
    return f;
  }
};

TEST_CASE("stochastic L-BFGS learns from one batch at a time, or from products at mean iterates") {
  for (const char* pairs : {"sameBatch", "hessian", "ggn"}) {
    for (const int every : {1, 3}) {
      CAPTURE(std::string(pairs));
      CAPTURE(every);
      const bool same_batch = std::string(pairs) == "sameBatch";
      constexpr double kRate = 0.2, kRegularisation = 0.05;
      Batches batches;
      FunctionObjective<double> objective = batches.objective();
      const auto minimizer = make(stochastic_lbfgs(pairs, kRate, every, kRegularisation), objective);
      CHECK(minimizer->needs() == (same_batch ? 0u : std::string(pairs) == "ggn" ? kNeedsGaussNewton : kNeedsHessian));
      std::vector<double> x{1, -2, 0.5, 3}, sum(4), mean, last_mean;
      std::vector<std::vector<double>> s, y;
      Comparison comparison;
      double evaluations = 0, products = 0;
      for (int update = 0; update < 14; ++update) {
        const std::vector<double> before = x;
        std::vector<double> g(4), d(4);
        objective.begin(update);
        {
          Team team;
          Session session;
          run(session, objective.gradient(session, x.data(), Samples::kGradient, g.data(), nullptr), team);
        }
        const MinimizerReport report = step(*minimizer, objective, x.data());
        // The step, by two loops over the pairs kept here.
        double scale = 0, g1 = 0;
        std::vector<double> weights(s.size());
        d = g;
        const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
          double t = 0;
          for (std::size_t i = 0; i < a.size(); ++i) t += a[i] * b[i];
          return t;
        };
        for (std::size_t k = s.size(); k-- > 0;) {
          weights[k] = dot(s[k], d) / dot(s[k], y[k]);
          for (std::size_t i = 0; i < 4; ++i) d[i] -= weights[k] * y[k][i];
          const double of_pair = dot(s[k], y[k]) / dot(y[k], y[k]);
          if (same_batch) scale += of_pair / static_cast<double>(s.size());
          if (!same_batch && k + 1 == s.size()) scale = of_pair;
        }
        for (const double a : g) g1 += std::abs(a);
        if (s.empty()) scale = std::min(1.0, 1 / g1);
        for (double& a : d) a *= scale;
        for (std::size_t k = 0; k < s.size(); ++k) {
          const double seen = dot(y[k], d) / dot(s[k], y[k]);
          for (std::size_t i = 0; i < 4; ++i) d[i] += (weights[k] - seen) * s[k][i];
        }
        for (std::size_t i = 0; i < 4; ++i) {
          comparison.within(update, static_cast<std::int64_t>(i), x[i], before[i] - kRate * d[i], 1e-12);
          sum[i] += before[i];
        }
        ++evaluations;
        if ((update + 1) % every == 0) {
          std::vector<double> now(4), change(4), product(4);
          for (std::size_t i = 0; i < 4; ++i) now[i] = sum[i] / every;
          const std::vector<double>& from = same_batch ? before : last_mean;
          const std::vector<double>& to = same_batch ? x : now;
          for (std::size_t i = 0; i < from.size(); ++i) change[i] = to[i] - from[i];
          if (!from.empty()) {
            Batches::multiply(same_batch ? update % 4 : Batches::kCurvatureBatch, change.data(), product.data());
            for (std::size_t i = 0; i < 4; ++i) product[i] += kRegularisation * change[i];
            s.push_back(change), y.push_back(product);
            same_batch ? ++evaluations : ++products;
            if (s.size() > 5) s.erase(s.begin()), y.erase(y.begin());
          }
          last_mean = now;
          sum.assign(4, 0);
        }
        comparison.equal(update, -1, number_of(report, "evaluations"), evaluations);
        comparison.equal(update, -2, number_of(report, "products"), products);
        comparison.equal(update, -3, number_of(report, "pairs"), static_cast<double>(s.size()));
      }
      comparison.check("steps");
    }
  }
}

TEST_CASE("stochastic L-BFGS keeps no pair with negative curvature, and reuses gradients of the whole set") {
  FunctionObjective<double> concave(2, [](const double* x, Samples, double* g) {
    if (g != nullptr) g[0] = -x[0], g[1] = -3 * x[1];
    return -0.5 * x[0] * x[0] - 1.5 * x[1] * x[1];
  });
  const auto minimizer = make(stochastic_lbfgs("sameBatch", 0.1, 1), concave);
  std::vector<double> x{1, 1};
  for (int i = 0; i < 5; ++i) CHECK(number_of(step(*minimizer, concave, x.data()), "pairs") == 0);
  CHECK(concave.gradients == 6);

  Batches batches;
  FunctionObjective<double> parabola = batches.objective();
  parabola.with_batches(nullptr);
  const auto whole = make(stochastic_lbfgs("sameBatch", 1, 1), parabola);
  std::vector<double> at{1, -2, 0.5, 3};
  for (int i = 0; i < 30; ++i) step(*whole, parabola, at.data());
  CHECK(parabola.gradients == 31);
  for (std::size_t i = 0; i < 4; ++i) CHECK(at[i] == doctest::Approx(0.1 * static_cast<double>(i % 3)));
}

}  // namespace
}  // namespace krylov
