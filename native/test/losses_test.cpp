// Loss, softmax and log-sum-exp kernels of every available set against plain
// double loops, by the formulas as they are usually written.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "krylov/system.h"

namespace krylov {
namespace {

constexpr Isa kSets[] = {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512, Isa::kNeon};
constexpr std::int64_t kWidths[] = {1, 2, 3, 4, 7, 8, 9, 10, 15, 16, 17, 31, 33, 100};
constexpr std::int64_t kRowCounts[] = {0, 1, 2, 3, 7, 8, 9, 17, 33};

struct Case {
  std::string name;
  LossSpec spec;
  bool weighted_classes = false;  // fill class_weights, one a column
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const bool sum : {false, true}) {
    for (const double scale : {1.0, 0.5}) {
      const std::string suffix = std::string(sum ? " sum" : " mean") + (scale == 1 ? "" : " halved");
      const auto make = [&](const char* name, Loss kind) {
        Case c{name + suffix, {}, false};
        c.spec.kind = kind;
        c.spec.sum_outputs = sum;
        c.spec.scale = scale;
        return c;
      };
      all.push_back(make("squared", Loss::kMeanSquaredError));
      all.push_back(make("absolute", Loss::kMeanAbsoluteError));
      all.push_back(make("huber", Loss::kHuber));
      all.back().spec.delta = 0.7;
      for (const double smoothing : {0.0, 0.1}) {
        for (const bool weighted : {false, true}) {
          Case c = make("binary", Loss::kBinaryCrossEntropy);
          c.name += (smoothing > 0 ? " smoothed" : "") + std::string(weighted ? " class weights" : "");
          c.spec.label_smoothing = smoothing;
          c.weighted_classes = weighted;
          all.push_back(c);
          c.name.replace(0, 6, "softmax probabilities");
          c.spec.kind = Loss::kSoftmaxCrossEntropy;
          all.push_back(c);
          if (!weighted) {
            c.name.replace(0, 21, "softmax classes");
            c.spec.class_targets = true;
            all.push_back(c);
          }
        }
      }
    }
  }
  return all;
}

// Values of one row, before weights; slopes of the unscaled loss. `size` bounds the terms that
// cancel in the row's loss, and in a slope, for the error bound.
struct RowReference {
  double loss = 0;
  std::vector<double> slope;
  double loss_size = 0, slope_size = 0;
};

template <Scalar T>
RowReference reference_row(const LossSpec& spec, const T* o, std::int64_t label, const T* y, std::int64_t columns) {
  RowReference out;
  out.slope.resize(static_cast<std::size_t>(columns));
  const double width = static_cast<double>(columns);
  const double norm = spec.kind == Loss::kSoftmaxCrossEntropy || spec.sum_outputs ? 1 : 1 / width;
  double maximum = -INFINITY, total = 0;
  for (std::int64_t k = 0; k < columns; ++k) maximum = std::max(maximum, static_cast<double>(o[k]));
  for (std::int64_t k = 0; k < columns; ++k) total += std::exp(static_cast<double>(o[k]) - maximum);
  const double log_total = std::log(total);  // relative to the maximum, so that large logits lose nothing
  double mass = 0;
  for (std::int64_t k = 0; k < columns; ++k) {
    const std::size_t i = static_cast<std::size_t>(k);
    const double v = static_cast<double>(o[k]);
    const double weight = spec.class_weights.empty() ? 1 : spec.class_weights[i];
    double t = spec.class_targets ? (k == label ? 1 : 0) : static_cast<double>(y[k]);
    const double d = v - t;
    switch (spec.kind) {
      case Loss::kMeanSquaredError:
        out.loss += norm * d * d;
        out.slope[i] = norm * 2 * d;
        break;
      case Loss::kMeanAbsoluteError:
        out.loss += norm * std::abs(d);
        out.slope[i] = norm * (d > 0 ? 1 : d < 0 ? -1 : 0);
        break;
      case Loss::kHuber:
        out.loss += norm * (std::abs(d) < spec.delta ? 0.5 * d * d : spec.delta * (std::abs(d) - 0.5 * spec.delta));
        out.slope[i] = norm * std::min(spec.delta, std::max(-spec.delta, d));
        break;
      case Loss::kBinaryCrossEntropy: {
        t = (1 - spec.label_smoothing) * t + spec.label_smoothing / 2;
        const double sigmoid = v >= 0 ? 1 / (1 + std::exp(-v)) : std::exp(v) / (1 + std::exp(v));
        const double log_one = -std::max(-v, 0.0) - std::log1p(std::exp(-std::abs(v)));  // log sigmoid(v)
        const double log_zero = -std::max(v, 0.0) - std::log1p(std::exp(-std::abs(v)));  // log sigmoid(-v)
        out.loss -= norm * (weight * t * log_one + (1 - t) * log_zero);
        out.slope[i] = norm * (weight * t * (sigmoid - 1) + (1 - t) * sigmoid);
        out.loss_size += norm * weight * (1 + std::abs(v));
        out.slope_size = std::max(out.slope_size, norm * (1 + weight));
        break;
      }
      case Loss::kSoftmaxCrossEntropy:
        t = weight * ((1 - spec.label_smoothing) * t + spec.label_smoothing / width);
        mass += t;
        out.loss += t * (log_total + (maximum - v));
        out.slope[i] = -t;
        out.loss_size += t * (1 + std::abs(maximum - v));
        break;
    }
  }
  if (spec.kind == Loss::kSoftmaxCrossEntropy) {
    double spread = 0;
    for (std::int64_t k = 0; k < columns; ++k) {
      const double p = std::exp(static_cast<double>(o[k]) - maximum) / total;
      out.slope[static_cast<std::size_t>(k)] += mass * p;
      spread = std::max(spread, p * std::abs(maximum - static_cast<double>(o[k])));
    }
    out.loss_size += mass * spread * width;
    out.slope_size = 2 * std::max(mass, 1.0) * (1 + spread);
  }
  return out;
}

// Roundings of one term: difference, smoothing, exponential and logarithm of at most 4 ULP, a quotient, products.
constexpr double kRoundings = 24;
template <Scalar T>
constexpr double kUnit = std::numeric_limits<T>::epsilon() / 2;

template <Scalar T>
struct Batch {
  std::int64_t rows, columns, ldo, ldt, ldd;
  std::vector<T> outputs, targets, delta;
  std::vector<std::int32_t> classes;
  std::vector<double> weights, losses;

