// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <gtest/gtest.h>

#include <array>
#include <cfloat>
#include <limits>
#include <numeric>

#include "lib/reference/balance.h"
#include "lib/reference/capacity.h"
#include "lib/reference/random.h"
#include "lib/reference/routing.h"
#include "test/kernels/compare.h"

namespace moe::kernels {
namespace {

using reference::CapacityLimit;
using Round = CapacityLimit::Round;

struct Limit {
  const char* text;
  CapacityLimit limit;
};
const Limit kLimits[] = {
    {"<factor = 1.25>", {.factor = 1.25}},
    {"<factor = 0.5, round = floor, min = 4>",
     {.factor = 0.5, .round = Round::kFloor, .min = 4}},
    {"<factor = 2.5, round = nearest, multiple = 4>",
     {.factor = 2.5, .round = Round::kNearest, .multiple = 4}},
    {"<factor = 1.0, times = 1.5, extra = 1>",
     {.factor = 1.0, .times = 1.5, .extra = 1}},
};

// Scores with many equal ones and every special value.
std::vector<float> Scores(Random& random, int64_t n) {
  const float special[] = {0.0f,     -0.0f,     FLT_MIN / 2, -FLT_MIN / 2,
                           INFINITY, -INFINITY, NAN,         0.5f};
  std::vector<float> scores(n);
  for (float& s : scores)
    s = random.Int(0, 2) ? static_cast<float>(random.Int(-4, 4)) / 4
                         : special[random.Int(0, std::size(special) - 1)];
  return scores;
}

// Choices of which some are invalid and, with |skew|, most ask for expert 0.
std::vector<int32_t> Choices(Random& random, int64_t n, int64_t experts,
                             bool skew) {
  std::vector<int32_t> idx(n);
  for (int32_t& e : idx)
    e = static_cast<int32_t>(skew && random.Int(0, 9) ? 0
                             : random.Int(0, 7) ? random.Int(0, experts - 1)
                             : random.Int(0, 1) ? experts
                                                : -1);
  return idx;
}

// Boundaries of sequences over |tokens|, some of them empty.
std::vector<int32_t> Boundaries(Random& random, int64_t tokens,
                                int64_t sequences) {
  std::vector<int32_t> cu(sequences + 1);
  for (int64_t b = 1; b < sequences; ++b)
    cu[b] = static_cast<int32_t>(random.Int(0, tokens));
  cu[sequences] = static_cast<int32_t>(tokens);
  std::sort(cu.begin(), cu.end());
  return cu;
}

// What is not an expert is E.
std::vector<int32_t> Canonical(std::vector<int32_t> idx, int64_t experts) {
  for (int32_t& e : idx)
    if (e < 0 || e >= experts) e = static_cast<int32_t>(experts);
  return idx;
}

const std::string kSeqs = "tensor<?xi32>";

TEST(Choices, Capacity) {
  constexpr int64_t kExperts = 5, kK = 3;
  const std::string type = Tensor({-1, kK}, DType::kI32);
  const std::string scores = Tensor({-1, kK}, DType::kF32);
  std::string text;
  for (size_t i = 0; i < std::size(kLimits); ++i)
    for (bool major : {false, true})
      for (bool by_priority : {false, true})
        for (bool seqs : {false, true})
          text += Entry(
              "f" + Str(i) + Str(major) + Str(by_priority) + Str(seqs),
              "%i: " + type + ", %p: " + scores + ", %c: " + kSeqs +
                  " {nn.name = \"cu_seqlens\"}",
              type,
              "%y = moe.capacity %i experts(5) limit(" +
                  std::string(kLimits[i].text) + ")" +
                  (major ? " choice_major" : "") +
                  (by_priority ? " priority(%p : " + scores + ")" : "") +
                  (seqs ? " seqs(%c : " + kSeqs + ")" : "") + " : " + type);
  const Program program(text);
  Random random(1);
  int64_t dropped = 0;
  for (size_t i = 0; i < std::size(kLimits); ++i)
    for (bool major : {false, true})
      for (bool by_priority : {false, true})
        for (bool seqs : {false, true})
          for (int64_t tokens : {0, 1, 2, 37, 300})
            for (bool skew : {false, true}) {
              const auto idx = Choices(random, tokens * kK, kExperts, skew);
              const auto priority = Scores(random, tokens * kK);
              const auto cu = Boundaries(random, tokens, 4);
              const std::vector<int32_t> whole = {0,
                                                  static_cast<int32_t>(tokens)};
              const Array in(idx), p(DType::kF32, priority), c(cu);
              Array y(DType::kI32, tokens * kK);
              const std::string name =
                  "f" + Str(i) + Str(major) + Str(by_priority) + Str(seqs);
              program.Run(name, {.tokens = tokens, .sequences = 4},
                          {&in, &p, &c}, {&y});
              std::vector<int32_t> want(tokens * kK);
              reference::Capacity<float>(
                  idx.data(), by_priority ? priority.data() : nullptr,
                  seqs ? cu.data() : whole.data(), seqs ? 4 : 1, tokens,
                  kExperts, kK, kLimits[i].limit, major, want.data());
              EXPECT_EQ(y.Ints(), want) << name << " of " << tokens;
              const auto valid = Canonical(idx, kExperts);
              for (int64_t j = 0; j < tokens * kK; ++j)
                dropped += want[j] != valid[j];
            }
  EXPECT_GT(dropped, 1000);
}

TEST(Choices, NextChoice) {
  constexpr int64_t kExperts = 6, kK = 3;
  const std::string type = Tensor({-1, kK}, DType::kI32);
  std::string text;
  for (size_t i = 0; i < std::size(kLimits); ++i)
    text += Entry("f" + Str(i), "%i: " + type, Tensor({-1, 1}, DType::kI32),
                  "%y = moe.next_choice %i experts(6) limit(" +
                      std::string(kLimits[i].text) + ") : " + type);
  const Program program(text);
  Random random(2);
  for (size_t i = 0; i < std::size(kLimits); ++i)
    for (int64_t tokens : {0, 1, 2, 37, 300})
      for (bool skew : {false, true}) {
        const auto idx = Choices(random, tokens * kK, kExperts, skew);
        const Array in(idx);
        Array y(DType::kI32, tokens);
        program.Run("f" + Str(i), {.tokens = tokens}, {&in}, {&y});
        std::vector<int32_t> want(tokens);
        reference::NextChoice(idx.data(), tokens, kExperts, kK,
                              kLimits[i].limit, want.data());
        EXPECT_EQ(y.Ints(), want) << i << " of " << tokens;
      }
}

TEST(Choices, TokensOfExperts) {
  std::string text;
  for (int64_t experts : {1, 5, 16, 33})
    for (size_t i = 0; i < std::size(kLimits); ++i)
      for (bool seqs : {false, true}) {
        const std::string type = Tensor({-1, experts}, DType::kF32);
        text += Entry(
            "f" + Str(experts) + "_" + Str(i) + Str(seqs),
            "%s: " + type + ", %c: " + kSeqs + " {nn.name = \"cu_seqlens\"}",
            Tensor({-1, experts}, DType::kI32),
            "%y = moe.select_tokens %s limit(" + std::string(kLimits[i].text) +
                ")" + (seqs ? " seqs(%c : " + kSeqs + ")" : "") + " : " + type);
      }
  const Program program(text);
  Random random(3);
  for (int64_t experts : {1, 5, 16, 33})
    for (size_t i = 0; i < std::size(kLimits); ++i)
      for (bool seqs : {false, true})
        for (int64_t tokens : {0, 1, 2, 37, 300}) {
          const auto scores = Scores(random, tokens * experts);
          const auto cu = Boundaries(random, tokens, 4);
          const std::vector<int32_t> whole = {0, static_cast<int32_t>(tokens)};
          const Array s(DType::kF32, scores), c(cu);
          Array y(DType::kI32, tokens * experts);
          const std::string name =
              "f" + Str(experts) + "_" + Str(i) + Str(seqs);
          program.Run(name, {.tokens = tokens, .sequences = 4}, {&s, &c}, {&y});
          std::vector<int32_t> want(tokens * experts);
          reference::SelectTokens<float>(
              scores.data(), seqs ? cu.data() : whole.data(), seqs ? 4 : 1,
              tokens, experts, kLimits[i].limit, want.data());
          EXPECT_EQ(y.Ints(), want) << name << " of " << tokens;
        }
}

TEST(Choices, MaskAndThreshold) {
  constexpr int64_t kK = 3;
  std::string text;
  for (int64_t experts : {3, 16, 33}) {
    const std::string s = Tensor({-1, experts}, DType::kF32);
    const std::string idx = Tensor({-1, kK}, DType::kI32);
    text +=
        Entry("mask" + Str(experts), "%s: " + s + ", %i: " + idx, s,
              "%y = moe.mask_choices %s, %i fill(0xFFF0000000000000) : " + s +
                  ", " + idx);
    text += Entry("above" + Str(experts), "%s: " + s, idx,
                  "%y = moe.select %s top_k(3) above(0.25) : " + s);
  }
  const Program program(text);
  Random random(4);
  for (int64_t experts : {3, 16, 33})
    for (int64_t tokens : kTokens) {
      const auto scores = Scores(random, tokens * experts);
      const auto idx = Choices(random, tokens * kK, experts, false);
      const Array s(DType::kF32, scores), i(idx);
      Array masked(DType::kF32, tokens * experts);
      program.Run("mask" + Str(experts), {.tokens = tokens}, {&s, &i},
                  {&masked});
      std::vector<float> want = scores;
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t k = 0; k < kK; ++k)
          if (int32_t e = idx[t * kK + k]; e >= 0 && e < experts)
            want[t * experts + e] = -INFINITY;
      ExpectSame("mask" + Str(experts), masked, want);

      Array chosen(DType::kI32, tokens * kK);
      program.Run("above" + Str(experts), {.tokens = tokens}, {&s}, {&chosen});
      std::vector<int32_t> best(tokens * kK);
      reference::Select<float>(scores.data(), nullptr, tokens, experts, kK,
                               best.data());
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t k = 0; k < kK; ++k) {
          const float v = scores[t * experts + best[t * kK + k]];
          if (!(v > 0.25f) && !std::isnan(v))
            best[t * kK + k] = static_cast<int32_t>(experts);
        }
      EXPECT_EQ(chosen.Ints(), best) << experts;
    }
}

