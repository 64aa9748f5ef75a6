// Kronecker factors: Martens & Grosse, "Optimizing neural networks with
// Kronecker-factored approximate curvature" (ICML 2015, arXiv 1503.05671). Gram
// matrices are sums over the batch like weight gradients, with the rows' own
// numbers in the place of the deltas: unit by unit of their lower triangle, by
// the same kernel.
#include "curvature/kronecker.h"

#include <algorithm>

#include "curvature/network_point.h"
#include "curvature/point_task.h"
#include "curvature/roots.h"
#include "kernels/kernel_table.h"
#include "krylov/buffer.h"
#include "krylov/estimates.h"
#include "network/layer.h"

namespace krylov {
namespace {

// Rows of a unit of a Gram matrix, as of a gradient.
constexpr std::int64_t kUnitRows = 64;

// sum_n x_n x_n' of one buffer, in panels [panels][width (+ 1)][P]: the last row sums the x.
struct Gram {
  int buffer = 0;
  bool of_deltas = false, sums = false;
  std::int64_t width = 0, rows = 0, offset = 0;
};

template <Scalar T>
class KroneckerTask final : public PointTask<T> {
 public:
  KroneckerTask(const Network<T>& network, bool sampled, const Draws& draws)
      : network_(network), kind_(sampled ? RootKind::kLabels : RootKind::kColumn),
        draws_(sampled ? draws : Draws{root_columns(network), 0, 0}) {
    std::int64_t size = 0;
    const auto add = [&](int buffer, bool of_deltas, bool sums) {
      Gram gram{buffer, of_deltas, sums, network.buffers()[static_cast<std::size_t>(buffer)].width, 0, size};
      gram.rows = gram.width + (sums ? 1 : 0);
      size += ceil_div(gram.width, kPanel<T>) * gram.rows * kPanel<T>;
      grams_.push_back(gram);
    };
    for (const auto& layer : network.layers()) {
      if (layer->block < 0) continue;
      if (!layer->fuses_derivative()) {  // a normalisation
        normalised_ = true;
        continue;
      }
      const ParameterBlock& block = network.blocks()[static_cast<std::size_t>(layer->block)];
      add(layer->input, false, block.rows > network.buffers()[static_cast<std::size_t>(layer->input)].width);
      add(layer->output, true, false);
    }
    panels_ = AlignedBuffer<T>(static_cast<std::size_t>(size));
    if (normalised_) diagonal_ = AlignedBuffer<T>(static_cast<std::size_t>(network.arena_size()));
    plan();
  }

  PointNeeds<T> needs() const noexcept override { return {.backward = true, .adjoints = true}; }
  int rounds() const noexcept override { return static_cast<int>(draws_.count); }

  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override {
    const Pass<T> pass = part.adjoint_pass();
    const RootSeeds seeds{kind_, draws_.first_draw + static_cast<std::uint64_t>(round), draws_.seed};
    seed_roots(part, seeds, first, count);
    pass.backward(first, count);
    if (!normalised_) return;
    for (const auto& layer : network_.layers()) {
      if (layer->block >= 0 && !layer->fuses_derivative()) layer->square(pass, *part.adjoints, first, count);
    }
  }

  // The inputs' matrices do not depend on the round.
  void columns(const PointPart<T>& part, int round, int thread, int threads) noexcept override {
    const double scale = part.scale / (kind_ == RootKind::kLabels ? static_cast<double>(draws_.count) : 1.0);
    const bool all = round == 0;
    const auto [begin, end] = (all ? all_shares_ : output_shares_).of(thread, threads);
    const std::vector<GradientUnit>& units = all ? all_units_ : output_units_;
    for (std::size_t u = begin; u < end; ++u) {
      if (units[u].layer < 0) {
        diagonal(part, network_.units()[static_cast<std::size_t>(units[u].panel)], scale);
      } else {
        sum(part, units[u], scale);
      }
    }
  }

  void finish(std::int64_t samples, KroneckerFactors& out) const {
    out.layers = kronecker_layers(network_);
    for (std::size_t l = 0; l < out.layers.size(); ++l) {
      KroneckerFactor& factor = out.layers[l];
      factor.input = dense(grams_[2 * l], 1 / static_cast<double>(samples));
      if (factor.bias) factor.input.back() = 1;
      factor.output = dense(grams_[2 * l + 1], 1);
    }
    out.diagonal.assign(diagonal_.data(), diagonal_.data() + diagonal_.size());
  }

 private:
  // Lower triangles in units; normalisations' gradient units after them, with their number as the panel.
  void plan() {
    for (std::size_t g = 0; g < grams_.size(); ++g) {
      const Gram& gram = grams_[g];
      for (std::int64_t panel = 0; panel * kPanel<T> < gram.width; ++panel) {
        for (std::int64_t row = panel * kPanel<T>; row < gram.width; row += kUnitRows) {
          GradientUnit unit;
          unit.layer = static_cast<int>(g);
          unit.panel = panel;
          unit.row0 = row;
          unit.row1 = std::min(row + kUnitRows, gram.width);
          if (unit.row1 == gram.width) unit.row1 = gram.rows;  // with the sums
          unit.offset = gram.offset + (panel * gram.rows + row) * kPanel<T>;
          unit.cost = static_cast<double>((unit.row1 - row) * kPanel<T>);
          all_units_.push_back(unit);
          if (gram.of_deltas) output_units_.push_back(unit);
        }
      }
    }
    for (std::size_t u = 0; normalised_ && u < network_.units().size(); ++u) {
      const GradientUnit& own = network_.units()[u];
      if (network_.layers()[static_cast<std::size_t>(own.layer)]->fuses_derivative()) continue;
      GradientUnit unit = own;
      unit.layer = -1;
      unit.panel = static_cast<std::int64_t>(u);
      all_units_.push_back(unit);
      output_units_.push_back(unit);
    }
    all_shares_ = UnitShares(all_units_);
    output_shares_ = UnitShares(output_units_);
  }

