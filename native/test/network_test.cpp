// The fast network against its slow twin. The twin also runs on numbers that
// carry a bound of the rounding error, so the tolerance of either dtype follows
// from the computation; for float64 the bound itself must be small.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "network_fixture.h"
#include "reference/bounded.h"
#include "reference/reference_network.h"

namespace krylov::test {
namespace {

using reference::Bounded;
using reference::ReferenceNetwork;
using reference::Sample;
using Row = std::vector<Bounded>;

constexpr std::size_t kBatches[] = {1, 2, 7, 33};

template <Scalar T>
void set_unit() {
  Bounded::unit = std::numeric_limits<T>::epsilon() / 2 + std::numeric_limits<double>::epsilon() / 2;
}

// What STYLE asks of float64, relative to the largest entry of the array.
constexpr double kFloat64Relative = 1e-10;

template <Scalar T>
void check_within(const Values& got, const Row& want, const char* what) {
  REQUIRE(got.size() == want.size());
  double largest = 1e-3;  // below this an array counts as zero
  for (const Bounded& w : want) largest = std::max(largest, std::abs(w.value));
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double distance = std::abs(got[i] - want[i].value);
    const double bound = sizeof(T) == 8 ? std::min(want[i].error, kFloat64Relative * largest) : want[i].error;
    if (distance <= bound) continue;
    CAPTURE(what);
    CAPTURE(i);
    CAPTURE(got[i]);
    CAPTURE(want[i].value);
    CAPTURE(distance / bound);
    CHECK(distance <= bound);
  }
}

// Adds `scale` times the row to a list of terms for each parameter.
void add_terms(std::vector<Row>& terms, const Row& row, double scale) {
  for (std::size_t i = 0; i < row.size(); ++i) terms[i].push_back(row[i] * Bounded(scale));
}

template <Scalar T>
struct Case {
  const SpecCase& spec_case;
  ReferenceNetwork<Bounded> twin;
  Values parameters, direction;

  explicit Case(const SpecCase& c)
      : spec_case(c),
        twin(c.spec),
        parameters(random_values(twin.parameter_count(), 11, 0.75)),
        direction(random_values(twin.parameter_count(), 12)) {
    set_unit<T>();
  }
};

template <Scalar T>
void compare_with_twin(const SpecCase& spec_case, std::size_t rows, bool training) {
  Case<T> c(spec_case);
  CAPTURE(spec_case.name);
  CAPTURE(rows);
  CAPTURE(training);
  const Batch batch = random_batch(spec_case.spec, c.twin.head_widths(), rows, 5);
  FastRun<T> fast(spec_case.spec, c.parameters, static_cast<std::int64_t>(rows) + 2);
  REQUIRE(static_cast<std::size_t>(fast.network().parameter_count()) == c.twin.parameter_count());
  fast.pass().training = training;
  fast.pass().seed = 9;
  fast.pass().step = 3;
  fast.run(batch);
  fast.tangent(c.direction);
  std::vector<Row> terms(c.twin.parameter_count());
  for (std::size_t r = 0; r < rows; ++r) {
    CAPTURE(r);
    Sample sample{c.parameters, batch.inputs[r]};
    if (training) sample.masks = fast.masks(r);
    const auto outputs = c.twin.forward(sample);
    const auto tangents = c.twin.jvp(sample, c.direction);
    const auto fast_outputs = fast.outputs(r);
    const auto fast_tangents = fast.tangents(r);
    for (std::size_t h = 0; h < outputs.size(); ++h) {
      check_within<T>(fast_outputs[h], outputs[h], "output");
      check_within<T>(fast_tangents[h], tangents[h], "tangent");
    }
    const Row gradient = c.twin.vjp(sample, batch.cotangents[r]);
    const std::vector<T> fast_gradient = fast.per_sample_gradient(r);
    check_within<T>(Values(fast_gradient.begin(), fast_gradient.end()), gradient, "per-sample gradient");
    add_terms(terms, gradient, 0.25);
  }
  Row total;
  for (const Row& t : terms) total.push_back(sum(t));
  check_within<T>(fast.gradient(0.25), total, "gradient");
}

}  // namespace

TEST_CASE_TEMPLATE("the network equals its twin", T, float, double) {
  for (const SpecCase& spec_case : spec_cases()) {
    for (const std::size_t rows : kBatches) compare_with_twin<T>(spec_case, rows, false);
  }
}

TEST_CASE_TEMPLATE("the network equals its twin under the same dropout masks", T, float, double) {
  for (const SpecCase& spec_case : spec_cases()) {
    if (ReferenceNetwork<double>(spec_case.spec).dropout_count() == 0) continue;
    for (const std::size_t rows : kBatches) compare_with_twin<T>(spec_case, rows, true);
  }
}

TEST_CASE("dropout masks have two values, the asked rate and no repeats") {
  const Values parameters = random_values(200 * 200 + 200, 1, 0.1);
  NetworkSpec spec;
  spec.inputs = 200;
  spec.layers = {dropout(0.3), dense(200)};
  FastRun<float> fast(spec, parameters, 100);
  fast.pass().training = true;
  const Batch batch = random_batch(spec, {200}, 100, 3);
  std::vector<Values> first;
  for (const std::uint64_t step : {0u, 1u}) {
    fast.pass().step = step;
    fast.run(batch);
    std::size_t zeros = 0, same = 0;
    for (std::size_t r = 0; r < 100; ++r) {
      const Values mask = fast.masks(r)[0];
      for (const double m : mask) {
        if (m == 0) ++zeros;
        CHECK((m == 0 || m == static_cast<double>(static_cast<float>(1 / 0.7))));
      }
      if (step == 0) {
        first.push_back(mask);
      } else {
        same += mask == first[r];
      }
    }
    // 20000 draws: the share's standard deviation is 0.0033.
    CHECK(std::abs(static_cast<double>(zeros) / 20000 - 0.3) < 5 * 0.0033);
    CHECK(same == 0);
  }
}

