// Kronecker factors against dense Gauss-Newton matrices, their damped inverses
// against plain products and independent numbers, and K-FAC's updates.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "solvers/kronecker_inverse.h"
#include "support/estimate_checks.h"
#include "support/kfac_cases.h"

namespace krylov::test {
namespace {

constexpr std::int64_t kRows = 9;
using Matrix = std::vector<double>;

// c = a b, a [m, k], b [k, n].
Matrix times(const Matrix& a, const Matrix& b, std::int64_t m, std::int64_t k, std::int64_t n) {
  Matrix c(static_cast<std::size_t>(m * n), 0.0);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t p = 0; p < k; ++p) {
      const double factor = a[std::size_t(i * k + p)];
      for (std::int64_t j = 0; j < n; ++j) c[std::size_t(i * n + j)] += factor * b[std::size_t(p * n + j)];
    }
  }
  return c;
}

// Places in the public vector of a layer's block [outputs, inputs], the bias as the last column.
template <Scalar T>
std::vector<std::size_t> places(const Network<T>& network, const KroneckerFactor& f) {
  std::vector<std::size_t> out(static_cast<std::size_t>(f.outputs * f.inputs));
  for (const TensorInfo& tensor : network.tensors()) {
    if (tensor.block != f.block) continue;
    for (std::int64_t o = 0; o < tensor.outputs; ++o) {
      for (std::int64_t i = 0; i < tensor.row_count; ++i) {
        out[std::size_t(o * f.inputs + tensor.first_row + i)] =
            static_cast<std::size_t>(tensor.public_offset + o * tensor.row_count + i);
      }
    }
  }
  return out;
}

Values pick(const Values& x, const std::vector<std::size_t>& at) {
  Values out;
  for (const std::size_t i : at) out.push_back(x[i]);
  return out;
}

template <Scalar T>
KroneckerFactors factors_of(PointRun<T>& run, bool sampled = false, const Draws& draws = {}) {
  KroneckerFactors factors;
  run.lead([&](Team& team) { CHECK(kronecker_factors(run.point(), team, sampled, draws, factors).ok()); });
  return factors;
}

std::vector<PointProblem> small_problems(std::int64_t rows) {
  std::vector<PointProblem> all;
  for (PointProblem& problem : point_problems(rows)) {
    if (problem.parameters.size() < 130) all.push_back(std::move(problem));
  }
  return all;
}

TEST_CASE_TEMPLATE("for one sample the block of a layer is the product of its factors", T, float, double) {
  for (PointProblem& problem : small_problems(1)) {
    CAPTURE(problem.name);
    problem.table.weights.clear();
    const Matrix dense = dense_gauss_newton(problem);
    const std::size_t size = problem.parameters.size();
    PointRun<T> run(problem, 1);
    const KroneckerFactors factors = factors_of(run);
    for (const KroneckerFactor& f : factors.layers) {
      const auto at = places(run.network(), f);
      Values want, got;
      for (std::size_t i = 0; i < at.size(); ++i) {
        for (std::size_t j = 0; j < at.size(); ++j) {
          want.push_back(dense[at[i] * size + at[j]]);
          const auto n = static_cast<std::size_t>(f.inputs), m = static_cast<std::size_t>(f.outputs);
          got.push_back(f.output[i / n * m + j / n] * f.input[i % n * n + j % n]);
        }
      }
      check_close("block", got, want, sizeof(T) == 8 ? 1e-10 : 1e-4);
    }
  }
}

