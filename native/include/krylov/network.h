// A compiled network: a small graph of layers over numbered batch buffers, one
// arena of parameters, and passes over a workspace. See docs/architecture.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "krylov/buffer.h"
#include "krylov/dtype.h"
#include "krylov/initialisers.h"
#include "krylov/spec.h"
#include "krylov/status.h"

namespace krylov {

enum class LayerKind : std::uint8_t { kDense, kLayerNorm, kDropout, kResidual };

struct LayerSpec {
  LayerKind kind = LayerKind::kDense;
  std::int64_t units = 0;         // dense
  bool bias = true;               // dense
  ActivationSpec activation;      // dense
  InitialiserSpec weight_initialiser;  // dense
  InitialiserSpec bias_initialiser;    // dense
  double rate = 0;                // dropout: probability of zero, in [0, 1)
  double epsilon = 1e-5;          // layerNorm: added to the biased variance
  std::vector<LayerSpec> layers;  // residual: y = x + f(x), equal widths
};

struct HeadSpec {
  std::string name;  // empty for the single output of a network without heads
  std::vector<LayerSpec> layers;
};

struct NetworkSpec {
  std::int64_t inputs = 0;
  double input_scale = 1;  // factor on raw inputs of type uint8
  std::vector<LayerSpec> layers;
  std::vector<HeadSpec> heads;
  bool input_gradients = false;  // backward goes on to the network's input: buffer 0 has a delta
};

// Parameters of one layer: [panels][rows][P]. dense: rows = inputs, then the
// bias; layerNorm: gain, bias.
struct ParameterBlock {
  std::int64_t offset = 0;  // in the arena
  std::int64_t panels = 0;
  std::int64_t rows = 0;
  std::int64_t width = 0;   // outputs
};

// One public tensor: [width, row_count] for a weight, [width] for a vector.
struct TensorInfo {
  std::string name;
  bool vector = false;
  int block = 0;
  std::int64_t first_row = 0;
  std::int64_t row_count = 1;
  std::int64_t outputs = 0;        // rows of the public shape
  std::int64_t public_offset = 0;  // in the flat public vector
  std::int64_t size() const noexcept { return outputs * row_count; }
};

// The smallest piece of a gradient that one thread sums over the whole batch:
// rows [row0, row1) of one panel of one layer. Contiguous in the arena.
struct GradientUnit {
  int layer = 0;
  std::int64_t panel = 0, row0 = 0, row1 = 0;
  std::int64_t offset = 0;  // in the arena
  double cost = 0;          // multiply-adds a sample, for the division among threads
};

struct BufferInfo {
  std::int64_t width = 0;
  std::int64_t ld = 0;            // padded to whole panels, an odd number of cache lines
  ActivationSpec activation;      // of the layer that produced it
  bool has_slope = false;         // its derivative is kept in a buffer of its own
  bool needs_delta = false;       // false for the input and what has no parameters before it
  bool derivative_fused = false;  // its single consumer multiplies by act' on the way back
  bool has_curve = false;         // act'' is not zero everywhere
  bool has_bend = false;          // its layer keeps something of a tangent, see MatrixKind
};

struct HeadInfo {
  std::string name;
  int buffer = 0;
  std::int64_t width = 0;
  bool squashed = false;  // last activation is sigmoid, tanh or the like: losses on logits refuse it
};

template <Scalar T> class Layer;

template <Scalar T>
class Network {
 public:
  // Checks the whole spec (widths, rates, residual shapes) and lays out buffers,
  // parameters and gradient units.
  static Status create(const NetworkSpec& spec, std::unique_ptr<const Network>& out);
  ~Network();

