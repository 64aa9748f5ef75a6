// The low-rank filter: a matrix G of the gradient is brought near to the space
// that its recent predecessors spanned. With S = G or its transpose, whichever
// has fewer rows [m, n]:
//
//   C <- decay C + (1 - decay) S S';  U = the leading eigenvectors of C
//   S <- K + residual (S - K),  K = U U' S
//
// Threads share columns of S, rows of C, whole eigenproblems, and columns
// again; they meet in between. An element's sums are the same whoever makes it.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <new>

#include "kernels/kernel_table.h"
#include "optimizers/gradient_transforms/gradient_transform.h"
#include "solvers/dense.h"

namespace krylov {
namespace {

// Shares of columns and rows begin at multiples: whole panels, whole register tiles.
constexpr std::int64_t kGrain = 16;

struct Range { std::int64_t first, last; };

Range share_of(std::int64_t count, const Member& member) noexcept {
  const std::int64_t grains = ceil_div(count, kGrain);
  return {std::min(grains * member.thread / member.threads * kGrain, count),
          std::min(grains * (member.thread + 1) / member.threads * kGrain, count)};
}

// A tensor that is filtered.
template <Scalar T>
class FilteredMatrix {
 public:
  FilteredMatrix(const GradientTensor& tensor, std::int64_t rank)
      : tensor_(tensor), rank_(rank), wide_(tensor.outputs <= tensor.columns),
        m_(std::min(tensor.outputs, tensor.columns)), n_(std::max(tensor.outputs, tensor.columns)),
        ld_(round_up(n_, kPanel<T>)), ld_square_(round_up(m_, kPanel<T>)), s_(size(m_ * ld_)),
        panels_(size(ld_square_ * n_)), square_(size(m_ * ld_square_)), projected_(size(rank * ld_)),
        basis_(size(rank * m_)), values_(size(m_)), vectors_(size(m_ * m_)) {
    covariance.resize(size(m_ * m_));
    leading.resize(size(rank * m_));
  }

  std::vector<double> covariance;  // C [m, m]
  std::vector<double> leading;     // U' [rank, m]

  // False where a product of S with itself could overflow.
  bool gather(const T* gradient, const Member& member) noexcept {
    const T bound = std::sqrt(std::numeric_limits<T>::max() / static_cast<T>(n_));
    bool small = true;
    for_elements(member, [&](std::int64_t at, std::int64_t row, std::int64_t column) {
      const T g = gradient[at];
      small = small && std::fabs(g) < bound;
      s_[size(row * ld_ + column)] = g;
      panels_[size((row / kPanel<T> * n_ + column) * kPanel<T> + row % kPanel<T>)] = g;
    });
    return small;
  }

  void add_covariance(double decay, const Member& member) noexcept {
    const auto [first, last] = share_of(m_, member);
    if (first == last) return;
    PanelProduct<T> p{};
    p.a = s_.data() + first * ld_;
    p.lda = ld_;
    p.rows = last - first;
    p.depth = n_;
    p.b = panels_.data();
    p.panel_rows = n_;
    p.columns = m_;
    p.c = square_.data() + first * ld_square_;
    p.ldc = ld_square_;
    kernels<T>().panel_product(p);
    for (std::int64_t i = first; i < last; ++i) {
      double* const c = covariance.data() + i * m_;
      for (std::int64_t j = 0; j < m_; ++j) c[j] = decay * c[j] + (1 - decay) * double(square_[size(i * ld_square_ + j)]);
    }
  }

  // False where C is not finite, or memory ran out.
  bool refresh() noexcept {
    try {
      symmetric_eigen(covariance.data(), m_, values_.data(), vectors_.data());
    } catch (const std::bad_alloc&) {
      return false;
    }
    if (!std::isfinite(values_[0])) return false;
    for (std::int64_t k = 0; k < rank_; ++k) {
      std::copy_n(vectors_.data() + (m_ - 1 - k) * m_, m_, leading.data() + k * m_);
    }
    take_leading();
    return true;
  }
  void take_leading() noexcept {
    for (std::size_t i = 0; i < leading.size(); ++i) basis_[i] = static_cast<T>(leading[i]);
  }

  void project(double residual, T* gradient, const Member& member) noexcept {
    const KernelTable<T>& kernel = kernels<T>();
    const auto [first, last] = share_of(n_, member);
    const std::int64_t count = last - first;
    if (count == 0) return;
    for (std::int64_t k = 0; k < rank_; ++k) {
      T* const a = projected_.data() + k * ld_ + first;
      std::fill_n(a, count, T(0));
      for (std::int64_t i = 0; i < m_; ++i) {
        kernel.scaled_sum(a, basis_[size(k * m_ + i)], s_.data() + i * ld_ + first, a, count);
      }
    }
    for (std::int64_t i = 0; i < m_; ++i) {
      T* const s = s_.data() + i * ld_ + first;
      kernel.scale(static_cast<T>(residual), s, count);
      for (std::int64_t k = 0; k < rank_; ++k) {
        const auto factor = static_cast<T>((1 - residual) * double(basis_[size(k * m_ + i)]));
        kernel.scaled_sum(s, factor, projected_.data() + k * ld_ + first, s, count);
      }
    }
    for_elements(member, [&](std::int64_t at, std::int64_t row, std::int64_t column) {
      gradient[at] = s_[size(row * ld_ + column)];
    });
  }

 private:
  static std::size_t size(std::int64_t n) noexcept { return static_cast<std::size_t>(n); }

