// Sophia (Liu et al. 2023, arXiv 2305.14342, algorithm 3): a momentum divided by
// an average of the Hessian's diagonal, every element clipped:
//   every k updates: h = beta2 h + (1 - beta2) h^
//   m = beta1 m + (1 - beta1) g;  x *= 1 - lr weightDecay;  x -= lr clip(m / max(gamma h, epsilon), 1)
// h^ by Gauss-Newton-Bartlett, B g^ . g^ with g^ the mean gradient for labels
// drawn from the model and B the samples; or by Hutchinson, z . Hz with signs z.
//
// Options: name, default, range.
//   learningRate   1e-3   >= 0
//   beta1, beta2   0.96, 0.99   [0, 1)
//   gamma          0.05   > 0    the paper takes 0.01 for hutchinson
//   epsilon        1e-12  > 0
//   weightDecay    0      >= 0   decoupled, times the learning rate
//   every          10     >= 1   the first update always estimates: without h every element would move by the full rate
//   estimator      gaussNewtonBartlett    gaussNewtonBartlett | hutchinson
//   seed           0             of the signs; labels are drawn by the run's seed
#include <algorithm>
#include <cmath>

#include "optimizers/hutchinson_diagonal.h"
#include "optimizers/minimizers.h"
#include "optimizers/newton_support.h"

namespace krylov {
namespace {

constexpr const char* kEstimators[] = {"gaussNewtonBartlett", "hutchinson"};

template <Scalar T>
class Sophia final : public Minimizer<T> {
 public:
  Sophia(RuleOptions& o, std::int64_t size)
      : size_(size), learning_rate_(o.number("learningRate")), beta1_(o.number("beta1")), beta2_(o.number("beta2")),
        gamma_(o.number("gamma")), epsilon_(o.number("epsilon")), decay_(o.number("weightDecay")),
        every_(o.number("every")), seed_(o.number("seed")), bartlett_(o.word("estimator", kEstimators) == 0) {}

  std::uint32_t needs() const noexcept override { return bartlett_ ? kNeedsSampledLabels : kNeedsHessian; }
  std::int64_t updates() const noexcept override { return updates_; }
  Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) override;

  MinimizerState save() const override {
    MinimizerState state;
    state.updates = updates_;
    save_vector(state, "m", m_), save_vector(state, "h", h_);
    return state;
  }
  Status restore(const MinimizerState& state) override {
    for (const char* name : {"m", "h"}) {
      if (Status s = check_vector(state, name, size_); !s.ok()) return s;
    }
    if (state.updates < 0) return Status::error(ErrorCode::kState, "updates", "at least 0", state.updates);
    AlignedBuffer<T> m = restore_vector<T>(state, "m");
    h_ = restore_vector<T>(state, "h");
    m_ = std::move(m);
    updates_ = state.updates;
    return Status::success();
  }

 private:
  // h^ at x into out; false where the session was stopped.
  Procedure<bool> estimate(Session& session, Objective<T>& objective, const T* x, T* out);

  std::int64_t size_, updates_ = 0;
  ScheduleSpec learning_rate_, beta1_, beta2_, gamma_, epsilon_, decay_, every_, seed_;
  bool bartlett_;
  AlignedBuffer<T> m_, h_;
};

template <Scalar T>
Procedure<bool> Sophia<T>::estimate(Session& session, Objective<T>& objective, const T* x, T* out) {
  if (bartlett_) {
    Vectors<T> vectors(session, size_);
    co_await objective.sampled_gradient(session, x, Samples::kCurvature, static_cast<std::uint64_t>(updates_), out);
    if (session.stopped()) co_return false;
    vectors.multiply(out, out, out);
    vectors.scale(static_cast<double>(objective.sample_count(Samples::kCurvature)), out);
    co_return true;
  }
  const auto seed = static_cast<std::uint64_t>(schedule_value(seed_, 0));
  co_await hutchinson_diagonal(session, objective, x, seed, updates_, out);
  co_return !session.stopped();
}

template <Scalar T>
Procedure<MinimizerReport> Sophia<T>::update(Session& session, Objective<T>& objective, T* x) {
  Vectors<T> vectors(session, size_);
  MinimizerReport report;
  report.accepted = false;
  AlignedBuffer<T> g = vectors.make();
  report.loss = co_await objective.gradient(session, x, Samples::kGradient, g.data(), nullptr);
  if (session.stopped() || !all_finite(vectors, report.loss, g.data())) co_return report;

  const double beta2 = schedule_value(beta2_, updates_);
  const std::int64_t every = std::max<std::int64_t>(1, count_at(every_, updates_));
  if (h_.empty() || updates_ % every == 0) {
    AlignedBuffer<T> fresh = vectors.make();
    const bool made = co_await estimate(session, objective, x, fresh.data());
    if (!made) co_return report;
    if (!vectors.all_finite(fresh.data())) {
      report.loss = NAN;
      co_return report;
    }
    if (h_.empty()) h_ = vectors.make();
    vectors.combine(beta2, h_.data(), 1 - beta2, fresh.data(), h_.data());
  }
  if (m_.empty()) m_ = vectors.make();

  const double lr = schedule_value(learning_rate_, updates_), gamma = schedule_value(gamma_, updates_),
               epsilon = schedule_value(epsilon_, updates_), beta1 = schedule_value(beta1_, updates_),
               shrink = 1 - lr * schedule_value(decay_, updates_);
  vectors.combine(beta1, m_.data(), 1 - beta1, g.data(), m_.data());
  double moved = 0, curvature = 0;
  std::int64_t clipped = 0;
  for (std::int64_t i = 0; i < size_; ++i) {
    const double m = static_cast<double>(m_.data()[i]), h = static_cast<double>(h_.data()[i]);
    const double at = static_cast<double>(x[i]);
    const double ratio = m / std::fmax(gamma * h, epsilon);
    const double step = lr * std::fmin(1, std::fmax(-1, ratio));
    clipped += std::fabs(ratio) >= 1 ? 1 : 0;
    curvature += h;
    const double next = at * shrink - step;
    moved += (next - at) * (next - at);
    x[i] = static_cast<T>(next);
  }
  const auto dimension = static_cast<double>(objective.dimension());
  report.accepted = true;
  report.learning_rate = lr;
  report.numbers = {{"gradientNorm", vectors.norm(g.data())},
                    {"stepNorm", std::sqrt(moved)},
                    {"curvature", curvature / dimension},
                    {"clippedShare", static_cast<double>(clipped) / dimension}};
  ++updates_;
  co_return report;
}

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_sophia(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<Sophia<T>>(options, objective.size());
}
template MinimizerPointer<float> make_sophia(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_sophia(RuleOptions&, const Objective<double>&);

}  // namespace krylov
