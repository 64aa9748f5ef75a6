#include "samples/sample_factors.h"

#include <algorithm>
#include <cstring>

#include "kernels/kernel_table.h"
#include "network/layer.h"

namespace krylov {

template <Scalar T>
SampleFactors<T>::SampleFactors(const Network<T>& network, std::int64_t samples, std::int64_t columns)
    : samples_(samples), columns_(columns), layers_(network.blocks().size()) {
  Workspace<T> one(network, 1, WorkspaceKind::kBackward);
  Pass<T> pass;
  pass.network = &network;
  pass.workspace = &one;
  for (const auto& layer : network.layers()) {
    if (layer->block < 0) continue;
    const RowFactors<T> row = layer->row_factors(pass, 0);
    Factor& factor = layers_[static_cast<std::size_t>(layer->block)];
    factor.outer = row.outer;
    factor.bias = row.bias;
    factor.inputs = row.outer ? row.inputs : 0;
    factor.outputs = row.outer ? row.outputs : 2 * row.outputs;
    factor.x = AlignedBuffer<T>(static_cast<std::size_t>(samples * factor.inputs));
    factor.delta = AlignedBuffer<T>(static_cast<std::size_t>(samples * columns * factor.outputs));
  }
}

template <Scalar T>
void SampleFactors<T>::keep(const Pass<T>& pass, std::int64_t row, std::int64_t sample, std::int64_t column) noexcept {
  for (const auto& layer : pass.network->layers()) {
    if (layer->block < 0) continue;
    const RowFactors<T> from = layer->row_factors(pass, row);
    Factor& to = layers_[static_cast<std::size_t>(layer->block)];
    T* const delta = to.delta.data() + (sample * columns_ + column) * to.outputs;
    if (!to.outer) {
      for (std::int64_t k = 0; k < from.outputs; ++k) {
        delta[k] = from.delta[k] * from.x[k];
        delta[from.outputs + k] = from.delta[k];
      }
      continue;
    }
    std::memcpy(delta, from.delta, static_cast<std::size_t>(to.outputs) * sizeof(T));
    if (column == 0) {
      std::memcpy(to.x.data() + sample * to.inputs, from.x, static_cast<std::size_t>(to.inputs) * sizeof(T));
    }
  }
}

namespace {

constexpr std::int64_t kLanes = kPanel<double>;
// Rows of a tile: a multiple of register tiles; two operands of 784 columns fill about a second-level cache.
constexpr std::int64_t kTileRows = 48;

// Rows of a float matrix.
template <Scalar T>
struct Rows {
  const T* data;
  std::int64_t stride, count;
};

template <Scalar T>
class PairTiles {
 public:
  PairTiles(const SampleFactors<T>& a, const SampleFactors<T>& b, PairProducts kind, bool by_layer, int threads,
            double* out)
      : a_(a), b_(b), all_(kind == PairProducts::kAllColumns), by_layer_(by_layer), symmetric_(&a == &b), out_(out) {
    columns_ = all_ ? a.columns() : 1;
    side_ = std::max<std::int64_t>(kTileRows / columns_, 1);
    height_ = side_ * columns_;
    ld_ = round_up(height_, kLanes);
    for (std::size_t l = 0; l < a.layers(); ++l) {
      const auto& factor = a.factor(l);
      operand_ = std::max(operand_, std::max(side_ * factor.inputs, ld_ * factor.outputs));
      operand_ = std::max(operand_, round_up(side_, kLanes) * factor.inputs);
    }
    const std::int64_t scratch = round_up(2 * operand_ + 3 * height_ * ld_, kLanes * 8);
    scratch_size_ = static_cast<std::size_t>(scratch);
    scratch_ = AlignedBuffer<double>(scratch_size_ * static_cast<std::size_t>(threads));
    blocks_a_ = ceil_div(a.samples(), side_);
    blocks_b_ = ceil_div(b.samples(), side_);
  }

  static void body(void* context, int thread, int threads) noexcept {
    static_cast<PairTiles*>(context)->work(thread, threads);
  }

 private:
  void work(int thread, int threads) noexcept {
    std::int64_t tile = 0;
    for (std::int64_t i = 0; i < blocks_a_; ++i) {
      for (std::int64_t j = symmetric_ ? i : 0; j < blocks_b_; ++j, ++tile) {
        if (tile % threads == thread) compute(i * side_, j * side_, thread);
      }
    }
  }

  // c[i][j] = sum over depth of a_i b_j.
  void product(const Rows<T>& a, const Rows<T>& b, std::int64_t depth, double* scratch, double* c) const noexcept {
    double* const left = scratch;
    double* const right = scratch + operand_;
    for (std::int64_t i = 0; i < a.count; ++i) {
      for (std::int64_t k = 0; k < depth; ++k) left[i * depth + k] = static_cast<double>(a.data[i * a.stride + k]);
    }
    for (std::int64_t j0 = 0; j0 < b.count; j0 += kLanes) {
      double* const panel = right + j0 * depth;
      for (std::int64_t lane = 0; lane < kLanes; ++lane) {
        const T* const row = j0 + lane < b.count ? b.data + (j0 + lane) * b.stride : nullptr;
        for (std::int64_t k = 0; k < depth; ++k) {
          panel[k * kLanes + lane] = row != nullptr ? static_cast<double>(row[k]) : 0.0;
        }
      }
    }
    PanelProduct<double> p{};
    p.a = left, p.lda = depth, p.rows = a.count, p.depth = depth;
    p.b = right, p.panel_rows = depth, p.columns = b.count;
    p.c = c, p.ldc = ld_;
    kernels<double>().panel_product(p);
  }

