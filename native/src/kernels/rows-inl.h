// Kernels over the rows of a batch: gathering, normalisation, dropout, and the
// transposed copy of a panel.
#pragma once

#include "kernels/elementwise-inl.h"
#include "kernels/kernel_table.h"
#include "kernels/simd-inl.h"

namespace krylov {
namespace KRYLOV_SET {

// Sets the padding of a row, from `columns` to the end of its last panel, to 0.
template <class T>
KRYLOV_SIMD_FN void clear_padding(T* row, std::int64_t columns) {
  for (std::int64_t c = columns; c < round_up(columns, kPanel<T>); ++c) row[c] = T(0);
}

template <class T>
KRYLOV_SIMD_FN Vec<T> load_source(const std::uint8_t* p) { return load_u8<T>(p); }
template <class T>
KRYLOV_SIMD_FN Vec<T> load_source(const float* p) { return load_convert<T>(p); }
template <class T>
KRYLOV_SIMD_FN Vec<T> load_source(const double* p) { return load_convert<T>(p); }
template <class T>
KRYLOV_SIMD_FN Vec<T> load_source_partial(const std::uint8_t* p, int count) { return load_u8_partial<T>(p, count); }
template <class T>
KRYLOV_SIMD_FN Vec<T> load_source_partial(const float* p, int count) { return load_convert_partial<T>(p, count); }
template <class T>
KRYLOV_SIMD_FN Vec<T> load_source_partial(const double* p, int count) { return load_convert_partial<T>(p, count); }

// Rows of a data set are scattered over memory: the next rows are fetched while
// this one is converted. Eight rows ahead hides a memory latency of 100 ns.
inline constexpr std::int64_t kPrefetchRows = 8;

template <class T, class S>
void gather_rows(const S* source, std::int64_t columns, const std::uint32_t* index, std::int64_t rows, T scale, T* out,
                 std::int64_t ldo) noexcept {
  constexpr std::int64_t lanes = Vec<T>::kLanes;
  const std::int64_t padded = round_up(columns, kPanel<T>);
  const Vec<T> factor = set1<T>(scale);
  for (std::int64_t r = 0; r < rows; ++r) {
    if (index != nullptr && r + kPrefetchRows < rows) {
      const char* next = reinterpret_cast<const char*>(source + std::int64_t(index[r + kPrefetchRows]) * columns);
      const std::int64_t bytes = columns * std::int64_t(sizeof(S));
      for (std::int64_t b = 0; b < bytes; b += std::int64_t(kCacheLine)) __builtin_prefetch(next + b);
    }
    const S* from = source + (index != nullptr ? std::int64_t(index[r]) : r) * columns;
    T* to = out + r * ldo;
    std::int64_t c = 0;
    for (; c + lanes <= columns; c += lanes) store(to + c, load_source<T>(from + c) * factor);
    // The tail's own zeros, then whole vectors of zeros to the end of the panel.
    if (c < columns) {
      store(to + c, load_source_partial<T>(from + c, int(columns - c)) * factor);
      c += lanes;
    }
    for (; c < padded; c += lanes) store(to + c, zero<T>());
  }
}

template <class T>
void gather(const void* source, DType dtype, std::int64_t columns, const std::uint32_t* index, std::int64_t rows,
            T scale, T* out, std::int64_t ldo) noexcept {
  switch (dtype) {
    case DType::kUint8:
      return gather_rows<T>(static_cast<const std::uint8_t*>(source), columns, index, rows, scale, out, ldo);
    case DType::kFloat32:
      return gather_rows<T>(static_cast<const float*>(source), columns, index, rows, scale, out, ldo);
    case DType::kFloat64:
      return gather_rows<T>(static_cast<const double*>(source), columns, index, rows, scale, out, ldo);
    case DType::kInt32: return;  // class indices are never inputs
  }
}

// dst[(i / P) * dst_panel + lane * P + i % P] = src[i * P + lane].
template <class T>
void transpose_panel(const T* src, std::int64_t rows, std::int64_t lanes, T* dst, std::int64_t dst_panel) noexcept {
  constexpr std::int64_t panel = kPanel<T>;
  for (std::int64_t i = 0; i < rows; i += panel, dst += dst_panel) {
    const std::int64_t count = rows - i < panel ? rows - i : panel;
    const T* block = src + i * panel;
    if (count == panel) {
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
#pragma GCC unroll 16
        for (std::int64_t k = 0; k < panel; ++k) dst[lane * panel + k] = block[k * panel + lane];
      }
    } else {
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        for (std::int64_t k = 0; k < count; ++k) dst[lane * panel + k] = block[k * panel + lane];
      }
    }
  }
}

