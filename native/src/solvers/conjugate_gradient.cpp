// Preconditioned conjugate gradients: Hestenes and Stiefel 1952; truncation at
// a trust region: Steihaug 1983, Nocedal and Wright 2006, algorithm 7.2; the
// test of relative progress and the iterates that are kept: Martens 2010.
//   1. Each step lowers q by alpha rho / 2 (in general, where r'p is not rho, by
//      alpha r'p - alpha^2 p'Bp / 2). The sum of these follows small progress
//      without the cancellation in -(r + b)'x / 2, which starts it for a warm
//      start, and anew wherever the residual is computed anew.
//   2. That iteration takes beta = r'(y - y_previous) / rho (Polak and Ribiere),
//      since the new residual is not orthogonal to the old one.
//   3. M-norms of x and p follow by recurrences, M itself is never applied.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "krylov/solvers.h"
#include "solvers/lbfgs_operator.h"
#include "solvers/vectors.h"

namespace krylov {
namespace {

using Options = ConjugateGradientOptions;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// q by iteration, and whether it still falls fast enough.
class Progress {
 public:
  explicit Progress(const Options& options) : options_(options) {}
  void add(double q) {
    if (options_.progress_tolerance > 0) history_.push_back(q);
  }
  bool is_spent() const noexcept {
    if (history_.empty()) return false;
    const auto i = static_cast<std::int64_t>(history_.size()) - 1;
    const double share = std::ceil(options_.progress_fraction * static_cast<double>(i));
    const std::int64_t k = std::max(options_.progress_window, static_cast<std::int64_t>(share));
    if (i <= k) return false;
    const double now = history_.back(), before = history_[static_cast<std::size_t>(i - k)];
    return before < 0 && (now - before) / now < static_cast<double>(k) * options_.progress_tolerance;
  }

 private:
  const Options& options_;
  std::vector<double> history_;
};

// Copies of iterates at growing distances.
template <Scalar T>
class Store {
 public:
  Store(const Options& options, Vectors<T>& vectors, SolveResult<T>& result)
      : growth_(options.store_growth),
        next_(static_cast<double>(options.store_first)),
        vectors_(vectors),
        result_(result) {}

  void offer(std::int64_t i) {
    if (growth_ <= 0 || static_cast<double>(i) != std::ceil(next_)) return;
    keep(i);
    next_ *= growth_;
    if (std::ceil(next_) <= static_cast<double>(i)) next_ = static_cast<double>(i) + 1;
  }
  void last(std::int64_t i) {
    if (growth_ > 0 && (result_.stored_at.empty() || result_.stored_at.back() != i)) keep(i);
  }

 private:
  void keep(std::int64_t i) {
    AlignedBuffer<T> copy = vectors_.make();
    vectors_.copy(result_.solution.data(), copy.data());
    result_.stored.push_back(std::move(copy));
    result_.stored_at.push_back(i);
  }
  double growth_, next_;
  Vectors<T>& vectors_;
  SolveResult<T>& result_;
};

// The trust region, in the norm of M: |x|, x'Mp and |p| as x and p move (Conn,
// Gould and Toint 2000, section 7.5.1).
class Region {
 public:
  explicit Region(double radius) noexcept : square_(radius * radius) {}
  bool is_bounded() const noexcept { return square_ > 0; }
  void begin(double pp) noexcept { xx_ = xp_ = 0, pp_ = pp; }
  bool contains_step(double alpha) const noexcept { return xx_ + alpha * (2 * xp_ + alpha * pp_) < square_; }
  void step(double alpha) noexcept {
    xx_ += alpha * (2 * xp_ + alpha * pp_);
    xp_ += alpha * pp_;
  }
  void turn(double beta, double rho) noexcept {
    xp_ *= beta;
    pp_ = rho + beta * beta * pp_;
  }
  // What was followed by recurrences, measured.
  void measure(double xx, double xp, double pp) noexcept { xx_ = xx, xp_ = xp, pp_ = pp; }
  // tau >= 0 with |x + tau p| = radius, by the root that does not cancel.
  double crossing() const noexcept {
    const double c = xx_ - square_;
    if (c >= 0) return 0;
    const double root = std::sqrt(xp_ * xp_ - pp_ * c);
    return xp_ > 0 ? -c / (xp_ + root) : (root - xp_) / pp_;
  }

