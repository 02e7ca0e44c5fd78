// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "lib/reference/rounding.h"
#include "test/kernels/compare.h"

namespace moe::kernels {
namespace {

struct Case {
  std::string name, body;  // from %a and %b, all of type T, to %y
  std::function<float(float, float)> want;
};

const Case kCases[] = {
    {"add", "%y = arith.addf %a, %b : T",
     [](float a, float b) { return a + b; }},
    {"sub", "%y = arith.subf %a, %b : T",
     [](float a, float b) { return a - b; }},
    {"square", "%y = arith.mulf %a, %a : T",
     [](float a, float) { return a * a; }},
    {"div", "%y = arith.divf %a, %b : T",
     [](float a, float b) { return a / b; }},
    {"neg", "%y = arith.negf %a : T", [](float a, float) { return -a; }},
    {"max", "%y = arith.maximumf %a, %b : T",
     [](float a, float b) { return reference::Maximum(a, b); }},
    {"min", "%y = arith.minimumf %a, %b : T",
     [](float a, float b) { return reference::Minimum(a, b); }},
    {"abs", "%y = math.absf %a : T",
     [](float a, float) { return std::fabs(a); }},
    {"choose",
     "%c = arith.cmpf olt, %a, %b : T\n%y = arith.select %c, %a, %b : C, T",
     [](float a, float b) { return a < b ? a : b; }},
    {"silu", "%y = nn.activate silu %a : T",
     [](float a, float) {
       return reference::Activate(reference::Activation::kSilu, a);
     }},
    {"relu", "%y = nn.activate relu %a : T",
     [](float a, float) {
       return reference::Activate(reference::Activation::kRelu, a);
     }},
    {"stop", "%y = moe.stop_gradient %a : T", [](float a, float) { return a; }},
    {"twice",
     "%v = arith.constant dense<2.0> : V\n"
     "%c = nn.broadcast %v like %a : T axis(0) : V -> T\n"
     "%y = arith.mulf %a, %c : T",
     [](float a, float) { return a * 2; }},
};

std::string Replaced(std::string text, char from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos;) {
    const bool word =
        at > 0 && text[at - 1] == ' ' &&
        (at + 1 == text.size() ||
         std::string(", \n").find(text[at + 1]) != std::string::npos);
    if (word) text.replace(at, 1, to);
    ++at;
  }
  return text;
}

TEST(Elementwise, EveryOperation) {
  for (DType dtype : kComputeTypes) {
    std::string text;
    for (int64_t width : kWidths)
      for (const Case& c : kCases) {
        const std::string type = Tensor({-1, width}, dtype);
        std::string body = Replaced(c.body, 'T', type);
        body = Replaced(body, 'C', "tensor<?x" + Str(width) + "xi1>");
        body = Replaced(body, 'V', Tensor({width}, dtype));
        text += Entry(c.name + Str(width), "%a: " + type + ", %b: " + type,
                      type, body);
      }
    const Program program(text);
    Random random(1);
    for (int64_t width : kWidths)
      for (int64_t tokens : kTokens) {
        const int64_t n = tokens * width;
        const Array a = RandomArray(random, dtype, n, 4);
        const Array b = RandomArray(random, dtype, n, 4);
        const auto x = a.Floats(), z = b.Floats();
        for (const Case& c : kCases) {
          Array y(dtype, n);
          program.Run(c.name + Str(width), {.tokens = tokens}, {&a, &b}, {&y});
          std::vector<float> want(n);
          for (int64_t i = 0; i < n; ++i) want[i] = c.want(x[i], z[i]);
          ExpectClose(c.name + Str(width) + Name(dtype), y, want, 1);
        }
      }
  }
}

TEST(Elementwise, ConvertsWithOneRounding) {
  std::string text;
  for (int64_t width : kWidths) {
    const std::string wide = Tensor({-1, width}, DType::kF32);
    const std::string narrow = Tensor({-1, width}, DType::kBF16);
    text += Entry("narrow" + Str(width), "%x: " + wide, narrow,
                  "%y = arith.truncf %x : " + wide + " to " + narrow);
    text += Entry("wide" + Str(width), "%x: " + narrow, wide,
                  "%y = arith.extf %x : " + narrow + " to " + wide);
    const std::string ints = Tensor({-1, width}, DType::kI32);
    text += Entry("ints" + Str(width), "%x: " + ints, wide,
                  "%y = arith.sitofp %x : " + ints + " to " + wide);
  }
  const Program program(text);
  Random random(2);
  for (int64_t width : kWidths)
    for (int64_t tokens : kTokens) {
      const int64_t n = tokens * width;
      std::vector<float> values = random.Values<float>(n);
      if (n > 0) {
        values.front() = std::nanf("");
        values.back() = INFINITY;
      }
      const Array x(DType::kF32, values);
      Array y(DType::kBF16, n), back(DType::kF32, n);
      program.Run("narrow" + Str(width), {.tokens = tokens}, {&x}, {&y});
      std::vector<float> want = values;
      reference::RoundAll(want.data(), n, reference::Rounding::kBf16);
      ExpectSame("narrow", y, want);
      program.Run("wide" + Str(width), {.tokens = tokens}, {&y}, {&back});
      ExpectSame("wide", back, want);
      std::vector<int32_t> ints(n);
      for (int32_t& i : ints)
        i = static_cast<int32_t>(random.Int(-1000000, 1000000));
      const Array given(ints);
      program.Run("ints" + Str(width), {.tokens = tokens}, {&given}, {&back});
      ExpectSame("ints", back, {ints.begin(), ints.end()});
    }
}

TEST(Elementwise, GatedLinearUnit) {
  for (DType dtype : kComputeTypes) {
    std::string text;
    for (int64_t width : kWidths)
      for (const char* act : {"silu", "gelu", "gelu_tanh", "quick_gelu"}) {
        const std::string type = Tensor({-1, 2 * width}, dtype);
        text +=
            Entry(act + Str(width), "%x: " + type, Tensor({-1, width}, dtype),
                  std::string("%y = nn.glu ") + act + " %x : " + type);
      }
    const Program program(text);
    Random random(3);
    for (int64_t width : kWidths)
      for (int64_t tokens : kTokens)
        for (const char* act : {"silu", "gelu", "gelu_tanh", "quick_gelu"}) {
          const Array x = RandomArray(random, dtype, tokens * 2 * width, 3);
          Array y(dtype, tokens * width);
          program.Run(act + Str(width), {.tokens = tokens}, {&x}, {&y});
          const auto kind = *reference::ParseActivation(act);
          std::vector<float> want(tokens * width);
          reference::Glu(x.Floats().data(), kind, tokens, width, want.data());
          ExpectClose(act + Str(width), y, want, 1);
        }
  }
}

TEST(Elementwise, GatedLinearUnitCutAndShifted) {
  const std::pair<double, double> cuts[] = {{7, 1}, {0, 0.5}, {2, 0}};
  for (DType dtype : kComputeTypes) {
    std::string text;
    for (int64_t width : kWidths)
      for (size_t i = 0; i < std::size(cuts); ++i) {
        const std::string type = Tensor({-1, 2 * width}, dtype);
        text += Entry("cut" + Str(width) + "_" + Str(i), "%x: " + type,
                      Tensor({-1, width}, dtype),
                      "%y = nn.glu quick_gelu %x {limit = " +
                          std::to_string(cuts[i].first) + " : f64, shift = " +
                          std::to_string(cuts[i].second) + " : f64} : " + type);
      }
    const Program program(text);
    Random random(5);
    for (int64_t width : kWidths)
      for (size_t i = 0; i < std::size(cuts); ++i) {
        const Array x = RandomArray(random, dtype, 9 * 2 * width, 20);
        Array y(dtype, 9 * width);
        const std::string name = "cut" + Str(width) + "_" + Str(i);
        program.Run(name, {.tokens = 9}, {&x}, {&y});
        std::vector<float> want(9 * width);
        reference::Glu(x.Floats().data(), reference::Activation::kQuickGelu,
                       {.limit = cuts[i].first, .shift = cuts[i].second}, 9,
                       width, want.data());
        ExpectClose(name, y, want, 1);
      }
  }
}

}  // namespace
}  // namespace moe::kernels
