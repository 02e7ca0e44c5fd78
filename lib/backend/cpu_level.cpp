// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/backend/cpu_level.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/TargetParser/Host.h"

using namespace mlir::moe;

static constexpr CpuLevel levels[] = {CpuLevel::V3, CpuLevel::V4};

llvm::ArrayRef<CpuLevel> mlir::moe::allCpuLevels() { return levels; }

llvm::StringRef mlir::moe::cpuLevelName(CpuLevel level) {
  return level == CpuLevel::V3 ? "x86-64-v3" : "x86-64-v4";
}

llvm::StringRef mlir::moe::cpuLevelSection(CpuLevel level) {
  return level == CpuLevel::V3 ? "cpu.x86-64-v3" : "cpu.x86-64-v4";
}

std::optional<CpuLevel> mlir::moe::parseCpuLevel(llvm::StringRef name) {
  for (CpuLevel level : levels)
    if (name == cpuLevelName(level) ||
        name == cpuLevelName(level).drop_front(strlen("x86-64-")))
      return level;
  return std::nullopt;
}

std::optional<CpuLevel> mlir::moe::nativeCpuLevel() {
  llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  auto hasAll = [&](std::initializer_list<llvm::StringRef> names) {
    return llvm::all_of(
        names, [&](llvm::StringRef name) { return features.lookup(name); });
  };
  if (!hasAll({"avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"}))
    return std::nullopt;
  bool v4 = hasAll({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"});
  return v4 ? CpuLevel::V4 : CpuLevel::V3;
}
