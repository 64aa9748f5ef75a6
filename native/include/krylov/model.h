// A network with its parameters, as the caller sees them: whole steps only,
// whichever thread trains.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "krylov/buffer.h"
#include "krylov/dtype.h"
#include "krylov/network.h"
#include "krylov/status.h"

namespace krylov {

// How raw outputs become probabilities.
enum class Link : std::uint8_t { kIdentity, kSigmoid, kSoftmax };
enum class Output : std::uint8_t { kRaw, kProbability, kClass };

template <Scalar T>
class Model {
 public:
  static Status create(const NetworkSpec& spec, std::uint64_t seed, std::shared_ptr<Model>& out);

  const Network<T>& network() const noexcept { return *network_; }

  // Held while a run trains; train, setParameters and linearize refuse a busy model.
  bool try_acquire() noexcept { return !busy_.exchange(true, std::memory_order_acquire); }
  void release() noexcept { busy_.store(false, std::memory_order_release); }
  bool busy() const noexcept { return busy_.load(std::memory_order_acquire); }

  // Public order; sizes checked by the caller: parameter_count().
  template <Scalar U> void read(std::span<U> flat) const noexcept;
  template <Scalar U> void write(std::span<const U> flat) noexcept;
  // Arena order, whole.
  void snapshot(std::span<T> arena) const noexcept;
  void publish(std::span<const T> arena) noexcept;
  // Publishes unless a reader holds the parameters; false when it did not.
  bool try_publish(std::span<const T> arena) noexcept;
  // Grows with every change of the parameters: holders of derived copies compare it.
  std::uint64_t version() const noexcept { return version_.load(std::memory_order_acquire); }

  // Outputs of `rows` rows in row-major [rows, width], one destination a head; kClass writes int32.
  // `inputs` is [rows, inputs()] of dtype. Runs on the calling thread; the first call makes the
  // workspace and may throw std::bad_alloc.
  void predict(const void* inputs, DType dtype, std::int64_t rows, Output output, std::span<const Link> links,
               std::span<void* const> out);

 private:
  Model() = default;
  std::unique_ptr<const Network<T>> network_;
  AlignedBuffer<T> parameters_;
  std::unique_ptr<Workspace<T>> workspace_;  // of predict, guarded by mutex_
  mutable std::mutex mutex_;
  std::atomic<bool> busy_{false};
  std::atomic<std::uint64_t> version_{0};
};

// Rows of one pass of predict and evaluate.
inline constexpr std::int64_t kPredictRows = 128;

// One block of rows from a finished forward pass to the destinations, first row at `row`.
template <Scalar T>
void write_outputs(const Network<T>& network, const Workspace<T>& workspace, std::int64_t first, std::int64_t count,
                   Output output, std::span<const Link> links, std::span<void* const> out, std::int64_t row) noexcept;

}  // namespace krylov
