// One transformation of a chain (krylov/gradient_transforms.h).
#pragma once

#include <limits>
#include <memory>

#include "krylov/gradient_transforms.h"

namespace krylov {

template <Scalar T>
class GradientTransform {
 public:
  virtual ~GradientTransform() = default;
  // Before a gradient, by one thread.
  virtual void begin() noexcept {}
  // By every member, on a gradient that all see whole; `update` counts from 1. The next who reads the gradient meets
  // the others first.
  virtual void apply(std::int64_t update, const T* parameters, T* gradient, const Member& member) noexcept = 0;
  // False where a norm or what was found from it was not finite; after all have returned from apply().
  virtual bool finite() const noexcept { return true; }
  virtual bool needs_parameters() const noexcept { return false; }
  // Of the newest update; NaN where it is none of norms.
  virtual double smallest_factor() const noexcept { return std::numeric_limits<double>::quiet_NaN(); }
  // Adds what it remembers; names begin with `prefix`.
  virtual void add_memory(const std::string& prefix, GradientMemory<T>& memory) {
    (void)prefix;
    (void)memory;
  }
  virtual void restored() {}
};

template <Scalar T>
using GradientTransformPointer = std::unique_ptr<GradientTransform<T>>;

// The layout outlives the transformation.
template <Scalar T>
Status make_transform(const ClipByValueSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out);
template <Scalar T>
Status make_transform(const ClipByGlobalNormSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out);
template <Scalar T>
Status make_transform(const ClipByLayerNormSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out);
template <Scalar T>
Status make_transform(const AdaptiveClipSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out);
template <Scalar T>
Status make_transform(const AutoClipSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out);
template <Scalar T>
Status make_transform(const AsymmetricSmoothingSpec& spec, const GradientLayout& layout,
                      GradientTransformPointer<T>& out);
template <Scalar T>
Status make_transform(const LowRankFilterSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out);
template <Scalar T>
Status make_transform(const DirectionalBiasSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out);

// squares[p] of the member's pieces.
template <Scalar T>
void piece_squares(const GradientLayout& layout, const T* gradient, std::span<double> squares,
                   const Member& member) noexcept;
// The member's pieces times the factor.
template <Scalar T>
void scale_pieces(const GradientLayout& layout, T* gradient, double factor, const Member& member) noexcept;

}  // namespace krylov
