// Internal: the parts of available_processors(), open to the tests.
#pragma once

#include <string>
#include <string_view>

namespace krylov {

// Processors granted by the control groups named in `self_cgroup` (the text of
// /proc/self/cgroup) under `root` (/sys/fs/cgroup): the smallest quota over the
// group and its ancestors, rounded up, at least 1; 0 where none is set.
int quota_processors(const std::string& root, std::string_view self_cgroup);

// Processors in this process's affinity mask, at least 1.
int affinity_processors() noexcept;

}  // namespace krylov
