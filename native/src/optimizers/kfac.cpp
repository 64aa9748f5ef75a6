// K-FAC: Martens & Grosse, "Optimizing neural networks with Kronecker-factored
// approximate curvature" (ICML 2015, arXiv 1503.05671), algorithm 2; constants
// of the authors' demonstration program. One update, k = 1, 2, ..., with B the
// Gauss-Newton matrix (l2 included) on the curvature's samples, g = grad f:
//   1. factors = e factors + (1 - e) new ones, e = min(1 - 1 / k, factorDecay)
//   2. k a multiple of gammaEvery: gamma, gamma c and gamma / c compete, c = (19/20)^(gammaEvery / 2); the one whose
//      step has the least m (below) stays. Never below sqrt(l2). Inverses are renewed for it, at k <= 3, and when k is
//      a multiple of inverseEvery.
//   3. u = (damped factors)^-1 g, d = -u
//   4. rescaling   model:  the best of all a d + b (step before) by m(s) = g's + s'(B + lambda) s / 2; b = 0 without
//                          momentum
//                  klClip: nu d, nu = min(1, sqrt(klClip / |learningRate^2 u'g|)) (Osawa et al., kfac-pytorch)
//                  none:   d
//   5. x += learningRate times that
//   6. k a multiple of damping.every: rho = (f(x) - f(x before)) / m(step); rho < 1/4: lambda /= w, rho > 3/4:
//      lambda *= w, w = (19/20)^damping.every
// gamma is sqrt(lambda + l2) at first. Differences from the program: no cap on gamma; an update that is not finite, or
// that takes f to something not finite where 6 looks, is not made, and lambda grows.
//
// Options: name, default, range. Numbers may be schedules over updates.
//   learningRate      1          > 0
//   damping.initial   1          > 0    lambda at first
//   damping.adapt     true              steps 2 and 6; false: gamma = sqrt(lambda + l2), lambda by damping.initial
//   damping.every     5          >= 1
//   gammaEvery        20         >= 0   0: gamma = sqrt(lambda + l2)
//   inverseEvery      20         >= 1
//   factorDecay       0.95       [0, 1)
//   factors           sampled           sampled: labels drawn from the model | exact: a backward pass an output
//   dampingForm       factored          factored | eigen: factors (x) + gamma^2 I exactly
//   rescaling         model             model | klClip | none
//   momentum          true              with rescaling model only
//   klClip            1e-3       > 0
//   seed              0          >= 0   of the drawn labels
#include <algorithm>
#include <cmath>
#include <limits>

#include "optimizers/kronecker_state.h"
#include "optimizers/minimizers.h"
#include "optimizers/newton_support.h"
#include "solvers/kronecker_inverse.h"

namespace krylov {
namespace {

constexpr const char* kFactorWords[] = {"sampled", "exact"};
constexpr const char* kDampingWords[] = {"factored", "eigen"};
constexpr const char* kRescalingWords[] = {"model", "klClip", "none"};
constexpr double kOmega = 19.0 / 20.0;
constexpr double kLowRatio = 0.25, kHighRatio = 0.75;

// x += a (y - x)
void mix(double a, const std::vector<double>& y, std::vector<double>& x) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += a * (y[i] - x[i]);
}

template <Scalar T>
class Kfac final : public Minimizer<T> {
 public:
  Kfac(RuleOptions& o, const Objective<T>& objective)
      : size_(objective.size()), network_(objective.layout()), learning_rate_(o.number("learningRate")),
        initial_(o.number("damping.initial")), every_(o.number("damping.every")), gamma_every_(o.number("gammaEvery")),
        inverse_every_(o.number("inverseEvery")), decay_(o.number("factorDecay")), clip_(o.number("klClip")),
        seed_(o.number("seed")), adapt_(o.flag("damping.adapt")), momentum_(o.flag("momentum")),
        sampled_(o.word("factors", kFactorWords) == 0),
        form_(o.word("dampingForm", kDampingWords) == 0 ? KroneckerDamping::kFactored : KroneckerDamping::kExact),
        rescaling_(static_cast<Rescaling>(o.word("rescaling", kRescalingWords))) {
    if (momentum_ && rescaling_ != Rescaling::kModel) {
      o.refuse(Status::error(ErrorCode::kOption, "momentum", "false where rescaling is not 'model'"));
    }
  }

  std::uint32_t needs() const noexcept override { return kNeedsNetwork | kNeedsGaussNewton; }
  std::int64_t updates() const noexcept override { return updates_; }
  Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) override;
  MinimizerState save() const override;
  Status restore(const MinimizerState& state) override;

