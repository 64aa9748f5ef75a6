// Update rules through the optimizer: options that are wrong, whole vectors
// against ranges, states, and the sequences that the papers' equations give.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "krylov/optimizer.h"
#include "support/kernel_cases.h"
#include "support/optimizer_specs.h"

namespace krylov {
namespace {

using test::Comparison;

template <Scalar T>
std::unique_ptr<Optimizer<T>> make(const OptimizerSpec& spec, std::int64_t size) {
  std::unique_ptr<Optimizer<T>> optimizer;
  REQUIRE(Optimizer<T>::create(spec, size, optimizer).ok());
  return optimizer;
}

template <Scalar T>
Status status_of(const OptimizerSpec& spec) {
  std::unique_ptr<UpdateRule<T>> rule;
  const Status status = make_update_rule<T>(spec, rule);
  CHECK((rule != nullptr) == status.ok());
  std::unique_ptr<Optimizer<T>> optimizer;
  CHECK(Optimizer<T>::create(spec, 3, optimizer).code == status.code);
  CHECK((optimizer != nullptr) == status.ok());
  return status;
}

TEST_CASE_TEMPLATE("a rule that is wrong is refused by name", T, float, double) {
  for (const auto& [name, spec] : test::optimizer_cases()) {
    CAPTURE(name);
    CHECK(status_of<T>(spec).ok());
    OptimizerSpec unknown = spec;
    unknown.kind = "a" + spec.kind;
    CHECK(status_of<T>(unknown).code == ErrorCode::kOption);
    CHECK(std::string(status_of<T>(unknown).argument) == "optimizer.kind");
    for (std::size_t i = 0; i < spec.numbers.size(); ++i) {
      OptimizerSpec missing = spec;
      missing.numbers.erase(missing.numbers.begin() + static_cast<std::ptrdiff_t>(i));
      CHECK(status_of<T>(missing).code == ErrorCode::kOption);
      CHECK(std::string(status_of<T>(missing).argument) == spec.numbers[i].first);
    }
    for (std::size_t i = 0; i < spec.flags.size(); ++i) {
      OptimizerSpec missing = spec;
      missing.flags.erase(missing.flags.begin() + static_cast<std::ptrdiff_t>(i));
      CHECK(status_of<T>(missing).code == ErrorCode::kOption);
      CHECK(std::string(status_of<T>(missing).argument) == spec.flags[i].first);
    }
    for (std::size_t i = 0; i < spec.words.size(); ++i) {
      OptimizerSpec wrong = spec;
      wrong.words[i].second = "Lookahead";
      CHECK(status_of<T>(wrong).code == ErrorCode::kOption);
      CHECK(std::string(status_of<T>(wrong).argument) == spec.words[i].first);
    }
  }
  CHECK(status_of<T>({}).code == ErrorCode::kOption);
}

template <Scalar T>
void step(Optimizer<T>& optimizer, std::vector<T>& w, const std::vector<T>& g) {
  optimizer.begin();
  optimizer.update_range(w.data(), g.data(), 0, static_cast<std::int64_t>(w.size()));
  optimizer.end();
}

template <Scalar T>
std::vector<T> numbers(std::size_t n, unsigned seed) {
  test::Random random(seed);
  std::vector<T> values(n);
  for (T& x : values) x = static_cast<T>(random.uniform());
  return values;
}

TEST_CASE_TEMPLATE("updates of ranges are the update of the whole", T, float, double) {
  constexpr std::size_t n = 101;
  for (const auto& [name, spec] : test::optimizer_cases()) {
    CAPTURE(name);
    auto whole = make<T>(spec, n), ranges = make<T>(spec, n);
    std::vector<T> w = numbers<T>(n, 51), v = w;
    Comparison comparison;
    for (unsigned t = 0; t < 5; ++t) {
      const std::vector<T> g = numbers<T>(n, 60 + t);
      std::vector<T> point(n), range_point(n);
      whole->begin();
      whole->place_range(w.data(), point.data(), 0, n);
      whole->update_range(w.data(), g.data(), 0, n);
      whole->end();
      ranges->begin();
      // Any order: units are updated by several threads.
      for (const auto& [first, count] : {std::pair<std::int64_t, std::int64_t>{64, 37}, {0, 1}, {1, 63}}) {
        ranges->place_range(v.data() + first, range_point.data() + first, first, count);
        ranges->update_range(v.data() + first, g.data() + first, first, count);
      }
      ranges->end();
      for (std::size_t i = 0; i < n; ++i) {
        comparison.equal(t, std::int64_t(i), double(v[i]), double(w[i]));
        comparison.equal(t, std::int64_t(i), double(range_point[i]), double(point[i]));
      }
    }
    CHECK(whole->updates() == 5);
    comparison.check(name);
  }
}

TEST_CASE_TEMPLATE("state moved to a new optimizer continues to the same bits", T, float, double) {
  constexpr std::size_t n = 33;
  for (const auto& [name, spec] : test::optimizer_cases()) {
    CAPTURE(name);
    auto first = make<T>(spec, n);
    std::vector<T> w = numbers<T>(n, 52);
    for (unsigned t = 0; t < 4; ++t) step(*first, w, numbers<T>(n, 70 + t));
    auto second = make<T>(spec, n);
    std::vector<T> v = w;
    second->set_updates(first->updates());
    for (std::size_t s = 0; s < first->rule().state_names().size(); ++s) {
      const auto from = first->state(static_cast<int>(s));
      const auto to = second->state(static_cast<int>(s));
      REQUIRE(from.size() == n);
      for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<T>(static_cast<double>(from[i]));
    }
    for (unsigned t = 4; t < 8; ++t) {
      step(*first, w, numbers<T>(n, 70 + t));
      step(*second, v, numbers<T>(n, 70 + t));
    }
    CHECK(second->updates() == 8);
    CHECK(second->rule().learning_rate() == first->rule().learning_rate());
    CHECK(v == w);
  }
}

// Each rule as a sequence for one parameter, in double; see the heads of optimizers/*.cpp.
using Twin = std::function<double(int t, double w, double g, double* state)>;

void check_sequence(const std::string& name, const OptimizerSpec& spec, const Twin& twin) {
  CAPTURE(name);
  constexpr std::size_t n = 9;
  auto optimizer = make<double>(spec, n);
  std::vector<double> w = numbers<double>(n, 53), expected = w;
  std::vector<std::vector<double>> state(n, std::vector<double>(3, 0.0));
  Comparison comparison;
  for (int t = 1; t <= 12; ++t) {
    const std::vector<double> g = numbers<double>(n, 80 + unsigned(t));
    step(*optimizer, w, g);
    for (std::size_t i = 0; i < n; ++i) {
      expected[i] = twin(t, expected[i], g[i], state[i].data());
      // A few roundings an update of numbers of the size of 1.
      comparison.within(t, std::int64_t(i), w[i], expected[i], test::gamma<double>(30 * t));
    }
  }
  comparison.check(name);
}

TEST_CASE("sgd: PyTorch's sequence, with and without Nesterov's form") {
  const double lr = 0.1, mu = 0.9, damp = 0.3, decay = 0.05;
  check_sequence("plain", test::sgd(lr, 0), [&](int, double w, double g, double*) { return w - lr * g; });
  check_sequence("dampened", test::sgd(lr, mu, false, damp, decay), [&](int t, double w, double g, double* b) {
    g += decay * w;
    b[0] = t == 1 ? g : mu * b[0] + (1 - damp) * g;
    return w - lr * b[0];
  });
  check_sequence("nesterov", test::sgd(lr, mu, true, 0, decay), [&](int t, double w, double g, double* b) {
    g += decay * w;
    b[0] = t == 1 ? g : mu * b[0] + g;
    return w - lr * (g + mu * b[0]);
  });
  OptimizerSpec falling = test::sgd(lr, 0);
  falling.numbers[0].second = test::linear_schedule(lr, 8);
  check_sequence("a schedule's value t is used by update t + 1", falling,
                 [&](int t, double w, double g, double*) { return w - lr * std::max(0.0, 1 - (t - 1) / 8.0) * g; });
}

TEST_CASE("classicalMomentum: the two-array form, whatever the place of the gradient") {
  const double lr = 0.1, beta = 0.9, eta = 0.5, decay = 0.05;
  for (const char* place : {"none", "lookahead", "literal"}) {
    check_sequence(place, test::classical_momentum(lr, beta, place, eta, decay),
                   [&](int, double w, double g, double* p) {
                     p[0] = beta * p[0] + eta * (g + decay * w);
                     return w - lr * p[0];
                   });
  }
}

TEST_CASE("adam and adamw: both corrections, both decays, the largest second moment") {
  const double lr = 0.01, b1 = 0.9, b2 = 0.99, eps = 1e-3, decay = 0.1;
  for (const bool amsgrad : {false, true}) {
    for (const bool correct : {false, true}) {
      for (const bool decoupled : {false, true}) {
        const OptimizerSpec spec = test::adam(lr, decoupled, amsgrad, correct, b1, b2, eps, decay);
        check_sequence(spec.kind, spec, [&](int t, double w, double g, double* s) {
          if (decoupled) {
            w *= 1 - lr * decay;
          } else {
            g += decay * w;
          }
          s[0] = b1 * s[0] + (1 - b1) * g;
          s[1] = b2 * s[1] + (1 - b2) * g * g;
          s[2] = amsgrad ? std::max(s[2], s[1]) : s[1];
          const double c1 = correct ? 1 - std::pow(b1, t) : 1, c2 = correct ? 1 - std::pow(b2, t) : 1;
          return w - lr / c1 * s[0] / (std::sqrt(s[2]) / std::sqrt(c2) + eps);
        });
      }
    }
  }
}

// Sutskever et al. 2013: the gradient is taken at w - lr beta p; literal means w - beta p.
TEST_CASE_TEMPLATE("place: where the gradient of the next update is taken", T, float, double) {
  constexpr std::size_t n = 21;
  for (const auto& [name, spec] : test::optimizer_cases()) {
    CAPTURE(name);
    auto optimizer = make<T>(spec, n);
    std::vector<T> w = numbers<T>(n, 54), point(n, T(7));
    for (unsigned t = 0; t < 3; ++t) step(*optimizer, w, numbers<T>(n, 90 + t));
    const bool lookahead = name == "classicalMomentum lookahead", literal = name == "classicalMomentum literal";
    CHECK(optimizer->rule().evaluates_elsewhere() == (lookahead || literal));
    optimizer->begin();
    optimizer->place_range(w.data(), point.data(), 0, n);
    Comparison comparison;
    for (std::size_t i = 0; i < n; ++i) {
      double expected = double(w[i]);
      if (lookahead || literal) {
        expected -= test::kMomentum * (lookahead ? test::kLearningRate : 1) * double(optimizer->state(0)[i]);
      }
      comparison.within(0, std::int64_t(i), double(point[i]), expected,
                        lookahead || literal ? test::gamma<T>(8) * 8 : 0);
    }
    comparison.check(name);
  }
}

// As long as a step halves the distance or less, every rule finds the minimum of a parabola.
TEST_CASE_TEMPLATE("every rule descends a parabola", T, float, double) {
  for (const auto& [name, spec] : test::optimizer_cases()) {
    CAPTURE(name);
    auto optimizer = make<T>(spec, 2);
    std::vector<T> w{T(1), T(-2)}, at(2), g(2);
    const auto height = [&] { return double(w[0]) * double(w[0]) + 4 * double(w[1]) * double(w[1]); };
    const double start = height();
    for (int t = 0; t < 400; ++t) {
      optimizer->begin();
      optimizer->place_range(w.data(), at.data(), 0, 2);
      g = {T(2) * at[0], T(8) * at[1]};
      optimizer->update_range(w.data(), g.data(), 0, 2);
      optimizer->end();
    }
    CHECK(height() < 1e-2 * start);
  }
}

}  // namespace
}  // namespace krylov
