// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <gtest/gtest.h>

#include <algorithm>

#include "lib/reference/vjp.h"
#include "test/kernels/compare.h"

namespace moe::kernels {
namespace {

struct Shape {
  int64_t heads, kv_heads, key_dims, value_dims, window = 0;
  bool latent = false, tiled = false, sinks = false;
  double cap = 0;

  std::string Name() const {
    return "h" + Str(heads) + "_" + Str(kv_heads) + "_" + Str(key_dims) + "_" +
           Str(value_dims) + "_" + Str(window) + (latent ? "_latent" : "") +
           (tiled ? "_tiled" : "") + (sinks ? "_sinks" : "") +
           (cap > 0 ? "_cap" : "");
  }
  int64_t QueryWidth() const { return heads * key_dims; }
  int64_t OutWidth() const { return heads * value_dims; }
  int64_t KeyWidth() const { return kv_heads * key_dims; }
  int64_t ValueWidth() const { return latent ? 0 : kv_heads * value_dims; }
};

const Shape kShapes[] = {
    {2, 2, 16, 16},
    {17, 17, 5, 3},
    {4, 2, 33, 17},
    {32, 4, 4, 20},
    {3, 1, 64, 80},
    {2, 2, 16, 16, 1},
    {2, 1, 20, 33, 16},
    {4, 2, 20, 16, 50},
    {3, 1, 36, 20, 0, true},
    {20, 1, 40, 32, 30, true},
    {6, 3, 16, 20, 0, false, true},
    {4, 2, 16, 16, 0, false, false, true},
    {2, 1, 16, 40, 0, false, false, false, 1.5},
    {40, 4, 7, 16, 20, false, true, true, 1},
    {3, 1, 36, 20, 0, true, false, true, 2},
};

std::string AttendGrad(const Shape& s, DType dtype) {
  const std::string q = Tensor({-1, s.heads, s.key_dims}, dtype);
  const std::string k = Tensor({-1, s.kv_heads, s.key_dims}, dtype);
  const std::string v = Tensor({-1, s.kv_heads, s.value_dims}, dtype);
  const std::string dy = Tensor({-1, s.heads, s.value_dims}, dtype);
  const std::string sinks = Tensor({s.heads}, DType::kF32);
  std::string arguments = "%q: " + q + ", %k: " + k + ", ",
              types = q + ", " + k, results = types,
              body = "nn.attend_grad %q, %k", values;
  if (!s.latent) {
    arguments += "%v: " + v + ", ";
    body += ", %v";
    results += ", " + v;
    types += ", " + v;
  }
  arguments += "%g: " + dy + ", ";
  body += " seqs(%s) dy(%g)";
  if (s.sinks) {
    arguments += "%w: " + sinks + ", ";
    body += " sinks(%w : " + sinks + ")";
    results += ", " + sinks;
  }
  arguments += "%s: tensor<?xi32> {nn.name = \"cu_seqlens\"}";
  body += " {scale = 0.3 : f64, window = " + Str(s.window) + " : i64";
  if (s.latent) body += ", value_dims = " + Str(s.value_dims) + " : i64";
  if (s.tiled) body += ", tiled";
  if (s.cap > 0) body += ", cap = " + std::to_string(s.cap) + " : f64";
  body += "} : " + types + " seqs tensor<?xi32>, " + dy + " -> " + results;
  const int count = 3 - s.latent + s.sinks;
  for (int i = 0; i < count; ++i)
    values += (i ? ", %y#" : "%y#") + std::to_string(i);
  return EntryOf(s.Name(), arguments, "(" + results + ")", values,
                 "%y:" + Str(count) + " = " + body);
}

const Program& Kernels(DType dtype) {
  static const auto make = [](DType type) {
    std::string text;
    for (const Shape& s : kShapes) text += AttendGrad(s, type);
    return Program(text);
  };
  static const Program f32 = make(DType::kF32);
  static const Program bf16 = make(DType::kBF16);
  return dtype == DType::kF32 ? f32 : bf16;
}

// Operands of sequences with |lengths| tokens, and results.
struct Pack {
  Pack(const Shape& s, DType dtype, const std::vector<int32_t>& lengths,
       Random& random)
      : s(s),
        q(dtype, 0),
        k(dtype, 0),
        v(dtype, 0),
        dy(dtype, 0),
        sinks(DType::kF32, 0) {
    for (int32_t length : lengths) {
      ends.push_back(ends.back() + length);
      longest = std::max<int64_t>(longest, length);
    }
    tokens = ends.back();
    q = RandomArray(random, dtype, tokens * s.QueryWidth(), 2);
    k = RandomArray(random, dtype, tokens * s.KeyWidth(), 2);
    v = RandomArray(random, dtype, tokens * s.ValueWidth());
    dy = RandomArray(random, dtype, tokens * s.OutWidth());
    if (s.sinks) sinks = RandomArray(random, DType::kF32, s.heads, 3);
  }

