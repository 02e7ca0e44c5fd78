// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/dtype.h"

#include <gtest/gtest.h>
#include <immintrin.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace moe {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(DType, NamesAndSizes) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const DType dtype = static_cast<DType>(i);
    EXPECT_EQ(DTypeFromName(DTypeName(dtype)), dtype);
    EXPECT_EQ(DTypeFromSafetensors(SafetensorsName(dtype)), dtype);
  }
  EXPECT_EQ(DTypeFromName("bf16"), DType::kBF16);
  EXPECT_EQ(DTypeFromSafetensors("F8_E4M3"), DType::kF8E4M3);
  EXPECT_EQ(DTypeFromSafetensors("f32"), std::nullopt);
  EXPECT_EQ(DTypeFromName("F32"), std::nullopt);
  EXPECT_EQ(DTypeSize(DType::kF64), 8);
  EXPECT_EQ(DTypeSize(DType::kBF16), 2);
  EXPECT_EQ(DTypeSize(DType::kBool), 1);
  EXPECT_TRUE(IsFloat(DType::kF8E5M2));
  EXPECT_FALSE(IsFloat(DType::kI8));
}

TEST(DType, CountsDoNotOverflow) {
  const int64_t big = int64_t{1} << 62;
  EXPECT_EQ(ElementCount({}), 1);
  EXPECT_EQ(ElementCount(std::vector<int64_t>{2, 3}), 6);
  EXPECT_EQ(ElementCount(std::vector<int64_t>{0, big}), 0);
  EXPECT_EQ(ElementCount(std::vector<int64_t>{0, big, 2}), std::nullopt);
  EXPECT_EQ(ElementCount(std::vector<int64_t>{big, 2}), std::nullopt);
  EXPECT_EQ(ElementCount(std::vector<int64_t>{-1}), std::nullopt);
  EXPECT_EQ(ByteCount(DType::kF32, std::vector<int64_t>{2, 3}), 24);
  EXPECT_EQ(ByteCount(DType::kF16, std::vector<int64_t>{big}), std::nullopt);
}

TEST(DType, BFloat16RoundsToNearestEven) {
  EXPECT_EQ(BFloat16FromFloat(1.0f), 0x3f80);
  EXPECT_EQ(BFloat16FromFloat(0x1.01p0f), 0x3f80);      // tie, to even
  EXPECT_EQ(BFloat16FromFloat(0x1.03p0f), 0x3f82);      // tie, to even
  EXPECT_EQ(BFloat16FromFloat(0x1.010002p0f), 0x3f81);  // above the tie
  EXPECT_EQ(BFloat16FromFloat(-0.0f), 0x8000);
  EXPECT_EQ(BFloat16FromFloat(3.4028235e38f), 0x7f80);  // rounds to infinity
  EXPECT_EQ(BFloat16FromFloat(static_cast<float>(kInf)), 0x7f80);
  // NaNs whose payload sits in the lower half stay NaN.
  for (uint32_t bits : {0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffffffffu}) {
    const uint16_t rounded = BFloat16FromFloat(std::bit_cast<float>(bits));
    EXPECT_TRUE(std::isnan(FloatFromBFloat16(rounded))) << std::hex << bits;
    EXPECT_EQ(rounded >> 15, bits >> 31);
  }
}

// Every value of a 16-bit or 8-bit type survives load and store.
TEST(DType, SmallFloatsRoundTrip) {
  for (DType dtype :
       {DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kF8E5M2}) {
    const uint32_t count = DTypeSize(dtype) == 2 ? 65536 : 256;
    for (uint32_t bits = 0; bits < count; ++bits) {
      const double value = LoadDouble(dtype, &bits);
      const float single = LoadFloat(dtype, &bits);
      uint32_t back = 0, back_single = 0;
      StoreDouble(dtype, value, &back);
      StoreFloat(dtype, single, &back_single);
      if (std::isnan(value)) {
        EXPECT_TRUE(std::isnan(single));
        EXPECT_TRUE(std::isnan(LoadDouble(dtype, &back)));
        EXPECT_TRUE(std::isnan(LoadDouble(dtype, &back_single)));
        continue;
      }
      EXPECT_EQ(static_cast<double>(single), value);
      EXPECT_EQ(std::signbit(single), std::signbit(value));
      ASSERT_EQ(back, bits) << DTypeName(dtype);
      ASSERT_EQ(back_single, bits) << DTypeName(dtype);
    }
  }
}

