// Dense algebra: identities that define each result, within rounding of the sizes used.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "solvers/dense.h"
#include "support/comparison.h"
#include "support/kernel_cases.h"

namespace krylov {
namespace {

using test::Comparison;
using Matrix = std::vector<double>;

constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;

Matrix random_matrix(std::int64_t rows, std::int64_t columns, unsigned seed) {
  test::Random random(seed);
  Matrix a(static_cast<std::size_t>(rows * columns));
  for (double& x : a) x = random.uniform();
  return a;
}

// sum_k a(i, k) b(k, j) in the order of k.
template <class A, class B>
Matrix plain_product(std::int64_t m, std::int64_t k, std::int64_t n, A a, B b) {
  Matrix c(static_cast<std::size_t>(m * n));
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::int64_t l = 0; l < k; ++l) sum += a(i, l) * b(l, j);
      c[static_cast<std::size_t>(i * n + j)] = sum;
    }
  }
  return c;
}

constexpr std::int64_t kDenseSizes[] = {0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 130, 200};

TEST_CASE("products of small integers are exact in all three forms") {
  test::Random random(3);
  const auto integers = [&random](std::int64_t size) {
    Matrix a(static_cast<std::size_t>(size));
    for (double& x : a) x = random.integer(-9, 9);
    return a;
  };
  for (const std::int64_t m : {0, 1, 5, 64, 67}) {
    for (const std::int64_t k : {0, 1, 3, 8, 70}) {
      for (const std::int64_t n : {0, 1, 7, 8, 65}) {
        const Matrix a = integers(m * k), b = integers(k * n);
        const auto expected = plain_product(
            m, k, n, [&](auto i, auto l) { return a[static_cast<std::size_t>(i * k + l)]; },
            [&](auto l, auto j) { return b[static_cast<std::size_t>(l * n + j)]; });
        Matrix at(a.size()), bt(b.size());
        for (std::int64_t i = 0; i < m; ++i) {
          for (std::int64_t l = 0; l < k; ++l) at[std::size_t(l * m + i)] = a[std::size_t(i * k + l)];
        }
        for (std::int64_t l = 0; l < k; ++l) {
          for (std::int64_t j = 0; j < n; ++j) bt[std::size_t(j * k + l)] = b[std::size_t(l * n + j)];
        }
        CAPTURE(m);
        CAPTURE(k);
        CAPTURE(n);
        Matrix c(expected.size(), 77);
        multiply(a.data(), b.data(), c.data(), m, k, n);
        CHECK(c == expected);
        c.assign(expected.size(), 77);
        multiply_transposed(at.data(), b.data(), c.data(), m, k, n);
        CHECK(c == expected);
        c.assign(expected.size(), 77);
        multiply_by_transposed(a.data(), bt.data(), c.data(), m, k, n);
        CHECK(c == expected);
      }
    }
  }
}