TEST(Choices, Assignment) {
  std::string text;
  for (int64_t experts : {1, 4, 16, 20}) {
    const std::string s = Tensor({-1, experts}, DType::kF32);
    for (const char* how : {"", "exact"})
      text += Entry("f" + Str(experts) + how, "%s: " + s,
                    Tensor({-1, 1}, DType::kI32),
                    "%y = moe.assign %s " + std::string(how) + " : " + s);
  }
  const Program program(text);
  Random random(5);
  // Any scores; coarse ones, of which many are equal; all equal; as far apart as
  // floats can be.
  enum { kAny, kCoarse, kEqual, kFar, kKinds };
  for (int64_t experts : {1, 4, 16, 20})
    for (int64_t run = 0; run < 4 * kKinds; ++run) {
      const int64_t kind = run % kKinds;
      const int64_t per = std::array{0, 1, 3, 8}[run / kKinds];
      const int64_t tokens = experts * per;
      auto scores = random.Values<float>(tokens * experts);
      for (float& x : scores) {
        if (kind == kCoarse) x = std::round(x * 3);
        if (kind == kEqual) x = -1e30f;
        if (kind == kFar) x = x * 3.4e38f;
      }
      if (tokens && kind == kAny) scores[0] = NAN;
      const Array s(DType::kF32, scores);
      Array y(DType::kI32, tokens);
      for (const bool exact : {false, true}) {
        program.Run("f" + Str(experts) + (exact ? "exact" : ""),
                    {.tokens = tokens}, {&s}, {&y});
        std::vector<int32_t> want(tokens);
        if (exact)
          reference::AssignExactly<float>(scores.data(), tokens, experts,
                                          want.data());
        else
          reference::Assign<float>(scores.data(), tokens, experts, want.data());
        EXPECT_EQ(y.Ints(), want) << experts << " experts, " << tokens;
        std::vector<int64_t> rows(experts);
        for (int32_t e : y.Ints()) ++rows[e];
        for (int64_t n : rows) EXPECT_EQ(n, per);
      }
    }
}

