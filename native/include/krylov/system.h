// Facts about this machine and this build, and the choice of an instruction set.
#pragma once

#include <cstdint>
#include <string>

namespace krylov {

// Kernel sets, ordered by what they need within a family of processors.
enum class Isa : std::uint8_t { kBaseline, kAvx2, kAvx512, kNeon };

// Names as KRYLOV_ISA takes them: baseline, avx2, avx512, neon.
const char* isa_name(Isa isa) noexcept;
bool parse_isa(const char* name, Isa& isa) noexcept;

// The widest set that processor and operating system can execute. kAvx2 means
// AVX2 and FMA; kAvx512 the F, BW, DQ and VL parts and all of kAvx2.
Isa detect_best_isa() noexcept;

enum class IsaRequest : std::uint8_t {
  kNone,         // KRYLOV_ISA unset or empty: the widest set that recorded runs have executed
  kGranted,
  kUnavailable,  // a set that this processor lacks: the default is used
  kUnknown       // not the name of a set: the default is used, loading should fail
};
struct IsaChoice {
  Isa isa = Isa::kBaseline;
  IsaRequest request = IsaRequest::kNone;
  std::string requested;  // the text of KRYLOV_ISA
};

// Pure: what the text asks for on a processor whose best set is `best`.
IsaChoice choose_isa(const char* requested, Isa best);

// The process's choice, from the environment at the first call.
const IsaChoice& isa_choice();
Isa chosen_isa() noexcept;

struct SystemInfo {
  std::string instruction_set;  // name of the set in use
  std::string processor;        // model name; "unknown" where the system does not say
  int available_processors = 1;  // affinity and quota respected
  int online_processors = 1;
  int openmp = 0;        // version as yyyymm; 0: std::thread helpers
  std::string compiler;  // name and version
};
SystemInfo system_info(Isa in_use);

}  // namespace krylov