// Higham, Accuracy and Stability, theorem 10.3: |A - L L'| <= gamma_(n + 1) |L| |L'|.
TEST_CASE("a Cholesky factor multiplies back to its matrix and solves with it") {
  for (const std::int64_t n : kDenseSizes) {
    const Matrix root = random_matrix(n, n + 2, 11 + static_cast<unsigned>(n));
    Matrix a(static_cast<std::size_t>(n * n));
    multiply_by_transposed(root.data(), root.data(), a.data(), n, n + 2, n);
    Matrix l = a;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = i + 1; j < n; ++j) l[std::size_t(i * n + j)] = 5;
    }
    CAPTURE(n);
    REQUIRE(cholesky(l.data(), n));
    Comparison backward;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        if (j > i) {
          backward.equal(i, j, l[std::size_t(i * n + j)], 5);
          continue;
        }
        double sum = 0, magnitude = 0;
        for (std::int64_t k = 0; k <= j; ++k) {
          sum += l[std::size_t(i * n + k)] * l[std::size_t(j * n + k)];
          magnitude += std::abs(l[std::size_t(i * n + k)] * l[std::size_t(j * n + k)]);
        }
        backward.within(i, j, sum, a[std::size_t(i * n + j)], 2 * test::gamma<double>(n + 1) * magnitude);
      }
    }
    backward.check("L L'");

    const Matrix b = random_matrix(n, 1, 5);
    Matrix y = b, z = b, x = b;
    solve_lower(l.data(), n, y.data());
    solve_lower_transposed(l.data(), n, z.data());
    cholesky_solve(l.data(), n, x.data());
    Comparison solves;
    for (std::int64_t i = 0; i < n; ++i) {
      double ly = 0, lz = 0, ax = 0, ly_size = 0, lz_size = 0, ax_size = 0;
      for (std::int64_t k = 0; k <= i; ++k) {
        ly += l[std::size_t(i * n + k)] * y[std::size_t(k)];
        ly_size += std::abs(l[std::size_t(i * n + k)] * y[std::size_t(k)]);
      }
      for (std::int64_t k = i; k < n; ++k) {
        lz += l[std::size_t(k * n + i)] * z[std::size_t(k)];
        lz_size += std::abs(l[std::size_t(k * n + i)] * z[std::size_t(k)]);
      }
      for (std::int64_t k = 0; k < n; ++k) {
        ax += a[std::size_t(i * n + k)] * x[std::size_t(k)];
        // |L||L'| |x| is at most n times the diagonal's geometric mean.
        ax_size += std::sqrt(a[std::size_t(i * n + i)] * a[std::size_t(k * n + k)]) * std::abs(x[std::size_t(k)]);
      }
      const double b_i = b[std::size_t(i)];
      solves.within(i, 0, ly, b_i, 3 * test::gamma<double>(n + 1) * ly_size);
      solves.within(i, 1, lz, b_i, 3 * test::gamma<double>(n + 1) * lz_size);
      solves.within(i, 2, ax, b_i, 4 * test::gamma<double>(3 * n + 1) * ax_size);
    }
    solves.check("solutions");
  }
}

TEST_CASE("a matrix that is not positive definite has no Cholesky factor") {
  for (const std::int64_t n : {1, 5, 64, 100, 150}) {
    for (const std::int64_t bad : {std::int64_t{0}, n / 2, n - 1}) {
      for (const double value :
           {-1.0, 0.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        Matrix a(static_cast<std::size_t>(n * n));
        for (std::int64_t i = 0; i < n; ++i) a[std::size_t(i * n + i)] = 1;
        CHECK(cholesky(Matrix(a).data(), n));
        a[std::size_t(bad * n + bad)] = value;
        CAPTURE(n);
        CAPTURE(bad);
        CAPTURE(value);
        CHECK_FALSE(cholesky(a.data(), n));
      }
    }
  }
}

// A v = lambda v, rows orthonormal, values ascending; the backward error of both steps is a modest multiple of n u |A|.
void check_eigen(const Matrix& a, std::int64_t n, const Matrix& values, const Matrix& vectors) {
  double size = 0;
  for (const double x : a) size += x * x;
  const double bound = 8 * static_cast<double>(n) * kUnit * std::sqrt(size);
  Comparison c;
  for (std::int64_t i = 0; i < n; ++i) {
    if (i > 0) c.equal(i, -1, values[std::size_t(i)] >= values[std::size_t(i - 1)], true);
    const double* v = vectors.data() + i * n;
    for (std::int64_t r = 0; r < n; ++r) {
      double av = 0, inner = 0;
      for (std::int64_t k = 0; k < n; ++k) {
        av += a[std::size_t(r * n + k)] * v[k];
        inner += vectors[std::size_t(r * n + k)] * v[k];
      }
      c.within(i, r, av, values[std::size_t(i)] * v[r], bound);
      c.within(i, r, inner, i == r ? 1 : 0, 16 * static_cast<double>(n) * kUnit);
    }
  }
  c.check("eigenvectors");
}

TEST_CASE("eigenvectors of symmetric matrices, and the values alone") {
  for (const std::int64_t n : kDenseSizes) {
    for (const int kind : {0, 1, 2, 3}) {
      Matrix a = random_matrix(n, n, 31 + static_cast<unsigned>(n));
      for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j <= i; ++j) {
          double& x = a[std::size_t(i * n + j)];
          if (kind == 1 && j != i) x = 0;                         // diagonal
          if (kind == 2) x = i == j ? 2 : (i - j == 1 ? -1 : 0);  // tridiagonal, all values known
          if (kind == 3) x = i % 3 == 0 && j % 3 == 0 ? 1 : 0;    // rank one: many equal values
          a[std::size_t(j * n + i)] = x;
        }
      }
      CAPTURE(n);
      CAPTURE(kind);
      Matrix values(static_cast<std::size_t>(n)), alone(values), vectors(a.size());
      symmetric_eigen(a.data(), n, values.data(), vectors.data());
      check_eigen(a, n, values, vectors);
      symmetric_eigen(a.data(), n, alone.data(), nullptr);
      CHECK(alone == values);
      if (kind == 2) {
        Comparison known;
        for (std::int64_t i = 0; i < n; ++i) {
          const double angle = M_PI * static_cast<double>(i + 1) / static_cast<double>(n + 1);
          known.within(i, 0, values[std::size_t(i)], 2 - 2 * std::cos(angle), 8 * static_cast<double>(n) * kUnit);
        }
        known.check("2, -1");
      }
    }
  }
}

