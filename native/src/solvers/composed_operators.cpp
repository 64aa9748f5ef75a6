// Operators made of operators. Their memory for intermediate vectors is one
// product's, so a product locks it: a synchronous call and a job may meet here.
#include <algorithm>
#include <mutex>
#include <utility>

#include "kernels/kernel_table.h"
#include "krylov/buffer.h"
#include "krylov/operators.h"
#include "solvers/chunks.h"

namespace krylov {
namespace {

template <Scalar T>
AlignedBuffer<T> vector_of(std::int64_t size) {
  return AlignedBuffer<T>(static_cast<std::size_t>(size));
}

template <Scalar T>
std::int64_t plain_size(const VectorLayout<T>& layout, std::int64_t stored) noexcept {
  return layout == nullptr ? stored : layout->parameter_count();
}

// A plain operator for vectors in arena order, or the reverse, on one side or both.
template <Scalar T>
class ReorderedOperator final : public LinearOperator<T> {
 public:
  ReorderedOperator(OperatorPointer<T> op, VectorLayout<T> columns, VectorLayout<T> rows)
      : op_(std::move(op)),
        column_layout_(std::move(columns)),
        row_layout_(std::move(rows)),
        column_buffer_(vector_of<T>(op_->columns())),
        row_buffer_(vector_of<T>(op_->rows())) {}

  std::int64_t rows() const noexcept override { return stored(row_layout_, op_->output_layout(), op_->rows()); }
  std::int64_t columns() const noexcept override { return stored(column_layout_, op_->layout(), op_->columns()); }
  VectorLayout<T> layout() const noexcept override { return column_layout_; }
  VectorLayout<T> output_layout() const noexcept override { return row_layout_; }
  int threads() const noexcept override { return op_->threads(); }

  std::shared_ptr<LinearOperator<T>> in_layout(const VectorLayout<T>& layout) const override {
    const bool inner = same_layout(op_->layout(), layout) && same_layout(op_->output_layout(), layout);
    return inner ? op_ : op_->in_layout(layout);
  }

  void apply(Team& team, const T* v, T* out) noexcept override {
    const VectorLayout<T> columns = op_->layout(), rows = op_->output_layout();
    const std::lock_guard lock(mutex_);
    const T* in = enter(v, column_layout_, columns, column_buffer_);
    if (same_layout(rows, row_layout_)) {
      op_->apply(team, in, out);
    } else {
      op_->apply(team, in, row_buffer_.data());
      reorder(row_buffer_.data(), rows, out, row_layout_, op_->rows());
    }
  }

  void apply_transposed(Team& team, const T* u, T* out) noexcept override {
    const VectorLayout<T> columns = op_->layout(), rows = op_->output_layout();
    const std::lock_guard lock(mutex_);
    const T* in = enter(u, row_layout_, rows, row_buffer_);
    if (same_layout(columns, column_layout_)) {
      op_->apply_transposed(team, in, out);
    } else {
      op_->apply_transposed(team, in, column_buffer_.data());
      reorder(column_buffer_.data(), columns, out, column_layout_, op_->columns());
    }
  }

 private:
  static std::int64_t stored(const VectorLayout<T>& outer, const VectorLayout<T>& inner, std::int64_t size) noexcept {
    return outer != nullptr ? outer->arena_size() : plain_size(inner, size);
  }
  static std::span<const T> span_of(const T* x, std::int64_t size) noexcept {
    return {x, static_cast<std::size_t>(size)};
  }
  // One of the two layouts is plain.
  static void reorder(const T* from, const VectorLayout<T>& from_layout, T* to, const VectorLayout<T>& to_layout,
                      std::int64_t from_size) noexcept {
    if (to_layout == nullptr) {
      const auto size = static_cast<std::size_t>(from_layout->parameter_count());
      from_layout->template to_public<T>(span_of(from, from_size), {to, size});
    } else {
      std::fill_n(to, to_layout->arena_size(), T(0));
      to_layout->template to_arena<T>(span_of(from, from_size),
                                      {to, static_cast<std::size_t>(to_layout->arena_size())});
    }
  }
  const T* enter(const T* x, const VectorLayout<T>& outer, const VectorLayout<T>& inner, AlignedBuffer<T>& buffer) {
    if (same_layout(outer, inner)) return x;
    const auto stored_size = static_cast<std::int64_t>(buffer.size());
    reorder(x, outer, buffer.data(), inner, outer == nullptr ? plain_size(inner, stored_size) : outer->arena_size());
    return buffer.data();
  }

