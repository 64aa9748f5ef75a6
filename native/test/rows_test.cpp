// Kernels over the rows of a batch against plain loops: gathering, transposed
// panels, outer products, normalisation, dropout masks, activations.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "krylov/rng.h"
#include "reference/bounded.h"
#include "support/kernel_cases.h"

namespace krylov {
namespace {

using test::Comparison;
using test::Grid;
using test::kActivationCases;
using test::make_panels;
using test::padded;

constexpr std::int64_t kWidths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100};

template <class S>
constexpr DType source_type() {
  return sizeof(S) == 1 ? DType::kUint8 : sizeof(S) == 4 ? DType::kFloat32 : DType::kFloat64;
}

template <Scalar T, class S>
void check_gather() {
  test::Random random(21);
  for (const std::int64_t columns : kWidths) {
    constexpr std::int64_t source_rows = 23;
    std::vector<S> source(static_cast<std::size_t>(source_rows * columns));  // nothing readable behind it
    for (S& x : source) x = sizeof(S) == 1 ? static_cast<S>(random.integer(0, 255)) : static_cast<S>(random.uniform());
    for (const std::int64_t rows : {0, 1, 3, 20}) {
      std::vector<std::uint32_t> index;
      for (std::int64_t r = 0; r < rows; ++r)
        index.push_back(static_cast<std::uint32_t>(random.integer(0, source_rows - 1)));
      if (rows == 20) index[0] = source_rows - 1;
      for (const T scale : {T(1), static_cast<T>(1.0 / 255.0)}) {
        for (const bool indexed : {false, true}) {
          test::for_each_set<T>([&](const KernelTable<T>& k) {
            Grid<T> out(rows, columns, padded<T>(columns, rows % 2 * kPanel<T>));
            k.gather(source.data(), source_type<S>(), columns, indexed ? index.data() : nullptr, rows, scale,
                     out.data(), out.ld());
            Comparison comparison;
            for (std::int64_t r = 0; r < rows; ++r) {
              const std::int64_t from = indexed ? std::int64_t(index[std::size_t(r)]) : r;
              for (std::int64_t c = 0; c < padded<T>(columns); ++c) {
                const T x = c < columns ? static_cast<T>(source[std::size_t(from * columns + c)]) * scale : T(0);
                comparison.equal(r, c, double(out.at(r, c)), double(x));
              }
            }
            out.check_canaries(comparison, padded<T>(columns));
            comparison.check(std::to_string(rows) + " rows of " + std::to_string(columns));
          });
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("gather converts, scales and pads rows of any type", T, float, double) {
  check_gather<T, std::uint8_t>();
  check_gather<T, float>();
  check_gather<T, double>();
}

TEST_CASE_TEMPLATE("transpose_panel moves every element to its place and no other", T, float, double) {
  constexpr std::int64_t panel = kPanel<T>;
  for (const std::int64_t rows :
       {std::int64_t(1), std::int64_t(3), panel - 1, panel, panel + 1, 3 * panel + 5, 4 * panel}) {
    for (std::int64_t lanes = 1; lanes <= panel; ++lanes) {
      Grid<T> src(rows, panel, panel);
      src.set([](std::int64_t i, std::int64_t lane) { return 100 * i + lane; });
      const std::int64_t dst_panel = (lanes + 2) * panel;
      test::for_each_set<T>([&](const KernelTable<T>& k) {
        Grid<T> dst(ceil_div(rows, panel), dst_panel, dst_panel);
        k.transpose_panel(src.data(), rows, lanes, dst.data(), dst_panel);
        Comparison comparison;
        for (std::int64_t p = 0; p < dst.rows(); ++p) {
          for (std::int64_t j = 0; j < dst_panel; ++j) {
            const std::int64_t lane = j / panel, i = p * panel + j % panel;
            comparison.equal(p, j, double(dst.at(p, j)),
                             lane < lanes && i < rows ? double(100 * i + lane) : test::kCanary);
          }
        }
        dst.check_canaries(comparison, dst_panel);
        comparison.check(std::to_string(rows) + " rows, " + std::to_string(lanes) + " lanes");
      });
    }
  }
}

TEST_CASE_TEMPLATE("outer_product is exact and stays within its matrix", T, float, double) {
  for (const std::int64_t outputs : {0, 1, 3, 17}) {
    for (const std::int64_t inputs : kWidths) {
      std::vector<T> delta(static_cast<std::size_t>(outputs)), x(static_cast<std::size_t>(inputs));
      for (std::size_t i = 0; i < delta.size(); ++i) delta[i] = static_cast<T>(int(i * 3 % 7) - 3);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(int(i * 5 % 11) - 5);
      test::for_each_set<T>([&](const KernelTable<T>& k) {
        Grid<T> out(outputs, inputs, inputs, 1);
        for (const auto multiply : {k.outer_product, k.stream_outer_product}) {
          out.fill(static_cast<T>(test::kCanary));
          multiply(delta.data(), outputs, x.data(), inputs, out.data());
          Comparison comparison;
          for (std::int64_t o = 0; o < outputs; ++o) {
            for (std::int64_t i = 0; i < inputs; ++i) {
              comparison.equal(o, i, double(out.at(o, i)), double(delta[std::size_t(o)] * x[std::size_t(i)]));
            }
          }
          out.check_canaries(comparison, inputs);
          comparison.check(std::to_string(outputs) + " x " + std::to_string(inputs));
        }
      });
    }
  }
}

TEST_CASE_TEMPLATE("products and sums of rows equal plain loops", T, float, double) {
  test::Random random(22);
  for (const std::int64_t columns : kWidths) {
    constexpr std::int64_t rows = 3;
    Grid<T> x(rows, columns, padded<T>(columns)), y(rows, columns, padded<T>(columns, kPanel<T>), 1);
    Grid<T> before(rows, columns, padded<T>(columns));
    for (Grid<T>* g : {&x, &y, &before}) g->set([&](auto, auto) { return random.uniform(); });
    test::for_each_set<T>([&](const KernelTable<T>& k) {
      const auto fresh = [&] {
        Grid<T> g(rows, columns, padded<T>(columns, 2));
        g.set([&](std::int64_t r, std::int64_t c) { return before.at(r, c); });
        return g;
      };
      Grid<T> product = fresh(), sum_of_products = fresh(), sum = fresh(), in_place = fresh();
      k.multiply(x.data(), x.ld(), y.data(), y.ld(), product.data(), product.ld(), false, rows, columns);
      k.multiply(x.data(), x.ld(), y.data(), y.ld(), sum_of_products.data(), product.ld(), true, rows, columns);
      k.add(x.data(), x.ld(), y.data(), y.ld(), sum.data(), sum.ld(), rows, columns);
      k.add(x.data(), x.ld(), in_place.data(), in_place.ld(), in_place.data(), in_place.ld(), rows, columns);
      Comparison comparison;
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < columns; ++c) {
          const T xy = x.at(r, c) * y.at(r, c);
          comparison.equal(r, c, double(product.at(r, c)), double(xy));
          comparison.equal(r, c, double(sum_of_products.at(r, c)), double(before.at(r, c) + xy));
          comparison.equal(r, c, double(sum.at(r, c)), double(x.at(r, c) + y.at(r, c)));
          comparison.equal(r, c, double(in_place.at(r, c)), double(x.at(r, c) + before.at(r, c)));
        }
      }
      for (const Grid<T>* g : {&product, &sum_of_products, &sum, &in_place})
        g->check_canaries(comparison, padded<T>(columns));
      comparison.check(std::to_string(columns) + " columns");
    });
  }
}

// Normalisation of one row, in long double.
struct NormRow {
  std::vector<long double> n, y;
  long double mean = 0, inverse = 0;
};
template <Scalar T>
NormRow norm_row(const Grid<T>& x, std::int64_t r, const std::vector<T>& gain, const std::vector<T>& bias,
                 double epsilon) {
  NormRow row;
  const auto width = static_cast<long double>(x.columns());
  for (std::int64_t c = 0; c < x.columns(); ++c) row.mean += x.at(r, c) / width;
  long double variance = 0;
  for (std::int64_t c = 0; c < x.columns(); ++c) variance += (x.at(r, c) - row.mean) * (x.at(r, c) - row.mean) / width;
  row.inverse = 1 / std::sqrt(variance + epsilon);
  for (std::int64_t c = 0; c < x.columns(); ++c) {
    row.n.push_back((x.at(r, c) - row.mean) * row.inverse);
    row.y.push_back(row.n.back() * gain[std::size_t(c)] + bias[std::size_t(c)]);
  }
  return row;
}

// s (g - mean(g) - n mean(g n)), with the sum of the terms' sizes.
long double through_norm(const NormRow& row, const std::vector<long double>& g, std::size_t c, double& size) {
  long double mean = 0, slope = 0, mean_size = 0, slope_size = 0;
  for (std::size_t i = 0; i < g.size(); ++i) {
    mean += g[i] / static_cast<long double>(g.size());
    slope += g[i] * row.n[i] / static_cast<long double>(g.size());
    mean_size += std::abs(g[i]) / static_cast<long double>(g.size());
    slope_size += std::abs(g[i] * row.n[i]) / static_cast<long double>(g.size());
  }
  size = static_cast<double>(row.inverse * (std::abs(g[c]) + mean_size + std::abs(row.n[c]) * slope_size));
  return row.inverse * (g[c] - mean - row.n[c] * slope);
}

TEST_CASE_TEMPLATE("layer normalisation: values, derivatives and tangents equal plain loops", T, float, double) {
  test::Random random(23);
  // Roundings on the way to an element, with those of the rounded mean and deviation that it is made of.
  const double unit = test::gamma<T>(12);
  for (const std::int64_t columns : kWidths) {
    constexpr std::int64_t rows = 4;
    constexpr double epsilon = 1e-5;
    Grid<T> x(rows, columns, padded<T>(columns, kPanel<T>)), d(rows, columns, padded<T>(columns));
    x.set([&](auto, auto) { return 0.5 + random.uniform(); }).pad(std::numeric_limits<T>::quiet_NaN());
    d.set([&](auto, auto) { return random.uniform(); }).pad(T(0));
    std::vector<T> gain, bias;
    for (std::int64_t c = 0; c < columns; ++c) gain.push_back(T(random.uniform())), bias.push_back(T(random.uniform()));
    const auto panels = make_panels<T>(2, columns, 2, [&](std::int64_t k, std::int64_t c) {
      return double(k == 0 ? gain[std::size_t(c)] : bias[std::size_t(c)]);
    });
    test::for_each_set<T>([&](const KernelTable<T>& k) {
      const std::int64_t ld = padded<T>(columns);
      Grid<T> y(rows, columns, ld), n(rows, columns, ld), dx(rows, columns, ld), added(rows, columns, ld),
          rn(rows, columns, ld);
      added.set([](auto, auto) { return 1; });
      std::vector<T> inverse(rows);
      k.layer_norm_forward(x.data(), x.ld(), panels.data(), 2 * kPanel<T>, epsilon, y.data(), ld, n.data(), ld,
                           inverse.data(), rows, columns);
      k.layer_norm_backward(d.data(), ld, panels.data(), 2 * kPanel<T>, n.data(), ld, inverse.data(), dx.data(), ld,
                            false, rows, columns);
      k.layer_norm_backward(d.data(), ld, panels.data(), 2 * kPanel<T>, n.data(), ld, inverse.data(), added.data(), ld,
                            true, rows, columns);
      k.layer_norm_tangent(d.data(), ld, n.data(), ld, inverse.data(), rn.data(), ld, rows, columns);
      Comparison comparison;
      for (std::int64_t r = 0; r < rows; ++r) {
        const NormRow row = norm_row(x, r, gain, bias, epsilon);
        // The mean is rounded to T before it is subtracted: an error of the mean's size times 1 / deviation.
        const double shift = unit * static_cast<double>(row.inverse * std::abs(row.mean));
        comparison.within(r, -1, double(inverse[std::size_t(r)]), double(row.inverse),
                          double(row.inverse) * (unit + shift * shift));
        std::vector<long double> g, plain;
        for (std::int64_t c = 0; c < columns; ++c) {
          g.push_back(static_cast<long double>(d.at(r, c)) * gain[std::size_t(c)]);
          plain.push_back(d.at(r, c));
        }
        for (std::int64_t c = 0; c < columns; ++c) {
          const auto i = static_cast<std::size_t>(c);
          const double size = std::abs(double(row.n[i]));
          comparison.within(r, c, double(n.at(r, c)), double(row.n[i]), shift + unit * size);
          const double weight = std::abs(double(gain[i]));
          comparison.within(r, c, double(y.at(r, c)), double(row.y[i]),
                            weight * shift + unit * (weight * size + std::abs(double(bias[i]))));
          double terms = 0;
          const double back = double(through_norm(row, g, i, terms));
          const double bound = (unit + shift) * terms * 2;
          comparison.within(r, c, double(dx.at(r, c)), back, bound);
          comparison.within(r, c, double(added.at(r, c)), back + 1, bound + unit);
          const double tangent = double(through_norm(row, plain, i, terms));
          comparison.within(r, c, double(rn.at(r, c)), tangent, (unit + shift) * terms * 2);
        }
        for (std::int64_t c = columns; c < ld; ++c) {
          for (const Grid<T>* z : {&n, &dx, &added, &rn}) comparison.equal(r, c, double(z->at(r, c)), 0);
        }
      }
      for (const Grid<T>* z : {&y, &n, &dx, &added, &rn}) z->check_canaries(comparison, ld);
      comparison.check(std::to_string(columns) + " columns");
    });
  }
}

// u' dy for a step of h in each input: four points, error of order h^4 and u / h.
TEST_CASE("layer normalisation: the derivative equals differences") {
  test::Random random(24);
  constexpr std::int64_t columns = 11;
  constexpr double epsilon = 1e-5, h = 1e-3;
  const std::int64_t ld = padded<double>(columns);
  Grid<double> x(1, columns, ld), u(1, columns, ld);
  x.set([&](auto, auto) { return random.uniform(); }).pad(0);
  u.set([&](auto, auto) { return random.uniform(); }).pad(0);
  const auto panels = make_panels<double>(2, columns, 2, [&](auto, auto) { return random.uniform(); });
  test::for_each_set<double>([&](const KernelTable<double>& k) {
    Grid<double> y(1, columns, ld), n(1, columns, ld), dx(1, columns, ld);
    double inverse = 0;
    const auto value = [&] {
      k.layer_norm_forward(x.data(), ld, panels.data(), 2 * kPanel<double>, epsilon, y.data(), ld, n.data(), ld,
                           &inverse, 1, columns);
      return k.dot(y.data(), u.data(), columns);
    };
    value();
    k.layer_norm_backward(u.data(), ld, panels.data(), 2 * kPanel<double>, n.data(), ld, &inverse, dx.data(), ld, false,
                          1, columns);
    Comparison comparison;
    for (std::int64_t c = 0; c < columns; ++c) {
      const double at = x.at(0, c);
      const auto moved = [&](double step) { return x.at(0, c) = at + step, value(); };
      const double slope = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
      x.at(0, c) = at;
      comparison.within(0, c, dx.at(0, c), slope, 1e-9);
    }
    comparison.check("11 columns");
  });
}

TEST_CASE_TEMPLATE("dropout masks are the words of the stream, for any first row", T, float, double) {
  const std::uint64_t seed = 0x1234567890abcdef, step = 0x5000000007;
  constexpr std::uint32_t layer = 3;
  for (const double rate : {0.0, 0.1, 0.5, 0.9}) {
    for (const std::int64_t columns : {1, 2, 3, 4, 5, 16, 33, 63, 64, 65, 200}) {
      for (const std::int64_t first : {0, 1, 5, 1000003}) {
        constexpr std::int64_t rows = 3;
        test::for_each_set<T>([&](const KernelTable<T>& k) {
          Grid<T> mask(rows, columns, padded<T>(columns, 1));
          k.dropout_mask(seed, step, layer, rate, first, mask.data(), mask.ld(), rows, columns);
          Comparison comparison;
          for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t c = 0; c < columns; ++c) {
              const auto element = static_cast<std::uint64_t>((first + r) * columns + c);
              const PhiloxBlock words = philox4x32(
                  {static_cast<std::uint32_t>(element / 4), layer, static_cast<std::uint32_t>(step),
                   (static_cast<std::uint32_t>(Stream::kDropout) << 24) | static_cast<std::uint32_t>(step >> 32)},
                  {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
              const bool dropped = double(words[element % 4]) < rate * 0x1p32;
              comparison.equal(r, c, double(mask.at(r, c)), dropped ? 0 : double(static_cast<T>(1 / (1 - rate))));
            }
            for (std::int64_t c = columns; c < padded<T>(columns); ++c)
              comparison.equal(r, c, double(mask.at(r, c)), 0);
          }
          mask.check_canaries(comparison, padded<T>(columns));
          comparison.check(std::to_string(columns) + " columns from row " + std::to_string(first));
        });
      }
    }
  }
}

TEST_CASE_TEMPLATE("dropout masks keep the expected share", T, float, double) {
  constexpr std::int64_t rows = 500, columns = 200;
  for (const double rate : {0.1, 0.5, 0.75}) {
    test::for_each_set<T>([&](const KernelTable<T>& k) {
      Grid<T> mask(rows, columns, padded<T>(columns));
      k.dropout_mask(7, 1, 0, rate, 0, mask.data(), mask.ld(), rows, columns);
      std::int64_t kept = 0;
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < columns; ++c) kept += mask.at(r, c) != T(0);
      }
      const double n = double(rows * columns);
      CHECK(std::abs(double(kept) - n * (1 - rate)) < 5 * std::sqrt(n * rate * (1 - rate)));
    });
  }
}

TEST_CASE_TEMPLATE("activations and slopes stay within the bounds of their definitions", T, float, double) {
  using reference::Bounded;
  Bounded::unit = test::gamma<T>(1) + test::gamma<double>(1);
  constexpr std::int64_t rows = 9, columns = 113;
  Grid<T> z(rows, columns, padded<T>(columns));
  // From -28 to 28 unevenly, 0 among them.
  z.set([](std::int64_t r, std::int64_t c) { return std::pow((double(r * columns + c) - 508) / 508.0, 3) * 28; });
  test::for_each_set<T>([&](const KernelTable<T>& k) {
    for (const ActivationSpec& act : kActivationCases) {
      const std::int64_t ld = padded<T>(columns);
      Grid<T> a(rows, columns, ld), slope(rows, columns, ld), delta(rows, columns, ld);
      k.activate(act, z.data(), ld, a.data(), ld, slope.data(), ld, rows, columns);
      delta.set([](auto, auto) { return 1; });
      k.multiply_slope(act, needs_slope(act.kind) ? slope.data() : a.data(), ld, delta.data(), ld, rows, columns);
      Comparison comparison;
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < columns; ++c) {
          const Bounded value = activate(act, Bounded(double(z.at(r, c))));
          const Bounded derivative = activation_slope(act, Bounded(double(z.at(r, c))));
          comparison.within(r, c, double(a.at(r, c)), value.value, value.error);
          comparison.within(r, c, double(delta.at(r, c)), derivative.value, derivative.error);
        }
      }
      comparison.check("activation " + std::to_string(static_cast<int>(act.kind)));
    }
  });
}

