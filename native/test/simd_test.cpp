// Every operation of the vector types, for each instruction set that this processor can run.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdlib>
#include <string>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#define KRYLOV_HAVE_GUARD_PAGE 1
#endif

#include "vector_cases.h"

namespace krylov::test {
namespace {

// Memory that ends at an address behind which nothing may be touched.
class GuardedBlock {
 public:
  GuardedBlock() {
#if defined(KRYLOV_HAVE_GUARD_PAGE)
    size_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* block = mmap(nullptr, 2 * size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(block != MAP_FAILED);
    block_ = static_cast<unsigned char*>(block);
    REQUIRE(mprotect(block_ + size_, size_, PROT_NONE) == 0);
#else
    size_ = 4096;
    block_ = static_cast<unsigned char*>(std::malloc(size_));
    REQUIRE(block_ != nullptr);
#endif
  }
  ~GuardedBlock() {
#if defined(KRYLOV_HAVE_GUARD_PAGE)
    munmap(block_, 2 * size_);
#else
    std::free(block_);
#endif
  }
  GuardedBlock(const GuardedBlock&) = delete;
  GuardedBlock& operator=(const GuardedBlock&) = delete;

  unsigned char* limit() const { return block_ + size_; }

 private:
  unsigned char* block_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace

TEST_CASE("vector operations agree with scalar code to the bit") {
  for_each_vector_set([](const VectorSet& set) {
    CAPTURE(std::string(set.name));
    GuardedBlock block;
    const SimdReport report = set.check_operations(block.limit());
    for (int i = 0; i < report.failures && i < SimdReport::kKept; ++i) {
      const Failure& failure = report.first[i];
      FAIL_CHECK(std::string(failure.check), " ", std::string(failure.dtype), " index ", failure.index, ": got ",
                 failure.actual, ", expected ", failure.expected);
    }
    CHECK(report.failures == 0);
    CHECK(report.checks > 10000);
  });
}

TEST_CASE("vector sets have the documented width") {
  for_each_vector_set([](const VectorSet& set) {
    CAPTURE(std::string(set.name));
    CHECK(set.float_lanes == 2 * set.double_lanes);
    CHECK(set.float_lanes >= 4);
    CHECK(set.float_lanes <= 16);
  });
}

}  // namespace krylov::test
