// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Numbers of quantised checkpoints: small floats, blocks of which share a scale.
//   ScaledLayout layout{StoredNumber::kF8E4M3, columns, 128, 128};
//   LoadScaled(layout, tensor.data, scales.data, index)   // number times scale
// Pure and thread-safe. The product is an f32 product; scales below the least
// normal f32 count as 0.

#ifndef MOE_LIB_CORE_SCALED_H_
#define MOE_LIB_CORE_SCALED_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lib/core/dtype.h"

namespace moe {

enum class StoredNumber : uint8_t {
  kF8E4M3,  // scales are f32
  kF4E2M1,  // two to a byte, the low half first; scale b is 2^(b - 127)
};

// The tensor as a matrix with rows of |columns| numbers, in blocks.
struct ScaledLayout {
  StoredNumber stored = StoredNumber::kF8E4M3;
  int64_t columns = 1, block_rows = 1, block_columns = 1;

  // The dtypes of the two tensors.
  DType NumberType() const {
    return stored == StoredNumber::kF8E4M3 ? DType::kF8E4M3 : DType::kU8;
  }
  DType ScaleType() const {
    return stored == StoredNumber::kF8E4M3 ? DType::kF32 : DType::kU8;
  }
  // The scale of number |index|.
  int64_t ScaleOf(int64_t index) const {
    const int64_t across = (columns + block_columns - 1) / block_columns;
    return index / columns / block_rows * across +
           index % columns / block_columns;
  }
};

inline float LoadScale(const ScaledLayout& layout, const std::byte* scales,
                       int64_t at) {
  if (layout.stored == StoredNumber::kF8E4M3)
    return LoadFloat(DType::kF32, scales + 4 * at);
  const auto exponent = static_cast<uint32_t>(scales[at]);
  return std::bit_cast<float>(exponent == 255 ? 0x7fc00000u : exponent << 23);
}

inline float LoadScaled(const ScaledLayout& layout, const std::byte* numbers,
                        const std::byte* scales, int64_t index) {
  const float scale = LoadScale(layout, scales, layout.ScaleOf(index));
  if (layout.stored == StoredNumber::kF8E4M3)
    return LoadFloat(DType::kF8E4M3, numbers + index) * scale;
  const uint32_t bits =
      (static_cast<uint32_t>(numbers[index / 2]) >> (4 * (index % 2))) & 15;
  constexpr float kValues[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  const float value = kValues[bits & 7];
  return (bits & 8 ? -value : value) * scale;
}

}  // namespace moe

#endif  // MOE_LIB_CORE_SCALED_H_
