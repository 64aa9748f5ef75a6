// Element types of the core. Networks compute in float32 or float64; data sets
// also keep unsigned bytes, and class indices are int32.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace krylov {

template <class T>
concept Scalar = std::same_as<T, float> || std::same_as<T, double>;

enum class DType : std::uint8_t { kFloat32, kFloat64, kUint8, kInt32 };

template <Scalar T>
inline constexpr DType kDTypeOf = sizeof(T) == 4 ? DType::kFloat32 : DType::kFloat64;

constexpr std::size_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::kFloat64: return 8;
    case DType::kUint8: return 1;
    default: return 4;
  }
}

// A panel is one cache line of outputs, whatever the instruction set: 16 floats
// or 8 doubles. Weights are stored panel by panel, and every row of a batch
// matrix is padded to whole panels, so a model file never depends on the set.
inline constexpr std::size_t kCacheLine = 64;
template <Scalar T>
inline constexpr std::int64_t kPanel = static_cast<std::int64_t>(kCacheLine / sizeof(T));

// Always inlined: per-set translation units must not emit a copy of their own.
[[gnu::always_inline]] constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) noexcept { return (a + b - 1) / b; }
[[gnu::always_inline]] constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) noexcept { return ceil_div(a, b) * b; }

}  // namespace krylov
