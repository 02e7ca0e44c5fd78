// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/movement.h"

#include <gtest/gtest.h>

#include "lib/reference/rounding.h"
#include "test/kernels/compare.h"

namespace moe::kernels {
namespace {

TEST(Movement, EmbeddingOfEveryStoredType) {
  constexpr int64_t kVocab = 11;
  std::string text;
  for (int64_t width : kWidths)
    for (DType stored : {DType::kF32, DType::kBF16, DType::kF16})
      for (DType dtype : kComputeTypes) {
        const std::string table = Tensor({kVocab, width}, stored);
        const std::string result = Tensor({-1, width}, dtype);
        text += Entry(Name(stored) + Name(dtype) + Str(width),
                      "%i: tensor<?xi32>, %t: " + table, result,
                      "%y = nn.embedding %i, %t : tensor<?xi32>, " + table +
                          " -> " + result);
      }
  const Program program(text);
  Random random(1);
  for (int64_t width : kWidths)
    for (DType stored : {DType::kF32, DType::kBF16, DType::kF16})
      for (DType dtype : kComputeTypes)
        for (int64_t tokens : kTokens) {
          std::vector<int32_t> ids(tokens);
          for (int32_t& id : ids)
            id = static_cast<int32_t>(random.Int(0, kVocab - 1));
          const Array i(ids), t = RandomArray(random, stored, kVocab * width);
          Array y(dtype, tokens * width);
          const std::string name = Name(stored) + Name(dtype) + Str(width);
          program.Run(name, {.tokens = tokens}, {&i, &t}, {&y});
          std::vector<float> want(tokens * width);
          ASSERT_TRUE(reference::Embedding(ids.data(), t.Floats().data(),
                                           tokens, kVocab, width, want.data()));
          if (dtype == DType::kBF16)
            reference::RoundAll(want.data(), tokens * width,
                                reference::Rounding::kBf16);
          ExpectSame(name, y, want);
        }
}

TEST(Movement, SliceAndConcat) {
  for (DType dtype : kComputeTypes) {
    std::string text;
    for (int64_t width : kWidths) {
      const std::string x = Tensor({-1, width + 7}, dtype);
      const std::string heads = Tensor({-1, 3, width}, dtype);
      text +=
          Entry("slice" + Str(width), "%x: " + x, Tensor({-1, width}, dtype),
                "%y = nn.slice %x[4, " + Str(width) + "] : " + x);
      text += Entry(
          "concat" + Str(width), "%a: " + heads + ", %b: " + heads,
          Tensor({-1, 3, 3 * width}, dtype),
          "%y = nn.concat %a, %b, %a : " + heads + ", " + heads + ", " + heads);
    }
    const Program program(text);
    Random random(2);
    for (int64_t width : kWidths)
      for (int64_t tokens : kTokens) {
        const Array x = RandomArray(random, dtype, tokens * (width + 7));
        Array y(dtype, tokens * width);
        program.Run("slice" + Str(width), {.tokens = tokens}, {&x}, {&y});
        std::vector<float> want(tokens * width);
        reference::Slice(x.Floats().data(), tokens, width + 7, 4, width,
                         want.data());
        ExpectSame("slice" + Str(width), y, want);

        const int64_t rows = 3 * tokens;
        const Array a = RandomArray(random, dtype, rows * width);
        const Array b = RandomArray(random, dtype, rows * width);
        Array joined(dtype, 3 * rows * width);
        program.Run("concat" + Str(width), {.tokens = tokens}, {&a, &b},
                    {&joined});
        want.resize(3 * rows * width);
        const Array* parts[] = {&a, &b, &a};
        for (int64_t i = 0; i < 3; ++i)
          reference::ConcatPart(parts[i]->Floats().data(), rows, width,
                                i * width, 3 * width, want.data());
        ExpectSame("concat" + Str(width), joined, want);
      }
  }
}

TEST(Movement, LastRows) {
  std::string text;
  for (int64_t width : kWidths) {
    const std::string x = Tensor({-1, width}, DType::kF32);
    text +=
        Entry("last" + Str(width),
              "%x: " + x + ", %s: tensor<?xi32> {nn.name = \"cu_seqlens\"}", x,
              "%y = nn.last_rows %x, %s : " + x + ", tensor<?xi32> -> " + x);
  }
  const Program program(text);
  Random random(3);
  const std::vector<int32_t> ends = {0, 1, 8, 10, 37};
  const Array s(ends);
  for (int64_t width : kWidths) {
    const Array x = RandomArray(random, DType::kF32, 37 * width);
    Array y(DType::kF32, 4 * width);
    program.Run("last" + Str(width), {.tokens = 37, .sequences = 4}, {&x, &s},
                {&y});
    std::vector<float> want(4 * width);
    reference::LastRows(x.Floats().data(), ends.data(), 4, width, want.data());
    ExpectSame("last" + Str(width), y, want);
  }
}

struct Inserted {
  std::string name;
  std::vector<int64_t> from, to;  // -1: tokens
  int64_t axis;
};

TEST(Movement, BroadcastAtAnyAxis) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kI32}) {
    std::vector<Inserted> cases;
    for (int64_t w : kWidths) {
      cases.push_back({"last" + Str(w), {-1}, {-1, w}, 1});
      cases.push_back({"deep" + Str(w), {-1, 3}, {-1, 3, w}, 2});
      cases.push_back({"middle" + Str(w), {-1, w}, {-1, 4, w}, 1});
      cases.push_back({"like" + Str(w), {w}, {-1, w}, 0});
      cases.push_back({"front" + Str(w), {3, w}, {5, 3, w}, 0});
    }
    cases.push_back({"scalar", {}, {-1}, 0});
    std::string text;
    for (const Inserted& c : cases) {
      const bool like = c.axis == 0 && c.to[0] < 0;
      text += Entry(c.name,
                    "%x: " + Tensor(c.from, dtype) + ", %l: tensor<?x3xf32>",
                    Tensor(c.to, dtype),
                    "%y = nn.broadcast %x " +
                        std::string(like ? "like %l : tensor<?x3xf32> " : "") +
                        "axis(" + Str(c.axis) + ") : " + Tensor(c.from, dtype) +
                        " -> " + Tensor(c.to, dtype));
    }
    const Program program(text);
    Random random(4);
    for (const Inserted& c : cases)
      for (int64_t tokens : kTokens) {
        int64_t outer = 1, inner = 1, n = c.to[c.axis];
        for (size_t i = 0; i < c.to.size(); ++i) {
          const int64_t size = c.to[i] < 0 ? tokens : c.to[i];
          const int64_t axis = c.axis;
          if (static_cast<int64_t>(i) == axis) n = size;
          (static_cast<int64_t>(i) < axis ? outer : inner) *=
              static_cast<int64_t>(i) == axis ? 1 : size;
        }
        Array x(dtype, outer * inner), y(dtype, outer * n * inner);
        if (dtype == DType::kI32) {
          std::vector<int32_t> ints(x.size());
          for (int32_t& i : ints) i = static_cast<int32_t>(random.Int(-9, 99));
          x = Array(ints);
        } else {
          x = RandomArray(random, dtype, x.size());
        }
        const Array like(DType::kF32, tokens * 3);
        program.Run(c.name, {.tokens = tokens}, {&x, &like}, {&y});
        std::vector<float> want(y.size());
        reference::Broadcast(x.Floats().data(), outer, n, inner, want.data());
        ExpectSame(c.name, y, want);
      }
  }
}

TEST(Movement, BroadcastOfAConstant) {
  const std::string type = Tensor({-1, 17}, DType::kF32);
  const Program program(
      Entry("all", "%l: " + type, type,
            "%c = arith.constant dense<2.5> : tensor<17xf32>\n"
            "%y = nn.broadcast %c like %l : " +
                type +
                " axis(0) : tensor<17xf32> "
                "-> " +
                type));
  const Array like(DType::kF32, 5 * 17);
  Array y(DType::kF32, 5 * 17);
  program.Run("all", {.tokens = 5}, {&like}, {&y});
  ExpectSame("all", y, std::vector<float>(5 * 17, 2.5f));
}

}  // namespace
}  // namespace moe::kernels
