// Random numbers that are a function of (seed, stream, step, index) alone: they
// depend on no order of calls, no thread and no platform. The generator is
// Philox 4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as
// easy as 1, 2, 3" (SC 2011); the key is the seed, the counter is
//
//   word 0  block, low 32 bits      (block = index / 4, the word is index % 4)
//   word 1  block, high 32 bits     (dropout: the layer instead; its blocks are few)
//   word 2  step, low 32 bits
//   word 3  step, bits 32 to 55, and the stream in the top 8 bits
//
// The index is the element's public row-major one, never the storage's.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace krylov {

// One purpose each, so that two uses of one seed never share numbers. The
// values are part of what a seed means: append, never renumber.
enum class Stream : std::uint8_t {
  kInitialise = 1,  // step: index of the tensor
  kShuffle = 2,     // step: epoch
  kDropout = 3,     // step: update, counter word 1: layer
  kNoise = 4,       // step: update
  kSplit = 5,       // partition of a data set
  kProbe = 6,       // random vectors of spectra and diagonal estimates
  kLabel = 7,       // labels drawn from the model
  kSample = 8,      // sampling of rows with replacement or by weight
  kConnections = 9,  // columns of sparse initial weights; step: index of the tensor
  kTaskOrder = 10    // whom the gradient of each task visits; step: update
};

using PhiloxBlock = std::array<std::uint32_t, 4>;

inline constexpr std::uint32_t kPhiloxMultiplier0 = 0xD2511F53u;
inline constexpr std::uint32_t kPhiloxMultiplier1 = 0xCD9E8D57u;
inline constexpr std::uint32_t kPhiloxWeyl0 = 0x9E3779B9u;
inline constexpr std::uint32_t kPhiloxWeyl1 = 0xBB67AE85u;
inline constexpr int kPhiloxRounds = 10;

constexpr PhiloxBlock philox4x32(PhiloxBlock x, std::array<std::uint32_t, 2> key) noexcept {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const std::uint64_t p0 = std::uint64_t{kPhiloxMultiplier0} * x[0];
    const std::uint64_t p1 = std::uint64_t{kPhiloxMultiplier1} * x[2];
    x = {static_cast<std::uint32_t>(p1 >> 32) ^ x[1] ^ key[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ x[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += kPhiloxWeyl0;
    key[1] += kPhiloxWeyl1;
  }
  return x;
}

// The four words of one block; see the layout above.
constexpr PhiloxBlock random_block(std::uint64_t seed, Stream stream, std::uint64_t step,
                                   std::uint64_t block) noexcept {
  return philox4x32({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
                     static_cast<std::uint32_t>(step),
                     (static_cast<std::uint32_t>(stream) << 24) | (static_cast<std::uint32_t>(step >> 32) & 0xffffffu)},
                    {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
}

// Word number `index` of a stream.
constexpr std::uint32_t random_word(std::uint64_t seed, Stream stream, std::uint64_t step,
                                    std::uint64_t index) noexcept {
  return random_block(seed, stream, step, index / 4)[index % 4];
}

// 53 random bits in [0, 1) and, shifted by half a step, in (0, 1).
constexpr double to_uniform01(std::uint32_t high, std::uint32_t low) noexcept {
  const std::uint64_t bits = (std::uint64_t{high} << 32 | low) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}
constexpr double to_uniform_open(std::uint32_t high, std::uint32_t low) noexcept {
  // 52 bits: with 53 the half could not be represented next to 1.
  const std::uint64_t bits = (std::uint64_t{high} << 32 | low) >> 12;
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

// Draws number `index`; each takes two words, elements 2k and 2k + 1 share block k.
double uniform01(std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t index) noexcept;
double uniform_open(std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t index) noexcept;
double normal(std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t index) noexcept;

// The same numbers for index = first, first + 1, ...: half the blocks.
void fill_uniform01(std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t first,
                    std::span<double> out) noexcept;
void fill_normal(std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t first,
                 std::span<double> out) noexcept;

// x with Phi(x) = p for p in (0, 1), relative error about 1e-15, from + - * /
// and sqrt only: the same bits on every IEEE platform.
double normal_quantile(double p) noexcept;

// Uniform in [0, bound), bound > 0, without bias, from 32-bit words of `next`:
// Lemire, "Fast random integer generation in an interval" (TOMACS 2019),
// algorithm 5. The rare rejection takes another word.
template <class Next>
constexpr std::uint32_t bounded(std::uint32_t bound, Next&& next) noexcept {
  std::uint64_t product = std::uint64_t{next()} * bound;
  if (static_cast<std::uint32_t>(product) < bound) {
    const std::uint32_t threshold = (0u - bound) % bound;
    while (static_cast<std::uint32_t>(product) < threshold) product = std::uint64_t{next()} * bound;
  }
  return static_cast<std::uint32_t>(product >> 32);
}

// Words of one stream in order, for algorithms that use as many as they need.
class RandomSequence {
 public:
  constexpr RandomSequence(std::uint64_t seed, Stream stream, std::uint64_t step) noexcept
      : seed_(seed), step_(step), stream_(stream) {}

  constexpr std::uint32_t next() noexcept {
    if (used_ == 4) {
      words_ = random_block(seed_, stream_, step_, block_++);
      used_ = 0;
    }
    return words_[used_++];
  }

  // Uniform in [0, bound), bound > 0.
  constexpr std::uint32_t below(std::uint32_t bound) noexcept {
    return bounded(bound, [this]() noexcept { return next(); });
  }

  constexpr double uniform01() noexcept {
    const std::uint32_t high = next();
    return to_uniform01(high, next());
  }

 private:
  std::uint64_t seed_;
  std::uint64_t step_;
  std::uint64_t block_ = 0;
  Stream stream_;
  unsigned used_ = 4;
  PhiloxBlock words_{};
};

// A uniformly random order of 0 ... out.size() - 1 (Fisher-Yates), one for each
// (seed, stream, epoch).
void permutation(std::uint64_t seed, Stream stream, std::uint64_t epoch, std::span<std::uint32_t> out) noexcept;

}  // namespace krylov
