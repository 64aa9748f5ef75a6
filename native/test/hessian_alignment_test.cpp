// The penalties of Hessian alignment against test/golden/solvers, and their
// derivatives against differences of a slow twin.
#include "krylov/hessian_alignment.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "support/comparison.h"
#include "test/network_fixture.h"

namespace krylov {
namespace {

using test::Comparison;
using Values = std::vector<double>;

struct Domain {
  Values features;
  std::vector<std::int32_t> labels;
};

struct Problem {
  std::int64_t inputs = 0, classes = 0;
  Values weight, bias;
  std::vector<Domain> domains;
  double alpha = 0, beta = 0;
  Values probes;  // may be empty

  std::size_t parameters() const { return weight.size() + bias.size(); }
};

// hessian-alignment.json
Problem golden_problem() {
  return {2,
          3,
          {-0.5210887138386976, 0.3760653677549781, -0.9106945504303152, -2.1931130891707515, -0.14905137582160818,
           -0.4446936050463166},
          {-0.1401976215267529, 0.3375209760168035, -0.2741456563456482},
          {{{0.3783875186797976, -0.44285120456154003, -1.1487897259214628, -0.8495787716549397, 0.9892139112831377,
             -0.5067609482693374, -0.252875932219349, 0.2852203684660267, 2.2747739686039274, 0.31633786594199625,
             -0.05191921117750939, 0.8312992908657464},
            {1, 0, 2, 2, 0, 1}},
           {{0.5539456435042757, -0.6112013880564271, 1.5602243044260562, 0.07006432023268494, 2.454105995332622,
             1.522841362780924, 1.7123782582686111, 1.5441667934259327, 0.6507611835274438, 1.6041872778816564,
             0.9758261246792674, 1.4873631560746263, 1.5286424531187897, 1.0314413067464296},
            {0, 0, 2, 0, 2, 0, 0}}},
          0.1,
          0.5,
          {1,  1,  -1, -1, -1, 1,  1,  -1, 1,  -1, 1,  1, -1, 1,  1,  -1, 1,  -1, -1, -1, 1,  -1, -1, 1,
           -1, 1,  -1, -1, -1, 1,  -1, 1,  -1, 1,  -1, 1, 1,  -1, 1,  1,  -1, -1, -1, -1, -1, 1,  -1, 1,
           1,  -1, -1, 1,  1,  -1, -1, 1,  -1, -1, -1, 1, 1,  -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1}};
}

struct Computed {
  AlignmentResult result;
  Values head;
  std::vector<Values> features;
};

template <Scalar T>
Computed compute(const Problem& problem, AlignmentPenalty penalty) {
  const std::vector<T> weight(problem.weight.begin(), problem.weight.end()),
      bias(problem.bias.begin(), problem.bias.end());
  std::vector<std::vector<T>> features, gradients;
  for (const Domain& domain : problem.domains) {
    features.emplace_back(domain.features.begin(), domain.features.end());
    gradients.emplace_back(domain.features.size());
  }
  std::vector<AlignmentDomain<T>> domains;
  for (std::size_t e = 0; e < features.size(); ++e) {
    const auto& labels = problem.domains[e].labels;
    domains.push_back({features[e].data(), labels.data(), std::ssize(labels), gradients[e].data()});
  }
  AlignmentOptions options;
  options.penalty = penalty;
  options.alpha = problem.alpha, options.beta = problem.beta;
  options.probes = problem.probes.data();
  options.probe_count = std::ssize(problem.probes) / std::int64_t(problem.parameters());
  std::vector<T> head(problem.parameters());
  Computed out;
  const SoftmaxHead<T> given{weight.data(), bias.data(), problem.inputs, problem.classes};
  REQUIRE(hessian_alignment<T>(given, domains, options, out.result, head).ok());
  out.head.assign(head.begin(), head.end());
  for (const auto& gradient : gradients) out.features.emplace_back(gradient.begin(), gradient.end());
  AlignmentResult alone;
  for (AlignmentDomain<T>& domain : domains) domain.feature_gradient = nullptr;
  REQUIRE(hessian_alignment<T>(given, domains, options, alone, {}).ok());
  CHECK(alone.value == out.result.value);
  return out;
}

TEST_CASE_TEMPLATE("hessian alignment: golden values", T, float, double) {
  Problem problem = golden_problem();
  const double tolerance = sizeof(T) == 4 ? 1e-5 : 1e-12;
  const auto hgp = compute<T>(problem, AlignmentPenalty::kHessianGradient).result;
  const auto sampled = compute<T>(problem, AlignmentPenalty::kHessianDiagonal).result;
  problem.probes.clear();
  const auto exact = compute<T>(problem, AlignmentPenalty::kHessianDiagonal).result;
  CHECK(hgp.loss == doctest::Approx(1.2966505894488138).epsilon(tolerance));
  CHECK(hgp.gradient_term == doctest::Approx(0.04268873189249756).epsilon(tolerance));
  CHECK(hgp.hessian_gradient_term == doctest::Approx(0.0007975609847250323).epsilon(tolerance));
  CHECK(exact.hessian_diagonal_term == doctest::Approx(0.0737172765567596).epsilon(tolerance));
  CHECK(sampled.hessian_diagonal_term == doctest::Approx(0.0802556908045752).epsilon(tolerance));
  CHECK(hgp.value == doctest::Approx(1.3180747114935352).epsilon(tolerance));
  CHECK(exact.value == doctest::Approx(1.3253666830507387).epsilon(tolerance));
  CHECK(sampled.value == doctest::Approx(1.3260205244755203).epsilon(tolerance));
}

// The twin: dense Hessians of the head, parameters in the order weight row by row, then bias.
struct Moments {
  double loss = 0;
  Values gradient, hessian;
};

Moments moments_of(const Problem& problem, const Domain& domain) {
  const auto K = std::size_t(problem.classes), d = std::size_t(problem.inputs), size = problem.parameters();
  const std::size_t rows = domain.labels.size();
  Moments m{0, Values(size), Values(size * size)};
  for (std::size_t n = 0; n < rows; ++n) {
    const double* const x = domain.features.data() + n * d;
    Values p(K);
    double sum = 0;
    for (std::size_t k = 0; k < K; ++k) {
      p[k] = problem.bias[k];
      for (std::size_t i = 0; i < d; ++i) p[k] += problem.weight[k * d + i] * x[i];
      p[k] = std::exp(p[k]);
      sum += p[k];
    }
    for (double& q : p) q /= sum;
    const auto y = std::size_t(domain.labels[n]);
    m.loss -= std::log(p[y]) / double(rows);
    // Row k of the Jacobian of the logits by the parameters.
    const auto jacobian = [&](std::size_t k, std::size_t j) -> double {
      if (j >= K * d) return j - K * d == k ? 1 : 0;
      return j / d == k ? x[j % d] : 0;
    };
    for (std::size_t a = 0; a < size; ++a) {
      for (std::size_t k = 0; k < K; ++k) m.gradient[a] += (p[k] - (k == y ? 1 : 0)) * jacobian(k, a) / double(rows);
      for (std::size_t b = 0; b < size; ++b) {
        for (std::size_t k = 0; k < K; ++k) {
          for (std::size_t l = 0; l < K; ++l) {
            m.hessian[a * size + b] +=
                ((k == l ? p[k] : 0) - p[k] * p[l]) * jacobian(k, a) * jacobian(l, b) / double(rows);
          }
        }
      }
    }
  }
  return m;
}

Values times(const Values& matrix, const Values& v) {
  Values out(v.size());
  for (std::size_t a = 0; a < v.size(); ++a) {
    for (std::size_t b = 0; b < v.size(); ++b) out[a] += matrix[a * v.size() + b] * v[b];
  }
  return out;
}

Values diagonal_of(const Problem& problem, const Values& hessian) {
  const std::size_t size = problem.parameters();
  Values out(size);
  const std::size_t count = problem.probes.size() / size;
  for (std::size_t a = 0; a < size && count == 0; ++a) out[a] = hessian[a * size + a];
  for (std::size_t s = 0; s < count; ++s) {
    const Values z(problem.probes.begin() + std::ptrdiff_t(s * size),
                   problem.probes.begin() + std::ptrdiff_t((s + 1) * size));
    const Values product = times(hessian, z);
    for (std::size_t a = 0; a < size; ++a) out[a] += z[a] * product[a] / double(count);
  }
  return out;
}

double distance(const Values& x, const Values& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return sum;
}

// What is held constant in the derivative.
struct References {
  Values gradient, product, diagonal;
};

References references_of(const Problem& problem) {
  const std::size_t size = problem.parameters();
  const double count = double(problem.domains.size());
  Values gradient(size), hessian(size * size);
  for (const Domain& domain : problem.domains) {
    const Moments m = moments_of(problem, domain);
    for (std::size_t i = 0; i < size; ++i) gradient[i] += m.gradient[i] / count;
    for (std::size_t i = 0; i < size * size; ++i) hessian[i] += m.hessian[i] / count;
  }
  return {gradient, times(hessian, gradient), diagonal_of(problem, hessian)};
}

double value_of(const Problem& problem, const References& constant, AlignmentPenalty penalty) {
  const double count = double(problem.domains.size());
  double value = 0;
  for (const Domain& domain : problem.domains) {
    const Moments m = moments_of(problem, domain);
    const double term = penalty == AlignmentPenalty::kHessianGradient
                            ? distance(times(m.hessian, m.gradient), constant.product)
                            : distance(diagonal_of(problem, m.hessian), constant.diagonal);
    value += (m.loss + problem.alpha * term + problem.beta * distance(m.gradient, constant.gradient)) / count;
  }
  return value;
}

// Four points: the error is of the fourth order.
double difference(Problem& problem, double& x, const References& constant, AlignmentPenalty penalty) {
  constexpr double kStep = 1e-3;
  const double at = x;
  const auto value = [&](double shift) {
    x = at + shift * kStep;
    return value_of(problem, constant, penalty);
  };
  const double slope = (8 * (value(1) - value(-1)) - (value(2) - value(-2))) / (12 * kStep);
  x = at;
  return slope;
}

TEST_CASE_TEMPLATE("hessian alignment: derivatives by the head and by the features", T, float, double) {
  std::vector<Problem> problems{golden_problem()};
  problems[0].alpha = 3;
  Problem wide;
  wide.inputs = 5, wide.classes = 2;
  wide.weight = test::random_values(10, 1), wide.bias = test::random_values(2, 2);
  wide.alpha = 2, wide.beta = 1.5;
  for (const unsigned rows : {3u, 1u, 4u}) {
    wide.domains.push_back(
        {test::random_values(rows * 5, rows), std::vector<std::int32_t>(rows, std::int32_t(rows % 2))});
  }
  problems.push_back(wide);
  for (Problem& problem : problems) {
    const Values probes = problem.probes;
    for (const int kind : {0, 1, 2}) {
      const auto penalty = kind == 0 ? AlignmentPenalty::kHessianGradient : AlignmentPenalty::kHessianDiagonal;
      problem.probes = kind == 1 ? probes : Values();
      const Computed computed = compute<T>(problem, penalty);
      const References constant = references_of(problem);
      const double bound = sizeof(T) == 4 ? 2e-4 : 1e-8;
      CHECK(computed.result.value == doctest::Approx(value_of(problem, constant, penalty)).epsilon(bound));
      Comparison head, features;
      for (std::size_t i = 0; i < problem.parameters(); ++i) {
        double& x = i < problem.weight.size() ? problem.weight[i] : problem.bias[i - problem.weight.size()];
        head.within(kind, std::int64_t(i), computed.head[i], difference(problem, x, constant, penalty), bound);
      }
      for (std::size_t e = 0; e < problem.domains.size(); ++e) {
        for (std::size_t i = 0; i < problem.domains[e].features.size(); ++i) {
          const double slope = difference(problem, problem.domains[e].features[i], constant, penalty);
          features.within(std::int64_t(e), std::int64_t(i), computed.features[e][i], slope, bound);
        }
      }
      head.check("head");
      features.check("features");
    }
    problem.probes = probes;
  }
}

TEST_CASE("hessian alignment: equal domains have no penalty; wrong input is named") {
  Problem problem = golden_problem();
  problem.domains[1] = problem.domains[0];
  for (const auto penalty : {AlignmentPenalty::kHessianGradient, AlignmentPenalty::kHessianDiagonal}) {
    const AlignmentResult result = compute<double>(problem, penalty).result;
    CHECK(result.gradient_term < 1e-28);
    CHECK(result.hessian_gradient_term < 1e-28);
    CHECK(result.hessian_diagonal_term < 1e-28);
    CHECK(result.value == doctest::Approx(result.loss));
  }
  const std::int32_t wrong[] = {0, 3};
  const Values x(4, 1.0);
  AlignmentResult result;
  std::vector<AlignmentDomain<double>> domains{{x.data(), wrong, 2, nullptr}};
  const SoftmaxHead<double> head{problem.weight.data(), problem.bias.data(), 2, 3};
  const auto failure = [&](const SoftmaxHead<double>& given, std::span<const AlignmentDomain<double>> list,
                           const AlignmentOptions& options, std::span<double> gradient) {
    return std::string(hessian_alignment<double>(given, list, options, result, gradient).argument);
  };
  Values gradient(8);
  CHECK(failure(head, domains, {}, {}) == "labels");
  CHECK(failure(head, {}, {}, {}) == "domains");
  CHECK(failure({x.data(), x.data(), 2, 1}, domains, {}, {}) == "weight");
  domains[0].rows = 1;
  CHECK(failure(head, domains, {}, gradient) == "gradient");
  AlignmentOptions options;
  options.beta = std::nan("");
  CHECK(failure(head, domains, options, {}) == "alpha, beta");
  domains[0].rows = 0;
  CHECK(failure(head, domains, {}, {}) == "domains");
}

}  // namespace
}  // namespace krylov
