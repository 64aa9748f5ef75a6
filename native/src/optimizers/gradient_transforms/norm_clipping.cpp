// Clipping of values and of norms, with fixed limits and one learnt from the run.
#include <algorithm>
#include <cmath>

#include "kernels/kernel_table.h"
#include "krylov/threads.h"
#include "optimizers/gradient_transforms/gradient_transform.h"

namespace krylov {
namespace {

// Added to the norm that autoClip divides by (pseeth/autoclip, after torch's clip_grad_norm_).
constexpr double kAutoClipEpsilon = 1e-6;

bool positive(double x) noexcept { return x > 0 && std::isfinite(x); }
bool at_least_zero(double x) noexcept { return x >= 0 && std::isfinite(x); }

double clip_factor(double norm, double max_norm, double epsilon) noexcept {
  return norm > 0 && norm + epsilon > max_norm ? max_norm / (norm + epsilon) : 1;
}

template <Scalar T>
class ClipByValue final : public GradientTransform<T> {
 public:
  ClipByValue(const ClipByValueSpec& spec, const GradientLayout& layout)
      : layout_(layout), limit_(static_cast<T>(spec.limit)) {}

  void apply(std::int64_t, const T*, T* gradient, const Member& member) noexcept override {
    const auto [first, last] = layout_.share(member);
    for (std::size_t p = first; p < last; ++p) {
      T* const g = gradient + layout_.pieces()[p].offset;
      const std::int64_t size = layout_.pieces()[p].size;
      for (std::int64_t i = 0; i < size; ++i) g[i] = g[i] > limit_ ? limit_ : g[i] < -limit_ ? -limit_ : g[i];
    }
  }

 private:
  const GradientLayout& layout_;
  T limit_;
};

// Norms of groups of tensors, one group or many; a factor for each.
template <Scalar T>
class ClipByNorms final : public GradientTransform<T> {
 public:
  ClipByNorms(double max_norm, double epsilon, std::vector<std::vector<std::int64_t>> groups,
              const GradientLayout& layout)
      : layout_(layout), max_norm_(max_norm), epsilon_(epsilon), groups_(std::move(groups)),
        squares_(layout.pieces().size()), factors_(layout.tensors().size(), 1.0) {}

  void apply(std::int64_t, const T*, T* gradient, const Member& member) noexcept override {
    piece_squares<T>(layout_, gradient, squares_.span(), member);
    member.meet();
    if (member.thread == 0) decide();
    member.meet();
    if (!finite_ || smallest_ == 1) return;
    const auto [first, last] = layout_.share(member);
    for (std::size_t t = 0; t < factors_.size(); ++t) {
      const auto [begin, end] = layout_.pieces_of(t);
      if (factors_[t] == 1) continue;
      for (std::size_t p = std::max(begin, first); p < std::min(end, last); ++p) {
        kernels<T>().scale(static_cast<T>(factors_[t]), gradient + layout_.pieces()[p].offset, layout_.pieces()[p].size);
      }
    }
  }
  bool finite() const noexcept override { return finite_; }
  double smallest_factor() const noexcept override { return smallest_; }

 private:
  void decide() noexcept {
    finite_ = true;
    smallest_ = 1;
    for (const auto& group : groups_) {
      double sum = 0;
      for (const std::int64_t tensor : group) {
        const auto [first, last] = layout_.pieces_of(static_cast<std::size_t>(tensor));
        sum += sum_in_order(squares_.span().subspan(first, last - first));
      }
      const double norm = std::sqrt(sum), factor = clip_factor(norm, max_norm_, epsilon_);
      finite_ = finite_ && std::isfinite(norm);
      smallest_ = std::min(smallest_, factor);
      for (const std::int64_t tensor : group) factors_[static_cast<std::size_t>(tensor)] = factor;
    }
  }

  const GradientLayout& layout_;
  double max_norm_, epsilon_;
  std::vector<std::vector<std::int64_t>> groups_;
  AlignedBuffer<double> squares_;  // by piece
  std::vector<double> factors_;    // by tensor; 1 for those in no group
  double smallest_ = 1;
  bool finite_ = true;
};

// AutoClip (Seetharaman, Wichern, Pardo & Le Roux 2020): the limit is a percentile of the norms so far, the newest
// included, interpolated between two of them.
template <Scalar T>
class AutoClip final : public GradientTransform<T> {
 public:
  AutoClip(const AutoClipSpec& spec, const GradientLayout& layout)
      : layout_(layout), spec_(spec), squares_(layout.pieces().size()) {
    // So that a step does not allocate, unless there are more norms than that.
    constexpr std::int64_t kMost = 65'536;
    const auto window = static_cast<std::size_t>(spec.window > 0 ? std::min(spec.window, kMost) : kMost);
    norms_.reserve(window);
    sorted_.reserve(window);
  }

  void apply(std::int64_t, const T*, T* gradient, const Member& member) noexcept override {
    piece_squares<T>(layout_, gradient, squares_.span(), member);
    member.meet();
    if (member.thread == 0) decide();
    member.meet();
    if (finite_) scale_pieces(layout_, gradient, factor_, member);
  }
  bool finite() const noexcept override { return finite_; }
  double smallest_factor() const noexcept override { return factor_; }
  void add_memory(const std::string& prefix, GradientMemory<T>& memory) override {
    const std::int64_t most = spec_.window > 0 ? spec_.window : std::numeric_limits<std::int64_t>::max();
    memory.plain.push_back({prefix + "norms", &norms_, most, false, true});
  }
  void restored() override {
    sorted_ = norms_;
    std::sort(sorted_.begin(), sorted_.end());
  }

