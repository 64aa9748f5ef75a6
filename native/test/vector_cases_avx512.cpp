// The vector test cases of the avx512 set, compiled with its flags.
#if defined(__x86_64__) || defined(__i386__)
#define KRYLOV_SET avx512
#define KRYLOV_SET_AVX512 1
#include "math_cases-inl.h"
#include "simd_cases-inl.h"

namespace krylov::test {

VectorSet avx512_vector_set() {
  return {"avx512",
          avx512::kFused,
          avx512::Vec<float>::kLanes,
          avx512::Vec<double>::kLanes,
          avx512::evaluate<float>,
          avx512::evaluate<double>,
          avx512::check_operations};
}

}  // namespace krylov::test
#endif
