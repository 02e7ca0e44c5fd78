// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "test/kernels/compare.h"

namespace moe::kernels {
namespace {

struct Shape {
  int64_t heads, kv_heads, key_dims, value_dims, window;
  bool latent, tiled = false, sinks = false;
  double cap = 0;

  std::string Name() const {
    return "h" + Str(heads) + "_" + Str(kv_heads) + "_" + Str(key_dims) + "_" +
           Str(value_dims) + "_" + Str(window) + (latent ? "_latent" : "") +
           (tiled ? "_tiled" : "") + (sinks ? "_sinks" : "") +
           (cap > 0 ? "_cap" : "");
  }
  int64_t KeyWidth() const { return kv_heads * key_dims; }
  int64_t ValueWidth() const { return latent ? 0 : kv_heads * value_dims; }
};

const Shape kShapes[] = {
    {4, 2, 16, 16, 0, false},
    {2, 1, 33, 17, 0, false},
    {3, 3, 5, 1, 0, false},
    {2, 1, 128, 144, 0, false},
    {2, 2, 16, 16, 1, false},
    {2, 1, 16, 33, 64, false},
    {4, 2, 20, 16, 100, false},
    {3, 1, 36, 20, 0, true},
    {2, 1, 300, 272, 70, true},
    {6, 3, 16, 20, 0, false, true},
    {4, 2, 16, 16, 0, false, false, true},
    {4, 2, 20, 16, 70, false, true, true},
    {2, 1, 16, 16, 0, false, false, false, 1.5},
    {2, 1, 33, 17, 70, false, false, false, 3},
    {2, 1, 36, 20, 0, true, false, true, 2},
    {4, 2, 20, 16, 30, false, true, true, 1},
};

std::string Attend(const Shape& s, DType dtype, bool cached) {
  const std::string q = Tensor({-1, s.heads, s.key_dims}, dtype);
  const std::string k = Tensor({-1, s.kv_heads, s.key_dims}, dtype);
  const std::string v = Tensor({-1, s.kv_heads, s.value_dims}, dtype);
  const std::string out = Tensor({-1, s.heads, s.value_dims}, dtype);
  const std::string cache = "!nn.cache<" + Str(s.KeyWidth() + s.ValueWidth()) +
                            " x " + Name(dtype) + ">";
  std::string arguments = "%q: " + q + ", %k: " + k + ", ";
  if (!s.latent) arguments += "%v: " + v + ", ";
  const std::string sinks = Tensor({s.heads}, DType::kF32);
  if (s.sinks) arguments += "%w: " + sinks + ", ";
  arguments +=
      "%p: tensor<?xi32>, %s: tensor<?xi32> {nn.name = \"cu_seqlens\"}";
  if (cached)
    arguments +=
        ", %o: tensor<?xi32> {nn.name = \"slot\"}, %t: tensor<?x?xi32> "
        "{nn.name = \"block_table\"}, %c: " +
        cache;
  std::string body;
  if (cached) body += "%i = arith.constant 1 : index\n";
  body += "%y = nn.attend %q, %k";
  if (!s.latent) body += ", %v";
  body += " positions(%p) seqs(%s)";
  if (cached) body += " cache(%c[%i], %o, %t)";
  if (s.sinks) body += " sinks(%w : " + sinks + ")";
  body += " {scale = 0.3 : f64, window = " + Str(s.window) + " : i64";
  if (s.latent) body += ", value_dims = " + Str(s.value_dims) + " : i64";
  if (s.tiled) body += ", tiled";
  if (s.cap > 0) body += ", cap = " + std::to_string(s.cap) + " : f64";
  body += "} : " + q + ", " + k;
  if (!s.latent) body += ", " + v;
  body += " seqs tensor<?xi32>, tensor<?xi32>";
  if (cached) body += " cache " + cache + ", tensor<?xi32>, tensor<?x?xi32>";
  body += " -> " + out;
  return Entry((cached ? "cached_" : "pack_") + s.Name(), arguments, out, body);
}

const Program& Kernels(DType dtype) {
  static const auto make = [](DType type) {
    std::string text;
    for (const Shape& s : kShapes)
      for (bool cached : {false, true}) text += Attend(s, type, cached);
    return Program(text);
  };
  static const Program f32 = make(DType::kF32);
  static const Program bf16 = make(DType::kBF16);
  return dtype == DType::kF32 ? f32 : bf16;
}

// Operands of sequences with |lengths| tokens in the pack, the first of each at
// position starts[b].
struct Pack {
  Pack(const Shape& s, DType dtype, const std::vector<int32_t>& lengths,
       const std::vector<int32_t>& starts, Random& random)
      : q(dtype, 0), k(dtype, 0), v(dtype, 0), w(DType::kF32, 0) {
    for (size_t b = 0; b < lengths.size(); ++b) {
      ends.push_back(ends.back() + lengths[b]);
      for (int32_t i = 0; i < lengths[b]; ++i)
        positions.push_back(starts[b] + i);
    }
    tokens = ends.back();
    shape.tokens = tokens;
    shape.sequences = static_cast<int64_t>(lengths.size());
    longest = *std::max_element(lengths.begin(), lengths.end());
    shape.heads = s.heads;
    shape.kv_heads = s.kv_heads;
    shape.tiled = s.tiled;
    shape.key_dims = s.key_dims;
    shape.value_dims = s.value_dims;
    shape.window = s.window;
    shape.scale = 0.3;
    shape.cap = s.cap;
    q = RandomArray(random, dtype, tokens * s.heads * s.key_dims, 2);
    k = RandomArray(random, dtype, tokens * s.KeyWidth(), 2);
    v = RandomArray(random, dtype, tokens * s.ValueWidth());
    if (s.sinks) w = RandomArray(random, DType::kF32, s.heads, 3);
    sinks = w.Floats();
  }
  const float* Sinks() const { return sinks.empty() ? nullptr : sinks.data(); }