  Batch(std::int64_t rows_, std::int64_t columns_, double spread, unsigned seed)
      : rows(rows_),
        columns(columns_),
        ldo(round_up(columns_, kPanel<T>) + kPanel<T>),
        ldt(columns_ + 3),
        ldd(round_up(columns_, kPanel<T>) + kPanel<T>) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal(0, spread);
    std::uniform_real_distribution<double> uniform(0, 1);
    const auto size = [](std::int64_t a, std::int64_t b) { return static_cast<std::size_t>(a * b); };
    outputs.assign(size(rows, ldo), std::numeric_limits<T>::quiet_NaN());  // padding may hold anything
    targets.assign(size(rows, ldt), std::numeric_limits<T>::quiet_NaN());
    delta.assign(size(rows, ldd), T(77));
    losses.assign(static_cast<std::size_t>(rows) + 1, -77);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t k = 0; k < columns; ++k) {
        outputs[size(r, ldo) + static_cast<std::size_t>(k)] = static_cast<T>(normal(random));
        targets[size(r, ldt) + static_cast<std::size_t>(k)] = static_cast<T>(uniform(random));
      }
      classes.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(columns)));
      weights.push_back(0.25 + uniform(random));
    }
    // An exact hit: the slope of the absolute error is 0 there.
    if (rows > 0) outputs[0] = targets[0];
  }

  LossRows<T> arguments(const LossSpec& spec, bool weighted) {
    LossRows<T> a{};
    a.spec = &spec;
    a.outputs = outputs.data();
    a.ldo = ldo;
    a.rows = rows;
    a.columns = columns;
    if (spec.class_targets) {
      a.classes = classes.data();
    } else {
      a.targets = targets.data();
      a.ldt = ldt;
    }
    if (weighted) a.weights = weights.data();
    a.seed = 0.125;
    a.losses = losses.data();
    a.delta = delta.data();
    a.ldd = ldd;
    return a;
  }
};