TEST_CASE("eigenvectors of tridiagonal matrices") {
  for (const std::int64_t n : kDenseSizes) {
    const Matrix d = random_matrix(n, 1, 7);
    Matrix e = random_matrix(std::max<std::int64_t>(n - 1, 0), 1, 8);
    if (n > 5) e[2] = e[4] = 0;
    Matrix a(static_cast<std::size_t>(n * n)), values(static_cast<std::size_t>(n)), alone(values), vectors(a.size());
    for (std::int64_t i = 0; i < n; ++i) {
      a[std::size_t(i * n + i)] = d[std::size_t(i)];
      if (i > 0) a[std::size_t(i * n + i - 1)] = a[std::size_t((i - 1) * n + i)] = e[std::size_t(i - 1)];
    }
    CAPTURE(n);
    tridiagonal_eigen(d, e, values.data(), vectors.data());
    check_eigen(a, n, values, vectors);
    tridiagonal_eigen(d, e, alone.data(), nullptr);
    CHECK(alone == values);
  }
}

TEST_CASE("eigenvalues at the ends of the range, and of what is not finite") {
  for (const double scale : {1e-300, 1e-160, 1e150, 1e300}) {
    const Matrix a = {2 * scale, 1 * scale, 0, 1 * scale, 2 * scale, 1 * scale, 0, 1 * scale, 2 * scale};
    Matrix values(3), vectors(9);
    symmetric_eigen(a.data(), 3, values.data(), vectors.data());
    CAPTURE(scale);
    CHECK(values[0] / scale == doctest::Approx(2 - std::sqrt(2.0)).epsilon(1e-14));
    CHECK(values[1] / scale == doctest::Approx(2).epsilon(1e-14));
    CHECK(values[2] / scale == doctest::Approx(2 + std::sqrt(2.0)).epsilon(1e-14));
  }
  for (const double value : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    Matrix values(2), vectors(4);
    symmetric_eigen(Matrix{1, 0, value, 2}.data(), 2, values.data(), vectors.data());
    for (const double x : values) CHECK(std::isnan(x));
    for (const double x : vectors) CHECK(std::isnan(x));
    tridiagonal_eigen(Matrix{1, 2}, Matrix{value}, values.data(), vectors.data());
    for (const double x : values) CHECK(std::isnan(x));
  }
}

}  // namespace
}  // namespace krylov
