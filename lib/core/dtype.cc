// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/dtype.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

namespace moe {
namespace {

struct Row {
  std::string_view name;
  std::string_view safetensors;
  int64_t size;
  bool is_float;
};

constexpr Row kRows[kDTypeCount] = {
    {"f64", "F64", 8, true},        {"f32", "F32", 4, true},
    {"f16", "F16", 2, true},        {"bf16", "BF16", 2, true},
    {"f8e4m3", "F8_E4M3", 1, true}, {"f8e5m2", "F8_E5M2", 1, true},
    {"i64", "I64", 8, false},       {"i32", "I32", 4, false},
    {"i16", "I16", 2, false},       {"i8", "I8", 1, false},
    {"u64", "U64", 8, false},       {"u32", "U32", 4, false},
    {"u16", "U16", 2, false},       {"u8", "U8", 1, false},
    {"bool", "BOOL", 1, false},
};

const Row& RowOf(DType dtype) { return kRows[static_cast<int>(dtype)]; }

// A small binary floating-point format with subnormals.
struct Format {
  int exponent_bits;
  int mantissa_bits;
  bool has_infinity;  // else: one NaN, all ones; its neighbours are finite
};
constexpr Format kF16 = {5, 10, true};
constexpr Format kBF16 = {8, 7, true};
constexpr Format kF8E4M3 = {4, 3, false};
constexpr Format kF8E5M2 = {5, 2, true};

int BiasOf(Format f) { return (1 << (f.exponent_bits - 1)) - 1; }

double Decode(Format f, uint32_t bits) {
  const uint32_t mantissa_mask = (1u << f.mantissa_bits) - 1;
  const uint32_t exponent_mask = (1u << f.exponent_bits) - 1;
  const uint32_t mantissa = bits & mantissa_mask;
  const uint32_t exponent = (bits >> f.mantissa_bits) & exponent_mask;
  const bool negative = bits >> (f.mantissa_bits + f.exponent_bits) & 1;
  double value;
  if (exponent == exponent_mask &&
      (f.has_infinity || mantissa == mantissa_mask))
    value = f.has_infinity && mantissa == 0
                ? std::numeric_limits<double>::infinity()
                : std::numeric_limits<double>::quiet_NaN();
  else if (exponent == 0)
    value = std::ldexp(mantissa, 1 - BiasOf(f) - f.mantissa_bits);
  else
    value =
        std::ldexp(mantissa | (1u << f.mantissa_bits),
                   static_cast<int>(exponent) - BiasOf(f) - f.mantissa_bits);
  return negative ? -value : value;
}

uint32_t Encode(Format f, double value) {
  const uint32_t sign =
      std::signbit(value) ? 1u << (f.mantissa_bits + f.exponent_bits) : 0;
  const uint32_t ones = ((1u << f.exponent_bits) - 1) << f.mantissa_bits;
  const uint32_t all_ones = ones | ((1u << f.mantissa_bits) - 1);
  const uint32_t nan =
      sign | (f.has_infinity ? ones | 1u << (f.mantissa_bits - 1) : all_ones);
  const uint32_t overflow = f.has_infinity ? sign | ones : nan;
  if (std::isnan(value)) return nan;
  if (std::isinf(value)) return overflow;
  const double magnitude = std::fabs(value);
  if (magnitude == 0) return sign;
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude = [0.5, 1) * 2^exponent
  // Both as the exponent of the leading bit; below the least, subnormal.
  const int least = 1 - BiasOf(f);
  int leading = exponent - 1 < least ? least : exponent - 1;
  // Counted in units of the last place. Exact but for the one rounding.
  const double units =
      std::nearbyint(std::ldexp(magnitude, f.mantissa_bits - leading));
  // Fits: below 2^(mantissa_bits + 1) + 1. A carry moves into the exponent.
  const uint32_t count = static_cast<uint32_t>(units);
  const uint32_t hidden = 1u << f.mantissa_bits;
  const uint64_t bits =
      count < hidden
          ? count
          : (static_cast<uint64_t>(leading + BiasOf(f)) << f.mantissa_bits) +
                (count - hidden);
  if (bits >= (f.has_infinity ? ones : all_ones)) return overflow;
  return sign | static_cast<uint32_t>(bits);
}

template <typename T>
T Read(const void* source) {
  T value;
  std::memcpy(&value, source, sizeof value);
  return value;
}

template <typename T>
void Put(void* target, T value) {
  std::memcpy(target, &value, sizeof value);
}

template <typename T>
void PutInteger(void* target, double value) {
  const double rounded = std::nearbyint(value);
  // Both ends are powers of two (or zero), so exact in a double.
  constexpr double kEnd =
      2.0 * static_cast<double>(std::numeric_limits<T>::max() / 2 + 1);
  constexpr double kBegin = std::is_signed_v<T> ? -kEnd : 0.0;
  if (std::isnan(value))
    Put<T>(target, 0);
  else if (rounded >= kEnd)
    Put<T>(target, std::numeric_limits<T>::max());
  else if (rounded < kBegin)
    Put<T>(target, std::numeric_limits<T>::min());
  else
    Put<T>(target, static_cast<T>(rounded));
}

}  // namespace

int64_t DTypeSize(DType dtype) { return RowOf(dtype).size; }
std::string_view DTypeName(DType dtype) { return RowOf(dtype).name; }
std::string_view SafetensorsName(DType dtype) {
  return RowOf(dtype).safetensors;
}
bool IsFloat(DType dtype) { return RowOf(dtype).is_float; }

std::optional<DType> DTypeFromName(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i)
    if (kRows[i].name == name) return static_cast<DType>(i);
  return std::nullopt;
}

