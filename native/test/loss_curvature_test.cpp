// Second derivatives of the losses, their roots and diagonals: every set against
// the twin, and the twin's fellow, differences of the slopes.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "reference/reference_losses.h"
#include "support/kernel_cases.h"

namespace krylov {
namespace {

using test::Comparison;
using test::Grid;
using test::padded;

constexpr std::int64_t kWidths[] = {1, 2, 3, 4, 7, 8, 9, 10, 15, 16, 17, 31, 33};

struct Case {
  std::string name;
  LossSpec spec;
  bool weighted_classes = false;  // class_weights, one a column
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const bool sum : {false, true}) {
    const auto make = [&](const char* name, Loss kind) {
      Case c{std::string(name) + (sum ? " sum, halved" : " mean"), {}, false};
      c.spec.kind = kind;
      c.spec.sum_outputs = sum;
      c.spec.scale = sum ? 0.5 : 1;
      return c;
    };
    all.push_back(make("squared", Loss::kMeanSquaredError));
    all.push_back(make("absolute", Loss::kMeanAbsoluteError));
    all.push_back(make("huber", Loss::kHuber));
    all.back().spec.delta = 0.7;
    for (const double smoothing : {0.0, 0.1}) {
      for (const bool weighted : {false, true}) {
        const std::string options = (smoothing > 0 ? " smoothed" : "") + std::string(weighted ? " class weights" : "");
        for (const bool softmax : {false, true}) {
          Case c = make(softmax ? "softmax probabilities" : "binary",
                        softmax ? Loss::kSoftmaxCrossEntropy : Loss::kBinaryCrossEntropy);
          c.name += options;
          c.spec.label_smoothing = smoothing;
          c.weighted_classes = weighted;
          all.push_back(c);
        }
      }
      Case c = make("softmax classes", Loss::kSoftmaxCrossEntropy);
      c.name += smoothing > 0 ? " smoothed" : "";
      c.spec.label_smoothing = smoothing;
      c.spec.class_targets = true;
      all.push_back(c);
    }
  }
  return all;
}

constexpr double kSeed = 0.375;

template <Scalar T>
struct Batch {
  std::int64_t rows, columns;
  Grid<T> outputs, targets, u;
  std::vector<std::int32_t> classes;
  std::vector<double> weights;

  Batch(std::int64_t rows_, std::int64_t columns_, double spread, unsigned seed)
      : rows(rows_),
        columns(columns_),
        outputs(rows, columns, padded<T>(columns, kPanel<T>)),
        targets(rows, columns, columns + 3),
        u(rows, columns, padded<T>(columns), 1) {
    test::Random random(seed);
    outputs.set([&](auto, auto) { return spread * random.uniform(); }).pad(std::numeric_limits<T>::quiet_NaN());
    targets.set([&](auto, auto) { return 0.5 + 0.5 * random.uniform(); }).pad(std::numeric_limits<T>::quiet_NaN());
    u.set([&](auto, auto) { return random.uniform(); }).pad(std::numeric_limits<T>::quiet_NaN());
    for (std::int64_t r = 0; r < rows; ++r) {
      classes.push_back(random.integer(0, int(columns) - 1));
      weights.push_back(0.75 + 0.5 * random.uniform());
    }
  }

