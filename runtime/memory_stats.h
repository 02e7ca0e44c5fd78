// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the system says about memory.

#ifndef MOE_RUNTIME_MEMORY_STATS_H_
#define MOE_RUNTIME_MEMORY_STATS_H_

#include <cstdint>
#include <string>

namespace moe {

// The most memory this process has held at one time, mapped files included. 0
// where /proc cannot be read.
int64_t PeakBytes();

// Memory this process may still take: what the machine has available, or what
// its control group leaves, whichever is less. 0 if unknown.
int64_t AvailableBytes();

// "12.9 GiB", "512 bytes".
std::string FormatBytes(int64_t bytes);

}  // namespace moe

#endif  // MOE_RUNTIME_MEMORY_STATS_H_