TEST(Choices, Sinkhorn) {
  std::string text;
  for (int64_t experts : {2, 16, 19})
    for (int64_t most : {3, 200}) {
      const std::string z = Tensor({-1, experts}, DType::kF32);
      text += Entry("f" + Str(experts) + "_" + Str(most), "%z: " + z, z,
                    "%y = moe.sinkhorn %z tolerance(1.0e-4) max_iterations(" +
                        Str(most) + ") : " + z);
    }
  const Program program(text);
  Random random(6);
  for (int64_t experts : {2, 16, 19})
    for (int64_t most : {3, 200})
      for (int64_t tokens : {1, 2, 64}) {
        const auto scores = random.Values<float>(tokens * experts);
        const Array z(DType::kF32, scores);
        Array y(DType::kF32, tokens * experts);
        const std::string name = "f" + Str(experts) + "_" + Str(most);
        program.Run(name, {.tokens = tokens}, {&z}, {&y});
        const std::vector<double> wide(scores.begin(), scores.end());
        std::vector<double> exact(tokens * experts);
        reference::Sinkhorn<double>(wide.data(), tokens, experts, 1e-4, most,
                                    exact.data());
        ExpectClose(name, y, {exact.begin(), exact.end()}, most * experts);
      }
}

TEST(Choices, RandomNumbers) {
  const std::pair<const char*, reference::Distribution> kinds[] = {
      {"uniform", reference::Distribution::kUniform},
      {"normal", reference::Distribution::kNormal},
      {"gumbel", reference::Distribution::kGumbel},
      {"exponential", reference::Distribution::kExponential}};
  std::string text;
  for (auto [kind, unused] : kinds)
    for (int64_t width : {1, 5, 64}) {
      const std::string like = Tensor({-1, width}, DType::kF32);
      text +=
          Entry(kind + Str(width), "%k: tensor<6xi32>, %l: " + like, like,
                "%y = moe.random " + std::string(kind) +
                    " stream(gumbel) key(%k) like %l : tensor<6xi32>, " + like);
    }
  const Program program(text);
  // The last first token makes elements cross 2^32.
  const int32_t keys[][6] = {{1, 2, 3, 4, 0, 0},
                             {-5, 77, 1000000, 9, 12, 0},
                             {0, 0, 0, 0, 0x0CCCCCC0, 0},
                             {7, 8, 9, 10, -2, 3}};
  for (const auto& ints : keys)
    for (auto [kind, distribution] : kinds)
      for (int64_t width : {1, 5, 64}) {
        const int64_t tokens = 41;
        const Array key(std::vector<int32_t>(ints, ints + 6)),
            like(DType::kF32, tokens * width);
        Array y(DType::kF32, tokens * width);
        program.Run(kind + Str(width), {.tokens = tokens}, {&key, &like}, {&y});
        std::vector<double> want(tokens * width);
        reference::RandomValues<double>(reference::RandomKey::FromInts(ints), 3,
                                        distribution, tokens, width,
                                        want.data());
        ExpectClose(kind + Str(width), y, {want.begin(), want.end()}, 1);
      }
}

