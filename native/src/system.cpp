#include "krylov/system.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "krylov/threads.h"

#if defined(__linux__)
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace krylov {
namespace {

struct NamedIsa {
  Isa isa;
  const char* name;
  // Whether runs on such a processor have been recorded; a set that none has
  // executed is used only where KRYLOV_ISA names it.
  bool recorded;
};
constexpr NamedIsa kSets[] = {
    {Isa::kBaseline, "baseline", true},
    {Isa::kAvx2, "avx2", true},
    {Isa::kAvx512, "avx512", true},
    {Isa::kNeon, "neon", false},
};

// Whether a processor whose best set is `best` also has `isa`.
constexpr bool includes(Isa best, Isa isa) noexcept {
  return isa == Isa::kBaseline || isa == best || (best == Isa::kAvx512 && isa == Isa::kAvx2);
}

std::string processor_model() {
  std::string model;
#if defined(__linux__)
  if (std::FILE* file = std::fopen("/proc/cpuinfo", "re")) {
    char line[512];
    while (model.empty() && std::fgets(line, sizeof line, file) != nullptr) {
      const char* const colon = std::strchr(line, ':');
      if (colon != nullptr && std::strncmp(line, "model name", 10) == 0) {
        model.assign(colon + 1);
      }
    }
    std::fclose(file);
  }
#elif defined(__APPLE__)
  char name[256];
  std::size_t size = sizeof name;
  if (sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0) model = name;
#endif
  const auto first = model.find_first_not_of(" \t\n");
  const auto last = model.find_last_not_of(" \t\n");
  return first == std::string::npos ? "unknown" : model.substr(first, last - first + 1);
}

int count_online_processors() noexcept {
#if defined(__linux__)
  return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
#else
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
#endif
}

constexpr const char* compiler_name() noexcept {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "gcc " __VERSION__;
#else
  return "unknown";
#endif
}

}  // namespace

const char* isa_name(Isa isa) noexcept {
  for (const NamedIsa& set : kSets) {
    if (set.isa == isa) return set.name;
  }
  return "unknown";
}

bool parse_isa(const char* name, Isa& isa) noexcept {
  for (const NamedIsa& set : kSets) {
    if (std::strcmp(name, set.name) == 0) {
      isa = set.isa;
      return true;
    }
  }
  return false;
}

Isa detect_best_isa() noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  // The compiler's test also asks whether the system saves the wide registers.
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Isa::kBaseline;
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return wide ? Isa::kAvx512 : Isa::kAvx2;
#elif defined(__aarch64__)
  return Isa::kNeon;
#else
  return Isa::kBaseline;
#endif
}


IsaChoice choose_isa(const char* requested, Isa best) {
  IsaChoice choice;
  for (const NamedIsa& set : kSets) {
    if (set.recorded && includes(best, set.isa)) choice.isa = set.isa;
  }
  if (requested == nullptr || *requested == '\0') return choice;
  choice.requested = requested;
  Isa wanted;
  if (!parse_isa(requested, wanted)) {
    choice.request = IsaRequest::kUnknown;
  } else if (!includes(best, wanted)) {
    choice.request = IsaRequest::kUnavailable;
  } else {
    choice.request = IsaRequest::kGranted;
    choice.isa = wanted;
  }
  return choice;
}

const IsaChoice& isa_choice() {
  static const IsaChoice* const choice =
      new IsaChoice(choose_isa(std::getenv("KRYLOV_ISA"), detect_best_isa()));  // kept for ever
  return *choice;
}

Isa chosen_isa() noexcept { return isa_choice().isa; }

SystemInfo system_info(Isa in_use) {
  SystemInfo info;
  info.instruction_set = isa_name(in_use);
  info.processor = processor_model();
  info.available_processors = available_processors();
  info.online_processors = count_online_processors();
#if defined(_OPENMP)
  info.openmp = _OPENMP;
#endif
  info.compiler = compiler_name();
  return info;
}

}  // namespace krylov
