// Kernels over long vectors: reductions against long double, every remainder
// and aliasing, and the vector bodies of the update rules against plain loops.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "support/kernel_cases.h"

namespace krylov {
namespace {

using test::Comparison;
using test::gamma;

// All remainders of every unrolling, and some thousands.
std::vector<std::int64_t> lengths() {
  std::vector<std::int64_t> all{100, 127, 1000, 4099};
  for (std::int64_t n = 0; n <= 70; ++n) all.push_back(n);
  return all;
}

// A vector that ends where its memory ends and begins off alignment, behind canaries.
template <Scalar T>
class Line {
 public:
  explicit Line(std::int64_t n) : n_(n), block_(static_cast<std::size_t>(n) + kFront, static_cast<T>(test::kCanary)) {}
  template <class Value>
  Line(std::int64_t n, Value value) : Line(n) {
    for (std::int64_t i = 0; i < n; ++i) (*this)[i] = static_cast<T>(value(i));
  }
  T* data() { return block_.data() + kFront; }
  const T* data() const { return block_.data() + kFront; }
  T& operator[](std::int64_t i) { return data()[i]; }
  T operator[](std::int64_t i) const { return data()[i]; }
  std::int64_t size() const { return n_; }
  void check_front(Comparison& c) const {
    for (std::size_t i = 0; i < kFront; ++i) c.equal(-1, std::int64_t(i), double(block_[i]), test::kCanary);
  }