  OperatorPointer<T> op_;
  VectorLayout<T> column_layout_, row_layout_;
  std::mutex mutex_;
  AlignedBuffer<T> column_buffer_, row_buffer_;
};

// Both sides of `op` in the layouts given, each of which is the side's own or differs from it by being plain or not.
template <Scalar T>
OperatorPointer<T> arrange(OperatorPointer<T> op, const VectorLayout<T>& columns, const VectorLayout<T>& rows) {
  const bool same_columns = same_layout(op->layout(), columns), same_rows = same_layout(op->output_layout(), rows);
  if (same_columns && same_rows) return op;
  if (!same_columns && !same_rows && same_layout(columns, rows)) {
    if (OperatorPointer<T> better = op->in_layout(columns)) return better;
  }
  return std::make_shared<ReorderedOperator<T>>(std::move(op), columns, rows);
}

template <Scalar T>
class SumOperator final : public LinearOperator<T> {
 public:
  SumOperator(std::vector<OperatorTerm<T>> terms, double shift)
      : terms_(std::move(terms)),
        shift_(shift),
        buffer_(vector_of<T>(terms_.size() > 1 ? std::max(first().rows(), first().columns()) : 0)) {}

  std::int64_t rows() const noexcept override { return first().rows(); }
  std::int64_t columns() const noexcept override { return first().columns(); }
  VectorLayout<T> layout() const noexcept override { return first().layout(); }
  VectorLayout<T> output_layout() const noexcept override { return first().output_layout(); }
  int threads() const noexcept override {
    int most = 1;
    for (const auto& term : terms_) most = std::max(most, term.op->threads());
    return most;
  }

  std::shared_ptr<LinearOperator<T>> in_layout(const VectorLayout<T>& layout) const override {
    std::vector<OperatorTerm<T>> terms;
    for (const auto& term : terms_) terms.push_back({term.coefficient, arrange(term.op, layout, layout)});
    return std::make_shared<SumOperator>(std::move(terms), shift_);
  }

  void apply(Team& team, const T* v, T* out) noexcept override {
    accumulate(team, v, out, rows(), [&](LinearOperator<T>& op, T* to) { op.apply(team, v, to); });
  }
  void apply_transposed(Team& team, const T* u, T* out) noexcept override {
    accumulate(team, u, out, columns(), [&](LinearOperator<T>& op, T* to) { op.apply_transposed(team, u, to); });
  }
  void apply_block(Team& team, const T* v, T* out, std::int64_t count) noexcept override {
    if (terms_.size() > 1) {
      LinearOperator<T>::apply_block(team, v, out, count);
      return;
    }
    accumulate(team, v, out, rows() * count, [&](LinearOperator<T>& op, T* to) { op.apply_block(team, v, to, count); });
  }

 private:
  const LinearOperator<T>& first() const noexcept { return *terms_.front().op; }

  template <class Product>
  void accumulate(Team& team, const T* v, T* out, std::int64_t size, Product&& product) noexcept {
    std::unique_lock lock(mutex_, std::defer_lock);
    if (terms_.size() > 1) lock.lock();
    product(*terms_.front().op, out);
    double own = terms_.front().coefficient;  // of what is in out
    for (std::size_t i = 1; i < terms_.size(); ++i) {
      product(*terms_[i].op, buffer_.data());
      add(team, own, terms_[i].coefficient, buffer_.data(), out, size);
      own = 1;
    }
    if (shift_ != 0 || own != 1) add(team, own, shift_, v, out, size);
  }
  // out = a out + b x; x is not read for b = 0, since it may have another length then.
  void add(Team& team, double a, double b, const T* x, T* out, std::int64_t size) const noexcept {
    const T p = static_cast<T>(a), q = static_cast<T>(b);
    each_chunk(team, threads(), size, [&](std::int64_t at, std::int64_t n) {
      if (q == 0) {
        kernels<T>().scale(p, out + at, n);
      } else if (p == 1) {
        kernels<T>().scaled_sum(out + at, q, x + at, out + at, n);
      } else {
        for (std::int64_t i = at; i < at + n; ++i) out[i] = p * out[i] + q * x[i];
      }
    });
  }

  std::vector<OperatorTerm<T>> terms_;
  double shift_;
  std::mutex mutex_;
  AlignedBuffer<T> buffer_;
};

template <Scalar T>
class BlockDiagonalOperator final : public LinearOperator<T> {
 public:
  explicit BlockDiagonalOperator(std::vector<OperatorPointer<T>> blocks) : blocks_(std::move(blocks)) {
    for (const auto& block : blocks_) rows_ += block->rows(), columns_ += block->columns();
  }

