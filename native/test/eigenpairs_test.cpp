// Outer eigenpairs of matrices whose spectra are known.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "krylov/network.h"
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

template <Scalar T>
EigenpairsResult<T> eigenpairs_of(const OperatorPort<T>& port, EigenpairsOptions options, Probes<T> probes = {},
                                  int threads = 1, const test::Answer& answer = nullptr) {
  Session session(threads);
  Team team;
  return test::run(session, eigenpairs<T>(session, port, options, probes), team, answer);
}

// The wanted eigenvalues in the order in which they are returned.
Values wanted_of(const Matrix& matrix, Extreme which, std::int64_t count) {
  Values values = matrix.eigenvalues;
  if (which == Extreme::kLargest) std::reverse(values.begin(), values.end());
  if (which == Extreme::kMagnitude) {
    std::stable_sort(values.begin(), values.end(), [](double a, double b) { return std::abs(a) > std::abs(b); });
  }
  values.resize(static_cast<std::size_t>(std::min(count, matrix.n)));
  return values;
}

template <Scalar T>
void check_pairs(const Matrix& matrix, const EigenpairsResult<T>& result, const Values& wanted, double tolerance,
                 const std::string& name) {
  INFO(name);
  CHECK(result.reason == SpectrumReason::kConverged);
  REQUIRE(result.values.size() == wanted.size());
  const double scale = std::max(std::abs(matrix.eigenvalues.front()), std::abs(matrix.eigenvalues.back()));
  const double rounding = 100 * kUnit<T> * scale * std::sqrt(double(matrix.n));
  Comparison values, residuals, products;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const T* const x = result.vectors.data() + static_cast<std::int64_t>(i) * matrix.n;
    values.within(std::int64_t(i), 0, result.values[i], wanted[i], tolerance * scale + rounding);
    double square = 0;
    for (std::int64_t r = 0; r < matrix.n; ++r) {
      double sum = -result.values[i] * x[r];
      for (std::int64_t c = 0; c < matrix.n; ++c) sum += matrix.at(r, c) * x[c];
      square += sum * sum;
    }
    residuals.within(std::int64_t(i), 0, std::sqrt(square), result.residuals[i], rounding);
    for (std::size_t j = 0; j <= i; ++j) {
      const T* const y = result.vectors.data() + static_cast<std::int64_t>(j) * matrix.n;
      double dot = 0;
      for (std::int64_t r = 0; r < matrix.n; ++r) dot += double(x[r]) * double(y[r]);
      products.within(std::int64_t(i), std::int64_t(j), dot, i == j ? 1 : 0,
                      100 * kUnit<T> * std::sqrt(double(matrix.n)));
    }
  }
  values.check(name + ": values");
  residuals.check(name + ": residuals");
  products.check(name + ": orthonormal");
}

TEST_CASE_TEMPLATE("spectra: eigenpairs from each end and by magnitude", T, float, double) {
  const Matrix plain(evenly(60, -3, 5)), skewed(evenly(47, -9, 2));
  for (const Matrix* matrix : {&plain, &skewed}) {
    for (const Extreme which : {Extreme::kLargest, Extreme::kSmallest, Extreme::kMagnitude}) {
      for (const std::int64_t count : {1, 4, 11, 80}) {
        EigenpairsOptions options;
        options.which = which;
        options.count = count;
        const std::string name = "n " + std::to_string(matrix->n) + ", which " + std::to_string(int(which)) +
                                 ", count " + std::to_string(count);
        const auto native = eigenpairs_of<T>(matrix->template port<T>(), options);
        check_pairs<T>(*matrix, native, wanted_of(*matrix, which, count), options.tolerance, name);
        const auto foreign =
            eigenpairs_of<T>(OperatorPort<T>(0, matrix->n, matrix->n), options, {}, 1, matrix->template answer<T>());
        check_pairs<T>(*matrix, foreign, wanted_of(*matrix, which, count), options.tolerance, name + ", foreign");
      }
    }
  }
}

TEST_CASE("spectra: eigenpairs with restarts") {
  Values values = evenly(300, 0, 1);
  values[299] = 1.02, values[298] = 1.015, values[297] = 1.01;
  const Matrix matrix(values);
  EigenpairsOptions options;
  options.count = 3;
  options.subspace = 12;
  options.tolerance = 1e-8;
  const auto result = eigenpairs_of<double>(matrix.port<double>(), options);
  CHECK(result.restarts > 2);
  CHECK(result.products > 30);
  check_pairs<double>(matrix, result, wanted_of(matrix, Extreme::kLargest, 3), 1e-12, "restarted");
  options.max_products = result.products / 2;
  const auto cut = eigenpairs_of<double>(matrix.port<double>(), options);
  CHECK(cut.reason == SpectrumReason::kMaxProducts);
  CHECK(cut.products == result.products / 2);
  CHECK(cut.values.size() == 3);
  CHECK(cut.residuals[2] > 1e-8 * 1.02);
  // Wherever it is cut, just after a restart too, residuals are those of the vectors.
  for (std::int64_t products = 12; products < 24; ++products) {
    options.max_products = products;
    const auto part = eigenpairs_of<double>(matrix.port<double>(), options);
    CHECK(part.products == products);
    for (std::size_t i = 0; i < 3; ++i) {
      double square = 0;
      const double* const x = part.vectors.data() + std::ptrdiff_t(i) * matrix.n;
      for (std::int64_t r = 0; r < matrix.n; ++r) {
        double sum = -part.values[i] * x[r];
        for (std::int64_t c = 0; c < matrix.n; ++c) sum += matrix.at(r, c) * x[c];
        square += sum * sum;
      }
      CHECK(part.residuals[i] == doctest::Approx(std::sqrt(square)).epsilon(1e-6));
    }
  }
}

