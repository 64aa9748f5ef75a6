// What the tests of solvers share: procedures run to their end, matrices with
// spectra of our choosing, and operators that misbehave on demand.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "krylov/operators.h"
#include "krylov/solvers.h"
#include "solvers/dense.h"
#include "support/kernel_cases.h"

namespace krylov::test {

using Numbers = std::vector<double>;

template <class R>
Procedure<void> deliver(Procedure<R> procedure, std::optional<R>& out) {
  out.emplace(co_await procedure);
}

// What a foreign function does with an input: the output of `outputs` elements.
template <Scalar T>
using Foreign = std::function<void(int source, std::span<const T> input, std::span<T> output)>;

// The procedure's result; requests are answered by `foreign`.
template <class R, Scalar T = double>
R run(Session& session, Procedure<R> procedure, const Foreign<T>& foreign = {}) {
  std::optional<R> out;
  session.start(deliver(std::move(procedure), out));
  Team team;
  while (session.resume(team) != Session::State::kFinished) {
    REQUIRE(session.state() == Session::State::kAsking);
    const Request& request = session.request();
    foreign(request.source, {static_cast<const T*>(request.input), static_cast<std::size_t>(request.input_size)},
            {static_cast<T*>(request.output), static_cast<std::size_t>(request.output_size)});
  }
  REQUIRE(session.failure() == nullptr);
  return std::move(*out);
}

struct Noted {
  SolveIteration info;
  Numbers x;
};

template <Scalar T>
Procedure<void> note(std::vector<Noted>& notes, SolveIteration info, const T* x, std::int64_t size) {
  notes.push_back({info, Numbers(x, x + size)});
  co_return;
}

template <Scalar T>
SolveObserver<T> noting(std::vector<Noted>& notes, std::int64_t size) {
  return [&notes, size](const SolveIteration& info, const T* x) { return note<T>(notes, info, x, size); };
}

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

inline Numbers random_numbers(std::int64_t size, unsigned seed) {
  Random random(seed);
  Numbers values(static_cast<std::size_t>(size));
  for (double& x : values) x = random.uniform();
  return values;
}

inline double dot(const Numbers& x, const Numbers& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}
inline double norm(const Numbers& x) { return std::sqrt(dot(x, x)); }

// x + a y
inline Numbers plus(const Numbers& x, double a, const Numbers& y) {
  Numbers z(x);
  for (std::size_t i = 0; i < z.size(); ++i) z[i] += a * y[i];
  return z;
}

inline double distance(const Numbers& x, const Numbers& y) { return norm(plus(x, -1, y)); }

template <class Range>
Numbers numbers(const Range& x) {
  return Numbers(x.data(), x.data() + x.size());
}

// Row-major, rows by size of x.
inline Numbers times(const Numbers& matrix, const Numbers& x) {
  Numbers y(matrix.size() / x.size());
  multiply(matrix.data(), x.data(), y.data(), static_cast<std::int64_t>(y.size()), static_cast<std::int64_t>(x.size()),
           1);
  return y;
}

inline double quadratic(const Numbers& matrix, const Numbers& rhs, const Numbers& x) {
  return dot(x, times(matrix, x)) / 2 - dot(rhs, x);
}

// V' diag(values) V with orthonormal rows V.
inline Numbers with_spectrum(const Numbers& values, unsigned seed) {
  const auto n = static_cast<std::int64_t>(values.size());
  Numbers a = random_numbers(n * n, seed), spare(values.size()), v(a.size()), scaled, out(a.size());
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < i; ++j) a[std::size_t(j * n + i)] = a[std::size_t(i * n + j)];
  }
  symmetric_eigen(a.data(), n, spare.data(), v.data());
  scaled = v;
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (std::size_t j = 0; j < values.size(); ++j) scaled[i * values.size() + j] *= values[i];
  }
  multiply_transposed(v.data(), scaled.data(), out.data(), n, n, n);
  return out;
}