  void sum(const PointPart<T>& part, const GradientUnit& unit, double scale) noexcept {
    const Gram& gram = grams_[static_cast<std::size_t>(unit.layer)];
    const T* matrix = gram.of_deltas ? (*part.adjoints)[gram.buffer] : part.pass.workspace->activation(gram.buffer);
    alignas(kCacheLine) T piece[kUnitElements<T>];
    WeightUnit<T> u{};
    u.x = matrix + unit.row0;
    u.ldx = u.ldd = network_.buffers()[static_cast<std::size_t>(gram.buffer)].ld;
    u.inputs = std::min(unit.row1, gram.width) - unit.row0;
    u.delta = matrix + unit.panel * kPanel<T>;
    u.rows = part.pass.rows;
    u.columns = std::min(gram.width - unit.panel * kPanel<T>, kPanel<T>);
    u.bias = unit.row1 > gram.width;
    u.scale = gram.of_deltas ? static_cast<T>(scale) : T(1);
    u.out = piece;
    kernels<T>().weight_unit(u);
    T* out = panels_.data() + unit.offset;
    kernels<T>().scaled_sum(out, T(1), piece, out, (unit.row1 - unit.row0) * kPanel<T>);
  }

  void diagonal(const PointPart<T>& part, const GradientUnit& unit, double scale) noexcept {
    alignas(kCacheLine) T piece[kUnitElements<T>];
    part.adjoint_pass().squared_gradient(unit, static_cast<T>(scale), piece);
    T* out = diagonal_.data() + unit.offset;
    kernels<T>().scaled_sum(out, T(1), piece, out, (unit.row1 - unit.row0) * kPanel<T>);
  }

  // Whole panels row by row, then the other triangle tile by tile: both keep to few pages.
  std::vector<double> dense(const Gram& gram, double scale) const {
    constexpr std::int64_t kTile = 32;
    const std::int64_t n = gram.rows;
    std::vector<double> out(static_cast<std::size_t>(n * n));
    for (std::int64_t column = 0; column < gram.width; column += kPanel<T>) {
      const T* panel = panels_.data() + gram.offset + column * n;
      const std::int64_t lanes = std::min(kPanel<T>, gram.width - column);
      for (std::int64_t i = column; i < n; ++i) {
        double* row = out.data() + i * n + column;
        for (std::int64_t k = 0; k < lanes; ++k) row[k] = scale * static_cast<double>(panel[i * kPanel<T> + k]);
      }
    }
    for (std::int64_t i0 = 0; i0 < n; i0 += kTile) {
      for (std::int64_t j0 = 0; j0 <= i0; j0 += kTile) {
        for (std::int64_t i = i0; i < std::min(n, i0 + kTile); ++i) {
          for (std::int64_t j = j0; j < std::min(i, j0 + kTile); ++j) {
            out[static_cast<std::size_t>(j * n + i)] = out[static_cast<std::size_t>(i * n + j)];
          }
        }
      }
    }
    return out;
  }

  const Network<T>& network_;
  RootKind kind_;
  Draws draws_;
  bool normalised_ = false;
  std::vector<Gram> grams_;  // of the input and of the output, layer by layer
  std::vector<GradientUnit> all_units_, output_units_;
  UnitShares all_shares_, output_shares_;
  AlignedBuffer<T> panels_, diagonal_;
};

}  // namespace

template <Scalar T>
std::vector<KroneckerFactor> kronecker_layers(const Network<T>& network) {
  std::vector<KroneckerFactor> layers;
  for (const auto& layer : network.layers()) {
    if (layer->block < 0 || !layer->fuses_derivative()) continue;
    const ParameterBlock& block = network.blocks()[static_cast<std::size_t>(layer->block)];
    KroneckerFactor factor;
    factor.block = layer->block;
    factor.inputs = block.rows;
    factor.outputs = block.width;
    factor.bias = block.rows > network.buffers()[static_cast<std::size_t>(layer->input)].width;
    layers.push_back(std::move(factor));
  }
  return layers;
}
template std::vector<KroneckerFactor> kronecker_layers(const Network<float>&);
template std::vector<KroneckerFactor> kronecker_layers(const Network<double>&);

template <Scalar T>
Status kronecker_factors(NetworkPoint<T>& point, Team& team, bool sampled, const Draws& draws, KroneckerFactors& out) {
  if (Status s = point.check(Curvature::kGaussNewton); !s.ok()) return s;
  if (sampled && draws.count < 1) return Status::error(ErrorCode::kOption, "samples", "at least 1", draws.count);
  point.reserve(Curvature::kGaussNewton);
  KroneckerTask<T> task(*point.network(), sampled, draws);
  point.run(team, task);
  task.finish(point.rows(), out);
  return Status::success();
}

template Status kronecker_factors(NetworkPoint<float>&, Team&, bool, const Draws&, KroneckerFactors&);
template Status kronecker_factors(NetworkPoint<double>&, Team&, bool, const Draws&, KroneckerFactors&);

}  // namespace krylov
