// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the processor can do at best, measured here and now: the limits that
// benchmarks are held against.

#ifndef MOE_RUNTIME_CPU_MACHINE_LIMITS_H_
#define MOE_RUNTIME_CPU_MACHINE_LIMITS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "runtime/cpu/isa.h"
#include "runtime/cpu/thread_pool.h"

namespace moe {

// Bytes per second that the threads of |pool| read together from |bytes| bytes
// that are read again and again, so from the cache level that holds them; as
// many bytes are allocated. Takes about a fifth of a second. R101.
absl::StatusOr<double> MeasureReadBandwidth(ThreadPool& pool, int64_t bytes);

enum class Arithmetic { kF32, kBF16 };

// Floating point operations per second of multiply-adds in registers, all
// threads together: what code of |level| can reach. bf16 below kAmx is computed
// by f32 multiply-adds.
double MeasureFlops(ThreadPool& pool, IsaLevel level, Arithmetic arithmetic);

// Operations per second of tile products on a machine that runs kAmx: of bf16
// with each operand loaded from the nearest cache, as a matrix product does;
// and of int8 in registers.
double MeasureTilesFromL1(ThreadPool& pool);
double MeasureIntegerTiles(ThreadPool& pool);

}  // namespace moe

#endif  // MOE_RUNTIME_CPU_MACHINE_LIMITS_H_
