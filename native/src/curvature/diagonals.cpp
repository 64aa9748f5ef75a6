// Diagonals of curvature as sums of squares: with S S' = H for each sample, the
// diagonal of J' H J is the sum over the columns s of S of (J' s)^2 by elements;
// a dense layer's squared gradient is (delta^2)' (a^2). With random signs z one
// S z takes the place of all columns (Dangel, Kunstner & Hennig 2020, BackPACK).
#include "curvature/network_point.h"
#include "curvature/point_task.h"
#include "curvature/roots.h"
#include "kernels/kernel_table.h"
#include "krylov/buffer.h"
#include "krylov/estimates.h"
#include "network/layer.h"

namespace krylov {
namespace {

template <Scalar T>
class RootSquaresTask final : public UnitTask<T> {
 public:
  RootSquaresTask(T* out, RootKind kind, const Draws& draws, std::int64_t rounds)
      : UnitTask<T>(out), kind_(kind), draws_(draws), rounds_(static_cast<int>(rounds)) {}
  PointNeeds<T> needs() const noexcept override { return {.backward = true, .adjoints = true}; }
  int rounds() const noexcept override { return rounds_; }

  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override {
    const Pass<T> pass = part.adjoint_pass();
    const RootSeeds seeds{kind_, draws_.first_draw + static_cast<std::uint64_t>(round), draws_.seed};
    seed_roots(part, seeds, first, count);
    pass.backward(first, count);
    pass.square(*part.adjoints, first, count);
  }

 protected:
  void unit(const PointPart<T>& part, int, const GradientUnit& unit, T* out) noexcept override {
    const double samples = kind_ == RootKind::kColumn ? 1.0 : static_cast<double>(rounds_);
    part.adjoint_pass().squared_gradient(unit, static_cast<T>(part.scale / samples), out);
  }

 private:
  RootKind kind_;
  Draws draws_;
  int rounds_;
};

// Becker & LeCun, "Improving the convergence of back-propagation learning with second order methods" (1988); per sample
// and layer, from the outputs on,
//   h_z = act'(z)^2 h_a + act''(z) d(loss)/da,   h_W = h_z (x) a^2,   h_a of the layer before = h_z W^2,
// where all squares are by elements. LeCun, Bottou, Orr & Müller, "Efficient BackProp" (1998) leave out act''.
template <Scalar T>
class LayerwiseTask final : public UnitTask<T> {
 public:
  LayerwiseTask(const NetworkPoint<T>& point, bool curved, T* out)
      : UnitTask<T>(out), curved_(curved), squares_(static_cast<std::size_t>(point.network()->transposed_size())) {
    const Network<T>& network = *point.network();
    AlignedBuffer<T> squared(static_cast<std::size_t>(network.arena_size()));
    for (std::size_t i = 0; i < squared.size(); ++i) squared[i] = point.parameters()[i] * point.parameters()[i];
    network.transpose(squared.data(), squares_.data());
  }
  PointNeeds<T> needs() const noexcept override {
    return {.level = curved_ ? PointLevel::kCurves : PointLevel::kForward, .adjoints = true};
  }

  void rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept override {
    const Pass<T> pass = part.adjoint_pass();
    const Network<T>& network = *pass.network;
    for (std::size_t h = 0; h < network.heads().size(); ++h) {
      const HeadInfo& head = network.heads()[h];
      LossCurvatureRows<T> rows = part.batch->curvature_rows(pass, h, part.deltas, first, count);
      rows.ld_out = rows.ldo;
      rows.out = (*part.adjoints)[head.buffer] + first * rows.ld_out;
      kernels<T>().loss_curvature_diagonal_rows(rows);
    }
    const auto layers = network.layers();
    for (std::size_t i = layers.size(); i-- > 0;) {
      if (layers[i]->block < 0) {
        layers[i]->backward(pass, first, count);  // linear with ones: a sum of what went in
      } else {
        dense(part, *layers[i], first, count);
      }
    }
  }

 protected:
  void unit(const PointPart<T>& part, int, const GradientUnit& unit, T* out) noexcept override {
    part.adjoint_pass().squared_gradient(unit, static_cast<T>(part.scale), out);
  }

