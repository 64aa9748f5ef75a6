// Transformations of a gradient before an update rule sees it: clipping,
// smoothing, filters. A chain of them runs in the user's order; each keeps its
// own memory. They work on any array of tensors: the flat public vector of a
// script, or the arena of a network.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "krylov/buffer.h"
#include "krylov/dtype.h"
#include "krylov/member.h"
#include "krylov/status.h"

namespace krylov {

template <Scalar T>
class Network;
template <Scalar T>
class GradientTransform;

struct ClipByValueSpec { double limit = 1; };
// g c / (n + epsilon) where n + epsilon > c = max_norm.
struct ClipByGlobalNormSpec { double max_norm = 1, epsilon = 0; };
struct ClipByLayerNormSpec {
  enum class Groups : std::uint8_t { kTensor, kLayer, kListed };
  double max_norm = 1, epsilon = 0;
  Groups groups = Groups::kTensor;
  std::vector<std::vector<std::int64_t>> listed;  // indices of tensors; those in no group are left alone
};
struct AdaptiveClipSpec {
  double clipping = 0.01, epsilon = 1e-3;
  std::vector<std::int64_t> exclude;  // tensors that are left alone
};
struct AutoClipSpec {
  double percentile = 10;
  std::int64_t window = 0;  // norms that are remembered; 0: all
};
struct AsymmetricSmoothingSpec {
  double decay_positive = 0.9, decay_negative = 0.5;
  bool bias_correction = true;
};
struct LowRankFilterSpec {
  std::int64_t rank = 1;
  double decay = 0.9;
  std::int64_t refresh = 1, warmup = 1;
  double residual = 0;
};
struct DirectionalBiasSpec {
  double decay = 0.9, parallel = 1, perpendicular = 0.5;
  bool global = false;  // one direction of all tensors, instead of one for each
};
using GradientTransformSpec =
    std::variant<ClipByValueSpec, ClipByGlobalNormSpec, ClipByLayerNormSpec, AdaptiveClipSpec, AutoClipSpec,
                 AsymmetricSmoothingSpec, LowRankFilterSpec, DirectionalBiasSpec>;

// Where a tensor lies: element (o, i) at offset + (o / lanes) * panel_stride + i * lanes + o % lanes.
struct GradientTensor {
  std::int64_t offset = 0, panel_stride = 0, panels = 0, lanes = 1;
  std::int64_t outputs = 0, columns = 1;
  bool vector = false;
  int layer = -1;  // that it belongs to; -1: none is known
};

// A contiguous part of one tensor, padding included: what one thread sums.
struct GradientPiece { std::int64_t offset = 0, size = 0; };

class GradientLayout {
 public:
  // Tensors one after the other, row-major; the first side of a shape counts the outputs, a shape of one side or none is
  // a vector.
  explicit GradientLayout(const std::vector<std::vector<std::int64_t>>& shapes);
  // Tensors in the arena.
  template <Scalar T>
  explicit GradientLayout(const Network<T>& network);

  std::int64_t size() const noexcept { return size_; }
  std::span<const GradientTensor> tensors() const noexcept { return tensors_; }
  // Tensor by tensor; [first, last) of a tensor.
  std::span<const GradientPiece> pieces() const noexcept { return pieces_; }
  std::pair<std::size_t, std::size_t> pieces_of(std::size_t tensor) const noexcept {
    return {first_piece_[tensor], first_piece_[tensor + 1]};
  }
  // Pieces [first, last) of a thread.
  std::pair<std::size_t, std::size_t> share(const Member& member) const noexcept;

 private:
  void cut();
  std::vector<GradientTensor> tensors_;
  std::vector<GradientPiece> pieces_;
  std::vector<std::size_t> first_piece_;
  std::int64_t size_ = 0;
};

// What a chain remembers, by names such as `0.positive`: arrays by parameter in the chain's layout, and others.
template <Scalar T>
struct GradientMemory {
  struct Plain {
    std::string name;
    std::vector<double>* values;
    std::int64_t most;  // length: any up to this one, or just this one
    bool fixed;
    bool not_negative;

    bool accepts(const std::vector<double>& given) const noexcept;
  };
  std::vector<std::pair<std::string, std::span<T>>> arrays;
  std::vector<Plain> plain;
};

template <Scalar T>
class GradientChain {
 public:
  static Status create(const std::vector<GradientTransformSpec>& specs, GradientLayout layout,
                       std::unique_ptr<GradientChain>& out);
  ~GradientChain();

  std::int64_t size() const noexcept { return layout_.size(); }
  bool needs_parameters() const noexcept { return needs_parameters_; }
  std::int64_t updates() const noexcept { return updates_; }

  // By one thread, before apply().
  void begin() noexcept;
  // By every member: the gradient becomes the transformed one. `parameters` may be null where none are needed.
  void apply(const T* parameters, T* gradient, const Member& member) noexcept;
  // After apply(), by one thread: false where a norm was not finite. The gradient is then not to be used.
  bool finite() const noexcept { return finite_; }
  // By one thread, after an update that was made.
  void end() noexcept { ++updates_; }

  // Of the newest gradient, before and after; the latter reads the gradient where it was left.
  double norm_before() const noexcept { return norm_; }
  double norm_after() const noexcept;
  // The smallest factor of a clipping by norms; NaN where the chain has none.
  double smallest_factor() const noexcept;

  GradientMemory<T> memory();
  // After the arrays and vectors of memory() were written.
  void restored(std::int64_t updates);

 private:
  explicit GradientChain(GradientLayout layout);
  GradientLayout layout_;
  std::vector<std::unique_ptr<GradientTransform<T>>> transforms_;
  AlignedBuffer<double> squares_;  // by piece
  const T* gradient_ = nullptr;    // the newest
  double norm_ = 0;
  std::int64_t updates_ = 0;
  bool finite_ = true, needs_parameters_ = false;
};

}  // namespace krylov
