// The kernels compiled for avx2; flags: binding.gyp, CMakeLists.txt.
#define KRYLOV_SET avx2
#define KRYLOV_SET_AVX2 1
#include "kernels/target-inl.h"
