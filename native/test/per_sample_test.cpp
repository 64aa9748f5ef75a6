// Quantities of single samples against the gradients themselves.
#include "krylov/per_sample.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "curvature/point_tasks.h"
#include "support/comparison.h"
#include "support/point_cases.h"

namespace krylov::test {
namespace {

constexpr std::int64_t kRows = 9;

template <Scalar T>
std::vector<T> gradients_of(PointRun<T>& run) {
  std::vector<T> g(static_cast<std::size_t>(run.point().rows() * run.network().parameter_count()));
  PerSampleTask<T> task(0, run.point().rows(), g.data());
  run.lead([&](Team& team) { run.point().run(team, task); });
  return g;
}

template <Scalar T>
OutputRange all_outputs(const Network<T>& network) {
  OutputRange all;
  for (const HeadInfo& head : network.heads()) all.count += head.width;
  return all;
}

template <Scalar T>
double dot_of(const T* x, const T* y, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += double(x[i]) * double(y[i]);
  return sum;
}

template <class A, class B>
void compare(const A& actual, const B& expected, double tolerance, const char* what) {
  REQUIRE(std::size(actual) == std::size(expected));
  double most = 1e-6;
  for (const auto x : expected) most = std::max(most, std::abs(double(x)));
  Comparison comparison;
  for (std::size_t i = 0; i < std::size(expected); ++i) {
    comparison.within(0, std::int64_t(i), double(actual[i]), double(expected[i]), tolerance * most);
  }
  comparison.check(what);
}

TEST_CASE_TEMPLATE("norms, inner products and moments of single gradients", T, float, double) {
  const double tolerance = sizeof(T) == 8 ? 1e-12 : 2e-5;
  for (const PointProblem& problem : point_problems(kRows)) {
    CAPTURE(problem.name);
    PointRun<T> run(problem, kRows);
    const Network<T>& network = run.network();
    const std::vector<T> g = gradients_of(run);
    const auto size = static_cast<std::size_t>(network.parameter_count()), n = std::size_t(kRows);

    const auto tensors = network.tensors();
    const std::size_t layers = network.blocks().size();
    CHECK(group_names(network, ParameterGroups::kTensors).size() == tensors.size());
    CHECK(group_names(network, ParameterGroups::kLayers).size() == layers);
    Values by_tensor(n * tensors.size()), by_layer(n * layers), total(n);
    Values squares(by_tensor.size()), layer_squares(by_layer.size()), total_squares(n);
    Values gram(n * n), layer_gram(n * n * layers), expected_gram(n * n), expected_layers(n * n * layers);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t t = 0; t < tensors.size(); ++t) {
        const auto at = static_cast<std::size_t>(tensors[t].public_offset);
        const auto length = static_cast<std::size_t>(tensors[t].size());
        const auto block = static_cast<std::size_t>(tensors[t].block);
        const T* const own = g.data() + i * size + at;
        const double square = dot_of(own, own, length);
        by_tensor[i * tensors.size() + t] = square;
        by_layer[i * layers + block] += square;
        total[i] += square;
        for (std::size_t j = 0; j < n; ++j) {
          const double product = dot_of(own, g.data() + j * size + at, length);
          expected_gram[i * n + j] += product;
          expected_layers[(block * n + i) * n + j] += product;
        }
      }
    }
    per_sample_squares(run.point(), ParameterGroups::kTensors, squares.data());
    per_sample_squares(run.point(), ParameterGroups::kLayers, layer_squares.data());
    per_sample_squares(run.point(), ParameterGroups::kAll, total_squares.data());
    compare(squares, by_tensor, tolerance, "squares by tensor");
    compare(layer_squares, by_layer, tolerance, "squares by layer");
    compare(total_squares, total, tolerance, "squares");
    CHECK(gram_matrix(run.point(), run.point(), false, gram.data()).ok());
    CHECK(gram_matrix(run.point(), run.point(), true, layer_gram.data()).ok());
    compare(gram, expected_gram, tolerance, "Gram matrix");
    compare(layer_gram, expected_layers, tolerance, "Gram matrices of the layers");
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(gram[i * n + i] == total_squares[i]);
      for (std::size_t j = 0; j < i; ++j) CHECK(gram[i * n + j] == gram[j * n + i]);
    }

