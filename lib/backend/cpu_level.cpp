// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/backend/cpu_level.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/TargetParser/Host.h"

using namespace mlir::moe;

static constexpr CpuLevel levels[] = {CpuLevel::V3, CpuLevel::V4,
                                      CpuLevel::Amx};
static constexpr llvm::StringLiteral sections[] = {"cpu.x86-64-v3",
                                                   "cpu.x86-64-v4", "cpu.amx"};

llvm::ArrayRef<CpuLevel> mlir::moe::allCpuLevels() { return levels; }

llvm::StringRef mlir::moe::cpuLevelName(CpuLevel level) {
  return cpuLevelSection(level).drop_front(strlen("cpu."));
}

llvm::StringRef mlir::moe::cpuLevelProcessor(CpuLevel level) {
  return level == CpuLevel::V3 ? "x86-64-v3" : "x86-64-v4";
}

llvm::StringRef mlir::moe::cpuLevelFeatures(CpuLevel level) {
  return level == CpuLevel::Amx ? "+amx-tile,+amx-bf16,+amx-int8" : "";
}

llvm::StringRef mlir::moe::cpuLevelSection(CpuLevel level) {
  return sections[size_t(level)];
}

std::optional<CpuLevel> mlir::moe::parseCpuLevel(llvm::StringRef name) {
  for (CpuLevel level : levels)
    if (llvm::StringRef full = cpuLevelName(level);
        name == full || (full.consume_front("x86-64-") && name == full))
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
  if (!v4)
    return CpuLevel::V3;
  bool amx = hasAll({"amx-tile", "amx-bf16", "amx-int8"});
  return amx ? CpuLevel::Amx : CpuLevel::V4;
}
