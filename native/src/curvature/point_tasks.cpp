#include "curvature/point_tasks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernel_table.h"
#include "network/layer.h"

namespace krylov {

namespace {

// A unit of 64 inputs reads 160 KiB of activations and deltas of this many rows in float32.
constexpr std::int64_t kSegmentRows = 512;

}  // namespace

// Segment by segment, so that what the units of a thread share of the batch stays in the second-level cache.
template <Scalar T>
void UnitTask<T>::columns(const PointPart<T>& part, int round, int thread, int threads) noexcept {
  alignas(kCacheLine) T piece[kUnitElements<T>];
  const auto [begin, end] = part.units->of(thread, threads);
  const bool starts = part.first && round == 0;
  const bool ends = part.last && round + 1 == this->rounds();
  PointPart<T> segment = part;
  for (std::int64_t first = 0; first < part.pass.rows; first += kSegmentRows) {
    segment.pass.first_row = first;
    segment.pass.rows = std::min(first + kSegmentRows, part.pass.rows);
    const bool opens = starts && first == 0;
    const bool closes = ends && segment.pass.rows == part.pass.rows;
    for (std::size_t u = begin; u < end; ++u) {
      const GradientUnit& gradient_unit = part.pass.network->units()[u];
      const std::int64_t size = (gradient_unit.row1 - gradient_unit.row0) * kPanel<T>;
      T* out = out_ + gradient_unit.offset;
      unit(segment, round, gradient_unit, opens ? out : piece);
      if (!opens) kernels<T>().scaled_sum(out, T(1), piece, out, size);
      if (closes && at_ != nullptr && l2_ != 0) {
        kernels<T>().scaled_sum(out, static_cast<T>(l2_), at_ + gradient_unit.offset, out, size);
      }
    }
  }
}

template <Scalar T>
void GradientTask<T>::unit(const PointPart<T>& part, int, const GradientUnit& unit, T* out) noexcept {
  part.pass.gradient(unit, static_cast<T>(part.scale), out);
}

template <Scalar T>
void SquaresTask<T>::rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept {
  part.adjoint_pass().square(part.pass.workspace->deltas(), first, count);
}

template <Scalar T>
void SquaresTask<T>::unit(const PointPart<T>& part, int, const GradientUnit& unit, T* out) noexcept {
  part.adjoint_pass().squared_gradient(unit, static_cast<T>(scale_), out);
}

template <Scalar T>
void GaussNewtonTask<T>::rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept {
  const Pass<T> pass = part.adjoint_pass();
  pass.tangent(v_, first, count);
  part.batch->curvature(pass, part.deltas, first, count);
  pass.backward(first, count);
}

template <Scalar T>
void GaussNewtonTask<T>::unit(const PointPart<T>& part, int, const GradientUnit& unit, T* out) noexcept {
  part.adjoint_pass().gradient(unit, static_cast<T>(part.scale), out);
}

template <Scalar T>
void HessianTask<T>::rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept {
  Pass<T> pass = part.adjoint_pass();
  pass.curves = part.curves;
  pass.bends = part.bends;
  pass.tangent(v_, first, count);
  part.batch->curvature(pass, part.deltas, first, count);
  pass.second_backward(v_, part.transposed_direction, first, count);
}

template <Scalar T>
void HessianTask<T>::unit(const PointPart<T>& part, int, const GradientUnit& unit, T* out) noexcept {
  Pass<T> pass = part.adjoint_pass();
  pass.bends = part.bends;
  pass.second_gradient(unit, static_cast<T>(part.scale), out);
}

template <Scalar T>
void EmpiricalFisherTask<T>::rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept {
  double products[PointTask<T>::kBlockRows] = {};
  const Pass<T>& pass = part.pass;
  pass.per_sample_products(v_, first, count, products);
  for (const auto& layer : pass.network->layers()) {
    if (layer->block < 0) continue;
    const BufferInfo& info = pass.network->buffers()[static_cast<std::size_t>(layer->output)];
    const std::int64_t columns = round_up(info.width, kPanel<T>);
    const T* from = pass.workspace->delta(layer->output) + first * info.ld;
    T* to = (*part.adjoints)[layer->output] + first * info.ld;
    for (std::int64_t r = 0; r < count; ++r, from += info.ld, to += info.ld) {
      std::memcpy(to, from, static_cast<std::size_t>(columns) * sizeof(T));
      kernels<T>().scale(static_cast<T>(products[r]), to, columns);
    }
  }
}

template <Scalar T>
void EmpiricalFisherTask<T>::unit(const PointPart<T>& part, int, const GradientUnit& unit, T* out) noexcept {
  part.adjoint_pass().gradient(unit, static_cast<T>(scale_), out);
}

template <Scalar T>
void copy_head_rows(const Network<T>& network, std::size_t head, const T* matrix, std::int64_t first,
                    std::int64_t count, T* out) noexcept {
  const HeadInfo& info = network.heads()[head];
  const std::int64_t ld = network.buffers()[static_cast<std::size_t>(info.buffer)].ld;
  copy_rows(matrix + first * ld, ld, out, info.width, count, info.width);
}

template <Scalar T>
void JvpTask<T>::rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept {
  const Network<T>& network = *part.pass.network;
  part.pass.tangent(v_, first, count);
  for (std::size_t h = 0; h < out_.size(); ++h) {
    const HeadInfo& head = network.heads()[h];
    copy_head_rows(network, h, part.pass.workspace->tangent(head.buffer), first, count,
                   out_[h] + (part.start + first) * head.width);
  }
}

template <Scalar T>
void VjpTask<T>::rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept {
  const Network<T>& network = *part.pass.network;
  for (std::size_t h = 0; h < u_.size(); ++h) {
    const HeadInfo& head = network.heads()[h];
    const std::int64_t ld = network.buffers()[static_cast<std::size_t>(head.buffer)].ld;
    const T* from = u_[h] + (part.start + first) * head.width;
    T* to = (*part.adjoints)[head.buffer] + first * ld;
    for (std::int64_t r = 0; r < count; ++r, from += head.width, to += ld) {
      std::memcpy(to, from, static_cast<std::size_t>(head.width) * sizeof(T));
      std::memset(to + head.width, 0, static_cast<std::size_t>(ld - head.width) * sizeof(T));
    }
  }
  part.adjoint_pass().backward(first, count);
}

template <Scalar T>
void VjpTask<T>::unit(const PointPart<T>& part, int, const GradientUnit& unit, T* out) noexcept {
  part.adjoint_pass().gradient(unit, T(1), out);
}

template <Scalar T>
void OutputsTask<T>::rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept {
  const HeadInfo& head = part.pass.network->heads()[head_];
  copy_head_rows(*part.pass.network, head_, part.pass.workspace->activation(head.buffer), first, count,
                 out_ + (part.start + first) * head.width);
}

template <Scalar T>
void PerSampleTask<T>::rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept {
  const std::int64_t size = part.pass.network->parameter_count();
  const std::int64_t from = std::max(first, first_ - part.start), to = std::min(first + count, last_ - part.start);
  const bool stream = streams<T>(last_ - first_, size);
  for (std::int64_t r = from; r < to; ++r) {
    part.pass.per_sample_gradient(r, out_ + (part.start + r - first_) * size, stream);
  }
}

// |g|^2 of a dense layer is |delta|^2 (|x|^2 + 1) (Goodfellow 2015); the gradients of other layers are as small as
// these are wide.
template <Scalar T>
void NormsTask<T>::rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept {
  for (std::int64_t r = first; r < first + count; ++r) {
    double sum = 0;
    for (const auto& layer : part.pass.network->layers()) sum += layer->per_sample_square(part.pass, r);
    out_[part.start + r] = std::sqrt(sum);
  }
}

#define KRYLOV_INSTANTIATE(T)           \
  template class UnitTask<T>;           \
  template class GradientTask<T>;       \
  template class SquaresTask<T>;        \
  template class GaussNewtonTask<T>;    \
  template class HessianTask<T>;        \
  template class EmpiricalFisherTask<T>; \
  template class JvpTask<T>;            \
  template class VjpTask<T>;            \
  template class OutputsTask<T>;        \
  template class PerSampleTask<T>;      \
  template class NormsTask<T>;          \
  template void copy_head_rows(const Network<T>&, std::size_t, const T*, std::int64_t, std::int64_t, T*) noexcept;
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
