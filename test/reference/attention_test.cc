// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "lib/reference/vjp.h"
#include "test/reference/finite_difference.h"
#include "test/reference/random.h"

namespace moe::reference {
namespace {

template <typename T>
class Attention : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Attention, Types);

// Sequence lengths of a pack, and a shape.
struct Case {
  std::vector<int32_t> lengths;
  int64_t heads, kv_heads, key_dims, value_dims, window;
  bool latent, tiled = false, sinks = false;
};
const Case kCases[] = {
    {{1}, 1, 1, 1, 1, 0, false},
    {{5, 1, 9}, 4, 2, 8, 8, 0, false},
    {{70, 3, 129}, 2, 1, 16, 24, 0, false},
    {{130, 64, 65}, 2, 2, 6, 6, 5, false},
    {{200}, 3, 1, 20, 20, 64, false},
    {{150, 1}, 2, 2, 33, 33, 1, false},
    {{9, 23, 80}, 4, 1, 22, 14, 0, true},
    {{66, 0, 2}, 2, 1, 40, 8, 7, true},
    {{70, 3}, 6, 3, 8, 8, 0, false, true},
    {{1, 70, 129}, 4, 2, 8, 10, 0, false, false, true},
    {{130, 2}, 4, 2, 6, 6, 5, false, true, true},
    {{9, 80}, 2, 1, 22, 14, 0, true, false, true},
};

template <typename T>
struct Pack {
  AttendShape shape;
  std::vector<int32_t> cu, positions;
  std::vector<T> q, k, v, sink;
  const T* values() const { return v.empty() ? nullptr : v.data(); }
  const T* sinks() const { return sink.empty() ? nullptr : sink.data(); }
};

template <typename T>
Pack<T> MakePack(const Case& c, Random& random) {
  Pack<T> p;
  p.cu.assign(1, 0);
  for (int32_t n : c.lengths) {
    for (int32_t i = 0; i < n; ++i) p.positions.push_back(i);
    p.cu.push_back(p.cu.back() + n);
  }
  p.shape = {.tokens = p.cu.back(),
             .sequences = static_cast<int64_t>(c.lengths.size()),
             .heads = c.heads,
             .tiled = c.tiled,
             .kv_heads = c.kv_heads,
             .key_dims = c.key_dims,
             .value_dims = c.value_dims,
             .scale = 2.5 / std::sqrt(double(c.key_dims)),
             .window = c.window};
  const int64_t tokens = p.shape.tokens;
  p.q = random.Values<T>(tokens * c.heads * c.key_dims);
  p.k = random.Values<T>(tokens * c.kv_heads * c.key_dims);
  if (!c.latent) p.v = random.Values<T>(tokens * c.kv_heads * c.value_dims);
  if (c.sinks) p.sink = random.Values<T>(c.heads);
  return p;
}

// A full matrix of scores and a softmax per row, in double.
template <typename T>
std::vector<double> Naive(const Pack<T>& p) {
  const AttendShape& s = p.shape;
  const int64_t tokens = s.tokens, share = s.heads / s.kv_heads;
  std::vector<double> out(tokens * s.heads * s.value_dims, 0.0);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t h = 0; h < s.heads; ++h) {
      std::vector<double> weight(tokens, 0.0);
      const int64_t key_head = s.tiled ? h % s.kv_heads : h / share;
      double total = p.sink.empty() ? 0 : std::exp(double(p.sink[h]));
      for (int64_t j = 0; j < tokens; ++j) {
        const bool same = std::upper_bound(p.cu.begin(), p.cu.end(), t) ==
                          std::upper_bound(p.cu.begin(), p.cu.end(), j);
        if (!same || j > t || (s.window > 0 && t - j >= s.window)) continue;
        double score = 0;
        for (int64_t i = 0; i < s.key_dims; ++i)
          score += double(p.q[(t * s.heads + h) * s.key_dims + i]) *
                   p.k[(j * s.kv_heads + key_head) * s.key_dims + i];
        total += weight[j] = std::exp(score * s.scale);
      }
      for (int64_t j = 0; j < tokens; ++j)
        for (int64_t i = 0; i < s.value_dims; ++i) {
          const int64_t kv = j * s.kv_heads + key_head;
          const double v = p.v.empty() ? p.k[kv * s.key_dims + i]
                                       : p.v[kv * s.value_dims + i];
          out[(t * s.heads + h) * s.value_dims + i] += weight[j] / total * v;
        }
    }
  return out;
}

