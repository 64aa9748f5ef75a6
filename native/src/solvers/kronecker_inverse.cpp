// (G (x) A)^-1 on a block V [outputs, inputs] is G^-1 V A^-1. Blocks lie in the
// arena as panels of V', which the products read as their right operand: the
// strip of rows A^-1 V' is multiplied by G^-1 while it is in the cache, and goes
// back into panels. Damping: Martens & Grosse 2015, section 6.3; the exact form
// by eigenvectors as in George et al. 2018 (arXiv 1806.03884), section 3.
#include "solvers/kronecker_inverse.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "kernels/kernel_table.h"
#include "solvers/dense.h"

namespace krylov {
namespace {

constexpr std::int64_t kStripRows = 48;  // of V' in a piece
constexpr std::int64_t kBase = 64;       // triangles below this are inverted row by row

// The inverse of a lower triangle, in place; what is above the diagonal is neither read nor written.
void invert_small_lower(double* l, std::int64_t ld, std::int64_t n) noexcept {
  double row[kBase];
  for (std::int64_t i = 0; i < n; ++i) {
    const double inverse = 1 / l[i * ld + i];
    std::fill_n(row, i, 0.0);
    for (std::int64_t k = 0; k < i; ++k) {
      const double factor = l[i * ld + k];
      for (std::int64_t j = 0; j <= k; ++j) row[j] += factor * l[k * ld + j];
    }
    for (std::int64_t j = 0; j < i; ++j) l[i * ld + j] = -inverse * row[j];
    l[i * ld + i] = inverse;
  }
}

std::vector<double> copy_block(const double* a, std::int64_t ld, std::int64_t rows, std::int64_t columns, bool lower) {
  std::vector<double> out(static_cast<std::size_t>(rows * columns));
  for (std::int64_t i = 0; i < rows; ++i) {
    std::copy_n(a + i * ld, lower ? i + 1 : columns, out.data() + i * columns);
  }
  return out;
}

// By halves: [L 0; M N]^-1 = [L^-1 0; -N^-1 M L^-1  N^-1].
void invert_lower(double* l, std::int64_t ld, std::int64_t n) {
  if (n <= kBase) return invert_small_lower(l, ld, n);
  const std::int64_t half = round_up(n / 2, kPanel<double>), rest = n - half;
  double* below = l + half * ld;
  invert_lower(l, ld, half);
  invert_lower(below + half, ld, rest);
  const std::vector<double> first = copy_block(l, ld, half, half, true);
  const std::vector<double> middle = copy_block(below, ld, rest, half, false);
  const std::vector<double> last = copy_block(below + half, ld, rest, rest, true);
  std::vector<double> product(middle.size()), result(middle.size());
  multiply(middle.data(), first.data(), product.data(), rest, half, half);
  multiply(last.data(), product.data(), result.data(), rest, rest, half);
  for (std::int64_t i = 0; i < rest; ++i) {
    for (std::int64_t j = 0; j < half; ++j) below[i * ld + j] = -result[static_cast<std::size_t>(i * half + j)];
  }
}

// X' X for lower X [n, n]: rows above a column's first do not count, nor does the lower half of the result, which is
// copied.
std::vector<double> square_of_lower(const double* x, std::int64_t n) {
  constexpr std::int64_t kColumns = 128;
  std::vector<double> out(static_cast<std::size_t>(n * n)), left, right, block;
  for (std::int64_t first = 0; first < n; first += kColumns) {
    const std::int64_t width = std::min(kColumns, n - first), last = first + width, depth = n - first;
    left.assign(static_cast<std::size_t>(depth * last), 0.0);
    right.assign(static_cast<std::size_t>(depth * width), 0.0);
    block.resize(static_cast<std::size_t>(last * width));
    for (std::int64_t r = 0; r < depth; ++r) {
      const double* row = x + (first + r) * n;
      std::copy_n(row, std::min(last, first + r + 1), left.data() + r * last);
      std::copy_n(row + first, std::min(width, r + 1), right.data() + r * width);
    }
    multiply_transposed(left.data(), right.data(), block.data(), last, depth, width);
    for (std::int64_t i = 0; i < last; ++i) std::copy_n(block.data() + i * width, width, out.data() + i * n + first);
    for (std::int64_t j = 0; j < width; ++j) {
      for (std::int64_t i = 0; i < first; ++i) {
        out[static_cast<std::size_t>((first + j) * n + i)] = block[static_cast<std::size_t>(i * width + j)];
      }
    }
  }
  return out;
}

// (a + shift I)^-1; empty where that is not positive definite.
std::vector<double> inverse(const std::vector<double>& a, std::int64_t n, double shift) {
  std::vector<double> l = a;
  for (std::int64_t i = 0; i < n; ++i) l[static_cast<std::size_t>(i * n + i)] += shift;
  if (!cholesky(l.data(), n)) return {};
  invert_lower(l.data(), n, n);
  return square_of_lower(l.data(), n);
}

// Both of a layer's matrices at once where they are large; what a thread throws is thrown again.
template <class Input, class Output>
void both(Team& team, std::int64_t size, Input input, Output output) {
  constexpr std::int64_t kWorthSharing = 128;
  struct Work {
    Input& input;
    Output& output;
    std::exception_ptr failures[2];
  } work{input, output, {}};
  team.run(size < kWorthSharing ? 1 : 2, [](void* context, int thread, int threads) noexcept {
    Work& w = *static_cast<Work*>(context);
    for (int side = thread; side < 2; side += threads) {
      try {
        side == 0 ? w.input() : w.output();
      } catch (...) {
        w.failures[side] = std::current_exception();
      }
    }
  }, &work);
  for (const std::exception_ptr& failure : work.failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

double trace(const std::vector<double>& a, std::int64_t n) noexcept {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += a[static_cast<std::size_t>(i * n + i)];
  return sum;
}

// Rows of a [n, n] to rows of `out`, or its columns.
template <Scalar T>
void to_left(const std::vector<double>& a, std::int64_t n, bool transposed, std::int64_t ld, AlignedBuffer<T>& out) {
  if (out.empty()) out = AlignedBuffer<T>(static_cast<std::size_t>(n * ld));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      const double value = a[static_cast<std::size_t>(transposed ? j * n + i : i * n + j)];
      out[static_cast<std::size_t>(i * ld + j)] = static_cast<T>(value);
    }
  }
}

// a [n, n], or its transpose, in panels.
template <Scalar T>
void to_right(const std::vector<double>& a, std::int64_t n, bool transposed, AlignedBuffer<T>& out) {
  if (out.empty()) out = AlignedBuffer<T>(static_cast<std::size_t>(round_up(n, kPanel<T>) * n));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      const double value = a[static_cast<std::size_t>(transposed ? j * n + i : i * n + j)];
      out[static_cast<std::size_t>(((j / kPanel<T>) * n + i) * kPanel<T> + j % kPanel<T>)] = static_cast<T>(value);
    }
  }
}

