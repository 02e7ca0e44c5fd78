// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Element types: names, sizes, and conversions of single values.
//
//   DType t = *DTypeFromName("bf16");          // our manifests
//   DType u = *DTypeFromSafetensors("BF16");   // safetensors headers
//   uint16_t bits = BFloat16FromFloat(1.5f);   // round to nearest even
//   double v = LoadDouble(t, pointer);         // any dtype, any alignment
//
// Everything here is pure, thread-safe and independent of the rounding mode
// for denormals that the calling thread has set (FTZ and DAZ), f32 and f64
// denormals in LoadDouble, LoadFloat and the Store functions apart.

#ifndef MOE_LIB_CORE_DTYPE_H_
#define MOE_LIB_CORE_DTYPE_H_

#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace moe {

enum class DType : uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,  // the "fn" form: no infinity, largest 448
  kF8E5M2,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool,  // one byte, 0 or 1
};
inline constexpr int kDTypeCount = 15;

// Bytes of one element.
int64_t DTypeSize(DType dtype);

// "f32", "bf16", "i32", "bool", "f8e4m3", …: IR, manifests and messages.
std::string_view DTypeName(DType dtype);
std::optional<DType> DTypeFromName(std::string_view name);

// "F32", "BF16", "I32", "BOOL", "F8_E4M3", …: safetensors headers.
std::string_view SafetensorsName(DType dtype);
std::optional<DType> DTypeFromSafetensors(std::string_view name);

// True for the floating-point types.
bool IsFloat(DType dtype);

// The number of elements of |shape|, or nothing if a dimension is negative or
// the product of those that are not zero does not fit 63 bits. An empty shape
// has one element.
std::optional<int64_t> ElementCount(std::span<const int64_t> shape);

// Bytes of |shape| in |dtype|, or nothing as in ElementCount.
std::optional<int64_t> ByteCount(DType dtype, std::span<const int64_t> shape);

// bf16 <-> f32. Rounds to nearest even; NaN stays NaN (quiet, sign kept).
inline uint16_t BFloat16FromFloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u)
    return static_cast<uint16_t>((bits >> 16) | 0x0040u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
inline float FloatFromBFloat16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// f16 <-> f32. Rounds to nearest even; too large becomes infinity.
uint16_t Float16FromFloat(float value);
float FloatFromFloat16(uint16_t bits);

// One element at |source| (any alignment), as float or double. i64 and u64 are
// rounded; bool is 0 or 1.
float LoadFloat(DType dtype, const void* source);
double LoadDouble(DType dtype, const void* source);

// Stores |value| at |target| (any alignment), rounded once to nearest even.
// Integers: rounded to nearest even, clamped to the range, NaN becomes 0.
// Bool: value != 0. f16 and f8e5m2 overflow to infinity, f8e4m3 to NaN.
void StoreFloat(DType dtype, float value, void* target);
void StoreDouble(DType dtype, double value, void* target);

}  // namespace moe

#endif  // MOE_LIB_CORE_DTYPE_H_