// Rounding from double agrees with the definition: no other value is nearer,
// and on a tie the even one is taken.
TEST(DType, StoreTakesTheNearest) {
  for (DType dtype :
       {DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kF8E5M2}) {
    const uint32_t positive = DTypeSize(dtype) == 2 ? 0x7fff : 0x7f;
    for (uint32_t bits = 0; bits + 1 < positive; ++bits) {
      const uint32_t above = bits + 1;
      const double low = LoadDouble(dtype, &bits);
      const double high = LoadDouble(dtype, &above);
      if (!std::isfinite(low) || !std::isfinite(high)) break;
      const double middle = (low + high) / 2;
      const double step = (high - low) / 1024;
      uint32_t at_middle = 0, below_middle = 0, above_middle = 0;
      StoreDouble(dtype, middle, &at_middle);
      StoreDouble(dtype, middle - step, &below_middle);
      StoreDouble(dtype, middle + step, &above_middle);
      ASSERT_EQ(at_middle, bits % 2 ? above : bits) << DTypeName(dtype);
      ASSERT_EQ(below_middle, bits);
      ASSERT_EQ(above_middle, above);
    }
  }
}

TEST(DType, BothWaysToBFloat16Agree) {
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 65521) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (std::isnan(value)) continue;
    uint16_t stored = 0;
    StoreDouble(DType::kBF16, value, &stored);
    ASSERT_EQ(stored, BFloat16FromFloat(value)) << value;
  }
}

__attribute__((target("f16c"))) uint16_t HardwareHalf(float value) {
  return static_cast<uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT));
}

TEST(DType, Float16AgreesWithTheProcessor) {
  if (!__builtin_cpu_supports("f16c")) GTEST_SKIP() << "no F16C";
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 65521) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (!std::isnan(value)) {
      ASSERT_EQ(Float16FromFloat(value), HardwareHalf(value)) << value;
    }
  }
}

uint32_t Stored(DType dtype, double value) {
  uint32_t bits = 0;
  StoreDouble(dtype, value, &bits);
  return bits;
}

TEST(DType, Float8Limits) {
  EXPECT_EQ(Stored(DType::kF8E4M3, 448), 0x7eu);
  EXPECT_EQ(Stored(DType::kF8E4M3, 464), 0x7eu);  // tie, to even
  EXPECT_EQ(Stored(DType::kF8E4M3, 465), 0x7fu);  // NaN
  EXPECT_EQ(Stored(DType::kF8E4M3, -kInf), 0xffu);
  EXPECT_EQ(Stored(DType::kF8E4M3, 0x1p-9), 0x01u);
  EXPECT_EQ(Stored(DType::kF8E4M3, 0x1p-10), 0x00u);  // tie, to even
  EXPECT_EQ(Stored(DType::kF8E5M2, 57344), 0x7bu);
  EXPECT_EQ(Stored(DType::kF8E5M2, 61439), 0x7bu);
  EXPECT_EQ(Stored(DType::kF8E5M2, 61440), 0x7cu);  // infinity
  EXPECT_EQ(Stored(DType::kF8E5M2, kInf), 0x7cu);
  EXPECT_TRUE(std::isnan([] {
    const uint32_t bits = Stored(DType::kF8E5M2, kNan);
    return LoadDouble(DType::kF8E5M2, &bits);
  }()));
}

TEST(DType, IntegersClampAndRound) {
  auto stored = [](DType dtype, double value) {
    uint64_t bits = 0;
    StoreDouble(dtype, value, &bits);
    return LoadDouble(dtype, &bits);
  };
  EXPECT_EQ(stored(DType::kI8, 127.4), 127);
  EXPECT_EQ(stored(DType::kI8, 1e9), 127);
  EXPECT_EQ(stored(DType::kI8, -1e9), -128);
  EXPECT_EQ(stored(DType::kI32, 2.5), 2);
  EXPECT_EQ(stored(DType::kI32, 3.5), 4);
  EXPECT_EQ(stored(DType::kI32, kNan), 0);
  EXPECT_EQ(stored(DType::kU8, -1), 0);
  EXPECT_EQ(stored(DType::kU8, 300), 255);
  EXPECT_EQ(stored(DType::kU16, 65535.4), 65535);
  EXPECT_EQ(stored(DType::kI64, kInf), 0x1p63);
  EXPECT_EQ(stored(DType::kI64, -kInf), -0x1p63);
  EXPECT_EQ(stored(DType::kU64, kInf), 0x1p64);
  EXPECT_EQ(stored(DType::kU64, -0.2), 0);
  EXPECT_EQ(stored(DType::kBool, 0.5), 1);
  EXPECT_EQ(stored(DType::kBool, 0), 0);
}

TEST(DType, LoadsUnaligned) {
  char buffer[16];
  const double value = 1234.5;
  std::memcpy(buffer + 3, &value, sizeof value);
  EXPECT_EQ(LoadDouble(DType::kF64, buffer + 3), value);
  StoreDouble(DType::kF32, value, buffer + 1);
  EXPECT_EQ(LoadFloat(DType::kF32, buffer + 1), 1234.5f);
}

}  // namespace
}  // namespace moe
