// Matrix products over panels and the units of weight gradients: exact where
// the data are small integers, within Higham's bound where they are not.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "support/kernel_cases.h"

namespace krylov {
namespace {

using test::Comparison;
using test::Grid;
using test::kActivationCases;
using test::kSizes;
using test::make_panels;
using test::padded;

constexpr std::int64_t kDeepest = 513;
constexpr std::int64_t kLargest = 257;

std::string shape(std::int64_t rows, std::int64_t depth, std::int64_t columns) {
  return std::to_string(rows) + " x " + std::to_string(depth) + " x " + std::to_string(columns);
}

// Integers of -3..3 by a rule, so that any two calls agree on them.
int small_integer(std::int64_t i, std::int64_t j) { return static_cast<int>((i * 5 + j * 11 + i * j * 3) % 7) - 3; }
int small_bias(std::int64_t column) { return static_cast<int>(column * 3 % 11) - 5; }

// a * b for the first `depth` of the integers above, all rows and columns.
class ExactProduct {
 public:
  ExactProduct() : sums_(static_cast<std::size_t>(kLargest * kLargest), 0) {}
  // Depths in increasing order.
  void extend(std::int64_t depth) {
    for (std::int64_t r = 0; r < kLargest; ++r) {
      int* row = sums_.data() + r * kLargest;
      for (std::int64_t k = depth_; k < depth; ++k) {
        const int x = small_integer(r, k);
        for (std::int64_t c = 0; c < kLargest; ++c) row[c] += x * small_integer(k, c);
      }
    }
    depth_ = depth;
  }
  int at(std::int64_t r, std::int64_t c) const { return sums_[static_cast<std::size_t>(r * kLargest + c)]; }

 private:
  std::int64_t depth_ = 0;
  std::vector<int> sums_;
};

enum class Variant { kStore, kAccumulate, kBias, kRelu, kReluGradient };
constexpr int kVariants = 5;

template <Scalar T>
void check_exact(const KernelTable<T>& k, const Grid<T>& a, const AlignedBuffer<T>& panels, std::int64_t panel_rows,
                 std::int64_t rows, std::int64_t depth, std::int64_t columns, Variant variant,
                 const ExactProduct& product, Comparison& comparison) {
  const std::int64_t extra = (rows + depth) % 3 == 0 ? 0 : kPanel<T> + 1;
  Grid<T> c(rows, columns, padded<T>(columns, extra), (rows + columns) % 2);
  PanelProduct<T> p{};
  p.a = a.data(), p.lda = a.ld(), p.rows = rows, p.depth = depth;
  p.b = panels.data(), p.panel_rows = panel_rows, p.columns = columns;
  p.c = c.data(), p.ldc = c.ld();
  if (variant == Variant::kAccumulate || variant == Variant::kReluGradient) {
    p.accumulate = true;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t j = 0; j < padded<T>(columns); ++j) c.at(r, j) = static_cast<T>(small_integer(j, r));
    }
  }
  if (variant == Variant::kBias || variant == Variant::kRelu) {
    p.epilogue = Epilogue::kBiasActivation;
    p.activation.kind = variant == Variant::kRelu ? Activation::kRelu : Activation::kIdentity;
    p.bias = panels.data() + depth * kPanel<T>;  // the row behind the weights, as a dense layer has it
    p.bias_stride = panel_rows * kPanel<T>;
  }
  Grid<T> saved(variant == Variant::kReluGradient ? rows : 0, columns, padded<T>(columns, 3));
  if (variant == Variant::kReluGradient) {
    saved.set([](std::int64_t r, std::int64_t j) { return (r + j) % 3 - 1; });
    p.epilogue = Epilogue::kActivationGradient;
    p.activation.kind = Activation::kRelu;
    p.saved = saved.data(), p.ld_saved = saved.ld();
  }
  k.panel_product(p);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t j = 0; j < columns; ++j) {
      double expected = product.at(r, j);
      if (p.accumulate) expected += small_integer(j, r);
      if (p.bias != nullptr) expected += small_bias(j);
      if (variant == Variant::kRelu && expected < 0) expected = 0;
      if (variant == Variant::kReluGradient && (r + j) % 3 - 1 <= 0) expected = 0;
      comparison.equal(r, j, double(c.at(r, j)), expected);
    }
  }
  c.check_canaries(comparison, padded<T>(columns));
}

// An emulated processor would take minutes over all sizes: there it is a third of them.
#ifdef KRYLOV_EMULATED
constexpr int kOneIn = 3;
#else
constexpr int kOneIn = 1;
#endif

