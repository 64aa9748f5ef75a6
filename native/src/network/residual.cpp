// The sum that ends a residual block.
#include "network/layer.h"

namespace krylov {

template <Scalar T>
void ResidualSumLayer<T>::forward(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept {
  const BufferInfo& out = this->info(pass, this->output);
  kernels<T>().add(this->activation(pass, skip, first), this->info(pass, skip).ld,
                   this->activation(pass, this->input, first), this->info(pass, this->input).ld,
                   this->activation(pass, this->output, first), out.ld, count, round_up(out.width, kPanel<T>));
}

template <Scalar T>
void ResidualSumLayer<T>::backward(const Pass<T>& pass, std::int64_t first, std::int64_t count) const noexcept {
  const BufferInfo& out = this->info(pass, this->output);
  const T* dy = this->delta(pass, this->output, first);
  if (this->input_delta) {
    pass_on(dy, out.ld, this->delta(pass, this->input, first), this->info(pass, this->input).ld, this->accumulate,
            count, out.width);
  }
  if (skip_delta) {
    pass_on(dy, out.ld, this->delta(pass, skip, first), this->info(pass, skip).ld, accumulate_skip, count, out.width);
  }
}

template <Scalar T>
void ResidualSumLayer<T>::tangent(const Pass<T>& pass, const T*, std::int64_t first,
                                  std::int64_t count) const noexcept {
  const BufferInfo& out = this->info(pass, this->output);
  const std::int64_t columns = round_up(out.width, kPanel<T>);
  const T* rf = this->tangent_of(pass, this->input, first);
  T* ry = this->tangent_of(pass, this->output, first);
  if (skip == this->kInputBuffer) return copy_rows(rf, this->info(pass, this->input).ld, ry, out.ld, count, columns);
  kernels<T>().add(this->tangent_of(pass, skip, first), this->info(pass, skip).ld, rf,
                   this->info(pass, this->input).ld, ry, out.ld, count, columns);
}

template class ResidualSumLayer<float>;
template class ResidualSumLayer<double>;

}  // namespace krylov
