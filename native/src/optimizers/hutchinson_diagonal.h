// Hutchinson's estimate of the Hessian's diagonal, as AdaHessian and Sophia take it.
#pragma once

#include <cstdint>

#include "krylov/objective.h"
#include "solvers/random_vectors.h"
#include "solvers/vectors.h"

namespace krylov {

// out = z * Hz with H at x on the curvature's samples and the signs z of draw `draw`. After a stop it means nothing.
template <Scalar T>
Procedure<void> hutchinson_diagonal(Session& session, Objective<T>& objective, const T* x, std::uint64_t seed,
                                    std::int64_t draw, T* out) {
  const OperatorPort<T> hessian = co_await objective.curvature(session, x, Samples::kCurvature, Curvature::kHessian);
  if (session.stopped()) co_return;
  Vectors<T> vectors(session, objective.size());
  Probes<T> probes;
  probes.seed = seed;
  AlignedBuffer<T> z = vectors.make();
  RandomVectors<T>(session, hessian, probes).write(draw, z.data());
  co_await hessian.apply(session, z.data(), out);
  vectors.multiply(z.data(), out, out);
}

}  // namespace krylov
