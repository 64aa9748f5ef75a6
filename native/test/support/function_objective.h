// Functions to be minimised in tests: an Objective made of std::functions, and
// what drives a procedure to its end.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "krylov/objective.h"

namespace krylov::test {

// Fills in what a resting procedure asks for.
using Answer = std::function<void(Request& request)>;

template <class R>
Procedure<void> keep_result(Procedure<R> procedure, std::optional<R>& result) {
  result.emplace(co_await procedure);
}

// Runs to the end. `impatient`: every slice is over at once, so that the procedure rests wherever it can.
template <class R>
R run(Session& session, Procedure<R> procedure, Team& team, const Answer& answer = nullptr, bool impatient = false) {
  std::optional<R> result;
  session.start(keep_result<R>(std::move(procedure), result));
  for (;;) {
    const Session::State state =
        session.resume(team, impatient ? Session::Clock::time_point::min() : Session::Clock::time_point::max());
    if (state == Session::State::kFinished) break;
    if (state == Session::State::kAsking) answer(session.request());
  }
  if (session.failure()) std::rethrow_exception(session.failure());
  return std::move(*result);
}
template <class R>
R run(Procedure<R> procedure) {
  Team team;
  Session session;
  return run(session, std::move(procedure), team);
}

template <Scalar T>
class FunctionObjective final : public Objective<T> {
 public:
  // f(x) on the samples; where g is not null its gradient too.
  using Function = std::function<double(const T* x, Samples samples, T* g)>;
  using Product = std::function<void(const T* x, Samples samples, const T* v, T* out)>;

  FunctionObjective(std::int64_t size, Function function) : size_(size), function_(std::move(function)) {}
  FunctionObjective& with_curvature(Curvature kind, Product product) {
    products_[static_cast<std::size_t>(kind)] = std::move(product);
    provides_ |= 1u << static_cast<unsigned>(kind);  // Need and Curvature begin in one order
    return *this;
  }
  FunctionObjective& with_squares(std::function<void(const T* x, T* squares)> squares) {
    squares_ = std::move(squares);
    provides_ |= kNeedsSquares;
    return *this;
  }
  FunctionObjective& with_residuals(std::function<double(const T* x, double* jtj, double* jte)> residuals,
                                    double factor = 1) {
    residuals_ = std::move(residuals);
    residual_factor_ = factor;
    provides_ |= kNeedsResiduals;
    return *this;
  }
  // Called at each begin(); the samples then change from update to update.
  FunctionObjective& with_batches(std::function<void(std::int64_t update)> begin) {
    begin_ = std::move(begin);
    return *this;
  }
  FunctionObjective& with_l2(double l2) {  // f and the products contain it already
    l2_ = l2;
    return *this;
  }
  // Values and gradients by requests, as from JavaScript: answer() is the Answer that run() wants.
  FunctionObjective& asking() {
    asks_ = true;
    return *this;
  }
  Answer answer() {
    return [this](Request& request) {
      request.value = function_(static_cast<const T*>(request.input), static_cast<Samples>(request.source),
                                static_cast<T*>(request.output));
    };
  }

  std::int64_t size() const noexcept override { return size_; }
  std::uint32_t provides() const noexcept override { return provides_; }
  void begin(std::int64_t update) noexcept override {
    if (begin_) begin_(update);
  }
  bool same_samples(Samples, Samples) const noexcept override { return same_samples_; }
  bool steady() const noexcept override { return begin_ == nullptr; }
  double l2() const noexcept override { return l2_; }

  Procedure<double> value(Session& session, const T* x, Samples samples) override {
    ++values;
    count(session);
    if (asks_) co_return co_await session.ask({static_cast<int>(samples), x, size_, nullptr, 0});
    co_return function_(x, samples, nullptr);
  }
  Procedure<double> gradient(Session& session, const T* x, Samples samples, T* g, T* squares) override {
    ++gradients;
    count(session);
    if (squares != nullptr) squares_(x, squares);
    if (asks_) co_return co_await session.ask({static_cast<int>(samples), x, size_, g, size_});
    co_return function_(x, samples, g);
  }
  Procedure<OperatorPort<T>> curvature(Session&, const T* x, Samples samples, Curvature kind) override {
    co_return OperatorPort<T>(std::make_shared<Operator>(*this, x, samples, kind));
  }
  Procedure<double> residuals(Session& session, const T* x, double* jtj, double* jte) override {
    ++gradients;
    count(session);
    co_return residuals_(x, jtj, jte);
  }
  double residual_factor() const noexcept override { return residual_factor_; }

  std::int64_t values = 0, gradients = 0, products = 0;
  std::int64_t stop_after = -1;  // the session is stopped when so many values and gradients have been asked for
  bool same_samples_ = true;

 private:
  void count(Session& session) const noexcept {
    if (stop_after >= 0 && values + gradients >= stop_after) session.stop();
  }

  class Operator final : public LinearOperator<T> {
   public:
    Operator(FunctionObjective& objective, const T* x, Samples samples, Curvature kind)
        : objective_(objective),
          x_(static_cast<std::size_t>(objective.size_)),
          samples_(samples),
          kind_(static_cast<std::size_t>(kind)) {
      for (std::int64_t i = 0; i < objective.size_; ++i) x_.data()[i] = x[i];
    }
    std::int64_t rows() const noexcept override { return objective_.size_; }
    void apply(Team&, const T* v, T* out) noexcept override {
      ++objective_.products;
      objective_.products_[kind_](x_.data(), samples_, v, out);
    }
    void apply_transposed(Team& team, const T* v, T* out) noexcept override { apply(team, v, out); }

   private:
    FunctionObjective& objective_;
    AlignedBuffer<T> x_;
    Samples samples_;
    std::size_t kind_;
  };

  std::int64_t size_;
  Function function_;
  std::array<Product, 4> products_;
  std::function<void(const T*, T*)> squares_;
  std::function<double(const T*, double*, double*)> residuals_;
  std::function<void(std::int64_t)> begin_;
  std::uint32_t provides_ = 0;
  double residual_factor_ = 1, l2_ = 0;
  bool asks_ = false;
};

static_assert(kNeedsHessian == 1u << static_cast<unsigned>(Curvature::kHessian) &&
              kNeedsGaussNewton == 1u << static_cast<unsigned>(Curvature::kGaussNewton) &&
              kNeedsFisher == 1u << static_cast<unsigned>(Curvature::kFisher) &&
              kNeedsEmpiricalFisher == 1u << static_cast<unsigned>(Curvature::kEmpiricalFisher));

}  // namespace krylov::test
