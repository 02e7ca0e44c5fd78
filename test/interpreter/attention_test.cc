// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rotary positions and attention: packs, windows, the latent form, the cache.
#include <cmath>

#include "test/interpreter/program.h"

namespace mlir::moe {
namespace {

using testing::ElementsAre;
using testing::FloatEq;
using testing::HasSubstr;

TEST(Rope, TurnsPairsOfBothPairings) {
  Program p(R"(
  func.func @table(%p: tensor<?xi32>) -> tensor<?x4xf32> {
    %y = nn.rope_table %p scale(2.0) inv_freq([1.0, 0.5]) : tensor<?xi32>
    return %y : tensor<?x4xf32>
  }
  func.func @half(%x: tensor<?x1x5xf32>, %t: tensor<?x4xf32>) -> tensor<?x1x5xf32> {
    %y = nn.rope half %x, %t start(1) : tensor<?x1x5xf32>, tensor<?x4xf32>
    return %y : tensor<?x1x5xf32>
  }
  func.func @interleaved(%x: tensor<?x1x5xf32>, %t: tensor<?x4xf32>) -> tensor<?x1x5xf32> {
    %y = nn.rope interleaved %x, %t start(0) : tensor<?x1x5xf32>, tensor<?x4xf32>
    return %y : tensor<?x1x5xf32>
  })");
  EXPECT_THAT(
      p.Values("table", {I({2}, {0, 3})}),
      ElementsAre(2, 2, 0, 0, FloatEq(2 * std::cos(3.0f)),
                  FloatEq(2 * std::cos(1.5f)), FloatEq(2 * std::sin(3.0f)),
                  FloatEq(2 * std::sin(1.5f))));
  // cos (0, 1), sin (1, 0): the first pair turns by 90 degrees.
  auto x = F({1, 1, 5}, {1, 2, 3, 4, 5});
  auto table = F({1, 4}, {0, 1, 1, 0});
  EXPECT_THAT(p.Values("half", {x, table}), ElementsAre(1, -4, 3, 2, 5));
  EXPECT_THAT(p.Values("interleaved", {x, table}), ElementsAre(-2, 1, 3, 4, 5));
  EXPECT_THAT(p.Errors("half", {x, F({2, 4}, std::vector<float>(8))}),
              HasSubstr("expects 1 rows of the table, got 2"));
}

constexpr char kAttend[] = R"(
func.func @pack(%q: tensor<?x4x3xf32>, %k: tensor<?x2x3xf32>, %v: tensor<?x2x2xf32>, %p: tensor<?xi32>, %cu: tensor<?xi32>) -> tensor<?x4x2xf32> {
  %y = nn.attend %q, %k, %v positions(%p) seqs(%cu) {scale = 0.5 : f64} : tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x2xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x2xf32>
  return %y : tensor<?x4x2xf32>
}
func.func @window(%q: tensor<?x4x3xf32>, %k: tensor<?x2x3xf32>, %v: tensor<?x2x2xf32>, %p: tensor<?xi32>, %cu: tensor<?xi32>) -> tensor<?x4x2xf32> {
  %y = nn.attend %q, %k, %v positions(%p) seqs(%cu) {scale = 0.5 : f64, window = 1 : i64} : tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x2xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x2xf32>
  return %y : tensor<?x4x2xf32>
}
func.func @latent(%q: tensor<?x4x3xf32>, %k: tensor<?x1x3xf32>, %p: tensor<?xi32>, %cu: tensor<?xi32>) -> tensor<?x4x2xf32> {
  %y = nn.attend %q, %k positions(%p) seqs(%cu) {scale = 0.5 : f64, value_dims = 2 : i64} : tensor<?x4x3xf32>, tensor<?x1x3xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x2xf32>
  return %y : tensor<?x4x2xf32>
}
func.func @cached(%q: tensor<?x4x3xf32>, %k: tensor<?x2x3xf32>, %v: tensor<?x2x2xf32>, %p: tensor<?xi32>, %cu: tensor<?xi32>,
                  %slot: tensor<?xi32>, %table: tensor<?x?xi32>, %cache: !nn.cache<10 x f32>, %layer: index) -> tensor<?x4x2xf32> {
  %y = nn.attend %q, %k, %v positions(%p) seqs(%cu) cache(%cache[%layer], %slot, %table) {scale = 0.5 : f64} : tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x2xf32> seqs tensor<?xi32>, tensor<?xi32> cache !nn.cache<10 x f32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x2xf32>
  return %y : tensor<?x4x2xf32>
})";

// Attention by its definition, in double.
std::vector<double> Naive(const Tensor<double>& q, const Tensor<double>& k,
                          const Tensor<double>& v,
                          const std::vector<int64_t>& cu, int64_t window) {
  int64_t heads = q.dim(1), dk = q.dim(2), kv_heads = k.dim(1), dv = v.dim(2);
  std::vector<double> out;
  for (size_t b = 0; b + 1 < cu.size(); ++b)
    for (int64_t t = cu[b]; t < cu[b + 1]; ++t)
      for (int64_t h = 0; h < heads; ++h) {
        int64_t g = h / (heads / kv_heads);
        double sum = 0;
        std::vector<double> mixed(dv);
        for (int64_t j = cu[b]; j <= t; ++j) {
          if (window && t - j >= window) continue;
          double score = 0;
          for (int64_t i = 0; i < dk; ++i)
            score += q.values()[(t * heads + h) * dk + i] *
                     k.values()[(j * kv_heads + g) * dk + i];
          double p = std::exp(score * 0.5);
          sum += p;
          for (int64_t i = 0; i < dv; ++i)
            mixed[i] += p * v.values()[(j * kv_heads + g) * dv + i];
        }
        for (double m : mixed) out.push_back(m / sum);
      }
  return out;
}

TEST(Attend, IsSoftmaxOverTheSequenceSoFar) {
  Program p(kAttend);
  Random random(2);
  std::vector<int64_t> cu = {0, 1, 1, 6, 7};  // one sequence is empty
  auto q = random.Floats<double>({7, 4, 3}),
       k = random.Floats<double>({7, 2, 3}),
       v = random.Floats<double>({7, 2, 2});
  auto positions = I<double>({7}, {0, 0, 1, 2, 3, 4, 0}),
       starts = I<double>({5}, cu);
  for (auto [name, window] :
       {std::pair<const char*, int64_t>{"pack", 0}, {"window", 1}})
    EXPECT_THAT(p.Values<double>(name, {q, k, v, positions, starts}),
                testing::Pointwise(testing::DoubleNear(1e-14),
                                   Naive(q, k, v, cu, window)));
}

TEST(Attend, LatentValuesAreTheFirstPartOfTheKey) {
  Program p(kAttend);
  Random random(3);
  auto q = random.Floats<double>({3, 4, 3}),
       k = random.Floats<double>({3, 1, 3});
  std::vector<double> values;
  for (int64_t t = 0; t < 3; ++t)
    values.insert(values.end(), {k.values()[t * 3], k.values()[t * 3 + 1]});
  auto got = p.Values<double>(
      "latent", {q, k, I<double>({3}, {0, 1, 2}), I<double>({2}, {0, 3})});
  EXPECT_THAT(got,
              testing::Pointwise(testing::DoubleNear(1e-14),
                                 Naive(q, k, D({3, 1, 2}, values), {0, 3}, 0)));
}

// The tokens of two sequences in three calls, through pages of two records.
TEST(Attend, CachedInPartsEqualsThePackAtOnce) {
  Program p(kAttend);
  Random random(4);
  auto q = random.Floats<float>({8, 4, 3}), k = random.Floats<float>({8, 2, 3}),
       v = random.Floats<float>({8, 2, 2});
  auto whole = p.Values<float>(
      "pack", {q, k, v, I({8}, {0, 1, 2, 3, 4, 0, 1, 2}), I({3}, {0, 5, 8})});

  auto cache = std::make_shared<Cache<float>>(
      Element::F32, /*layers=*/2, /*pages=*/6, /*pageLength=*/2, /*width=*/10);
  auto table = I({3, 3}, {0, 0, 0, 5, 0, 3, 1, 4, 2});
  auto rows = [](const Tensor<float>& x, const std::vector<int64_t>& at) {
    llvm::SmallVector<Tensor<float>> parts;
    for (int64_t t : at) parts.push_back(x.rows(t, t + 1));
    return Tensor<float>::joined(parts);
  };
  std::vector<float> parts(whole.size());
  auto call = [&](std::vector<int64_t> at, std::vector<int64_t> positions,
                  std::vector<int64_t> cu, std::vector<int64_t> slots) {
    int64_t tokens = at.size(), starts = cu.size(), sequences = slots.size();
    auto y = p.Values<float>("cached", {rows(q, at), rows(k, at), rows(v, at),
                                        I({tokens}, positions), I({starts}, cu),
                                        I({sequences}, slots), table, cache,
                                        Tensor<float>::index(1)});
    for (int64_t i = 0; i < tokens; ++i)
      std::copy_n(y.begin() + i * 8, 8, parts.begin() + at[i] * 8);
  };
  call({0, 1, 2, 5}, {0, 1, 2, 0}, {0, 3, 4}, {1, 2});
  call({6, 3}, {1, 3}, {0, 1, 2}, {2, 1});
  call({4, 7}, {4, 2}, {0, 1, 2}, {1, 2});
  EXPECT_EQ(parts, whole);
  // Layer 0 was not touched.
  for (int64_t i = 0; i < 6 * 2 * 10; ++i) EXPECT_EQ(cache->data[i], 0);
}

TEST(Attend, RefusesWhatLiesOutside) {
  Program p(kAttend);
  auto zeros = [](std::vector<int64_t> shape) {
    int64_t size = 1;
    for (int64_t dim : shape) size *= dim;
    return F(shape, std::vector<float>(size));
  };
  auto errors = [&](int64_t position, int64_t slot, int64_t page, int64_t layer,
                    int64_t end) {
    auto cache = std::make_shared<Cache<float>>(Element::F32, 1, 2, 2, 10);
    return p.Errors<float>(
        "cached", {zeros({1, 4, 3}), zeros({1, 2, 3}), zeros({1, 2, 2}),
                   I({1}, {position}), I({2}, {0, end}), I({1}, {slot}),
                   I({1, 1}, {page}), cache, Tensor<float>::index(layer)});
  };
  EXPECT_THAT(
      errors(2, 0, 0, 0, 1),
      HasSubstr("expects positions within the pages of a sequence, got 2"));
  EXPECT_THAT(errors(0, 1, 0, 0, 1), HasSubstr("expects slots below 1, got 1"));
  EXPECT_THAT(errors(0, 0, 2, 0, 1), HasSubstr("expects pages below 2, got 2"));
  EXPECT_THAT(errors(0, 0, 0, 1, 1),
              HasSubstr("expects a layer of the cache, got 1"));
  EXPECT_THAT(errors(0, 0, 0, 0, 2),
              HasSubstr("sequence starts of at most 1, got 2"));
}

}  // namespace
}  // namespace mlir::moe
