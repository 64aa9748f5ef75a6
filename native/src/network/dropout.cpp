// Inverted dropout: a mask in training, a copy otherwise.
#include <cstring>

#include "network/layer.h"

namespace krylov {

template <Scalar T>
std::int64_t DropoutLayer<T>::scratch_size(std::int64_t max_rows, std::span<const BufferInfo> buffers) const noexcept {
  return max_rows * buffers[static_cast<std::size_t>(this->output)].ld;
}

template <Scalar T>
T* DropoutLayer<T>::mask(const Pass<T>& pass, std::int64_t first) const noexcept {
  return pass.workspace->scratch(this->index) + first * this->info(pass, this->output).ld;
}

template <Scalar T>
void DropoutLayer<T>::forward(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept {
  const BufferInfo& in = this->info(pass, this->input);
  const std::int64_t columns = round_up(in.width, kPanel<T>);
  const T* x = this->activation(pass, this->input, first);
  T* y = this->activation(pass, this->output, first);
  if (!pass.training) return copy_rows(x, in.ld, y, in.ld, count, columns);
  kernels<T>().dropout_mask(pass.seed, pass.step, static_cast<std::uint32_t>(this->index), rate_, first,
                            mask(pass, first), in.ld, count, in.width);
  kernels<T>().multiply(x, in.ld, mask(pass, first), in.ld, y, in.ld, false, count, columns);
}

template <Scalar T>
void DropoutLayer<T>::backward(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept {
  if (!this->input_delta) return;
  const BufferInfo& in = this->info(pass, this->input);
  const T* dy = this->delta(pass, this->output, first);
  T* dx = this->delta(pass, this->input, first);
  if (!pass.training) return pass_on(dy, in.ld, dx, in.ld, this->accumulate, count, in.width);
  kernels<T>().multiply(dy, in.ld, mask(pass, first), in.ld, dx, in.ld, this->accumulate, count,
                        round_up(in.width, kPanel<T>));
}

template <Scalar T>
void DropoutLayer<T>::tangent(const Pass<T>& pass, const T*, std::int64_t first, std::int64_t count) const noexcept {
  const BufferInfo& in = this->info(pass, this->input);
  const std::int64_t columns = round_up(in.width, kPanel<T>);
  T* ry = this->tangent_of(pass, this->output, first);
  if (this->input == this->kInputBuffer) {
    for (std::int64_t r = 0; r < count; ++r) std::memset(ry + r * in.ld, 0, static_cast<std::size_t>(columns) * sizeof(T));
    return;
  }
  const T* rx = this->tangent_of(pass, this->input, first);
  if (!pass.training) return copy_rows(rx, in.ld, ry, in.ld, count, columns);
  kernels<T>().multiply(rx, in.ld, mask(pass, first), in.ld, ry, in.ld, false, count, columns);
}

template class DropoutLayer<float>;
template class DropoutLayer<double>;

}  // namespace krylov
