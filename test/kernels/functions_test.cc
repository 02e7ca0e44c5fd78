// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The functions of one argument over all exponents, against the C++ library in
// double. Denormals count as 0.
#include <gtest/gtest.h>

#include <bit>
#include <cfloat>
#include <cstdio>
#include <functional>
#include <limits>

#include "lib/reference/elementwise.h"
#include "test/kernels/compare.h"

namespace moe::kernels {
namespace {

constexpr int64_t kWidth = 1024;

struct Case {
  std::string name, op;
  std::function<double(double)> want;
  // Allowed error: in units of the last place, or absolute.
  double ulp, absolute;
  double limit = std::numeric_limits<double>::infinity();  // of |x|
};

float Flushed(float x) {
  return std::fabs(x) < FLT_MIN ? std::copysign(0.0f, x) : x;
}

// Every 1021st float, neighbours of special values, and small arguments.
std::vector<float> Points() {
  std::vector<float> points;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 1021)
    points.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  const float special[] = {
      0.0f,       1.0f,        2.0f,
      FLT_MIN,    FLT_MAX,     88.7228317f,
      -87.33654f, 0.625f,      0.927734f,
      1048576.0f, 0.70710678f, std::numeric_limits<float>::infinity()};
  for (float center : special)
    for (float sign : {1.0f, -1.0f}) {
      const uint32_t bits = std::bit_cast<uint32_t>(sign * center);
      for (int32_t i = -300; i <= 300; ++i)
        points.push_back(std::bit_cast<float>(bits + i));
    }
  for (int64_t i = -1000000; i <= 1000000; ++i)
    points.push_back(static_cast<float>(i) * 1e-4f);
  while (points.size() % kWidth) points.push_back(0.5f);
  return points;
}

struct Error {
  double ulp = 0, absolute = 0;
  float at = 0;
};

// The error at one point; infinite for a wrong special value.
Error ErrorAt(float x, float got, double want) {
  Error error;
  error.at = x;
  const double wrong = std::numeric_limits<double>::infinity();
  const float rounded = static_cast<float>(want);
  if (std::isnan(want) || std::isnan(got)) {
    error.ulp = error.absolute =
        std::isnan(want) && std::isnan(got) ? 0 : wrong;
  } else if (std::isinf(rounded) || std::isinf(got)) {
    // The largest number and infinity are one place apart.
    const bool close = std::fabs(want) > FLT_MAX * (1 - 0x1p-23) &&
                       std::fabs(got) > FLT_MAX * (1 - 0x1p-23);
    error.ulp = error.absolute = rounded == got || close ? 0 : wrong;
  } else if (std::fabs(want) < FLT_MIN * (1 + 0x1p-22)) {
    error.ulp = std::fabs(got) <= FLT_MIN * (1 + 0x1p-22) ? 0 : wrong;
  } else {
    error.absolute = std::fabs(got - want);
    error.ulp = error.absolute / std::ldexp(1.0, std::ilogb(want) - 23);
  }
  return error;
}

TEST(Functions, AgreeWithTheLibrary) {
  const double kFar = std::numeric_limits<double>::infinity();
  const double kTurn = 1048576;
  const double kTiny = 1e-30;
  const Case cases[] = {
      {"exp", "math.exp", [](double x) { return std::exp(x); }, 1.1, kFar},
      {"log", "math.log", [](double x) { return std::log(x); }, 1.5, kFar},
      {"sqrt", "math.sqrt", [](double x) { return std::sqrt(x); }, 0.51, kFar},
      {"rsqrt", "math.rsqrt", [](double x) { return 1 / std::sqrt(x); }, 1.6,
       kFar},
      {"tanh", "math.tanh", [](double x) { return std::tanh(x); }, 2.0, kFar},
      {"erf", "math.erf", [](double x) { return std::erf(x); }, 2.0, kFar},
      {"sin", "math.sin", [](double x) { return std::sin(x); }, kFar, 2e-7,
       kTurn},
      {"cos", "math.cos", [](double x) { return std::cos(x); }, kFar, 2e-7,
       kTurn},
      {"sigmoid", "nn.activate sigmoid",
       [](double x) { return 1 / (1 + std::exp(-x)); }, 3.0, kFar},
      {"silu", "nn.activate silu",
       [](double x) { return x < -700 ? -0.0 : x / (1 + std::exp(-x)); }, 4.0,
       kFar, 80},
      {"gelu", "nn.activate gelu",
       [](double x) { return 0.5 * x * (1 + std::erf(x * std::sqrt(0.5))); },
       kFar, 1e-5, 80},
      {"gelu_tanh", "nn.activate gelu_tanh",
       [](double x) {
         return reference::Activate(reference::Activation::kGeluTanh, x);
       },
       kFar, 1e-5, 80},
  };
  std::string text;
  const std::string type = Tensor({-1, kWidth}, DType::kF32);
  for (const Case& c : cases)
    text +=
        Entry(c.name, "%x: " + type, type, "%y = " + c.op + " %x : " + type);
  const Program program(text);
  const std::vector<float> points = Points();
  const Array x(DType::kF32, points);
  Array y(DType::kF32, x.size());
  const Dims dims{.tokens = x.size() / kWidth};
  for (const Case& c : cases) {
    program.Run(c.name, dims, {&x}, {&y});
    const std::vector<float> got = y.Floats();
    Error ulp, absolute;
    for (size_t i = 0; i < points.size(); ++i) {
      const float in = Flushed(points[i]);
      if (std::fabs(in) > c.limit) continue;
      double want = c.want(in);
      if (std::fabs(want) < kTiny * kTiny) want = 0;
      const Error error = ErrorAt(points[i], got[i], want);
      if (error.ulp > ulp.ulp) ulp = error;
      if (error.absolute > absolute.absolute) absolute = error;
    }
    std::printf("%-10s %8.3f ulp at %-14.9g %10.3g absolute at %.9g\n",
                c.name.c_str(), ulp.ulp, ulp.at, absolute.absolute,
                absolute.at);
    EXPECT_LE(ulp.ulp, c.ulp) << c.name << " at " << ulp.at;
    EXPECT_LE(absolute.absolute, c.absolute) << c.name << " at " << absolute.at;
  }
}

}  // namespace
}  // namespace moe::kernels
