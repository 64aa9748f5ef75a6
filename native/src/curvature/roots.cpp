#include "curvature/roots.h"

#include <algorithm>
#include <cmath>

#include "kernels/kernel_table.h"
#include "krylov/rng.h"

namespace krylov {
namespace {

// Signs of a run of elements, 128 to a block.
template <Scalar T>
void fill_signs(const RootSeeds& seeds, std::uint64_t first, std::int64_t count, T* z) noexcept {
  constexpr std::uint64_t kBits = 128;
  PhiloxBlock words{};
  for (std::int64_t k = 0; k < count; ++k) {
    const std::uint64_t element = first + static_cast<std::uint64_t>(k), bit = element % kBits;
    if (k == 0 || bit == 0) words = random_block(seeds.seed, Stream::kProbe, seeds.draw, element / kBits);
    z[k] = (words[bit / 32] >> (bit % 32) & 1u) != 0 ? T(-1) : T(1);
  }
}

// z = -e_y / sqrt(p_y), y drawn with probabilities p = softmax(o): S z = p - e_y. p uses the place of z.
template <Scalar T>
void draw_class(double uniform, const T* o, std::int64_t ldo, T* z, std::int64_t width) noexcept {
  kernels<T>().softmax_rows(o, ldo, z, ldo, 1, width);
  std::int64_t y = 0;
  double below = 0, probability = 0;
  for (std::int64_t k = 0; k < width; ++k) {
    const double p = static_cast<double>(z[k]);
    if (!(p > 0)) continue;
    y = k, probability = p;
    below += p;
    if (uniform < below) break;
  }
  std::fill_n(z, width, T(0));
  z[y] = static_cast<T>(-1 / std::sqrt(probability));
}

template <Scalar T>
void draw_labels(const RootSeeds& seeds, Loss loss, std::uint64_t first, const T* o, std::int64_t ldo, T* z,
                 std::int64_t width) noexcept {
  if (loss == Loss::kSoftmaxCrossEntropy) {
    return draw_class(uniform01(seeds.seed, Stream::kLabel, seeds.draw, first), o, ldo, z, width);
  }
  constexpr std::int64_t kRun = 64;
  double numbers[kRun];
  for (std::int64_t k0 = 0; k0 < width; k0 += kRun) {
    const std::int64_t run = std::min(kRun, width - k0);
    const std::span<double> some(numbers, static_cast<std::size_t>(run));
    const std::uint64_t at = first + static_cast<std::uint64_t>(k0);
    if (loss == Loss::kBinaryCrossEntropy) {
      fill_uniform01(seeds.seed, Stream::kLabel, seeds.draw, at, some);
      for (std::int64_t k = 0; k < run; ++k) {
        // (s - y) / sqrt(s (1 - s)) = e^(o/2) for y = 0 and -e^(-o/2) for y = 1.
        const double half = 0.5 * static_cast<double>(o[k0 + k]);
        const bool one = numbers[k] < 1 / (1 + std::exp(-2 * half));
        z[k0 + k] = static_cast<T>(one ? -std::exp(-half) : std::exp(half));
      }
    } else {
      fill_normal(seeds.seed, Stream::kLabel, seeds.draw, at, some);
      for (std::int64_t k = 0; k < run; ++k) z[k0 + k] = static_cast<T>(numbers[k]);
    }
  }
}

}  // namespace

template <Scalar T>
std::int64_t root_columns(const Network<T>& network) noexcept {
  std::int64_t columns = 0;
  for (const HeadInfo& head : network.heads()) columns += head.width;
  return columns;
}

template <Scalar T>
void seed_roots(const PointPart<T>& part, const RootSeeds& seeds, std::int64_t first, std::int64_t count) noexcept {
  const Network<T>& network = *part.pass.network;
  const auto heads = network.heads();
  const std::int64_t all = root_columns(network);
  std::int64_t column0 = 0;
  for (std::size_t h = 0; h < heads.size(); column0 += heads[h].width, ++h) {
    const std::int64_t width = heads[h].width, ld = network.buffers()[static_cast<std::size_t>(heads[h].buffer)].ld;
    LossCurvatureRows<T> rows = part.batch->curvature_rows(part.pass, h, part.deltas, first, count);
    T* z = (*part.adjoints)[heads[h].buffer] + first * ld;
    rows.u = rows.out = z;
    rows.ldu = rows.ld_out = ld;
    if (seeds.kind == RootKind::kColumn) {
      const std::int64_t column = static_cast<std::int64_t>(seeds.draw) - column0;
      const bool mine = column >= 0 && column < width;
      for (std::int64_t r = 0; r < count; ++r) {
        std::fill_n(z + r * ld, mine ? width : ld, T(0));
        if (mine) z[r * ld + column] = T(1);
      }
      if (!mine) continue;
    } else {
      const Loss loss = part.batch->losses()[h].kind;
      for (std::int64_t r = 0; r < count; ++r) {
        const auto element = static_cast<std::uint64_t>((part.start + first + r) * all + column0);
        if (seeds.kind == RootKind::kSigns) {
          fill_signs(seeds, element, width, z + r * ld);
        } else {
          draw_labels(seeds, loss, element, rows.outputs + r * rows.ldo, rows.ldo, z + r * ld, width);
        }
      }
    }
    kernels<T>().loss_root_rows(rows);
  }
}

template std::int64_t root_columns(const Network<float>&) noexcept;
template std::int64_t root_columns(const Network<double>&) noexcept;
template void seed_roots(const PointPart<float>&, const RootSeeds&, std::int64_t, std::int64_t) noexcept;
template void seed_roots(const PointPart<double>&, const RootSeeds&, std::int64_t, std::int64_t) noexcept;

}  // namespace krylov
