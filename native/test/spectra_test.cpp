// Estimators by random vectors on matrices whose spectra are known; every method
// through native and foreign operators, both element types.
#include "krylov/spectra.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "krylov/network.h"
#include "krylov/operators.h"
#include "solvers/dense.h"
#include "solvers/random_vectors.h"
#include "support/comparison.h"
#include "support/spectrum_fixture.h"

namespace krylov {
namespace {

using test::Comparison;
using test::evenly;
using test::kUnit;
using test::Matrix;
using test::network_of;
using Values = std::vector<double>;

TEST_CASE("spectra: probes are the same numbers in any layout, type and team") {
  using test::dense;
  const VectorLayout<float> layout = network_of(
      {dense(19, Activation::kTanh), test::layer_norm(), dense(33, Activation::kTanh, 1, false), dense(700), dense(5)},
      21);
  const OperatorPort<float> arena(scaled_identity<float>(1, layout->arena_size(), layout));
  const std::int64_t size = layout->parameter_count();
  const OperatorPort<float> plain(scaled_identity<float>(1, size, nullptr));
  for (const ProbeKind kind : {ProbeKind::kSigns, ProbeKind::kNormal}) {
    Probes<float> probes;
    probes.kind = kind;
    probes.seed = 5;
    std::vector<float> expected(static_cast<std::size_t>(size)), found(expected.size());
    fill_probe<float>(probes, 3, expected);
    std::vector<double> wide(expected.size());
    fill_probe<double>({kind, 5}, 3, wide);
    double sum = 0, square = 0;
    for (std::size_t i = 0; i < wide.size(); ++i) {
      CHECK(expected[i] == static_cast<float>(wide[i]));
      sum += wide[i], square += wide[i] * wide[i];
    }
    CHECK(std::abs(sum) < 4 * std::sqrt(double(size)));
    CHECK(square / double(size) == doctest::Approx(1).epsilon(kind == ProbeKind::kSigns ? 1e-15 : 0.05));
    for (const int threads : {1, 2, 3}) {
      Team team;
      team.serve(
          threads,
          [](void* context, Team& given) noexcept { (*static_cast<std::function<void(Team&)>*>(context))(given); },
          std::make_unique<std::function<void(Team&)>>([&](Team& given) {
            Session session(threads);
            // A body that asks for nothing: it gives the session its team.
            const auto write = [](Session& s, const OperatorPort<float>& port, Probes<float> p,
                                  float* out) -> Procedure<int> {
              RandomVectors<float>(s, port, p).write(3, out);
              co_return 0;
            };
            std::vector<float> stored(static_cast<std::size_t>(layout->arena_size()), 9.0f);
            test::run(session, write(session, arena, probes, stored.data()), given);
            layout->to_public<float>(stored, std::span<float>(found));
            CHECK(found == expected);
            std::vector<float> again(stored.size());
            layout->to_arena<float>(expected, again);
            CHECK(stored == again);  // zeros in the padding
            Session other(threads);
            test::run(other, write(other, plain, probes, found.data()), given);
            CHECK(found == expected);
          }).get());
    }
  }
}

TEST_CASE_TEMPLATE("spectra: quadrature gives the moments of its probe", T, float, double) {
  const Matrix matrix(evenly(40, -1, 3));
  QuadratureOptions options;
  options.probes = 4;
  options.steps = 12;
  for (const ProbeKind kind : {ProbeKind::kSigns, ProbeKind::kNormal}) {
    for (const bool reorthogonalise : {true, false}) {
      options.reorthogonalise = reorthogonalise;
      const Probes<T> probes{kind, 11};
      for (const bool foreign : {false, true}) {
        Session session;
        Team team;
        const OperatorPort<T> port = foreign ? OperatorPort<T>(0, 40, 40) : matrix.template port<T>();
        const QuadratureResult result = test::run(session, lanczos_quadrature<T>(session, port, options, probes), team,
                                                  matrix.template answer<T>());
        CHECK(result.reason == SpectrumReason::kConverged);
        CHECK(result.products == 48);
        REQUIRE(result.probes.size() == 4);
        Comparison moments;
        for (std::size_t p = 0; p < 4; ++p) {
          const Quadrature& quadrature = result.probes[p];
          std::vector<T> z(40);
          fill_probe<T>(probes, p, z);
          Values power(z.begin(), z.end());
          const double norm = std::inner_product(z.begin(), z.end(), z.begin(), 0.0);
          moments.within(std::int64_t(p), -1, quadrature.squared_norm, norm, 1e-5 * norm);
          for (int k = 0; k < 8; ++k) {
            double sum = 0;
            for (std::size_t i = 0; i < quadrature.nodes.size(); ++i)
              sum += quadrature.weights[i] * std::pow(quadrature.nodes[i], k);
            const double moment = std::inner_product(z.begin(), z.end(), power.begin(), 0.0) / norm;
            moments.within(std::int64_t(p), k, sum, moment, 1e3 * kUnit<T> * std::pow(3.0, k));
            Values next(40, 0.0);
            for (std::int64_t r = 0; r < 40; ++r) {
              for (std::int64_t c = 0; c < 40; ++c) next[std::size_t(r)] += matrix.at(r, c) * power[std::size_t(c)];
            }
            power = next;
          }
        }
        moments.check("moments");
      }
    }
  }
}

TEST_CASE("spectra: the density is a sum of bells") {
  const std::vector<Quadrature> probes{{{-1, 2}, {0.25, 0.75}, 1}, {{0}, {1}, 1}};
  const double variance = 0.01;
  const Values grid = evenly(4001, -3, 4);
  Values density(grid.size());
  spectral_density(probes, variance, grid, density);
  double integral = 0, mean = 0;
  for (std::size_t i = 0; i < grid.size(); ++i) {
    integral += density[i] * (grid[1] - grid[0]);
    mean += density[i] * grid[i] * (grid[1] - grid[0]);
  }
  CHECK(integral == doctest::Approx(1));
  CHECK(mean == doctest::Approx(0.5 * (0.75 * 2 - 0.25)));
  const double point[] = {2.1};
  double at = 0;
  spectral_density(probes, variance, point, {&at, 1});
  CHECK(at == doctest::Approx(0.375 * std::exp(-0.5) / std::sqrt(2 * 3.14159265358979323846 * variance)));
}

TEST_CASE_TEMPLATE("spectra: Hutchinson's estimates", T, float, double) {
  const Matrix matrix(evenly(30, -1, 4));
  const double trace = std::accumulate(matrix.eigenvalues.begin(), matrix.eigenvalues.end(), 0.0);
  double square = 0;
  for (const double value : matrix.eigenvalues) square += value * value;
  for (const ProbeKind kind : {ProbeKind::kSigns, ProbeKind::kNormal}) {
    HutchinsonOptions options;
    options.max_probes = 400;
    options.tolerance = 0;
    Session session;
    Team team;
    const Probes<T> probes{kind, 2};
    const auto result = test::run(session, hutchinson<T>(session, matrix.template port<T>(), options, probes), team);
    CHECK(result.reason == SpectrumReason::kMaxProducts);
    CHECK(result.products == 400);
    const Estimate estimate = estimate_of(result.traces);
    CHECK(std::abs(estimate.mean - trace) < 4 * estimate.standard_error);
    double off = square;
    for (std::int64_t i = 0; i < 30; ++i) off -= matrix.at(i, i) * matrix.at(i, i);
    // The variances that theory gives.
    const double variance = kind == ProbeKind::kSigns ? 2 * off : 2 * square;
    CHECK(estimate.standard_error == doctest::Approx(std::sqrt(variance / 400)).epsilon(0.15));
    const Estimate frobenius = estimate_of(result.squares);
    CHECK(std::abs(frobenius.mean - square) < 4 * frobenius.standard_error);
    CHECK(result.diagonal.empty());
  }
  HutchinsonOptions options;
  options.max_probes = 4000;
  options.tolerance = 0.05;
  Session session;
  Team team;
  const auto result = test::run(session, hutchinson<T>(session, OperatorPort<T>(0, 30, 30), options, {}), team,
                                matrix.template answer<T>());
  CHECK(result.reason == SpectrumReason::kConverged);
  CHECK(result.products < 4000);
  const Estimate estimate = estimate_of(result.traces);
  CHECK(estimate.standard_error <= 0.05 * std::abs(estimate.mean));
}

TEST_CASE_TEMPLATE("spectra: the diagonal and its error", T, float, double) {
  const Matrix matrix(evenly(24, 1, 4));
  HutchinsonOptions options;
  options.watch = Moment::kDiagonal;
  options.max_probes = 500;
  options.tolerance = 0;
  Session session;
  Team team;
  const auto result = test::run(session, hutchinson<T>(session, matrix.template port<T>(), options, {}), team);
  double error = 0;
  for (std::int64_t i = 0; i < 24; ++i) error += std::pow(result.diagonal[std::size_t(i)] - matrix.at(i, i), 2);
  CHECK(std::sqrt(error) == doctest::Approx(result.diagonal_error).epsilon(0.4));
  // A diagonal matrix has no error at all: the first look ends it.
  const Values numbers = evenly(24, 1, 4);
  const std::vector<T> diagonal(numbers.begin(), numbers.end());
  options.tolerance = 1e-3;
  Session other;
  const auto exact =
      test::run(other, hutchinson<T>(other, OperatorPort<T>(diagonal_operator<T>(diagonal)), options, {}), team);
  CHECK(exact.reason == SpectrumReason::kConverged);
  CHECK(exact.products == options.min_probes);
  for (std::size_t i = 0; i < 24; ++i) CHECK(exact.diagonal[i] == doctest::Approx(double(diagonal[i])));
}

TEST_CASE_TEMPLATE("spectra: Hutch++ sums a low rank exactly", T, float, double) {
  Values values(50, 0.0);
  values[2] = 5, values[9] = 1, values[30] = 3;
  const Matrix low(values), full(evenly(50, 0, 2));
  HutchPlusPlusOptions options;
  options.products = 30;
  Session session;
  Team team;
  const auto exact = test::run(session, hutch_plus_plus<T>(session, low.port<T>(), options, {}), team);
  CHECK(exact.trace == doctest::Approx(9).epsilon(50 * kUnit<T>));
  CHECK(exact.products == 10 + exact.rank + 10);
  if (sizeof(T) == 8) CHECK(exact.rank == 3);
  Session other;
  const auto sampled = test::run(other, hutch_plus_plus<T>(other, OperatorPort<T>(0, 50, 50), options, {}), team,
                                 full.template answer<T>());
  CHECK(sampled.rank == 10);
  CHECK(sampled.products == 30);
  CHECK(std::abs(sampled.trace - 50) < 5 * sampled.standard_error);
  // More sketches than dimensions: nothing is left to be sampled.
  options.products = 180;
  Session third;
  const auto whole = test::run(third, hutch_plus_plus<T>(third, full.port<T>(), options, {}), team);
  CHECK(whole.rank == 49);  // one eigenvalue is 0
  CHECK(whole.trace == doctest::Approx(50).epsilon(100 * kUnit<T>));
}

TEST_CASE_TEMPLATE("spectra: the norm of a rectangular matrix", T, float, double) {
  const std::int64_t rows = 7, columns = 11;
  const Values random = test::random_values(77, 4);
  const std::vector<T> matrix(random.begin(), random.end());
  Values gram(49), values(7);
  multiply_by_transposed(random.data(), random.data(), gram.data(), rows, columns, rows);
  symmetric_eigen(gram.data(), rows, values.data(), nullptr);
  OperatorPointer<T> op;
  REQUIRE(dense_operator<T>(matrix, rows, columns, op).ok());
  Session session;
  Team team;
  const auto result = test::run(session, spectral_norm<T>(session, OperatorPort<T>(op), {}, {}), team);
  CHECK(result.reason == SpectrumReason::kConverged);
  CHECK(result.norm == doctest::Approx(std::sqrt(values.back())).epsilon(1e-5));
  for (std::int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (std::int64_t c = 0; c < columns; ++c)
      sum += double(matrix[std::size_t(r * columns + c)]) * double(result.right[std::size_t(c)]);
    CHECK(sum == doctest::Approx(result.norm * double(result.left[std::size_t(r)])).epsilon(1e-4));
  }
  const std::vector<T> zeros(77, T(0));
  REQUIRE(dense_operator<T>(zeros, rows, columns, op).ok());
  Session other;
  const auto none = test::run(other, spectral_norm<T>(other, OperatorPort<T>(op), {}, {}), team);
  CHECK(none.norm == 0);
  CHECK(none.reason == SpectrumReason::kConverged);
}

TEST_CASE("spectra: the noise of batches") {
  const Values whole = evenly(20, 1, 2);
  Values shifted = whole;
  for (double& x : shifted) x += 0.5;
  const OperatorPort<double> b(diagonal_operator<double>(whole)), one(diagonal_operator<double>(shifted));
  Session session;
  Team team;
  const NoiseResult result = test::run(session, curvature_noise<double>(session, b, {one, b}, 3, {}), team);
  CHECK(result.products == 9);
  REQUIRE(result.samples.size() == 6);
  for (std::size_t i = 0; i < 6; ++i) CHECK(result.samples[i] == doctest::Approx(i % 2 == 0 ? 0.25 : 0));
}

// Every method: an abort and a NaN are seen at the product they come with.
TEST_CASE("spectra: an abort or a NaN ends every method at once") {
  const Matrix matrix(evenly(20, 1, 2));
  const test::Answer right = matrix.answer<double>();
  const OperatorPort<double> port(0, 20, 20, 0);
  for (const bool aborted : {true, false}) {
    for (const int at : {1, 3, 14}) {
      const auto ends = [&](const char* name, auto make, auto products_of) {
        INFO(name << " at " << at);
        Session session;
        Team team;
        int products = 0;
        const test::Answer answer = [&](Request& request) {
          right(request);
          if (++products < at) return;
          aborted ? session.stop() : void(static_cast<double*>(request.output)[3] = std::nan(""));
        };
        const auto result = test::run(session, make(session), team, answer);
        CHECK(result.reason == (aborted ? SpectrumReason::kAborted : SpectrumReason::kNotFinite));
        CHECK(products == at);
        products_of(result);
      };
      ends(
          "quadrature", [&](Session& s) { return lanczos_quadrature<double>(s, port, {3, 6, true}, {}); },
          [&](const QuadratureResult& r) { CHECK(r.probes.size() == std::size_t((at - 1) / 6)); });
      HutchinsonOptions options;
      options.tolerance = 0;
      ends(
          "trace", [&](Session& s) { return hutchinson<double>(s, port, options, {}); },
          [&](const HutchinsonResult<double>& r) { CHECK(r.traces.size() == std::size_t(at - 1)); });
      HutchinsonOptions diagonal = options;
      diagonal.watch = Moment::kDiagonal;
      ends(
          "diagonal", [&](Session& s) { return hutchinson<double>(s, port, diagonal, {}); },
          [&](const HutchinsonResult<double>& r) {
            for (const double d : r.diagonal.span()) CHECK(std::isnan(d) == (at == 1));
          });
      ends(
          "hutch++", [&](Session& s) { return hutch_plus_plus<double>(s, port, {18}, {}); },
          [&](const HutchPlusPlusResult& r) { CHECK(std::isnan(r.trace) == (at < 14)); });
      ends(
          "norm", [&](Session& s) { return spectral_norm<double>(s, port, {0, 100}, {}); },
          [&](const SpectralNormResult<double>& r) {
            CHECK(std::isnan(r.norm) == (at == 1));
            // A right = norm left, of the last pair that was finished.
            for (std::int64_t i = 0; i < 20; ++i) {
              double image = 0;
              for (std::int64_t j = 0; j < 20; ++j) image += matrix.at(i, j) * r.right[std::size_t(j)];
              const double left = r.left[std::size_t(i)];
              if (at == 1) {
                CHECK(std::isnan(left));
                CHECK(std::isnan(r.right[std::size_t(i)]));
              } else {
                CHECK(std::abs(image - r.norm * left) <= 1e-14);
              }
            }
          });
      ends(
          "noise", [&](Session& s) { return curvature_noise<double>(s, port, {port}, 20, {}); },
          [&](const NoiseResult& r) { CHECK(r.samples.size() == std::size_t((at - 1) / 2)); });
    }
  }
}

}  // namespace
}  // namespace krylov
