// Linear operators: something that multiplies vectors. Curvature at a point,
// what is composed of operators, and preconditioners (which apply an inverse)
// all look like this to a solver.
#pragma once

#include <cstdint>
#include <memory>

#include "krylov/network.h"
#include "krylov/procedure.h"
#include "krylov/threads.h"

namespace krylov {

// Vectors of an operator are plain, or in the arena order of a network with
// zeros in its padding; a null layout means plain. Two networks of one shape
// have one layout: see same_layout.
template <Scalar T>
using VectorLayout = std::shared_ptr<const Network<T>>;

// True where vectors of one mean the same in the other.
template <Scalar T>
bool same_layout(const VectorLayout<T>& a, const VectorLayout<T>& b) noexcept;

template <Scalar T>
class LinearOperator {
 public:
  virtual ~LinearOperator() = default;
  // Elements of out and of v as stored (arena_size() of the layout's network).
  virtual std::int64_t rows() const noexcept = 0;
  virtual std::int64_t columns() const noexcept { return rows(); }
  // Of v, and of out: the same where the operator is square.
  virtual VectorLayout<T> layout() const noexcept { return nullptr; }
  virtual VectorLayout<T> output_layout() const noexcept { return layout(); }
  // The same operator on vectors of another layout, where there is a better way than to reorder the vectors of each
  // product; else null. Callers want reordered_operator (operators.h).
  virtual std::shared_ptr<LinearOperator> in_layout(const VectorLayout<T>&) const { return nullptr; }
  // Threads that pay off for one product.
  virtual int threads() const noexcept { return 1; }
  // out = B v; v and out do not overlap. By the leader of `team`.
  virtual void apply(Team& team, const T* v, T* out) noexcept = 0;
  // out = B' u.
  virtual void apply_transposed(Team& team, const T* u, T* out) noexcept = 0;
  // `count` products at once: vector i at v + i * columns(), out + i * rows().
  virtual void apply_block(Team& team, const T* v, T* out, std::int64_t count) noexcept {
    for (std::int64_t i = 0; i < count; ++i) apply(team, v + i * columns(), out + i * rows());
  }
};

// An operator as a procedure uses it: a native one, or a function outside.
//   co_await b.apply(session, p, w);     // w = B p
template <Scalar T>
class OperatorPort {
 public:
  OperatorPort() noexcept = default;  // none: is_given() is false
  explicit OperatorPort(std::shared_ptr<LinearOperator<T>> native) noexcept : native_(std::move(native)) {
    rows_ = native_->rows(), columns_ = native_->columns();
  }
  // `source` and, for products with the transpose, `transposed_source` number the foreign functions.
  OperatorPort(int source, std::int64_t rows, std::int64_t columns, int transposed_source = -1) noexcept
      : source_(source), transposed_source_(transposed_source), rows_(rows), columns_(columns) {}

  bool is_given() const noexcept { return native_ != nullptr || source_ >= 0; }
  std::int64_t rows() const noexcept { return rows_; }
  std::int64_t columns() const noexcept { return columns_; }
  const std::shared_ptr<LinearOperator<T>>& native() const noexcept { return native_; }

  // Rests where the slice is over or the product is foreign.
  struct Product {
    const OperatorPort& port;
    Session& session;
    const T* v;
    T* out;
    bool transposed;
    bool await_ready() noexcept {
      if (port.native_ == nullptr) return false;
      const Session::Clock::time_point begin = Session::Clock::now();
      if (transposed) {
        port.native_->apply_transposed(session.team(), v, out);
      } else {
        port.native_->apply(session.team(), v, out);
      }
      session.count_product(Session::Clock::now() - begin);
      return !session.due();
    }
    void await_suspend(std::coroutine_handle<> h) noexcept {
      if (port.native_ != nullptr) {
        session.rest(h, Session::State::kPaused);
        return;
      }
      session.request() = {transposed ? port.transposed_source_ : port.source_,
                           v, transposed ? port.rows_ : port.columns_,
                           out, transposed ? port.columns_ : port.rows_, 0};
      session.rest(h, Session::State::kAsking);
    }
    void await_resume() const noexcept {}
  };
  Product apply(Session& session, const T* v, T* out) const noexcept { return {*this, session, v, out, false}; }
  Product apply_transposed(Session& session, const T* u, T* out) const noexcept { return {*this, session, u, out, true}; }

 private:
  std::shared_ptr<LinearOperator<T>> native_;
  int source_ = -1, transposed_source_ = -1;
  std::int64_t rows_ = 0, columns_ = 0;
};

}  // namespace krylov
