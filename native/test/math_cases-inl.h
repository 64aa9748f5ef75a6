// The elementary functions of one set, applied to arrays.
#pragma once

#include "../src/kernels/math-inl.h"
#include "vector_cases.h"

namespace krylov {
namespace KRYLOV_SET {

template <class V>
KRYLOV_SIMD_FN V apply(test::MathFunction f, V x) {
  switch (f) {
    case test::MathFunction::kExp: return exp(x);
    case test::MathFunction::kExpm1: return expm1(x);
    case test::MathFunction::kLog: return log(x);
    case test::MathFunction::kLog1p: return log1p(x);
    case test::MathFunction::kTanh: return tanh(x);
    case test::MathFunction::kSigmoid: return sigmoid(x);
    case test::MathFunction::kSoftplus: return softplus(x);
    case test::MathFunction::kErf: return erf(x);
    case test::MathFunction::kNormalPdf: return normal_pdf(x);
  }
  return x;
}

template <class T>
static void evaluate(test::MathFunction f, const T* x, T* y, int n) {
  constexpr int kLanes = Vec<T>::kLanes;
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, apply(f, load(x + i)));
  if (i < n) store_partial(y + i, apply(f, load_partial(x + i, n - i)), n - i);
}

}  // namespace KRYLOV_SET
}  // namespace krylov
