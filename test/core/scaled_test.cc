// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/core/scaled.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lib/core/tensor_pattern.h"

namespace moe {
namespace {

std::byte operator""_b(unsigned long long bits) {
  return static_cast<std::byte>(bits);
}

TEST(Scaled, BlocksOfF8) {
  const ScaledLayout layout{StoredNumber::kF8E4M3, 3, 2, 2};
  EXPECT_EQ(layout.NumberType(), DType::kF8E4M3);
  EXPECT_EQ(layout.ScaleType(), DType::kF32);
  // Five rows of three columns: three blocks down, two across.
  const int64_t places[] = {0, 0, 1, 0, 0, 1, 2, 2, 3, 2, 2, 3, 4, 4, 5};
  for (int64_t i = 0; i < 15; ++i) EXPECT_EQ(layout.ScaleOf(i), places[i]);
  // 1, -448, the least number, in a block of scale 3 and one of scale 0.5.
  const std::byte numbers[] = {0x38_b, 0xfe_b, 0x01_b};
  const float scales[] = {3, 0.5};
  const auto* at = reinterpret_cast<const std::byte*>(scales);
  EXPECT_EQ(LoadScaled(layout, numbers, at, 0), 3);
  EXPECT_EQ(LoadScaled(layout, numbers, at, 1), -1344);
  EXPECT_EQ(LoadScaled(layout, numbers, at, 2), 0.5f * 0x1p-9f);
}

TEST(Scaled, HalvesOfBytes) {
  const ScaledLayout layout{StoredNumber::kF4E2M1, 16, 1, 16};
  EXPECT_EQ(layout.NumberType(), DType::kU8);
  EXPECT_EQ(layout.ScaleType(), DType::kU8);
  const std::byte numbers[] = {0x10_b, 0x32_b, 0x54_b, 0x76_b,
                               0x98_b, 0xba_b, 0xdc_b, 0xfe_b};
  const std::byte scales[] = {130_b};
  const float values[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (int64_t i = 0; i < 16; ++i)
    EXPECT_EQ(LoadScaled(layout, numbers, scales, i),
              (i < 8 ? 8 : -8) * values[i % 8]);
  EXPECT_EQ(std::signbit(LoadScaled(layout, numbers, scales, 8)), true);
  const std::byte ends[] = {255_b, 0_b, 254_b};
  EXPECT_TRUE(std::isnan(LoadScale(layout, ends, 0)));
  EXPECT_EQ(LoadScale(layout, ends, 1), 0);
  EXPECT_EQ(LoadScale(layout, ends, 2), 0x1p127f);
}

TEST(TensorPattern, LayersAndExperts) {
  EXPECT_EQ(ExpandPattern("l.{i}.e.{e}.w", 3, 7), "l.3.e.7.w");
  EXPECT_EQ(ExpandPattern("l.{2i+1}.{3i}.{i+4}", 5, 0), "l.11.15.9");
  EXPECT_EQ(ExpandPattern("l.{i}.{e}", std::nullopt, 1), "l.{i}.1");
  for (const char* plain :
       {"{}", "{j}", "{2}", "{i", "{i+}", "{-1i}", "{i+-2}", "{2i1}", "{ei}",
        "{99999999999999999999i}", "{", ""})
    EXPECT_EQ(ExpandPattern(plain, 1, 2), plain);
  EXPECT_FALSE(LayerOfPattern("e.{e}.w").has_value());
  const auto place = LayerOfPattern("e.{e}.l.{2i+1}.w");
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->scale, 2);
  EXPECT_EQ(place->offset, 1);
}

}  // namespace
}  // namespace moe