 private:
  enum class Rescaling { kModel, kClip, kNone };
  // A step that may be taken, learningRate left out, with what the model says of it.
  struct Proposal {
    AlignedBuffer<T> step;
    std::shared_ptr<KroneckerInverse<T>> inverse;
    double gamma = 0, scale = 0, momentum = 0;
    double slope = 0, bend = 0;  // g's and s'(B + lambda) s; the latter NaN where nobody asked
    double model(double rate) const noexcept { return rate * slope + rate * rate * bend / 2; }
  };
  // What the proposals of an update have in common.
  struct Context {
    const T* g = nullptr;
    OperatorPort<T> b;
    bool modelled = false;
    AlignedBuffer<T> b_previous;  // (B + lambda) times the step before; empty without momentum
    double rate = 0;
  };
  std::int64_t due(const ScheduleSpec& every) const noexcept {
    const std::int64_t n = count_at(every, updates_);
    return n > 0 && (updates_ + 1) % n == 0 ? n : 0;
  }
  void take_factors(KroneckerFactors fresh);
  Procedure<Status> renew(Session& session, double gamma, std::shared_ptr<KroneckerInverse<T>>& inverse);
  Procedure<Proposal> propose(Session& session, const Context& context, std::shared_ptr<KroneckerInverse<T>> inverse,
                              double gamma);

  std::int64_t size_, updates_ = 0;
  VectorLayout<T> network_;
  ScheduleSpec learning_rate_, initial_, every_, gamma_every_, inverse_every_, decay_, clip_, seed_;
  bool adapt_, momentum_, sampled_;
  KroneckerDamping form_;
  Rescaling rescaling_;
  double lambda_ = 0, gamma_ = 0, inverse_gamma_ = 0;  // the last: what the inverse was made with
  std::shared_ptr<const KroneckerFactors> factors_;
  std::shared_ptr<KroneckerInverse<T>> inverse_;
  AlignedBuffer<T> previous_;
};

// Step 1.
template <Scalar T>
void Kfac<T>::take_factors(KroneckerFactors fresh) {
  if (factors_ != nullptr) {
    const double keep = std::fmin(1 - 1 / static_cast<double>(updates_ + 1), schedule_value(decay_, updates_));
    for (std::size_t l = 0; l < fresh.layers.size(); ++l) {
      mix(keep, factors_->layers[l].input, fresh.layers[l].input);
      mix(keep, factors_->layers[l].output, fresh.layers[l].output);
    }
    mix(keep, factors_->diagonal, fresh.diagonal);
  }
  factors_ = std::make_shared<const KroneckerFactors>(std::move(fresh));
}

template <Scalar T>
Procedure<Status> Kfac<T>::renew(Session& session, double gamma, std::shared_ptr<KroneckerInverse<T>>& inverse) {
  std::shared_ptr<KroneckerInverse<T>> made;
  if (Status s = KroneckerInverse<T>::create(network_, factors_, form_, made); !s.ok()) co_return s;
  for (std::size_t l = 0; l < made->layers(); ++l) {
    if (Status s = made->damp(session.team(), l, gamma * gamma); !s.ok()) co_return s;
    co_await session.pause();
  }
  inverse = std::move(made);
  co_return Status::success();
}