// Calls body(vector of columns c.., c) over a row; the last vector has zeros
// beyond the row's end.
template <class T, class Body>
KRYLOV_SIMD_FN void for_row(const T* row, std::int64_t columns, Body body) {
  constexpr std::int64_t lanes = Vec<T>::kLanes;
  std::int64_t c = 0;
  for (; c + lanes <= columns; c += lanes) body(load(row + c), c);
  if (c < columns) body(load_partial(row + c, int(columns - c)), c);
}

// Gain of columns c..: first row of its panel; the bias is the second row.
template <class T>
KRYLOV_SIMD_FN const T* panel_row(const T* gain_bias, std::int64_t panel_stride, std::int64_t c) {
  return gain_bias + (c / kPanel<T>) * panel_stride + c % kPanel<T>;
}

// Ba, Kiros, Hinton 2016: y = gain * (x - mean) / sqrt(variance + epsilon) + bias, biased variance.
template <class T>
void layer_norm_forward(const T* x, std::int64_t ldx, const T* gain_bias, std::int64_t panel_stride, double epsilon,
                        T* y, std::int64_t ldy, T* normalized, std::int64_t ldn, T* inverse_deviation,
                        std::int64_t rows, std::int64_t columns) noexcept {
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* row = x + r * ldx;
    DoubleAcc<T> sum;
    for_row(row, columns, [&](Vec<T> v, std::int64_t) { sum.add(v); });
    const double mean = sum.total() / double(columns);
    const Vec<T> center = set1<T>(static_cast<T>(mean));
    DoubleAcc<T> squares;
    T* to = normalized + r * ldn;
    for_row(row, columns, [&](Vec<T> v, std::int64_t c) { store(to + c, v - center); });
    clear_padding(to, columns);
    for_row(to, columns, [&](Vec<T> v, std::int64_t) { squares.add_product(v, v); });
    const double inverse = 1.0 / __builtin_sqrt(squares.total() / double(columns) + epsilon);
    inverse_deviation[r] = static_cast<T>(inverse);
    const Vec<T> factor = set1<T>(static_cast<T>(inverse));
    for_row(to, columns, [&](Vec<T> v, std::int64_t c) {
      const Vec<T> n = v * factor;
      const T* gain = panel_row(gain_bias, panel_stride, c);
      store(to + c, n);
      store(y + r * ldy + c, fma(n, load(gain), load(gain + kPanel<T>)));
    });
  }
}

// With n the normalised row, s the inverse deviation and g = dy * gain:
// dx = s (g - mean(g) - n mean(g n)).
template <class T>
void layer_norm_backward(const T* dy, std::int64_t lddy, const T* gain_bias, std::int64_t panel_stride,
                         const T* normalized, std::int64_t ldn, const T* inverse_deviation, T* dx, std::int64_t lddx,
                         bool accumulate, std::int64_t rows, std::int64_t columns) noexcept {
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* n = normalized + r * ldn;
    const T* d = dy + r * lddy;
    T* to = dx + r * lddx;
    DoubleAcc<T> sum, product;
    for_row(n, columns, [&](Vec<T> v, std::int64_t c) {
      const Vec<T> g = load(d + c) * load(panel_row(gain_bias, panel_stride, c));
      sum.add(g);
      product.add_product(g, v);
    });
    const Vec<T> mean = set1<T>(static_cast<T>(sum.total() / double(columns)));
    const Vec<T> slope = set1<T>(static_cast<T>(product.total() / double(columns)));
    const Vec<T> factor = set1<T>(inverse_deviation[r]);
    for_row(n, columns, [&](Vec<T> v, std::int64_t c) {
      const Vec<T> g = load(d + c) * load(panel_row(gain_bias, panel_stride, c));
      const Vec<T> out = factor * (fnma(v, slope, g - mean));
      store(to + c, accumulate ? load(to + c) + out : out);
    });
    clear_padding(to, columns);
  }
}