  LossCurvatureRows<T> arguments(const LossSpec& spec, bool weighted, T* out, std::int64_t ld) const {
    LossCurvatureRows<T> a{};
    a.spec = &spec;
    a.outputs = outputs.data(), a.ldo = outputs.ld();
    a.rows = rows, a.columns = columns;
    if (spec.class_targets) {
      a.classes = classes.data();
    } else {
      a.targets = targets.data(), a.ldt = targets.ld();
    }
    a.weights = weighted ? weights.data() : nullptr;
    a.seed = kSeed;
    a.u = u.data(), a.ldu = u.ld();
    a.out = out, a.ld_out = ld;
    return a;
  }
  std::vector<double> row(const Grid<T>& g, std::int64_t r) const {
    std::vector<double> out;
    for (std::int64_t c = 0; c < columns; ++c) out.push_back(double(g.at(r, c)));
    return out;
  }
  reference::Target target(const LossSpec& spec, std::int64_t r) const {
    if (spec.class_targets) return {classes[std::size_t(r)], {}};
    return {-1, row(targets, r)};
  }
};

// Roundings of one factor: an exponential of at most 4 ULP, a quotient, a root, smoothing, products.
constexpr double kRoundings = 24;

// Sizes of the terms that make up element k of H u and of S z, each with the relative error of its factors: with
// softmax p_k stands for exp(o_k - o_m), whose argument is rounded.
struct Sizes {
  std::vector<double> product, root, diagonal;
};
Sizes sizes_of(const LossSpec& spec, const std::vector<double>& o, const reference::Target& target,
               const std::vector<double>& u) {
  const std::size_t width = o.size();
  Sizes s;
  std::vector<double> unit(width, 0.0);
  if (spec.kind != Loss::kSoftmaxCrossEntropy) {
    // No sums: errors are relative. Class weights enter as 1 + (p - 1) y, of positive terms' size.
    const double size = 1 + (spec.class_weights.empty() ? 0 : 2);
    s.product = reference::sample_loss_curvature(spec, o, target, u);
    s.root = reference::sample_loss_root(spec, o, target, u);
    s.diagonal = reference::sample_loss_curvature(spec, o, target, std::vector<double>(width, 1.0));
    for (auto* v : {&s.product, &s.root, &s.diagonal}) {
      for (double& x : *v) x = kRoundings * size * std::abs(x);
    }
    return s;
  }
  std::size_t m = 0;
  for (std::size_t k = 0; k < width; ++k) m = o[k] > o[m] ? k : m;
  double mass = spec.class_targets ? 1 : 0, total = 0;
  for (std::size_t k = 0; k < width; ++k) {
    total += std::exp(o[k] - o[m]);
    if (spec.class_targets) continue;
    const double y = (1 - spec.label_smoothing) * target.values[k] + spec.label_smoothing / double(width);
    mass += y * (spec.class_weights.empty() ? 1 : spec.class_weights[k]);
  }
  double product_sum = 0, root_sum = 0, rest = 0, product_size = 0, root_size = 0;
  std::vector<double> p(width), rounding(width);
  for (std::size_t k = 0; k < width; ++k) {
    p[k] = std::exp(o[k] - o[m]) / total;
    rounding[k] = kRoundings + std::abs(o[k] - o[m]);
    if (k == m) continue;
    rest += p[k] * rounding[k];
    product_sum += p[k] * std::abs(u[k] - u[m]) * rounding[k];
    root_sum += std::sqrt(p[k]) * std::abs(u[k]) * rounding[k];
    product_size += p[k] * std::abs(u[k] - u[m]);
    root_size += std::sqrt(p[k]) * std::abs(u[k]);
  }
  for (std::size_t k = 0; k < width; ++k) {
    const double f = spec.scale * mass;
    s.product.push_back(f * p[k] * (rounding[k] * (std::abs(u[k] - u[m]) + product_size) + product_sum));
    s.diagonal.push_back(f * p[k] * (k == m ? rest : rounding[k]));
    const double own = k == m ? std::sqrt(p[m]) * std::abs(u[m]) * rest
                              : std::sqrt(p[k]) * std::abs(u[k]) + p[k] * std::sqrt(p[m]) * std::abs(u[m]);
    s.root.push_back(std::sqrt(f) * ((k == m ? own : own * rounding[k]) + p[k] * (root_sum + rounding[k] * root_size)));
  }
  return s;
}

template <Scalar T>
void check_batch(const KernelTable<T>& table, const Case& c, const Batch<T>& b, bool weighted) {
  const std::int64_t ld = padded<T>(b.columns, kPanel<T>);
  Grid<T> product(b.rows, b.columns, ld), root(b.rows, b.columns, ld), diagonal(b.rows, b.columns, ld, 3);
  table.loss_curvature_rows(b.arguments(c.spec, weighted, product.data(), ld));
  table.loss_root_rows(b.arguments(c.spec, weighted, root.data(), ld));
  table.loss_curvature_diagonal_rows(b.arguments(c.spec, weighted, diagonal.data(), ld));
  const double unit = double(std::numeric_limits<T>::epsilon()) / 2 + std::numeric_limits<double>::epsilon() / 2 *
                                                                          (1 + double(b.columns));
  Comparison comparison;
  for (std::int64_t r = 0; r < b.rows; ++r) {
    const double w = kSeed * (weighted ? b.weights[std::size_t(r)] : 1);
    const std::vector<double> o = b.row(b.outputs, r), u = b.row(b.u, r);
    const reference::Target target = b.target(c.spec, r);
    const std::vector<double> hu = reference::sample_loss_curvature(c.spec, o, target, u);
    const std::vector<double> su = reference::sample_loss_root(c.spec, o, target, u);
    const Sizes size = sizes_of(c.spec, o, target, u);
    // Exponentials below the smallest normal number are 0; a root is taken of them.
    const double tiny = double(std::numeric_limits<T>::min()) * 16, tiny_root = std::sqrt(tiny);
    for (std::int64_t k = 0; k < b.columns; ++k) {
      const auto i = std::size_t(k);
      std::vector<double> unit_vector(o.size(), 0.0);
      unit_vector[i] = 1;
      const double own = reference::sample_loss_curvature(c.spec, o, target, unit_vector)[i];
      comparison.within(r, k, double(product.at(r, k)), w * hu[i], unit * w * size.product[i] + tiny);
      comparison.within(r, k, double(root.at(r, k)), std::sqrt(w) * su[i],
                        unit * std::sqrt(w) * size.root[i] + tiny_root);
      comparison.within(r, k, double(diagonal.at(r, k)), w * own, unit * w * size.diagonal[i] + tiny);
    }
    for (std::int64_t k = b.columns; k < padded<T>(b.columns); ++k) {
      for (const Grid<T>* g : {&product, &root, &diagonal}) comparison.equal(r, k, double(g->at(r, k)), 0);
    }
  }
  for (const Grid<T>* g : {&product, &root, &diagonal}) g->check_canaries(comparison, padded<T>(b.columns));
  // In place, and a row by itself: the same bits.
  using Kernel = void (*)(const LossCurvatureRows<T>&) noexcept;
  const std::pair<Kernel, const Grid<T>*> kernels[] = {{table.loss_curvature_rows, &product},
                                                       {table.loss_root_rows, &root},
                                                       {table.loss_curvature_diagonal_rows, &diagonal}};
  for (const auto& [kernel, whole] : kernels) {
    Grid<T> in_place(b.rows, b.columns, b.u.ld());
    in_place.set([&](std::int64_t r, std::int64_t k) { return b.u.at(r, k); });
    LossCurvatureRows<T> over = b.arguments(c.spec, weighted, in_place.data(), in_place.ld());
    over.u = in_place.data();
    kernel(over);
    Grid<T> alone(1, b.columns, ld);
    for (std::int64_t r = 0; r < b.rows; ++r) {
      LossCurvatureRows<T> a = b.arguments(c.spec, weighted, alone.data(), ld);
      a.outputs += r * a.ldo, a.u += r * a.ldu, a.rows = 1;
      if (a.targets != nullptr) a.targets += r * a.ldt;
      if (a.weights != nullptr) a.weights += r;
      kernel(a);
      for (std::int64_t k = 0; k < b.columns; ++k) {
        comparison.equal(r, k, double(in_place.at(r, k)), double(whole->at(r, k)));
        comparison.equal(r, k, double(alone.at(0, k)), double(whole->at(r, k)));
      }
    }
  }
  comparison.check(c.name + ", " + std::to_string(b.rows) + " x " + std::to_string(b.columns));
}

void weigh_classes(Case& c, std::int64_t columns) {
  c.spec.class_weights.clear();
  for (std::int64_t k = 0; c.weighted_classes && k < columns; ++k) {
    c.spec.class_weights.push_back(0.5 + 0.25 * static_cast<double>(k % 5));
  }
}

TEST_CASE_TEMPLATE("curvature of losses, its root and its diagonal equal plain loops", T, float, double) {
  test::for_each_set<T>([](const KernelTable<T>& table) {
    for (Case c : cases()) {
      for (const std::int64_t columns : kWidths) {
        weigh_classes(c, columns);
        for (const std::int64_t rows : {0, 1, 5, 17}) {
          check_batch(table, c, Batch<T>(rows, columns, 3, 31), rows % 2 == 1);
        }
      }
    }
  });
}

// sigmoid(o) rounds to 1 and p - p^2 to 0 long before the curvature is 0.
TEST_CASE_TEMPLATE("curvature of saturated outputs does not underflow", T, float, double) {
  test::for_each_set<T>([](const KernelTable<T>& table) {
    for (Case c : cases()) {
      for (const std::int64_t columns : {1, 2, 10, 17}) {
        weigh_classes(c, columns);
        check_batch(table, c, Batch<T>(9, columns, 80, 33), true);
      }
    }
    LossSpec binary{}, softmax{};
    binary.kind = Loss::kBinaryCrossEntropy;
    softmax.kind = Loss::kSoftmaxCrossEntropy;
    for (const bool two : {false, true}) {
      const std::int64_t columns = two ? 2 : 1;
      Batch<T> b(1, columns, 1, 34);
      b.outputs.at(0, 0) = T(50);
      if (two) b.outputs.at(0, 1) = T(0);
      b.targets.at(0, 0) = T(1);
      if (two) b.targets.at(0, 1) = T(0);
      Grid<T> out(1, columns, padded<T>(columns));
      table.loss_curvature_diagonal_rows(b.arguments(two ? softmax : binary, false, out.data(), out.ld()));
      const double want = kSeed * std::exp(-50);
      CHECK(std::abs(double(out.at(0, 0)) - want) <= 80 * double(std::numeric_limits<T>::epsilon()) * want);
    }
  });
}

// S S' = H, column by column.
TEST_CASE("the root is a root") {
  test::for_each_set<double>([](const KernelTable<double>& table) {
    for (Case c : cases()) {
      constexpr std::int64_t columns = 5;
      weigh_classes(c, columns);
      Batch<double> b(3, columns, 2, 35);
      const std::int64_t ld = padded<double>(columns);
      std::vector<Grid<double>> roots, products;
      for (std::int64_t k = 0; k < columns; ++k) {
        b.u.set([&](auto, std::int64_t j) { return j == k; });
        roots.emplace_back(3, columns, ld);
        table.loss_root_rows(b.arguments(c.spec, true, roots.back().data(), ld));
        products.emplace_back(3, columns, ld);
        table.loss_curvature_rows(b.arguments(c.spec, true, products.back().data(), ld));
      }
      Comparison comparison;
      for (std::int64_t r = 0; r < 3; ++r) {
        for (std::int64_t i = 0; i < columns; ++i) {
          for (std::int64_t j = 0; j < columns; ++j) {
            double sum = 0;
            for (const Grid<double>& column : roots) sum += column.at(r, i) * column.at(r, j);
            comparison.within(r, i * columns + j, products[std::size_t(j)].at(r, i), sum, 1e-14);
          }
        }
      }
      comparison.check(c.name);
    }
  });
}

TEST_CASE("curvature of losses equals differences of their slopes") {
  constexpr double h = 1e-4;
  test::for_each_set<double>([](const KernelTable<double>& table) {
    for (Case c : cases()) {
      for (const std::int64_t columns : {1, 3, 10}) {
        weigh_classes(c, columns);
        constexpr std::int64_t rows = 6;
        Batch<double> b(rows, columns, 2, 36);
        const std::int64_t ld = padded<double>(columns);
        const auto slopes = [&](double step) {
          Grid<double> moved(rows, columns, ld), delta(rows, columns, ld);
          moved.set([&](std::int64_t r, std::int64_t k) { return b.outputs.at(r, k) + step * b.u.at(r, k); });
          LossRows<double> a{};
          a.spec = &c.spec;
          a.outputs = moved.data(), a.ldo = moved.ld();
          a.rows = rows, a.columns = columns;
          a.classes = c.spec.class_targets ? b.classes.data() : nullptr;
          a.targets = b.targets.data(), a.ldt = b.targets.ld();
          a.weights = b.weights.data();
          a.seed = kSeed;
          a.delta = delta.data(), a.ldd = ld;
          table.loss_rows(a);
          return delta;
        };
        const Grid<double> up = slopes(h), down = slopes(-h), up2 = slopes(2 * h), down2 = slopes(-2 * h);
        Grid<double> out(rows, columns, ld);
        table.loss_curvature_rows(b.arguments(c.spec, true, out.data(), ld));
        Comparison comparison;
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t k = 0; k < columns; ++k) {
            const double d = std::abs(b.outputs.at(r, k) - b.targets.at(r, k));
            const double kink = c.spec.kind == Loss::kHuber             ? c.spec.delta
                                : c.spec.kind == Loss::kMeanAbsoluteError ? 0
                                                                        : -1;
            if (std::abs(d - kink) <= 2 * h) continue;
            const double difference = (8 * (up.at(r, k) - down.at(r, k)) - (up2.at(r, k) - down2.at(r, k))) / (12 * h);
            comparison.within(r, k, out.at(r, k), difference, 1e-11);
          }
        }
        CHECK(comparison.count() > 0);
        comparison.check(c.name + ", " + std::to_string(columns) + " columns");
      }
    }
  });
}

TEST_CASE_TEMPLATE("a NaN output gives a NaN curvature", T, float, double) {
  test::for_each_set<T>([](const KernelTable<T>& table) {
    for (Case c : cases()) {
      for (const std::int64_t columns : {1, 10, 33}) {
        weigh_classes(c, columns);
        CAPTURE(c.name);
        Batch<T> b(3, columns, 1, 37);
        b.outputs.at(1, columns - 1) = std::numeric_limits<T>::quiet_NaN();
        Grid<T> out(3, columns, padded<T>(columns));
        table.loss_curvature_rows(b.arguments(c.spec, false, out.data(), out.ld()));
        CHECK(std::isfinite(out.at(0, columns - 1)));
        CHECK(std::isnan(out.at(1, columns - 1)));
        CHECK(std::isfinite(out.at(2, columns - 1)));
      }
    }
  });
}

}  // namespace
}  // namespace krylov