  void compute(std::int64_t i0, std::int64_t j0, int thread) noexcept {
    double* const scratch = scratch_.data() + scratch_size_ * static_cast<std::size_t>(thread);
    double* const inputs = scratch + 2 * operand_;
    double* const deltas = inputs + height_ * ld_;
    double* const sums = deltas + height_ * ld_;
    const std::int64_t ni = std::min(side_, a_.samples() - i0), nj = std::min(side_, b_.samples() - j0);
    const std::int64_t tile_rows = ni * columns_, tile_columns = nj * columns_;
    const std::int64_t passes = all_ ? 1 : a_.columns();
    std::fill_n(sums, height_ * ld_, 0.0);
    for (std::size_t l = 0; l < a_.layers(); ++l) {
      const auto& fa = a_.factor(l);
      const auto& fb = b_.factor(l);
      if (fa.outer) {
        product({fa.x.data() + i0 * fa.inputs, fa.inputs, ni}, {fb.x.data() + j0 * fb.inputs, fb.inputs, nj},
                fa.inputs, scratch, inputs);
      }
      const double bias = fa.bias ? 1.0 : 0.0;
      const std::int64_t stride = fa.outputs * (all_ ? 1 : a_.columns());
      for (std::int64_t c = 0; c < passes; ++c) {
        const T* const da = fa.delta.data() + (i0 * a_.columns() + c) * fa.outputs;
        const T* const db = fb.delta.data() + (j0 * b_.columns() + c) * fb.outputs;
        product({da, stride, tile_rows}, {db, stride, tile_columns}, fa.outputs, scratch, deltas);
        for (std::int64_t r = 0; r < tile_rows; ++r) {
          const double* const x = inputs + (r / columns_) * ld_;
          const double* const d = deltas + r * ld_;
          double* const s = sums + r * ld_;
          for (std::int64_t j = 0; j < nj; ++j) {
            const double factor = fa.outer ? x[j] + bias : 1.0;
            for (std::int64_t k = j * columns_; k < (j + 1) * columns_; ++k) s[k] += factor * d[k];
          }
        }
      }
      if (!by_layer_) continue;
      write(sums, i0, ni, j0, nj, out_ + static_cast<std::int64_t>(l) * size());
      std::fill_n(sums, height_ * ld_, 0.0);
    }
    if (!by_layer_) write(sums, i0, ni, j0, nj, out_);
  }

  std::int64_t size() const noexcept { return a_.samples() * b_.samples() * columns_ * columns_; }

  void write(const double* sums, std::int64_t i0, std::int64_t ni, std::int64_t j0, std::int64_t nj,
             double* out) const noexcept {
    const bool mirrored = symmetric_ && i0 != j0;
    for (std::int64_t i = 0; i < ni; ++i) {
      for (std::int64_t j = 0; j < nj; ++j) {
        double* const to = out + ((i0 + i) * b_.samples() + j0 + j) * columns_ * columns_;
        double* const mirror = out + ((j0 + j) * b_.samples() + i0 + i) * columns_ * columns_;
        for (std::int64_t c = 0; c < columns_; ++c) {
          for (std::int64_t d = 0; d < columns_; ++d) {
            const double value = sums[(i * columns_ + c) * ld_ + j * columns_ + d];
            to[c * columns_ + d] = value;
            if (mirrored) mirror[d * columns_ + c] = value;
          }
        }
      }
    }
  }

  const SampleFactors<T>& a_;
  const SampleFactors<T>& b_;
  bool all_, by_layer_, symmetric_;
  double* out_;
  std::int64_t columns_ = 1, side_ = 1, height_ = 1, ld_ = kLanes, operand_ = 0, blocks_a_ = 0, blocks_b_ = 0;
  std::size_t scratch_size_ = 0;
  AlignedBuffer<double> scratch_;
};

}  // namespace

template <Scalar T>
double pair_products_cost(const SampleFactors<T>& a, const SampleFactors<T>& b, PairProducts kind) noexcept {
  const auto columns = static_cast<double>(a.columns());
  double cost = 0;
  for (std::size_t l = 0; l < a.layers(); ++l) {
    const double pairs = kind == PairProducts::kAllColumns ? columns * columns : columns;
    cost += static_cast<double>(a.factor(l).inputs) + pairs * static_cast<double>(a.factor(l).outputs);
  }
  return cost * static_cast<double>(a.samples()) * static_cast<double>(b.samples()) * (&a == &b ? 0.5 : 1.0);
}

template <Scalar T>
void pair_products(const SampleFactors<T>& a, const SampleFactors<T>& b, PairProducts kind, bool by_layer, Team& team,
                   double* out) {
  const int threads = std::min(useful_threads(pair_products_cost(a, b, kind), a.samples(), 0), team.size());
  PairTiles<T> tiles(a, b, kind, by_layer, threads, out);
  team.run(threads, &PairTiles<T>::body, &tiles);
}

#define KRYLOV_INSTANTIATE(T)                                                                                    \
  template class SampleFactors<T>;                                                                               \
  template void pair_products(const SampleFactors<T>&, const SampleFactors<T>&, PairProducts, bool, Team&, double*); \
  template double pair_products_cost(const SampleFactors<T>&, const SampleFactors<T>&, PairProducts) noexcept;
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