struct Solve {
  SolveResult<double> result;
  std::vector<Noted> notes;
  Numbers x;
};

// A solver's result with all that it told; make(session, observer) is the call of the solver.
template <class Make>
Solve noted_solve(std::int64_t size, Make&& make) {
  Solve out;
  Session session;
  out.result = run(session, make(session, noting<double>(out.notes, size)));
  out.x = numbers(out.result.solution);
  return out;
}

template <Scalar T>
std::vector<T> cast(const Numbers& x) {
  return std::vector<T>(x.begin(), x.end());
}

template <Scalar T>
OperatorPort<T> port(const Numbers& matrix, std::int64_t rows, std::int64_t columns) {
  OperatorPointer<T> op;
  REQUIRE(dense_operator<T>(cast<T>(matrix), rows, columns, op).ok());
  return OperatorPort<T>(op);
}
inline OperatorPort<double> square_port(const Numbers& matrix) {
  const auto n = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(matrix.size()))));
  return port<double>(matrix, n, n);
}
inline OperatorPort<double> diagonal_port(const Numbers& diagonal) {
  return OperatorPort<double>(diagonal_operator<double>(diagonal));
}

// Calls `before` at each product, then multiplies; what `before` returns replaces the first element where it is not 0.
class Watched final : public LinearOperator<double> {
 public:
  Watched(OperatorPort<double> port, std::function<double(std::int64_t product)> before)
      : op_(port.native()), before_(std::move(before)) {}
  std::int64_t rows() const noexcept override { return op_->rows(); }
  std::int64_t columns() const noexcept override { return op_->columns(); }
  void apply(Team& team, const double* v, double* out) noexcept override {
    op_->apply(team, v, out);
    if (const double value = before_(++count_); value != 0) out[0] = value;
  }
  void apply_transposed(Team& team, const double* u, double* out) noexcept override {
    op_->apply_transposed(team, u, out);
    if (const double value = before_(++count_); value != 0) out[0] = value;
  }

 private:
  std::shared_ptr<LinearOperator<double>> op_;
  std::function<double(std::int64_t)> before_;
  std::int64_t count_ = 0;
};

inline OperatorPort<double> watched(OperatorPort<double> port, std::function<double(std::int64_t)> before) {
  return OperatorPort<double>(std::make_shared<Watched>(std::move(port), std::move(before)));
}

// The first element of product `at` is `value`.
inline OperatorPort<double> broken_at(OperatorPort<double> port, std::int64_t at, double value = kNan) {
  return watched(std::move(port), [=](std::int64_t k) { return k == at ? value : 0; });
}
// Product `at` stops the session, and nothing may be made of it.
inline OperatorPort<double> stopping_at(OperatorPort<double> port, std::int64_t at, Session& session) {
  return watched(std::move(port), [&session, at](std::int64_t k) {
    if (k == at) session.stop();
    return k == at ? kNan : 0;
  });
}

// B x = b with a diagonal preconditioner M, as M^-1/2 B M^-1/2 (M^1/2 x) = M^-1/2 b.
struct Preconditioned {
  Numbers m, inverse, matrix, rhs;
  Preconditioned(Numbers b, Numbers right) : matrix(std::move(b)), rhs(std::move(right)) {
    const std::size_t n = rhs.size();
    for (std::size_t i = 0; i < n; ++i) m.push_back(0.5 + static_cast<double>(i)), inverse.push_back(1 / m.back());
    for (std::size_t i = 0; i < n; ++i) {
      rhs[i] /= std::sqrt(m[i]);
      for (std::size_t j = 0; j < n; ++j) matrix[i * n + j] /= std::sqrt(m[i] * m[j]);
    }
  }
  // x of M^1/2 x.
  Numbers back(Numbers x) const {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] /= std::sqrt(m[i]);
    return x;
  }
};

}  // namespace krylov::test