template <class T>
void layer_norm_tangent(const T* rx, std::int64_t ldrx, const T* normalized, std::int64_t ldn,
                        const T* inverse_deviation, T* rn, std::int64_t ldrn, std::int64_t rows,
                        std::int64_t columns) noexcept {
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* n = normalized + r * ldn;
    const T* from = rx + r * ldrx;
    T* to = rn + r * ldrn;
    DoubleAcc<T> sum, product;
    for_row(from, columns, [&](Vec<T> v, std::int64_t c) {
      sum.add(v);
      product.add_product(v, load(n + c));
    });
    const Vec<T> mean = set1<T>(static_cast<T>(sum.total() / double(columns)));
    const Vec<T> slope = set1<T>(static_cast<T>(product.total() / double(columns)));
    const Vec<T> factor = set1<T>(inverse_deviation[r]);
    for_row(from, columns, [&](Vec<T> v, std::int64_t c) {
      store(to + c, factor * fnma(load(n + c), slope, v - mean));
    });
    clear_padding(to, columns);
  }
}

// Philox 4x32-10 (Salmon et al. 2011) on kDropoutBlocks counters side by side:
// the same words as random/philox.h, in plain integer loops that vectorise.
inline constexpr int kDropoutBlocks = 16;
inline constexpr std::uint32_t kDropoutStream = 3;  // Stream::kDropout of krylov/rng.h

KRYLOV_SIMD_FN void philox_blocks(std::uint64_t seed, std::uint64_t first_block, std::uint32_t c1_layer,
                                  std::uint32_t c2, std::uint32_t c3, std::uint32_t (&words)[4 * kDropoutBlocks]) {
  std::uint32_t x0[kDropoutBlocks], x1[kDropoutBlocks], x2[kDropoutBlocks], x3[kDropoutBlocks];
  for (int i = 0; i < kDropoutBlocks; ++i) {
    x0[i] = std::uint32_t(first_block) + std::uint32_t(i);
    x1[i] = c1_layer;
    x2[i] = c2;
    x3[i] = c3;
  }
  std::uint32_t k0 = std::uint32_t(seed), k1 = std::uint32_t(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < kDropoutBlocks; ++i) {
      const std::uint64_t p0 = std::uint64_t(0xD2511F53u) * x0[i];
      const std::uint64_t p1 = std::uint64_t(0xCD9E8D57u) * x2[i];
      const std::uint32_t y0 = std::uint32_t(p1 >> 32) ^ x1[i] ^ k0;
      const std::uint32_t y2 = std::uint32_t(p0 >> 32) ^ x3[i] ^ k1;
      x1[i] = std::uint32_t(p1);
      x3[i] = std::uint32_t(p0);
      x0[i] = y0;
      x2[i] = y2;
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int i = 0; i < kDropoutBlocks; ++i) {
    words[4 * i] = x0[i];
    words[4 * i + 1] = x1[i];
    words[4 * i + 2] = x2[i];
    words[4 * i + 3] = x3[i];
  }
}

// A mask element is the word of its place in the batch, [row, column] row-major.
template <class T>
void dropout_mask(std::uint64_t seed, std::uint64_t step, std::uint32_t layer, double rate, std::int64_t first_row,
                  T* mask, std::int64_t ldm, std::int64_t rows, std::int64_t columns) noexcept {
  const std::uint64_t limit = static_cast<std::uint64_t>(rate * 4294967296.0);
  const T kept = static_cast<T>(1.0 / (1.0 - rate));
  std::uint32_t words[4 * kDropoutBlocks];
  for (std::int64_t r = 0; r < rows; ++r) {
    T* to = mask + r * ldm;
    std::uint64_t element = std::uint64_t(first_row + r) * std::uint64_t(columns);
    for (std::int64_t c = 0; c < columns;) {
      const std::uint64_t block = element / 4;
      const std::int64_t skip = std::int64_t(element % 4);
      philox_blocks(seed, block, layer, std::uint32_t(step),
                    (kDropoutStream << 24) | (std::uint32_t(step >> 32) & 0xffffffu), words);
      const std::int64_t available = 4 * kDropoutBlocks - skip;
      const std::int64_t count = columns - c < available ? columns - c : available;
      for (std::int64_t k = 0; k < count; ++k) to[c + k] = words[skip + k] < limit ? T(0) : kept;
      c += count;
      element += std::uint64_t(count);
    }
    clear_padding(to, columns);
  }
}

}  // namespace KRYLOV_SET
}  // namespace krylov
