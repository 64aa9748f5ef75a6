// Operators made of numbers.
#include <algorithm>
#include <vector>

#include "kernels/kernel_table.h"
#include "krylov/buffer.h"
#include "krylov/operators.h"
#include "solvers/chunks.h"

namespace krylov {
namespace {

// A share of fewer multiply-adds costs less than to wake a thread for it.
constexpr std::int64_t kWorkPerThread = 1 << 16;

int threads_for(std::int64_t multiply_adds) noexcept {
  return static_cast<int>(std::clamp<std::int64_t>(multiply_adds / kWorkPerThread, 1, available_processors()));
}

template <Scalar T>
AlignedBuffer<T> copy_of(std::span<const T> values) {
  AlignedBuffer<T> copy(values.size());
  std::copy(values.begin(), values.end(), copy.data());
  return copy;
}

// Plain values in the order of a network, zeros in the padding.
template <Scalar T>
void arrange(const Network<T>& network, std::span<const T> plain, T* arena) noexcept {
  network.template to_arena<T>(plain, {arena, static_cast<std::size_t>(network.arena_size())});
}

template <Scalar T>
class DenseOperator final : public LinearOperator<T> {
 public:
  DenseOperator(std::span<const T> matrix, std::int64_t rows, std::int64_t columns)
      : matrix_(copy_of(matrix)), rows_(rows), columns_(columns) {}

  std::int64_t rows() const noexcept override { return rows_; }
  std::int64_t columns() const noexcept override { return columns_; }
  int threads() const noexcept override { return threads_for(rows_ * columns_); }

  void apply(Team& team, const T* v, T* out) noexcept override { apply_block(team, v, out, 1); }

  void apply_block(Team& team, const T* v, T* out, std::int64_t count) noexcept override {
    each_unit(team, threads_for(rows_ * columns_ * count), rows_, [&](std::int64_t r) {
      const T* row = matrix_.data() + r * columns_;
      for (std::int64_t i = 0; i < count; ++i) {
        out[i * rows_ + r] = static_cast<T>(kernels<T>().dot(row, v + i * columns_, columns_));
      }
    });
  }

  void apply_transposed(Team& team, const T* u, T* out) noexcept override {
    constexpr std::int64_t kStrip = 512;  // of out, kept in the cache while the rows pass over it
    each_unit(team, threads(), ceil_div(columns_, kStrip), [&](std::int64_t strip) {
      const std::int64_t first = strip * kStrip, n = std::min(kStrip, columns_ - first);
      std::fill_n(out + first, n, T(0));
      for (std::int64_t r = 0; r < rows_; ++r) {
        kernels<T>().scaled_sum(out + first, u[r], matrix_.data() + r * columns_ + first, out + first, n);
      }
    });
  }

 private:
  AlignedBuffer<T> matrix_;
  std::int64_t rows_, columns_;
};

template <Scalar T>
class DiagonalOperator final : public LinearOperator<T> {
 public:
  DiagonalOperator(AlignedBuffer<T> diagonal, VectorLayout<T> layout)
      : diagonal_(std::move(diagonal)), layout_(std::move(layout)) {}

  std::int64_t rows() const noexcept override { return static_cast<std::int64_t>(diagonal_.size()); }
  VectorLayout<T> layout() const noexcept override { return layout_; }
  int threads() const noexcept override { return threads_for(rows()); }

  std::shared_ptr<LinearOperator<T>> in_layout(const VectorLayout<T>& layout) const override {
    if (layout_ != nullptr || layout == nullptr) return nullptr;
    AlignedBuffer<T> arranged(static_cast<std::size_t>(layout->arena_size()));
    arrange(*layout, diagonal_.span(), arranged.data());
    return std::make_shared<DiagonalOperator>(std::move(arranged), layout);
  }

  void apply(Team& team, const T* v, T* out) noexcept override {
    each_chunk(team, threads(), rows(), [&](std::int64_t first, std::int64_t n) {
      const T* d = diagonal_.data() + first;
      for (std::int64_t i = 0; i < n; ++i) out[first + i] = d[i] * v[first + i];
    });
  }
  void apply_transposed(Team& team, const T* u, T* out) noexcept override { apply(team, u, out); }

 private:
  AlignedBuffer<T> diagonal_;
  VectorLayout<T> layout_;
};

template <Scalar T>
class ScaledIdentity final : public LinearOperator<T> {
 public:
  ScaledIdentity(double factor, std::int64_t size, VectorLayout<T> layout)
      : factor_(factor), size_(size), layout_(std::move(layout)) {}

  std::int64_t rows() const noexcept override { return size_; }
  VectorLayout<T> layout() const noexcept override { return layout_; }
  int threads() const noexcept override { return threads_for(size_); }

  std::shared_ptr<LinearOperator<T>> in_layout(const VectorLayout<T>& layout) const override {
    const std::int64_t plain = layout_ == nullptr ? size_ : layout_->parameter_count();
    return std::make_shared<ScaledIdentity>(factor_, layout == nullptr ? plain : layout->arena_size(), layout);
  }

