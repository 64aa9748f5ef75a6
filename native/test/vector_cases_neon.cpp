// The vector test cases of the neon set, compiled with its flags.
#if defined(__aarch64__)
#define KRYLOV_SET neon
#define KRYLOV_SET_NEON 1
#include "math_cases-inl.h"
#include "simd_cases-inl.h"

namespace krylov::test {

VectorSet neon_vector_set() {
  return {"neon",
          neon::kFused,
          neon::Vec<float>::kLanes,
          neon::Vec<double>::kLanes,
          neon::evaluate<float>,
          neon::evaluate<double>,
          neon::check_operations};
}

}  // namespace krylov::test
#endif
