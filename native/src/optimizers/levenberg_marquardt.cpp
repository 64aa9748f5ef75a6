// Levenberg-Marquardt for sums of squares of few parameters, with the whole
// Jacobian: (J'J + mu I) d = -J'e by Cholesky, in float64. One update is an
// epoch of `trainlm` (Hagan & Menhaj 1994, as MATLAB documents it): mu grows
// until the sum of squares E falls, J stays. With the schedule `nielsen` (Madsen,
// Nielsen & Tingleff 2004, algorithm 3.16) an update is one try, accepted or not.
// mu is relative to the unnormalised J'J; l2's term joins both sides.
//
// Options: name, default, range.
//   schedule              trainlm         trainlm | nielsen
//   damping.initial       1e-3   > 0      mu of the first try; nielsen: as a part of the largest element of diag(J'J)
//   damping.drop          0.1    (0, 1)   trainlm: factor after success
//   damping.boost         10     > 1      trainlm: factor after failure
//   damping.maximum       1e10   > 0      converged ("damping") beyond it
//   damping.minimum       1e-20  >= 0     trainlm: never below it
//   gradientTolerance     1e-7   >= 0     converged at |2 J'e| <= this
//   goal                  0      >= 0     converged at a loss <= this
#include <algorithm>
#include <cmath>

#include "optimizers/minimizers.h"
#include "optimizers/newton_support.h"
#include "solvers/dense.h"

namespace krylov {
namespace {

constexpr const char* kSchedules[] = {"trainlm", "nielsen"};
constexpr std::int64_t kMostParameters = 10'000;  // J'J then takes 800 MB

template <Scalar T>
class LevenbergMarquardt final : public Minimizer<T> {
 public:
  LevenbergMarquardt(RuleOptions& o, const Objective<T>& objective)
      : size_(objective.size()), n_(objective.dimension()), initial_(o.number("damping.initial")),
        drop_(o.number("damping.drop")), boost_(o.number("damping.boost")), maximum_(o.number("damping.maximum")),
        minimum_(o.number("damping.minimum")), gradient_tolerance_(o.number("gradientTolerance")),
        goal_(o.number("goal")), nielsen_(o.word("schedule", kSchedules) == 1) {
    if (n_ > kMostParameters) {
      o.refuse(Status::error(ErrorCode::kOption, "optimizer",
                             "at most 10000 parameters for levenbergMarquardt, whose normal equations are dense", n_));
    }
  }

  std::uint32_t needs() const noexcept override { return kNeedsResiduals; }
  std::int64_t updates() const noexcept override { return updates_; }
  bool knows(const Objective<T>& objective, const T* x) const noexcept override {
    return !equations_at_.empty() && objective.steady() &&
           std::memcmp(equations_at_.data(), x, equations_at_.bytes()) == 0;
  }
  Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) override;

  MinimizerState save() const override {
    MinimizerState state;
    state.updates = updates_;
    if (mu_ > 0) state.numbers = {{"damping", mu_}, {"growth", nu_}};
    return state;
  }
  Status restore(const MinimizerState& state) override {
    if (Status s = check_positive(state, "damping"); !s.ok()) return s;
    if (Status s = check_positive(state, "growth"); !s.ok()) return s;
    updates_ = state.updates;
    mu_ = state.number("damping", 0);
    nu_ = state.number("growth", 2);
    equations_at_ = {};
    return Status::success();
  }

 private:
  // J'J, J'e with l2's part, and E at x; kept while x stays.
  Procedure<double> equations(Session& session, Objective<T>& objective, const T* x);
  // d of the damped equations; false where they are not positive definite.
  bool solve(double mu);
  double weighted_square(const std::vector<double>& v) const noexcept;