TEST_CASE("slopes equal differences of the activations") {
  constexpr std::int64_t columns = 96;
  constexpr double h = 1e-3;
  const auto point = [](std::int64_t c) { return (double(c) - 47.5) / 8; };  // never nearer to 0 than 2 h
  test::for_each_set<double>([&](const KernelTable<double>& k) {
    for (const ActivationSpec& act : kActivationCases) {
      const auto values = [&](double shift, Grid<double>& slope) {
        Grid<double> a(1, columns, columns);
        a.set([&](auto, std::int64_t c) { return point(c) + shift; });
        k.activate(act, a.data(), columns, a.data(), columns, slope.data(), columns, 1, columns);
        return a;
      };
      Grid<double> slope(1, columns, columns), unused(1, columns, columns), delta(1, columns, columns);
      const Grid<double> at = values(0, slope);
      delta.set([](auto, auto) { return 1; });
      k.multiply_slope(act, needs_slope(act.kind) ? slope.data() : at.data(), columns, delta.data(), columns, 1,
                       columns);
      const Grid<double> up = values(h, unused), down = values(-h, unused), up2 = values(2 * h, unused),
                         down2 = values(-2 * h, unused);
      Comparison comparison;
      for (std::int64_t c = 0; c < columns; ++c) {
        const double difference = (8 * (up.at(0, c) - down.at(0, c)) - (up2.at(0, c) - down2.at(0, c))) / (12 * h);
        comparison.within(0, c, delta.at(0, c), difference, 1e-10);
      }
      comparison.check("activation " + std::to_string(static_cast<int>(act.kind)));
    }
  });
}

// A run finds out that it diverged by the loss: no activation may swallow a NaN.
TEST_CASE_TEMPLATE("activations keep a NaN", T, float, double) {
  test::for_each_set<T>([&](const KernelTable<T>& k) {
    for (const ActivationSpec& act : kActivationCases) {
      CAPTURE(static_cast<int>(act.kind));
      Grid<T> z(1, kPanel<T>, kPanel<T>), slope(1, kPanel<T>, kPanel<T>);
      z.fill(std::numeric_limits<T>::quiet_NaN());
      k.activate(act, z.data(), kPanel<T>, z.data(), kPanel<T>, slope.data(), kPanel<T>, 1, kPanel<T>);
      int kept = 0;
      for (std::int64_t c = 0; c < kPanel<T>; ++c) kept += std::isnan(z.at(0, c));
      CHECK(kept == kPanel<T>);
    }
  });
}

}  // namespace
}  // namespace krylov
