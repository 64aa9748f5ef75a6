// The kernels compiled for neon; flags: binding.gyp, CMakeLists.txt.
#define KRYLOV_SET neon
#define KRYLOV_SET_NEON 1
#include "kernels/target-inl.h"
