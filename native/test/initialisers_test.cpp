#include "krylov/initialisers.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace krylov {
namespace {

struct Shape {
  std::int64_t out, in;
};

std::vector<double> draw(const InitialiserSpec& spec, Shape shape, std::uint64_t seed = 1, std::uint32_t tensor = 0) {
  std::vector<double> weight(static_cast<std::size_t>(shape.out * shape.in), 99.0);
  const Status status = initialise_weight(spec, seed, tensor, shape.out, shape.in, weight);
  REQUIRE(status.ok());
  return weight;
}

double mean_square(const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  return sum / static_cast<double>(x.size());
}

double mean(const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x) sum += v;
  return sum / static_cast<double>(x.size());
}

constexpr double kNormalKurtosis = 3.0;
constexpr double kUniformKurtosis = 1.8;

// Mean and mean square within 4.5 standard errors of what the scheme says, and
// for a bounded one the largest entry at the bound.
void check_moments(const std::vector<double>& w, double deviation, double kurtosis, double bound) {
  const double n = static_cast<double>(w.size());
  CHECK(std::abs(mean(w)) <= 4.5 * deviation / std::sqrt(n));
  CHECK(std::abs(mean_square(w) / (deviation * deviation) - 1) <= 4.5 * std::sqrt((kurtosis - 1) / n));
  if (bound > 0) {
    double largest = 0;
    for (const double v : w) largest = std::max(largest, std::abs(v));
    CHECK(largest <= bound);
    if (w.size() >= 1000) CHECK(largest > 0.99 * bound);
  }
}

constexpr Shape kShapes[] = {{60, 40}, {40, 60}, {128, 784}, {1, 3000}, {3000, 1}};

TEST_CASE("initialisers: normal and uniform schemes have the variance of their source") {
  using I = Initialiser;
  for (const Shape shape : kShapes) {
    const double fi = static_cast<double>(shape.in), fo = static_cast<double>(shape.out);
    const double root3 = std::sqrt(3.0);
    struct Case {
      const char* name;
      InitialiserSpec spec;
      double deviation;
      bool uniform;
    };
    const double g = 1.3;
    const Case cases[] = {
        {"normal", {.kind = I::kNormal, .deviation = 0.3}, 0.3, false},
        {"uniform", {.kind = I::kUniform, .bound = 0.7}, 0.7 / root3, true},
        {"fanInNormal", {.kind = I::kFanInNormal}, 1 / std::sqrt(fi), false},
        {"lecunNormal", {.kind = I::kLecunNormal}, 1 / std::sqrt(fi), false},
        {"lecunUniform", {.kind = I::kLecunUniform}, 1 / std::sqrt(fi), true},
        {"xavierNormal", {.kind = I::kXavierNormal, .gain = g}, g * std::sqrt(2 / (fi + fo)), false},
        {"xavierUniform", {.kind = I::kXavierUniform, .gain = g}, g * std::sqrt(2 / (fi + fo)), true},
        {"heNormal", {.kind = I::kHeNormal, .gain = g}, g / std::sqrt(fi), false},
        {"heUniform", {.kind = I::kHeUniform, .gain = g}, g / std::sqrt(fi), true},
        {"heNormal fanOut", {.kind = I::kHeNormal, .gain = g, .mode = Fan::kOut}, g / std::sqrt(fo), false},
        {"heUniform fanOut", {.kind = I::kHeUniform, .gain = g, .mode = Fan::kOut}, g / std::sqrt(fo), true},
        {"torchLinear", {.kind = I::kTorchLinear}, 1 / std::sqrt(3 * fi), true},
    };
    for (const Case& c : cases) {
      CAPTURE(c.name);
      CAPTURE(shape.out);
      CAPTURE(shape.in);
      check_moments(draw(c.spec, shape), c.deviation, c.uniform ? kUniformKurtosis : kNormalKurtosis,
                    c.uniform ? root3 * c.deviation * (1 + 1e-15) : 0);
    }
  }
}

TEST_CASE("initialisers: zeros and constant") {
  for (const double v : draw({.kind = Initialiser::kZeros}, {3, 5})) CHECK(v == 0.0);
  for (const double v : draw({.kind = Initialiser::kConstant, .value = 0.25}, {3, 5})) CHECK(v == 0.25);
}