  // dq, dk, then dv and dsinks where there are.
  std::vector<Array> Run(DType dtype) const {
    std::vector<Array> results = {Array(dtype, q.size()),
                                  Array(dtype, k.size())};
    if (!s.latent) results.emplace_back(dtype, v.size());
    if (s.sinks) results.emplace_back(DType::kF32, sinks.size());
    const Array seqs(ends);
    std::vector<const Array*> inputs = {&q, &k};
    if (!s.latent) inputs.push_back(&v);
    inputs.push_back(&dy);
    if (s.sinks) inputs.push_back(&sinks);
    inputs.push_back(&seqs);
    std::vector<Array*> outputs;
    for (Array& result : results) outputs.push_back(&result);
    Kernels(dtype).Run(s.Name(),
                       {.tokens = tokens,
                        .sequences = static_cast<int64_t>(ends.size()) - 1,
                        .longest = longest},
                       inputs, outputs);
    return results;
  }

  // The same results by the reference in f64.
  std::vector<std::vector<float>> Want() const {
    reference::AttendShape shape;
    shape.tokens = tokens;
    shape.sequences = static_cast<int64_t>(ends.size()) - 1;
    shape.heads = s.heads;
    shape.kv_heads = s.kv_heads;
    shape.tiled = s.tiled;
    shape.key_dims = s.key_dims;
    shape.value_dims = s.value_dims;
    shape.window = s.window;
    shape.scale = 0.3;
    shape.cap = s.cap;
    auto wide = [](const Array& x) {
      const std::vector<float> values = x.Floats();
      return std::vector<double>(values.begin(), values.end());
    };
    const std::vector<double> q64 = wide(q), k64 = wide(k), v64 = wide(v),
                              dy64 = wide(dy), sinks64 = wide(sinks);
    std::vector<double> dq(q.size()), dk(k.size()), dv(v.size()),
        dsinks(sinks.size());
    reference::AttendVjp<double>(
        shape, q64.data(), k64.data(), s.latent ? nullptr : v64.data(),
        ends.data(), dy64.data(), dq.data(), dk.data(), dv.data(),
        s.sinks ? sinks64.data() : nullptr, dsinks.data());
    std::vector<std::vector<float>> want;
    auto add = [&](const std::vector<double>& x) {
      want.emplace_back(x.begin(), x.end());
    };
    add(dq);
    add(dk);
    if (!s.latent) add(dv);
    if (s.sinks) add(dsinks);
    return want;
  }

  const Shape& s;
  std::vector<int32_t> ends = {0};
  int64_t tokens = 0, longest = 0;
  Array q, k, v, dy, sinks;
};

TEST(AttentionGrad, IsThatOfTheReference) {
  Random random(1);
  const std::vector<std::vector<int32_t>> packs = {
      {}, {0}, {1}, {16}, {17, 2}, {3, 0, 9}, {70, 1, 64, 31}, {150}};
  for (DType dtype : kComputeTypes)
    for (const Shape& s : kShapes)
      for (const auto& lengths : packs) {
        const Pack pack(s, dtype, lengths, random);
        const auto got = pack.Run(dtype);
        const auto want = pack.Want();
        ASSERT_EQ(got.size(), want.size());
        for (size_t i = 0; i < got.size(); ++i)
          ExpectClose(s.Name() + " tokens " + Str(pack.tokens) + " result " +
                          Str(static_cast<int64_t>(i)),
                      got[i], want[i], 64);
      }
}

// Gradients of a sequence do not depend on those around it.
TEST(AttentionGrad, OfASequenceAloneHasTheSameBits) {
  Random random(2);
  for (const Shape& s : kShapes) {
    const std::vector<int32_t> lengths = {5, 83, 40};
    const Pack pack(s, DType::kF32, lengths, random);
    const auto all = pack.Run(DType::kF32);
    Pack alone(s, DType::kF32, {lengths[1]}, random);
    auto middle = [&](const Array& x) {
      const size_t row = x.bytes.size() / pack.tokens;
      Array part(x.dtype, 0);
      part.bytes.assign(x.bytes.begin() + row * pack.ends[1],
                        x.bytes.begin() + row * pack.ends[2]);
      return part;
    };
    alone.q = middle(pack.q);
    alone.k = middle(pack.k);
    alone.v = middle(pack.v);
    alone.dy = middle(pack.dy);
    alone.sinks = pack.sinks;
    const auto one = alone.Run(DType::kF32);
    for (size_t i = 0; i < all.size() - s.sinks; ++i)
      EXPECT_TRUE(middle(all[i]).bytes == one[i].bytes) << s.Name() << " " << i;
  }
}

}  // namespace
}  // namespace moe::kernels
