#include "krylov/rng.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace krylov {
namespace {

constexpr std::uint64_t kSeed = 20240501;
using Key = std::array<std::uint32_t, 2>;

// The known-answer vectors that the generator's authors publish for 10 rounds.
static_assert(philox4x32({0, 0, 0, 0}, Key{0, 0}) ==
              PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
static_assert(philox4x32({~0u, ~0u, ~0u, ~0u}, Key{~0u, ~0u}) ==
              PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
static_assert(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, Key{0xa4093822, 0x299f31d0}) ==
              PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});

TEST_CASE("rng: the counter's layout is index, step, stream; the key is the seed") {
  const std::uint64_t seed = 0x0123456789abcdefu;
  const std::uint64_t step = 0x00aabbccddeeff11u;
  const std::uint64_t index = (std::uint64_t{7} << 34) | (5 * 4 + 2);
  const PhiloxBlock expected =
      philox4x32({5, 7, 0xddeeff11u, 0x03aabbccu}, Key{0x89abcdefu, 0x01234567u});
  CHECK(random_block(seed, Stream::kDropout, step, index / 4) == expected);
  CHECK(random_word(seed, Stream::kDropout, step, index) == expected[2]);
  RandomSequence sequence(seed, Stream::kShuffle, 3);
  for (std::uint64_t i = 0; i < 11; ++i) CHECK(sequence.next() == random_word(seed, Stream::kShuffle, 3, i));
}

TEST_CASE("rng: bulk draws equal single ones from any start") {
  constexpr std::uint64_t kFirst[] = {0, 1, 31, (std::uint64_t{1} << 35) + 7};
  constexpr std::size_t kCounts[] = {0, 1, 31, 32, 101};
  for (const std::uint64_t first : kFirst) {
    for (const std::size_t count : kCounts) {
      CAPTURE(first);
      CAPTURE(count);
      std::vector<double> uniforms(count), normals(count);
      fill_uniform01(kSeed, Stream::kNoise, 9, first, uniforms);
      fill_normal(kSeed, Stream::kNoise, 9, first, normals);
      for (std::size_t i = 0; i < count; ++i) {
        CHECK(uniforms[i] == uniform01(kSeed, Stream::kNoise, 9, first + i));
        CHECK(normals[i] == normal(kSeed, Stream::kNoise, 9, first + i));
      }
    }
  }
}

TEST_CASE("rng: uniform numbers at the ends of their ranges") {
  CHECK(to_uniform01(0, 0) == 0.0);
  CHECK(to_uniform01(~0u, ~0u) == 1.0 - 0x1p-53);
  CHECK(to_uniform_open(0, 0) == 0x1p-53);
  CHECK(to_uniform_open(~0u, ~0u) == 1.0 - 0x1p-53);
  CHECK(uniform_open(kSeed, Stream::kNoise, 0, 5) == doctest::Approx(uniform01(kSeed, Stream::kNoise, 0, 5)));
}

TEST_CASE("rng: the normal quantile is right to 2e-15") {
  // 60-digit arithmetic, from the doubles nearest to p.
  struct Case {
    double p, x;
  };
  const Case cases[] = {
      {0x1p-53, -8.2095361516013868556},
      {0x1p-30, -6.0093535655307438932},
      {1e-12, -7.0344838253011319326},
      {1e-6, -4.7534243088228989573},
      {0.001, -3.0902323061678135354},
      {0.02425, -1.9729610513118848376},
      {0.07, -1.4757910281791706856},
      {0.0751, -1.4388253927525399824},
      {0.2, -0.84162123357291416552},
      {0.4999, -0.00025066283008800749239},
      {0.6, 0.25334710313579974132},
      {0.924, 1.43250272082581191},
      {0.926, 1.446632067158978807},
      {0.999, 3.0902323061678132778},
      {0.9999999, 5.1993375822906610937},
  };
  for (const Case& c : cases) {
    CAPTURE(c.p);
    CHECK(std::abs(normal_quantile(c.p) / c.x - 1.0) <= 2e-15);
  }
  CHECK(normal_quantile(0.5) == 0.0);
  for (const double p : {0x1p-20, 0x1p-8, 0.125, 0.25, 0.375}) CHECK(normal_quantile(1.0 - p) == -normal_quantile(p));
}

TEST_CASE("rng: these bits are what a seed means, on every platform") {
  const auto normal_at = [](std::uint64_t index) { return normal(1, Stream::kInitialise, 0, index); };
  CHECK(normal_at(0) == 0x1.3e5a577fea596p-2);
  CHECK(normal_at(1) == -0x1.d4a71d1411c86p-7);
  CHECK(normal_at(3) == 0x1.156cab27708cep-3);
  CHECK(normal_at(96) == -0x1.5354c10822fffp+1);  // beyond the central range: through the logarithm
  CHECK(normal_at(135) == 0x1.af1082dd3118ap+1);
  CHECK(uniform01(1, Stream::kInitialise, 0, 0) == 0x1.3e7e71df188ep-1);
  CHECK(random_word(1, Stream::kShuffle, 0, 0) == 203017321u);
  std::vector<std::uint32_t> order(8);
  permutation(1, Stream::kShuffle, 0, order);
  CHECK(order == std::vector<std::uint32_t>{6, 7, 4, 1, 5, 2, 3, 0});
}

TEST_CASE("rng: moments of normal numbers") {
  constexpr std::size_t kCount = 400000;
  std::vector<double> x(kCount);
  fill_normal(kSeed, Stream::kNoise, 1, 0, x);
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0, lag = 0;
  std::size_t beyond2 = 0;
  for (std::size_t i = 0; i < kCount; ++i) {
    const double square = x[i] * x[i];
    m1 += x[i];
    m2 += square;
    m3 += square * x[i];
    m4 += square * square;
    if (i > 0) lag += x[i] * x[i - 1];
    if (std::abs(x[i]) > 2) ++beyond2;
  }
  const double n = kCount;
  const double root = std::sqrt(n);
  // 4.5 standard errors; those of the powers 1 to 4 are 1, sqrt(2), sqrt(15), sqrt(96).
  CHECK(std::abs(m1 / n) <= 4.5 / root);
  CHECK(std::abs(m2 / n - 1) <= 4.5 * std::sqrt(2.0) / root);
  CHECK(std::abs(m3 / n) <= 4.5 * std::sqrt(15.0) / root);
  CHECK(std::abs(m4 / n - 3) <= 4.5 * std::sqrt(96.0) / root);
  CHECK(std::abs(lag / n) <= 4.5 / root);
  const double share = 0.04550026389635842;
  CHECK(std::abs(static_cast<double>(beyond2) / n - share) <= 4.5 * std::sqrt(share * (1 - share)) / root);
}

TEST_CASE("rng: seeds, streams and steps give different numbers") {
  const PhiloxBlock block = random_block(1, Stream::kNoise, 1, 1);
  CHECK(block != random_block(2, Stream::kNoise, 1, 1));
  CHECK(block != random_block(std::uint64_t{1} << 40, Stream::kNoise, 1, 1));
  CHECK(block != random_block(1, Stream::kSplit, 1, 1));
  CHECK(block != random_block(1, Stream::kNoise, 2, 1));
  CHECK(block != random_block(1, Stream::kNoise, 1, 2));
}

TEST_CASE("rng: bounded integers are even") {
  // 2^31 + 1 is where rejection matters most: half of all words are refused.
  RandomSequence wide(kSeed, Stream::kSample, 0);
  constexpr int kDraws = 100000;
  constexpr std::uint32_t kBound = (1u << 31) + 1;
  int lower_half = 0;
  for (int i = 0; i < kDraws; ++i) {
    const std::uint32_t x = wide.below(kBound);
    REQUIRE(x < kBound);
    if (x < kBound / 2) ++lower_half;
  }
  CHECK(std::abs(lower_half - kDraws / 2.0) <= 4.5 * 0.5 * std::sqrt(double{kDraws}));
  RandomSequence narrow(kSeed, Stream::kSample, 1);
  double counts[7] = {};
  for (int i = 0; i < kDraws; ++i) ++counts[narrow.below(7)];
  double chi2 = 0;
  for (const double count : counts) chi2 += (count - kDraws / 7.0) * (count - kDraws / 7.0) / (kDraws / 7.0);
  CHECK(chi2 < 27.9);  // 6 degrees of freedom, one in ten thousand
  RandomSequence one(kSeed, Stream::kSample, 2);
  CHECK(one.below(1) == 0);
}

TEST_CASE("rng: a permutation holds every index once and follows its sequence") {
  for (const std::size_t n : {0u, 1u, 2u, 3u, 16u, 17u, 1000u, 60000u}) {
    CAPTURE(n);
    std::vector<std::uint32_t> order(n);
    permutation(kSeed, Stream::kShuffle, 4, order);
    std::vector<std::uint32_t> slow(n);
    for (std::size_t i = 0; i < n; ++i) slow[i] = static_cast<std::uint32_t>(i);
    RandomSequence sequence(kSeed, Stream::kShuffle, 4);
    for (std::size_t i = n; i > 1; --i) std::swap(slow[i - 1], slow[sequence.below(static_cast<std::uint32_t>(i))]);
    CHECK(order == slow);
    std::sort(slow.begin(), slow.end());
    for (std::size_t i = 0; i < n; ++i) REQUIRE(slow[i] == i);
  }
}

TEST_CASE("rng: every element is equally likely in every place") {
  constexpr std::size_t kSize = 6;
  constexpr int kEpochs = 12000;
  double counts[kSize][kSize] = {};
  std::vector<std::uint32_t> order(kSize);
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    permutation(kSeed, Stream::kShuffle, static_cast<std::uint64_t>(epoch), order);
    for (std::size_t place = 0; place < kSize; ++place) ++counts[place][order[place]];
  }
  double chi2 = 0;
  const double expected = kEpochs / double{kSize};
  for (const auto& row : counts) {
    for (const double count : row) chi2 += (count - expected) * (count - expected) / expected;
  }
  // (k - 1)^2 = 25 degrees of freedom after the scale (k - 1)/k of a doubly stochastic table.
  CHECK(chi2 < 60.0);
}

}  // namespace
}  // namespace krylov
