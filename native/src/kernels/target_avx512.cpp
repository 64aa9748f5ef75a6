// The kernels compiled for avx512; flags: binding.gyp, CMakeLists.txt.
#define KRYLOV_SET avx512
#define KRYLOV_SET_AVX512 1
#include "kernels/target-inl.h"
