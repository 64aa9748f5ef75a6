// Rows whose outer products are the samples' Gauss-Newton matrices.
#include "krylov/curvature_rows.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/comparison.h"
#include "support/point_cases.h"

namespace krylov::test {
namespace {

constexpr std::int64_t kRows = 9;

template <Scalar T>
std::vector<T> rows_of(PointRun<T>& run, std::int64_t first, std::int64_t count) {
  const std::int64_t per_sample = curvature_rows_per_sample(run.point());
  std::vector<T> rows(static_cast<std::size_t>(count * per_sample * run.network().parameter_count()), T(77));
  CHECK(curvature_rows<T>(run.point(), first, count, rows.data()).ok());
  return rows;
}

TEST_CASE_TEMPLATE("curvature rows make the Gauss-Newton product and the norms", T, float, double) {
  const double tolerance = sizeof(T) == 8 ? 1e-11 : 1e-4;
  for (const PointProblem& problem : point_problems(kRows)) {
    CAPTURE(problem.name);
    PointRun<T> run(problem, kRows);
    const auto size = static_cast<std::size_t>(run.network().parameter_count());
    const auto per_sample = static_cast<std::size_t>(curvature_rows_per_sample(run.point()));
    const std::vector<T> rows = rows_of(run, 0, kRows);
    Values norms(kRows, -1);
    CHECK(curvature_norms<T>(run.point(), norms.data()).ok());
    run.loss();
    bool common = true;
    for (std::size_t h = 1; h < problem.losses.size(); ++h) {
      common = common && run.point().divisor(h) == run.point().divisor(0);
    }
    const Values v = random_values(size, 5);
    Values product(size), gram(per_sample * per_sample);
    Comparison norm_check;
    for (std::size_t n = 0; n < std::size_t(kRows); ++n) {
      const T* const r = rows.data() + n * per_sample * size;
      double square = 0;
      for (std::size_t c = 0; c < per_sample; ++c) {
        double along = 0;
        for (std::size_t i = 0; i < size; ++i) along += double(r[c * size + i]) * v[i];
        for (std::size_t i = 0; i < size; ++i) product[i] += along * double(r[c * size + i]) / run.point().divisor(0);
        for (std::size_t d = 0; d < per_sample; ++d) {
          double dot = 0;
          for (std::size_t i = 0; i < size; ++i) dot += double(r[c * size + i]) * double(r[d * size + i]);
          square += dot * dot;
        }
      }
      norm_check.within(std::int64_t(n), 0, norms[n], std::sqrt(square), tolerance * std::max(std::sqrt(square), 1e-3));
    }
    norm_check.check("norms");
    if (!common) continue;
    for (std::size_t i = 0; i < size; ++i) product[i] += problem.l2 * v[i];
    const Values expected = run.product(Curvature::kGaussNewton, v);
    double most = 1e-3;
    for (const double x : expected) most = std::max(most, std::abs(x));
    Comparison comparison;
    for (std::size_t i = 0; i < size; ++i)
      comparison.within(0, std::int64_t(i), product[i], expected[i], tolerance * most);
    comparison.check("product");
  }
}

TEST_CASE("curvature rows of some samples, in parts, on threads") {
  for (const PointProblem& problem : point_problems(kRows)) {
    CAPTURE(problem.name);
    PointRun<double> whole(problem, kRows);
    const std::vector<double> rows = rows_of(whole, 0, kRows);
    Values norms(kRows);
    CHECK(curvature_norms<double>(whole.point(), norms.data()).ok());
    for (const int threads : {1, 3}) {
      PointRun<double> parts(problem, 4, threads);
      const std::size_t sample = rows.size() / std::size_t(kRows);
      const std::vector<double> some = rows_of(parts, 3, 4);
      CHECK(std::equal(some.begin(), some.end(), rows.begin() + std::ptrdiff_t(3 * sample)));
      Values other(kRows);
      CHECK(curvature_norms<double>(parts.point(), other.data()).ok());
      CHECK(other == norms);
    }
  }
  PointProblem flat = point_problem(spec_cases()[0], 0, kRows);
  flat.losses = {loss_spec(Loss::kMeanAbsoluteError)};
  REQUIRE(flat.table.targets.size() == 1);
  PointRun<double> run(flat, kRows);
  Values out(static_cast<std::size_t>(kRows));
  CHECK(!curvature_rows<double>(run.point(), 0, 1, out.data()).ok());
  CHECK(!curvature_norms<double>(run.point(), out.data()).ok());
}

}  // namespace
}  // namespace krylov::test