TEST_CASE_TEMPLATE("panel products of small integers are exact at every size", T, float, double) {
  std::vector<std::int64_t> depths(std::begin(kSizes), std::end(kSizes));
  depths.push_back(kDeepest);
  ExactProduct product;
  int turn = 0;
  for (const std::int64_t depth : depths) {
    product.extend(depth);
    // Rows of a are misaligned and longer than the depth; what lies behind must not be used.
    Grid<T> a(kLargest, depth, depth + 1 + turn % 3, turn % 5);
    a.set(small_integer).pad(std::numeric_limits<T>::quiet_NaN());
    for (const std::int64_t columns : kSizes) {
      const std::int64_t panel_rows = depth + 1 + depth % 2;
      const auto panels = make_panels<T>(depth + 1, columns, panel_rows, [&](std::int64_t k, std::int64_t c) {
        return k < depth ? small_integer(k, c) : small_bias(c);
      });
      for (const std::int64_t rows : kSizes) {
        const auto variant = static_cast<Variant>(turn++ % kVariants);
        if ((turn / kVariants + turn) % kOneIn != 0) continue;
        test::for_each_set<T>([&](const KernelTable<T>& k) {
          Comparison comparison;
          check_exact<T>(k, a, panels, panel_rows, rows, depth, columns, variant, product, comparison);
          comparison.check(shape(rows, depth, columns) + ", variant " + std::to_string(static_cast<int>(variant)));
        });
      }
    }
  }
}

TEST_CASE_TEMPLATE("panel products stay within gamma_K |A| |B|", T, float, double) {
  test::Random random(11);
  for (const std::int64_t depth : {1, 5, 64, 257, 600}) {
    for (const auto& [rows, columns] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {7, 17}, {13, 100}, {40, 33}}) {
      Grid<T> a(rows, depth, depth + 2, 1);
      a.set([&](auto, auto) { return random.uniform(); });
      std::vector<double> b(static_cast<std::size_t>((depth + 1) * columns));
      for (double& x : b) x = random.uniform();
      const auto element = [&, width = columns](std::int64_t k, std::int64_t c) {
        return b[std::size_t(k * width + c)];
      };
      const auto panels = make_panels<T>(depth + 1, columns, depth + 1, element);
      test::for_each_set<T>([&, height = rows, width = columns](const KernelTable<T>& k) {
        Grid<T> c(height, width, padded<T>(width));
        PanelProduct<T> p{};
        p.a = a.data(), p.lda = a.ld(), p.rows = height, p.depth = depth;
        p.b = panels.data(), p.panel_rows = depth + 1, p.columns = width;
        p.c = c.data(), p.ldc = c.ld();
        p.epilogue = Epilogue::kBiasActivation;
        p.bias = panels.data() + depth * kPanel<T>, p.bias_stride = (depth + 1) * kPanel<T>;
        k.panel_product(p);
        Comparison comparison;
        for (std::int64_t r = 0; r < height; ++r) {
          for (std::int64_t j = 0; j < width; ++j) {
            long double sum = element(depth, j), size = std::abs(sum);
            for (std::int64_t i = 0; i < depth; ++i) {
              const long double term = static_cast<long double>(a.at(r, i)) * element(i, j);
              sum += term;
              size += std::abs(term);
            }
            // depth products, each rounded with its sum, and the bias.
            const double bound = test::gamma<T>(depth + 1) * static_cast<double>(size);
            comparison.within(r, j, double(c.at(r, j)), static_cast<double>(sum), bound);
          }
        }
        comparison.check(shape(height, depth, width));
      });
    }
  }
}

