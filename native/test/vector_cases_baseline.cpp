// The vector test cases of the baseline set, compiled with its flags.
#define KRYLOV_SET baseline
#include "math_cases-inl.h"
#include "simd_cases-inl.h"

namespace krylov::test {

VectorSet baseline_vector_set() {
  return {"baseline",
          baseline::kFused,
          baseline::Vec<float>::kLanes,
          baseline::Vec<double>::kLanes,
          baseline::evaluate<float>,
          baseline::evaluate<double>,
          baseline::check_operations};
}

}  // namespace krylov::test