TEST_CASE_TEMPLATE("factors of many samples are sums over them", T, float, double) {
  const double tolerance = sizeof(T) == 8 ? 1e-10 : 1e-4;
  for (const PointProblem& problem : small_problems(kRows)) {
    CAPTURE(problem.name);
    const Matrix dense = dense_gauss_newton(problem);
    const Values diagonal = diagonal_of(dense);
    const std::size_t size = problem.parameters.size();
    PointRun<T> run(problem, kRows), parts(problem, 4, 2);
    const KroneckerFactors factors = factors_of(run), again = factors_of(parts);
    std::vector<Values> means(factors.layers.size());
    for (std::int64_t r = 0; r < kRows; ++r) {
      REQUIRE(run.point().set_data(problem.table.dataset(r, 1), nullptr, 1).ok());
      const KroneckerFactors one = factors_of(run);
      for (std::size_t l = 0; l < means.size(); ++l) {
        means[l].resize(one.layers[l].input.size());
        for (std::size_t i = 0; i < means[l].size(); ++i) means[l][i] += one.layers[l].input[i] / double(kRows);
      }
    }
    Values norms(size, 0.0);
    for (std::size_t l = 0; l < means.size(); ++l) {
      const KroneckerFactor& f = factors.layers[l];
      check_close("input", f.input, means[l], tolerance);
      check_close("input in parts", again.layers[l].input, f.input, tolerance);
      check_close("output in parts", again.layers[l].output, f.output, tolerance);
      const auto at = places(run.network(), f);
      for (const std::size_t i : at) norms[i] = 1;
      if (!f.bias) continue;
      // The bias reads the constant 1: its block is the output's factor.
      Values block;
      for (std::int64_t i = 0; i < f.outputs; ++i) {
        for (std::int64_t j = 0; j < f.outputs; ++j) {
          const std::size_t row = at[std::size_t((i + 1) * f.inputs - 1)];
          block.push_back(dense[row * size + at[std::size_t((j + 1) * f.inputs - 1)]]);
        }
      }
      check_close("output", f.output, block, tolerance);
    }
    CHECK(factors.diagonal.empty() == !has_norm(problem.spec));
    if (factors.diagonal.empty()) continue;
    AlignedBuffer<T> arena(factors.diagonal.size());
    for (std::size_t i = 0; i < arena.size(); ++i) arena[i] = static_cast<T>(factors.diagonal[i]);
    Values want = diagonal;
    for (std::size_t i = 0; i < size; ++i) want[i] *= 1 - norms[i];
    check_close("normalisations", run.flat(arena), want, tolerance);
  }
}

// The same labels as in the products of the sampled Fisher matrix: its block of a bias is the output's factor.
TEST_CASE("sampled factors belong to the sampled Fisher matrix") {
  for (PointProblem& problem : small_problems(kRows)) {
    if (has_loss(problem, Loss::kHuber)) continue;
    CAPTURE(problem.name);
    problem.l2 = 0;
    PointRun<double> run(problem, kRows);
    const Draws draws{2, 9, 4};
    const KroneckerFactors factors = factors_of(run, true, draws), exact = factors_of(run);
    const std::shared_ptr<NetworkPoint<double>> point(&run.point(), [](auto*) {});
    std::shared_ptr<LinearOperator<double>> fisher;
    REQUIRE(sampled_fisher_operator(point, draws, fisher).ok());
    for (std::size_t l = 0; l < factors.layers.size(); ++l) {
      const KroneckerFactor& f = factors.layers[l];
      CHECK((f.input == exact.layers[l].input));
      if (!f.bias) continue;
      const auto at = places(run.network(), f);
      for (std::int64_t j = 0; j < f.outputs; ++j) {
        Values unit(problem.parameters.size(), 0.0);
        unit[at[std::size_t((j + 1) * f.inputs - 1)]] = 1;
        const Values column = apply(run, *fisher, unit);
        Values got, want;
        for (std::int64_t i = 0; i < f.outputs; ++i) {
          got.push_back(f.output[std::size_t(i * f.outputs + j)]);
          want.push_back(column[at[std::size_t((i + 1) * f.inputs - 1)]]);
        }
        check_close("column", got, want, 1e-11);
      }
    }
  }
}

