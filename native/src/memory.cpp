#include "krylov/buffer.h"

#include <atomic>
#include <cstring>
#include <limits>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace krylov {
namespace {

constexpr std::size_t kLineAlignment = 64;
// Matrices that span many 4 KiB pages miss the TLB on every panel; one huge
// page covers them. Below half a huge page the rounding would waste more.
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kLargeBlock = std::size_t{1} << 20;

std::atomic<std::int64_t> allocations{0};

constexpr bool is_large(std::size_t bytes) noexcept { return bytes >= kLargeBlock; }

std::align_val_t alignment_of(std::size_t bytes) noexcept {
  return std::align_val_t{is_large(bytes) ? kHugePage : kLineAlignment};
}

}  // namespace

void* allocate_aligned(std::size_t bytes) {
  // No address space holds kMost: operator new refuses it. It would round a
  // size near the end of the range up to 0.
  constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max() / 2 / kHugePage * kHugePage;
  std::size_t reserved = bytes;
  if (bytes > kMost) {
    reserved = kMost;
  } else if (is_large(bytes)) {
    reserved = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  }
  // Asked not to throw: sanitizers abort where the throwing form fails.
  void* block = ::operator new(reserved, alignment_of(bytes), std::nothrow);
  if (block == nullptr) throw std::bad_alloc();
  allocations.fetch_add(1, std::memory_order_relaxed);
#if defined(__linux__)
  // Before the first touch; a refusal costs speed only.
  if (is_large(bytes)) (void)madvise(block, reserved, MADV_HUGEPAGE);
#endif
  std::memset(block, 0, bytes);
  return block;
}

void free_aligned(void* block, std::size_t bytes) noexcept { ::operator delete(block, alignment_of(bytes)); }

std::int64_t allocation_count() noexcept { return allocations.load(std::memory_order_relaxed); }

}  // namespace krylov
