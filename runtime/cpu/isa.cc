// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/cpu/isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace moe {
namespace {

struct Registers {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers Cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  if (__get_cpuid_max(leaf & 0x80000000u, nullptr) >= leaf)
    __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
  return r;
}

uint64_t SavedState() {
  if (!(Cpuid(1, 0).c & bit_OSXSAVE)) return 0;
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

constexpr bool Has(uint64_t word, uint64_t bits) {
  return (word & bits) == bits;
}

bool RunsV3() {
  const Registers one = Cpuid(1, 0), seven = Cpuid(7, 0),
                  extended = Cpuid(0x80000001u, 0);
  constexpr uint32_t kLzcnt = 1u << 5;
  return Has(SavedState(), 0x6) &&
         Has(one.c, bit_FMA | bit_MOVBE | bit_AVX | bit_F16C | bit_POPCNT |
                        bit_SSE4_2) &&
         Has(seven.b, bit_AVX2 | bit_BMI | bit_BMI2) && Has(extended.c, kLzcnt);
}

bool RunsV4() {
  return RunsV3() && Has(SavedState(), 0xE6) &&
         Has(Cpuid(7, 0).b, bit_AVX512F | bit_AVX512BW | bit_AVX512CD |
                                bit_AVX512DQ | bit_AVX512VL);
}

bool RunsAmx() {
  constexpr uint32_t kAmxBf16 = 1u << 22, kAmxTile = 1u << 24,
                     kAmxInt8 = 1u << 25;
  if (!RunsV4() || !Has(SavedState(), 0x60000) ||
      !Has(Cpuid(7, 0).d, kAmxBf16 | kAmxTile | kAmxInt8))
    return false;
  constexpr long kRequestPermission = 0x1023,
                 kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

std::string_view IsaName(IsaLevel level) {
  return IsaSection(level).substr(sizeof("cpu.") - 1);
}

std::string_view IsaSection(IsaLevel level) {
  switch (level) {
    case IsaLevel::kV3:
      return "cpu.x86-64-v3";
    case IsaLevel::kV4:
      return "cpu.x86-64-v4";
    case IsaLevel::kAmx:
      return "cpu.amx";
  }
  return {};
}

std::optional<IsaLevel> IsaFromName(std::string_view name) {
  for (IsaLevel level : kIsaLevels)
    if (IsaName(level) == name) return level;
  return std::nullopt;
}

bool MachineRuns(IsaLevel level) {
  static const bool v3 = RunsV3(), v4 = RunsV4();
  if (level == IsaLevel::kV3) return v3;
  if (level == IsaLevel::kV4) return v4;
  static const bool amx = RunsAmx();
  return amx;
}

}  // namespace moe