Status not_definite() noexcept {
  return Status::error(ErrorCode::kNotFinite, "damping", "large enough to make finite factors positive definite");
}

}  // namespace

template <Scalar T>
Status KroneckerInverse<T>::create(std::shared_ptr<const Network<T>> network,
                                   std::shared_ptr<const KroneckerFactors> factors, KroneckerDamping form,
                                   std::shared_ptr<KroneckerInverse>& out) {
  std::shared_ptr<KroneckerInverse> self(new KroneckerInverse());
  const auto blocks = network->blocks();
  std::vector<bool> covered(blocks.size());
  double cost = 0;
  std::int64_t strip = 0;
  self->costs_.push_back(0);
  for (const KroneckerFactor& f : factors->layers) {
    const auto b = static_cast<std::size_t>(f.block);
    if (f.block < 0 || b >= blocks.size() || blocks[b].rows != f.inputs || blocks[b].width != f.outputs ||
        static_cast<std::int64_t>(f.input.size()) != f.inputs * f.inputs ||
        static_cast<std::int64_t>(f.output.size()) != f.outputs * f.outputs || covered[b]) {
      return Status::error(ErrorCode::kShape, "factors", "a pair of square matrices for each dense layer", f.block,
                           f.inputs, f.outputs);
    }
    covered[b] = true;
    Layer layer;
    layer.factor = &f;
    layer.offset = blocks[b].offset;
    layer.ld = round_up(f.inputs, kPanel<T>) + kPanel<T>;
    strip = std::max(strip, kStripRows * (round_up(f.outputs, kPanel<T>) + kPanel<T>));
    const double balance =
        (trace(f.input, f.inputs) / double(f.inputs)) / (trace(f.output, f.outputs) / double(f.outputs));
    if (balance > 0 && std::isfinite(balance)) layer.balance = std::sqrt(balance);
    for (std::int64_t row = 0; row < f.inputs; row += kStripRows) {
      self->pieces_.push_back({self->layers_.size(), row, std::min(row + kStripRows, f.inputs)});
      cost += double(self->pieces_.back().row1 - row) * double(f.outputs) * double(f.inputs + f.outputs);
      self->costs_.push_back(cost);
    }
    self->layers_.push_back(std::move(layer));
  }
  const bool all = std::find(covered.begin(), covered.end(), false) == covered.end();
  if (!all && static_cast<std::int64_t>(factors->diagonal.size()) != network->arena_size()) {
    return Status::error(ErrorCode::kShape, "factors", "a pair of matrices for each dense layer and a diagonal for the "
                         "parameters of normalisations");
  }
  self->network_ = std::move(network);
  self->factors_ = std::move(factors);
  self->form_ = form;
  self->threads_ = useful_threads(cost * (form == KroneckerDamping::kExact ? 2 : 1),
                                  static_cast<std::int64_t>(self->pieces_.size()) * kStripRows, 0);
  self->scratch_size_ = strip;
  self->scratch_ = AlignedBuffer<T>(static_cast<std::size_t>(2 * strip * self->threads_));
  out = std::move(self);
  return Status::success();
}

