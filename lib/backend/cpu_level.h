// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The instruction sets that native code is made for. A module file holds one
// shared object for each; the runtime picks the best one its processor has.
#ifndef MOE_LIB_BACKEND_CPU_LEVEL_H
#define MOE_LIB_BACKEND_CPU_LEVEL_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <optional>

namespace mlir::moe {

/// In rising order: a machine that runs one runs all below it.
enum class CpuLevel { V3, V4, Amx };

/// Every level, in rising order. Static lifetime.
llvm::ArrayRef<CpuLevel> allCpuLevels();

/// "x86-64-v3", "x86-64-v4", "amx": the option `isa` of passes.
llvm::StringRef cpuLevelName(CpuLevel level);

/// LLVM's names of a processor of that level and of what it has beyond it.
llvm::StringRef cpuLevelProcessor(CpuLevel level);
llvm::StringRef cpuLevelFeatures(CpuLevel level);

/// The section of the module file: "cpu.x86-64-v3".
llvm::StringRef cpuLevelSection(CpuLevel level);

/// The inverse of cpuLevelName(); "v3" is short for "x86-64-v3".
std::optional<CpuLevel> parseCpuLevel(llvm::StringRef name);

/// The highest level whose instructions this machine has, if any.
std::optional<CpuLevel> nativeCpuLevel();

} // namespace mlir::moe

#endif
