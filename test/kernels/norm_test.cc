// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/norm.h"

#include <gtest/gtest.h>

#include "lib/reference/reduce.h"
#include "test/kernels/compare.h"

namespace moe::kernels {
namespace {

reference::Rounding RoundingOf(DType dtype) {
  return dtype == DType::kBF16 ? reference::Rounding::kBf16
                               : reference::Rounding::kNone;
}

TEST(Norm, RmsNorm) {
  for (DType dtype : kComputeTypes)
    for (DType stored : kComputeTypes) {
      std::string text;
      for (int64_t width : kWidths) {
        const std::string x = Tensor({-1, 3, width}, dtype);
        const std::string w = Tensor({width}, stored);
        text += Entry("rms" + Str(width), "%x: " + x + ", %w: " + w, x,
                      "%y = nn.rms_norm %x, %w eps(1.0e-3) : " + x + ", " + w);
      }
      const Program program(text);
      Random random(1);
      for (int64_t width : kWidths)
        for (int64_t tokens : kTokens) {
          const Array x = RandomArray(random, dtype, tokens * 3 * width, 2);
          const Array w = RandomArray(random, stored, width);
          Array y(dtype, x.size());
          program.Run("rms" + Str(width), {.tokens = tokens}, {&x, &w}, {&y});
          std::vector<float> want(x.size());
          reference::RmsNorm(x.Floats().data(), w.Floats().data(), 3 * tokens,
                             width, 1.0e-3f, RoundingOf(dtype), want.data());
          ExpectClose("rms" + Str(width), y, want, width);
          // Sums, division and root are exact on both sides.
          ExpectSame("rms" + Str(width), y, want);
        }
    }
}

TEST(Norm, LayerNorm) {
  for (DType dtype : kComputeTypes) {
    std::string text;
    for (int64_t width : kWidths) {
      const std::string x = Tensor({-1, width}, dtype);
      const std::string w = Tensor({width}, DType::kBF16);
      text += Entry("plain" + Str(width), "%x: " + x + ", %w: " + w, x,
                    "%y = nn.layer_norm %x, %w eps(1.0e-5) : " + x + ", " + w);
      text += Entry("bias" + Str(width),
                    "%x: " + x + ", %w: " + w + ", %b: " + w, x,
                    "%y = nn.layer_norm %x, %w bias(%b : " + w +
                        ") eps(1.0e-5) : " + x + ", " + w);
    }
    const Program program(text);
    Random random(2);
    for (int64_t width : kWidths)
      for (int64_t tokens : kTokens) {
        const int64_t n = tokens * width;
        const Array x = RandomArray(random, dtype, n, 2);
        const Array w = RandomArray(random, DType::kBF16, width);
        const Array b = RandomArray(random, DType::kBF16, width);
        for (bool bias : {false, true}) {
          Array y(dtype, n);
          std::vector<const Array*> inputs{&x, &w};
          if (bias) inputs.push_back(&b);
          const std::string name = (bias ? "bias" : "plain") + Str(width);
          program.Run(name, {.tokens = tokens}, inputs, {&y});
          std::vector<float> want(n);
          const std::vector<float> weight = w.Floats(), shift = b.Floats();
          reference::LayerNorm<float>(x.Floats().data(), nullptr, nullptr,
                                      tokens, width, 1.0e-5f, want.data());
          reference::RoundAll(want.data(), n, RoundingOf(dtype));
          for (int64_t i = 0; i < n; ++i) {
            want[i] = want[i] * weight[i % width];
            if (bias) want[i] = want[i] + shift[i % width];
          }
          reference::RoundAll(want.data(), n, RoundingOf(dtype));
          ExpectSame(name, y, want);
        }
      }
  }
}

struct Axis {
  std::string name;
  std::vector<int64_t> shape;  // -1: tokens
  int64_t axis;
};

std::vector<Axis> Axes() {
  std::vector<Axis> axes = {{"vector", {-1}, 0}, {"matrix", {-1, 1}, 0}};
  for (int64_t w : kWidths) {
    axes.push_back({"last" + Str(w), {-1, w}, 1});
    axes.push_back({"first" + Str(w), {-1, w}, 0});
    axes.push_back({"middle" + Str(w), {-1, 5, w}, 1});
    axes.push_back({"deep" + Str(w), {-1, 3, w}, 2});
    axes.push_back({"fixed" + Str(w), {4, w}, 1});
  }
  return axes;
}

// [outer, n, inner] of an axis, with tokens filled in.
struct View {
  int64_t outer = 1, n = 1, inner = 1;
  View(const Axis& a, int64_t tokens) {
    for (size_t i = 0; i < a.shape.size(); ++i) {
      const int64_t size = a.shape[i] < 0 ? tokens : a.shape[i];
      const int64_t at = static_cast<int64_t>(i);
      (at < a.axis ? outer : at == a.axis ? n : inner) *= size;
    }
  }
  int64_t size() const { return outer * n * inner; }
};

TEST(Norm, SoftmaxOverAnyAxis) {
  for (DType dtype : kComputeTypes) {
    std::string text;
    for (const Axis& a : Axes()) {
      const std::string type = Tensor(a.shape, dtype);
      text += Entry(a.name, "%x: " + type, type,
                    "%y = nn.softmax %x axis(" + Str(a.axis) + ") : " + type);
    }
    const Program program(text);
    Random random(3);
    for (const Axis& a : Axes())
      for (int64_t tokens : kTokens) {
        const View view(a, tokens);
        const Array x = RandomArray(random, dtype, view.size(), 20);
        Array y(dtype, view.size());
        program.Run(a.name, {.tokens = tokens}, {&x}, {&y});
        std::vector<float> want(view.size());
        reference::Softmax(x.Floats().data(), view.outer, view.n, view.inner,
                           want.data());
        ExpectClose(a.name, y, want, view.n);
      }
  }
}

TEST(Norm, SoftmaxOfInfinitiesAndNaN) {
  const std::string type = Tensor({-1, 5}, DType::kF32);
  const Program program(Entry("softmax", "%x: " + type, type,
                              "%y = nn.softmax %x axis(1) : " + type));
  const std::vector<float> values = {-INFINITY, 0,   1,         -INFINITY, 2,
                                     -INFINITY, NAN, 1,         0,         2,
                                     -300,      100, -INFINITY, 100,       0};
  const Array x(DType::kF32, values);
  Array y(DType::kF32, 15);
  program.Run("softmax", {.tokens = 3}, {&x}, {&y});
  std::vector<float> want(15);
  reference::Softmax(values.data(), 3, 5, 1, want.data());
  ExpectClose("softmax", y, want, 5);
  EXPECT_EQ(y.Floats()[0], 0);
}

TEST(Norm, ReductionOverAnyAxis) {
  for (DType dtype : kComputeTypes) {
    std::string text;
    const char* kinds[] = {"sum", "mean", "max", "min"};
    for (const Axis& a : Axes())
      for (const char* kind : kinds) {
        std::vector<int64_t> shape = a.shape;
        shape.erase(shape.begin() + a.axis);
        text += Entry(kind + a.name, "%x: " + Tensor(a.shape, dtype),
                      Tensor(shape, dtype),
                      std::string("%y = nn.reduce ") + kind + " %x axis(" +
                          Str(a.axis) + ") : " + Tensor(a.shape, dtype));
      }
    const Program program(text);
    Random random(4);
    for (const Axis& a : Axes())
      for (const char* kind : kinds)
        for (int64_t tokens : kTokens) {
          const View view(a, tokens);
          Array x = RandomArray(random, dtype, view.size(), 3);
          Array y(dtype, view.outer * view.inner);
          program.Run(kind + a.name, {.tokens = tokens}, {&x}, {&y});
          std::vector<float> want(y.size());
          reference::Reduce(*reference::ParseReduceKind(kind),
                            x.Floats().data(), view.outer, view.n, view.inner,
                            want.data());
          reference::RoundAll(want.data(), y.size(), RoundingOf(dtype));
          ExpectSame(kind + a.name, y, want);
        }
  }
}

}  // namespace
}  // namespace moe::kernels
