// Probes of an operator: random vectors in public order, written where the
// operator's layout wants their elements.
#pragma once

#include <cstdint>

#include "krylov/spectra.h"
#include "solvers/vectors.h"

namespace krylov {

template <Scalar T>
class RandomVectors {
 public:
  // Of the vectors that a product with `port` takes.
  RandomVectors(Session& session, const OperatorPort<T>& port, const Probes<T>& probes)
      : session_(&session),
        layout_(port.native() == nullptr ? probes.layout : port.native()->layout()),
        probes_(probes),
        size_(port.columns()) {}

  // Elements without padding.
  std::int64_t dimension() const noexcept { return layout_ == nullptr ? size_ : layout_->parameter_count(); }
  // Probe number `draw`. Given vectors come first, random ones follow with their own number.
  void write(std::int64_t draw, T* out) const noexcept;

 private:
  Session* session_;
  VectorLayout<T> layout_;
  Probes<T> probes_;
  std::int64_t size_;
};

}  // namespace krylov