// 37 rows of every depth that splits differently: an element must not know its tile.
TEST_CASE_TEMPLATE("an element of a product keeps its bits wherever it is computed", T, float, double) {
  test::Random random(12);
  constexpr std::int64_t rows = 37;
  for (const std::int64_t depth : {9, 256, 300, 513}) {
    for (const std::int64_t columns : {5, 16, 40, 65}) {
      Grid<T> a(rows, depth, depth + 3);
      a.set([&](auto, auto) { return random.uniform(); });
      const auto panels = make_panels<T>(depth, columns, depth, [&](auto, auto) { return random.uniform(); });
      test::for_each_set<T>([&](const KernelTable<T>& k) {
        const auto run = [&](std::int64_t row, std::int64_t count, std::int64_t width, Grid<T>& c) {
          PanelProduct<T> p{};
          p.a = a.data() + row * a.ld(), p.lda = a.ld(), p.rows = count, p.depth = depth;
          p.b = panels.data(), p.panel_rows = depth, p.columns = width;
          p.c = c.data(), p.ldc = c.ld();
          p.epilogue = Epilogue::kBiasActivation;
          p.activation.kind = Activation::kTanh;
          k.panel_product(p);
        };
        Grid<T> whole(rows, columns, padded<T>(columns));
        run(0, rows, columns, whole);
        Comparison comparison;
        for (const std::int64_t first : {0, 1, 4, 17, 36}) {
          for (const std::int64_t count : {1, 2, 5}) {
            if (first + count > rows) continue;
            Grid<T> part(count, columns, padded<T>(columns, 1));
            run(first, count, columns, part);
            for (std::int64_t r = 0; r < count; ++r) {
              for (std::int64_t j = 0; j < columns; ++j) {
                comparison.equal(first + r, j, double(part.at(r, j)), double(whole.at(first + r, j)));
              }
            }
          }
        }
        for (const std::int64_t width : {1, 3, 15}) {
          Grid<T> narrow(rows, width, padded<T>(width));
          if (width > columns) continue;
          run(0, rows, width, narrow);
          for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t j = 0; j < width; ++j)
              comparison.equal(r, j, double(narrow.at(r, j)), double(whole.at(r, j)));
          }
        }
        comparison.check(shape(rows, depth, columns));
      });
    }
  }
}

// The epilogues equal the separate kernels on the plain product, to the bit.
TEST_CASE_TEMPLATE("fused activations equal the kernels they fuse", T, float, double) {
  test::Random random(13);
  for (const std::int64_t depth : {0, 7, 300}) {
    for (const auto& [rows, columns] : {std::pair<std::int64_t, std::int64_t>{1, 3}, {11, 37}, {20, 48}}) {
      const std::int64_t height = rows, width = columns, ld = padded<T>(columns, kPanel<T>);
      Grid<T> a(height, depth, depth + 1);
      a.set([&](auto, auto) { return random.uniform(); });
      const auto panels = make_panels<T>(depth + 1, width, depth + 1, [&](auto, auto) { return random.uniform(); });
      Grid<T> before(height, ld, ld), saved(height, ld, ld);
      before.set([&](auto, auto) { return random.uniform(); });
      saved.set([&](auto, auto) { return random.uniform(); });
      test::for_each_set<T>([&](const KernelTable<T>& k) {
        PanelProduct<T> p{};
        p.a = a.data(), p.lda = a.ld(), p.rows = height, p.depth = depth;
        p.b = panels.data(), p.panel_rows = depth + 1, p.columns = width;
        for (const ActivationSpec& act : kActivationCases) {
          CAPTURE(static_cast<int>(act.kind));
          Comparison comparison;
          // Forward, with and without a place for the slope.
          Grid<T> z(height, width, ld), fused(height, width, ld), fused_slope(height, width, ld + 1);
          Grid<T> separate(height, width, ld), slope(height, width, ld + 1), bare(height, width, ld);
          p.bias = panels.data() + depth * kPanel<T>, p.bias_stride = (depth + 1) * kPanel<T>;
          p.epilogue = Epilogue::kBiasActivation;
          p.activation = {};
          p.c = z.data(), p.ldc = ld;
          k.panel_product(p);
          p.activation = act;
          p.c = bare.data();
          k.panel_product(p);
          p.c = fused.data();
          p.slope = fused_slope.data(), p.ld_slope = fused_slope.ld();
          k.panel_product(p);
          p.slope = nullptr;
          k.activate(act, z.data(), ld, separate.data(), ld, slope.data(), slope.ld(), height, width);
          // Backward.
          Grid<T> gradient(height, width, ld), product(height, width, ld);
          for (Grid<T>* c : {&gradient, &product}) {
            for (std::int64_t r = 0; r < height; ++r) {
              for (std::int64_t j = 0; j < padded<T>(width); ++j) c->at(r, j) = before.at(r, j);
            }
          }
          p.accumulate = true;
          p.epilogue = Epilogue::kStore;
          p.c = product.data();
          k.panel_product(p);
          k.multiply_slope(act, saved.data(), ld, product.data(), ld, height, width);
          p.epilogue = Epilogue::kActivationGradient;
          p.saved = saved.data(), p.ld_saved = ld;
          p.c = gradient.data();
          k.panel_product(p);
          p.accumulate = false;
          for (std::int64_t r = 0; r < height; ++r) {
            for (std::int64_t j = 0; j < width; ++j) {
              comparison.equal(r, j, double(fused.at(r, j)), double(separate.at(r, j)));
              comparison.equal(r, j, double(bare.at(r, j)), double(separate.at(r, j)));
              comparison.equal(r, j, double(gradient.at(r, j)), double(product.at(r, j)));
              comparison.equal(r, j, double(fused_slope.at(r, j)), double(slope.at(r, j)));
            }
          }
          for (const Grid<T>* g : {&fused, &bare, &gradient}) g->check_canaries(comparison, padded<T>(width));
          fused_slope.check_canaries(comparison, needs_slope(act.kind) ? padded<T>(width) : 0);
          comparison.check(shape(height, depth, width));
        }
      });
    }
  }
}