  const NetworkSpec& spec() const noexcept { return spec_; }
  std::int64_t inputs() const noexcept { return spec_.inputs; }
  std::int64_t parameter_count() const noexcept { return parameter_count_; }
  std::int64_t arena_size() const noexcept { return arena_size_; }
  std::int64_t transposed_size() const noexcept { return transposed_size_; }
  std::span<const std::unique_ptr<Layer<T>>> layers() const noexcept { return layers_; }
  std::span<const BufferInfo> buffers() const noexcept { return buffers_; }
  std::span<const ParameterBlock> blocks() const noexcept { return blocks_; }
  std::span<const TensorInfo> tensors() const noexcept { return tensors_; }
  std::span<const GradientUnit> units() const noexcept { return units_; }
  std::span<const HeadInfo> heads() const noexcept { return heads_; }
  // Multiply-adds of forward, and of a whole training step, for one sample.
  double forward_cost() const noexcept { return forward_cost_; }
  double step_cost() const noexcept { return step_cost_; }
  // False where an activation has a surrogate in place of its derivative.
  bool differentiable() const noexcept;

  // Public order <-> arena. U is float or double. Sizes: parameter_count(), arena_size().
  template <Scalar U> void to_arena(std::span<const U> flat, std::span<T> arena) const noexcept;
  template <Scalar U> void to_public(std::span<const T> arena, std::span<U> flat) const noexcept;
  // The copy of the weights that the backward pass reads, whole or for one unit.
  void transpose(const T* arena, T* transposed) const noexcept;
  void transpose_unit(const T* arena, const GradientUnit& unit, T* transposed) const noexcept;
  Status initialise(std::uint64_t seed, std::span<T> arena) const;

 private:
  template <Scalar> friend class NetworkBuilder;
  Network() = default;
  NetworkSpec spec_;
  std::vector<std::unique_ptr<Layer<T>>> layers_;
  std::vector<BufferInfo> buffers_;
  std::vector<ParameterBlock> blocks_;
  std::vector<TensorInfo> tensors_;
  std::vector<GradientUnit> units_;
  std::vector<HeadInfo> heads_;
  std::int64_t parameter_count_ = 0, arena_size_ = 0, transposed_size_ = 0;
  double forward_cost_ = 0, step_cost_ = 0;
};

// An error of `argument` unless the network is differentiable: tangents and second derivatives ask for it, the backward
// pass does not.
template <Scalar T>
Status check_differentiable(const Network<T>& network, const char* argument) noexcept;

// What a batch buffer may have a matrix of.
enum class MatrixKind : std::uint8_t {
  kActivation,
  kSlope,    // act'(z), where the output does not tell it
  kDelta,    // d(loss)/d(pre-activation), where backward owes one
  kTangent,  // along a direction
  kCurve,    // d(loss)/d(activation) * act''(z), where act'' is not zero everywhere
  kBend,     // what a layer keeps of a tangent for the second-order backward pass
};

// One padded matrix [max_rows, ld] a buffer, for the buffers that have one.
template <Scalar T>
class BatchMatrices {
 public:
  BatchMatrices() noexcept = default;
  // With storage of its own, zeros.
  BatchMatrices(const Network<T>& network, std::int64_t max_rows, MatrixKind kind);

  bool empty() const noexcept { return matrices_.empty(); }
  T* operator[](int buffer) const noexcept { return matrices_[static_cast<std::size_t>(buffer)]; }  // null: none
  std::int64_t bytes() const noexcept { return static_cast<std::int64_t>(storage_.bytes()); }

 private:
  template <Scalar> friend class Workspace;
  AlignedBuffer<T> storage_;
  std::vector<T*> matrices_;
};

// Batch buffers of one pass, laid out once for at most max_rows samples.
enum class WorkspaceKind : std::uint8_t { kForward, kBackward, kTangent };  // each holds what the one before holds

template <Scalar T>
class Workspace {
 public:
  Workspace(const Network<T>& network, std::int64_t max_rows, WorkspaceKind kind);
  // Tangents for a workspace that was made without. May throw std::bad_alloc.
  void reserve_tangents(const Network<T>& network);

