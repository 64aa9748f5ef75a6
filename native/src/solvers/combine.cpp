#include "krylov/combine.h"

namespace krylov {

template <Scalar T>
void combine(double a, std::span<const T> x, double b, std::span<const T> y, std::span<T> out) noexcept {
  const T p = static_cast<T>(a), q = static_cast<T>(b);
  const T* const first = x.data();
  const T* const second = y.data();
  T* const to = out.data();
  for (std::size_t i = 0; i < out.size(); ++i) to[i] = p * first[i] + q * second[i];
}

template void combine<float>(double, std::span<const float>, double, std::span<const float>, std::span<float>) noexcept;
template void combine<double>(double, std::span<const double>, double, std::span<const double>,
                              std::span<double>) noexcept;

}  // namespace krylov