template <typename T>
std::vector<T> Packed(const Pack<T>& p) {
  std::vector<T> out(p.shape.tokens * p.shape.heads * p.shape.value_dims);
  Attend(p.shape, p.q.data(), p.k.data(), p.values(), p.cu.data(), out.data(),
         p.sinks());
  return out;
}

TYPED_TEST(Attention, PackedEqualsSoftmax) {
  Random random(1);
  for (const Case& c : kCases) {
    const auto pack = MakePack<TypeParam>(c, random);
    Report("attend window " + std::to_string(c.window) + " tokens " +
               std::to_string(pack.shape.tokens),
           CompareOp(Packed(pack), Naive(pack), c.key_dims));
  }
}

// A sequence has the same bits alone as in a pack.
TYPED_TEST(Attention, BitsDoNotDependOnThePack) {
  using T = TypeParam;
  Random random(2);
  for (const Case& c : kCases) {
    const auto pack = MakePack<T>(c, random);
    const auto out = Packed(pack);
    for (size_t b = 0; b < c.lengths.size(); ++b) {
      AttendShape shape = pack.shape;
      shape.tokens = c.lengths[b];
      shape.sequences = 1;
      const int64_t start = pack.cu[b];
      const int32_t cu[] = {0, c.lengths[b]};
      const int64_t width = shape.heads * shape.value_dims;
      std::vector<T> alone(shape.tokens * width);
      const int64_t kv = start * shape.kv_heads;
      Attend(shape, pack.q.data() + start * shape.heads * shape.key_dims,
             pack.k.data() + kv * shape.key_dims,
             c.latent ? nullptr : pack.v.data() + kv * shape.value_dims, cu,
             alone.data(), pack.sinks());
      EXPECT_TRUE(
          std::equal(alone.begin(), alone.end(), out.begin() + start * width));
    }
  }
}

// Prefill in one go, token by token, and in uneven steps, over pages of any
// length in any place: the bits of the packed form.
TYPED_TEST(Attention, PagedEqualsPackedToTheBit) {
  using T = TypeParam;
  Random random(3);
  for (const Case& c : kCases) {
    const auto pack = MakePack<T>(c, random);
    const AttendShape& shape = pack.shape;
    const auto want = Packed(pack);
    const int32_t longest =
        *std::max_element(c.lengths.begin(), c.lengths.end());
    for (int64_t page_length : {1, 7, 64, 256}) {
      for (int32_t step : {1000, 1, 13}) {
        PagedLayout layout;
        layout.page_length = page_length;
        layout.pages_per_sequence = (longest + page_length - 1) / page_length;
        layout.width = RecordWidth(shape, c.latent);
        const int64_t slots = shape.sequences + 2;
        const int64_t pages = slots * layout.pages_per_sequence;
        std::vector<int32_t> table(pages);
        std::iota(table.begin(), table.end(), 0);
        for (int64_t i = pages - 1; i > 0; --i)
          std::swap(table[i], table[random.Int(0, i)]);
        std::vector<T> cache(pages * page_length * layout.width,
                             std::numeric_limits<T>::quiet_NaN());
        std::vector<T> out(want.size());
        // Each step takes up to `step` more tokens of every sequence.
        for (int32_t from = 0; from < longest; from += step) {
          std::vector<int32_t> cu = {0}, slot, positions, source;
          for (int64_t b = 0; b < shape.sequences; ++b) {
            const int32_t end = std::min(from + step, c.lengths[b]);
            for (int32_t i = from; i < end; ++i) {
              positions.push_back(i);
              source.push_back(pack.cu[b] + i);
            }
            cu.push_back(static_cast<int32_t>(positions.size()));
            slot.push_back(static_cast<int32_t>(slots - 1 - b));
          }
          AttendShape part = shape;
          part.tokens = static_cast<int64_t>(source.size());
          auto rows = [&](const std::vector<T>& all, int64_t width) {
            std::vector<T> some;
            for (int32_t t : source)
              some.insert(some.end(), all.begin() + t * width,
                          all.begin() + (t + 1) * width);
            return some;
          };
          const auto q = rows(pack.q, shape.heads * shape.key_dims);
          const auto k = rows(pack.k, shape.kv_heads * shape.key_dims);
          const auto v = c.latent
                             ? std::vector<T>()
                             : rows(pack.v, shape.kv_heads * shape.value_dims);
          const int64_t width = shape.heads * shape.value_dims;
          std::vector<T> y(part.tokens * width);
          AttendPaged(part, layout, q.data(), k.data(),
                      c.latent ? nullptr : v.data(), positions.data(),
                      cu.data(), slot.data(), table.data(), cache.data(),
                      y.data(), pack.sinks());
          for (size_t i = 0; i < source.size(); ++i)
            std::copy_n(y.begin() + i * width, width,
                        out.begin() + source[i] * width);
        }
        EXPECT_EQ(out, want) << "page " << page_length << " step " << step;
      }
    }
  }
}

