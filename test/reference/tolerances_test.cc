// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/tolerances.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace moe::reference {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Tolerances, OneOp) {
  EXPECT_DOUBLE_EQ(OneOpF32(100, 3), 3e-4);
  EXPECT_DOUBLE_EQ(OneOpF32(0, 2), 2e-5);
  const float want[] = {4, -8, 1}, near[] = {4, -8.00015f, 1},
              far[] = {4, -8, 1.0002f};
  EXPECT_TRUE(CompareOneOp(near, want, 3, 4).ok());
  const Comparison c = CompareOneOp(far, want, 3, 4);
  EXPECT_FALSE(c.ok());
  EXPECT_EQ(c.at, 2);
  EXPECT_EQ(c.largest, 8);
  EXPECT_EQ(c.Text(), "max_err=0.0002 tol=0.00016 at 2");
}

TEST(Tolerances, NothingPassesAsNan) {
  const float nan[] = {kNan}, inf[] = {kInf}, one[] = {1};
  EXPECT_FALSE(CompareRelative(nan, one, 1, kLogitsBf16).ok());
  EXPECT_FALSE(CompareRelative(one, nan, 1, kLogitsBf16).ok());
  EXPECT_FALSE(CompareRelative(inf, one, 1, kLogitsBf16).ok());
  EXPECT_FALSE(CompareRelative(one, inf, 1, kLogitsBf16).ok());
  EXPECT_FALSE(CompareGradient(nan, one, 1).ok());
  EXPECT_TRUE(CompareRelative(nan, nan, 1, kLogitsF32).ok());
  EXPECT_TRUE(CompareRelative(inf, inf, 1, kLogitsF32).ok());
}

TEST(Tolerances, GradientUsesNorms) {
  const float want[] = {3, 4}, near[] = {3.0004f, 4}, far[] = {3.0006f, 4};
  EXPECT_TRUE(CompareGradient(near, want, 2).ok());
  EXPECT_FALSE(CompareGradient(far, want, 2).ok());
  const float zero[] = {0, 0}, noise[] = {1e-6f, 0};
  EXPECT_FALSE(CompareGradient(noise, zero, 2).ok());
  EXPECT_TRUE(CompareGradient(noise, zero, 2, /*floor=*/1).ok());
}

TEST(Tolerances, Kl) {
  // KL((1/2, 1/2) || (1/4, 3/4)) = log(2) - log(3)/2.
  const float want[] = {0, 0}, got[] = {0, std::log(3.0f)};
  EXPECT_NEAR(MeanKl(got, want, 1, 2), std::log(2.0) - std::log(3.0) / 2, 1e-7);
  EXPECT_NEAR(MeanKl(want, want, 1, 2), 0, 1e-12);
  const float nan[] = {kNan, 0};
  EXPECT_TRUE(std::isnan(MeanKl(nan, want, 1, 2)));
  EXPECT_EQ(MeanKl(got, want, 0, 2), 0);
}

}  // namespace
}  // namespace moe::reference
