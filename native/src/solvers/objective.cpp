#include "krylov/objective.h"

#include <limits>

#include "krylov/network.h"

namespace krylov {

// Callers ask provides() first; a NaN tells who did not.
template <Scalar T>
Procedure<double> Objective<T>::residuals(Session&, const T*, double*, double*) {
  co_return std::numeric_limits<double>::quiet_NaN();
}

template <Scalar T>
Procedure<double> Objective<T>::sampled_gradient(Session&, const T*, Samples, std::uint64_t, T*) {
  co_return std::numeric_limits<double>::quiet_NaN();
}

template <Scalar T>
NetworkPoint<T>* Objective<T>::point(Session&, const T*, Samples) {
  return nullptr;
}

template <Scalar T>
void Objective<T>::to_plain(const T* x, std::span<double> plain) const {
  if (const VectorLayout<T> network = layout()) {
    network->template to_public<double>({x, static_cast<std::size_t>(size())}, plain);
    return;
  }
  for (std::size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<double>(x[i]);
}

template <Scalar T>
void Objective<T>::from_plain(std::span<const double> plain, T* x) const {
  if (const VectorLayout<T> network = layout()) {
    network->template to_arena<double>(plain, {x, static_cast<std::size_t>(size())});
    return;
  }
  for (std::size_t i = 0; i < plain.size(); ++i) x[i] = static_cast<T>(plain[i]);
}

template class Objective<float>;
template class Objective<double>;

}  // namespace krylov
