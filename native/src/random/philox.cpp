#include <cstddef>
#include <utility>

#include "krylov/rng.h"

namespace krylov {
namespace {

// Blocks made at once: a block's ten rounds are one chain of multiplications,
// several side by side keep the multiplier busy (and become vector code).
constexpr std::size_t kBlocks = 16;
using Words = std::array<std::uint32_t, 4 * kBlocks>;

// Words 4 b ... of the blocks b = first ... first + kBlocks - 1, in order.
void random_words(std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t first, Words& out) noexcept {
  const std::uint32_t c2 = static_cast<std::uint32_t>(step);
  const std::uint32_t c3 =
      (static_cast<std::uint32_t>(stream) << 24) | (static_cast<std::uint32_t>(step >> 32) & 0xffffffu);
  std::uint32_t x0[kBlocks], x1[kBlocks], x2[kBlocks], x3[kBlocks];
  for (std::size_t i = 0; i < kBlocks; ++i) {
    x0[i] = static_cast<std::uint32_t>(first + i);
    x1[i] = static_cast<std::uint32_t>((first + i) >> 32);
    x2[i] = c2;
    x3[i] = c3;
  }
  std::uint32_t k0 = static_cast<std::uint32_t>(seed);
  std::uint32_t k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    for (std::size_t i = 0; i < kBlocks; ++i) {
      const std::uint64_t p0 = std::uint64_t{kPhiloxMultiplier0} * x0[i];
      const std::uint64_t p1 = std::uint64_t{kPhiloxMultiplier1} * x2[i];
      x0[i] = static_cast<std::uint32_t>(p1 >> 32) ^ x1[i] ^ k0;
      x2[i] = static_cast<std::uint32_t>(p0 >> 32) ^ x3[i] ^ k1;
      x1[i] = static_cast<std::uint32_t>(p1);
      x3[i] = static_cast<std::uint32_t>(p0);
    }
    k0 += kPhiloxWeyl0;
    k1 += kPhiloxWeyl1;
  }
  for (std::size_t i = 0; i < kBlocks; ++i) {
    out[4 * i] = x0[i];
    out[4 * i + 1] = x1[i];
    out[4 * i + 2] = x2[i];
    out[4 * i + 3] = x3[i];
  }
}

// Draws first, first + 1, ... of two words each, made from `map(high, low)`.
template <class Map>
void fill(std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t first, std::span<double> out,
          Map map) noexcept {
  constexpr std::size_t kDraws = 2 * kBlocks;
  Words words;
  std::size_t done = 0;
  while (done < out.size()) {
    const std::uint64_t index = first + done;
    random_words(seed, stream, step, index / 2, words);
    std::size_t k = static_cast<std::size_t>(index % 2);
    for (; k < kDraws && done < out.size(); ++k) out[done++] = map(words[2 * k], words[2 * k + 1]);
  }
}

template <class Map>
double draw(std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t index, Map map) noexcept {
  const PhiloxBlock words = random_block(seed, stream, step, index / 2);
  const std::size_t k = 2 * static_cast<std::size_t>(index % 2);
  return map(words[k], words[k + 1]);
}

double to_normal(std::uint32_t high, std::uint32_t low) noexcept { return normal_quantile(to_uniform_open(high, low)); }

}  // namespace

double uniform01(std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t index) noexcept {
  return draw(seed, stream, step, index, to_uniform01);
}

double uniform_open(std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t index) noexcept {
  return draw(seed, stream, step, index, to_uniform_open);
}

double normal(std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t index) noexcept {
  return draw(seed, stream, step, index, to_normal);
}

void fill_uniform01(std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t first,
                    std::span<double> out) noexcept {
  fill(seed, stream, step, first, out, to_uniform01);
}

void fill_normal(std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t first,
                 std::span<double> out) noexcept {
  fill(seed, stream, step, first, out, to_normal);
}

// Uses the words of RandomSequence in the same order, made in bulk.
void permutation(std::uint64_t seed, Stream stream, std::uint64_t epoch, std::span<std::uint32_t> out) noexcept {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint32_t>(i);
  Words words;
  std::size_t used = words.size();
  std::uint64_t block = 0;
  const auto next = [&]() noexcept {
    if (used == words.size()) {
      random_words(seed, stream, epoch, block, words);
      block += kBlocks;
      used = 0;
    }
    return words[used++];
  };
  for (std::size_t i = out.size(); i > 1; --i) {
    std::swap(out[i - 1], out[bounded(static_cast<std::uint32_t>(i), next)]);
  }
}

}  // namespace krylov