// Steps 3 and 4.
template <Scalar T>
Procedure<typename Kfac<T>::Proposal> Kfac<T>::propose(Session& session, const Context& context,
                                                       std::shared_ptr<KroneckerInverse<T>> inverse, double gamma) {
  Vectors<T> vectors(session, size_);
  Proposal p;
  p.step = vectors.make();
  p.gamma = gamma;
  p.inverse = std::move(inverse);
  p.scale = 1;
  p.bend = std::numeric_limits<double>::quiet_NaN();
  p.inverse->apply(session.team(), context.g, p.step.data());
  vectors.scale(-1, p.step.data());
  p.slope = vectors.dot(context.g, p.step.data());
  if (rescaling_ == Rescaling::kClip) {
    const double change = std::fabs(context.rate * context.rate * p.slope);
    if (change > 0) p.scale = std::fmin(1, std::sqrt(schedule_value(clip_, updates_) / change));
  }
  if (context.modelled) {
    AlignedBuffer<T> product = vectors.make();
    co_await context.b.apply(session, p.step.data(), product.data());
    const double dd = vectors.dot(p.step.data(), product.data()) + lambda_ * vectors.dot(p.step.data(), p.step.data());
    p.bend = dd;
    if (rescaling_ == Rescaling::kModel) {
      p.scale = dd > 0 ? -p.slope / dd : 0;
      if (!context.b_previous.empty()) {
        const double dp = vectors.dot(p.step.data(), context.b_previous.data());
        const double pp = vectors.dot(previous_.data(), context.b_previous.data());
        const double slope = vectors.dot(context.g, previous_.data());
        const double determinant = dd * pp - dp * dp;
        // Steps along one line have no second dimension to search in.
        if (determinant > 1e-12 * dd * pp) {
          p.scale = -(pp * p.slope - dp * slope) / determinant;
          p.momentum = -(dd * slope - dp * p.slope) / determinant;
        }
        p.bend = p.scale * p.scale * dd + 2 * p.scale * p.momentum * dp + p.momentum * p.momentum * pp;
        p.slope = p.scale * p.slope + p.momentum * slope;
        vectors.combine(p.scale, p.step.data(), p.momentum, previous_.data(), p.step.data());
        co_return p;
      }
    }
  }
  vectors.scale(p.scale, p.step.data());
  p.slope *= p.scale;
  p.bend *= p.scale * p.scale;
  co_return p;
}

template <Scalar T>
Procedure<MinimizerReport> Kfac<T>::update(Session& session, Objective<T>& objective, T* x) {
  Vectors<T> vectors(session, size_);
  MinimizerReport report;
  report.accepted = false;
  const double l2 = objective.l2();
  if (updates_ == 0 || !adapt_) lambda_ = schedule_value(initial_, updates_);
  const bool free_gamma = adapt_ && count_at(gamma_every_, updates_) > 0;
  if (updates_ == 0 || !free_gamma) gamma_ = std::sqrt(lambda_ + l2);
  const double lambda = lambda_;

  AlignedBuffer<T> g = vectors.make();
  const double f = co_await objective.gradient(session, x, Samples::kGradient, g.data(), nullptr);
  report.loss = f;
  if (session.stopped() || !all_finite(vectors, f, g.data())) co_return report;
  const double gradient_norm = vectors.norm(g.data());

  KroneckerFactors fresh;
  co_await session.pause();
  NetworkPoint<T>* const point = objective.point(session, x, Samples::kCurvature);
  const Draws draws{1, static_cast<std::uint64_t>(schedule_value(seed_, 0)), static_cast<std::uint64_t>(updates_)};
  Status status = kronecker_factors(*point, session.team(), sampled_, draws, fresh);
  if (session.stopped()) co_return report;
  const std::shared_ptr<const KroneckerFactors> factors_before = factors_;
  if (status.ok()) take_factors(std::move(fresh));

  Context context;
  context.g = g.data();
  context.rate = schedule_value(learning_rate_, updates_);
  const std::int64_t compete = free_gamma ? due(gamma_every_) : 0, judge = adapt_ ? due(every_) : 0;
  context.modelled = rescaling_ == Rescaling::kModel || compete > 0 || judge > 0;
  if (context.modelled) {
    context.b = co_await objective.curvature(session, x, Samples::kCurvature, Curvature::kGaussNewton);
    if (momentum_ && !previous_.empty()) {
      context.b_previous = vectors.make();
      co_await context.b.apply(session, previous_.data(), context.b_previous.data());
      vectors.add(context.b_previous.data(), lambda, previous_.data(), context.b_previous.data());
    }
  }
  if (session.stopped()) {
    factors_ = factors_before;
    co_return report;
  }

  // Steps 2 to 4.
  double gammas[3] = {gamma_, gamma_, gamma_};
  if (compete > 0) {
    const double c = std::pow(kOmega, static_cast<double>(compete) / 2);
    gammas[1] *= c, gammas[2] /= c;
  }
  const bool renews = inverse_ == nullptr || compete > 0 || updates_ < 3 || due(inverse_every_) > 0;
  Proposal best;
  for (int i = 0; i < (compete > 0 ? 3 : 1) && status.ok(); ++i) {
    const double gamma = std::fmax(gammas[i], std::sqrt(l2));
    std::shared_ptr<KroneckerInverse<T>> inverse = inverse_;
    if (renews) status = co_await renew(session, gamma, inverse);
    if (!status.ok() || session.stopped()) break;
    Proposal proposal = co_await propose(session, context, std::move(inverse), gamma);
    if (session.stopped()) break;
    const bool better = i == 0 || proposal.model(context.rate) < best.model(context.rate);
    if (better) best = std::move(proposal);
  }
  if (session.stopped()) {
    factors_ = factors_before;
    co_return report;
  }

  double rho = std::numeric_limits<double>::quiet_NaN();
  const double w = std::pow(kOmega, static_cast<double>(std::max<std::int64_t>(1, count_at(every_, updates_))));
  bool finite = status.ok() && vectors.all_finite(best.step.data());
  if (finite && judge > 0) {
    AlignedBuffer<T> there = vectors.make();
    const double value =
        co_await value_along(session, objective, x, context.rate, best.step.data(), there.data(), Samples::kGradient);
    if (session.stopped()) {
      factors_ = factors_before;
      co_return report;
    }
    finite = std::isfinite(value);
    rho = (value - f) / best.model(context.rate);
    if (rho > kHighRatio) lambda_ *= w;
    if (!(rho >= kLowRatio)) lambda_ /= w;
  } else if (!finite && adapt_) {
    lambda_ /= w;
    if (free_gamma) gamma_ /= std::sqrt(w);
  }
  if (finite) {
    vectors.scale(context.rate, best.step.data());
    vectors.add(x, 1, best.step.data(), x);
    gamma_ = best.gamma;
    if (renews) inverse_gamma_ = best.gamma;
    inverse_ = std::move(best.inverse);
    report.learning_rate = context.rate * best.scale;
    report.accepted = true;
  } else {
    inverse_ = nullptr;  // made anew with the larger damping
    if (!status.ok()) factors_ = factors_before;
  }
  report.numbers = {{"damping", lambda},          {"dampingAfter", lambda_},
                    {"gamma", best.gamma},        {"reductionRatio", rho},
                    {"modelValue", best.model(context.rate)},
                    {"scale", best.scale},        {"momentum", best.momentum},
                    {"gradientNorm", gradient_norm},
                    {"stepNorm", finite ? vectors.norm(best.step.data()) : 0}};
  if (momentum_ && finite) previous_ = std::move(best.step);
  ++updates_;
  co_return report;
}

