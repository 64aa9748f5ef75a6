// The Fisher matrix with labels drawn from the model. A product with the drawn
// gradients is that of the empirical Fisher matrix: s_n = g_n' v from each
// layer's own input, then the gradient of the deltas scaled by s. No tangent
// travels from layer to layer.
#include <cmath>
#include <cstring>
#include <mutex>

#include "curvature/network_point.h"
#include "curvature/point_task.h"
#include "curvature/roots.h"
#include "kernels/kernel_table.h"
#include "krylov/estimates.h"
#include "network/layer.h"

namespace krylov {
namespace {

RootSeeds labels_of(const Draws& draws, int round) noexcept {
  return {RootKind::kLabels, draws.first_draw + static_cast<std::uint64_t>(round), draws.seed};
}

// Deltas of the drawn labels into sets of their own, one a draw.
template <Scalar T>
class DrawTask final : public PointTask<T> {
 public:
  DrawTask(const Draws& draws, const std::vector<BatchMatrices<T>>& kept) : draws_(draws), kept_(kept) {}
  PointNeeds<T> needs() const noexcept override { return {.backward = true, .adjoints = true}; }
  int rounds() const noexcept override { return static_cast<int>(kept_.size()); }
  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override {
    PointPart<T> mine = part;
    mine.adjoints = &kept_[static_cast<std::size_t>(round)];
    seed_roots(mine, labels_of(draws_, round), first, count);
    mine.adjoint_pass().backward(first, count);
  }

 private:
  Draws draws_;
  const std::vector<BatchMatrices<T>>& kept_;
};

// `kept`: deltas of DrawTask; empty: drawn and propagated anew.
template <Scalar T>
class SampledFisherTask final : public UnitTask<T> {
 public:
  SampledFisherTask(const Draws& draws, const std::vector<BatchMatrices<T>>& kept, const T* v, T* out, double l2)
      : UnitTask<T>(out, l2, v), draws_(draws), kept_(kept), v_(v) {}
  PointNeeds<T> needs() const noexcept override { return {.backward = kept_.empty(), .adjoints = true}; }
  int rounds() const noexcept override { return static_cast<int>(draws_.count); }

  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override {
    PointPart<T> drawn = part;
    if (kept_.empty()) {
      seed_roots(part, labels_of(draws_, round), first, count);
      part.adjoint_pass().backward(first, count);
    } else {
      drawn.adjoints = &kept_[static_cast<std::size_t>(round)];
    }
    double products[PointTask<T>::kBlockRows] = {};
    drawn.adjoint_pass().per_sample_products(v_, first, count, products);
    for (const auto& layer : part.pass.network->layers()) {
      if (layer->block < 0) continue;
      const BufferInfo& info = part.pass.network->buffers()[static_cast<std::size_t>(layer->output)];
      const std::int64_t columns = round_up(info.width, kPanel<T>);
      const T* from = (*drawn.adjoints)[layer->output] + first * info.ld;
      T* to = (*part.adjoints)[layer->output] + first * info.ld;
      for (std::int64_t r = 0; r < count; ++r, from += info.ld, to += info.ld) {
        if (from != to) std::memcpy(to, from, static_cast<std::size_t>(columns) * sizeof(T));
        kernels<T>().scale(static_cast<T>(products[r]), to, columns);
      }
    }
  }

 protected:
  void unit(const PointPart<T>& part, int, const GradientUnit& unit, T* out) noexcept override {
    part.adjoint_pass().gradient(unit, static_cast<T>(part.scale / static_cast<double>(draws_.count)), out);
  }

 private:
  Draws draws_;
  const std::vector<BatchMatrices<T>>& kept_;
  const T* v_;
};

template <Scalar T>
class SampledFisherOperator final : public LinearOperator<T> {
 public:
  SampledFisherOperator(std::shared_ptr<NetworkPoint<T>> point, const Draws& draws)
      : point_(std::move(point)), draws_(draws) {
    point_->reserve(Curvature::kFisher);
    if (!point_->cached()) return;
    for (std::int64_t d = 0; d < draws.count; ++d) {
      kept_.emplace_back(*point_->network(), point_->rows(), MatrixKind::kDelta);
    }
  }
  std::int64_t rows() const noexcept override { return point_->network()->arena_size(); }
  VectorLayout<T> layout() const noexcept override { return point_->network(); }
  int threads() const noexcept override { return point_->threads(); }
  void apply(Team& team, const T* v, T* out) noexcept override {
    draw(team);
    SampledFisherTask<T> task(draws_, kept_, v, out, point_->l2());
    point_->run(team, task);
  }
  void apply_transposed(Team& team, const T* u, T* out) noexcept override { apply(team, u, out); }

 private:
  void draw(Team& team) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (drawn_ || kept_.empty()) return;
    DrawTask<T> task(draws_, kept_);
    point_->run(team, task);
    drawn_ = true;
  }
  std::shared_ptr<NetworkPoint<T>> point_;
  Draws draws_;
  std::vector<BatchMatrices<T>> kept_;
  std::mutex mutex_;
  bool drawn_ = false;
};

template <Scalar T>
class SampledGradientTask final : public UnitTask<T> {
 public:
  SampledGradientTask(const Draws& draws, std::int64_t rows, T* out)
      : UnitTask<T>(out), draws_(draws), rows_(static_cast<double>(rows)) {}
  PointNeeds<T> needs() const noexcept override { return {.backward = true, .adjoints = true}; }
  void rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept override {
    seed_roots(part, labels_of(draws_, 0), first, count);
    part.adjoint_pass().backward(first, count);
  }

 protected:
  // Deltas have second moments f H; the reduced loss's curvature is scale * sum f H.
  void unit(const PointPart<T>& part, int, const GradientUnit& unit, T* out) noexcept override {
    part.adjoint_pass().gradient(unit, static_cast<T>(std::sqrt(part.scale / rows_)), out);
  }

 private:
  Draws draws_;
  double rows_;
};

}  // namespace

template <Scalar T>
Status sampled_fisher_operator(std::shared_ptr<NetworkPoint<T>> point, const Draws& draws,
                               std::shared_ptr<LinearOperator<T>>& out) {
  if (Status s = point->check(Curvature::kFisher); !s.ok()) return s;
  if (draws.count < 1) return Status::error(ErrorCode::kOption, "samples", "at least 1", draws.count);
  out = std::make_shared<SampledFisherOperator<T>>(std::move(point), draws);
  return Status::success();
}

template <Scalar T>
Status sampled_gradient(NetworkPoint<T>& point, Team& team, const Draws& draws, T* out) {
  if (Status s = point.check(Curvature::kFisher); !s.ok()) return s;
  point.reserve(Curvature::kFisher);
  SampledGradientTask<T> task(draws, point.rows(), out);
  point.run(team, task);
  return Status::success();
}

#define KRYLOV_INSTANTIATE(T)                                                                            \
  template Status sampled_fisher_operator(std::shared_ptr<NetworkPoint<T>>, const Draws&,                \
                                          std::shared_ptr<LinearOperator<T>>&);                          \
  template Status sampled_gradient(NetworkPoint<T>&, Team&, const Draws&, T*);
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