TEST_CASE_TEMPLATE("tangents and gradients are adjoint: u' J v = v' J' u", T, float, double) {
  for (const SpecCase& spec_case : spec_cases()) {
    CAPTURE(spec_case.name);
    Case<T> c(spec_case);
    const Batch batch = random_batch(spec_case.spec, c.twin.head_widths(), 7, 21);
    FastRun<T> fast(spec_case.spec, c.parameters, 7);
    fast.run(batch);
    fast.tangent(c.direction);
    double forward = 0, backward = 0, bound = 0;
    for (std::size_t r = 0; r < batch.rows; ++r) {
      const Sample sample{c.parameters, batch.inputs[r]};
      const auto tangents = c.twin.jvp(sample, c.direction);
      const Row gradient = c.twin.vjp(sample, batch.cotangents[r]);
      const auto fast_tangents = fast.tangents(r);
      for (std::size_t h = 0; h < fast_tangents.size(); ++h) {
        for (std::size_t k = 0; k < fast_tangents[h].size(); ++k) {
          forward += batch.cotangents[r][h][k] * fast_tangents[h][k];
          bound += std::abs(batch.cotangents[r][h][k]) * tangents[h][k].error;
        }
      }
      const std::vector<T> fast_gradient = fast.per_sample_gradient(r);
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        backward += c.direction[i] * static_cast<double>(fast_gradient[i]);
        bound += std::abs(c.direction[i]) * gradient[i].error;
      }
    }
    CHECK(std::abs(forward - backward) <= bound);
  }
}

// The contract of determinism: a sample's numbers depend on neither its place
// in the batch nor on how the rows are divided.
TEST_CASE_TEMPLATE("a sample keeps its bits wherever it stands", T, float, double) {
  for (const SpecCase& spec_case : spec_cases()) {
    CAPTURE(spec_case.name);
    Case<T> c(spec_case);
    const Batch batch = random_batch(spec_case.spec, c.twin.head_widths(), 13, 31);
    FastRun<T> whole(spec_case.spec, c.parameters, 13), moved(spec_case.spec, c.parameters, 20),
        single(spec_case.spec, c.parameters, 1), parts(spec_case.spec, c.parameters, 13);
    whole.run(batch);
    parts.run(batch, 4);
    Batch reversed = batch;
    std::reverse(reversed.inputs.begin(), reversed.inputs.end());
    std::reverse(reversed.cotangents.begin(), reversed.cotangents.end());
    moved.run(reversed);
    const auto same = [](const std::vector<T>& a, const std::vector<T>& b) {
      return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
    };
    for (std::size_t r = 0; r < batch.rows; ++r) {
      CAPTURE(r);
      const std::vector<T> gradient = whole.per_sample_gradient(r);
      const auto outputs = whole.outputs(r);
      CHECK(same(gradient, moved.per_sample_gradient(12 - r)));
      CHECK(same(gradient, parts.per_sample_gradient(r)));
      CHECK(outputs == moved.outputs(12 - r));
      single.run({1, {batch.inputs[r]}, {batch.cotangents[r]}});
      CHECK(same(gradient, single.per_sample_gradient(0)));
      CHECK(outputs == single.outputs(0));
    }
    CHECK(whole.gradient(1) == parts.gradient(1));
  }
}

TEST_CASE_TEMPLATE("a batch of no rows gives a zero gradient", T, float, double) {
  for (const SpecCase& spec_case : spec_cases()) {
    Case<T> c(spec_case);
    FastRun<T> fast(spec_case.spec, c.parameters, 1);
    fast.run(Batch{});
    for (const double g : fast.gradient(1)) CHECK(g == 0);
  }
}

TEST_CASE_TEMPLATE("parameters survive the arena, and its padding stays zero", T, float, double) {
  for (const SpecCase& spec_case : spec_cases()) {
    CAPTURE(spec_case.name);
    std::unique_ptr<const Network<T>> network;
    REQUIRE(Network<T>::create(spec_case.spec, network).ok());
    const std::size_t count = static_cast<std::size_t>(network->parameter_count());
    std::vector<T> flat(count), back(count);
    for (std::size_t i = 0; i < count; ++i) flat[i] = static_cast<T>(i + 1);
    AlignedBuffer<T> arena(static_cast<std::size_t>(network->arena_size()));
    network->template to_arena<T>(flat, arena.span());
    network->template to_public<T>(arena.span(), back);
    CHECK(flat == back);
    CHECK(static_cast<std::size_t>(
              std::count_if(arena.data(), arena.data() + arena.size(), [](T v) { return v != T(0); })) == count);
    std::int64_t named = 0;
    for (const TensorInfo& tensor : network->tensors()) {
      CHECK(tensor.public_offset == named);
      named += tensor.size();
    }
    CHECK(named == network->parameter_count());
    // Units tile the arena.
    std::int64_t covered = 0;
    for (const GradientUnit& unit : network->units()) covered += (unit.row1 - unit.row0) * kPanel<T>;
    CHECK(covered == network->arena_size());
  }
}

}  // namespace krylov::test
