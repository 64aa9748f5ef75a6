// Transformations by moving averages of the gradient.
#include <algorithm>
#include <cmath>

#include "kernels/kernel_table.h"
#include "krylov/threads.h"
#include "optimizers/gradient_transforms/gradient_transform.h"

namespace krylov {
namespace {

bool is_decay(double x) noexcept { return x >= 0 && x < 1; }

// P <- b+ P + (1 - b+) max(g, 0), Q <- b- Q + (1 - b-) max(-g, 0); output P / (1 - b+^t) - Q / (1 - b-^t), or P - Q.
template <Scalar T>
class AsymmetricSmoothing final : public GradientTransform<T> {
 public:
  AsymmetricSmoothing(const AsymmetricSmoothingSpec& spec, const GradientLayout& layout)
      : layout_(layout), spec_(spec), positive_(static_cast<std::size_t>(layout.size())),
        negative_(static_cast<std::size_t>(layout.size())) {}

  void apply(std::int64_t update, const T*, T* gradient, const Member& member) noexcept override {
    const auto t = static_cast<double>(update);
    const auto correction = [&](double decay) {
      return spec_.bias_correction ? static_cast<T>(1 / (1 - std::pow(decay, t))) : T(1);
    };
    const T up = correction(spec_.decay_positive), down = correction(spec_.decay_negative);
    const auto keep_p = static_cast<T>(spec_.decay_positive), rest_p = static_cast<T>(1 - spec_.decay_positive);
    const auto keep_q = static_cast<T>(spec_.decay_negative), rest_q = static_cast<T>(1 - spec_.decay_negative);
    const auto [first, last] = layout_.share(member);
    for (std::size_t i = first; i < last; ++i) {
      const GradientPiece& piece = layout_.pieces()[i];
      T* const __restrict g = gradient + piece.offset;
      T* const __restrict p = positive_.data() + piece.offset;
      T* const __restrict q = negative_.data() + piece.offset;
      for (std::int64_t j = 0; j < piece.size; ++j) {
        p[j] = keep_p * p[j] + rest_p * (g[j] > 0 ? g[j] : T(0));
        q[j] = keep_q * q[j] + rest_q * (g[j] < 0 ? -g[j] : T(0));
        g[j] = up * p[j] - down * q[j];
      }
    }
  }
  void add_memory(const std::string& prefix, GradientMemory<T>& memory) override {
    memory.arrays.emplace_back(prefix + "positive", positive_.span());
    memory.arrays.emplace_back(prefix + "negative", negative_.span());
  }

 private:
  const GradientLayout& layout_;
  AsymmetricSmoothingSpec spec_;
  AlignedBuffer<T> positive_, negative_;
};

// With M the average of the gradients before this one and k = <M, g> / |M|^2: a k M + b (g - k M) = b g + (a - b) k M.
template <Scalar T>
class DirectionalBias final : public GradientTransform<T> {
 public:
  DirectionalBias(const DirectionalBiasSpec& spec, const GradientLayout& layout)
      : layout_(layout), spec_(spec), mean_(static_cast<std::size_t>(layout.size())), dots_(layout.pieces().size()),
        squares_(layout.pieces().size()), factors_(layout.tensors().size()) {}

  void apply(std::int64_t, const T*, T* gradient, const Member& member) noexcept override {
    const KernelTable<T>& k = kernels<T>();
    const auto [first, last] = layout_.share(member);
    for (std::size_t p = first; p < last; ++p) {
      const GradientPiece& piece = layout_.pieces()[p];
      dots_[p] = k.dot(mean_.data() + piece.offset, gradient + piece.offset, piece.size);
      squares_[p] = k.sum_squares(mean_.data() + piece.offset, piece.size);
    }
    member.meet();
    if (member.thread == 0) decide();
    member.meet();
    if (!finite_) return;
    for (std::size_t t = 0; t < factors_.size(); ++t) {
      const auto [begin, end] = layout_.pieces_of(t);
      for (std::size_t p = std::max(begin, first); p < std::min(end, last); ++p) {
        turn(layout_.pieces()[p], factors_[t], gradient);
      }
    }
  }
  bool finite() const noexcept override { return finite_; }
  void add_memory(const std::string& prefix, GradientMemory<T>& memory) override {
    memory.arrays.emplace_back(prefix + "mean", mean_.span());
  }

 private:
  struct Factors { double gradient = 1, mean = 0; };

  Factors factors_of(double dot, double square) noexcept {
    if (!(square >= std::numeric_limits<double>::min())) return {};
    const double k = dot / square;
    if (!std::isfinite(k)) finite_ = false;
    return {spec_.perpendicular, (spec_.parallel - spec_.perpendicular) * k};
  }
  void decide() noexcept {
    finite_ = true;
    if (spec_.global) {
      const Factors all = factors_of(sum_in_order(dots_.span()), sum_in_order(squares_.span()));
      for (Factors& factors : factors_) factors = all;
      return;
    }
    for (std::size_t t = 0; t < factors_.size(); ++t) {
      const auto [first, last] = layout_.pieces_of(t);
      factors_[t] = factors_of(sum_in_order(dots_.span().subspan(first, last - first)),
                               sum_in_order(squares_.span().subspan(first, last - first)));
    }
  }
  void turn(const GradientPiece& piece, const Factors& factors, T* gradient) noexcept {
    const auto keep = static_cast<T>(spec_.decay), rest = static_cast<T>(1 - spec_.decay);
    T* const __restrict g = gradient + piece.offset;
    T* const __restrict m = mean_.data() + piece.offset;
    for (std::int64_t i = 0; i < piece.size; ++i) {
      const T raw = g[i];
      g[i] = static_cast<T>(factors.gradient * double(raw) + factors.mean * double(m[i]));
      m[i] = keep * m[i] + rest * raw;
    }
  }

  const GradientLayout& layout_;
  DirectionalBiasSpec spec_;
  AlignedBuffer<T> mean_;
  AlignedBuffer<double> dots_, squares_;  // by piece
  std::vector<Factors> factors_;          // by tensor
  bool finite_ = true;
};

}  // namespace

template <Scalar T>
Status make_transform(const AsymmetricSmoothingSpec& spec, const GradientLayout& layout,
                      GradientTransformPointer<T>& out) {
  if (!is_decay(spec.decay_positive)) {
    return Status::error(ErrorCode::kOption, "gradient.decayPositive", "a number >= 0 and below 1");
  }
  if (!is_decay(spec.decay_negative)) {
    return Status::error(ErrorCode::kOption, "gradient.decayNegative", "a number >= 0 and below 1");
  }
  out = std::make_unique<AsymmetricSmoothing<T>>(spec, layout);
  return Status::success();
}

template <Scalar T>
Status make_transform(const DirectionalBiasSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out) {
  if (!is_decay(spec.decay)) return Status::error(ErrorCode::kOption, "gradient.decay", "a number >= 0 and below 1");
  if (!std::isfinite(spec.parallel)) return Status::error(ErrorCode::kOption, "gradient.parallel", "a finite number");
  if (!std::isfinite(spec.perpendicular)) {
    return Status::error(ErrorCode::kOption, "gradient.perpendicular", "a finite number");
  }
  out = std::make_unique<DirectionalBias<T>>(spec, layout);
  return Status::success();
}

#define KRYLOV_INSTANTIATE(T)                                                             \
  template Status make_transform<T>(const AsymmetricSmoothingSpec&, const GradientLayout&, \
                                    GradientTransformPointer<T>&);                        \
  template Status make_transform<T>(const DirectionalBiasSpec&, const GradientLayout&, GradientTransformPointer<T>&);
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
