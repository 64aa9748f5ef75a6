// What the vector tests of one instruction set offer to the plainly compiled test files. The code of
// a set is compiled with its own flags, so only plain data and function pointers cross this line.
#pragma once

namespace krylov::test {

enum class MathFunction { kExp, kExpm1, kLog, kLog1p, kTanh, kSigmoid, kSoftplus, kErf, kNormalPdf };

struct Failure {
  const char* check;  // the operation under test
  const char* dtype;
  int index;  // lane, count or case, as the check numbers them
  double actual;
  double expected;
};

struct SimdReport {
  static constexpr int kKept = 16;
  long checks = 0;
  long failures = 0;
  Failure first[kKept] = {};
};

struct VectorSet {
  const char* name;
  bool fused;  // fma rounds once
  int float_lanes;
  int double_lanes;
  // y[i] = f(x[i]): whole vectors, then one load_partial tail.
  void (*evaluate_float)(MathFunction f, const float* x, float* y, int n);
  void (*evaluate_double)(MathFunction f, const double* x, double* y, int n);
  // Checks every operation. limit: an address aligned to 64 bytes with at least 256 writable bytes
  // before it and nothing readable behind it, so that a tail that reads too far faults.
  SimdReport (*check_operations)(unsigned char* limit);
};

VectorSet baseline_vector_set();
#if defined(__x86_64__) || defined(__i386__)
VectorSet avx2_vector_set();
VectorSet avx512_vector_set();
#elif defined(__aarch64__)
VectorSet neon_vector_set();
#endif

// Calls visit(set) for every set that this processor can run.
template <class Visit>
void for_each_vector_set(Visit visit) {
  visit(baseline_vector_set());
#if defined(__x86_64__) || defined(__i386__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2) visit(avx2_vector_set());
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    visit(avx512_vector_set());
  }
#elif defined(__aarch64__)
  visit(neon_vector_set());
#endif
}

}  // namespace krylov::test
