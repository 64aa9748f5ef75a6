// What the tests of kernels share: the sets that can run here, matrices between
// canaries, and data with a fixed seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "comparison.h"
#include "kernels/kernel_table.h"
#include "krylov/buffer.h"

namespace krylov::test {

// Calls body(table) for every set of this build and processor; failures name the set.
template <Scalar T, class Body>
void for_each_set(Body body) {
  for (const Isa isa : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512, Isa::kNeon}) {
    const KernelTable<T>* table = kernels_for<T>(isa);
    if (table == nullptr) continue;
    INFO("set " << std::string(isa_name(isa)) << ", float" << 8 * sizeof(T));
    body(*table);
  }
}

// Sizes around every vector, panel, tile and depth block.
inline constexpr std::int64_t kSizes[] = {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 48, 63, 64, 65, 255, 256, 257};

inline constexpr double kCanary = -31337.0;  // exact in both types

// A matrix with a leading dimension of its own, `offset` elements off alignment,
// between two runs of canaries. All elements begin as canaries, padding included.
template <class T>
class Grid {
 public:
  Grid(std::int64_t rows, std::int64_t columns, std::int64_t ld, std::int64_t offset = 0)
      : rows_(rows),
        columns_(columns),
        ld_(ld),
        first_(kGuard + offset),
        block_(static_cast<std::size_t>(2 * kGuard + offset + rows * ld)) {
    fill(static_cast<T>(kCanary));
  }

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t ld() const { return ld_; }
  T* data() { return block_.data() + first_; }
  const T* data() const { return block_.data() + first_; }
  T& at(std::int64_t r, std::int64_t c) { return data()[r * ld_ + c]; }
  T at(std::int64_t r, std::int64_t c) const { return data()[r * ld_ + c]; }

  void fill(T value) {
    for (T& x : block_.span()) x = value;
  }
  // value(r, c) into the matrix proper.
  template <class Value>
  Grid& set(Value value) {
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t c = 0; c < columns_; ++c) at(r, c) = static_cast<T>(value(r, c));
    }
    return *this;
  }
  // What a kernel may read but must not use: from the width to the end of each row.
  Grid& pad(T value) {
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t c = columns_; c < ld_; ++c) at(r, c) = value;
    }
    return *this;
  }
  // Canaries stand outside the first `width` elements of each row.
  void check_canaries(Comparison& c, std::int64_t width) const {
    const T canary = static_cast<T>(kCanary);
    const auto size = static_cast<std::int64_t>(block_.size());
    for (std::int64_t i = 0; i < first_; ++i) c.equal(-1, i - first_, double(block_[std::size_t(i)]), double(canary));
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t k = width; k < ld_; ++k) c.equal(r, k, double(at(r, k)), double(canary));
    }
    for (std::int64_t i = first_ + rows_ * ld_; i < size; ++i) {
      c.equal(rows_, i - first_ - rows_ * ld_, double(block_[std::size_t(i)]), double(canary));
    }
  }

 private:
  static constexpr std::int64_t kGuard = 64;
  std::int64_t rows_, columns_, ld_, first_;
  AlignedBuffer<T> block_;
};

// Leading dimension of a batch matrix: whole panels and `extra`.
template <Scalar T>
std::int64_t padded(std::int64_t columns, std::int64_t extra = 0) {
  return round_up(columns, kPanel<T>) + extra;
}

// Panels of a [depth, columns] matrix with `panel_rows` rows each; zeros elsewhere.
template <Scalar T, class Value>
AlignedBuffer<T> make_panels(std::int64_t depth, std::int64_t columns, std::int64_t panel_rows, Value value) {
  AlignedBuffer<T> panels(static_cast<std::size_t>(ceil_div(columns, kPanel<T>) * panel_rows * kPanel<T>));
  for (std::int64_t k = 0; k < depth; ++k) {
    for (std::int64_t c = 0; c < columns; ++c) {
      const std::int64_t at = ((c / kPanel<T>)*panel_rows + k) * kPanel<T> + c % kPanel<T>;
      panels[static_cast<std::size_t>(at)] = static_cast<T>(value(k, c));
    }
  }
  return panels;
}

// Uniform in [-1, 1), exact in float32.
class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  double uniform() { return static_cast<double>(static_cast<std::int32_t>(engine_() >> 8) - (1 << 23)) * 0x1p-23; }
  int integer(int low, int high) { return low + static_cast<int>(engine_() % static_cast<unsigned>(high - low + 1)); }

 private:
  std::mt19937 engine_;
};

// Higham, Accuracy and Stability of Numerical Algorithms, 3.1: n roundings.
template <Scalar T>
double gamma(std::int64_t n) {
  const double u = static_cast<double>(n) * static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;
  return u / (1 - u);
}

inline constexpr ActivationSpec kActivationCases[] = {
    {Activation::kIdentity, 0},    {Activation::kRelu, 0},     {Activation::kLeakyRelu, 0.01},
    {Activation::kLeakyRelu, 1.5}, {Activation::kElu, 1},      {Activation::kElu, 0.5},
    {Activation::kSelu, 0},        {Activation::kGelu, 0},     {Activation::kGeluTanh, 0},
    {Activation::kSilu, 0},        {Activation::kTanh, 0},     {Activation::kSigmoid, 0},
    {Activation::kSoftplus, 1},    {Activation::kSoftplus, 2}, {Activation::kSoftsign, 0}};

}  // namespace krylov::test
