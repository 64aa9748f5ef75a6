#include "krylov/linear_operator.h"

namespace krylov {

namespace {

bool same(const ParameterBlock& a, const ParameterBlock& b) noexcept {
  return a.offset == b.offset && a.panels == b.panels && a.rows == b.rows && a.width == b.width;
}

bool same(const TensorInfo& a, const TensorInfo& b) noexcept {
  return a.block == b.block && a.first_row == b.first_row && a.row_count == b.row_count && a.outputs == b.outputs &&
         a.public_offset == b.public_offset;
}

template <class Range>
bool all_same(const Range& a, const Range& b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!same(a[i], b[i])) return false;
  }
  return true;
}

}  // namespace

template <Scalar T>
bool same_layout(const VectorLayout<T>& a, const VectorLayout<T>& b) noexcept {
  if (a == b) return true;
  if (a == nullptr || b == nullptr) return false;
  return a->arena_size() == b->arena_size() && a->parameter_count() == b->parameter_count() &&
         all_same(a->blocks(), b->blocks()) && all_same(a->tensors(), b->tensors());
}

template bool same_layout(const VectorLayout<float>&, const VectorLayout<float>&) noexcept;
template bool same_layout(const VectorLayout<double>&, const VectorLayout<double>&) noexcept;

}  // namespace krylov