TEST_CASE("initialisers: sparse thins the incoming weights of every unit") {
  for (const Shape shape : {Shape{400, 100}, Shape{2000, 16}, Shape{500, 15}, Shape{500, 4}}) {
    CAPTURE(shape.in);
    const double s = 0.8;
    const std::vector<double> w = draw({.kind = Initialiser::kSparse, .deviation = s}, shape);
    const std::int64_t c = std::min<std::int64_t>(15, shape.in);
    std::vector<int> used(static_cast<std::size_t>(shape.in), 0);
    for (std::int64_t r = 0; r < shape.out; ++r) {
      std::int64_t kept = 0;
      for (std::int64_t k = 0; k < shape.in; ++k) {
        if (w[static_cast<std::size_t>(r * shape.in + k)] != 0) {
          ++kept;
          ++used[static_cast<std::size_t>(k)];
        }
      }
      REQUIRE(kept == c);
    }
    const double fi = static_cast<double>(shape.in), ratio = static_cast<double>(c) / fi;
    check_moments(w, s * std::sqrt(ratio), 3 * fi / static_cast<double>(c), 0);
    if (shape.in > 15) {
      const double rows = static_cast<double>(shape.out);
      double chi2 = 0;
      bool equal = true;
      for (const int count : used) {
        chi2 += (count - rows * ratio) * (count - rows * ratio) / (rows * ratio * (1 - ratio));
        equal = equal && count == used[0];
      }
      CHECK_FALSE(equal);
      CHECK(chi2 <= fi + 4.5 * std::sqrt(2 * fi));  // random columns, none preferred
    }
  }
  const std::vector<double> two = draw({.kind = Initialiser::kSparse, .connections = 2}, {50, 10});
  for (std::size_t r = 0; r < 50; ++r) {
    int kept = 0;
    for (std::size_t k = 0; k < 10; ++k) kept += two[r * 10 + k] != 0;
    CHECK(kept == 2);
  }
}

TEST_CASE("initialisers: orthogonal rows or columns to 1e-12") {
  const double g = 1.7;
  for (const Shape shape : {Shape{1, 1}, Shape{1, 5}, Shape{5, 1}, Shape{7, 7}, Shape{90, 33}, Shape{33, 90}}) {
    CAPTURE(shape.out);
    CAPTURE(shape.in);
    const std::vector<double> w = draw({.kind = Initialiser::kOrthogonal, .gain = g}, shape);
    const bool tall = shape.out >= shape.in;
    const std::int64_t small = tall ? shape.in : shape.out, large = tall ? shape.out : shape.in;
    const auto at = [&](std::int64_t vector, std::int64_t i) {
      return w[static_cast<std::size_t>(tall ? i * shape.in + vector : vector * shape.in + i)];
    };
    for (std::int64_t a = 0; a < small; ++a) {
      for (std::int64_t b = 0; b <= a; ++b) {
        double product = 0;
        for (std::int64_t i = 0; i < large; ++i) product += at(a, i) * at(b, i);
        REQUIRE(std::abs(product - (a == b ? g * g : 0.0)) <= 1e-12);
      }
    }
    CHECK(std::abs(mean_square(w) * static_cast<double>(large) / (g * g) - 1) <= 1e-12);
  }
}

TEST_CASE("initialisers: the sign fix makes orthogonal entries symmetric about 0") {
  // Without it the diagonal of Q keeps one sign. Entries of a random 4 x 4
  // orthogonal matrix have variance 1/4.
  constexpr int kDraws = 2000;
  double sums[16] = {};
  for (int seed = 0; seed < kDraws; ++seed) {
    const std::vector<double> w =
        draw({.kind = Initialiser::kOrthogonal}, {4, 4}, static_cast<std::uint64_t>(seed));
    for (std::size_t i = 0; i < 16; ++i) sums[i] += w[i];
  }
  for (const double sum : sums) CHECK(std::abs(sum / kDraws) <= 4.5 * 0.5 / std::sqrt(double{kDraws}));
  double positive = 0;
  for (int seed = 0; seed < kDraws; ++seed) {
    positive += draw({.kind = Initialiser::kOrthogonal}, {1, 1}, static_cast<std::uint64_t>(seed))[0] > 0;
  }
  CHECK(std::abs(positive / kDraws - 0.5) <= 4.5 * 0.5 / std::sqrt(double{kDraws}));
}

TEST_CASE("initialisers: truncated normal stays within its limit") {
  // limit, deviation of the cut normal and its kurtosis (from the moments of the density on the range).
  struct Case {
    double limit, shrink, kurtosis;
  };
  constexpr Case kCases[] = {
      {0.5, 0.28388229, 1.83456}, {2, 0.879625661, 2.36554}, {3, 0.9865783926, 2.82889}, {40, 1.0, 3.0}};
  for (const Case c : kCases) {
    CAPTURE(c.limit);
    const double s = 0.4;
    const std::vector<double> w =
        draw({.kind = Initialiser::kTruncatedNormal, .deviation = s, .limit = c.limit}, {200, 150});
    check_moments(w, s * c.shrink, c.kurtosis, 0);
    for (const double v : w) REQUIRE(std::abs(v) <= s * c.limit);
  }
}