  std::vector<int32_t> ends = {0}, positions;
  int64_t tokens = 0, longest = 0;
  reference::AttendShape shape;
  Array q, k, v, w;
  std::vector<float> sinks;
};

std::vector<int32_t> Zeros(size_t n) { return std::vector<int32_t>(n, 0); }

TEST(Attention, OverThePack) {
  Random random(1);
  const std::vector<std::vector<int32_t>> packs = {
      {0}, {1}, {3, 0, 9}, {64}, {65, 2}, {130, 1, 64, 63}};
  for (DType dtype : kComputeTypes)
    for (const Shape& s : kShapes)
      for (const auto& lengths : packs) {
        const Pack pack(s, dtype, lengths, Zeros(lengths.size()), random);
        Array out(dtype, pack.tokens * s.heads * s.value_dims);
        const Array p(pack.positions), ends(pack.ends);
        std::vector<const Array*> inputs{&pack.q, &pack.k};
        if (!s.latent) inputs.push_back(&pack.v);
        if (s.sinks) inputs.push_back(&pack.w);
        inputs.insert(inputs.end(), {&p, &ends});
        Kernels(dtype).Run("pack_" + s.Name(),
                           {.tokens = pack.tokens,
                            .sequences = pack.shape.sequences,
                            .longest = pack.longest},
                           inputs, {&out});
        std::vector<float> want(out.size());
        const std::vector<float> v = pack.v.Floats();
        reference::Attend<float>(pack.shape, pack.q.Floats().data(),
                                 pack.k.Floats().data(),
                                 s.latent ? nullptr : v.data(),
                                 pack.ends.data(), want.data(), pack.Sinks());
        ExpectClose(s.Name() + " " + Str(pack.tokens), out, want, 64);
      }
}

// A cache of two layers whose pages lie in random order.
struct Paged {
  Paged(const Pack& pack, const Shape& s, DType dtype, int64_t page_length,
        const std::vector<float>& history, Random& random)
      : cache(dtype, 0) {
    const int64_t sequences = pack.shape.sequences, slots = sequences + 2;
    const int64_t longest =
        1 + *std::max_element(pack.positions.begin(), pack.positions.end());
    layout.page_length = page_length;
    layout.pages_per_sequence = (longest + page_length - 1) / page_length;
    layout.width = s.KeyWidth() + s.ValueWidth();
    pages = slots * layout.pages_per_sequence;
    table.resize(pages);
    std::iota(table.begin(), table.end(), 0);
    for (int64_t i = pages - 1; i > 0; --i)
      std::swap(table[i], table[random.Int(0, i)]);
    for (int64_t b = 0; b < sequences; ++b)
      slot.push_back(static_cast<int32_t>((b * 2 + 1) % slots));
    std::sort(slot.begin(), slot.end(), std::greater<>());
    // Records of sequence b, position j are the same for every page length.
    layer_size = pages * page_length * layout.width;
    std::vector<float> values(2 * layer_size, NAN);
    for (int64_t b = 0; b < sequences; ++b)
      for (int64_t j = 0; j < longest; ++j) {
        const int64_t page =
            table[slot[b] * layout.pages_per_sequence + j / page_length];
        for (int64_t i = 0; i < layout.width; ++i)
          values[layer_size +
                 (page * page_length + j % page_length) * layout.width + i] =
              history[((b * longest + j) * layout.width + i) % history.size()];
      }
    cache = Array(dtype, values);
  }

