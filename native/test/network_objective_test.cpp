// A network as an objective: its residuals against gradient and Gauss-Newton
// products, its samples, and work that rests between the parts of its rows.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "support/comparison.h"
#include "support/training_fixture.h"
#include "training/network_objective.h"

namespace krylov {
namespace {

using test::Table;
using test::Values;

// A session that runs one procedure to its end; `rests` counts how often it gave up its turn.
template <class Start>
int drive(Start start, int threads = 1, bool impatient = false) {
  struct Turn {
    Session session;
    bool impatient;
    int rests = 0;
    Turn(int threads, bool impatient) : session(threads), impatient(impatient) {}
  } turn(threads, impatient);
  turn.session.start(start(turn.session));
  ComputeThread::instance().lead_and_wait(
      threads,
      [](void* context, Team& team) noexcept {
        Turn& t = *static_cast<Turn*>(context);
        const auto end = [&] { return t.impatient ? Session::Clock::time_point::min() : Session::Clock::time_point::max(); };
        while (t.session.resume(team, end()) != Session::State::kFinished) ++t.rests;
      },
      &turn);
  REQUIRE(turn.session.failure() == nullptr);
  return turn.rests;
}

template <Scalar T>
Procedure<void> evaluate(Session& session, NetworkObjective<T>& objective, const T* x, double& f, T* g) {
  f = co_await objective.gradient(session, x, Samples::kGradient, g, nullptr);
}
template <Scalar T>
Procedure<void> multiply(Session& session, NetworkObjective<T>& objective, const T* x, const T* v, T* out) {
  const OperatorPort<T> b = co_await objective.curvature(session, x, Samples::kGradient, Curvature::kGaussNewton);
  co_await b.apply(session, v, out);
}
template <Scalar T>
Procedure<void> equations(Session& session, NetworkObjective<T>& objective, const T* x, double& sum, double* jtj,
                          double* jte) {
  sum = co_await objective.residuals(session, x, jtj, jte);
}

struct Problem {
  std::string name;
  NetworkSpec spec;
  std::vector<LossSpec> losses;
  Table table;
};

std::vector<Problem> problems() {
  using enum Activation;
  std::vector<Problem> all;
  NetworkSpec one;
  one.inputs = 5;
  one.layers = {test::dense(9, kTanh), test::layer_norm(), test::dense(3)};
  all.push_back({"one head", one, {test::loss_spec(Loss::kMeanSquaredError)}, test::random_table(400, 5, {{3, false}}, 1)});
  NetworkSpec two;
  two.inputs = 4;
  two.layers = {test::dense(8, kGelu), test::residual({test::dense(8, kSigmoid)})};
  two.heads = {{"a", {test::dense(2)}}, {"b", {test::dense(1, kTanh)}}};
  LossSpec first = test::loss_spec(Loss::kMeanSquaredError), second = first;
  first.normalize_weights = true;
  first.weight = 0.3;
  second.sum_outputs = true;
  second.scale = 0.5;
  Table table = test::random_table(300, 4, {{2, false}, {1, false}}, 2);
  table.weights = test::random_values(300, 5);
  for (double& w : table.weights) w = std::abs(w) + 0.1;
  all.push_back({"two heads, weighted", two, {first, second}, table});
  LossSpec sum = test::loss_spec(Loss::kMeanSquaredError);
  sum.sum_reduction = true;
  all.push_back({"summed", one, {sum}, test::random_table(20, 5, {{3, false}}, 7)});
  return all;
}

TEST_CASE_TEMPLATE("residuals: their equations are the gradient and the Gauss-Newton matrix", T, float, double) {
  // Of the products and gradients in T that they are held against.
  const double tolerance = sizeof(T) == 4 ? 2e-4 : 1e-11;
  for (const Problem& p : problems()) {
    CAPTURE(p.name);
    const auto model = test::make_model<T>(p.spec);
    const std::shared_ptr<const Network<T>> network(model, &model->network());
    std::unique_ptr<NetworkObjective<T>> objective;
    REQUIRE(NetworkObjective<T>::create(network, p.losses, 0, 0, 0, objective).ok());
    REQUIRE((objective->provides() & kNeedsResiduals) != 0);
    REQUIRE(objective->select(Samples::kGradient, p.table.dataset(), nullptr, p.table.rows).ok());
    const auto size = static_cast<std::size_t>(network->arena_size()),
               n = static_cast<std::size_t>(network->parameter_count());
    AlignedBuffer<T> x(size), g(size), v(size), product(size);
    model->snapshot(x.span());
    const Values direction = test::random_values(n, 3);
    network->template to_arena<double>(direction, v.span());
    double f = 0, sum = 0;
    drive([&](Session& s) { return evaluate<T>(s, *objective, x.data(), f, g.data()); });
    drive([&](Session& s) { return multiply<T>(s, *objective, x.data(), v.data(), product.data()); });
    Values jtj(n * n), jte(n), gradient(n), expected(n);
    drive([&](Session& s) { return equations<T>(s, *objective, x.data(), sum, jtj.data(), jte.data()); });
    objective->to_plain(g.data(), gradient);
    objective->to_plain(product.data(), expected);
    const double factor = objective->residual_factor();
    CHECK(factor * sum == doctest::Approx(f).epsilon(tolerance));
    double largest = 0, largest_gradient = 0;
    for (std::size_t i = 0; i < n; ++i) {
      largest = std::fmax(largest, std::abs(expected[i]));
      largest_gradient = std::fmax(largest_gradient, std::abs(gradient[i]));
    }
    test::Comparison comparison;
    for (std::size_t i = 0; i < n; ++i) {
      double row = 0;
      for (std::size_t j = 0; j < n; ++j) {
        row += jtj[i * n + j] * direction[j];
        comparison.equal(std::int64_t(i), std::int64_t(j), jtj[i * n + j], jtj[j * n + i]);
      }
      comparison.within(std::int64_t(i), 0, 2 * factor * row, expected[i], tolerance * largest);
      comparison.within(std::int64_t(i), 1, 2 * factor * jte[i], gradient[i], tolerance * largest_gradient);
    }
    comparison.check("equations");

    // The sum alone, and other numbers of threads: the same bits.
    double alone = 0;
    drive([&](Session& s) { return equations<T>(s, *objective, x.data(), alone, nullptr, nullptr); });
    CHECK(alone == sum);
    for (const int threads : {2, 3}) {
      Values again(n * n), side(n);
      REQUIRE(NetworkObjective<T>::create(network, p.losses, 0, threads, 0, objective).ok());
      REQUIRE(objective->select(Samples::kGradient, p.table.dataset(), nullptr, p.table.rows).ok());
      drive([&](Session& s) { return equations<T>(s, *objective, x.data(), alone, again.data(), side.data()); }, threads);
      CHECK(alone == sum);
      CHECK((again == jtj));
      CHECK((side == jte));
    }
  }
}

TEST_CASE_TEMPLATE("a gradient of many rows rests between its parts, and is the same", T, float, double) {
  NetworkSpec spec;
  spec.inputs = 6;
  spec.layers = {test::dense(10, Activation::kRelu), test::dense(4)};
  const Table table = test::random_table(5000, 6, {{4, true}}, 4);
  const auto model = test::make_model<T>(spec);
  const std::shared_ptr<const Network<T>> network(model, &model->network());
  const std::vector<LossSpec> losses = {test::loss_spec(Loss::kSoftmaxCrossEntropy, true)};
  std::unique_ptr<NetworkObjective<T>> objective;
  REQUIRE(NetworkObjective<T>::create(network, losses, 1e-3, 0, 0, objective).ok());
  REQUIRE(objective->select(Samples::kGradient, table.dataset(), nullptr, table.rows).ok());
  const auto size = static_cast<std::size_t>(network->arena_size());
  AlignedBuffer<T> x(size), g(size), other(size);
  model->snapshot(x.span());
  double f = 0, again = 0;
  CHECK(drive([&](Session& s) { return evaluate<T>(s, *objective, x.data(), f, g.data()); }) == 0);
  // One rest before the first part, and one after each but the last of three.
  CHECK(drive([&](Session& s) { return evaluate<T>(s, *objective, x.data(), again, other.data()); }, 2, true) == 3);
  CHECK(f == again);
  CHECK(std::memcmp(g.data(), other.data(), g.bytes()) == 0);
}

TEST_CASE("samples: who shares them, and who follows whom") {
  const Problem p = problems()[0];
  const auto model = test::make_model<double>(p.spec);
  const std::shared_ptr<const Network<double>> network(model, &model->network());
  std::unique_ptr<NetworkObjective<double>> objective;
  REQUIRE(NetworkObjective<double>::create(network, p.losses, 0.5, 0, 0, objective).ok());
  const auto data = p.table.dataset();
  const std::vector<std::uint32_t> some = {3, 1, 4, 15, 9};
  REQUIRE(objective->select(Samples::kGradient, data, nullptr, data->rows()).ok());
  REQUIRE(objective->select(Samples::kCurvature, data, some.data(), 5).ok());
  CHECK(objective->sample_count(Samples::kGradient) == data->rows());
  CHECK(objective->sample_count(Samples::kCurvature) == 5);
  CHECK(objective->same_samples(Samples::kGradient, Samples::kSelection));
  CHECK_FALSE(objective->same_samples(Samples::kGradient, Samples::kCurvature));
  CHECK(objective->l2() == 0.5);
  CHECK_FALSE(objective->steady());
  REQUIRE(objective->select(Samples::kSelection, data, some.data(), 5).ok());
  CHECK(objective->same_samples(Samples::kSelection, Samples::kCurvature));
  CHECK(objective->sample_count(Samples::kSelection) == 5);
  objective->unselect();
  CHECK(objective->sample_count(Samples::kSelection) == data->rows());
  objective->set_steady(true, false);
  CHECK(objective->steady());
  CHECK_FALSE(objective->all_steady());
}

}  // namespace
}  // namespace krylov