// Scores far outside the range of exp neither overflow nor vanish.
TEST(AttentionF32, LargeScores) {
  Random random(4);
  auto pack = MakePack<float>({{100}, 1, 1, 4, 4, 0, false}, random);
  pack.shape.scale = 1000;
  const auto out = Packed(pack);
  for (float x : out) EXPECT_TRUE(std::isfinite(x));
  // The last row is the value of its best key.
  int64_t best = 0;
  double most = -1e30;
  for (int64_t j = 0; j < 100; ++j) {
    double score = 0;
    for (int64_t i = 0; i < 4; ++i)
      score += double(pack.q[99 * 4 + i]) * pack.k[j * 4 + i];
    if (score > most) {
      most = score;
      best = j;
    }
  }
  for (int64_t i = 0; i < 4; ++i)
    EXPECT_NEAR(out[99 * 4 + i], pack.v[best * 4 + i], 1e-2);
}

TEST(AttentionVjp, SinksTiledHeadsAndCap) {
  Random random(15);
  const int32_t cu[] = {0, 4, 5, 11};
  for (bool tiled : {false, true})
    for (bool sinks : {false, true})
      for (double cap : {0.0, 0.6}) {
        const AttendShape shape{.tokens = 11,
                                .sequences = 3,
                                .heads = 6,
                                .tiled = tiled,
                                .kv_heads = 2,
                                .key_dims = 5,
                                .value_dims = 3,
                                .scale = 0.7,
                                .window = tiled ? 3 : 0,
                                .cap = cap};
        Inputs inputs = {random.Values<double>(11 * 6 * 5),
                         random.Values<double>(11 * 2 * 5),
                         random.Values<double>(11 * 2 * 3)};
        if (sinks) inputs.push_back(random.Values<double>(6));
        CheckVjp(
            "attend " + std::to_string(tiled) + std::to_string(sinks) +
                std::to_string(cap),
            inputs, 11 * 6 * 3,
            [&](const Inputs& in, double* y) {
              Attend(shape, in[0].data(), in[1].data(), in[2].data(), cu, y,
                     sinks ? in[3].data() : nullptr);
            },
            [&](const Inputs& in, const double* dy, Inputs& g) {
              AttendVjp(shape, in[0].data(), in[1].data(), in[2].data(), cu, dy,
                        g[0].data(), g[1].data(), g[2].data(),
                        sinks ? in[3].data() : nullptr,
                        sinks ? g[3].data() : nullptr);
            },
            random);
      }
}

}  // namespace
}  // namespace moe::reference