  std::int64_t rows() const noexcept override { return rows_; }
  std::int64_t columns() const noexcept override { return columns_; }
  int threads() const noexcept override {
    int most = 1;
    for (const auto& block : blocks_) most = std::max(most, block->threads());
    return most;
  }
  void apply(Team& team, const T* v, T* out) noexcept override {
    for (const auto& block : blocks_) {
      block->apply(team, v, out);
      v += block->columns(), out += block->rows();
    }
  }
  void apply_transposed(Team& team, const T* u, T* out) noexcept override {
    for (const auto& block : blocks_) {
      block->apply_transposed(team, u, out);
      u += block->rows(), out += block->columns();
    }
  }

 private:
  std::vector<OperatorPointer<T>> blocks_;
  std::int64_t rows_ = 0, columns_ = 0;
};

// The one layout among those of the parts that are not plain; false where there are two.
template <Scalar T>
bool common_layout(const VectorLayout<T>& part, VectorLayout<T>& common) noexcept {
  if (part == nullptr) return true;
  if (common == nullptr) common = part;
  return same_layout(part, common);
}

}  // namespace

template <Scalar T>
std::int64_t plain_columns(const LinearOperator<T>& op) noexcept {
  return plain_size(op.layout(), op.columns());
}

template <Scalar T>
std::int64_t plain_rows(const LinearOperator<T>& op) noexcept {
  return plain_size(op.output_layout(), op.rows());
}

template <Scalar T>
Status sum_operator(std::vector<OperatorTerm<T>> terms, double shift, OperatorPointer<T>& out) {
  if (terms.empty()) return Status::error(ErrorCode::kShape, "operators", "at least one operator", 0);
  const LinearOperator<T>& first = *terms.front().op;
  VectorLayout<T> columns, rows;
  for (const auto& term : terms) {
    if (plain_rows(*term.op) != plain_rows(first) || plain_columns(*term.op) != plain_columns(first)) {
      return Status::error(ErrorCode::kShape, "operators", "operators of one shape", plain_rows(*term.op),
                           plain_columns(*term.op));
    }
    if (!common_layout(term.op->layout(), columns) || !common_layout(term.op->output_layout(), rows)) {
      return Status::error(ErrorCode::kShape, "operators", "operators of networks with the same layers");
    }
  }
  if (shift != 0 && plain_rows(first) != plain_columns(first)) {
    return Status::error(ErrorCode::kShape, "shift", "0 for an operator that is not square", plain_rows(first),
                         plain_columns(first));
  }
  // The parts of a square operator have both sides in one layout, unless outputs just happen to be as many: then plain.
  if (shift != 0 && !same_layout(columns, rows)) columns = rows = nullptr;
  for (auto& term : terms) term.op = arrange(std::move(term.op), columns, rows);
  out = std::make_shared<SumOperator<T>>(std::move(terms), shift);
  return Status::success();
}

template <Scalar T>
Status block_diagonal_operator(std::vector<OperatorPointer<T>> blocks, OperatorPointer<T>& out) {
  if (blocks.empty()) return Status::error(ErrorCode::kShape, "operators", "at least one operator", 0);
  for (auto& block : blocks) block = arrange<T>(std::move(block), nullptr, nullptr);
  out = std::make_shared<BlockDiagonalOperator<T>>(std::move(blocks));
  return Status::success();
}

template <Scalar T>
Status reordered_operator(OperatorPointer<T> op, VectorLayout<T> layout, OperatorPointer<T>& out) {
  const VectorLayout<T> own = op->layout();
  if (own != nullptr && layout != nullptr && !same_layout(own, layout)) {
    return Status::error(ErrorCode::kShape, "operator", "an operator of a network with the same layers");
  }
  if (layout != nullptr && plain_columns(*op) != layout->parameter_count()) {
    return Status::error(ErrorCode::kShape, "operator", "as many columns as the network has parameters",
                         plain_columns(*op), layout->parameter_count());
  }
  const bool both = op->output_layout() != nullptr || (own == nullptr && op->rows() == op->columns());
  const VectorLayout<T> rows = both ? layout : op->output_layout();
  out = arrange(std::move(op), layout, rows);
  return Status::success();
}

#define KRYLOV_INSTANTIATE(T)                                                                    \
  template std::int64_t plain_columns(const LinearOperator<T>&) noexcept;                        \
  template std::int64_t plain_rows(const LinearOperator<T>&) noexcept;                           \
  template Status sum_operator(std::vector<OperatorTerm<T>>, double, OperatorPointer<T>&);       \
  template Status block_diagonal_operator(std::vector<OperatorPointer<T>>, OperatorPointer<T>&); \
  template Status reordered_operator(OperatorPointer<T>, VectorLayout<T>, OperatorPointer<T>&);
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
