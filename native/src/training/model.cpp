#include "krylov/model.h"

#include <algorithm>
#include <cstring>

#include "kernels/kernel_table.h"
#include "samples/batch.h"

namespace krylov {

template <Scalar T>
Status Model<T>::create(const NetworkSpec& spec, std::uint64_t seed, std::shared_ptr<Model>& out) {
  std::shared_ptr<Model> model(new Model());
  if (Status s = Network<T>::create(spec, model->network_); !s.ok()) return s;
  model->parameters_ = AlignedBuffer<T>(static_cast<std::size_t>(model->network_->arena_size()));
  if (Status s = model->network_->initialise(seed, model->parameters_.span()); !s.ok()) return s;
  out = std::move(model);
  return Status::success();
}

template <Scalar T>
template <Scalar U>
void Model<T>::read(std::span<U> flat) const noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  network_->template to_public<U>(parameters_.span(), flat);
}

template <Scalar T>
template <Scalar U>
void Model<T>::write(std::span<const U> flat) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  network_->template to_arena<U>(flat, parameters_.span());
  version_.fetch_add(1, std::memory_order_release);
}

template <Scalar T>
void Model<T>::snapshot(std::span<T> arena) const noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::memcpy(arena.data(), parameters_.data(), parameters_.bytes());
}

template <Scalar T>
void Model<T>::publish(std::span<const T> arena) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::memcpy(parameters_.data(), arena.data(), parameters_.bytes());
  version_.fetch_add(1, std::memory_order_release);
}

template <Scalar T>
bool Model<T>::try_publish(std::span<const T> arena) noexcept {
  if (!mutex_.try_lock()) return false;
  std::memcpy(parameters_.data(), arena.data(), parameters_.bytes());
  version_.fetch_add(1, std::memory_order_release);
  mutex_.unlock();
  return true;
}

namespace {

template <Scalar T>
std::int32_t class_of(const T* outputs, std::int64_t width) noexcept {
  // One output: the class that its logit prefers.
  if (width == 1) return outputs[0] > T(0) ? 1 : 0;
  std::int64_t best = 0;
  for (std::int64_t c = 1; c < width; ++c) {
    if (outputs[c] > outputs[best]) best = c;
  }
  return static_cast<std::int32_t>(best);
}

}  // namespace

template <Scalar T>
void write_outputs(const Network<T>& network, const Workspace<T>& workspace, std::int64_t first, std::int64_t count,
                   Output output, std::span<const Link> links, std::span<void* const> out, std::int64_t row) noexcept {
  for (std::size_t h = 0; h < network.heads().size(); ++h) {
    const HeadInfo& head = network.heads()[h];
    const std::int64_t ld = network.buffers()[static_cast<std::size_t>(head.buffer)].ld;
    T* z = workspace.activation(head.buffer) + first * ld;
    if (output == Output::kClass) {
      auto* classes = static_cast<std::int32_t*>(out[h]) + row;
      // Without a sigmoid to come, one output is a probability already.
      const bool probability = head.width == 1 && links[h] == Link::kIdentity;
      for (std::int64_t r = 0; r < count; ++r) {
        classes[r] = probability ? (z[r * ld] > T(0.5) ? 1 : 0) : class_of(z + r * ld, head.width);
      }
      continue;
    }
    if (output == Output::kProbability && links[h] == Link::kSoftmax) {
      kernels<T>().softmax_rows(z, ld, z, ld, count, head.width);
    } else if (output == Output::kProbability && links[h] == Link::kSigmoid) {
      kernels<T>().activate({Activation::kSigmoid, 0}, z, ld, z, ld, nullptr, 0, count, round_up(head.width, kPanel<T>));
    }
    T* to = static_cast<T*>(out[h]) + row * head.width;
    for (std::int64_t r = 0; r < count; ++r) {
      std::memcpy(to + r * head.width, z + r * ld, static_cast<std::size_t>(head.width) * sizeof(T));
    }
  }
}

template <Scalar T>
void Model<T>::predict(const void* inputs, DType dtype, std::int64_t rows, Output output, std::span<const Link> links,
                       std::span<void* const> out) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (workspace_ == nullptr) workspace_ = std::make_unique<Workspace<T>>(*network_, kPredictRows, WorkspaceKind::kForward);
  Pass<T> pass;
  pass.network = network_.get();
  pass.workspace = workspace_.get();
  pass.parameters = parameters_.data();
  const auto* bytes = static_cast<const std::byte*>(inputs);
  for (std::int64_t row = 0; row < rows; row += kPredictRows) {
    const std::int64_t count = std::min(kPredictRows, rows - row);
    pass.rows = count;
    gather_inputs<T>(*network_, bytes + static_cast<std::size_t>(row * network_->inputs()) * size_of(dtype), dtype,
                     nullptr, count, workspace_->activation(0));
    pass.forward(0, count);
    write_outputs<T>(*network_, *workspace_, 0, count, output, links, out, row);
  }
}

#define KRYLOV_INSTANTIATE(T)                                                                                          \
  template Status Model<T>::create(const NetworkSpec&, std::uint64_t, std::shared_ptr<Model>&);                        \
  template void Model<T>::read<float>(std::span<float>) const noexcept;                                                \
  template void Model<T>::read<double>(std::span<double>) const noexcept;                                              \
  template void Model<T>::write<float>(std::span<const float>) noexcept;                                               \
  template void Model<T>::write<double>(std::span<const double>) noexcept;                                             \
  template void Model<T>::snapshot(std::span<T>) const noexcept;                                                       \
  template void Model<T>::publish(std::span<const T>) noexcept;                                                        \
  template bool Model<T>::try_publish(std::span<const T>) noexcept;                                                    \
  template void Model<T>::predict(const void*, DType, std::int64_t, Output, std::span<const Link>,                     \
                                  std::span<void* const>);                                                             \
  template void write_outputs(const Network<T>&, const Workspace<T>&, std::int64_t, std::int64_t, Output,              \
                              std::span<const Link>, std::span<void* const>, std::int64_t) noexcept;
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
