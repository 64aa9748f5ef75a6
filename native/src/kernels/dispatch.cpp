// Chooses the kernel tables once: the best set that the build and the processor
// have, or what KRYLOV_ISA asks for (system.h).
#include "kernels/kernel_table.h"
#include "krylov/system.h"

namespace krylov {

#define KRYLOV_DECLARE_SET(set)                      \
  namespace set {                                    \
  extern const KernelTable<float> kFloatTable;       \
  extern const KernelTable<double> kDoubleTable;     \
  }

KRYLOV_DECLARE_SET(baseline)
#if defined(__x86_64__) || defined(_M_X64)
KRYLOV_DECLARE_SET(avx2)
KRYLOV_DECLARE_SET(avx512)
#elif defined(__aarch64__)
KRYLOV_DECLARE_SET(neon)
#endif

namespace {

// Sets are ordered by what they need; a processor that has one has those before it.
bool processor_has(Isa isa) noexcept {
  const Isa best = detect_best_isa();
  if (isa == Isa::kBaseline || isa == best) return true;
  return isa == Isa::kAvx2 && best == Isa::kAvx512;
}

template <Scalar T>
const KernelTable<T>* pick(const KernelTable<float>& f, const KernelTable<double>& d) noexcept {
  if constexpr (sizeof(T) == 4) {
    (void)d;
    return &f;
  } else {
    (void)f;
    return &d;
  }
}

}  // namespace

template <Scalar T>
const KernelTable<T>* kernels_for(Isa isa) noexcept {
  if (!processor_has(isa)) return nullptr;
  switch (isa) {
    case Isa::kBaseline: return pick<T>(baseline::kFloatTable, baseline::kDoubleTable);
#if defined(__x86_64__) || defined(_M_X64)
    case Isa::kAvx2: return pick<T>(avx2::kFloatTable, avx2::kDoubleTable);
    case Isa::kAvx512: return pick<T>(avx512::kFloatTable, avx512::kDoubleTable);
#elif defined(__aarch64__)
    case Isa::kNeon: return pick<T>(neon::kFloatTable, neon::kDoubleTable);
#endif
    default: return nullptr;
  }
}

template <Scalar T>
const KernelTable<T>& kernels() noexcept {
  static const KernelTable<T>* const table = kernels_for<T>(chosen_isa());
  return table != nullptr ? *table : *kernels_for<T>(Isa::kBaseline);
}

template const KernelTable<float>* kernels_for<float>(Isa) noexcept;
template const KernelTable<double>* kernels_for<double>(Isa) noexcept;
template const KernelTable<float>& kernels<float>() noexcept;
template const KernelTable<double>& kernels<double>() noexcept;

}  // namespace krylov