TEST_CASE_TEMPLATE("spectra: multiple eigenvalues and low rank", T, float, double) {
  struct Case {
    std::string name;
    Values values;
    std::int64_t count;
  };
  std::vector<Case> cases{
      {"identity", Values(40, 2.0), 5},        {"zero", Values(30, 0.0), 3},   {"one number", {-4.0}, 1},
      {"two numbers", {1.0, -4.0}, 2},         {"rank 4", Values(80, 0.0), 7}, {"double", evenly(30, 0, 1), 3},
      {"copies of few", {2, 9, 9, 2, 9, 1}, 4}};
  for (const std::size_t i : {3u, 17u, 40u, 79u}) cases[4].values[i] = 1 + double(i);
  cases[5].values[0] = cases[5].values[1] = 7;
  for (const Case& c : cases) {
    const Matrix matrix(c.values);
    EigenpairsOptions options;
    options.count = c.count;
    const auto result = eigenpairs_of<T>(matrix.port<T>(), options);
    check_pairs<T>(matrix, result, wanted_of(matrix, options.which, c.count), options.tolerance, c.name);
  }
}

// Endings that the matrix does not decide: NaN, an abort at a given product.
TEST_CASE("spectra: eigenpairs end early with what they have") {
  const Matrix matrix(evenly(50, 1, 9));
  const test::Answer right = matrix.answer<double>();
  for (const bool aborted : {true, false}) {
    for (const int at : {1, 5}) {
      Session session;
      Team team;
      int products = 0;
      const test::Answer answer = [&](Request& request) {
        right(request);
        if (++products < at) return;
        aborted ? session.stop() : void(static_cast<double*>(request.output)[7] = std::nan(""));
      };
      EigenpairsOptions options;
      options.count = 2;
      const auto result =
          test::run(session, eigenpairs<double>(session, OperatorPort<double>(0, 50, 50), options, {}), team, answer);
      CHECK(result.reason == (aborted ? SpectrumReason::kAborted : SpectrumReason::kNotFinite));
      CHECK(products == at);
      REQUIRE(result.values.size() == (at == 1 ? 0 : 2));
      for (const double value : result.values) CHECK((value >= 1 && value <= 9));
    }
  }
}

TEST_CASE("spectra: eigenpairs in arena order, and the same bits on any team") {
  using test::dense;
  const VectorLayout<float> layout = network_of({dense(300, Activation::kTanh), dense(120), dense(7)}, 130);
  std::vector<float> diagonal(static_cast<std::size_t>(layout->parameter_count()));
  for (std::size_t i = 0; i < diagonal.size(); ++i) diagonal[i] = float(i % 1000) / 1000;
  diagonal[5] = 3, diagonal[4321] = 2.5f;
  const OperatorPointer<float> plain = diagonal_operator<float>(diagonal);
  OperatorPointer<float> arena;
  REQUIRE(reordered_operator<float>(plain, layout, arena).ok());
  EigenpairsOptions options;
  options.count = 2;
  std::vector<EigenpairsResult<float>> results;
  for (const int threads : {1, 2, 3}) {
    Team team;
    std::function<void(Team&)> body = [&](Team& given) {
      Session session(threads);
      results.push_back(test::run(session, eigenpairs<float>(session, OperatorPort<float>(arena), options, {}), given));
    };
    team.serve(
        threads,
        [](void* context, Team& given) noexcept { (*static_cast<std::function<void(Team&)>*>(context))(given); },
        &body);
  }
  const auto flat = eigenpairs_of<float>(OperatorPort<float>(plain), options);
  for (const auto& result : results) {
    CHECK(result.values == results[0].values);
    CHECK(std::equal(result.vectors.data(), result.vectors.data() + result.vectors.size(), results[0].vectors.data()));
    CHECK(result.values[0] == doctest::Approx(3).epsilon(1e-5));
    CHECK(result.values[1] == doctest::Approx(2.5).epsilon(1e-5));
  }
  // Public order is no part of the mathematics; the start is the same vector.
  CHECK(flat.products == results[0].products);
  CHECK(flat.values[0] == doctest::Approx(results[0].values[0]).epsilon(1e-5));
}

}  // namespace
}  // namespace krylov