// Eigenvectors depend on the factors alone: once.
template <Scalar T>
void KroneckerInverse<T>::decompose(Team& team, Layer& layer) {
  const KroneckerFactor& f = *layer.factor;
  const auto eigen = [](const std::vector<double>& a, std::int64_t n, std::vector<double>& values) {
    std::vector<double> vectors(a.size());
    values.assign(static_cast<std::size_t>(n), 0.0);
    symmetric_eigen(a.data(), n, values.data(), vectors.data());
    for (double& value : values) value = value < 0 ? 0 : value;  // rounding; a NaN stays
    return vectors;
  };
  both(team, std::min(f.inputs, f.outputs), [&] {
    const std::vector<double> input = eigen(f.input, f.inputs, layer.input_values);
    to_left(input, f.inputs, false, layer.ld, layer.first.left);
    to_left(input, f.inputs, true, layer.ld, layer.second.left);
  }, [&] {
    const std::vector<double> output = eigen(f.output, f.outputs, layer.output_values);
    to_right(output, f.outputs, true, layer.first.right);
    to_right(output, f.outputs, false, layer.second.right);
  });
  layer.divided = AlignedBuffer<T>(static_cast<std::size_t>(round_up(f.outputs, kPanel<T>) * f.inputs));
}

template <Scalar T>
Status KroneckerInverse<T>::invert(Team& team, Layer& layer, double damping) {
  const KroneckerFactor& f = *layer.factor;
  const double gamma = std::sqrt(damping);
  bool definite[2] = {};
  both(team, std::min(f.inputs, f.outputs), [&] {
    const std::vector<double> input = inverse(f.input, f.inputs, layer.balance * gamma);
    if ((definite[0] = !input.empty())) to_left(input, f.inputs, false, layer.ld, layer.first.left);
  }, [&] {
    const std::vector<double> output = inverse(f.output, f.outputs, gamma / layer.balance);
    if ((definite[1] = !output.empty())) to_right(output, f.outputs, false, layer.first.right);
  });
  return definite[0] && definite[1] ? Status::success() : not_definite();
}

template <Scalar T>
Status KroneckerInverse<T>::damp(Team& team, std::size_t layer, double damping) {
  if (!(damping > 0) || !std::isfinite(damping)) return not_definite();
  damping_ = damping;
  Layer& l = layers_[layer];
  if (form_ == KroneckerDamping::kFactored) return invert(team, l, damping);
  if (l.divided.empty()) decompose(team, l);
  const bool finite = std::isfinite(l.input_values.back()) && std::isfinite(l.output_values.back());
  return finite ? Status::success() : not_definite();
}

template <Scalar T>
Status KroneckerInverse<T>::damp(Team& team, double damping) {
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (Status s = damp(team, l, damping); !s.ok()) return s;
  }
  return Status::success();
}

// store(i, panel, lanes): a row's lanes of one panel.
template <Scalar T>
template <class Store>
void KroneckerInverse<T>::multiply(const Layer& layer, const Factors& factors, const Piece& piece, const T* block,
                                   T* scratch, Store store) const noexcept {
  const KroneckerFactor& f = *layer.factor;
  const std::int64_t ld = round_up(f.outputs, kPanel<T>) + kPanel<T>;
  PanelProduct<T> p{};
  p.a = factors.left.data() + piece.row0 * layer.ld, p.lda = layer.ld;
  p.rows = piece.row1 - piece.row0, p.depth = f.inputs;
  // Whole panels, whose padding is zero: what a set with narrower registers leaves alone would be the last block's.
  p.b = block, p.panel_rows = f.inputs, p.columns = round_up(f.outputs, kPanel<T>);
  p.c = scratch, p.ldc = ld;
  kernels<T>().panel_product(p);
  T* result = scratch + scratch_size_;
  p.a = scratch, p.lda = ld, p.depth = f.outputs;
  p.b = factors.right.data(), p.panel_rows = f.outputs;
  p.c = result;
  kernels<T>().panel_product(p);
  for (std::int64_t i = piece.row0; i < piece.row1; ++i, result += ld) {
    for (std::int64_t panel = 0; panel * kPanel<T> < f.outputs; ++panel) store(i, panel, result + panel * kPanel<T>);
  }
}

