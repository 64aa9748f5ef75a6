// A function that somebody else computes, and a minimizer at work on it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "krylov/minimizer.h"

namespace krylov {

// Which of the requests (procedure.h) a caller answers, by these numbers.
struct FunctionSources {
  enum Source : int {
    kValue,           // x -> f
    kGradient,        // x -> f and, as output, its gradient [n]
    kPlace,           // x: the point of the products that follow
    kHessianProduct,  // v -> H v [n]
    kGgnProduct,      // v -> G v [n]
    kResidual,        // x -> e [residual_count]
    kJacobian         // x -> de/dx [residual_count, n], row-major
  };
  bool value = false, gradient = false, hessian = false, ggn = false;
  // Residuals make a function of their own, f = sum e^2, where there is no gradient.
  std::int64_t residual_count = 0;
};

enum class UpdateOutcome : std::uint8_t { kUpdated, kConverged, kStopped, kNotFinite };

// Everything the iterations depend on besides x and the function.
struct MinimizationState {
  MinimizerState optimizer;
  std::int64_t evaluations = 0;
  std::optional<double> value;  // f at x, where it is known
  // The optimizer has f and its gradient at x. It does not save them: the function computes them again, uncounted.
  bool gradient_known = false;
};

template <Scalar T>
class Minimization {
 public:
  virtual ~Minimization() = default;
  // From x0, which must be finite.
  static Status create(const OptimizerSpec& spec, std::span<const T> x0, const FunctionSources& sources,
                       std::unique_ptr<Minimization>& out);

  // One at a time; the object outlives what it returns.
  virtual Procedure<void> update(Session& session) = 0;
  virtual Procedure<void> evaluate(Session& session) = 0;  // f at x, asked for only where it is not known

  virtual MinimizationState save() const = 0;
  // Before the first update, x being the state's.
  virtual Status restore(const MinimizationState& state) = 0;

  virtual std::span<const T> x() const noexcept = 0;
  virtual int threads() const noexcept = 0;
  virtual UpdateOutcome outcome() const noexcept = 0;        // of the last update
  virtual const MinimizerReport& report() const noexcept = 0;
  virtual double value() const noexcept = 0;                 // after evaluate()
  virtual std::int64_t updates() const noexcept = 0;         // so far; a last one that only found the end counts not
  virtual std::int64_t evaluations() const noexcept = 0;     // of f or residuals, so far
};

}  // namespace krylov
