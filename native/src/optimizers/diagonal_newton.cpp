// Newton's method with a diagonal: x -= lr g / (|h| + damping), h a running
// average of an estimate of the curvature's diagonal (Becker & LeCun 1988; LeCun,
// Bottou, Orr & Müller 1998, "Efficient BackProp", stochastic diagonal
// Levenberg-Marquardt).
//
// Options: name, default, range. mu of the papers is `damping`.
//   learningRate   0.1    >= 0
//   damping        0.1    > 0
//   smoothing      0      [0, 1)   weight of the old average
//   every          1      >= 1     updates from one estimate to the next
//   diagonal       gaussNewtonLeCun   ggn | sampledGgn | empiricalFisher | beckerLeCun | gaussNewtonLeCun
//   seed           0               of sampledGgn's signs
#include <cmath>

#include "krylov/estimates.h"
#include "optimizers/minimizers.h"
#include "optimizers/newton_support.h"

namespace krylov {
namespace {

constexpr const char* kDiagonals[] = {"ggn", "sampledGgn", "empiricalFisher", "beckerLeCun", "gaussNewtonLeCun"};

bool normalises(const std::vector<LayerSpec>& layers) noexcept {
  for (const LayerSpec& layer : layers) {
    if (layer.kind == LayerKind::kLayerNorm || normalises(layer.layers)) return true;
  }
  return false;
}
bool normalises(const NetworkSpec& network) noexcept {
  for (const HeadSpec& head : network.heads) {
    if (normalises(head.layers)) return true;
  }
  return normalises(network.layers);
}

template <Scalar T>
class DiagonalNewton final : public Minimizer<T> {
 public:
  DiagonalNewton(RuleOptions& o, const Objective<T>& objective)
      : size_(objective.size()), learning_rate_(o.number("learningRate")), damping_(o.number("damping")),
        smoothing_(o.number("smoothing")), every_(o.number("every")), seed_(o.number("seed")),
        kind_(static_cast<DiagonalKind>(o.word("diagonal", kDiagonals))) {
    const bool by_layers = kind_ == DiagonalKind::kBeckerLeCun || kind_ == DiagonalKind::kGaussNewtonLeCun;
    if (by_layers && objective.layout() != nullptr && normalises(objective.layout()->spec())) {
      o.refuse(Status::error(ErrorCode::kOption, "diagonal",
                             "'ggn', 'sampledGgn' or 'empiricalFisher' for a network with layerNorm"));
    }
  }

  std::uint32_t needs() const noexcept override {
    return kNeedsNetwork | (kind_ == DiagonalKind::kEmpiricalFisher ? 0u : kNeedsGaussNewton);
  }
  std::int64_t updates() const noexcept override { return updates_; }
  Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) override;

  MinimizerState save() const override {
    MinimizerState state;
    state.updates = updates_;
    save_vector(state, "diagonal", diagonal_);
    return state;
  }
  Status restore(const MinimizerState& state) override {
    if (Status s = check_vector(state, "diagonal", size_); !s.ok()) return s;
    if (state.updates < 0) return Status::error(ErrorCode::kState, "updates", "at least 0", state.updates);
    diagonal_ = restore_vector<T>(state, "diagonal");
    updates_ = state.updates;
    return Status::success();
  }

 private:
  std::int64_t size_, updates_ = 0;
  ScheduleSpec learning_rate_, damping_, smoothing_, every_, seed_;
  DiagonalKind kind_;
  AlignedBuffer<T> diagonal_;
};

template <Scalar T>
Procedure<MinimizerReport> DiagonalNewton<T>::update(Session& session, Objective<T>& objective, T* x) {
  Vectors<T> vectors(session, size_);
  MinimizerReport report;
  report.accepted = false;
  AlignedBuffer<T> g = vectors.make();
  report.loss = co_await objective.gradient(session, x, Samples::kGradient, g.data(), nullptr);
  if (session.stopped() || !all_finite(vectors, report.loss, g.data())) co_return report;

  const std::int64_t every = std::max<std::int64_t>(1, count_at(every_, updates_));
  if (diagonal_.empty() || updates_ % every == 0) {
    NetworkPoint<T>* const point = objective.point(session, x, Samples::kCurvature);
    Draws draws;
    draws.seed = static_cast<std::uint64_t>(schedule_value(seed_, 0));
    draws.first_draw = static_cast<std::uint64_t>(updates_);
    AlignedBuffer<T> fresh = vectors.make();
    const Status made = curvature_diagonal(*point, session.team(), kind_, draws, fresh.data());
    if (!made.ok() || !vectors.all_finite(fresh.data())) {
      report.loss = NAN;
      co_return report;
    }
    co_await session.pause();
    if (session.stopped()) co_return report;
    const double keep = diagonal_.empty() ? 0 : schedule_value(smoothing_, updates_);
    if (keep == 0) {
      diagonal_ = std::move(fresh);
    } else {
      vectors.combine(keep, diagonal_.data(), 1 - keep, fresh.data(), diagonal_.data());
    }
  }

  const double lr = schedule_value(learning_rate_, updates_), damping = schedule_value(damping_, updates_);
  double moved = 0, curvature = 0;
  for (std::int64_t i = 0; i < size_; ++i) {
    const double h = static_cast<double>(diagonal_.data()[i]) + objective.l2();
    const double step = lr * static_cast<double>(g.data()[i]) / (std::fabs(h) + damping);
    moved += step * step;
    curvature += h;
    x[i] = static_cast<T>(static_cast<double>(x[i]) - step);
  }
  report.accepted = true;
  report.learning_rate = lr;
  report.numbers = {{"gradientNorm", vectors.norm(g.data())},
                    {"stepNorm", std::sqrt(moved)},
                    {"curvature", curvature / static_cast<double>(objective.dimension())},
                    {"damping", damping}};
  ++updates_;
  co_return report;
}

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_diagonal_newton(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<DiagonalNewton<T>>(options, objective);
}
template MinimizerPointer<float> make_diagonal_newton(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_diagonal_newton(RuleOptions&, const Objective<double>&);

}  // namespace krylov