TEST_CASE_TEMPLATE("weight units of small integers are exact, their padding zero", T, float, double) {
  for (const std::int64_t inputs : {0, 1, 2, 3, 5, 6, 7, 12, 15, 16, 17, 33, 63, 64}) {
    for (const std::int64_t rows : {0, 1, 2, 7, 16, 33, 65, 257}) {
      Grid<T> x(rows, inputs, inputs + 3, 1);
      x.set(small_integer).pad(std::numeric_limits<T>::quiet_NaN());
      for (std::int64_t columns = 1; columns <= kPanel<T>; ++columns) {
        const bool bias = (inputs + rows + columns) % 2 == 0;
        const T scale = columns % 3 == 0 ? T(1) : T(0.5);
        Grid<T> delta(rows, columns, padded<T>(columns, kPanel<T>), columns % 4);
        delta.set(small_integer).pad(T(0));
        test::for_each_set<T>([&](const KernelTable<T>& k) {
          Grid<T> out(inputs + (bias ? 1 : 0), kPanel<T>, kPanel<T>);
          k.weight_unit({x.data(), x.ld(), inputs, delta.data(), delta.ld(), rows, columns, bias, scale, out.data()});
          Comparison comparison;
          for (std::int64_t i = 0; i < out.rows(); ++i) {
            for (std::int64_t j = 0; j < kPanel<T>; ++j) {
              std::int64_t sum = 0;
              for (std::int64_t n = 0; j < columns && n < rows; ++n) {
                sum += (i < inputs ? small_integer(n, i) : 1) * small_integer(n, j);
              }
              comparison.equal(i, j, double(out.at(i, j)), double(sum) * double(scale));
            }
          }
          out.check_canaries(comparison, kPanel<T>);
          comparison.check(shape(inputs, rows, columns));
        });
      }
    }
  }
}

// The rows of a gradient are summed in order: inputs that lie in another tile or chunk give the same bits.
TEST_CASE_TEMPLATE("weight units: within the bound, and an input keeps its bits", T, float, double) {
  test::Random random(14);
  constexpr std::int64_t rows = 130, inputs = 64;
  Grid<T> x(rows, inputs, inputs + 1), delta(rows, kPanel<T>, 3 * kPanel<T>);
  x.set([&](auto, auto) { return random.uniform(); });
  delta.set([&](auto, auto) { return random.uniform(); });
  const T scale = T(0.3);
  test::for_each_set<T>([&](const KernelTable<T>& k) {
    Grid<T> whole(inputs + 1, kPanel<T>, kPanel<T>);
    k.weight_unit({x.data(), x.ld(), inputs, delta.data(), delta.ld(), rows, kPanel<T>, true, scale, whole.data()});
    Comparison comparison;
    for (std::int64_t i = 0; i <= inputs; ++i) {
      for (std::int64_t j = 0; j < kPanel<T>; ++j) {
        long double sum = 0, size = 0;
        for (std::int64_t n = 0; n < rows; ++n) {
          const long double term = static_cast<long double>(i < inputs ? x.at(n, i) : T(1)) * delta.at(n, j);
          sum += term;
          size += std::abs(term);
        }
        const double bound = test::gamma<T>(rows + 1) * static_cast<double>(size * scale);
        comparison.within(i, j, double(whole.at(i, j)), static_cast<double>(sum * scale), bound);
      }
    }
    for (const std::int64_t first : {0, 1, 7, 30, 63}) {
      Grid<T> part(1, kPanel<T>, kPanel<T>);
      k.weight_unit(
          {x.data() + first, x.ld(), 1, delta.data(), delta.ld(), rows, kPanel<T>, false, scale, part.data()});
      for (std::int64_t j = 0; j < kPanel<T>; ++j)
        comparison.equal(first, j, double(part.at(0, j)), double(whole.at(first, j)));
    }
    comparison.check("130 rows");
  });
}

}  // namespace
}  // namespace krylov