    const Values v = random_values(size, 5);
    Values products(n), expected_products(n);
    per_sample_products<T>(run.point(), run.arena(v).data(), products.data());
    std::vector<T> sums(size), variance(size), unbiased(size);
    Values expected_sums(size), expected_variance(size), means(size);
    for (std::size_t p = 0; p < size; ++p) {
      for (std::size_t i = 0; i < n; ++i) {
        const double x = double(g[i * size + p]);
        expected_products[i] += x * v[p];
        expected_sums[p] += x * x;
        means[p] += x / double(n);
      }
      for (std::size_t i = 0; i < n; ++i) {
        const double x = double(g[i * size + p]) - means[p];
        expected_variance[p] += x * x / double(n);
      }
    }
    compare(products, expected_products, tolerance, "products");
    gradient_square_sums(run.point(), sums.data());
    compare(sums, expected_sums, tolerance, "sums of squares");
    CHECK(gradient_variance(run.point(), false, variance.data()).ok());
    CHECK(gradient_variance(run.point(), true, unbiased.data()).ok());
    compare(variance, expected_variance, tolerance, "variance");
    for (double& x : expected_variance) x *= double(n) / double(n - 1);
    compare(unbiased, expected_variance, tolerance, "unbiased variance");

    Values own(n), along(n), cosines(n), expected_along(n);
    const GradientStatistics s = gradient_statistics<T>(run.point(), own, along, cosines);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) expected_along[i] += expected_gram[i * n + j] / double(n);
    }
    compare(along, expected_along, tolerance, "products with the mean");
    CHECK(own == total_squares);
    double traces = 0;
    for (const T x : unbiased) traces += double(x);
    CHECK(s.noise_scale.trace_unbiased == doctest::Approx(traces).epsilon(sizeof(T) == 8 ? 1e-11 : 1e-5));
    if (s.squared_mean_norm > 0) {
      CHECK(s.norm_test == doctest::Approx(traces / double(n) / s.squared_mean_norm).epsilon(1e-5));
    } else {
      CHECK(std::isnan(s.norm_test));  // the softmax of one class
    }
  }
}

