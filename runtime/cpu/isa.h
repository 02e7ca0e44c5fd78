// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The ISA levels for which a module holds native code, and which of them this
// machine runs.
#ifndef MOE_RUNTIME_CPU_ISA_H_
#define MOE_RUNTIME_CPU_ISA_H_

#include <optional>
#include <string_view>

namespace moe {

// In rising order: a machine that runs one runs all below it.
enum class IsaLevel { kV3, kV4, kAmx };

inline constexpr IsaLevel kIsaLevels[] = {IsaLevel::kV3, IsaLevel::kV4,
                                          IsaLevel::kAmx};

// "x86-64-v3", "x86-64-v4", "amx".
std::string_view IsaName(IsaLevel level);
std::optional<IsaLevel> IsaFromName(std::string_view name);

// The section of a module file that holds the level's object: "cpu.x86-64-v3".
std::string_view IsaSection(IsaLevel level);

// Whether the processor has the level's instructions and the system saves its
// registers. The first question about kAmx asks the system for the tile
// registers on behalf of the whole process.
bool MachineRuns(IsaLevel level);

}  // namespace moe

#endif  // MOE_RUNTIME_CPU_ISA_H_