// The inverses follow from the factors that they were made of, and gamma.
template <Scalar T>
MinimizerState Kfac<T>::save() const {
  MinimizerState state;
  state.updates = updates_;
  if (updates_ == 0) return state;
  state.numbers = {{"damping", lambda_}, {"gamma", gamma_}};
  if (factors_ != nullptr) save_factors(state, "average", *factors_);
  if (inverse_ != nullptr) {
    state.numbers.emplace_back("inverseGamma", inverse_gamma_);
    save_factors(state, "inverted", *inverse_->factors());
  }
  save_vector(state, "previousStep", previous_);
  return state;
}

template <Scalar T>
Status Kfac<T>::restore(const MinimizerState& state) {
  for (const char* name : {"damping", "gamma", "inverseGamma"}) {
    if (Status s = check_positive(state, name); !s.ok()) return s;
  }
  if (Status s = check_vector(state, "previousStep", size_); !s.ok()) return s;
  std::shared_ptr<const KroneckerFactors> average, inverted;
  for (const auto& [prefix, out] : {std::pair{"average", &average}, std::pair{"inverted", &inverted}}) {
    if (Status s = restore_factors(state, prefix, *network_, *out); !s.ok()) return s;
  }
  std::shared_ptr<KroneckerInverse<T>> inverse;
  const double inverse_gamma = state.number("inverseGamma", 0);
  if (inverted != nullptr) {
    if (Status s = KroneckerInverse<T>::create(network_, inverted, form_, inverse); !s.ok()) return s;
    Team alone;
    if (Status s = inverse->damp(alone, inverse_gamma * inverse_gamma); !s.ok()) return s;
  }
  AlignedBuffer<T> previous = restore_vector<T>(state, "previousStep");
  updates_ = state.updates;
  lambda_ = state.number("damping", 0);
  gamma_ = state.number("gamma", 0);
  inverse_gamma_ = inverse_gamma;
  factors_ = std::move(average);
  inverse_ = std::move(inverse);
  previous_ = std::move(previous);
  return Status::success();
}

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_kfac(RuleOptions& options, const Objective<T>& objective) {
  auto kfac = std::make_unique<Kfac<T>>(options, objective);
  if (objective.layout() == nullptr) {
    options.refuse(Status::error(ErrorCode::kOption, "optimizer", "one that does not need the layers of a network"));
  }
  return kfac;
}
template MinimizerPointer<float> make_kfac(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_kfac(RuleOptions&, const Objective<double>&);

}  // namespace krylov