template <Scalar T>
void check_batch(const KernelTable<T>& table, const Case& c, Batch<T>& b, bool weighted) {
  const LossRows<T> a = b.arguments(c.spec, weighted);
  table.loss_rows(a);
  const double u = kUnit<T>;
  for (std::int64_t r = 0; r < b.rows; ++r) {
    const std::size_t row = static_cast<std::size_t>(r);
    const RowReference expected =
        reference_row(c.spec, &b.outputs[row * static_cast<std::size_t>(b.ldo)], b.classes[row],
                      &b.targets[row * static_cast<std::size_t>(b.ldt)], b.columns);
    const double w = (weighted ? b.weights[row] : 1) * c.spec.scale;
    const double loss_bound = kRoundings * u * w * (expected.loss + expected.loss_size);
    CAPTURE(r);
    CHECK(std::abs(b.losses[row] - w * expected.loss) <= loss_bound);
    const T* delta = &b.delta[row * static_cast<std::size_t>(b.ldd)];
    for (std::int64_t k = 0; k < b.columns; ++k) {
      const double want = a.seed * w * expected.slope[static_cast<std::size_t>(k)];
      const double bound = kRoundings * u * (std::abs(want) + a.seed * w * expected.slope_size);
      if (std::abs(static_cast<double>(delta[k]) - want) <= bound) continue;
      CAPTURE(k);
      CAPTURE(bound);
      CHECK(static_cast<double>(delta[k]) == want);
    }
    const std::int64_t padded = round_up(b.columns, kPanel<T>);
    for (std::int64_t k = b.columns; k < padded; ++k) CHECK(delta[k] == T(0));
    for (std::int64_t k = padded; k < b.ldd; ++k) CHECK(delta[k] == T(77));
  }
  CHECK(b.losses.back() == -77);
}

// The row alone gives the bits that it had in the batch, and either output may be left out.
template <Scalar T>
void check_rows_alone(const KernelTable<T>& table, const Case& c, Batch<T>& b) {
  const LossRows<T> whole = b.arguments(c.spec, true);
  table.loss_rows(whole);
  std::vector<T> delta(static_cast<std::size_t>(b.ldd));
  for (std::int64_t r = 0; r < b.rows; ++r) {
    LossRows<T> a = whole;
    a.outputs += r * b.ldo;
    if (a.targets != nullptr) a.targets += r * b.ldt;
    if (a.classes != nullptr) a.classes += r;
    a.weights += r;
    a.rows = 1;
    double loss = 0;
    a.losses = &loss;
    a.delta = nullptr;
    table.loss_rows(a);
    CHECK(loss == b.losses[static_cast<std::size_t>(r)]);
    a.losses = nullptr;
    a.delta = delta.data();
    table.loss_rows(a);
    CHECK(std::memcmp(delta.data(), b.delta.data() + r * b.ldd, static_cast<std::size_t>(b.columns) * sizeof(T)) == 0);
  }
}

