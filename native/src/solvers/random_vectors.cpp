#include "solvers/random_vectors.h"

#include <algorithm>
#include <cstring>

#include "krylov/rng.h"

namespace krylov {

namespace {

// Elements made at once; a multiple of the 128 signs of a block.
constexpr std::int64_t kChunk = 1024;
// Fewer are not worth waking a second thread for.
constexpr std::int64_t kWorthSharing = 64 * kChunk;

// Elements first .. first + count of a draw, in public order.
template <Scalar T>
void random_elements(const Probes<T>& probes, std::uint64_t draw, std::int64_t first, std::int64_t count,
                     T* out) noexcept {
  if (probes.kind == ProbeKind::kNormal) {
    double normals[kChunk];
    fill_normal(probes.seed, Stream::kProbe, draw, static_cast<std::uint64_t>(first),
                {normals, static_cast<std::size_t>(count)});
    for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(normals[i]);
    return;
  }
  constexpr std::int64_t kBits = 128;
  for (std::int64_t at = first; at < first + count;) {
    const PhiloxBlock words = random_block(probes.seed, Stream::kProbe, draw, static_cast<std::uint64_t>(at / kBits));
    const std::int64_t last = std::min(at / kBits * kBits + kBits, first + count);
    while (at < last) {
      std::uint32_t bits = words[static_cast<std::size_t>(at % kBits / 32)] >> (at % 32);
      const std::int64_t end = std::min(at / 32 * 32 + 32, last);
      for (; at < end; ++at, bits >>= 1) out[at - first] = static_cast<T>(1 - 2 * static_cast<std::int32_t>(bits & 1u));
    }
  }
}

// One panel of one tensor: outputs panel * P .. of it. Some rows of all lanes at a time, since a panel outgrows the
// first-level cache.
template <Scalar T>
void write_panel(const Probes<T>& probes, std::uint64_t draw, const TensorInfo& tensor, const ParameterBlock& block,
                 std::int64_t panel, T* arena) noexcept {
  constexpr std::int64_t P = kPanel<T>, kRows = 128;
  const std::int64_t lanes = std::min(P, tensor.outputs - panel * P);
  T values[P][kRows];
  T* const base = arena + block.offset + panel * block.rows * P + tensor.first_row * P;
  for (std::int64_t i = 0; i < tensor.row_count; i += kRows) {
    const std::int64_t count = std::min(kRows, tensor.row_count - i);
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const std::int64_t start = tensor.public_offset + (panel * P + lane) * tensor.row_count;
      random_elements(probes, draw, start + i, count, values[lane]);
    }
    for (std::int64_t k = 0; k < count; ++k) {
      for (std::int64_t lane = 0; lane < lanes; ++lane) base[(i + k) * P + lane] = values[lane][k];
    }
  }
}

}  // namespace

template <Scalar T>
void fill_probe(const Probes<T>& probes, std::uint64_t draw, std::span<T> out) noexcept {
  const auto size = static_cast<std::int64_t>(out.size());
  for (std::int64_t i = 0; i < size; i += kChunk) {
    random_elements(probes, draw, i, std::min(kChunk, size - i), out.data() + i);
  }
}
template void fill_probe(const Probes<float>&, std::uint64_t, std::span<float>) noexcept;
template void fill_probe(const Probes<double>&, std::uint64_t, std::span<double>) noexcept;

template <Scalar T>
void RandomVectors<T>::write(std::int64_t draw, T* out) const noexcept {
  if (draw < probes_.given_count) {
    std::memcpy(out, probes_.given + draw * size_, static_cast<std::size_t>(size_) * sizeof(T));
    return;
  }
  struct Work {
    const RandomVectors& self;
    std::uint64_t draw;
    T* out;
    std::int64_t units;
  } work{*this, static_cast<std::uint64_t>(draw), out, ceil_div(size_, kChunk)};
  // Units are chunks of a plain vector, or the panels of all tensors one after the other.
  if (layout_ != nullptr) {
    work.units = 0;
    for (const TensorInfo& tensor : layout_->tensors()) work.units += ceil_div(tensor.outputs, kPanel<T>);
    std::fill_n(out, size_, T(0));
  }
  const auto body = [](void* context, int thread, int threads) noexcept {
    const Work& w = *static_cast<const Work*>(context);
    const RandomVectors& self = w.self;
    if (self.layout_ == nullptr) {
      for (std::int64_t u = thread; u < w.units; u += threads) {
        const std::int64_t count = std::min(kChunk, self.size_ - u * kChunk);
        random_elements(self.probes_, w.draw, u * kChunk, count, w.out + u * kChunk);
      }
      return;
    }
    std::int64_t unit = 0;
    for (const TensorInfo& tensor : self.layout_->tensors()) {
      const ParameterBlock& block = self.layout_->blocks()[static_cast<std::size_t>(tensor.block)];
      for (std::int64_t panel = 0; panel < ceil_div(tensor.outputs, kPanel<T>); ++panel, ++unit) {
        if (unit % threads == thread) write_panel(self.probes_, w.draw, tensor, block, panel, w.out);
      }
    }
  };
  if (size_ < kWorthSharing) {
    body(&work, 0, 1);
  } else {
    session_->team().run(session_->threads(), body, &work);
  }
}

template class RandomVectors<float>;
template class RandomVectors<double>;

}  // namespace krylov