  reference::PagedLayout layout;
  std::vector<int32_t> table, slot;
  int64_t pages = 0, layer_size = 0;
  Array cache;
};

TEST(Attention, OverPagesOfAnyLength) {
  Random random(2);
  const std::vector<float> history = random.Values<float>(100003);
  const std::pair<std::vector<int32_t>, std::vector<int32_t>> packs[] = {
      {{1}, {0}},
      {{1, 1, 1}, {0, 63, 200}},
      {{5, 1, 70}, {60, 128, 10}},
      {{40}, {100}}};
  for (DType dtype : kComputeTypes)
    for (const Shape& s : kShapes)
      for (const auto& [lengths, starts] : packs) {
        const Pack pack(s, dtype, lengths, starts, random);
        const Array p(pack.positions), ends(pack.ends);
        std::vector<uint8_t> first;
        for (int64_t page_length : {1, 5, 16, 64, 100}) {
          Paged paged(pack, s, dtype, page_length, history, random);
          Array out(dtype, pack.tokens * s.heads * s.value_dims);
          const Array slot(paged.slot), table(paged.table);
          std::vector<float> cache = paged.cache.Floats();
          std::vector<const Array*> inputs{&pack.q, &pack.k};
          if (!s.latent) inputs.push_back(&pack.v);
          if (s.sinks) inputs.push_back(&pack.w);
          inputs.insert(inputs.end(), {&p, &ends, &slot, &table});
          Kernels(dtype).Run(
              "cached_" + s.Name(),
              {.tokens = pack.tokens,
               .sequences = pack.shape.sequences,
               .longest = pack.longest,
               .page_length = page_length,
               .pages_per_sequence = paged.layout.pages_per_sequence,
               .pages = paged.pages},
              inputs, {&out}, &paged.cache);
          std::vector<float> want(out.size());
          const std::vector<float> v = pack.v.Floats();
          reference::AttendPaged<float>(
              pack.shape, paged.layout, pack.q.Floats().data(),
              pack.k.Floats().data(), s.latent ? nullptr : v.data(),
              pack.positions.data(), pack.ends.data(), paged.slot.data(),
              paged.table.data(), cache.data() + paged.layer_size, want.data(),
              pack.Sinks());
          const std::string what = s.Name() + " pages of " + Str(page_length);
          ExpectClose(what, out, want, 64);
          ExpectSame(what + " cache", paged.cache, cache);
          if (first.empty()) first = out.bytes;
          EXPECT_TRUE(out.bytes == first) << what << " differs";
        }
      }
}

// Sixteen tokens of a sequence that take keys in together, and each alone.
TEST(Attention, TogetherAndAloneGiveTheSameBits) {
  Random random(4);
  for (DType dtype : kComputeTypes)
    for (const Shape& s : kShapes) {
      const Pack pack(s, dtype, {80, 5, 190}, {0, 0, 0}, random);
      const Array p(pack.positions), ends(pack.ends);
      std::vector<const Array*> inputs{&pack.q, &pack.k};
      if (!s.latent) inputs.push_back(&pack.v);
      if (s.sinks) inputs.push_back(&pack.w);
      inputs.insert(inputs.end(), {&p, &ends});
      Array a(dtype, pack.tokens * s.heads * s.value_dims), b = a;
      Dims dims{.tokens = pack.tokens, .sequences = 3, .longest = 1};
      Kernels(dtype).Run("pack_" + s.Name(), dims, inputs, {&a});
      dims.longest = pack.longest;
      Kernels(dtype).Run("pack_" + s.Name(), dims, inputs, {&b});
      EXPECT_TRUE(a.bytes == b.bytes) << s.Name();
    }
}

TEST(Attention, PackAndCacheGiveTheSameBits) {
  Random random(3);
  for (const Shape& s : kShapes) {
    const Pack pack(s, DType::kF32, {70, 3}, {0, 0}, random);
    Paged paged(pack, s, DType::kF32, 16, {0.0f}, random);
    const Array p(pack.positions), ends(pack.ends), slot(paged.slot),
        table(paged.table);
    Array a(DType::kF32, pack.tokens * s.heads * s.value_dims), b = a;
    std::vector<const Array*> inputs{&pack.q, &pack.k};
    if (!s.latent) inputs.push_back(&pack.v);
    if (s.sinks) inputs.push_back(&pack.w);
    inputs.insert(inputs.end(), {&p, &ends});
    Dims dims{.tokens = pack.tokens, .sequences = 2, .longest = pack.longest};
    Kernels(DType::kF32).Run("pack_" + s.Name(), dims, inputs, {&a});
    inputs.insert(inputs.end(), {&slot, &table});
    dims.page_length = 16;
    dims.pages_per_sequence = paged.layout.pages_per_sequence;
    dims.pages = paged.pages;
    Kernels(DType::kF32)
        .Run("cached_" + s.Name(), dims, inputs, {&b}, &paged.cache);
    EXPECT_TRUE(a.bytes == b.bytes) << s.Name();
  }
}

}  // namespace
}  // namespace moe::kernels