  std::int64_t size_, n_, updates_ = 0;
  ScheduleSpec initial_, drop_, boost_, maximum_, minimum_, gradient_tolerance_, goal_;
  bool nielsen_;
  double mu_ = 0, nu_ = 2;
  double sum_ = 0;   // E at equations_at_, with l2's part
  double decay_ = 0; // l2 as a part of E: factor * E + l2 |x|^2 / 2 = factor * (E + decay |x|^2)
  AlignedBuffer<T> equations_at_;
  std::vector<double> normal_, factor_, gradient_, step_, plain_, trial_;
};

double square(const std::vector<double>& v) noexcept {
  double sum = 0;
  for (const double a : v) sum += a * a;
  return sum;
}

template <Scalar T>
double LevenbergMarquardt<T>::weighted_square(const std::vector<double>& v) const noexcept {
  return decay_ == 0 ? 0 : decay_ * square(v);
}

template <Scalar T>
Procedure<double> LevenbergMarquardt<T>::equations(Session& session, Objective<T>& objective, const T* x) {
  const auto n = static_cast<std::size_t>(n_);
  if (knows(objective, x)) co_return sum_;
  if (normal_.size() != n * n) {
    normal_.resize(n * n), factor_.resize(n * n);
    for (auto* v : {&gradient_, &step_, &plain_, &trial_}) v->resize(n);
  }
  equations_at_ = {};
  decay_ = 0.5 * objective.l2() / objective.residual_factor();
  objective.to_plain(x, plain_);
  sum_ = co_await objective.residuals(session, x, normal_.data(), gradient_.data());
  if (session.stopped() || !std::isfinite(sum_)) co_return sum_;
  sum_ += weighted_square(plain_);
  for (std::size_t i = 0; i < n; ++i) {
    gradient_[i] += decay_ * plain_[i];
    normal_[i * n + i] += decay_;
  }
  AlignedBuffer<T> at(static_cast<std::size_t>(size_));
  std::memcpy(at.data(), x, at.bytes());
  equations_at_ = std::move(at);
  co_return sum_;
}

template <Scalar T>
bool LevenbergMarquardt<T>::solve(double mu) {
  factor_ = normal_;
  const auto n = static_cast<std::size_t>(n_);
  for (std::size_t i = 0; i < n; ++i) factor_[i * n + i] += mu;
  if (!cholesky(factor_.data(), n_)) return false;
  for (std::size_t i = 0; i < n; ++i) step_[i] = -gradient_[i];
  cholesky_solve(factor_.data(), n_, step_.data());
  return true;
}

template <Scalar T>
Procedure<MinimizerReport> LevenbergMarquardt<T>::update(Session& session, Objective<T>& objective, T* x) {
  MinimizerReport report;
  report.accepted = false;
  const double sum = co_await equations(session, objective, x);
  report.loss = objective.residual_factor() * sum;
  if (session.stopped() || !std::isfinite(sum)) co_return report;
  const double gradient_norm = 2 * std::sqrt(square(gradient_));
  if (!std::isfinite(gradient_norm)) {
    report.loss = NAN;
    co_return report;
  }
  const double maximum = schedule_value(maximum_, updates_);
  if (!(mu_ > 0)) {
    mu_ = schedule_value(initial_, 0);
    if (nielsen_) {
      double largest = 0;
      for (std::int64_t i = 0; i < n_; ++i) largest = std::fmax(largest, normal_[static_cast<std::size_t>(i * n_ + i)]);
      mu_ *= largest;
    }
  }
  if (report.loss <= schedule_value(goal_, updates_)) {
    report.converged = "goal";
  } else if (gradient_norm <= schedule_value(gradient_tolerance_, updates_)) {
    report.converged = "gradientTolerance";
  } else if (mu_ > maximum) {
    report.converged = "damping";
  }

  std::int64_t tries = 0;
  const double first = mu_;
  double gain = 0, used = first;
  AlignedBuffer<T> point(static_cast<std::size_t>(size_));
  while (report.converged[0] == '\0' && !report.accepted && mu_ <= maximum && (tries == 0 || !nielsen_)) {
    ++tries;
    used = mu_;
    double there = HUGE_VAL;
    if (solve(mu_)) {
      for (std::size_t i = 0; i < step_.size(); ++i) trial_[i] = plain_[i] + step_[i];
      objective.from_plain(trial_, point.data());
      there = co_await objective.residuals(session, point.data(), nullptr, nullptr);
      if (session.stopped()) {
        mu_ = first;
        co_return report;
      }
      there += weighted_square(trial_);
      double predicted = 0;
      for (std::size_t i = 0; i < step_.size(); ++i) predicted += step_[i] * (mu_ * step_[i] - gradient_[i]);
      gain = (sum - there) / predicted;
    }
    report.accepted = nielsen_ ? gain > 0 && there < sum : there < sum;
    if (nielsen_) {
      if (report.accepted) {
        mu_ *= std::fmax(1.0 / 3, 1 - std::pow(2 * gain - 1, 3));
        nu_ = 2;
      } else {
        mu_ *= nu_;
        nu_ *= 2;
      }
    } else {
      mu_ *= schedule_value(report.accepted ? drop_ : boost_, updates_);
      if (report.accepted) mu_ = std::fmax(mu_, schedule_value(minimum_, updates_));
    }
  }
  if (report.accepted) {
    std::memcpy(x, point.data(), static_cast<std::size_t>(size_) * sizeof(T));
    report.learning_rate = 1;
  }
  report.numbers = {{"damping", used},
                    {"dampingAfter", mu_},
                    {"tries", static_cast<double>(tries)},
                    {"reductionRatio", gain},
                    {"sumOfSquares", sum},
                    {"gradientNorm", gradient_norm},
                    {"stepNorm", report.accepted ? std::sqrt(square(step_)) : 0}};
  if (report.converged[0] == '\0') ++updates_;
  co_return report;
}

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_levenberg_marquardt(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<LevenbergMarquardt<T>>(options, objective);
}
template MinimizerPointer<float> make_levenberg_marquardt(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_levenberg_marquardt(RuleOptions&, const Objective<double>&);

}  // namespace krylov