  std::int64_t max_rows() const noexcept { return max_rows_; }
  T* activation(int buffer) const noexcept { return activations_[buffer]; }
  T* slope(int buffer) const noexcept { return slopes_[buffer]; }
  T* delta(int buffer) const noexcept { return deltas_[buffer]; }
  T* tangent(int buffer) const noexcept { return tangents_[buffer]; }
  const BatchMatrices<T>& activations() const noexcept { return activations_; }
  const BatchMatrices<T>& deltas() const noexcept { return deltas_; }
  const BatchMatrices<T>& tangents() const noexcept { return tangents_; }
  // What a layer keeps for itself between forward and backward (masks, normalised rows).
  T* scratch(int layer) const noexcept { return scratch_[static_cast<std::size_t>(layer)]; }
  std::int64_t bytes() const noexcept { return static_cast<std::int64_t>(arena_.bytes()) + tangents_.bytes(); }

 private:
  AlignedBuffer<T> arena_;
  BatchMatrices<T> activations_, slopes_, deltas_, tangents_;  // in the arena
  std::vector<T*> scratch_;
  std::int64_t max_rows_;
};

// One batch on its way through the network. Threads share it and work on
// disjoint rows, then on disjoint gradient units.
template <Scalar T>
struct Pass {
  const Network<T>* network = nullptr;
  const Workspace<T>* workspace = nullptr;
  const T* parameters = nullptr;   // arena
  const T* transposed = nullptr;   // for backward
  std::int64_t rows = 0;
  std::int64_t first_row = 0;      // sums over rows begin here
  bool training = false;           // dropout acts
  std::uint64_t seed = 0, step = 0;  // of the dropout masks
  // What backward and gradient work on; null: the workspace's deltas.
  const BatchMatrices<T>* adjoints = nullptr;
  // Second derivatives: backward fills the curves from the deltas, tangent then the bends. Null: neither does.
  const BatchMatrices<T>* curves = nullptr;
  const BatchMatrices<T>* bends = nullptr;

  const BatchMatrices<T>& adjoint_set() const noexcept { return adjoints != nullptr ? *adjoints : workspace->deltas(); }

  void forward(std::int64_t first, std::int64_t count) const noexcept;
  // Adjoints of the heads' buffers must hold d(loss)/d(output) of these rows.
  void backward(std::int64_t first, std::int64_t count) const noexcept;
  // Tangents of all buffers along `direction` (arena order) after forward.
  void tangent(const T* direction, std::int64_t first, std::int64_t count) const noexcept;
  // scale * sum over rows first_row.. of the unit's gradient, in the unit's arena order.
  void gradient(const GradientUnit& unit, T scale, T* out) const noexcept;
  // Gradient of one sample in public order, all parameters.
  // `stream`: past the caches, for results that are larger than these; the same bits.
  void per_sample_gradient(std::int64_t row, T* out, bool stream = false) const noexcept;

  // The derivative of backward along `direction` (R{.} of Pearlmutter 1994), after backward with curves into the
  // workspace's deltas and after tangent with bends: adjoints of the heads hold R{d(loss)/d(output)}. Reads the
  // direction's transposed copy too (Network::transpose).
  void second_backward(const T* direction, const T* transposed_direction, std::int64_t first,
                       std::int64_t count) const noexcept;
  // scale * R{the sum of gradient()}.
  void second_gradient(const GradientUnit& unit, T scale, T* out) const noexcept;
  // Adds to sums[row] the product of the sample's gradient (of the adjoints) with the direction. Overwrites tangents.
  void per_sample_products(const T* direction, std::int64_t first, std::int64_t count, double* sums) const noexcept;
  // Squares of per-sample gradients, summed: square() puts the squares of `deltas` into the adjoints and those of the
  // activations into the tangents; then sums as in gradient().
  void square(const BatchMatrices<T>& deltas, std::int64_t first, std::int64_t count) const noexcept;
  void squared_gradient(const GradientUnit& unit, T scale, T* out) const noexcept;
};

}  // namespace krylov
