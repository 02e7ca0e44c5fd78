// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/memory_stats.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <limits>
#include <memory>
#include <string_view>

namespace moe {
namespace {

using File = std::unique_ptr<FILE, int (*)(FILE*)>;

// The number after |key| in a file of lines such as "VmHWM:   1234 kB", times
// 1024; 0 if there is none.
int64_t KilobytesAfter(const char* path, std::string_view key) {
  File file(fopen(path, "re"), fclose);
  char line[256];
  while (file != nullptr && fgets(line, sizeof line, file.get()) != nullptr) {
    long long kilobytes = 0;
    if (std::string_view(line).starts_with(key) &&
        sscanf(line + key.size(), " %lld", &kilobytes) == 1)
      return kilobytes * 1024;
  }
  return 0;
}

// The one number in a file; -1 if it holds none ("max").
int64_t NumberIn(const std::string& path) {
  File file(fopen(path.c_str(), "re"), fclose);
  long long number = -1;
  if (file == nullptr || fscanf(file.get(), "%lld", &number) != 1) return -1;
  return number;
}

// What the control group and those above it leave; the maximum if unlimited.
int64_t ControlGroupLeaves() {
  int64_t leaves = std::numeric_limits<int64_t>::max();
  File file(fopen("/proc/self/cgroup", "re"), fclose);
  char line[4096];
  std::string group;
  while (file != nullptr && fgets(line, sizeof line, file.get()) != nullptr)
    if (strncmp(line, "0::", 3) == 0)
      group = std::string(line + 3, strcspn(line + 3, "\n"));
  while (true) {
    const std::string folder = "/sys/fs/cgroup" + group;
    const int64_t limit = NumberIn(folder + "/memory.max");
    const int64_t used = NumberIn(folder + "/memory.current");
    if (limit >= 0 && used >= 0)
      leaves = std::min(leaves, std::max<int64_t>(limit - used, 0));
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos || group == "/") return leaves;
    group.resize(slash);
  }
}

}  // namespace

int64_t PeakBytes() { return KilobytesAfter("/proc/self/status", "VmHWM:"); }

int64_t AvailableBytes() {
  const int64_t machine = KilobytesAfter("/proc/meminfo", "MemAvailable:");
  return machine == 0 ? 0 : std::min(machine, ControlGroupLeaves());
}

std::string FormatBytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return std::to_string(bytes) + " bytes";
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  char text[32];
  snprintf(text, sizeof text, "%.1f %s", value, kUnits[unit]);
  return text;
}

}  // namespace moe