template <Scalar T, class Body>
void for_each_set(const Body& body) {
  for (const Isa isa : kSets) {
    const KernelTable<T>* table = kernels_for<T>(isa);
    if (table == nullptr) continue;
    CAPTURE(static_cast<int>(isa));
    body(*table);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("losses and slopes equal plain loops", T, float, double) {
  for_each_set<T>([](const KernelTable<T>& table) {
    for (Case c : cases()) {
      for (const std::int64_t columns : kWidths) {
        c.spec.class_weights.clear();
        for (std::int64_t k = 0; c.weighted_classes && k < columns; ++k) {
          c.spec.class_weights.push_back(0.5 + 0.25 * static_cast<double>(k % 5));
        }
        for (const std::int64_t rows : kRowCounts) {
          CAPTURE(c.name);
          CAPTURE(columns);
          CAPTURE(rows);
          Batch<T> batch(rows, columns, 2, 7);
          check_batch(table, c, batch, rows % 2 == 1);
          if (rows == 17) check_rows_alone(table, c, batch);
        }
      }
    }
  });
}

TEST_CASE_TEMPLATE("losses of large logits stay finite and exact", T, float, double) {
  for_each_set<T>([](const KernelTable<T>& table) {
    for (const Case& c : cases()) {
      if (c.weighted_classes) continue;
      CAPTURE(c.name);
      Batch<T> wide(9, 10, 300, 3), single(9, 1, 300, 3);
      check_batch(table, c, wide, true);
      check_batch(table, c, single, true);
    }
  });
}

TEST_CASE_TEMPLATE("a NaN output gives a NaN loss", T, float, double) {
  for_each_set<T>([](const KernelTable<T>& table) {
    for (Case c : cases()) {
      for (const std::int64_t columns : {1, 10, 33}) {
        c.spec.class_weights.assign(c.weighted_classes ? static_cast<std::size_t>(columns) : 0, 1.0);
        CAPTURE(c.name);
        Batch<T> batch(3, columns, 1, 5);
        batch.outputs[static_cast<std::size_t>(batch.ldo + columns - 1)] = std::numeric_limits<T>::quiet_NaN();
        table.loss_rows(batch.arguments(c.spec, false));
        CHECK(std::isfinite(batch.losses[0]));
        CHECK(std::isnan(batch.losses[1]));
        CHECK(std::isfinite(batch.losses[2]));
        CHECK(std::isnan(batch.delta[static_cast<std::size_t>(batch.ldd + columns - 1)]));
      }
    }
  });
}

TEST_CASE_TEMPLATE("softmax and log-sum-exp rows", T, float, double) {
  for_each_set<T>([](const KernelTable<T>& table) {
    for (const double spread : {1.0, 300.0}) {
      for (const std::int64_t columns : kWidths) {
        for (const std::int64_t rows : kRowCounts) {
          CAPTURE(columns);
          CAPTURE(rows);
          Batch<T> b(rows, columns, spread, 11);
          // Unpadded output: nothing beyond a row's columns may be written.
          std::vector<T> p(static_cast<std::size_t>(rows * columns) + 1, T(77));
          table.softmax_rows(b.outputs.data(), b.ldo, p.data(), columns, rows, columns);
          table.log_sum_exp_rows(b.outputs.data(), b.ldo, b.losses.data(), rows, columns);
          for (std::int64_t r = 0; r < rows; ++r) {
            const T* o = b.outputs.data() + r * b.ldo;
            double maximum = -INFINITY, total = 0;
            for (std::int64_t k = 0; k < columns; ++k) maximum = std::max(maximum, static_cast<double>(o[k]));
            for (std::int64_t k = 0; k < columns; ++k) total += std::exp(static_cast<double>(o[k]) - maximum);
            const double log_sum = maximum + std::log(total);
            const double u = kUnit<T>;
            CHECK(std::abs(b.losses[static_cast<std::size_t>(r)] - log_sum) <=
                  kRoundings * (u + kUnit<double> * std::abs(log_sum)));
            for (std::int64_t k = 0; k < columns; ++k) {
              const double gap = static_cast<double>(o[k]) - maximum;
              const double want = std::exp(gap) / total;
              const double got = static_cast<double>(p[static_cast<std::size_t>(r * columns + k)]);
              CHECK(std::abs(got - want) <= want * u * (kRoundings - gap) + std::numeric_limits<T>::min());
            }
          }
          CHECK(p.back() == T(77));
          CHECK(b.losses.back() == -77);
          std::vector<T> in_place = b.outputs;
          table.softmax_rows(in_place.data(), b.ldo, in_place.data(), b.ldo, rows, columns);
          for (std::int64_t r = 0; r < rows; ++r) {
            CHECK(std::memcmp(in_place.data() + r * b.ldo, p.data() + r * columns,
                              static_cast<std::size_t>(columns) * sizeof(T)) == 0);
          }
        }
      }
    }
  });
}

}  // namespace krylov
