// Copies and sums of rows that several layers share.
#include <cstring>

#include "network/layer.h"

namespace krylov {

template <Scalar T>
void copy_rows(const T* from, std::int64_t ld_from, T* to, std::int64_t ld_to, std::int64_t rows,
               std::int64_t columns) noexcept {
  for (std::int64_t r = 0; r < rows; ++r) {
    std::memcpy(to + r * ld_to, from + r * ld_from, static_cast<std::size_t>(columns) * sizeof(T));
  }
}
template void copy_rows(const float*, std::int64_t, float*, std::int64_t, std::int64_t, std::int64_t) noexcept;
template void copy_rows(const double*, std::int64_t, double*, std::int64_t, std::int64_t, std::int64_t) noexcept;

// to = from, or to += from.
template <Scalar T>
void pass_on(const T* from, std::int64_t ld_from, T* to, std::int64_t ld_to, bool accumulate, std::int64_t rows,
             std::int64_t width) noexcept {
  const std::int64_t columns = round_up(width, kPanel<T>);
  if (accumulate) {
    kernels<T>().add(from, ld_from, to, ld_to, to, ld_to, rows, columns);
  } else {
    copy_rows(from, ld_from, to, ld_to, rows, columns);
  }
}
template void pass_on(const float*, std::int64_t, float*, std::int64_t, bool, std::int64_t, std::int64_t) noexcept;
template void pass_on(const double*, std::int64_t, double*, std::int64_t, bool, std::int64_t, std::int64_t) noexcept;

}  // namespace krylov
