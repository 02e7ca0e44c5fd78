// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products with packed weights, to the bit: one order of additions for each
// pair of dtypes, whatever the rows.
#include "lib/reference/matmul.h"

#include <gtest/gtest.h>

#include <span>

#include "lib/reference/rounding.h"
#include "lib/reference/routing.h"
#include "test/kernels/compare.h"

namespace moe::kernels {
namespace {

using reference::Accumulation;

// The dtypes of rows and weights that have a layout.
struct Types {
  DType x, w;
  std::string Name() const { return kernels::Name(x) + "_" + kernels::Name(w); }
  Accumulation Order() const {
    return x == DType::kBF16 ? Accumulation::kEvenOdd32 : Accumulation::kChain;
  }
};
const Types kTypes[] = {{DType::kF32, DType::kF32},
                        {DType::kF32, DType::kBF16},
                        {DType::kBF16, DType::kBF16}};

// Columns and summands around panels of 32 and blocks of one to four panels.
const std::pair<int64_t, int64_t> kSizes[] = {
    {1, 1},  {33, 31},  {32, 32},  {100, 33},  {16, 65},
    {64, 2}, {160, 40}, {300, 34}, {130, 1100}};
// Rows around the register tiles of 12, 6, 4, 2 and 1, and blocks of 16 by 3.
constexpr int64_t kRows[] = {0, 1, 2, 5, 12, 29, 50, 97};

std::string Param(const std::string& name, const std::string& type,
                  const std::string& shape, bool per_expert) {
  return "nn.param @" + name + " : " + type + " from [#nn.source<\"" +
         (per_expert ? "{e}." : "") + name + "\", " + shape + ">]\n";
}

// What the kernel must give: the sums, rounded to the dtype of the rows.
void ExpectProduct(const std::string& what, const Array& got,
                   std::vector<float> want) {
  reference::RoundAll(want.data(), want.size(),
                      got.dtype == DType::kBF16 ? reference::Rounding::kBf16
                                                : reference::Rounding::kNone);
  ExpectSame(what, got, want);
}

// nn.linear with weights of |sizes|, [n, k], by each number of |rows|.
void ExpectLinear(const Types& types,
                  std::span<const std::pair<int64_t, int64_t>> sizes,
                  std::span<const int64_t> all_rows) {
  std::string text;
  for (auto [n, k] : sizes) {
    const std::string size = Str(n) + "_" + Str(k);
    const std::string x = Tensor({-1, k}, types.x);
    const std::string y = Tensor({-1, n}, types.x);
    const std::string w = Tensor({n, k}, types.w);
    const std::string b = Tensor({n}, types.w);
    text += Param("w" + size, w, "[" + Str(n) + ", " + Str(k) + "]", false);
    const std::string get = "%w = nn.param_get @w" + size + " : " + w + "\n";
    text += Entry("plain" + size, "%x: " + x, y,
                  get + "%y = nn.linear %x, %w : " + x + ", " + w);
    text += Entry(
        "bias" + size, "%x: " + x + ", %b: " + b, y,
        get + "%y = nn.linear %x, %w bias(%b : " + b + ") : " + x + ", " + w);
  }
  Program program(text);
  Random random(1);
  for (auto [n, k] : sizes) {
    const std::string size = Str(n) + "_" + Str(k);
    const Array w = RandomArray(random, types.w, n * k);
    const Array b = RandomArray(random, types.w, n);
    program.SetParam("w" + size, w);
    for (int64_t rows : all_rows) {
      const Array x = RandomArray(random, types.x, rows * k);
      Array y(types.x, rows * n);
      std::vector<float> want(rows * n);
      const std::string what = types.Name() + " " + size + " rows " + Str(rows);
      program.Run("plain" + size, {.tokens = rows}, {&x}, {&y});
      reference::Linear<float>(x.Floats().data(), w.Floats().data(), nullptr,
                               rows, n, k, types.Order(), want.data());
      ExpectProduct(what, y, want);
      program.Run("bias" + size, {.tokens = rows}, {&x, &b}, {&y});
      reference::Linear(x.Floats().data(), w.Floats().data(), b.Floats().data(),
                        rows, n, k, types.Order(), want.data());
      ExpectProduct(what + " with bias", y, want);
    }
  }
}

TEST(Matmul, Linear) {
  for (const Types& types : kTypes) ExpectLinear(types, kSizes, kRows);
}

// Blocks of 16 rows by threes, one to four of them in a pass with one or two
// blocks behind; several passes; k of which few rows fit a pass, and none.
TEST(Matmul, RowsInPasses) {
  using Sizes = std::vector<std::pair<int64_t, int64_t>>;
  using Rows = std::vector<int64_t>;
  const Types types = {DType::kBF16, DType::kBF16};
  ExpectLinear(types, Sizes{{33, 40}}, Rows{144, 145, 176, 192, 193, 200, 385});
  ExpectLinear(types, Sizes{{33, 2500}}, Rows{145, 300});
  ExpectLinear(types, Sizes{{32, 16400}}, Rows{17, 40});
  ExpectLinear(types, Sizes{{32, 24608}}, Rows{1, 2, 17});
}

TEST(Matmul, HeadLinear) {
  for (const Types& types : kTypes) {
    std::string text;
    for (auto [n, k] : kSizes) {
      const std::string size = Str(n) + "_" + Str(k);
      const std::string x = Tensor({-1, 3, k}, types.x);
      const std::string w = Tensor({3, n, k}, types.w);
      text +=
          Param("w" + size, w, "[" + Str(3 * n) + ", " + Str(k) + "]", false);
      text += Entry("heads" + size, "%x: " + x, Tensor({-1, 3, n}, types.x),
                    "%w = nn.param_get @w" + size + " : " + w +
                        "\n%y = nn.head_linear %x, %w : " + x + ", " + w);
    }
    Program program(text);
    Random random(2);
    for (auto [n, k] : kSizes) {
      const std::string size = Str(n) + "_" + Str(k);
      const Array w = RandomArray(random, types.w, 3 * n * k);
      program.SetParam("w" + size, w);
      for (int64_t rows : kRows) {
        const Array x = RandomArray(random, types.x, rows * 3 * k);
        Array y(types.x, rows * 3 * n);
        program.Run("heads" + size, {.tokens = rows}, {&x}, {&y});
        std::vector<float> want(rows * 3 * n);
        reference::HeadLinear(x.Floats().data(), w.Floats().data(), rows, 3, n,
                              k, types.Order(), want.data());
        ExpectProduct(types.Name() + " " + size + " rows " + Str(rows), y,
                      want);
      }
    }
  }
}

struct Experts {
  int64_t experts, top_k, n, k;
  std::string Name() const {
    return Str(experts) + "_" + Str(top_k) + "_" + Str(n) + "_" + Str(k);
  }
};
const Experts kExperts[] = {
    {1, 1, 33, 31}, {8, 2, 64, 32}, {17, 3, 16, 65}, {64, 6, 5, 3}};

// Choices from even to all tokens at the same experts, with experts that nobody
// chooses, tokens without a choice, and nothing at all.
std::vector<int32_t> Choices(Random& random, const std::string& kind,
                             int64_t tokens, const Experts& e) {
  std::vector<int32_t> idx(tokens * e.top_k);
  for (int64_t i = 0; i < tokens * e.top_k; ++i) {
    const int64_t token = i / e.top_k, choice = i % e.top_k;
    int64_t expert = (token * e.top_k + choice) % e.experts;
    if (kind == "random")
      expert = (random.Int(0, e.experts - 1) / e.top_k * e.top_k + choice) %
               e.experts;
    if (kind == "skew") expert = choice;
    if (kind == "one token") expert = token ? e.experts : choice;
    if (kind == "gaps" && random.Int(0, 2) == 0) expert = e.experts;
    if (kind == "none") expert = e.experts;
    idx[i] = static_cast<int32_t>(expert);
  }
  return idx;
}

TEST(Matmul, Grouped) {
  for (const Types& types : kTypes) {
    std::string text;
    for (const Experts& e : kExperts) {
      const std::string x = Tensor({-1, e.k}, types.x);
      const std::string y = Tensor({-1, e.n}, types.x);
      const std::string w = Tensor({e.experts, e.n, e.k}, types.w);
      const std::string b = Tensor({e.experts, e.n}, types.w);
      const std::string idx = Tensor({-1, e.top_k}, DType::kI32);
      const std::string plan =
          "!moe.plan<" + Str(e.experts) + ", " + Str(e.top_k) + ">";
      text += Param("w" + e.Name(), w, "[" + Str(e.n) + ", " + Str(e.k) + "]",
                    true);
      text += "func.func @" + ("grouped" + e.Name()) + "(%x: " + x +
              ", %i: " + idx + ", %b: " + b + ") -> (" + y + ", " + y +
              ") attributes {nn.entry = \"grouped" + e.Name() +
              "\"} {\n%w = nn.param_get @w" + e.Name() + " : " + w +
              "\n%p = moe.make_plan %i experts(" + Str(e.experts) +
              ") : " + idx + "\n%r = moe.dispatch %x, %p : " + x + ", " + plan +
              "\n%y = moe.grouped_matmul %r, %p, %w bias(%b : " + b +
              ") : " + x + ", " + plan + ", " + w +
              "\n%z = moe.grouped_matmul gather %x, %p, %w : " + x + ", " +
              plan + ", " + w + "\nreturn %y, %z : " + y + ", " + y + "\n}\n";
    }
    Program program(text);
    Random random(3);
    for (const Experts& e : kExperts) {
      const Array w = RandomArray(random, types.w, e.experts * e.n * e.k);
      const Array b = RandomArray(random, types.w, e.experts * e.n);
      program.SetParam("w" + e.Name(), w);
      for (const char* kind :
           {"even", "random", "skew", "one token", "gaps", "none"})
        for (int64_t tokens : {0, 1, 7, 50}) {
          const std::vector<int32_t> idx = Choices(random, kind, tokens, e);
          const Array x = RandomArray(random, types.x, tokens * e.k), i(idx);
          Array y(types.x, tokens * e.top_k * e.n), z = y;
          program.Run("grouped" + e.Name(), {.tokens = tokens}, {&x, &i, &b},
                      {&y, &z});
          const auto plan =
              reference::MakePlan(idx.data(), tokens, e.experts, e.top_k);
          std::vector<int32_t> source(plan.rows());
          reference::PlanTokens(plan, source.data());
          std::vector<float> want(plan.rows() * e.n);
          const std::string what = types.Name() + " " + e.Name() + " " + kind +
                                   " tokens " + Str(tokens);
          reference::GroupedMatmul(x.Floats().data(), source.data(),
                                   plan.offsets.data(), w.Floats().data(),
                                   b.Floats().data(), e.experts, e.n, e.k,
                                   types.Order(), want.data());
          ExpectProduct(what + " with bias", y, want);
          reference::GroupedMatmul<float>(x.Floats().data(), source.data(),
                                          plan.offsets.data(),
                                          w.Floats().data(), nullptr, e.experts,
                                          e.n, e.k, types.Order(), want.data());
          ExpectProduct(what + " gathered", z, want);
        }
    }
  }
}

// Weights that are packed at the product: arguments, and parameters that lie in
// rows because the program trains.
TEST(Matmul, WeightsInRows) {
  const Types kinds[] = {{DType::kF32, DType::kF32},
                         {DType::kF32, DType::kBF16},
                         {DType::kF32, DType::kF16},
                         {DType::kBF16, DType::kBF16},
                         {DType::kBF16, DType::kF32}};
  // Columns around panels; summands around blocks of 16, pairs and halves of 32.
  const std::pair<int64_t, int64_t> sizes[] = {
      {33, 31}, {32, 48}, {70, 65}, {100, 34}, {16, 63}};
  for (const Types& types : kinds) {
    std::string text;
    for (auto [n, k] : sizes) {
      const std::string size = Str(n) + "_" + Str(k),
                        x = Tensor({-1, 3, k}, types.x),
                        y = Tensor({-1, 3, n}, types.x),
                        w = Tensor({3, n, k}, types.w);
      text +=
          Param("w" + size, w, "[" + Str(3 * n) + ", " + Str(k) + "]", false);
      std::string entry =
          EntryOf("rows" + size, "%x: " + x + ", %v: " + w,
                  "(" + y + ", " + y + ")", "%y, %z",
                  "%w = nn.param_get @w" + size + " : " + w +
                      "\n%y = nn.head_linear %x, %w : " + x + ", " + w +
                      "\n%z = nn.head_linear %x, %v : " + x + ", " + w);
      const std::string mark = "attributes {";
      entry.insert(entry.find(mark) + mark.size(),
                   "nn.gradient_of = @rows" + size + ", ");
      text += entry;
    }
    Program program(text);
    Random random(5);
    for (auto [n, k] : sizes) {
      const std::string size = Str(n) + "_" + Str(k);
      const Array w = RandomArray(random, types.w, 3 * n * k);
      program.SetParam("w" + size, w);
      std::vector<float> weights = w.Floats();
      if (types.x == DType::kBF16)
        reference::RoundAll(weights.data(), weights.size(),
                            reference::Rounding::kBf16);
      for (int64_t rows : kRows) {
        const Array x = RandomArray(random, types.x, rows * 3 * k);
        Array y(types.x, rows * 3 * n), z = y;
        program.Run("rows" + size, {.tokens = rows}, {&x, &w}, {&y, &z});
        std::vector<float> want(rows * 3 * n);
        reference::HeadLinear(x.Floats().data(), weights.data(), rows, 3, n, k,
                              types.Order(), want.data());
        const std::string what =
            types.Name() + " " + size + " rows " + Str(rows);
        ExpectProduct(what + " parameter", y, want);
        ExpectProduct(what + " argument", z, want);
      }
    }
  }
}

}  // namespace
}  // namespace moe::kernels