 private:
  void dense(const PointPart<T>& part, const Layer<T>& layer, std::int64_t first, std::int64_t count) const noexcept {
    const KernelTable<T>& k = kernels<T>();
    const Workspace<T>& w = *part.pass.workspace;
    const BufferInfo& in = part.pass.network->buffers()[static_cast<std::size_t>(layer.input)];
    const BufferInfo& out = part.pass.network->buffers()[static_cast<std::size_t>(layer.output)];
    const std::int64_t columns = round_up(out.width, kPanel<T>);
    T* h = (*part.adjoints)[layer.output] + first * out.ld;
    if (out.activation.kind != Activation::kIdentity) {
      const T* saved = (out.has_slope ? w.slope(layer.output) : w.activation(layer.output)) + first * out.ld;
      for (int power = 0; power < 2; ++power) {
        k.multiply_slope(out.activation, saved, out.ld, h, out.ld, count, columns);
      }
    }
    if (curved_ && out.has_curve) {
      const T* curve = (*part.curves)[layer.output] + first * out.ld;
      k.add(h, out.ld, curve, out.ld, h, out.ld, count, columns);
    }
    const T* a = w.activation(layer.input) + first * in.ld;
    T* squared = w.tangent(layer.input) + first * in.ld;
    k.multiply(a, in.ld, a, in.ld, squared, in.ld, false, count, round_up(in.width, kPanel<T>));
    if (!layer.input_delta) return;
    PanelProduct<T> p{};
    p.a = h, p.lda = out.ld, p.rows = count, p.depth = out.width;
    p.b = squares_.data() + layer.transposed_offset, p.panel_rows = out.width, p.columns = in.width;
    p.c = (*part.adjoints)[layer.input] + first * in.ld, p.ldc = in.ld;
    p.accumulate = layer.accumulate;
    k.panel_product(p);
  }

  bool curved_;
  AlignedBuffer<T> squares_;  // transposed copy of the squared weights
};

template <Scalar T>
bool has_normalisation(const Network<T>& network) noexcept {
  for (const auto& layer : network.layers()) {
    if (layer->block >= 0 && !layer->fuses_derivative()) return true;  // parameters, but not a dense layer
  }
  return false;
}

}  // namespace

template <Scalar T>
Status curvature_diagonal(NetworkPoint<T>& point, Team& team, DiagonalKind kind, const Draws& draws, T* out) {
  if (kind == DiagonalKind::kEmpiricalFisher) {
    point.reserve(Curvature::kEmpiricalFisher);
    AlignedBuffer<T> unused(static_cast<std::size_t>(point.network()->arena_size()));
    point.gradient(team, unused.data(), out);
    return Status::success();
  }
  if (Status s = point.check(Curvature::kGaussNewton); !s.ok()) return s;
  point.reserve(Curvature::kGaussNewton);
  if (kind == DiagonalKind::kGaussNewton || kind == DiagonalKind::kSampledGaussNewton) {
    const bool exact = kind == DiagonalKind::kGaussNewton;
    if (!exact && draws.count < 1) {
      return Status::error(ErrorCode::kOption, "samples", "at least 1", draws.count);
    }
    const std::int64_t rounds = exact ? root_columns(*point.network()) : draws.count;
    RootSquaresTask<T> task(out, exact ? RootKind::kColumn : RootKind::kSigns, exact ? Draws{} : draws, rounds);
    point.run(team, task);
    return Status::success();
  }
  if (has_normalisation(*point.network())) {
    return Status::error(ErrorCode::kOption, "diagonal", "another kind for a network with layerNorm");
  }
  const bool curved = kind == DiagonalKind::kBeckerLeCun;
  if (curved) point.reserve(Curvature::kHessian);
  LayerwiseTask<T> task(point, curved, out);
  point.run(team, task);
  return Status::success();
}

template Status curvature_diagonal(NetworkPoint<float>&, Team&, DiagonalKind, const Draws&, float*);
template Status curvature_diagonal(NetworkPoint<double>&, Team&, DiagonalKind, const Draws&, double*);

}  // namespace krylov