 private:
  double square_, xx_ = 0, xp_ = 0, pp_ = 0;
};

}  // namespace

template <Scalar T>
Procedure<SolveResult<T>> conjugate_gradient(Session& session, OperatorPort<T> b, const T* rhs, const T* x0,
                                             OperatorPort<T> preconditioner, Options options,
                                             SolveObserver<T> observer) {
  Vectors<T> vectors(session, b.columns());
  SolveResult<T> result;
  result.solution = vectors.make();
  T* const x = result.solution.data();
  AlignedBuffer<T> residual = vectors.make(), direction = vectors.make(), product = vectors.make();
  AlignedBuffer<T> preconditioned, previous;
  if (preconditioner.is_given()) preconditioned = vectors.make();
  if (options.recompute_every > 0) previous = vectors.make();
  T* const r = residual.data();
  T* const p = direction.data();
  T* const w = product.data();
  T* const y = preconditioner.is_given() ? preconditioned.data() : r;  // M^-1 r
  const std::int64_t max_iterations = options.max_iterations < 0 ? 10 * b.columns() : options.max_iterations;
  Region region(options.radius);
  Progress progress(options);
  Store<T> store(options, vectors, result);
  LbfgsPairs<T> pairs(b.columns(), options.collect_history);

  // The start: x, r and q.
  std::optional<SolveReason> end;
  const double rhs_norm = vectors.norm(rhs);
  const double threshold = std::max(options.absolute_tolerance, options.tolerance * rhs_norm);
  double square = rhs_norm * rhs_norm;  // |r|^2
  vectors.copy(rhs, r);
  const double start_norm = x0 == nullptr || region.is_bounded() ? 0 : vectors.norm(x0);
  if (!std::isfinite(rhs_norm) || !std::isfinite(start_norm)) {
    if (std::isfinite(start_norm) && start_norm > 0) {
      vectors.copy(x0, x);
      square = result.quadratic = kNone;
    }
    end = SolveReason::kNotFinite;
  } else if (start_norm > 0 && rhs_norm > 0) {
    vectors.copy(x0, x);
    square = result.quadratic = kNone;  // until r is known
    if (session.stopped()) {
      end = SolveReason::kAborted;
    } else {
      co_await b.apply(session, x, w);
      ++result.products;
      if (session.stopped()) {
        end = SolveReason::kAborted;
      } else {
        if (options.shift != 0) vectors.add(w, options.shift, x, w);
        square = vectors.add_and_dot(rhs, -1, w, r, r);
        result.quadratic = -(vectors.dot(r, x) + vectors.dot(rhs, x)) / 2;
        if (!std::isfinite(square)) end = SolveReason::kNotFinite;
      }
    }
  }
  result.residual_norm = std::sqrt(square);

  double rho = square, beta = 0;
  double slope = 0;  // r'p: rho, unless curvature was taken for its magnitude or the residual computed anew
  if (!end && preconditioner.is_given() && square > 0) {
    co_await preconditioner.apply(session, r, y);
    rho = vectors.dot(r, y);
  }
  SolveIteration info{0, result.residual_norm, result.quadratic, kNone, kNone, kNone};
  std::int64_t i = 0;  // x is iterate i
  for (;;) {
    progress.add(result.quadratic);
    if (observer && (!end || i > 0)) co_await observer(info, x);
    if (end) break;
    if (session.stopped()) {
      end = SolveReason::kAborted;
    } else if (result.residual_norm <= threshold) {
      end = SolveReason::kConverged;
    } else if (!std::isfinite(rho)) {
      end = SolveReason::kNotFinite;
    } else if (rho <= 0) {
      end = SolveReason::kPreconditioner;
    } else if (progress.is_spent()) {
      end = SolveReason::kProgress;
    } else if (i >= max_iterations) {
      end = SolveReason::kMaxIterations;
    }
    if (end) break;
    store.offer(i);
    if (i == 0) {
      vectors.copy(y, p);
      region.begin(rho);
      slope = rho;
    } else {
      vectors.add(y, beta, p, p);
      region.turn(beta, rho);
      slope = rho + beta * slope;
    }

    co_await b.apply(session, p, w);
    ++result.products;
    if (session.stopped()) {
      end = SolveReason::kAborted;
      break;
    }
    const double curvature = options.shift == 0 ? vectors.dot(p, w) : vectors.add_and_dot(w, options.shift, p, w, p);
    if (!std::isfinite(curvature)) {
      end = SolveReason::kNotFinite;
      break;
    }
    const bool negative = !(curvature > 0);
    double alpha = rho / std::abs(curvature);
    if (region.is_bounded() && (negative || !region.contains_step(alpha))) {
      if (!preconditioner.is_given()) region.measure(vectors.dot(x, x), vectors.dot(x, p), vectors.dot(p, p));
      alpha = negative ? region.crossing() : std::min(alpha, region.crossing());
      end = negative ? SolveReason::kNegativeCurvature : SolveReason::kBoundary;
    } else if (negative && (curvature == 0 || options.on_negative_curvature == Options::OnNegativeCurvature::kStop)) {
      end = SolveReason::kNegativeCurvature;
    }
    if (end == SolveReason::kNegativeCurvature) {
      result.curvature = curvature;
      if (!region.is_bounded()) break;
    }
    if (!std::isfinite(static_cast<T>(alpha))) {
      end = SolveReason::kNotFinite;
      break;
    }

    if (options.collect_history > 0) pairs.offer(vectors, p, w, options.collect_spread);
    const bool anew = options.recompute_every > 0 && (i + 1) % options.recompute_every == 0 && !end;
    if (anew) vectors.copy(y, previous.data());
    square = vectors.step(alpha, p, w, x, r);
    if (!std::isfinite(square)) {
      vectors.step(-alpha, p, w, x, r);
      end = SolveReason::kNotFinite;
      break;
    }
    ++i;
    result.residual_norm = std::sqrt(square);
    result.quadratic += alpha * (alpha * curvature / 2 - slope);
    slope -= alpha * curvature;
    region.step(alpha);
    if (anew) {
      co_await b.apply(session, x, w);
      ++result.products;
      if (session.stopped()) {
        end = SolveReason::kAborted;
        break;
      }
      if (options.shift != 0) vectors.add(w, options.shift, x, w);
      square = vectors.add_and_dot(rhs, -1, w, r, r);
      result.quadratic = -(vectors.dot(r, x) + vectors.dot(rhs, x)) / 2;
      slope = vectors.dot(r, p);
      if (!std::isfinite(square)) {
        end = SolveReason::kNotFinite;
        break;
      }
    }
    result.residual_norm = std::sqrt(square);
    info = {i, result.residual_norm, result.quadratic, alpha, kNone, curvature};
    if (end) continue;

    double next = square;
    if (preconditioner.is_given() && square > 0) {
      co_await preconditioner.apply(session, r, y);
      next = vectors.dot(r, y);
    }
    beta = (anew ? next - vectors.dot(r, previous.data()) : next) / rho;
    rho = next;
    info.beta = beta;
  }

  result.reason = *end;
  result.iterations = i;
  if (result.reason == SolveReason::kNegativeCurvature) result.direction = std::move(direction);
  store.last(i);
  result.pairs = pairs.release();
  co_return result;
}

template Procedure<SolveResult<float>> conjugate_gradient(Session&, OperatorPort<float>, const float*, const float*,
                                                          OperatorPort<float>, Options, SolveObserver<float>);
template Procedure<SolveResult<double>> conjugate_gradient(Session&, OperatorPort<double>, const double*, const double*,
                                                           OperatorPort<double>, Options, SolveObserver<double>);

}  // namespace krylov
