// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/training.h"

#include <gtest/gtest.h>

#include <cmath>

#include "test/kernels/compare.h"

namespace moe::kernels {
namespace {

// Logits with large and infinite ones; tokens with and without a target.
TEST(Training, CrossEntropyAndItsGradient) {
  const int64_t vocabs[] = {1, 5, 16, 17, 33, 100, 1000};
  std::string text;
  for (int64_t vocab : vocabs) {
    const std::string x = Tensor({-1, vocab}, DType::kF32);
    text += EntryOf(
        "loss" + Str(vocab),
        "%x: " + x + ", %t: tensor<?xi32>, %dy: tensor<?xf32>",
        "(tensor<?xf32>, " + x + ")", "%y, %dx",
        "%y = nn.cross_entropy %x, %t : " + x +
            ", tensor<?xi32>\n%dx = nn.cross_entropy_grad %x, %t, %dy : " + x +
            ", tensor<?xi32>, tensor<?xf32>");
  }
  const Program program(text);
  Random random(1);
  for (int64_t vocab : vocabs)
    for (int64_t tokens : kTokens) {
      std::vector<float> values = random.Values<float>(tokens * vocab);
      for (float& v : values) v *= 30;
      for (int64_t i = 0; i < tokens; ++i)
        if (vocab > 1 && i % 7 == 3) values[i * vocab + 1] = -INFINITY;
      std::vector<int32_t> targets(tokens);
      for (int32_t& t : targets)
        t = static_cast<int32_t>(random.Int(0, 3) ? random.Int(0, vocab - 1)
                                                  : -random.Int(1, 100));
      for (int64_t i = 3; i < tokens; i += 7)
        targets[i] = std::min(targets[i], 0);
      const Array x(DType::kF32, values), t(targets);
      const Array dy = RandomArray(random, DType::kF32, tokens);
      Array y(DType::kF32, tokens), dx(DType::kF32, x.size());
      program.Run("loss" + Str(vocab), {.tokens = tokens}, {&x, &t, &dy},
                  {&y, &dx});
      std::vector<float> want(tokens), want_x(x.size());
      reference::CrossEntropyRows(values.data(), targets.data(), tokens, vocab,
                                  want.data());
      ExpectClose("loss" + Str(vocab), y, want, vocab);
      reference::CrossEntropyRowsVjp(values.data(), targets.data(),
                                     dy.Floats().data(), tokens, vocab,
                                     want_x.data());
      ExpectClose("gradient" + Str(vocab), dx, want_x, vocab);
      for (int64_t i = 0; i < tokens; ++i)
        if (targets[i] < 0) {
          EXPECT_EQ(y.Floats()[i], 0);
          for (int64_t v = 0; v < vocab; ++v)
            EXPECT_EQ(dx.Floats()[i * vocab + v], 0);
        }
    }
}

// Around whole vectors and blocks of 4096.
const std::vector<int64_t> kShapes[] = {
    {1}, {5}, {16}, {100}, {3, 17}, {64, 64}, {4097}, {5, 2, 1233}, {9, 4099}};

int64_t Size(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (int64_t size : shape) n *= size;
  return n;
}

TEST(Training, SumSquares) {
  std::string text, all, operands, types;
  for (size_t i = 0; i < std::size(kShapes); ++i) {
    const std::string type = Tensor(kShapes[i], DType::kF32);
    text += Entry("one" + Str(i), "%x: " + type, "tensor<f32>",
                  "%y = nn.sum_squares %x : " + type);
    const std::string comma = i ? ", " : "";
    all += comma + "%x" + Str(i) + ": " + type;
    operands += comma + "%x" + Str(i);
    types += comma + type;
  }
  text += Entry("all", all, "tensor<f32>",
                "%y = nn.sum_squares " + operands + " : " + types);
  const Program program(text);
  Random random(2);
  std::vector<Array> xs;
  std::vector<const Array*> inputs;
  float total = 0;
  for (const auto& shape : kShapes)
    xs.push_back(RandomArray(random, DType::kF32, Size(shape)));
  for (size_t i = 0; i < xs.size(); ++i) {
    Array y(DType::kF32, 1);
    program.Run("one" + Str(i), {}, {&xs[i]}, {&y});
    const std::vector<float> x = xs[i].Floats();
    const int64_t n = xs[i].size();
    ExpectSame("one" + Str(i), y, {reference::SumSquares(x.data(), n, 0.0f)});
    total = reference::SumSquares(x.data(), n, total);
    inputs.push_back(&xs[i]);
  }
  Array y(DType::kF32, 1);
  program.Run("all", {}, inputs, {&y});
  ExpectSame("all", y, {total});
}

// Several steps, each in the place of the one before, and into places of their
// own: the same bits, and those of the reference.
TEST(Training, Adamw) {
  std::string text;
  for (size_t i = 0; i < std::size(kShapes); ++i)
    for (bool decayed : {false, true}) {
      const std::string type = Tensor(kShapes[i], DType::kF32);
      text += EntryOf(
          (decayed ? "decayed" : "plain") + Str(i),
          "%w: " + type + ", %g: " + type + ", %m: " + type + ", %v: " + type +
              ", %h: tensor<8xf32>",
          "(" + type + ", " + type + ", " + type + ")", "%a, %b, %c",
          std::string("%a, %b, %c = nn.adamw ") + (decayed ? "decayed " : "") +
              "%w, %g, %m, %v, %h : " + type + ", " + type + ", " + type +
              ", " + type + ", tensor<8xf32>");
    }
  const Program program(text);
  Random random(3);
  for (size_t i = 0; i < std::size(kShapes); ++i)
    for (bool decayed : {false, true}) {
      const int64_t n = Size(kShapes[i]);
      const std::string name = (decayed ? "decayed" : "plain") + Str(i);
      Array w = RandomArray(random, DType::kF32, n), m(DType::kF32, n),
            v(DType::kF32, n);
      for (int step = 1; step <= 3; ++step) {
        const Array g = RandomArray(random, DType::kF32, n, 3);
        const Array hyper(
            DType::kF32,
            std::vector<float>{1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f,
                               1 - std::pow(0.9f, static_cast<float>(step)),
                               1 - std::pow(0.95f, static_cast<float>(step)),
                               0.25f});
        const std::vector<float> h = hyper.Floats();
        const reference::AdamwStep<float> s{
            h[0], h[1], h[2], h[3], decayed ? h[4] : 0, h[5], h[6], h[7]};
        std::vector<float> want_w(n), want_m(n), want_v(n);
        reference::Adamw(s, n, w.Floats().data(), g.Floats().data(),
                         m.Floats().data(), v.Floats().data(), want_w.data(),
                         want_m.data(), want_v.data());
        Array new_w(DType::kF32, n), new_m = new_w, new_v = new_w;
        program.Run(name, {}, {&w, &g, &m, &v, &hyper},
                    {&new_w, &new_m, &new_v});
        ExpectSame(name + " w", new_w, want_w);
        ExpectSame(name + " m", new_m, want_m);
        ExpectSame(name + " v", new_v, want_v);
        const std::vector<int> in_place = {0, 2, 3};
        Array same_w = new_w, same_m = new_m, same_v = new_v;
        program.Run(name, {}, {&w, &g, &m, &v, &hyper},
                    {&same_w, &same_m, &same_v}, nullptr, in_place);
        EXPECT_EQ(same_w.bytes, new_w.bytes) << name;
        EXPECT_EQ(same_m.bytes, new_m.bytes) << name;
        EXPECT_EQ(same_v.bytes, new_v.bytes) << name;
        w = new_w;
        m = new_m;
        v = new_v;
      }
    }
}

}  // namespace
}  // namespace moe::kernels