std::optional<DType> DTypeFromSafetensors(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i)
    if (kRows[i].safetensors == name) return static_cast<DType>(i);
  return std::nullopt;
}

std::optional<int64_t> ElementCount(std::span<const int64_t> shape) {
  int64_t count = 1;
  bool zero = false;
  for (int64_t dim : shape) {
    if (dim < 0) return std::nullopt;
    // The other dimensions must fit even beside a zero: strides use them.
    zero |= dim == 0;
    if (__builtin_mul_overflow(count, dim == 0 ? 1 : dim, &count))
      return std::nullopt;
  }
  return zero ? 0 : count;
}

std::optional<int64_t> ByteCount(DType dtype, std::span<const int64_t> shape) {
  std::optional<int64_t> count = ElementCount(shape);
  int64_t bytes = 0;
  if (!count || __builtin_mul_overflow(*count, DTypeSize(dtype), &bytes))
    return std::nullopt;
  return bytes;
}

uint16_t Float16FromFloat(float value) {
  // Every f32 denormal rounds to zero, whatever DAZ makes of it.
  return static_cast<uint16_t>(Encode(kF16, value));
}

float FloatFromFloat16(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t exponent = bits >> 10 & 31u;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 31) {  // infinity, or a NaN made quiet
    const uint32_t quiet = mantissa ? 0x400000u : 0u;
    return std::bit_cast<float>(sign | 0x7f800000u | quiet | mantissa << 13);
  }
  if (exponent == 0) {
    const float value = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

double LoadDouble(DType dtype, const void* source) {
  switch (dtype) {
    case DType::kF64:
      return Read<double>(source);
    case DType::kF32:
      return Read<float>(source);
    case DType::kF16:
      return Decode(kF16, Read<uint16_t>(source));
    case DType::kBF16:
      return Decode(kBF16, Read<uint16_t>(source));
    case DType::kF8E4M3:
      return Decode(kF8E4M3, Read<uint8_t>(source));
    case DType::kF8E5M2:
      return Decode(kF8E5M2, Read<uint8_t>(source));
    case DType::kI64:
      return static_cast<double>(Read<int64_t>(source));
    case DType::kI32:
      return Read<int32_t>(source);
    case DType::kI16:
      return Read<int16_t>(source);
    case DType::kI8:
      return Read<int8_t>(source);
    case DType::kU64:
      return static_cast<double>(Read<uint64_t>(source));
    case DType::kU32:
      return Read<uint32_t>(source);
    case DType::kU16:
      return Read<uint16_t>(source);
    case DType::kU8:
      return Read<uint8_t>(source);
    case DType::kBool:
      return Read<uint8_t>(source) != 0;
  }
  return 0;
}

float LoadFloat(DType dtype, const void* source) {
  switch (dtype) {
    case DType::kF32:
      return Read<float>(source);
    case DType::kBF16:
      return FloatFromBFloat16(Read<uint16_t>(source));
    case DType::kF16:
      return FloatFromFloat16(Read<uint16_t>(source));
    case DType::kI64:  // straight to float: one rounding, not two
      return static_cast<float>(Read<int64_t>(source));
    case DType::kU64:
      return static_cast<float>(Read<uint64_t>(source));
    default:
      return static_cast<float>(LoadDouble(dtype, source));
  }
}

void StoreDouble(DType dtype, double value, void* target) {
  switch (dtype) {
    case DType::kF64:
      return Put(target, value);
    case DType::kF32:
      return Put(target, static_cast<float>(value));
    case DType::kF16:
      return Put(target, static_cast<uint16_t>(Encode(kF16, value)));
    case DType::kBF16:
      return Put(target, static_cast<uint16_t>(Encode(kBF16, value)));
    case DType::kF8E4M3:
      return Put(target, static_cast<uint8_t>(Encode(kF8E4M3, value)));
    case DType::kF8E5M2:
      return Put(target, static_cast<uint8_t>(Encode(kF8E5M2, value)));
    case DType::kI64:
      return PutInteger<int64_t>(target, value);
    case DType::kI32:
      return PutInteger<int32_t>(target, value);
    case DType::kI16:
      return PutInteger<int16_t>(target, value);
    case DType::kI8:
      return PutInteger<int8_t>(target, value);
    case DType::kU64:
      return PutInteger<uint64_t>(target, value);
    case DType::kU32:
      return PutInteger<uint32_t>(target, value);
    case DType::kU16:
      return PutInteger<uint16_t>(target, value);
    case DType::kU8:
      return PutInteger<uint8_t>(target, value);
    case DType::kBool:
      return Put(target, static_cast<uint8_t>(value != 0));
  }
}

void StoreFloat(DType dtype, float value, void* target) {
  switch (dtype) {
    case DType::kF32:
      return Put(target, value);
    case DType::kBF16:
      return Put(target, BFloat16FromFloat(value));
    default:
      return StoreDouble(dtype, value, target);
  }
}

}  // namespace moe
