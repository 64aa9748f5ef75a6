// The vector test cases of the avx2 set, compiled with its flags.
#if defined(__x86_64__) || defined(__i386__)
#define KRYLOV_SET avx2
#define KRYLOV_SET_AVX2 1
#include "math_cases-inl.h"
#include "simd_cases-inl.h"

namespace krylov::test {

VectorSet avx2_vector_set() {
  return {"avx2",
          avx2::kFused,
          avx2::Vec<float>::kLanes,
          avx2::Vec<double>::kLanes,
          avx2::evaluate<float>,
          avx2::evaluate<double>,
          avx2::check_operations};
}

}  // namespace krylov::test
#endif