 private:
  void decide() noexcept {
    const double norm = std::sqrt(sum_in_order(squares_.span()));
    finite_ = std::isfinite(norm);
    factor_ = 1;
    if (!finite_) return;
    if (spec_.window > 0 && static_cast<std::int64_t>(norms_.size()) == spec_.window) {
      sorted_.erase(std::lower_bound(sorted_.begin(), sorted_.end(), norms_.front()));
      norms_.erase(norms_.begin());
    }
    norms_.push_back(norm);
    sorted_.insert(std::upper_bound(sorted_.begin(), sorted_.end(), norm), norm);
    factor_ = std::min(1.0, percentile() / (norm + kAutoClipEpsilon));
  }
  double percentile() const noexcept {
    const double place = spec_.percentile / 100 * static_cast<double>(sorted_.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    if (below + 1 >= sorted_.size()) return sorted_.back();
    return sorted_[below] + (place - static_cast<double>(below)) * (sorted_[below + 1] - sorted_[below]);
  }

  const GradientLayout& layout_;
  AutoClipSpec spec_;
  AlignedBuffer<double> squares_;
  std::vector<double> norms_, sorted_;  // in the order of the updates, and ascending
  double factor_ = 1;
  bool finite_ = true;
};

Status check_norm(double max_norm, double epsilon) noexcept {
  if (!positive(max_norm)) return Status::error(ErrorCode::kOption, "gradient.maxNorm", "a finite number above 0");
  if (!at_least_zero(epsilon)) return Status::error(ErrorCode::kOption, "gradient.epsilon", "a finite number >= 0");
  return Status::success();
}

// One group a tensor or a layer, or those listed, each tensor at most once.
Status make_groups(const ClipByLayerNormSpec& spec, const GradientLayout& layout,
                   std::vector<std::vector<std::int64_t>>& out) {
  const auto count = static_cast<std::int64_t>(layout.tensors().size());
  if (spec.groups == ClipByLayerNormSpec::Groups::kListed) {
    std::vector<bool> seen(layout.tensors().size());
    for (const auto& group : spec.listed) {
      for (const std::int64_t tensor : group) {
        if (tensor < 0 || tensor >= count) {
          return Status::error(ErrorCode::kOption, "gradient.groups", "indices of tensors, below their number", tensor,
                               count);
        }
        if (seen[static_cast<std::size_t>(tensor)]) {
          return Status::error(ErrorCode::kOption, "gradient.groups", "every tensor at most once", tensor);
        }
        seen[static_cast<std::size_t>(tensor)] = true;
      }
    }
    out = spec.listed;
    return Status::success();
  }
  int layer = -1;
  for (std::int64_t t = 0; t < count; ++t) {
    const int own = layout.tensors()[static_cast<std::size_t>(t)].layer;
    if (spec.groups == ClipByLayerNormSpec::Groups::kLayer && own < 0) {
      return Status::error(ErrorCode::kOption, "gradient.groups",
                           "lists of tensors, or one norm a tensor: shapes alone tell no layers");
    }
    if (spec.groups == ClipByLayerNormSpec::Groups::kLayer && !out.empty() && own == layer) {
      out.back().push_back(t);
    } else {
      out.push_back({t});
    }
    layer = own;
  }
  return Status::success();
}

}  // namespace

template <Scalar T>
Status make_transform(const ClipByValueSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out) {
  if (!positive(spec.limit)) return Status::error(ErrorCode::kOption, "gradient.limit", "a finite number above 0");
  out = std::make_unique<ClipByValue<T>>(spec, layout);
  return Status::success();
}

template <Scalar T>
Status make_transform(const ClipByGlobalNormSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out) {
  if (Status s = check_norm(spec.max_norm, spec.epsilon); !s.ok()) return s;
  std::vector<std::vector<std::int64_t>> groups(1);
  for (std::size_t t = 0; t < layout.tensors().size(); ++t) groups[0].push_back(static_cast<std::int64_t>(t));
  out = std::make_unique<ClipByNorms<T>>(spec.max_norm, spec.epsilon, std::move(groups), layout);
  return Status::success();
}

template <Scalar T>
Status make_transform(const ClipByLayerNormSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out) {
  if (Status s = check_norm(spec.max_norm, spec.epsilon); !s.ok()) return s;
  std::vector<std::vector<std::int64_t>> groups;
  if (Status s = make_groups(spec, layout, groups); !s.ok()) return s;
  out = std::make_unique<ClipByNorms<T>>(spec.max_norm, spec.epsilon, std::move(groups), layout);
  return Status::success();
}

template <Scalar T>
Status make_transform(const AutoClipSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out) {
  if (!(spec.percentile >= 0 && spec.percentile <= 100)) {
    return Status::error(ErrorCode::kOption, "gradient.percentile", "a number from 0 to 100");
  }
  if (spec.window < 0) return Status::error(ErrorCode::kOption, "gradient.window", "a count, or 0 for all updates");
  out = std::make_unique<AutoClip<T>>(spec, layout);
  return Status::success();
}

#define KRYLOV_INSTANTIATE(T)                                                                                     \
  template Status make_transform<T>(const ClipByValueSpec&, const GradientLayout&, GradientTransformPointer<T>&); \
  template Status make_transform<T>(const ClipByGlobalNormSpec&, const GradientLayout&,                           \
                                    GradientTransformPointer<T>&);                                                \
  template Status make_transform<T>(const ClipByLayerNormSpec&, const GradientLayout&,                            \
                                    GradientTransformPointer<T>&);                                                \
  template Status make_transform<T>(const AutoClipSpec&, const GradientLayout&, GradientTransformPointer<T>&);
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