  // visit(place in the gradient, row and column of S) for the member's columns of S.
  template <class Visit>
  void for_elements(const Member& member, const Visit& visit) const noexcept {
    const auto [first, last] = share_of(n_, member);
    // Where the columns of S are outputs, a share of them is one of whole panels.
    const std::int64_t lanes = tensor_.lanes;
    const Range panels = wide_ ? Range{0, tensor_.panels} : Range{first / lanes, ceil_div(last, lanes)};
    const Range columns = wide_ ? Range{first, last} : Range{0, tensor_.columns};
    for (std::int64_t p = panels.first; p < panels.last; ++p) {
      const std::int64_t valid = std::min(lanes, tensor_.outputs - p * lanes);
      const std::int64_t panel = tensor_.offset + p * tensor_.panel_stride;
      for (std::int64_t i = columns.first; i < columns.last; ++i) {
        for (std::int64_t l = 0; l < valid; ++l) {
          const std::int64_t at = panel + i * lanes + l, o = p * lanes + l;
          if (wide_) {
            visit(at, o, i);
          } else {
            visit(at, i, o);
          }
        }
      }
    }
  }

  GradientTensor tensor_;
  std::int64_t rank_;
  bool wide_;  // S = G
  std::int64_t m_, n_, ld_, ld_square_;
  AlignedBuffer<T> s_;          // [m, ld]
  AlignedBuffer<T> panels_;     // S' in panels
  AlignedBuffer<T> square_;     // S S'
  AlignedBuffer<T> projected_;  // U' S
  AlignedBuffer<T> basis_;      // `leading` as T
  AlignedBuffer<double> values_, vectors_;
};

template <Scalar T>
class LowRankFilter final : public GradientTransform<T> {
 public:
  LowRankFilter(const LowRankFilterSpec& spec, const GradientLayout& layout) : spec_(spec) {
    for (std::size_t t = 0; t < layout.tensors().size(); ++t) {
      const GradientTensor& tensor = layout.tensors()[t];
      if (tensor.vector || spec.rank >= std::min(tensor.outputs, tensor.columns)) continue;
      tensors_.push_back(t);
      matrices_.emplace_back(tensor, spec.rank);
    }
  }
  bool empty() const noexcept { return matrices_.empty(); }

  void apply(std::int64_t update, const T*, T* gradient, const Member& member) noexcept override {
    for (auto& matrix : matrices_) {
      if (!matrix.gather(gradient, member)) finite_.store(false, std::memory_order_relaxed);
    }
    member.meet();
    if (!finite()) return;  // before anything of it is remembered
    for (auto& matrix : matrices_) matrix.add_covariance(spec_.decay, member);
    // Eigenvectors that the next ones replace before any gradient is filtered are not looked for.
    if ((update - 1) % spec_.refresh == 0 && update + spec_.refresh - 1 > spec_.warmup) {
      member.meet();
      for (std::size_t i = static_cast<std::size_t>(member.thread); i < matrices_.size();
           i += static_cast<std::size_t>(member.threads)) {
        if (!matrices_[i].refresh()) finite_.store(false, std::memory_order_relaxed);
      }
    }
    member.meet();
    if (update <= spec_.warmup || !finite()) return;
    for (auto& matrix : matrices_) matrix.project(spec_.residual, gradient, member);
  }
  void begin() noexcept override { finite_.store(true, std::memory_order_relaxed); }
  bool finite() const noexcept override { return finite_.load(std::memory_order_relaxed); }
  void add_memory(const std::string& prefix, GradientMemory<T>& memory) override {
    const auto add = [&](const char* name, std::size_t tensor, std::vector<double>& values) {
      memory.plain.push_back({prefix + name + "." + std::to_string(tensor), &values,
                              static_cast<std::int64_t>(values.size()), true, false});
    };
    for (std::size_t i = 0; i < matrices_.size(); ++i) {
      add("covariance", tensors_[i], matrices_[i].covariance);
      add("basis", tensors_[i], matrices_[i].leading);
    }
  }
  void restored() override {
    for (auto& matrix : matrices_) matrix.take_leading();
    finite_.store(true, std::memory_order_relaxed);
  }

 private:
  LowRankFilterSpec spec_;
  std::vector<std::size_t> tensors_;  // that the matrices are
  std::vector<FilteredMatrix<T>> matrices_;
  std::atomic<bool> finite_{true};
};

}  // namespace

template <Scalar T>
Status make_transform(const LowRankFilterSpec& spec, const GradientLayout& layout, GradientTransformPointer<T>& out) {
  const auto error = [](const char* option, const char* expected) {
    return Status::error(ErrorCode::kOption, option, expected);
  };
  if (spec.rank < 1) return error("gradient.rank", "a whole number >= 1");
  if (!(spec.decay >= 0 && spec.decay < 1)) return error("gradient.decay", "a number >= 0 and below 1");
  if (spec.refresh < 1) return error("gradient.refresh", "a whole number >= 1");
  if (spec.warmup < 0) return error("gradient.warmup", "a whole number >= 0");
  if (!(spec.residual >= 0 && spec.residual <= 1)) return error("gradient.residual", "a number from 0 to 1");
  auto filter = std::make_unique<LowRankFilter<T>>(spec, layout);
  if (filter->empty()) {
    return Status::error(ErrorCode::kOption, "gradient.rank", "less than the smaller side of some matrix", spec.rank);
  }
  out = std::move(filter);
  return Status::success();
}

template Status make_transform<float>(const LowRankFilterSpec&, const GradientLayout&, GradientTransformPointer<float>&);
template Status make_transform<double>(const LowRankFilterSpec&, const GradientLayout&,
                                       GradientTransformPointer<double>&);

}  // namespace krylov
