// Second derivatives of the activations against their definitions and against
// differences of the slopes.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include "reference/bounded.h"
#include "support/kernel_cases.h"

namespace krylov {
namespace {

using test::Comparison;
using test::Grid;
using test::kActivationCases;
using test::padded;

TEST_CASE_TEMPLATE("second derivatives of activations stay within the bounds of their definitions", T, float, double) {
  using reference::Bounded;
  Bounded::unit = test::gamma<T>(1) + test::gamma<double>(1);
  constexpr std::int64_t rows = 9;
  for (const std::int64_t columns : {1, 7, 16, 113}) {
    Grid<T> z(rows, columns, padded<T>(columns));
    // From -28 to 28 unevenly, 0 among them.
    const double middle = double(rows / 2 * columns + columns / 2);
    const auto point = [&](std::int64_t i) { return std::pow((double(i) - middle) / middle, 3) * 28; };
    z.set([&](std::int64_t r, std::int64_t c) { return point(r * columns + c); });
    z.pad(T(0));
    test::for_each_set<T>([&](const KernelTable<T>& k) {
      for (const ActivationSpec& act : kActivationCases) {
        const std::int64_t ld = padded<T>(columns);
        Grid<T> a(rows, columns, ld), slope(rows, columns, ld), out(rows, columns, ld + 3 * kPanel<T>, 1);
        k.activate(act, z.data(), ld, a.data(), ld, slope.data(), ld, rows, columns);
        Grid<T>& source = needs_slope(act.kind) ? z : a;
        k.second_slope(act, source.data(), ld, out.data(), out.ld(), rows, columns);
        Grid<T> in_place(rows, columns, ld);
        in_place.set([&](std::int64_t r, std::int64_t c) { return source.at(r, c); }).pad(T(0));
        k.second_slope(act, in_place.data(), ld, in_place.data(), ld, rows, columns);
        Comparison comparison;
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t c = 0; c < columns; ++c) {
            const Bounded want = activation_curvature(act, Bounded(double(z.at(r, c))));
            comparison.within(r, c, double(out.at(r, c)), want.value, want.error);
            comparison.equal(r, c, double(in_place.at(r, c)), double(out.at(r, c)));
          }
        }
        out.check_canaries(comparison, padded<T>(columns));
        comparison.check("activation " + std::to_string(static_cast<int>(act.kind)));
      }
    });
  }
}

TEST_CASE("second derivatives equal differences of the slopes") {
  constexpr std::int64_t columns = 96;
  constexpr double h = 1e-3;
  const auto point = [](std::int64_t c) { return (double(c) - 47.5) / 8; };  // never nearer to 0 than 2 h
  test::for_each_set<double>([&](const KernelTable<double>& k) {
    for (const ActivationSpec& act : kActivationCases) {
      const auto slopes = [&](double shift) {
        Grid<double> z(1, columns, columns), slope(1, columns, columns), delta(1, columns, columns);
        z.set([&](auto, std::int64_t c) { return point(c) + shift; });
        delta.set([](auto, auto) { return 1; });
        k.activate(act, z.data(), columns, z.data(), columns, slope.data(), columns, 1, columns);
        k.multiply_slope(act, needs_slope(act.kind) ? slope.data() : z.data(), columns, delta.data(), columns, 1,
                         columns);
        return delta;
      };
      Grid<double> source(1, columns, columns), slope(1, columns, columns), out(1, columns, columns);
      source.set([&](auto, std::int64_t c) { return point(c); });
      if (!needs_slope(act.kind)) {
        k.activate(act, source.data(), columns, source.data(), columns, slope.data(), columns, 1, columns);
      }
      k.second_slope(act, source.data(), columns, out.data(), columns, 1, columns);
      const Grid<double> up = slopes(h), down = slopes(-h), up2 = slopes(2 * h), down2 = slopes(-2 * h);
      Comparison comparison;
      for (std::int64_t c = 0; c < columns; ++c) {
        const double difference = (8 * (up.at(0, c) - down.at(0, c)) - (up2.at(0, c) - down2.at(0, c))) / (12 * h);
        comparison.within(0, c, out.at(0, c), difference, 1e-9);
      }
      comparison.check("activation " + std::to_string(static_cast<int>(act.kind)));
    }
  });
}

TEST_CASE_TEMPLATE("second derivatives of huge arguments are finite, and keep a NaN", T, float, double) {
  test::for_each_set<T>([&](const KernelTable<T>& k) {
    for (const ActivationSpec& act : kActivationCases) {
      CAPTURE(static_cast<int>(act.kind));
      constexpr std::int64_t columns = kPanel<T>;
      Grid<T> z(1, columns, columns), slope(1, columns, columns), out(1, columns, columns);
      for (const double size : {1e3, 1e18, 3e38, -1e3, -1e18, -3e38}) {
        z.fill(static_cast<T>(size));
        if (!needs_slope(act.kind)) {
          k.activate(act, z.data(), columns, z.data(), columns, slope.data(), columns, 1, columns);
        }
        k.second_slope(act, z.data(), columns, out.data(), columns, 1, columns);
        CHECK(std::abs(out.at(0, 0)) <= T(1e-5));
      }
      z.fill(std::numeric_limits<T>::quiet_NaN());
      k.second_slope(act, z.data(), columns, z.data(), columns, 1, columns);
      CHECK(std::isnan(z.at(0, columns - 1)));
    }
  });
}

}  // namespace
}  // namespace krylov