 private:
  static constexpr std::size_t kFront = 3;
  std::int64_t n_;
  std::vector<T> block_;
};

template <Scalar T>
Line<T> random_line(std::int64_t n, unsigned seed) {
  test::Random random(seed);
  return Line<T>(n, [&](auto) { return random.uniform(); });
}

TEST_CASE_TEMPLATE("dot and sum_squares accumulate in float64", T, float, double) {
  for (const std::int64_t n : lengths()) {
    const Line<T> x = random_line<T>(n, 31), y = random_line<T>(n, 32);
    const Line<T> ones(n, [](std::int64_t i) { return i % 5 - 2; });
    long double sum = 0, size = 0, squares = 0, integers = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      sum += static_cast<long double>(x[i]) * y[i];
      size += std::abs(static_cast<long double>(x[i]) * y[i]);
      squares += static_cast<long double>(x[i]) * x[i];
      integers += ones[i] * ones[i];
    }
    test::for_each_set<T>([&](const KernelTable<T>& k) {
      Comparison comparison;
      comparison.within(0, n, k.dot(x.data(), y.data(), n), double(sum), gamma<double>(n + 1) * double(size));
      comparison.within(1, n, k.sum_squares(x.data(), n), double(squares), gamma<double>(n + 1) * double(squares));
      comparison.equal(2, n, k.sum_squares(ones.data(), n), double(integers));
      comparison.check("length " + std::to_string(n));
    });
  }
}

TEST_CASE_TEMPLATE("row_squares are the sum_squares of each row, to the bit", T, float, double) {
  constexpr std::int64_t rows = 21;  // groups of every set, and rows left over
  for (const std::int64_t columns : {0, 1, 3, 8, 16, 17, 31, 32, 33, 48, 64, 100}) {
    CAPTURE(columns);
    const std::int64_t ld = columns + 7;
    const Line<T> x = random_line<T>(rows * ld, 33);
    test::for_each_set<T>([&](const KernelTable<T>& k) {
      double out[rows + 1] = {};
      out[rows] = -1;
      k.row_squares(x.data(), ld, rows, columns, out);
      for (std::int64_t r = 0; r < rows; ++r) CHECK(out[r] == k.sum_squares(x.data() + r * ld, columns));
      CHECK(out[rows] == -1);
    });
  }
}

TEST_CASE_TEMPLATE("scale_rows scales each row by its factor, whole panels of it", T, float, double) {
  constexpr std::int64_t rows = 7;
  for (const std::int64_t panels : {1, 2, 5}) {
    const std::int64_t columns = panels * kPanel<T>, ld = columns + kPanel<T>;
    const double factors[rows] = {0.3, 1, -2, 0, 1e-3, 1, 7};
    const Line<T> x = random_line<T>(rows * ld, 35);
    test::for_each_set<T>([&](const KernelTable<T>& k) {
      Line<T> out = x;
      k.scale_rows(factors, out.data(), ld, rows, columns);
      Comparison comparison;
      for (std::int64_t i = 0; i < rows * ld; ++i) {
        const T factor = i % ld < columns ? static_cast<T>(factors[i / ld]) : T(1);
        comparison.equal(i, panels, out[i], x[i] * factor);
      }
      comparison.check("panels " + std::to_string(panels));
    });
  }
}

// In float32 the square of 3e19 is infinite and that of 1e-30 is zero; 1 is lost beside 1e8.
TEST_CASE("float32 reductions do not overflow, underflow or lose small terms") {
  test::for_each_set<float>([&](const KernelTable<float>& k) {
    for (const std::int64_t n : {1, 7, 8, 16, 33}) {
      CAPTURE(n);
      const Line<float> large(n, [](auto) { return 3e19; }), tiny(n, [](auto) { return 1e-30; });
      CHECK(k.sum_squares(large.data(), n) ==
            doctest::Approx(double(n) * double(3e19f) * double(3e19f)).epsilon(1e-14));
      CHECK(k.sum_squares(tiny.data(), n) ==
            doctest::Approx(double(n) * double(1e-30f) * double(1e-30f)).epsilon(1e-14));
      Line<float> mixed(n, [](auto) { return 1; });
      mixed[n / 2] = 1e4f;
      CHECK(k.sum_squares(mixed.data(), n) == 1e8 + double(n - 1));
    }
  });
}

TEST_CASE_TEMPLATE("all_finite finds a bad number at every place", T, float, double) {
  using Limits = std::numeric_limits<T>;
  for (const std::int64_t n : {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65}) {
    Line<T> x(n, [](std::int64_t i) { return i % 2 == 0 ? Limits::max() : Limits::lowest(); });
    if (n > 2) x[1] = Limits::denorm_min(), x[2] = T(-0.0);
    test::for_each_set<T>([&](const KernelTable<T>& k) {
      CAPTURE(n);
      CHECK(k.all_finite(x.data(), n));
      int missed = 0;
      for (const T bad : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
        for (std::int64_t i = 0; i < n; ++i) {
          const T kept = x[i];
          x[i] = bad;
          missed += k.all_finite(x.data(), n);
          x[i] = kept;
        }
      }
      CHECK(missed == 0);
    });
  }
}

TEST_CASE_TEMPLATE("scaled_sum and scale, also in place", T, float, double) {
  const T a = T(0.7);
  for (const std::int64_t n : lengths()) {
    const Line<T> x = random_line<T>(n, 33), y = random_line<T>(n, 34);
    test::for_each_set<T>([&](const KernelTable<T>& k) {
      Line<T> out(n), over_x = x, over_y = y, over_both = x, scaled = x;
      k.scaled_sum(x.data(), a, y.data(), out.data(), n);
      k.scaled_sum(over_x.data(), a, y.data(), over_x.data(), n);
      k.scaled_sum(x.data(), a, over_y.data(), over_y.data(), n);
      k.scaled_sum(over_both.data(), a, over_both.data(), over_both.data(), n);
      k.scale(a, scaled.data(), n);
      Comparison comparison;
      for (std::int64_t i = 0; i < n; ++i) {
        const double terms = std::abs(double(x[i])) + std::abs(double(a) * double(y[i]));
        comparison.within(0, i, double(out[i]), double(x[i]) + double(a) * double(y[i]), gamma<T>(3) * terms);
        comparison.equal(1, i, double(over_x[i]), double(out[i]));
        comparison.equal(2, i, double(over_y[i]), double(out[i]));
        comparison.within(3, i, double(over_both[i]), double(x[i]) * (1 + double(a)),
                          gamma<T>(3) * 2 * std::abs(double(x[i])));
        comparison.equal(4, i, double(scaled[i]), double(a * x[i]));
      }
      for (const Line<T>* line : {&out, &over_x, &over_y, &over_both, &scaled}) line->check_front(comparison);
      comparison.check("length " + std::to_string(n));
    });
  }
}

// The updates once more, in double. Errors of an update are a few roundings of
// the terms that it adds up; `slack` counts them.
constexpr std::int64_t kSlack = 12;

TEST_CASE_TEMPLATE("update_sgd equals its twin", T, float, double) {
  struct Case {
    double momentum, factor, decay, ahead;
    bool nesterov, state;
  };
  for (const Case& c :
       {Case{0, 1, 0, 0, false, false}, Case{0, 1, 0.1, 0, false, false}, Case{0.9, 1, 0, 0.9, false, true},
        Case{0.9, 0.6, 0.1, 0.9, false, true}, Case{0.9, 1, 0.1, 0.9, true, true}, Case{0, 1, 0, 0.9, true, true}}) {
    const SgdScalars<T> s{T(0.1), T(c.momentum), T(c.factor), T(c.decay), T(c.ahead), c.nesterov};
    for (const std::int64_t n : lengths()) {
      const Line<T> w0 = random_line<T>(n, 35), g = random_line<T>(n, 36), b0 = random_line<T>(n, 37);
      test::for_each_set<T>([&](const KernelTable<T>& k) {
        Line<T> w = w0, b = b0;
        k.update_sgd(s, w.data(), g.data(), c.state ? b.data() : nullptr, n);
        Comparison comparison;
        for (std::int64_t i = 0; i < n; ++i) {
          const double d = double(g[i]) + double(s.decay) * double(w0[i]);
          const double next = c.state ? double(s.momentum) * double(b0[i]) + double(s.gradient_factor) * d : d;
          const double step = c.nesterov ? d + double(s.nesterov_momentum) * next : next;
          comparison.within(0, i, double(w[i]), double(w0[i]) - double(s.learning_rate) * step, gamma<T>(kSlack));
          comparison.within(1, i, double(b[i]), c.state ? next : double(b0[i]), gamma<T>(kSlack));
        }
        for (const Line<T>* line : {&w, &b}) line->check_front(comparison);
        comparison.check("length " + std::to_string(n));
      });
    }
  }
}

TEST_CASE_TEMPLATE("update_momentum equals its twin", T, float, double) {
  const MomentumScalars<T> s{T(0.1), T(0.8), T(0.9), T(0.05)};
  for (const std::int64_t n : lengths()) {
    const Line<T> w0 = random_line<T>(n, 38), g = random_line<T>(n, 39), p0 = random_line<T>(n, 40);
    test::for_each_set<T>([&](const KernelTable<T>& k) {
      Line<T> w = w0, p = p0;
      k.update_momentum(s, w.data(), g.data(), p.data(), n);
      Comparison comparison;
      for (std::int64_t i = 0; i < n; ++i) {
        const double next = double(s.momentum) * double(p0[i]) +
                            double(s.gradient_scale) * (double(g[i]) + double(s.decay) * double(w0[i]));
        comparison.within(0, i, double(p[i]), next, gamma<T>(kSlack));
        comparison.within(1, i, double(w[i]), double(w0[i]) - double(s.learning_rate) * next, gamma<T>(kSlack));
      }
      for (const Line<T>* line : {&w, &p}) line->check_front(comparison);
      comparison.check("length " + std::to_string(n));
    });
  }
}

TEST_CASE_TEMPLATE("update_adam equals its twin", T, float, double) {
  struct Case {
    double coupled, factor;
    bool amsgrad;
  };
  for (const Case& c : {Case{0, 1, false}, Case{0, 1, true}, Case{0.1, 1, false}, Case{0, 0.99, true}}) {
    const AdamScalars<T> s{T(0.9), T(0.999), T(0.1), T(0.001), T(1e-3), T(0.02), T(1.7), T(c.coupled), T(c.factor)};
    for (const std::int64_t n : lengths()) {
      const Line<T> w0 = random_line<T>(n, 41), g = random_line<T>(n, 42), m0 = random_line<T>(n, 43);
      test::Random random(44);
      const Line<T> v0(n, [&](auto) { return std::abs(random.uniform()); });
      const Line<T> x0(n, [&](auto) { return std::abs(random.uniform()); });
      test::for_each_set<T>([&](const KernelTable<T>& k) {
        Line<T> w = w0, m = m0, v = v0, x = x0;
        k.update_adam(s, w.data(), g.data(), m.data(), v.data(), c.amsgrad ? x.data() : nullptr, n);
        Comparison comparison;
        for (std::int64_t i = 0; i < n; ++i) {
          const double d = double(g[i]) + double(s.coupled_decay) * double(w0[i]);
          const double first = double(s.beta1) * double(m0[i]) + double(s.rest1) * d;
          const double second = double(s.beta2) * double(v0[i]) + double(s.rest2) * d * d;
          const double largest = c.amsgrad ? std::max(second, double(x0[i])) : second;
          const double step =
              double(s.step_size) / (std::sqrt(largest) * double(s.root_correction) + double(s.epsilon));
          comparison.within(0, i, double(m[i]), first, gamma<T>(kSlack));
          comparison.within(1, i, double(v[i]), second, gamma<T>(kSlack));
          comparison.within(2, i, double(x[i]), c.amsgrad ? largest : double(x0[i]), gamma<T>(kSlack));
          // The terms of m may cancel: its error is that of its terms, at most 1, times the step.
          comparison.within(3, i, double(w[i]), double(s.decoupled_factor) * double(w0[i]) - step * first,
                            gamma<T>(kSlack) * (1 + step));
        }
        for (const Line<T>* line : {&w, &m, &v, &x}) line->check_front(comparison);
        comparison.check("length " + std::to_string(n));
      });
    }
  }
}

// A trainer updates unit by unit, an optimizer a whole vector: an element must not know its place.
TEST_CASE_TEMPLATE("an update keeps its bits wherever the element stands", T, float, double) {
  constexpr std::int64_t n = 67;
  const AdamScalars<T> s{T(0.9), T(0.999), T(0.1), T(0.001), T(1e-8), T(0.01), T(1.3), T(0.01), T(1)};
  const Line<T> w0 = random_line<T>(n, 45), g = random_line<T>(n, 46);
  test::for_each_set<T>([&](const KernelTable<T>& k) {
    Line<T> w = w0, m(n, [](auto) { return 0; }), v = m;
    k.update_adam(s, w.data(), g.data(), m.data(), v.data(), nullptr, n);
    Comparison comparison;
    for (std::int64_t i = 0; i < n; ++i) {
      T one = w0[i], first = 0, second = 0;
      k.update_adam(s, &one, g.data() + i, &first, &second, nullptr, 1);
      comparison.equal(0, i, double(one), double(w[i]));
      comparison.equal(1, i, double(first), double(m[i]));
      comparison.equal(2, i, double(second), double(v[i]));
    }
    comparison.check("one by one");
  });
}

}  // namespace
}  // namespace krylov
