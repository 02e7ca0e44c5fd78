// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/sequences.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "lib/reference/mixture.h"
#include "lib/reference/vjp.h"
#include "test/kernels/compare.h"

namespace moe::kernels {
namespace {

using reference::ReduceKind;

constexpr int64_t kSequences = 4;
const std::string kSeqs = "tensor<?xi32>";
const std::string kBounds = kSeqs + " {nn.name = \"cu_seqlens\"}";

// Boundaries of sequences over |tokens|, some of them empty.
std::vector<int32_t> Boundaries(Random& random, int64_t tokens) {
  std::vector<int32_t> cu(kSequences + 1);
  for (int64_t b = 1; b < kSequences; ++b)
    cu[b] = static_cast<int32_t>(random.Int(0, tokens));
  cu[kSequences] = static_cast<int32_t>(tokens);
  std::sort(cu.begin(), cu.end());
  return cu;
}

TEST(Sequences, ReduceSoftmaxAndBroadcast) {
  const std::pair<const char*, ReduceKind> kinds[] = {
      {"sum", ReduceKind::kSum},
      {"mean", ReduceKind::kMean},
      {"max", ReduceKind::kMax},
      {"min", ReduceKind::kMin}};
  std::string text;
  for (int64_t width : kWidths) {
    const std::string x = Tensor({-1, width}, DType::kF32);
    for (auto [kind, unused] : kinds)
      text += Entry(kind + Str(width), "%x: " + x + ", %c: " + kBounds, x,
                    "%y = nn.segment_reduce " + std::string(kind) +
                        " %x seqs(%c) : " + x + ", " + kSeqs);
    text += Entry("softmax" + Str(width), "%x: " + x + ", %c: " + kBounds, x,
                  "%y = nn.segment_softmax %x seqs(%c) : " + x + ", " + kSeqs);
    // There and back: the mean of its sequence for each token.
    text +=
        Entry("means" + Str(width), "%x: " + x + ", %c: " + kBounds, x,
              "%m = nn.segment_reduce mean %x seqs(%c) : " + x + ", " + kSeqs +
                  "\n%y = nn.segment_broadcast %m like %x seqs(%c) : " + x +
                  ", " + x + ", " + kSeqs);
  }
  const Program program(text);
  Random random(1);
  for (int64_t width : kWidths)
    for (int64_t tokens : kTokens) {
      const auto values = random.Values<float>(tokens * width);
      const auto cu = Boundaries(random, tokens);
      const Array x(DType::kF32, values), c(cu);
      const Dims dims{.tokens = tokens, .sequences = kSequences};
      for (auto [kind, which] : kinds) {
        Array y(DType::kF32, kSequences * width);
        program.Run(kind + Str(width), dims, {&x, &c}, {&y});
        std::vector<float> want(kSequences * width);
        reference::SegmentReduce<float>(which, values.data(), cu.data(),
                                        kSequences, width, want.data());
        ExpectClose(kind + Str(width), y, want, tokens);
      }
      Array y(DType::kF32, tokens * width), means(DType::kF32, tokens * width);
      program.Run("softmax" + Str(width), dims, {&x, &c}, {&y});
      std::vector<float> want(tokens * width);
      reference::SegmentSoftmax<float>(values.data(), cu.data(), kSequences,
                                       tokens, width, want.data());
      ExpectClose("softmax" + Str(width), y, want, tokens);
      program.Run("means" + Str(width), dims, {&x, &c}, {&means});
      std::vector<float> mean(kSequences * width);
      reference::SegmentReduce<float>(ReduceKind::kMean, values.data(),
                                      cu.data(), kSequences, width,
                                      mean.data());
      reference::SegmentBroadcast<float>(mean.data(), cu.data(), kSequences,
                                         tokens, width, want.data());
      ExpectClose("means" + Str(width), means, want, tokens);
    }
}

TEST(Sequences, Mixtures) {
  constexpr int64_t kSlots = 6;
  std::string text;
  for (int64_t width : kWidths) {
    const std::string a = Tensor({-1, kSlots}, DType::kF32);
    const std::string x = Tensor({-1, width}, DType::kF32);
    const std::string s = Tensor({-1, kSlots, width}, DType::kF32);
    text += Entry(
        "mix" + Str(width), "%a: " + a + ", %x: " + x + ", %c: " + kBounds, s,
        "%y = moe.mix %a, %x seqs(%c) : " + a + ", " + x + ", " + kSeqs);
    text += Entry("unmix" + Str(width),
                  "%a: " + a + ", %x: " + x + ", %c: " + kBounds, x,
                  "%s = moe.mix %a, %x seqs(%c) : " + a + ", " + x + ", " +
                      kSeqs + "\n%y = moe.unmix %a, %s seqs(%c) : " + a + ", " +
                      s + ", " + kSeqs);
    text += Entry("dot" + Str(width),
                  "%a: " + a + ", %x: " + x + ", %c: " + kBounds, a,
                  "%s = moe.mix %a, %x seqs(%c) : " + a + ", " + x + ", " +
                      kSeqs + "\n%y = moe.mix_dot %x, %s seqs(%c) : " + x +
                      ", " + s + ", " + kSeqs);
  }
  const Program program(text);
  Random random(2);
  for (int64_t width : kWidths)
    for (int64_t tokens : kTokens) {
      const auto weights = random.Values<float>(tokens * kSlots),
                 values = random.Values<float>(tokens * width);
      const auto cu = Boundaries(random, tokens);
      const Array a(DType::kF32, weights), x(DType::kF32, values), c(cu);
      const Dims dims{.tokens = tokens, .sequences = kSequences};
      std::vector<float> slots(kSequences * kSlots * width);
      reference::Mix<float>(weights.data(), values.data(), cu.data(),
                            kSequences, kSlots, width, slots.data());
      Array s(DType::kF32, slots.size());
      program.Run("mix" + Str(width), dims, {&a, &x, &c}, {&s});
      ExpectClose("mix" + Str(width), s, slots, tokens);
      Array y(DType::kF32, tokens * width), dot(DType::kF32, tokens * kSlots);
      program.Run("unmix" + Str(width), dims, {&a, &x, &c}, {&y});
      std::vector<float> want(tokens * width), products(tokens * kSlots);
      reference::Unmix<float>(weights.data(), slots.data(), cu.data(),
                              kSequences, tokens, kSlots, width, want.data());
      ExpectClose("unmix" + Str(width), y, want, tokens * kSlots);
      program.Run("dot" + Str(width), dims, {&a, &x, &c}, {&dot});
      reference::MixDot<float>(values.data(), slots.data(), cu.data(),
                               kSequences, tokens, kSlots, width,
                               products.data());
      ExpectClose("dot" + Str(width), dot, products, tokens * width);
    }
}

TEST(Sequences, MergedParameters) {
  constexpr int64_t kExperts = 3, kOut = 35;
  std::string text;
  for (int64_t width : kWidths) {
    const std::string w = Tensor({-1, kExperts}, DType::kF32);
    const std::string p = Tensor({kExperts, kOut, width}, DType::kBF16);
    const std::string m = Tensor({-1, kOut, width}, DType::kF32);
    const std::string x = Tensor({-1, width}, DType::kF32);
    text += Entry("f" + Str(width),
                  "%w: " + w + " {nn.name = \"slot\"}, %p: " + p +
                      ", %x: " + x + ", %c: " + kBounds,
                  Tensor({-1, kOut}, DType::kF32),
                  "%m = moe.merge_params %w, %p : " + w + ", " + p +
                      "\n%y = nn.segment_linear %x, %m seqs(%c) : " + x + ", " +
                      m + ", " + kSeqs);
  }
  const Program program(text);
  Random random(3);
  for (int64_t width : kWidths)
    for (int64_t tokens : kTokens) {
      const auto weights = random.Values<float>(kSequences * kExperts),
                 values = random.Values<float>(tokens * width);
      const Array w(DType::kF32, weights), x(DType::kF32, values),
          p = RandomArray(random, DType::kBF16, kExperts * kOut * width);
      const auto cu = Boundaries(random, tokens);
      const Array c(cu);
      Array y(DType::kF32, tokens * kOut);
      program.Run("f" + Str(width), {.tokens = tokens, .sequences = kSequences},
                  {&w, &p, &x, &c}, {&y});
      std::vector<float> merged(kSequences * kOut * width), want(tokens * kOut);
      reference::MergeParams<float>(weights.data(), p.Floats().data(),
                                    kSequences, kExperts, kOut * width,
                                    merged.data());
      reference::SegmentLinear<float>(values.data(), merged.data(), cu.data(),
                                      kSequences, tokens, kOut, width,
                                      want.data());
      ExpectClose("f" + Str(width), y, want, width * kExperts);
    }
}

TEST(Sequences, GradientsOfMergedParameters) {
  constexpr int64_t kExperts = 3, kOut = 35;
  std::string text;
  for (int64_t width : kWidths) {
    const std::string w = Tensor({-1, kExperts}, DType::kF32);
    const std::string p = Tensor({kExperts, kOut, width}, DType::kBF16);
    const std::string dp = Tensor({kExperts, kOut, width}, DType::kF32);
    const std::string m = Tensor({-1, kOut, width}, DType::kF32);
    const std::string x = Tensor({-1, width}, DType::kF32);
    const std::string dy = Tensor({-1, kOut}, DType::kF32);
    // dm of the products is the dy of the merging.
    const std::string dm =
        "%dm = nn.segment_linear_dw %dy, %x seqs(%c) : " + dy + ", " + x +
        ", " + kSeqs + "\n";
    const std::string grad =
        dm + "%dw, %dp = moe.merge_params_grad %w, %p, %dm : " + w + ", " + p +
        ", " + m + "\n";
    const std::string arguments =
        "%w: " + w + " {nn.name = \"slot\"}, %p: " + p + ", %x: " + x +
        ", %dy: " + dy + ", %c: " + kBounds;
    text += Entry("dx" + Str(width), arguments, x,
                  "%m = moe.merge_params %w, %p : " + w + ", " + p +
                      "\n%y = nn.segment_linear_dx %dy, %m seqs(%c) : " + dy +
                      ", " + m + ", " + kSeqs);
    text += Entry("dw" + Str(width), arguments, w,
                  grad + "%y = arith.addf %dw, %dw : " + w);
    text += Entry("dp" + Str(width), arguments, dp,
                  grad + "%y = arith.addf %dp, %dp : " + dp);
  }
  const Program program(text);
  Random random(4);
  for (int64_t width : kWidths)
    for (int64_t tokens : kTokens) {
      const int64_t size = kOut * width;
      const auto weights = random.Values<float>(kSequences * kExperts),
                 values = random.Values<float>(tokens * width),
                 gradients = random.Values<float>(tokens * kOut);
      const Array w(DType::kF32, weights), x(DType::kF32, values),
          dy(DType::kF32, gradients),
          p = RandomArray(random, DType::kBF16, kExperts * size);
      const auto cu = Boundaries(random, tokens);
      const Array c(cu);
      const Dims dims{.tokens = tokens, .sequences = kSequences};
      std::vector<float> merged(kSequences * size), dx(tokens * width),
          dm(kSequences * size), dw(kSequences * kExperts), dp(kExperts * size);
      reference::MergeParams<float>(weights.data(), p.Floats().data(),
                                    kSequences, kExperts, size, merged.data());
      reference::SegmentLinearVjpX<float>(gradients.data(), merged.data(),
                                          cu.data(), kSequences, tokens, kOut,
                                          width, dx.data());
      reference::SegmentLinearVjpW<float>(gradients.data(), values.data(),
                                          cu.data(), kSequences, kOut, width,
                                          dm.data());
      reference::MergeParamsVjp<float>(weights.data(), p.Floats().data(),
                                       dm.data(), kSequences, kExperts, size,
                                       dw.data(), dp.data());
      for (auto [name, want, terms] :
           {std::tuple{"dx", &dx, kOut * kExperts},
            std::tuple{"dw", &dw, tokens * size},
            std::tuple{"dp", &dp, tokens * kSequences}}) {
        Array y(DType::kF32, want->size());
        program.Run(name + Str(width), dims, {&w, &p, &x, &dy, &c}, {&y});
        std::vector<float> expected = *want;
        if (want != &dx)
          for (float& v : expected) v += v;
        ExpectClose(name + Str(width), y, expected, terms);
      }
    }
}

TEST(Sequences, GradientOfATableOfDynamicRows) {
  constexpr int64_t kWidth = 37;
  const std::string x = Tensor({-1, kWidth}, DType::kF32);
  const Program program(Entry(
      "f", "%ids: tensor<?xi32>, %dy: " + x + ", %x: " + x + ", %c: " + kBounds,
      x,
      "%t = nn.segment_reduce sum %x seqs(%c) : " + x + ", " + kSeqs +
          "\n%y = nn.embedding_grad %ids, %dy like(%t : " + x +
          ") : tensor<?xi32>, " + x + " -> " + x));
  Random random(5);
  for (int64_t tokens : kTokens) {
    std::vector<int32_t> ids(tokens);
    for (int32_t& id : ids)
      id = static_cast<int32_t>(random.Int(0, kSequences - 1));
    const auto gradients = random.Values<float>(tokens * kWidth);
    const auto cu = Boundaries(random, tokens);
    const Array i(ids), dy(DType::kF32, gradients), c(cu);
    Array y(DType::kF32, kSequences * kWidth);
    program.Run("f", {.tokens = tokens, .sequences = kSequences},
                {&i, &dy, &dy, &c}, {&y});
    std::vector<float> want(kSequences * kWidth);
    reference::EmbeddingVjp<float>(ids.data(), gradients.data(), tokens,
                                   kSequences, kWidth, want.data());
    ExpectClose("embedding_grad", y, want, tokens);
  }
}

}  // namespace
}  // namespace moe::kernels
