// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The floating point mode of generated code: denormals are flushed on the way
// in and out (DAZ, FTZ), rounding to nearest, exceptions masked. Everything
// else in the process keeps its own mode.
#ifndef MOE_RUNTIME_CPU_FP_MODE_H_
#define MOE_RUNTIME_CPU_FP_MODE_H_

#include <immintrin.h>

#include <cstdint>

namespace moe {

inline constexpr uint32_t kGeneratedCodeMxcsr = 0x1F80u | 0x8000u | 0x0040u;

// Sets MXCSR for a scope and restores what was there, on the thread that holds
// it.
class ScopedMxcsr {
 public:
  explicit ScopedMxcsr(uint32_t value) : saved_(_mm_getcsr()) {
    _mm_setcsr(value);
  }
  ~ScopedMxcsr() { _mm_setcsr(saved_); }
  ScopedMxcsr(const ScopedMxcsr&) = delete;
  ScopedMxcsr& operator=(const ScopedMxcsr&) = delete;

 private:
  uint32_t saved_;
};

}  // namespace moe

#endif  // MOE_RUNTIME_CPU_FP_MODE_H_