TEST_CASE_TEMPLATE("Jacobians of the outputs and tangent kernels", T, float, double) {
  const double tolerance = sizeof(T) == 8 ? 1e-12 : 2e-5;
  for (const PointProblem& problem : point_problems(kRows)) {
    CAPTURE(problem.name);
    PointRun<T> run(problem, kRows);
    const Network<T>& network = run.network();
    const auto size = static_cast<std::size_t>(network.parameter_count()), n = std::size_t(kRows);
    const OutputRange all = all_outputs(network);
    const auto c = static_cast<std::size_t>(all.count);
    std::vector<T> rows(n * c * size);
    CHECK(output_jacobians(run.point(), 0, kRows, all, rows.data()).ok());

    // J v by its rows and by a pass of tangents.
    const Values v = random_values(size, 7);
    const auto moved = run.jvp(v);
    Values expected(n * c), products(n * c);
    std::size_t column0 = 0;
    for (std::size_t h = 0; h < moved.size(); ++h) {
      const auto width = static_cast<std::size_t>(network.heads()[h].width);
      for (std::size_t i = 0; i < n * width; ++i) {
        expected[(i / width) * c + column0 + i % width] = double(moved[h][i]);
      }
      column0 += width;
    }
    for (std::size_t i = 0; i < n * c; ++i) {
      for (std::size_t p = 0; p < size; ++p) products[i] += double(rows[i * size + p]) * v[p];
    }
    compare(products, expected, tolerance, "J v");

    const OutputRange some{all.count / 2, all.count - all.count / 2};
    const auto first = static_cast<std::size_t>(some.first), k = static_cast<std::size_t>(some.count);
    std::vector<T> part(4 * k * size);
    CHECK(output_jacobians(run.point(), 3, 4, some, part.data()).ok());
    for (std::size_t i = 0; i < 4 * k; ++i) {
      const T* const row = rows.data() + ((3 + i / k) * c + first + i % k) * size;
      CHECK(std::equal(row, row + size, part.data() + i * size));
    }

    Values blocks(n * n * k * k), trace(n * n), sum(n * n);
    Values expected_blocks(blocks.size()), expected_trace(n * n), expected_sum(n * n);
    for (std::size_t at = 0; at < blocks.size(); ++at) {
      const std::size_t d = at % k, e = at / k % k, j = at / (k * k) % n, i = at / (k * k * n);
      const double value =
          dot_of(rows.data() + (i * c + first + e) * size, rows.data() + (j * c + first + d) * size, size);
      expected_blocks[at] = value;
      expected_sum[i * n + j] += value;
      if (d == e) expected_trace[i * n + j] += value;
    }
    CHECK(tangent_kernel(run.point(), run.point(), TangentKernel::kBlocks, some, blocks.data()).ok());
    CHECK(tangent_kernel(run.point(), run.point(), TangentKernel::kTrace, some, trace.data()).ok());
    CHECK(tangent_kernel(run.point(), run.point(), TangentKernel::kSum, some, sum.data()).ok());
    compare(blocks, expected_blocks, tolerance, "blocks");
    compare(trace, expected_trace, tolerance, "trace");
    compare(sum, expected_sum, tolerance, "sum");
    CHECK(!tangent_kernel(run.point(), run.point(), TangentKernel::kSum, {0, all.count + 1}, sum.data()).ok());
    CHECK(!output_jacobians(run.point(), 0, 1, {all.count, 1}, rows.data()).ok());
  }
}

// More rows than a tile, so that tiles are cut differently after the permutation.
TEST_CASE_TEMPLATE("neither threads, parts nor the place in the batch change a bit", T, float, double) {
  constexpr std::int64_t kMany = 131;
  const std::vector<SpecCase> cases = spec_cases();
  for (std::size_t number = 0; number < cases.size(); number += 6) {
    const PointProblem problem = point_problem(cases[number], number, kMany);
    CAPTURE(problem.name);
    const auto n = std::size_t(kMany);
    PointRun<T> run(problem, kMany);
    const OutputRange all = all_outputs(run.network());
    const auto size = static_cast<std::size_t>(run.network().parameter_count());
    Values gram(n * n), kernel(n * n), squares(n);
    CHECK(gram_matrix(run.point(), run.point(), false, gram.data()).ok());
    CHECK(tangent_kernel(run.point(), run.point(), TangentKernel::kTrace, all, kernel.data()).ok());
    per_sample_squares(run.point(), ParameterGroups::kAll, squares.data());
    std::vector<T> variance(size);
    CHECK(gradient_variance(run.point(), true, variance.data()).ok());

    for (const int threads : {1, 3}) {
      PointRun<T> other(problem, threads == 1 ? 50 : kMany, threads);
      Values again(n * n);
      CHECK(gram_matrix(other.point(), other.point(), false, again.data()).ok());
      CHECK(again == gram);
      CHECK(tangent_kernel(other.point(), other.point(), TangentKernel::kTrace, all, again.data()).ok());
      CHECK(again == kernel);
      std::vector<T> spread(size);
      CHECK(gradient_variance(other.point(), true, spread.data()).ok());
      if (threads > 1) CHECK(spread == variance);
      compare(spread, variance, sizeof(T) == 8 ? 1e-13 : 1e-6, "variance in parts");
    }

    std::vector<std::uint32_t> order(n);
    for (std::size_t i = 0; i < n; ++i) order[i] = static_cast<std::uint32_t>((37 * i + 5) % n);
    PointRun<T> moved(problem, kMany);
    REQUIRE(moved.point().set_data(problem.table.dataset(), order.data(), kMany).ok());
    Values moved_gram(n * n), moved_kernel(n * n), moved_squares(n), cross(n * n);
    CHECK(gram_matrix(moved.point(), moved.point(), false, moved_gram.data()).ok());
    CHECK(tangent_kernel(moved.point(), moved.point(), TangentKernel::kTrace, all, moved_kernel.data()).ok());
    CHECK(gram_matrix(run.point(), moved.point(), false, cross.data()).ok());
    per_sample_squares(moved.point(), ParameterGroups::kAll, moved_squares.data());
    Comparison same, crossing;
    for (std::size_t i = 0; i < n; ++i) {
      same.equal(std::int64_t(i), -1, moved_squares[i], squares[order[i]]);
      for (std::size_t j = 0; j < n; ++j) {
        same.equal(std::int64_t(i), std::int64_t(j), moved_gram[i * n + j], gram[order[i] * n + order[j]]);
        same.equal(std::int64_t(i), std::int64_t(j), moved_kernel[i * n + j], kernel[order[i] * n + order[j]]);
        // The diagonal of the point with itself is made of norms.
        if (i == order[j]) continue;
        crossing.equal(std::int64_t(i), std::int64_t(j), cross[i * n + j], gram[i * n + order[j]]);
      }
    }
    same.check("moved");
    crossing.check("cross Gram matrix");
  }
}

