// The kernels compiled for baseline; flags: binding.gyp, CMakeLists.txt.
#define KRYLOV_SET baseline
#include "kernels/target-inl.h"