TEST_CASE("initialisers: a seed and a tensor decide the draws") {
  for (int k = 0; k <= static_cast<int>(Initialiser::kTruncatedNormal); ++k) {
    const InitialiserSpec spec{.kind = static_cast<Initialiser>(k)};
    CAPTURE(k);
    const Shape shape{6, 20};
    CHECK(draw(spec, shape) == draw(spec, shape));
    if (spec.kind == Initialiser::kZeros || spec.kind == Initialiser::kConstant) continue;
    CHECK(draw(spec, shape, 1) != draw(spec, shape, 2));
    CHECK(draw(spec, shape, 1, 0) != draw(spec, shape, 1, 1));
  }
}

TEST_CASE("initialisers: the orthogonal factor has these bits on every platform") {
  const std::vector<double> w = draw({.kind = Initialiser::kOrthogonal}, {12, 9}, 1);
  CHECK(w[0] == 0x1.b2c7abeeb69bp-4);
  CHECK(w[1] == 0x1.b09a3ff683eb9p-6);
  CHECK(w[50] == -0x1.3512d8ca252d1p-3);
  CHECK(w[107] == -0x1.efd50f5fa251cp-5);
}

TEST_CASE("initialisers: biases") {
  std::vector<double> bias(3000, 99.0);
  CHECK(initialise_bias({.kind = Initialiser::kTorchLinear}, 1, 1, 25, bias).ok());
  check_moments(bias, 0.2 / std::sqrt(3.0), kUniformKurtosis, 0.2);
  CHECK(initialise_bias({.kind = Initialiser::kConstant, .value = 0.5}, 1, 1, 25, bias).ok());
  for (const double b : bias) REQUIRE(b == 0.5);
  CHECK(initialise_bias({}, 1, 1, 25, bias).ok());
  for (const double b : bias) REQUIRE(b == 0.0);
  const Status refused = initialise_bias({.kind = Initialiser::kOrthogonal}, 1, 1, 25, bias);
  CHECK(refused.code == ErrorCode::kOption);
}

TEST_CASE("initialisers: what cannot be is refused with a name") {
  std::vector<double> w(12);
  const auto code = [&w](const InitialiserSpec& spec, std::int64_t out, std::int64_t in) {
    return initialise_weight(spec, 1, 0, out, in, w).code;
  };
  const InitialiserSpec normal{.kind = Initialiser::kNormal};
  CHECK(code(normal, 3, 4) == ErrorCode::kOk);
  CHECK(code(normal, 4, 4) == ErrorCode::kShape);
  CHECK(code(normal, 0, 4) == ErrorCode::kShape);
  CHECK(code(normal, 3, -4) == ErrorCode::kShape);
  CHECK(code({.kind = Initialiser::kHeNormal, .gain = NAN}, 3, 4) == ErrorCode::kOption);
  CHECK(code({.kind = Initialiser::kNormal, .deviation = -1}, 3, 4) == ErrorCode::kOption);
  CHECK(code({.kind = Initialiser::kUniform, .bound = INFINITY}, 3, 4) == ErrorCode::kOption);
  CHECK(code({.kind = Initialiser::kConstant, .value = NAN}, 3, 4) == ErrorCode::kOption);
  CHECK(code({.kind = Initialiser::kTruncatedNormal, .limit = 0}, 3, 4) == ErrorCode::kOption);
  CHECK(code({.kind = Initialiser::kSparse, .connections = 0}, 3, 4) == ErrorCode::kOption);
}

TEST_CASE("initialisers: gains by activation") {
  CHECK(activation_gain(Activation::kIdentity, 0) == 1.0);
  CHECK(activation_gain(Activation::kSigmoid, 0) == 1.0);
  CHECK(activation_gain(Activation::kTanh, 0) == 5.0 / 3.0);
  CHECK(activation_gain(Activation::kRelu, 0) == std::sqrt(2.0));
  CHECK(activation_gain(Activation::kLeakyRelu, 0.01) == std::sqrt(2.0 / 1.0001));
  CHECK(activation_gain(Activation::kLeakyRelu, 1) == 1.0);
  CHECK(activation_gain(Activation::kSelu, 0) == 0.75);
}

}  // namespace
}  // namespace krylov
