#include "parallel/processors.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "krylov/threads.h"

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#endif

namespace krylov {
namespace {

std::string read_text(const std::string& path) {
  std::string text;
  if (std::FILE* file = std::fopen(path.c_str(), "re")) {
    char chunk[1024];
    for (std::size_t got; (got = std::fread(chunk, 1, sizeof chunk, file)) > 0;) text.append(chunk, got);
    std::fclose(file);
  }
  return text;
}

// Quota over period in processors; 0 for "max", -1, a missing file or nonsense.
double ratio(const std::string& quota, const std::string& period) {
  const double granted = std::strtod(quota.c_str(), nullptr);
  const double every = std::strtod(period.c_str(), nullptr);
  return granted > 0.0 && every > 0.0 ? granted / every : 0.0;
}

double quota_v2(const std::string& folder) {
  const std::string text = read_text(folder + "/cpu.max");  // "max 100000" or "150000 100000"
  const std::size_t gap = text.find(' ');
  return gap == std::string::npos ? 0.0 : ratio(text.substr(0, gap), text.substr(gap + 1));
}

double quota_v1(const std::string& folder) {
  return ratio(read_text(folder + "/cpu.cfs_quota_us"), read_text(folder + "/cpu.cfs_period_us"));
}

// The smallest quota from `mount`/`group` up to `mount` itself. In a container
// the group is often named as the host sees it and only `mount` exists.
template <class Quota>
double smallest_quota(const std::string& mount, std::string group, Quota quota) {
  double smallest = 0.0;
  for (;;) {
    while (!group.empty() && group.back() == '/') group.pop_back();
    const double here = quota(mount + group);
    if (here > 0.0 && (smallest == 0.0 || here < smallest)) smallest = here;
    if (group.empty()) return smallest;
    const std::size_t slash = group.rfind('/');
    group.resize(slash == std::string::npos ? 0 : slash);
  }
}

bool lists(std::string_view controllers, std::string_view name) {
  while (!controllers.empty()) {
    const std::size_t comma = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, comma) == name) return true;
    controllers.remove_prefix(std::min(comma + 1, controllers.size()));
  }
  return false;
}

}  // namespace

int quota_processors(const std::string& root, std::string_view self_cgroup) {
  double smallest = 0.0;
  const auto consider = [&smallest](double quota) {
    if (quota > 0.0 && (smallest == 0.0 || quota < smallest)) smallest = quota;
  };
  while (!self_cgroup.empty()) {
    const std::size_t end = std::min(self_cgroup.find('\n'), self_cgroup.size());
    const std::string_view line = self_cgroup.substr(0, end);  // hierarchy:controllers:path
    self_cgroup.remove_prefix(std::min(end + 1, self_cgroup.size()));
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string group(line.substr(second + 1));
    if (controllers.empty()) {
      consider(smallest_quota(root, group, quota_v2));
      consider(smallest_quota(root + "/unified", group, quota_v2));
    } else if (lists(controllers, "cpu")) {
      consider(smallest_quota(root + "/" + std::string(controllers), group, quota_v1));
      consider(smallest_quota(root + "/cpu", group, quota_v1));
    }
  }
  return smallest > 0.0 ? std::max(1, static_cast<int>(std::ceil(std::min(smallest, 1e6)))) : 0;
}

int affinity_processors() noexcept {
#if defined(__linux__)
  // The mask of the process's first thread; the kernel refuses a set smaller
  // than its own, so machines beyond 1024 processors need a second try.
  for (std::size_t count = 1024; count <= (std::size_t{1} << 20); count *= 4) {
    std::vector<unsigned long> mask(count / (8 * sizeof(unsigned long)));
    auto* set = reinterpret_cast<cpu_set_t*>(mask.data());
    if (sched_getaffinity(getpid(), mask.size() * sizeof(unsigned long), set) == 0) {
      return std::max(1, CPU_COUNT_S(mask.size() * sizeof(unsigned long), set));
    }
    if (errno != EINVAL) break;
  }
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int available_processors() noexcept {
  static const int processors = [] {
    const int allowed = affinity_processors();
#if defined(__linux__)
    const int granted = quota_processors("/sys/fs/cgroup", read_text("/proc/self/cgroup"));
    if (granted > 0) return std::min(allowed, granted);
#endif
    return allowed;
  }();
  return processors;
}

int useful_threads(double multiply_adds, std::int64_t rows, int asked) noexcept {
  // Below about this much work a thread's share costs less than the barriers.
  constexpr double kWorkPerThread = 150e3;
  constexpr std::int64_t kRowsPerThread = 8;
  const int wanted = asked > 0 ? asked : available_processors();
  const auto by_work = static_cast<std::int64_t>(multiply_adds / kWorkPerThread);
  const std::int64_t by_rows = rows / kRowsPerThread;
  return static_cast<int>(std::max<std::int64_t>(1, std::min({std::int64_t(wanted), by_work, by_rows})));
}

}  // namespace krylov
