// Arithmetic on plain vectors for those who compose operators outside the core.
#pragma once

#include <span>

#include "krylov/dtype.h"

namespace krylov {

// out = a x + b y, elements of one length; out may be x or y.
template <Scalar T>
void combine(double a, std::span<const T> x, double b, std::span<const T> y, std::span<T> out) noexcept;

}  // namespace krylov
