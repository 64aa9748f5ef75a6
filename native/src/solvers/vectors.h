// Vector arithmetic of the solvers: long vectors, several threads, results that
// do not depend on how many. Scalars are float64 whatever the vectors are.
#pragma once

#include <cstdint>
#include <span>

#include "krylov/buffer.h"
#include "krylov/dtype.h"
#include "krylov/procedure.h"

namespace krylov {

template <Scalar T>
class Vectors {
 public:
  // Of `size` elements each, worked on by the team that the session lends.
  Vectors(Session& session, std::int64_t size);
  // For operators: by the team of the product at hand, which lend() names before any arithmetic.
  Vectors(int threads, std::int64_t size);
  void lend(Team& team) noexcept { team_ = &team; }

  std::int64_t size() const noexcept { return size_; }
  AlignedBuffer<T> make() const { return AlignedBuffer<T>(static_cast<std::size_t>(size_)); }  // zeros

  double dot(const T* x, const T* y) noexcept;
  double norm(const T* x) noexcept;
  // out[i] = x . row i of `rows` [count, size], several rows in one pass over x.
  void dots(const T* rows, std::int64_t count, const T* x, std::span<double> out) noexcept;
  double sum_magnitudes(const T* x) noexcept;  // |x|_1
  double largest_magnitude(const T* x) noexcept;
  bool all_finite(const T* x) noexcept;

  void fill(T value, T* x) noexcept;
  void copy(const T* x, T* out) noexcept;
  void scale(double a, T* x) noexcept;
  // out = x + a y; out may be x or y.
  void add(const T* x, double a, const T* y, T* out) noexcept;
  // out = a x + b y; out may be x or y.
  void combine(double a, const T* x, double b, const T* y, T* out) noexcept;
  // x += sum_i a[i] * row i of `rows` [a.size(), size].
  void add_rows(std::span<const double> a, const T* rows, T* x) noexcept;
  // out = x * y by elements; out may be x or y.
  void multiply(const T* x, const T* y, T* out) noexcept;
  // out = x + a y, and out . z, in one pass; out may be x or y, z any of the three.
  double add_and_dot(const T* x, double a, const T* y, T* out, const T* z) noexcept;
  // out = a x + b y + c z and sum += d out, in one pass; out may be x, y or z.
  void combine_and_add(double a, const T* x, double b, const T* y, double c, const T* z, T* out, double d,
                       T* sum) noexcept;
  // x += a p, r -= a w, in one pass; returns r . r.
  double step(double a, const T* p, const T* w, T* x, T* r) noexcept;

 private:
  template <class Body> void each(Body&& body) noexcept;           // body(first, count)
  template <class Body> double reduce(Body&& body) noexcept;       // sum of body(first, count) in order
  double total(std::int64_t row) const noexcept;                   // of a row of partials_, in order
  Session* session_ = nullptr;
  Team* team_ = nullptr;
  int threads_;
  std::int64_t size_, chunks_;
  AlignedBuffer<double> partials_;  // [rows, chunks]
};

}  // namespace krylov
