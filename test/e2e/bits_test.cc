// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The same bits for a sequence, whatever runs beside it, in whatever pages, on
// however many threads, with either instruction set.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>

#include "runtime/scorer.h"
#include "test/e2e/compiled.h"
#include "test/e2e/schedule.h"

namespace moe {
namespace {

using compiled::Logits;
using compiled::Schedule;

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

// How many values were compared; the first difference, if there is one.
::testing::AssertionResult Same(const Logits& got, const Logits& want,
                                int64_t& compared) {
  if (got.size() != want.size())
    return ::testing::AssertionFailure() << got.size() << " sequences";
  for (size_t s = 0; s < got.size(); ++s) {
    compared += static_cast<int64_t>(want[s].size());
    if (SameBits(got[s], want[s])) continue;
    double largest = 0;
    size_t at = 0, different = 0;
    for (size_t i = std::min(got[s].size(), want[s].size()); i-- > 0;)
      if (!SameBits({&got[s][i], 1}, {&want[s][i], 1})) {
        largest = std::max<double>(largest, std::fabs(got[s][i] - want[s][i]));
        at = i;
        ++different;
      }
    return ::testing::AssertionFailure()
           << "sequence " << s << ": " << different << " of " << want[s].size()
           << " values (have " << got[s].size() << ") differ, the first is "
           << at << ", the largest difference " << largest;
  }
  return ::testing::AssertionSuccess();
}

// One key head for several heads and latent keys, a window of 5 tokens, query
// compression and none; widths that leave one lane and more in the last vector.
constexpr const char* kNames[] = {"tiny-mixtral", "tiny-deepseek-v2",
                                  "mixtral-1", "deepseek_v2-1"};

class Bits
    : public ::testing::TestWithParam<std::tuple<const char*, const char*>> {
 protected:
  std::string name() const { return std::get<0>(GetParam()); }
  std::string compute() const { return std::get<1>(GetParam()); }
  bool trained() const { return name().starts_with("tiny-"); }
  std::unique_ptr<Engine> Load(int threads, IsaLevel isa) const {
    return compiled::Load(compiled::Folder(name()), compute(),
                          {.threads = threads, .isa = isa});
  }
};

INSTANTIATE_TEST_SUITE_P(Models, Bits,
                         ::testing::Combine(::testing::ValuesIn(kNames),
                                            ::testing::Values("f32", "bf16")),
                         [](const auto& info) {
                           std::string name =
                               std::string(std::get<0>(info.param)) + "_" +
                               std::get<1>(info.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(Bits, SequencesInAnyCompanyAndAnyPages) {
  const IsaLevel low = compiled::Levels().front(),
                 high = compiled::Levels().back();
  const auto engine = Load(1, low);
  const int64_t vocab = engine->manifest().model->vocab_size;
  const Schedule schedule =
      trained() ? compiled::RandomSchedule(7, vocab, 160, 72, 40)
                : compiled::RandomSchedule(7, vocab, 64, 32, 60);
  // Each alone, in one page, on one thread, with the lower level.
  Logits want(schedule.sequences);
  for (size_t s = 0; s < schedule.sequences; ++s)
    want[s] = RunSchedule(*engine, schedule.Alone(s))[s];
  for (const std::vector<float>& values : want)
    for (float value : values) ASSERT_TRUE(std::isfinite(value));
  EXPECT_FALSE(
      SameBits(std::span(want[0]).first(8), std::span(want[1]).first(8)));

  struct Setting {
    int threads;
    IsaLevel isa;
    compiled::Paging paging;
  };
  int64_t compared = 0;
  for (const Setting& setting :
       {Setting{1, low, {}}, Setting{1, high, {64, 1}},
        Setting{2, high, {1, 2}}, Setting{3, low, {3, 3}},
        Setting{2, high, {3, 4}}}) {
    const auto other = Load(setting.threads, setting.isa);
    for (int run = 0; run < 2; ++run)
      EXPECT_TRUE(
          Same(RunSchedule(*other, schedule, setting.paging), want, compared))
          << setting.threads << " threads, " << IsaName(setting.isa)
          << ", pages of " << setting.paging.length << ", run " << run;
  }
  std::printf("%lld values of %zu sequences have equal bits\n",
              static_cast<long long>(compared), schedule.sequences);
}

TEST_P(Bits, ScoredRowsInAnyCompany) {
  const auto engine = Load(1, compiled::Levels().front());
  const ModelSpec& model = *engine->manifest().model;
  std::vector<std::vector<int32_t>> ids;
  for (int length : {5, 1, 32, 2, 17, 8, 3, 16}) {
    std::vector<int32_t>& row = ids.emplace_back();
    for (int i = 0; i < length; ++i)
      row.push_back(
          static_cast<int32_t>((i * 7 + length * 13) % model.vocab_size));
  }
  const std::vector<std::span<const int32_t>> rows(ids.begin(), ids.end());
  // Logits of a row, and what the routers chose.
  const auto all = [&](const Scorer& scorer, size_t row) {
    const std::span<const float> logits = scorer.RowLogits(row);
    std::vector<float> values(logits.begin(), logits.end());
    for (size_t layer = 0; layer < model.moe_layers.size(); ++layer) {
      const RowRouting routing = scorer.Routing(layer, row);
      values.insert(values.end(), routing.weight.begin(), routing.weight.end());
      values.insert(values.end(), routing.idx.begin(), routing.idx.end());
    }
    return values;
  };
  const ScorerOptions options = {.max_tokens = 128, .max_rows = 8};
  auto alone = Scorer::Create(*engine, options);
  ASSERT_TRUE(alone.ok()) << alone.status();
  ASSERT_TRUE(alone->has_routing());
  Logits want;
  for (const auto& row : rows) {
    ASSERT_TRUE(alone->Run({&row, 1}).ok());
    want.push_back(all(*alone, 0));
  }
  int64_t compared = 0;
  for (int threads : {1, 2, 3})
    for (IsaLevel level : compiled::Levels()) {
      const auto other = Load(threads, level);
      auto scorer = Scorer::Create(*other, options);
      ASSERT_TRUE(scorer.ok()) << scorer.status();
      for (int run = 0; run < 2; ++run) {
        ASSERT_TRUE(scorer->Run(rows).ok());
        Logits got;
        for (size_t row = 0; row < rows.size(); ++row)
          got.push_back(all(*scorer, row));
        EXPECT_TRUE(Same(got, want, compared))
            << threads << " threads, " << IsaName(level) << ", run " << run;
      }
    }
  std::printf("%lld values of 8 rows have equal bits\n",
              static_cast<long long>(compared));
}

// The comparison sees one other token in one sequence, in that sequence only.
TEST(BitsTest, SeesAChange) {
  const auto engine = compiled::Load(compiled::Folder("mixtral-1"), "f32");
  Schedule schedule = compiled::RandomSchedule(3, 67, 40, 8, 10);
  const Logits want = RunSchedule(*engine, schedule);
  int32_t& id = schedule.steps.front().parts[6].ids.back();
  id = (id + 1) % 67;
  const Logits got = RunSchedule(*engine, schedule, {3, 1});
  int64_t compared = 0;
  EXPECT_FALSE(Same(got, want, compared));
  for (size_t s = 0; s < want.size(); ++s)
    EXPECT_EQ(SameBits(got[s], want[s]), s != 6) << s;
}

}  // namespace
}  // namespace moe
