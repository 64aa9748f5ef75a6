// Matrix products over panel-major weights, in the two forms that a network
// needs: rows times panels (forward; backward through the transposed copy;
// tangents) and one unit of a weight gradient.
//
// Register tile: kTileRows rows by kTileVectors vectors of columns. Every output
// element is one chain of fused multiply-adds over depth, in order, whatever
// the tile it falls in: bits do not depend on rows, tiles or threads.
#pragma once

#include "kernels/elementwise-inl.h"
#include "kernels/kernel_table.h"
#include "kernels/simd-inl.h"

namespace krylov {
namespace KRYLOV_SET {

template <class T>
inline constexpr int kPanelVectors = static_cast<int>(kPanel<T>) / Vec<T>::kLanes;

#if defined(KRYLOV_SET_AVX512)
// Two panels of one register each; 32 registers leave room for broadcasts.
inline constexpr int kTileRows = 8, kTileVectors = 2, kUnitRows = 16;
#elif defined(KRYLOV_SET_NEON)
inline constexpr int kTileRows = 6, kTileVectors = 4, kUnitRows = 6;
#elif defined(KRYLOV_SET_AVX2)
// 12 accumulators, 2 weights, 1 broadcast: 15 of 16 registers.
inline constexpr int kTileRows = 6, kTileVectors = 2, kUnitRows = 6;
#else
inline constexpr int kTileRows = 2, kTileVectors = 4, kUnitRows = 2;
#endif

// Depth of one pass over a panel: the panel's part and the rows' part stay in L1.
inline constexpr std::int64_t kDepthBlock = 256;

template <class T, int Rows, int Vectors>
KRYLOV_SIMD_FN void multiply_tile(const T* a, std::int64_t lda, const T* b, std::int64_t panel_stride,
                                 std::int64_t depth, Vec<T> (&acc)[Rows][Vectors]) {
  constexpr int lanes = Vec<T>::kLanes;
  constexpr int per_panel = kPanelVectors<T>;
  constexpr std::int64_t panel = kPanel<T>;
  for (std::int64_t k = 0; k < depth; ++k) {
    Vec<T> w[Vectors];
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) {
      w[j] = load(b + (j / per_panel) * panel_stride + k * panel + (j % per_panel) * lanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec<T> x = set1<T>(a[r * lda + k]);
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) acc[r][j] = fma(x, w[j], acc[r][j]);
    }
  }
}

// One tile over one depth block: starts from zero or from c, ends with the
// epilogue or with partial sums in c.
template <class T, int Rows, int Vectors>
__attribute__((noinline)) static void product_tile(const PanelProduct<T>& p, const T* a, const T* b, std::int64_t depth, T* c,
                                  std::int64_t row, std::int64_t column, bool load_c, bool last) {
  constexpr int lanes = Vec<T>::kLanes;
  constexpr int per_panel = kPanelVectors<T>;
  const std::int64_t panel_stride = p.panel_rows * kPanel<T>;
  Vec<T> acc[Rows][Vectors];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) acc[r][j] = load_c ? load(c + r * p.ldc + j * lanes) : zero<T>();
  }
  multiply_tile<T, Rows, Vectors>(a, p.lda, b, panel_stride, depth, acc);
  if (last && p.epilogue == Epilogue::kBiasActivation) {
    if (p.bias != nullptr) {
      const T* bias = p.bias + (column / kPanel<T>) * p.bias_stride;
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) {
        const Vec<T> v = load(bias + (j / per_panel) * p.bias_stride + (j % per_panel) * lanes);
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r) acc[r][j] = acc[r][j] + v;
      }
    }
    if (p.activation.kind == Activation::kRelu) {
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
        for (int j = 0; j < Vectors; ++j) acc[r][j] = relu(acc[r][j]);
      }
    }
  }
  if (last && p.epilogue == Epilogue::kActivationGradient && p.activation.kind == Activation::kRelu) {
    const T* saved = p.saved + row * p.ld_saved + column;
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) {
        acc[r][j] = select(gt(load(saved + r * p.ld_saved + j * lanes), zero<T>()), acc[r][j], zero<T>());
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) store(c + r * p.ldc + j * lanes, acc[r][j]);
  }
  if (!last || p.activation.kind == Activation::kIdentity || p.activation.kind == Activation::kRelu) return;
  if (p.epilogue == Epilogue::kBiasActivation) {
    activate_block<T>(p.activation, c, p.ldc, c, p.ldc,
                      p.slope == nullptr ? nullptr : p.slope + row * p.ld_slope + column, p.ld_slope, Rows,
                      Vectors * lanes);
  } else if (p.epilogue == Epilogue::kActivationGradient) {
    multiply_slope_block<T>(p.activation, p.saved + row * p.ld_saved + column, p.ld_saved, c, p.ldc, Rows,
                            Vectors * lanes);
  }
}

template <class T>
using TileFunction = void (*)(const PanelProduct<T>&, const T*, const T*, std::int64_t, T*, std::int64_t, std::int64_t,
                              bool, bool);

template <class T>
struct TileTable {
  TileFunction<T> at[kTileVectors + 1][kTileRows + 1];

  template <int Vectors, int Rows>
  constexpr void fill_rows() {
    at[Vectors][Rows] = &product_tile<T, Rows, Vectors>;
    if constexpr (Rows > 1) fill_rows<Vectors, Rows - 1>();
  }
  template <int Vectors>
  constexpr void fill() {
    fill_rows<Vectors, kTileRows>();
    if constexpr (Vectors > 1) fill<Vectors - 1>();
  }
  constexpr TileTable() : at{} { fill<kTileVectors>(); }
};

