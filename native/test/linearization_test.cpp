// A linearised network by identities: differences of the loss, sums over
// samples, adjoints, batches of one; and training's gradient is the same one.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "krylov/derivatives.h"
#include "support/kernel_cases.h"
#include "support/training_fixture.h"

namespace krylov {
namespace {

using test::Comparison;
using test::make_model;
using test::parameters_of;
using test::random_values;
using test::Table;
using test::Values;

constexpr std::int64_t kN = 7;

struct PointCase {
  std::string name;
  NetworkSpec spec;
  std::vector<LossSpec> losses;
  Table table;
  double l2 = 0;
};

// Smooth networks; every reduction, weights and l2, one and several heads.
std::vector<PointCase> point_cases() {
  using enum Activation;
  std::vector<PointCase> all;
  NetworkSpec plain;
  plain.inputs = 5;
  plain.layers = {test::dense(9, kTanh), test::dense(18, kGelu), test::dense(3)};
  NetworkSpec deep;
  deep.inputs = 5;
  deep.layers = {test::dense(8, kSilu), test::layer_norm(), test::residual({test::dense(6, kSigmoid), test::dense(8)}),
                 test::dropout(0.5), test::dense(3, kIdentity, 1, false)};
  LossSpec square = test::loss_spec(Loss::kMeanSquaredError);
  LossSpec classes = test::loss_spec(Loss::kSoftmaxCrossEntropy, true);
  classes.class_weights = {0.5, 1, 2};
  classes.label_smoothing = 0.1;
  LossSpec logits = test::loss_spec(Loss::kBinaryCrossEntropy);
  logits.sum_reduction = true;
  logits.scale = 0.5;
  const Table values = test::random_table(kN, 5, {{3, false}}, 21);
  Table weighted = values;
  for (std::int64_t r = 0; r < kN; ++r) weighted.weights.push_back(double(r) / 4);  // one of them 0
  Table labels = test::random_table(kN, 5, {{3, true}}, 22);
  labels.weights = weighted.weights;
  all.push_back({"plain", plain, {square}, values, 0});
  all.push_back({"l2", plain, {square}, values, 0.1});
  all.push_back({"sum of binary cross-entropies", deep, {logits}, values, 0.1});
  square.normalize_weights = true;
  all.push_back({"normalised weights", deep, {square}, weighted, 0});
  all.push_back({"class and sample weights", plain, {classes}, labels, 0.01});
  classes.normalize_weights = true;
  all.push_back({"normalised class weights", deep, {classes}, labels, 0});
  NetworkSpec heads;
  heads.inputs = 5;
  heads.layers = {test::dense(8, kTanh), test::layer_norm()};
  heads.heads = {{"a", {test::dense(3)}}, {"b", {test::dense(4, kSoftplus), test::dense(2)}}, {"c", {test::dense(1)}}};
  Table three = test::random_table(kN, 5, {{3, true}, {2, false}, {1, false}}, 23);
  three.weights = weighted.weights;
  LossSpec huber = test::loss_spec(Loss::kMeanSquaredError);
  classes.weight = 0.7;
  logits.weight = 1.5;
  all.push_back({"heads with reductions of their own", heads, {classes, logits, huber}, three, 0.05});
  return all;
}

template <Scalar T>
std::unique_ptr<Linearization<T>> linearise(const Model<T>& model, std::shared_ptr<const Dataset> data,
                                            const std::vector<LossSpec>& losses, double l2,
                                            std::int64_t max_rows = 0) {
  std::unique_ptr<Linearization<T>> point;
  REQUIRE(Linearization<T>::create(model, std::move(data), losses, l2, max_rows, point).ok());
  return point;
}

template <Scalar T>
std::vector<T> gradient_of(Linearization<T>& point) {
  std::vector<T> g(static_cast<std::size_t>(point.network().parameter_count()));
  point.gradient(g);
  return g;
}

// One block of [rows, width] a head.
template <Scalar T>
struct HeadRows {
  std::vector<std::vector<T>> rows;
  std::vector<T*> out;
  std::vector<const T*> in;
  explicit HeadRows(const Linearization<T>& point) {
    for (const HeadInfo& head : point.network().heads()) {
      rows.emplace_back(static_cast<std::size_t>(point.rows() * head.width));
    }
    for (auto& r : rows) out.push_back(r.data()), in.push_back(r.data());
  }
};

template <class A, class B>
double dot(const std::vector<A>& a, const std::vector<B>& b) {
  long double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<long double>(a[i]) * b[i];
  return static_cast<double>(sum);
}

TEST_CASE("gradients and tangents equal four-point differences") {
  for (const PointCase& c : point_cases()) {
    CAPTURE(c.name);
    const auto model = make_model<double>(c.spec);
    const auto data = c.table.dataset();
    const auto point = linearise(*model, data, c.losses, c.l2);
    const Values at = parameters_of(*model), g = gradient_of(*point);
    constexpr double h = 2e-4;  // errors of h^4 and of the unit roundoff over h
    for (unsigned seed = 0; seed < 4; ++seed) {
      const Values v = random_values(at.size(), 30 + seed);
      double losses[4];
      std::vector<HeadRows<double>> outputs;
      const double steps[] = {h, -h, 2 * h, -2 * h};
      for (int s = 0; s < 4; ++s) {
        Values moved = at;
        for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += steps[s] * v[i];
        model->write<double>(moved);
        const auto there = linearise(*model, data, c.losses, c.l2);
        losses[s] = there->loss();
        outputs.emplace_back(*there);
        for (std::size_t k = 0; k < outputs.back().rows.size(); ++k) there->outputs(k, outputs.back().rows[k]);
      }
      Comparison comparison;
      const double slope = (8 * (losses[0] - losses[1]) - (losses[2] - losses[3])) / (12 * h);
      comparison.within(-1, seed, dot(g, v), slope, 1e-8 * (1 + std::abs(slope)));
      HeadRows<double> tangent(*point);
      point->jvp(v, tangent.out);
      for (std::size_t k = 0; k < tangent.rows.size(); ++k) {
        for (std::size_t i = 0; i < tangent.rows[k].size(); ++i) {
          const double moved =
              (8 * (outputs[0].rows[k][i] - outputs[1].rows[k][i]) - (outputs[2].rows[k][i] - outputs[3].rows[k][i])) /
              (12 * h);
          comparison.within(std::int64_t(k), std::int64_t(i), tangent.rows[k][i], moved, 1e-8);
        }
      }
      comparison.check("direction " + std::to_string(seed));
    }
    // The point keeps its own copy of the parameters: the model has moved on.
    CHECK((gradient_of(*point) == g));
  }
}

TEST_CASE_TEMPLATE("u' J v equals v' J' u, and J' leaves the point as it was", T, float, double) {
  for (const PointCase& c : point_cases()) {
    CAPTURE(c.name);
    const auto model = make_model<T>(c.spec);
    const auto point = linearise(*model, c.table.dataset(), c.losses, c.l2);
    const auto g = gradient_of(*point);
    const auto count = static_cast<std::size_t>(point->network().parameter_count());
    const Values direction = random_values(count, 41);
    const std::vector<T> v(direction.begin(), direction.end());
    HeadRows<T> jv(*point), u(*point);
    point->jvp(v, jv.out);
    unsigned seed = 42;
    double left = 0, size = 0;
    for (std::size_t k = 0; k < u.rows.size(); ++k) {
      const Values values = random_values(u.rows[k].size(), seed++);
      u.rows[k].assign(values.begin(), values.end());
      u.in[k] = u.rows[k].data();
      left += dot(u.rows[k], jv.rows[k]);
      size += std::sqrt(dot(u.rows[k], u.rows[k]) * dot(jv.rows[k], jv.rows[k]));
    }
    std::vector<T> jtu(count), again(count);
    point->vjp(u.in, jtu);
    // Both sides round as many products as there are parameters, at worst.
    CHECK(std::abs(left - dot(v, jtu)) <=
          test::gamma<T>(std::int64_t(count)) * (size + std::sqrt(dot(v, v) * dot(jtu, jtu))));
    CHECK((gradient_of(*point) == g));
    point->vjp(u.in, again);
    CHECK((again == jtu));
    // Linear: the sum over single rows is the whole.
    const Values zero(count, 0.0);
    std::vector<T> nothing(zero.begin(), zero.end());
    point->jvp(nothing, jv.out);
    for (const auto& rows : jv.rows) CHECK((rows == std::vector<T>(rows.size(), T(0))));
  }
}

TEST_CASE_TEMPLATE("a sample's gradient is that of a batch of it alone, to the bit", T, float, double) {
  for (const PointCase& c : point_cases()) {
    CAPTURE(c.name);
    const auto model = make_model<T>(c.spec);
    const auto point = linearise(*model, c.table.dataset(), c.losses, c.l2);
    const auto count = static_cast<std::size_t>(point->network().parameter_count());
    gradient_of(*point);  // heads with divisors of their own pass through other deltas, and back
    std::vector<T> all(static_cast<std::size_t>(kN) * count), some(2 * count);
    point->per_sample_gradients(0, kN, all);
    point->per_sample_gradients(3, 2, some);
    CHECK(std::equal(some.begin(), some.end(), all.begin() + 3 * std::ptrdiff_t(count)));
    std::vector<double> norms(kN);
    point->per_sample_norms(norms);
    std::vector<LossSpec> summed = c.losses;
    for (LossSpec& loss : summed) loss.sum_reduction = true;
    Comparison comparison;
    for (std::int64_t r = 0; r < kN; ++r) {
      const auto alone = linearise(*model, c.table.dataset(r, 1), summed, 0);
      const auto g = gradient_of(*alone);
      const std::vector<T> mine(all.begin() + r * std::int64_t(count), all.begin() + (r + 1) * std::int64_t(count));
      for (std::size_t i = 0; i < count; ++i) comparison.equal(r, std::int64_t(i), double(mine[i]), double(g[i]));
      comparison.equal(r, -1, alone->sample_losses()[0], point->sample_losses()[std::size_t(r)]);
      comparison.within(r, -2, alone->loss(), point->sample_losses()[std::size_t(r)], 1e-14);
      // |delta|^2 |x|^2 against the sum of the squares of their rounded products.
      const double norm = std::sqrt(dot(mine, mine));
      comparison.within(r, -3, norms[std::size_t(r)], norm, 4 * test::gamma<T>(1) * norm + 1e-14 * norm);
    }
    comparison.check(c.name);
  }
}

// With one divisor for all: sum g_i / divisor + l2 w.
TEST_CASE_TEMPLATE("gradients are made of the samples' and of the heads' own", T, float, double) {
  for (const PointCase& c : point_cases()) {
    CAPTURE(c.name);
    const auto model = make_model<T>(c.spec);
    const auto data = c.table.dataset();
    const auto point = linearise(*model, data, c.losses, c.l2);
    const auto g = gradient_of(*point);
    const Values w = parameters_of(*model);
    const std::size_t count = w.size();
    Values sum(count, 0.0), size(count, 0.0);
    double loss = 0;
    for (std::size_t h = 0; h < c.losses.size(); ++h) {
      std::vector<LossSpec> only = c.losses;
      for (std::size_t k = 0; k < only.size(); ++k) only[k].weight = k == h ? only[k].weight : 0;
      const auto head = linearise(*model, data, only, 0);
      loss += head->loss();
      CHECK(head->loss() == doctest::Approx(c.losses[h].weight * point->head_loss(h)).epsilon(1e-13));
      double total = 0;
      for (const double l : head->sample_losses()) total += l;
      const double divisor = total / head->loss();
      if (c.losses[h].sum_reduction) CHECK(divisor == doctest::Approx(1));
      if (!c.losses[h].sum_reduction && !c.losses[h].normalize_weights) CHECK(divisor == doctest::Approx(double(kN)));
      std::vector<T> samples(static_cast<std::size_t>(kN) * count);
      head->per_sample_gradients(0, kN, samples);
      for (std::size_t i = 0; i < samples.size(); ++i) {
        sum[i % count] += double(samples[i]) / divisor;
        size[i % count] += std::abs(double(samples[i])) / divisor;
      }
    }
    double squares = 0;
    Comparison comparison;
    for (std::size_t i = 0; i < count; ++i) {
      squares += w[i] * w[i];
      const double expected = sum[i] + c.l2 * w[i];
      // Deltas that carry another divisor are rounded on their way through every layer.
      comparison.within(0, std::int64_t(i), double(g[i]), expected,
                        test::gamma<T>(60) * (size[i] + std::abs(c.l2 * w[i]) + 1));
    }
    comparison.check(c.name);
    CHECK(point->loss() == doctest::Approx(loss + 0.5 * c.l2 * squares).epsilon(1e-12));
  }
}

// A step of plain gradient descent of length 1 is the gradient; dropout is off in a point, so no dropout here.
TEST_CASE_TEMPLATE("a training step goes down the linearised gradient", T, float, double) {
  for (PointCase c : point_cases()) {
    CAPTURE(c.name);
    for (LayerSpec& layer : c.spec.layers) layer.rate = 0;
    const auto model = make_model<T>(c.spec);
    const auto data = c.table.dataset();
    const auto point = linearise(*model, data, c.losses, c.l2);
    const auto g = gradient_of(*point);
    const Values before = parameters_of(*model);
    std::vector<HeadTask> tasks;
    for (const LossSpec& loss : c.losses) tasks.push_back({loss, {}});
    TrainingOptions options = test::options_of(tasks, test::sgd(1, 0));
    options.l2 = c.l2;
    std::unique_ptr<Trainer<T>> trainer;
    REQUIRE(Trainer<T>::create(model, options, trainer).ok());
    StepResult result;
    REQUIRE(trainer->step(*data, result).ok());
    CHECK(result.loss == doctest::Approx(point->loss()).epsilon(1e-12));
    for (std::size_t r = 0; r < std::size_t(kN); ++r) CHECK(result.sample_losses[r] == point->sample_losses()[r]);
    for (std::size_t h = 0; h < c.losses.size(); ++h) CHECK(result.head_losses[h] == point->head_loss(h));
    const Values after = parameters_of(*model);
    Comparison comparison;
    for (std::size_t i = 0; i < g.size(); ++i) {
      comparison.within(0, std::int64_t(i), before[i] - after[i], double(g[i]),
                        test::gamma<T>(60) * (1 + std::abs(before[i])));
    }
    comparison.check(c.name);
  }
}

TEST_CASE_TEMPLATE("outputs are what predict gives, and only whole batches are accepted", T, float, double) {
  const PointCase c = point_cases().back();
  const auto model = make_model<T>(c.spec);
  const auto data = c.table.dataset();
  const auto point = linearise(*model, data, c.losses, c.l2);
  HeadRows<T> here(*point), there(*point);
  std::vector<void*> out(there.out.begin(), there.out.end());
  const std::vector<Link> links(out.size(), Link::kIdentity);
  model->predict(c.table.inputs.data(), DType::kFloat64, kN, Output::kRaw, links, out);
  for (std::size_t h = 0; h < out.size(); ++h) {
    point->outputs(h, here.rows[h]);
    CHECK((here.rows[h] == there.rows[h]));
  }
  std::unique_ptr<Linearization<T>> none;
  CHECK(Linearization<T>::create(*model, c.table.dataset(0, 0), c.losses, 0, 0, none).code == ErrorCode::kShape);
  CHECK(Linearization<T>::create(*model, data, {c.losses[0]}, 0, 0, none).code == ErrorCode::kOption);
  Table wide = test::random_table(kN, 6, {{3, true}, {2, false}, {1, false}}, 24);
  CHECK(Linearization<T>::create(*model, wide.dataset(), c.losses, 0, 0, none).code == ErrorCode::kShape);
  CHECK(none == nullptr);
}

TEST_CASE_TEMPLATE("rows beyond the workspace go through in parts", T, float, double) {
  for (const PointCase& c : point_cases()) {
    CAPTURE(c.name);
    const auto model = make_model<T>(c.spec);
    const auto whole = linearise(*model, c.table.dataset(), c.losses, c.l2);
    const auto count = static_cast<std::size_t>(model->network().parameter_count());
    const Values direction = random_values(count, 41);
    const std::vector<T> v(direction.begin(), direction.end());
    std::vector<T> samples(static_cast<std::size_t>(kN) * count), part(3 * count), g(count);
    std::vector<double> norms(kN), part_norms(kN);
    HeadRows<T> jv(*whole), outputs(*whole), part_rows(*whole);
    whole->per_sample_gradients(0, kN, samples);
    whole->per_sample_norms(norms);
    whole->jvp(v, jv.out);
    whole->vjp(jv.in, g);
    for (std::size_t h = 0; h < outputs.rows.size(); ++h) whole->outputs(h, outputs.rows[h]);
    const auto gradient = gradient_of(*whole);
    for (const std::int64_t max_rows : {1, 3}) {
      CAPTURE(max_rows);
      const auto point = linearise(*model, c.table.dataset(), c.losses, c.l2, max_rows);
      CHECK(point->loss() == whole->loss());
      CHECK(std::equal(point->sample_losses().begin(), point->sample_losses().end(), whole->sample_losses().begin()));
      point->per_sample_gradients(2, 3, part);
      CHECK(std::equal(part.begin(), part.end(), samples.begin() + 2 * std::ptrdiff_t(count)));
      point->per_sample_norms(part_norms);
      CHECK(part_norms == norms);
      point->jvp(v, part_rows.out);
      CHECK(part_rows.rows == jv.rows);
      std::vector<T> back(count);
      point->vjp(jv.in, back);
      const auto parts = gradient_of(*point);
      Comparison comparison;
      for (std::size_t i = 0; i < count; ++i) {
        comparison.within(0, std::int64_t(i), double(back[i]), double(g[i]), 100 * test::gamma<T>(kN));
        comparison.within(1, std::int64_t(i), double(parts[i]), double(gradient[i]), 10 * test::gamma<T>(kN));
      }
      comparison.check("sums");
      for (std::size_t h = 0; h < outputs.rows.size(); ++h) {
        point->outputs(h, part_rows.rows[h]);
        CHECK(part_rows.rows[h] == outputs.rows[h]);
      }
    }
  }
}

// Enough work for the team: the caller's thread is not the one that computes.
TEST_CASE_TEMPLATE("a large batch on the team gives what its samples give alone", T, float, double) {
  constexpr std::int64_t kLarge = 500;
  NetworkSpec spec;
  spec.inputs = 50;
  spec.layers = {test::dense(128, Activation::kTanh), test::dense(64, Activation::kSilu), test::dense(4)};
  const Table table = test::random_table(kLarge, 50, {{4, true}}, 61);
  const std::vector<LossSpec> losses{test::loss_spec(Loss::kSoftmaxCrossEntropy, true)};
  const auto model = make_model<T>(spec);
  const auto point = linearise(*model, table.dataset(), losses, 0.01);
  const auto count = static_cast<std::size_t>(model->network().parameter_count());
  std::vector<T> samples(static_cast<std::size_t>(kLarge) * count);
  point->per_sample_gradients(0, kLarge, samples);
  std::vector<double> norms(kLarge);
  point->per_sample_norms(norms);
  const auto g = gradient_of(*point);
  const Values w = parameters_of(*model);
  Values mean(count, 0.0), size(count, 0.0);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    mean[i % count] += double(samples[i]) / double(kLarge);
    size[i % count] += std::abs(double(samples[i])) / double(kLarge);
  }
  Comparison comparison;
  for (std::size_t i = 0; i < count; ++i) {
    comparison.within(0, std::int64_t(i), double(g[i]), mean[i] + 0.01 * w[i],
                      test::gamma<T>(kLarge) * (size[i] + 1e-2));
  }
  comparison.check("mean");
  for (const std::int64_t r : {std::int64_t(0), std::int64_t(249), std::int64_t(256), kLarge - 1}) {
    const auto alone = linearise(*model, table.dataset(r, 1), losses, 0);
    const auto own = gradient_of(*alone);
    CHECK(std::equal(own.begin(), own.end(), samples.begin() + std::ptrdiff_t(r) * std::ptrdiff_t(count)));
    CHECK(alone->loss() == point->sample_losses()[std::size_t(r)]);
    CHECK(norms[std::size_t(r)] == doctest::Approx(std::sqrt(dot(own, own))).epsilon(1e-6));
  }
}

}  // namespace
}  // namespace krylov