template <Scalar T>
void KroneckerInverse<T>::share(int thread, int threads, std::size_t& first, std::size_t& last) const noexcept {
  const auto bound = [&](int t) {
    const auto at = std::lower_bound(costs_.begin(), costs_.end(), costs_.back() * double(t) / double(threads));
    return static_cast<std::size_t>(at - costs_.begin());
  };
  first = bound(thread);
  last = thread + 1 == threads ? pieces_.size() : bound(thread + 1);
}

template <Scalar T>
void KroneckerInverse<T>::apply(Team& team, const T* v, T* out) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  struct Work {
    KroneckerInverse& self;
    Team& team;
    const T* v;
    T* out;
  } work{*this, team, v, out};
  team.run(threads_, [](void* context, int thread, int threads) noexcept {
    const Work& w = *static_cast<const Work*>(context);
    KroneckerInverse& self = w.self;
    T* scratch = self.scratch_.data() + 2 * self.scratch_size_ * thread;
    std::size_t first = 0, last = 0;
    self.share(thread, threads, first, last);
    const bool exact = self.form_ == KroneckerDamping::kExact;
    for (std::size_t i = first; i < last; ++i) {
      Layer& layer = self.layers_[self.pieces_[i].layer];
      const std::int64_t rows = layer.factor->inputs, outputs = layer.factor->outputs;
      T* to = exact ? layer.divided.data() : w.out + layer.offset;
      self.multiply(layer, layer.first, self.pieces_[i], w.v + layer.offset, scratch,
                    [&](std::int64_t row, std::int64_t panel, const T* lanes) {
                      T* place = to + (panel * rows + row) * kPanel<T>;
                      if (!exact) return void(std::copy_n(lanes, kPanel<T>, place));
                      const double value = layer.input_values[static_cast<std::size_t>(row)];
                      const std::int64_t column = panel * kPanel<T>;
                      const std::int64_t width = std::min(kPanel<T>, outputs - column);
                      for (std::int64_t k = 0; k < width; ++k) {
                        const double other = layer.output_values[static_cast<std::size_t>(column + k)];
                        place[k] = static_cast<T>(double(lanes[k]) / (value * other + self.damping_));
                      }
                      std::fill(place + width, place + kPanel<T>, T(0));
                    });
    }
    if (!exact) return;
    w.team.barrier().wait(thread, threads);
    for (std::size_t i = first; i < last; ++i) {
      const Layer& layer = self.layers_[self.pieces_[i].layer];
      T* to = w.out + layer.offset;
      self.multiply(layer, layer.second, self.pieces_[i], layer.divided.data(), scratch,
                    [&](std::int64_t row, std::int64_t panel, const T* lanes) {
                      std::copy_n(lanes, kPanel<T>, to + (panel * layer.factor->inputs + row) * kPanel<T>);
                    });
    }
  }, &work);
  if (factors_->diagonal.empty()) return;
  const auto blocks = network_->blocks();
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const bool dense = std::any_of(layers_.begin(), layers_.end(),
                                   [&](const Layer& layer) { return layer.factor->block == static_cast<int>(b); });
    if (dense) continue;
    const auto begin = static_cast<std::size_t>(blocks[b].offset);
    const auto end = begin + static_cast<std::size_t>(blocks[b].panels * blocks[b].rows * kPanel<T>);
    for (std::size_t i = begin; i < end; ++i) {
      out[i] = static_cast<T>(double(v[i]) / (factors_->diagonal[i] + damping_));
    }
  }
}

template class KroneckerInverse<float>;
template class KroneckerInverse<double>;

template <Scalar T>
Status kronecker_inverse(std::shared_ptr<const Network<T>> network, const KroneckerFactors& factors,
                         KroneckerDamping form, double damping, Team& team, std::shared_ptr<LinearOperator<T>>& out) {
  std::shared_ptr<KroneckerInverse<T>> inverse;
  auto kept = std::make_shared<const KroneckerFactors>(factors);
  if (Status s = KroneckerInverse<T>::create(std::move(network), std::move(kept), form, inverse); !s.ok()) return s;
  if (!(damping > 0)) return Status::error(ErrorCode::kOption, "damping", "a number above 0");
  if (Status s = inverse->damp(team, damping); !s.ok()) return s;
  out = std::move(inverse);
  return Status::success();
}
template Status kronecker_inverse(std::shared_ptr<const Network<float>>, const KroneckerFactors&, KroneckerDamping,
                                  double, Team&, std::shared_ptr<LinearOperator<float>>&);
template Status kronecker_inverse(std::shared_ptr<const Network<double>>, const KroneckerFactors&, KroneckerDamping,
                                  double, Team&, std::shared_ptr<LinearOperator<double>>&);

}  // namespace krylov