TEST_CASE("statistics of samples by hand, and where they are undefined") {
  // g_1 = (2, 0), g_2 = (0, 1), g_3 = (0, 0): gbar = (2/3, 1/3).
  const Values squares{4, 1, 0}, products{4.0 / 3, 1.0 / 3, 0};
  Values cosines(3, -7);
  const double q = 5.0 / 9;
  const GradientStatistics s = statistics_of_samples(squares, products, q, cosines);
  CHECK(s.mean_squared_norm == doctest::Approx(5.0 / 3));
  CHECK(s.noise_scale.trace_unbiased == doctest::Approx((5.0 / 3 - q) * 1.5));
  CHECK(std::abs(s.noise_scale.squared_gradient_unbiased) < 1e-15);  // no pair has an inner product
  CHECK(s.noise_scale.simple_plain == doctest::Approx(2));
  CHECK(s.diversity == doctest::Approx(1));
  CHECK(s.coherence == doctest::Approx(1));
  CHECK(s.norm_test == doctest::Approx((5 - 3 * q) / 6 / q));
  const double spread = (4.0 / 3 - q) * (4.0 / 3 - q) + (1.0 / 3 - q) * (1.0 / 3 - q) + q * q;
  CHECK(s.inner_product_test == doctest::Approx(spread / 6 / (q * q)));
  CHECK(cosines[0] == doctest::Approx(2 / std::sqrt(5.0)));
  CHECK(cosines[2] == 0);

  const Values one{4}, own{4};
  Values cosine(1);
  const GradientStatistics single = statistics_of_samples(one, own, 4, cosine);
  CHECK(cosine[0] == 1);
  CHECK(std::isnan(single.noise_scale.trace_unbiased));
  CHECK(std::isnan(single.norm_test));
  CHECK(single.noise_scale.simple_plain == 0);

  PointProblem problem = point_problem(spec_cases()[0], 0, 1);
  PointRun<double> run(problem, 1);
  Values out(static_cast<std::size_t>(run.network().parameter_count()), 5);
  CHECK(!gradient_variance<double>(run.point(), true, out.data()).ok());
  CHECK(gradient_variance<double>(run.point(), false, out.data()).ok());
  CHECK(out == Values(out.size()));
  PointRun<double> other(point_problem(spec_cases()[1], 0, 1), 1);
  CHECK(!gram_matrix(run.point(), other.point(), false, out.data()).ok());
}

}  // namespace
}  // namespace krylov::test
