// A function to be minimised, as an optimizer sees it that looks at it more
// than once a step: values, gradients and curvature at points of its choosing.
// A network with a loss and data is one; so is a JavaScript function.
#pragma once

#include <cstdint>
#include <span>

#include "krylov/linear_operator.h"
#include "krylov/status.h"

namespace krylov {

template <Scalar T> class NetworkPoint;

// Which samples: methods take the gradient, the curvature and what they select
// by from different ones. A function without samples takes no notice.
enum class Samples : std::uint8_t { kGradient, kCurvature, kSelection };

enum class Curvature : std::uint8_t { kHessian, kGaussNewton, kFisher, kEmpiricalFisher };

// What a method needs of a function beyond values and gradients; bits.
enum Need : std::uint32_t {
  kNeedsHessian = 1u << 0,
  kNeedsGaussNewton = 1u << 1,
  kNeedsFisher = 1u << 2,
  kNeedsEmpiricalFisher = 1u << 3,
  kNeedsSquares = 1u << 4,         // mean squared per-sample gradients
  kNeedsResiduals = 1u << 5,       // a sum of squares with its Jacobian
  kNeedsSampledLabels = 1u << 6,   // gradients for labels drawn from the model
  kNeedsNetwork = 1u << 7,         // layers: K-FAC
};

template <Scalar T>
class Objective {
 public:
  virtual ~Objective() = default;
  // Elements of x as stored, padding included; and the parameters among them.
  virtual std::int64_t size() const noexcept = 0;
  virtual std::int64_t dimension() const noexcept { return size(); }
  virtual VectorLayout<T> layout() const noexcept { return nullptr; }
  virtual std::uint32_t provides() const noexcept = 0;  // bits of Need

  // Between steps: the samples of update number `update` (0 for the first).
  virtual void begin(std::int64_t update) noexcept { (void)update; }
  // How many samples, 1 where there are none.
  virtual std::int64_t sample_count(Samples) const noexcept { return 1; }
  // True where both are the same samples in this update: f on one is f on the other.
  virtual bool same_samples(Samples, Samples) const noexcept { return false; }
  // True where begin() leaves the gradient's samples as they are: f and its gradient at x still hold in the next update.
  virtual bool steady() const noexcept { return false; }
  // The same of all samples: an update that finds no descent will find none later.
  virtual bool all_steady() const noexcept { return steady(); }
  // Factor of the term l2 |x|^2 / 2 that f contains; squares know nothing of it.
  virtual double l2() const noexcept { return 0; }

  // f(x), l2's term included.
  virtual Procedure<double> value(Session& session, const T* x, Samples samples) = 0;
  // f(x) and its gradient in g. `squares` [size], where not null: the mean over samples of the squares of the
  // per-sample gradients, of the data term alone.
  virtual Procedure<double> gradient(Session& session, const T* x, Samples samples, T* g, T* squares) = 0;
  // B at x, l2 included (not in the empirical Fisher); good until the next call with the same samples.
  virtual Procedure<OperatorPort<T>> curvature(Session& session, const T* x, Samples samples, Curvature kind) = 0;

  // kNeedsResiduals: E = sum e^2 at x, in float64; with jtj [n, n] and jte [n] (n = dimension(), plain public order)
  // also J'J and J'e. f = residual_factor() * E, plus l2's term.
  virtual Procedure<double> residuals(Session& session, const T* x, double* jtj, double* jte);
  virtual double residual_factor() const noexcept { return 1; }
  // kNeedsSampledLabels: batch-mean gradient for labels drawn from the model's own distribution; `draw` numbers the draws.
  virtual Procedure<double> sampled_gradient(Session& session, const T* x, Samples samples, std::uint64_t draw, T* g);
  // kNeedsNetwork: the point at x on these samples, parameters and data set; null otherwise.
  virtual NetworkPoint<T>* point(Session& session, const T* x, Samples samples);

  // Stored order <-> plain public order; the same numbers for a plain layout.
  void to_plain(const T* x, std::span<double> plain) const;
  void from_plain(std::span<const double> plain, T* x) const;
};

}  // namespace krylov
