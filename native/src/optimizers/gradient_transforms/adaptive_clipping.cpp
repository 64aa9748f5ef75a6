#include <algorithm>
#include <cmath>

#include "kernels/kernel_table.h"
#include "optimizers/gradient_transforms/gradient_transform.h"

namespace krylov {
namespace {

// Below this a unit's gradient does not count as one to divide by (Brock et al.'s code).
constexpr double kSmallestNorm = 1e-6;

// Adaptive gradient clipping (Brock, De, Smith & Simonyan 2021, equation 3; optax's adaptive_grad_clip): a unit's
// gradient g_i is clipped to c max(|w_i|, epsilon). Units are the rows of [outputs, inputs]; a vector is one, and so is a
// matrix with one row or one column.
template <Scalar T>
class AdaptiveClip final : public GradientTransform<T> {
 public:
  AdaptiveClip(const AdaptiveClipSpec& spec, const GradientLayout& layout) : layout_(layout), spec_(spec) {
    for (std::size_t t = 0; t < layout.tensors().size(); ++t) {
      if (std::find(spec.exclude.begin(), spec.exclude.end(), static_cast<std::int64_t>(t)) != spec.exclude.end()) {
        continue;
      }
      const GradientTensor& tensor = layout.tensors()[t];
      const bool whole = tensor.vector || tensor.outputs == 1 || tensor.columns == 1;
      for (std::int64_t p = 0; p < (whole ? 1 : tensor.panels); ++p) bands_.push_back({t, whole ? -1 : p});
    }
    factors_ = AlignedBuffer<double>(bands_.size());
    for (double& factor : factors_.span()) factor = 1;
  }

  void apply(std::int64_t, const T* parameters, T* gradient, const Member& member) noexcept override {
    const auto thread = static_cast<std::size_t>(member.thread), threads = static_cast<std::size_t>(member.threads);
    for (std::size_t b = bands_.size() * thread / threads; b < bands_.size() * (thread + 1) / threads; ++b) {
      const Band& band = bands_[b];
      factors_[b] = band.panel < 0 ? clip_whole(band.tensor, parameters, gradient)
                                   : clip_rows(layout_.tensors()[band.tensor], band.panel, parameters, gradient);
    }
  }
  bool needs_parameters() const noexcept override { return true; }
  double smallest_factor() const noexcept override {
    double smallest = 1;
    for (const double factor : factors_.span()) smallest = std::min(smallest, factor);
    return smallest;
  }

 private:
  struct Band {
    std::size_t tensor;
    std::int64_t panel;  // -1: all of the tensor is one unit
  };
  static constexpr std::int64_t kLanes = kPanel<T>;

  double factor_of(double parameter_square, double gradient_square) const noexcept {
    const double limit = spec_.clipping * std::max(std::sqrt(parameter_square), spec_.epsilon);
    const double norm = std::sqrt(gradient_square);
    return norm >= limit ? limit / std::max(norm, kSmallestNorm) : 1;
  }

  double clip_whole(std::size_t tensor, const T* w, T* g) const noexcept {
    const KernelTable<T>& k = kernels<T>();
    const auto [first, last] = layout_.pieces_of(tensor);
    double parameter_square = 0, gradient_square = 0;
    for (std::size_t p = first; p < last; ++p) {
      const GradientPiece& piece = layout_.pieces()[p];
      parameter_square += k.sum_squares(w + piece.offset, piece.size);
      gradient_square += k.sum_squares(g + piece.offset, piece.size);
    }
    const double factor = factor_of(parameter_square, gradient_square);
    for (std::size_t p = first; p < last && factor != 1; ++p) {
      k.scale(static_cast<T>(factor), g + layout_.pieces()[p].offset, layout_.pieces()[p].size);
    }
    return factor;
  }

  // The rows of a panel side by side; at most kLanes. Padding is 0 and stays so.
  double clip_rows(const GradientTensor& tensor, std::int64_t panel, const T* parameters, T* gradient) const noexcept {
    const std::int64_t lanes = tensor.lanes, offset = tensor.offset + panel * tensor.panel_stride;
    const T* const w = parameters + offset;
    T* const g = gradient + offset;
    double parameter_squares[kLanes] = {}, gradient_squares[kLanes] = {};
    if (lanes == 1) {
      parameter_squares[0] = kernels<T>().sum_squares(w, tensor.columns);
      gradient_squares[0] = kernels<T>().sum_squares(g, tensor.columns);
    } else {
      for (std::int64_t i = 0; i < tensor.columns; ++i) {
        for (std::int64_t l = 0; l < lanes; ++l) {
          const double x = w[i * lanes + l], y = g[i * lanes + l];
          parameter_squares[l] += x * x;
          gradient_squares[l] += y * y;
        }
      }
    }
    T factors[kLanes];
    double smallest = 1;
    const std::int64_t valid = std::min(lanes, tensor.outputs - panel * lanes);
    for (std::int64_t l = 0; l < lanes; ++l) {
      const double factor = l < valid ? factor_of(parameter_squares[l], gradient_squares[l]) : 1;
      factors[l] = static_cast<T>(factor);
      smallest = std::min(smallest, factor);
    }
    if (smallest == 1) return 1;
    for (std::int64_t i = 0; i < tensor.columns; ++i) {
      for (std::int64_t l = 0; l < lanes; ++l) g[i * lanes + l] *= factors[l];
    }
    return smallest;
  }

  const GradientLayout& layout_;
  AdaptiveClipSpec spec_;
  std::vector<Band> bands_;
  AlignedBuffer<double> factors_;  // smallest of a band
};

}  // namespace

template <Scalar T>
Status make_transform(const AdaptiveClipSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out) {
  if (!(spec.clipping > 0) || !std::isfinite(spec.clipping)) {
    return Status::error(ErrorCode::kOption, "gradient.clipping", "a finite number above 0");
  }
  if (!(spec.epsilon > 0) || !std::isfinite(spec.epsilon)) {
    return Status::error(ErrorCode::kOption, "gradient.epsilon", "a finite number above 0");
  }
  const auto count = static_cast<std::int64_t>(layout.tensors().size());
  for (const std::int64_t tensor : spec.exclude) {
    if (tensor < 0 || tensor >= count) {
      return Status::error(ErrorCode::kOption, "gradient.exclude", "indices of tensors, below their number", tensor,
                           count);
    }
  }
  out = std::make_unique<AdaptiveClip<T>>(spec, layout);
  return Status::success();
}

template Status make_transform<float>(const AdaptiveClipSpec&, const GradientLayout&, GradientTransformPointer<float>&);
template Status make_transform<double>(const AdaptiveClipSpec&, const GradientLayout&,
                                       GradientTransformPointer<double>&);

}  // namespace krylov
