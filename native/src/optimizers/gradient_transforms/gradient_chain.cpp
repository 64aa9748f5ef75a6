#include <algorithm>
#include <cmath>

#include "kernels/kernel_table.h"
#include "krylov/threads.h"
#include "optimizers/gradient_transforms/gradient_transform.h"

namespace krylov {

template <Scalar T>
void piece_squares(const GradientLayout& layout, const T* gradient, std::span<double> squares,
                   const Member& member) noexcept {
  const auto [first, last] = layout.share(member);
  for (std::size_t p = first; p < last; ++p) {
    const GradientPiece& piece = layout.pieces()[p];
    squares[p] = kernels<T>().sum_squares(gradient + piece.offset, piece.size);
  }
}

template <Scalar T>
void scale_pieces(const GradientLayout& layout, T* gradient, double factor, const Member& member) noexcept {
  if (factor == 1) return;
  const auto [first, last] = layout.share(member);
  for (std::size_t p = first; p < last; ++p) {
    const GradientPiece& piece = layout.pieces()[p];
    kernels<T>().scale(static_cast<T>(factor), gradient + piece.offset, piece.size);
  }
}

template <Scalar T>
bool GradientMemory<T>::Plain::accepts(const std::vector<double>& given) const noexcept {
  const auto length = static_cast<std::int64_t>(given.size());
  if (fixed ? length != most : length > most) return false;
  return std::all_of(given.begin(), given.end(), [this](double x) { return std::isfinite(x) && (x >= 0 || !not_negative); });
}

template <Scalar T>
GradientChain<T>::GradientChain(GradientLayout layout) : layout_(std::move(layout)), squares_(layout_.pieces().size()) {}

template <Scalar T>
GradientChain<T>::~GradientChain() = default;

template <Scalar T>
Status GradientChain<T>::create(const std::vector<GradientTransformSpec>& specs, GradientLayout layout,
                                std::unique_ptr<GradientChain>& out) {
  if (specs.empty()) return Status::error(ErrorCode::kOption, "gradient", "at least one transformation");
  std::unique_ptr<GradientChain> chain(new GradientChain(std::move(layout)));
  for (const GradientTransformSpec& spec : specs) {
    GradientTransformPointer<T> transform;
    const Status made =
        std::visit([&](const auto& one) { return make_transform<T>(one, chain->layout_, transform); }, spec);
    if (!made.ok()) return made;
    chain->needs_parameters_ = chain->needs_parameters_ || transform->needs_parameters();
    chain->transforms_.push_back(std::move(transform));
  }
  out = std::move(chain);
  return Status::success();
}

template <Scalar T>
void GradientChain<T>::begin() noexcept {
  finite_ = true;
  for (const auto& transform : transforms_) transform->begin();
}

template <Scalar T>
void GradientChain<T>::apply(const T* parameters, T* gradient, const Member& member) noexcept {
  // Also so that nothing which is not finite gets into a memory, or is hidden by a limit.
  piece_squares(layout_, gradient, squares_.span(), member);
  member.meet();
  const double norm = std::sqrt(sum_in_order(squares_.span()));
  if (member.thread == 0) {
    gradient_ = gradient;
    norm_ = norm;
    finite_ = std::isfinite(norm);
  }
  if (!std::isfinite(norm)) return;
  for (std::size_t i = 0; i < transforms_.size(); ++i) {
    transforms_[i]->apply(updates_ + 1, parameters, gradient, member);
    member.meet();
    if (transforms_[i]->finite()) continue;
    if (member.thread == 0) finite_ = false;
    return;
  }
}

template <Scalar T>
double GradientChain<T>::norm_after() const noexcept {
  if (gradient_ == nullptr) return 0;
  double sum = 0;
  for (const GradientPiece& piece : layout_.pieces()) {
    sum += kernels<T>().sum_squares(gradient_ + piece.offset, piece.size);
  }
  return std::sqrt(sum);
}

template <Scalar T>
double GradientChain<T>::smallest_factor() const noexcept {
  double smallest = std::numeric_limits<double>::quiet_NaN();
  for (const auto& transform : transforms_) smallest = std::fmin(smallest, transform->smallest_factor());
  return smallest;
}

template <Scalar T>
GradientMemory<T> GradientChain<T>::memory() {
  GradientMemory<T> memory;
  for (std::size_t i = 0; i < transforms_.size(); ++i) transforms_[i]->add_memory(std::to_string(i) + ".", memory);
  return memory;
}

template <Scalar T>
void GradientChain<T>::restored(std::int64_t updates) {
  updates_ = updates;
  for (const auto& transform : transforms_) transform->restored();
}

template void piece_squares<float>(const GradientLayout&, const float*, std::span<double>, const Member&) noexcept;
template void piece_squares<double>(const GradientLayout&, const double*, std::span<double>, const Member&) noexcept;
template void scale_pieces<float>(const GradientLayout&, float*, double, const Member&) noexcept;
template void scale_pieces<double>(const GradientLayout&, double*, double, const Member&) noexcept;
template struct GradientMemory<float>;
template struct GradientMemory<double>;
template class GradientChain<float>;
template class GradientChain<double>;

}  // namespace krylov