// Multiplied back by plain loops.
TEST_CASE_TEMPLATE("the damped inverses are inverses", T, float, double) {
  const double tolerance = sizeof(T) == 8 ? 1e-9 : 2e-3;
  std::vector<PointProblem> problems = small_problems(kRows);
  SpecCase wide{"wide", {}, false};
  wide.spec.inputs = 150;
  wide.spec.layers = {dense(131, Activation::kTanh), dense(267, Activation::kRelu, 0, false), dense(5)};
  problems.push_back(point_problem(wide, 3, 60));
  for (const PointProblem& problem : problems) {
    CAPTURE(problem.name);
    PointRun<T> run(problem, kRows, 2);
    const KroneckerFactors factors = factors_of(run);
    std::unique_ptr<const Network<T>> made;
    REQUIRE(Network<T>::create(problem.spec, made).ok());
    const std::shared_ptr<const Network<T>> network = std::move(made);
    const Values v = random_values(problem.parameters.size(), 95);
    constexpr double kDamping = 0.3;
    for (const KroneckerDamping form : {KroneckerDamping::kFactored, KroneckerDamping::kExact}) {
      CAPTURE(int(form));
      std::shared_ptr<LinearOperator<T>> inverse;
      run.lead([&](Team& team) { CHECK(kronecker_inverse(network, factors, form, kDamping, team, inverse).ok()); });
      REQUIRE(inverse != nullptr);
      CHECK(same_layout(inverse->layout(), VectorLayout<T>(network)));
      const Values x = apply(run, *inverse, v);
      CHECK((apply(run, *inverse, v) == x));
      Values back(v.size(), 0.0);
      if (!factors.diagonal.empty()) {
        AlignedBuffer<T> arena(factors.diagonal.size());
        for (std::size_t i = 0; i < arena.size(); ++i) arena[i] = static_cast<T>(factors.diagonal[i]);
        const Values d = run.flat(arena);
        for (std::size_t i = 0; i < v.size(); ++i) back[i] = (d[i] + kDamping) * x[i];
      }
      for (const KroneckerFactor& f : factors.layers) {
        Matrix input = f.input, output = f.output;
        double balance = 0, other = 0;
        for (std::int64_t i = 0; i < f.inputs; ++i) {
          balance += input[std::size_t(i * f.inputs + i)] / double(f.inputs);
        }
        for (std::int64_t i = 0; i < f.outputs; ++i) {
          other += output[std::size_t(i * f.outputs + i)] / double(f.outputs);
        }
        balance = balance > 0 && other > 0 ? std::sqrt(balance / other) : 1;
        const bool factored = form == KroneckerDamping::kFactored;
        for (std::int64_t i = 0; factored && i < f.inputs; ++i) {
          input[std::size_t(i * f.inputs + i)] += balance * std::sqrt(kDamping);
        }
        for (std::int64_t i = 0; factored && i < f.outputs; ++i) {
          output[std::size_t(i * f.outputs + i)] += std::sqrt(kDamping) / balance;
        }
        const auto at = places(run.network(), f);
        const Values block = pick(x, at);
        const Matrix right = times(block, input, f.outputs, f.inputs, f.inputs);
        const Matrix product = times(output, right, f.outputs, f.outputs, f.inputs);
        for (std::size_t i = 0; i < at.size(); ++i) back[at[i]] = product[i] + (factored ? 0 : kDamping * block[i]);
      }
      check_close("times its inverse", back, v, tolerance);
    }
  }
}

