#include "krylov/system.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <string>

#include "krylov/buffer.h"
#include "krylov/threads.h"
#include "parallel/processors.h"

namespace krylov {
namespace {

constexpr Isa kAll[] = {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512, Isa::kNeon};

TEST_CASE("system: instruction sets have names that are read back") {
  for (const Isa isa : kAll) {
    Isa read = Isa::kBaseline;
    CHECK(parse_isa(isa_name(isa), read));
    CHECK(read == isa);
  }
  Isa untouched = Isa::kAvx2;
  CHECK_FALSE(parse_isa("AVX2", untouched));
  CHECK_FALSE(parse_isa("", untouched));
  CHECK(untouched == Isa::kAvx2);
}

TEST_CASE("system: KRYLOV_ISA lowers the choice and never raises it") {
  struct Case {
    const char* requested;
    Isa best, chosen;
    IsaRequest request;
  };
  const Case cases[] = {
      {nullptr, Isa::kAvx512, Isa::kAvx512, IsaRequest::kNone},
      {"", Isa::kAvx2, Isa::kAvx2, IsaRequest::kNone},
      {nullptr, Isa::kNeon, Isa::kBaseline, IsaRequest::kNone},  // no recorded run has executed it
      {"neon", Isa::kNeon, Isa::kNeon, IsaRequest::kGranted},
      {"baseline", Isa::kAvx512, Isa::kBaseline, IsaRequest::kGranted},
      {"avx2", Isa::kAvx512, Isa::kAvx2, IsaRequest::kGranted},
      {"avx512", Isa::kAvx2, Isa::kAvx2, IsaRequest::kUnavailable},
      {"neon", Isa::kAvx2, Isa::kAvx2, IsaRequest::kUnavailable},
      {"avx2", Isa::kNeon, Isa::kBaseline, IsaRequest::kUnavailable},
      {"sse9", Isa::kAvx2, Isa::kAvx2, IsaRequest::kUnknown},
  };
  for (const Case& c : cases) {
    CAPTURE(c.requested);
    const IsaChoice choice = choose_isa(c.requested, c.best);
    CHECK(choice.isa == c.chosen);
    CHECK(choice.request == c.request);
    CHECK(choice.requested == (c.requested != nullptr ? c.requested : ""));
  }
  CHECK(chosen_isa() == choose_isa(std::getenv("KRYLOV_ISA"), detect_best_isa()).isa);
}

TEST_CASE("system: facts are filled in") {
  const SystemInfo info = system_info(Isa::kBaseline);
  CHECK(info.instruction_set == "baseline");
  CHECK_FALSE(info.processor.empty());
  CHECK(info.available_processors == available_processors());
  CHECK(info.available_processors >= 1);
  CHECK(info.online_processors >= 1);
  CHECK_FALSE(info.compiler.empty());
}

// A tree of control group files, gone at the end.
class FakeGroups {
 public:
  FakeGroups() { std::filesystem::create_directories(root_); }
  ~FakeGroups() { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  int processors(const char* self) const { return quota_processors(root_.string(), self); }

 private:
  std::filesystem::path root_ =
      std::filesystem::temp_directory_path() /
      ("krylov-cgroup-" + std::to_string(reinterpret_cast<std::uintptr_t>(this)));
};

TEST_CASE("processors: the quota of a version 2 group is the smallest of its ancestors") {
  FakeGroups groups;
  CHECK(groups.processors("0::/a/b\n") == 0);
  groups.write("a/b/cpu.max", "max 100000\n");
  CHECK(groups.processors("0::/a/b\n") == 0);
  groups.write("a/cpu.max", "250000 100000\n");
  CHECK(groups.processors("0::/a/b\n") == 3);
  groups.write("a/b/cpu.max", "50000 100000\n");
  CHECK(groups.processors("0::/a/b\n") == 1);
  CHECK(groups.processors("0::/a\n") == 3);
  CHECK(groups.processors("0::/\n") == 0);
  groups.write("cpu.max", "200000 100000\n");
  CHECK(groups.processors("0::/host/path/that/is/not/here\n") == 2);
  CHECK(groups.processors("0::/") == 2);
}

TEST_CASE("processors: version 1 groups and text that makes no sense") {
  FakeGroups groups;
  const char* const self = "12:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n";
  CHECK(groups.processors(self) == 0);
  groups.write("cpu/cpu.cfs_quota_us", "-1\n");
  groups.write("cpu/cpu.cfs_period_us", "100000\n");
  CHECK(groups.processors(self) == 0);
  groups.write("cpu/cpu.cfs_quota_us", "150000\n");
  CHECK(groups.processors(self) == 2);
  groups.write("cpu,cpuacct/docker/x/cpu.cfs_quota_us", "100000\n");
  groups.write("cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n");
  CHECK(groups.processors(self) == 1);
  CHECK(groups.processors("1:cpuset:/docker/x\n") == 0);  // not the cpu controller
  CHECK(groups.processors("") == 0);
  CHECK(groups.processors("nonsense\n::\n:\n\n") == 0);
  groups.write("cpu.max", "zero -5\n");
  CHECK(groups.processors("0::/\n") == 0);
}

TEST_CASE("processors: at least one, at most the machine's") {
  CHECK(affinity_processors() >= 1);
  CHECK(available_processors() >= 1);
  CHECK(available_processors() <= affinity_processors());
}

TEST_CASE("buffer: zeroed, aligned, counted, moved") {
  const std::int64_t before = allocation_count();
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{4097},
                                  (std::size_t{1} << 20) - 1, std::size_t{1} << 20, (std::size_t{5} << 20) + 3}) {
    CAPTURE(bytes);
    for (int again = 0; again < 2; ++again) {  // the second block is likely the first's dirty memory
      AlignedBuffer<unsigned char> buffer(bytes);
      const std::size_t alignment = bytes >= (std::size_t{1} << 20) ? std::size_t{2} << 20 : 64;
      CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % alignment == 0);
      bool zero = true;
      for (unsigned char& byte : buffer.span()) {
        zero = zero && byte == 0;
        byte = 0xff;
      }
      CHECK(zero);
    }
  }
  CHECK(allocation_count() == before + 14);
  AlignedBuffer<double> empty(0);
  CHECK(empty.data() == nullptr);
  CHECK(allocation_count() == before + 14);
  AlignedBuffer<double> a(10);
  a[3] = 5.0;
  AlignedBuffer<double> b(std::move(a));
  CHECK(a.empty());
  CHECK(b[3] == 5.0);
  a = std::move(b);
  CHECK(a[3] == 5.0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their allocators abort instead
  CHECK_THROWS_AS(AlignedBuffer<unsigned char>(SIZE_MAX / 2 + 1), std::bad_alloc);
  CHECK_THROWS_AS(AlignedBuffer<unsigned char>(SIZE_MAX), std::bad_alloc);
#endif
}

}  // namespace
}  // namespace krylov