  void apply(Team& team, const T* v, T* out) noexcept override {
    const T factor = static_cast<T>(factor_);
    each_chunk(team, threads(), size_, [&](std::int64_t first, std::int64_t n) {
      for (std::int64_t i = first; i < first + n; ++i) out[i] = factor * v[i];
    });
  }
  void apply_transposed(Team& team, const T* u, T* out) noexcept override { apply(team, u, out); }

 private:
  double factor_;
  std::int64_t size_;
  VectorLayout<T> layout_;
};

// The columns of U are kept as rows, so that U'v is a dot product each.
template <Scalar T>
class LowRankOperator final : public LinearOperator<T> {
 public:
  LowRankOperator(AlignedBuffer<T> columns, std::vector<double> weights, std::int64_t rows, VectorLayout<T> layout)
      : columns_(std::move(columns)), weights_(std::move(weights)), rows_(rows), layout_(std::move(layout)) {}

  std::int64_t rows() const noexcept override { return rows_; }
  VectorLayout<T> layout() const noexcept override { return layout_; }
  int threads() const noexcept override { return threads_for(rows_ * rank()); }

  std::shared_ptr<LinearOperator<T>> in_layout(const VectorLayout<T>& layout) const override {
    if (layout_ != nullptr || layout == nullptr) return nullptr;
    const std::int64_t size = layout->arena_size();
    AlignedBuffer<T> arranged(static_cast<std::size_t>(size * rank()));
    for (std::int64_t k = 0; k < rank(); ++k) {
      arrange(*layout, columns_.span().subspan(static_cast<std::size_t>(k * rows_), static_cast<std::size_t>(rows_)),
              arranged.data() + k * size);
    }
    return std::make_shared<LowRankOperator>(std::move(arranged), weights_, size, layout);
  }

  // A column at a time: nothing is kept between the dot products and the sum but one number.
  void apply(Team& team, const T* v, T* out) noexcept override {
    each_chunk(team, threads(), rows_, [&](std::int64_t first, std::int64_t n) { std::fill_n(out + first, n, T(0)); });
    for (std::int64_t k = 0; k < rank(); ++k) {
      const T* column = columns_.data() + k * rows_;
      const T factor = static_cast<T>(weights_[static_cast<std::size_t>(k)] * kernels<T>().dot(column, v, rows_));
      each_chunk(team, threads(), rows_, [&](std::int64_t first, std::int64_t n) {
        kernels<T>().scaled_sum(out + first, factor, column + first, out + first, n);
      });
    }
  }
  void apply_transposed(Team& team, const T* u, T* out) noexcept override { apply(team, u, out); }

 private:
  std::int64_t rank() const noexcept { return static_cast<std::int64_t>(weights_.size()); }
  AlignedBuffer<T> columns_;
  std::vector<double> weights_;
  std::int64_t rows_;
  VectorLayout<T> layout_;
};

}  // namespace

template <Scalar T>
Status dense_operator(std::span<const T> matrix, std::int64_t rows, std::int64_t columns, OperatorPointer<T>& out) {
  if (rows < 1 || columns < 1) return Status::error(ErrorCode::kShape, "shape", "at least [1, 1]", rows, columns);
  const auto size = static_cast<std::int64_t>(matrix.size());
  if (size / columns != rows || size % columns != 0) {
    return Status::error(ErrorCode::kShape, "matrix", "rows * columns elements", size, rows, columns);
  }
  out = std::make_shared<DenseOperator<T>>(matrix, rows, columns);
  return Status::success();
}

template <Scalar T>
OperatorPointer<T> diagonal_operator(std::span<const T> diagonal) {
  return std::make_shared<DiagonalOperator<T>>(copy_of(diagonal), nullptr);
}

template <Scalar T>
OperatorPointer<T> scaled_identity(double factor, std::int64_t size, VectorLayout<T> layout) {
  return std::make_shared<ScaledIdentity<T>>(factor, size, std::move(layout));
}

template <Scalar T>
Status low_rank_operator(std::span<const T> factor, std::span<const double> weights, std::int64_t rows,
                         OperatorPointer<T>& out) {
  const auto size = static_cast<std::int64_t>(factor.size()), rank = static_cast<std::int64_t>(weights.size());
  if (rows < 1 || rank < 1) return Status::error(ErrorCode::kShape, "shape", "at least [1, 1]", rows, rank);
  if (size / rank != rows || size % rank != 0) {
    return Status::error(ErrorCode::kShape, "factor", "rows * weights elements", size, rows, rank);
  }
  AlignedBuffer<T> columns(factor.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t k = 0; k < rank; ++k) columns.data()[k * rows + r] = factor.data()[r * rank + k];
  }
  out = std::make_shared<LowRankOperator<T>>(std::move(columns), std::vector<double>(weights.begin(), weights.end()),
                                             rows, nullptr);
  return Status::success();
}

#define KRYLOV_INSTANTIATE(T)                                                                          \
  template Status dense_operator(std::span<const T>, std::int64_t, std::int64_t, OperatorPointer<T>&); \
  template OperatorPointer<T> diagonal_operator(std::span<const T>);                                   \
  template OperatorPointer<T> scaled_identity(double, std::int64_t, VectorLayout<T>);                  \
  template Status low_rank_operator(std::span<const T>, std::span<const double>, std::int64_t, OperatorPointer<T>&);
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
