// AdaHessian: Adam's moments, the second of them over an estimate of the
// Hessian's diagonal, |z . Hz| for random signs z (Yao et al. 2020,
// arXiv 2006.00719; rule of the authors' program, without spatial averaging):
//   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) D^2
//   x -= lr (m / (1 - beta1^t) / ((sqrt(v) / sqrt(1 - beta2^t))^power + epsilon) + weightDecay x)
//
// Options: name, default, range.
//   learningRate   0.15    >= 0
//   beta1, beta2   0.9, 0.999   [0, 1)
//   epsilon        1e-4    >= 0    outside the power
//   hessianPower   1       (0, 1]
//   weightDecay    0       >= 0    decoupled, times the learning rate
//   every          1       >= 1    updates from one estimate to the next; the last one stands meanwhile
//   seed           0               of the signs
#include <cmath>

#include "optimizers/hutchinson_diagonal.h"
#include "optimizers/minimizers.h"
#include "optimizers/newton_support.h"

namespace krylov {
namespace {

template <Scalar T>
class AdaHessian final : public Minimizer<T> {
 public:
  AdaHessian(RuleOptions& o, std::int64_t size)
      : size_(size), learning_rate_(o.number("learningRate")), beta1_(o.number("beta1")), beta2_(o.number("beta2")),
        epsilon_(o.number("epsilon")), power_(o.number("hessianPower")), decay_(o.number("weightDecay")),
        every_(o.number("every")), seed_(o.number("seed")) {}

  std::uint32_t needs() const noexcept override { return kNeedsHessian; }
  std::int64_t updates() const noexcept override { return updates_; }
  Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) override;

  MinimizerState save() const override {
    MinimizerState state;
    state.updates = updates_;
    state.numbers = {{"beta1Power", power1_}, {"beta2Power", power2_}};
    save_vector(state, "m", m_), save_vector(state, "v", v_), save_vector(state, "diagonal", diagonal_);
    return state;
  }
  Status restore(const MinimizerState& state) override {
    for (const char* name : {"m", "v", "diagonal"}) {
      if (Status s = check_vector(state, name, size_); !s.ok()) return s;
    }
    if (Status s = check_positive(state, "beta1Power"); !s.ok()) return s;
    if (Status s = check_positive(state, "beta2Power"); !s.ok()) return s;
    AlignedBuffer<T> m = restore_vector<T>(state, "m"), v = restore_vector<T>(state, "v");
    diagonal_ = restore_vector<T>(state, "diagonal");
    m_ = std::move(m), v_ = std::move(v);
    updates_ = state.updates;
    power1_ = state.number("beta1Power", 1), power2_ = state.number("beta2Power", 1);
    return Status::success();
  }

 private:
  std::int64_t size_, updates_ = 0;
  ScheduleSpec learning_rate_, beta1_, beta2_, epsilon_, power_, decay_, every_, seed_;
  double power1_ = 1, power2_ = 1;  // products of the betas so far
  AlignedBuffer<T> m_, v_, diagonal_;
};

template <Scalar T>
Procedure<MinimizerReport> AdaHessian<T>::update(Session& session, Objective<T>& objective, T* x) {
  Vectors<T> vectors(session, size_);
  MinimizerReport report;
  report.accepted = false;
  AlignedBuffer<T> g = vectors.make();
  report.loss = co_await objective.gradient(session, x, Samples::kGradient, g.data(), nullptr);
  if (session.stopped() || !all_finite(vectors, report.loss, g.data())) co_return report;

  const std::int64_t every = std::max<std::int64_t>(1, count_at(every_, updates_));
  AlignedBuffer<T> fresh;
  double curvature = 0;
  if (diagonal_.empty() || updates_ % every == 0) {
    fresh = vectors.make();
    const auto seed = static_cast<std::uint64_t>(schedule_value(seed_, 0));
    co_await hutchinson_diagonal(session, objective, x, seed, updates_, fresh.data());
    if (session.stopped()) co_return report;
    if (!vectors.all_finite(fresh.data())) {
      report.loss = NAN;
      co_return report;
    }
  }
  if (!fresh.empty()) diagonal_ = std::move(fresh);
  if (m_.empty()) m_ = vectors.make(), v_ = vectors.make();

  const double lr = schedule_value(learning_rate_, updates_), beta1 = schedule_value(beta1_, updates_),
               beta2 = schedule_value(beta2_, updates_), epsilon = schedule_value(epsilon_, updates_),
               power = schedule_value(power_, updates_), decay = schedule_value(decay_, updates_);
  power1_ *= beta1, power2_ *= beta2;
  const double correction1 = 1 - power1_, root2 = std::sqrt(1 - power2_);
  double moved = 0;
  for (std::int64_t i = 0; i < size_; ++i) {
    const double d = static_cast<double>(diagonal_.data()[i]);
    const double m = beta1 * static_cast<double>(m_.data()[i]) + (1 - beta1) * static_cast<double>(g.data()[i]);
    const double v = beta2 * static_cast<double>(v_.data()[i]) + (1 - beta2) * d * d;
    m_.data()[i] = static_cast<T>(m), v_.data()[i] = static_cast<T>(v);
    const double root = std::sqrt(v) / root2;
    const double scale = (power == 1 ? root : std::pow(root, power)) + epsilon;
    const double at = static_cast<double>(x[i]);
    // 0 / 0, in the padding for one, where epsilon is 0.
    const double slope = m == 0 ? 0 : m / correction1 / scale;
    const double step = lr * (slope + decay * at);
    moved += step * step, curvature += d;
    x[i] = static_cast<T>(at - step);
  }
  report.accepted = true;
  report.learning_rate = lr;
  report.numbers = {{"gradientNorm", vectors.norm(g.data())},
                    {"stepNorm", std::sqrt(moved)},
                    {"curvature", curvature / static_cast<double>(objective.dimension())}};
  ++updates_;
  co_return report;
}

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_adahessian(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<AdaHessian<T>>(options, objective.size());
}
template MinimizerPointer<float> make_adahessian(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_adahessian(RuleOptions&, const Objective<double>&);

}  // namespace krylov