template <class T>
inline constexpr TileTable<T> kTiles{};

// Contract: kernel_table.h. Loops: depth blocks, column tiles, row tiles, so
// that a panel's part stays in L1 while the rows pass over it.
template <class T>
void panel_product(const PanelProduct<T>& p) noexcept {
  constexpr std::int64_t lanes = Vec<T>::kLanes;
  constexpr std::int64_t tile_columns = kTileVectors * lanes;
  const std::int64_t vectors = ceil_div(p.columns, lanes);
  // A depth of 0 still runs one (empty) block, so that the epilogue happens.
  std::int64_t k = 0;
  do {
    const std::int64_t depth = p.depth - k < 2 * kDepthBlock && p.depth - k > kDepthBlock
                                   ? round_up((p.depth - k) / 2, 4)
                                   : (p.depth - k < kDepthBlock ? p.depth - k : kDepthBlock);
    const bool last = k + depth >= p.depth;
    const bool load_c = k > 0 || p.accumulate;
    for (std::int64_t column = 0; column < vectors * lanes; column += tile_columns) {
      const std::int64_t left = vectors - column / lanes;
      const int tile_vectors = static_cast<int>(left < kTileVectors ? left : kTileVectors);
      const T* b = p.b + (column / kPanel<T>) * p.panel_rows * kPanel<T> + k * kPanel<T>;
      const TileFunction<T>* tiles = kTiles<T>.at[tile_vectors];
      std::int64_t row = 0;
      for (; row + kTileRows <= p.rows; row += kTileRows) {
        tiles[kTileRows](p, p.a + row * p.lda + k, b, depth, p.c + row * p.ldc + column, row, column, load_c, last);
      }
      if (row < p.rows) {
        tiles[p.rows - row](p, p.a + row * p.lda + k, b, depth, p.c + row * p.ldc + column, row, column, load_c, last);
      }
    }
    k += depth;
  } while (k < p.depth);
}

// Rows of a batch that one pass of a unit goes over: the part of delta's panel and one line of each x stay in L1 while
// the tiles of the unit pass over them.
inline constexpr std::int64_t kUnitDepth = 192;

// One tile over `rows` of the batch: begins with zero or with out, ends with partial sums or, at last, scaled.
template <class T, int Rows, int Vectors>
__attribute__((noinline)) static void unit_tile(const WeightUnit<T>& u, const T* x, const T* delta, std::int64_t rows,
                                                T* out, bool load_out, bool last) {
  constexpr int lanes = Vec<T>::kLanes;
  Vec<T> acc[Rows][Vectors];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) acc[r][j] = load_out ? load(out + r * kPanel<T> + j * lanes) : zero<T>();
  }
  for (std::int64_t n = 0; n < rows; ++n, x += u.ldx, delta += u.ldd) {
    Vec<T> d[Vectors];
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) d[j] = load(delta + j * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec<T> v = set1<T>(x[r]);
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) acc[r][j] = fma(v, d[j], acc[r][j]);
    }
  }
  const Vec<T> scale = set1<T>(last ? u.scale : T(1));
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int j = 0; j < kPanelVectors<T>; ++j) {
      store(out + r * kPanel<T> + j * lanes, j < Vectors ? acc[r][j < Vectors ? j : 0] * scale : zero<T>());
    }
  }
}

template <class T>
using UnitFunction = void (*)(const WeightUnit<T>&, const T*, const T*, std::int64_t, T*, bool, bool);

template <class T>
struct UnitTable {
  UnitFunction<T> at[kPanelVectors<T> + 1][kUnitRows + 1];

  template <int Vectors, int Rows>
  constexpr void fill_rows() {
    at[Vectors][Rows] = &unit_tile<T, Rows, Vectors>;
    if constexpr (Rows > 1) fill_rows<Vectors, Rows - 1>();
  }
  template <int Vectors>
  constexpr void fill() {
    fill_rows<Vectors, kUnitRows>();
    if constexpr (Vectors > 1) fill<Vectors - 1>();
  }
  constexpr UnitTable() : at{} { fill<kPanelVectors<T>>(); }
};

template <class T>
inline constexpr UnitTable<T> kUnits{};

template <class T>
void weight_unit(const WeightUnit<T>& u) noexcept {
  constexpr int lanes = Vec<T>::kLanes;
  const UnitFunction<T>* tiles = kUnits<T>.at[ceil_div(u.columns, lanes)];
  // A batch of 0 still runs one (empty) pass, which writes zeros.
  std::int64_t n = 0;
  do {
    const std::int64_t rows = u.rows - n < kUnitDepth ? u.rows - n : kUnitDepth;
    const bool last = n + rows >= u.rows;
    const T* x = u.x + n * u.ldx;
    const T* delta = u.delta + n * u.ldd;
    std::int64_t i = 0;
    for (; i + kUnitRows <= u.inputs; i += kUnitRows) {
      tiles[kUnitRows](u, x + i, delta, rows, u.out + i * kPanel<T>, n > 0, last);
    }
    if (i < u.inputs) tiles[u.inputs - i](u, x + i, delta, rows, u.out + i * kPanel<T>, n > 0, last);
    n += rows;
  } while (n < u.rows);
  if (!u.bias) return;
  T* out = u.out + u.inputs * kPanel<T>;
  for (int j = 0; j < kPanelVectors<T>; ++j) {
    Vec<T> sum = zero<T>();
    for (std::int64_t n = 0; n < u.rows; ++n) sum = sum + load(u.delta + n * u.ldd + j * lanes);
    store(out + j * lanes, sum * set1<T>(u.scale));
  }
}

}  // namespace KRYLOV_SET
}  // namespace krylov