// Experts take at most as many rows as the plan has room for; the combination
// of copies with weight 1 counts who took a token.
TEST(Choices, RoomForTheRowsOfExperts) {
  constexpr int64_t kExperts = 20, kWidth = 40;
  std::string text;
  for (size_t i = 0; i < std::size(kLimits); ++i)
    for (bool seqs : {false, true})
      text += "func.func @f" + Str(i) + Str(seqs) +
              "(%s: tensor<?x20xf32>, %x: tensor<?x40xf32>, %c: " + kSeqs +
              " {nn.name = \"cu_seqlens\"}) -> tensor<?x40xf32> attributes "
              "{nn.entry = \"f\"} {\n%i = moe.select_tokens %s limit(" +
              kLimits[i].text + ")" +
              (seqs ? " seqs(%c : " + kSeqs + ")" : "") +
              " : tensor<?x20xf32>\n"
              "%p = moe.make_plan %i experts(20) : tensor<?x20xi32>\n"
              "%r = moe.dispatch %x, %p : tensor<?x40xf32>, !moe.plan<20, 20>\n"
              "%w = nn.fill 1.0 like %s : tensor<?x20xf32> -> "
              "tensor<?x20xf32>\n"
              "%y = moe.combine %r, %p, %w : tensor<?x40xf32>, "
              "!moe.plan<20, 20>, tensor<?x20xf32>\n"
              "return %y : tensor<?x40xf32>\n}\n";
  const Program program(text);
  Random random(7);
  for (size_t i = 0; i < std::size(kLimits); ++i)
    for (bool seqs : {false, true})
      for (int64_t tokens : {0, 1, 3, 40, 300}) {
        const auto scores = Scores(random, tokens * kExperts);
        const auto cu = Boundaries(random, tokens, 7);
        const std::vector<int32_t> whole = {0, static_cast<int32_t>(tokens)};
        const Array s(DType::kF32, scores), c(cu),
            x(DType::kF32, std::vector<float>(tokens * kWidth, 1.0f));
        Array y(DType::kF32, tokens * kWidth);
        program.Run("f" + Str(i) + Str(seqs),
                    {.tokens = tokens, .sequences = 7}, {&s, &x, &c}, {&y});
        std::vector<int32_t> idx(tokens * kExperts);
        reference::SelectTokens<float>(
            scores.data(), seqs ? cu.data() : whole.data(), seqs ? 7 : 1,
            tokens, kExperts, kLimits[i].limit, idx.data());
        std::vector<float> want(tokens * kWidth);
        for (int64_t t = 0; t < tokens; ++t)
          for (int64_t e = 0; e < kExperts; ++e)
            for (int64_t j = 0; j < kWidth; ++j)
              want[t * kWidth + j] += idx[t * kExperts + e] == e;
        ExpectSame("f" + Str(i) + Str(seqs) + " of " + Str(tokens), y, want);
      }
}

}  // namespace
}  // namespace moe::kernels
