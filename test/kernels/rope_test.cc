// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lib/reference/rounding.h"
#include "test/kernels/compare.h"

namespace moe::kernels {
namespace {

constexpr int64_t kHalves[] = {1, 3, 8, 16, 17, 33, 64};

std::vector<float> Frequencies(int64_t half) {
  std::vector<float> frequencies(half);
  for (int64_t i = 0; i < half; ++i)
    frequencies[i] = std::pow(10000.0f, -static_cast<float>(i) / half);
  return frequencies;
}

TEST(Rope, Table) {
  std::string text;
  for (int64_t half : kHalves) {
    std::string list;
    char number[32];
    for (float f : Frequencies(half)) {
      std::snprintf(number, sizeof(number), "%s%.9e", list.empty() ? "" : ", ",
                    f);
      list += number;
    }
    text += Entry("table" + Str(half), "%p: tensor<?xi32>",
                  Tensor({-1, 2 * half}, DType::kF32),
                  "%y = nn.rope_table %p scale(1.25) inv_freq([" + list +
                      "]) : tensor<?xi32>");
  }
  const Program program(text);
  const std::vector<int32_t> positions = {
      0, 1, 2, 3, 100, 4095, 32767, 131071, 1000000, 1048576};
  const int64_t tokens = positions.size();
  const Array p(positions);
  for (int64_t half : kHalves) {
    Array y(DType::kF32, tokens * 2 * half);
    program.Run("table" + Str(half), {.tokens = tokens}, {&p}, {&y});
    std::vector<float> want(y.size());
    reference::RopeTable(positions.data(), tokens, Frequencies(half).data(),
                         2 * half, 1.25f, want.data());
    const auto c =
        reference::LargestError(y.Floats().data(), want.data(), y.size());
    EXPECT_LE(c.max_err, 1.25 * 2.5e-7) << half << ": " << c.Text();
  }
}

TEST(Rope, RotatesPartOfEachHead) {
  for (DType dtype : kComputeTypes) {
    std::string text;
    for (int64_t half : kHalves)
      for (const char* pairing : {"half", "interleaved"})
        for (int64_t start : {0, 5}) {
          const int64_t dims = 2 * half + start + start / 2;
          const std::string x = Tensor({-1, 3, dims}, dtype);
          const std::string table = Tensor({-1, 2 * half}, DType::kF32);
          text +=
              Entry(pairing + Str(half) + "_" + Str(start),
                    "%x: " + x + ", %t: " + table, x,
                    std::string("%y = nn.rope ") + pairing + " %x, %t start(" +
                        Str(start) + ") : " + x + ", " + table);
        }
    const Program program(text);
    Random random(1);
    for (int64_t half : kHalves)
      for (const char* pairing : {"half", "interleaved"})
        for (int64_t start : {0, 5})
          for (int64_t tokens : kTokens) {
            const int64_t dims = 2 * half + start + start / 2;
            const Array x = RandomArray(random, dtype, tokens * 3 * dims);
            const Array table =
                RandomArray(random, DType::kF32, tokens * 2 * half);
            Array y(dtype, x.size());
            const std::string name = pairing + Str(half) + "_" + Str(start);
            program.Run(name, {.tokens = tokens}, {&x, &table}, {&y});
            std::vector<float> want(x.size());
            reference::Rope(x.Floats().data(), table.Floats().data(), tokens, 3,
                            dims, 2 * half, start,
                            pairing[0] == 'h'
                                ? reference::RopePairing::kHalf
                                : reference::RopePairing::kInterleaved,
                            want.data());
            if (dtype == DType::kBF16)
              reference::RoundAll(want.data(), x.size(),
                                  reference::Rounding::kBf16);
            ExpectSame(name, y, want);
          }
  }
}

}  // namespace
}  // namespace moe::kernels