TEST_CASE("preconditioned gradients equal independent numbers") {
  const KfacCase golden = kfac_case();
  NetworkSpec spec;
  spec.inputs = 4;
  spec.layers = {dense(5), dense(3)};
  std::unique_ptr<const Network<double>> made;
  REQUIRE(Network<double>::create(spec, made).ok());
  const std::shared_ptr<const Network<double>> network = std::move(made);
  auto factors = std::make_shared<KroneckerFactors>();
  Values gradient, want[2];
  for (std::size_t l = 0; l < 2; ++l) {
    const KfacLayerCase& layer = golden.layers[l];
    KroneckerFactor f;
    f.block = static_cast<int>(l);
    f.inputs = l == 0 ? 5 : 6;
    f.outputs = l == 0 ? 5 : 3;
    f.input = layer.input;
    f.output = layer.output;
    // [out, in + 1] to weight, bias.
    const auto append = [&](const std::vector<double>& block, Values& out) {
      for (std::int64_t o = 0; o < f.outputs; ++o) {
        for (std::int64_t i = 0; i + 1 < f.inputs; ++i) out.push_back(block[std::size_t(o * f.inputs + i)]);
      }
      for (std::int64_t o = 0; o < f.outputs; ++o) out.push_back(block[std::size_t((o + 1) * f.inputs - 1)]);
    };
    append(layer.gradient, gradient);
    append(layer.factored, want[0]);
    append(layer.exact, want[1]);
    factors->layers.push_back(std::move(f));
  }
  AlignedBuffer<double> from(static_cast<std::size_t>(network->arena_size())), to(from.size());
  network->to_arena<double>(gradient, from.span());
  Team team;
  for (const KroneckerDamping form : {KroneckerDamping::kFactored, KroneckerDamping::kExact}) {
    std::shared_ptr<KroneckerInverse<double>> inverse;
    REQUIRE(KroneckerInverse<double>::create(network, factors, form, inverse).ok());
    for (std::size_t l = 0; l < 2; ++l) {
      CHECK(inverse->balance(l) == doctest::Approx(golden.layers[l].balance).epsilon(1e-12));
    }
    REQUIRE(inverse->damp(team, golden.damping).ok());
    inverse->apply(team, from.data(), to.data());
    Values got(gradient.size());
    network->to_public<double>(to.span(), got);
    check_close("preconditioned", got, want[form == KroneckerDamping::kExact], 1e-10);
    if (form == KroneckerDamping::kFactored) continue;
    double change = 0;
    for (std::size_t i = 0; i < got.size(); ++i) change += got[i] * gradient[i];
    change *= golden.learning_rate * golden.learning_rate;
    CHECK(std::sqrt(golden.clip / change) == doctest::Approx(golden.clip_scale).epsilon(1e-10));
  }
}

TEST_CASE("inverses refuse factors of other networks, and what is not positive definite") {
  SpecCase one{"two layers", {}, true};
  one.spec.inputs = 3;
  one.spec.layers = {dense(4, Activation::kTanh), dense(2)};
  PointProblem problem = point_problem(one, 0, kRows);
  PointRun<double> run(problem, kRows);
  std::unique_ptr<const Network<double>> made;
  REQUIRE(Network<double>::create(problem.spec, made).ok());
  const std::shared_ptr<const Network<double>> network = std::move(made);
  const KroneckerFactors factors = factors_of(run);
  std::shared_ptr<LinearOperator<double>> inverse;
  Team team;
  for (const KroneckerDamping form : {KroneckerDamping::kFactored, KroneckerDamping::kExact}) {
    CHECK(kronecker_inverse(network, factors, form, 0.0, team, inverse).code == ErrorCode::kOption);
    KroneckerFactors fewer = factors;
    fewer.layers.pop_back();
    CHECK(kronecker_inverse(network, fewer, form, 1.0, team, inverse).code == ErrorCode::kShape);
    KroneckerFactors shorter = factors;
    shorter.layers[0].input.pop_back();
    CHECK(kronecker_inverse(network, shorter, form, 1.0, team, inverse).code == ErrorCode::kShape);
    KroneckerFactors broken = factors;
    broken.layers[1].output[0] = std::numeric_limits<double>::quiet_NaN();
    CHECK(kronecker_inverse(network, broken, form, 1.0, team, inverse).code == ErrorCode::kNotFinite);
    CHECK(kronecker_inverse(network, factors, form, 1.0, team, inverse).ok());
  }
}

}  // namespace
}  // namespace krylov::test
