// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Whole models in the ops of lib/reference against what transformers says of
// them: logits, greedy continuations through a paged cache, losses and
// gradients. Run from the root of the repository.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "lib/reference/vjp.h"
#include "test/reference/oracle_model.h"
#include "test/reference/random.h"

namespace moe::reference {
namespace {

using Rows = std::vector<std::vector<int32_t>>;

// All rows in one pack.
Pack PackRows(const Rows& rows) {
  Pack pack;
  pack.cu = {0};
  for (const auto& row : rows) {
    pack.slot.push_back(static_cast<int32_t>(pack.slot.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      pack.ids.push_back(row[i]);
      pack.positions.push_back(static_cast<int32_t>(i));
    }
    pack.cu.push_back(static_cast<int32_t>(pack.ids.size()));
  }
  return pack;
}

// The next token of each of the pack's sequences, in their slots.
Pack PackNext(const Pack& last, const std::vector<int32_t>& next) {
  Pack pack;
  pack.cu = {0};
  pack.slot = last.slot;
  for (size_t b = 0; b < next.size(); ++b) {
    pack.ids.push_back(next[b]);
    pack.positions.push_back(last.positions[last.cu[b + 1] - 1] + 1);
    pack.cu.push_back(static_cast<int32_t>(b) + 1);
  }
  return pack;
}

// The greedy continuations of all rows together: one prefill, then one token
// per sequence and step, through a cache with pages of `page_length`.
Rows Continue(const OracleModel<float>& model, const Rows& rows, int64_t steps,
              int64_t page_length) {
  size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  auto cache =
      model.MakeCache(static_cast<int64_t>(rows.size()),
                      static_cast<int64_t>(longest) + steps, page_length);
  Rows out(rows.size());
  Pack pack = PackRows(rows);
  for (int64_t step = 0; step < steps; ++step) {
    const auto pass = model.Run(pack, &cache);
    std::vector<int32_t> next;
    for (size_t b = 0; b < rows.size(); ++b) {
      const auto row =
          pass->logits->value.begin() + static_cast<int64_t>(b) * model.vocab();
      next.push_back(static_cast<int32_t>(
          std::max_element(row, row + model.vocab()) - row));
      out[b].push_back(next.back());
    }
    pack = PackNext(pack, next);
  }
  return out;
}

class Oracle : public testing::TestWithParam<std::string> {
 protected:
  const std::string dir_ = "test/oracle/fixtures/" + GetParam();
  const OracleFolder folder_ = ReadFolder(dir_);
  const Rows rows_ = ReadJson(dir_ + "/ids.json").get<Rows>();

  template <typename T>
  void CheckLogits(const char* type) {
    const OracleModel<T> model(folder_, Rounding::kNone);
    const Pack pack = PackRows(rows_);
    const auto pass = model.Run(pack, nullptr);
    EXPECT_EQ(pass->params.size(), folder_.weights.size()) << "unused weights";
    const auto expect = ReadTensors(dir_ + "/expect.safetensors");
    for (size_t r = 0; r < rows_.size(); ++r) {
      const auto& want = expect.at("logits." + std::to_string(r)).values;
      const auto* got = &pass->logits->value[pack.cu[r] * model.vocab()];
      Report(GetParam() + " logits " + type + " row " + std::to_string(r),
             CompareRelative(got, want.data(),
                             static_cast<int64_t>(want.size()), kLogitsF32));
    }
  }
};

TEST_P(Oracle, LogitsF32) { CheckLogits<float>("f32"); }
TEST_P(Oracle, LogitsF64) { CheckLogits<double>("f64"); }

TEST_P(Oracle, GreedyThroughPagedCache) {
  const OracleModel<float> model(folder_, Rounding::kNone);
  const Rows want = ReadJson(dir_ + "/greedy.json").get<Rows>();
  for (int64_t page_length : {5, 64})
    EXPECT_EQ(Continue(model, rows_, static_cast<int64_t>(want[0].size()),
                       page_length),
              want)
        << "page length " << page_length;
}

TEST_P(Oracle, LossAndGradients) {
  const OracleModel<float> model(folder_, Rounding::kNone);
  const Pack pack = PackRows(rows_);
  const auto pass = model.Run(pack, nullptr);
  std::vector<int32_t> targets(pack.tokens(), -1);
  for (int64_t b = 0; b < pack.sequences(); ++b)
    for (int64_t t = pack.cu[b]; t + 1 < pack.cu[b + 1]; ++t)
      targets[t] = pack.ids[t + 1];
  std::vector<float> dlogits(pass->logits->value.size());
  const float loss = CrossEntropy(pass->logits->value.data(), targets.data(),
                                  pack.tokens(), model.vocab(), dlogits.data());
  pass->tape.Backward(pass->logits, dlogits);
  const double want_loss = ReadJson(dir_ + "/meta.json").at("loss");
  Comparison c = LargestError(&loss, &want_loss, 1);
  c.tol = kCurveNats;
  Report(GetParam() + " loss", c);

  const auto expect = ReadTensors(dir_ + "/gradients.safetensors");
  double total = 0;
  for (const auto& [name, w] : expect)
    for (float x : w.values) total += double(x) * x;
  // A router that renormalises a single choice has no gradient: what is there
  // is rounding, a millionth of the whole.
  const double floor = 1e-3 * std::sqrt(total);
  double worst = 0;
  std::string worst_name;
  for (const auto& [name, w] : expect) {
    auto& grad = pass->params.at(name)->grad;
    grad.resize(w.values.size());
    c = CompareGradient(grad.data(), w.values.data(),
                        static_cast<int64_t>(grad.size()), floor);
    EXPECT_TRUE(c.ok()) << name << ": " << c.Text();
    if (c.max_err / c.tol > worst) {
      worst = c.max_err / c.tol;
      worst_name = name + ": " + c.Text();
    }
  }
  std::printf("%s gradients of %zu tensors, worst %s\n", GetParam().c_str(),
              expect.size(), worst_name.c_str());
}

std::vector<std::string> Fixtures() {
  std::vector<std::string> names;
  for (const char* family : {"mixtral", "deepseek_v2"})
    for (int n = 1; n <= 5; ++n)
      names.push_back(std::string(family) + "-" + std::to_string(n));
  return names;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Oracle, testing::ValuesIn(Fixtures()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class TinyModel : public testing::TestWithParam<std::string> {
 protected:
  const std::string dir_ = "models/tiny/" + GetParam();
  const OracleFolder folder_ = ReadFolder(dir_);
  const Json meta_ = ReadJson(dir_ + "/meta.json");
};

TEST_P(TinyModel, GreedyContinuation) {
  const OracleModel<float> model(folder_, Rounding::kNone);
  std::vector<int32_t> prompt;
  for (unsigned char c : meta_.at("prompt").get<std::string>())
    prompt.push_back(c);
  const auto want = meta_.at("greedy").get<std::vector<int32_t>>();
  EXPECT_EQ(Continue(model, {prompt}, static_cast<int64_t>(want.size()), 16),
            Rows{want});
}

// bf16 with roundings at the boundaries of ops, against f32: logits under the
// same choices of experts, KL under its own. (Where two experts nearly tie,
// rounding chooses the other one, and that token's logits move by more than any
// rounding of values would move them.)
TEST_P(TinyModel, Bf16StaysNearF32) {
  std::ifstream file("models/data/tinyshakespeare.txt", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const int64_t from = meta_.at("heldout_from"), length = 128;
  Rows rows(8);
  for (size_t r = 0; r < rows.size(); ++r)
    for (int64_t i = 0; i < length; ++i)
      rows[r].push_back(static_cast<unsigned char>(
          text.at(from + static_cast<int64_t>(r) * length + i)));
  const Pack pack = PackRows(rows);
  const OracleModel<float> f32(folder_, Rounding::kNone);
  const OracleModel<float> bf16(folder_, Rounding::kBf16);
  const auto want = f32.Run(pack, nullptr), own = bf16.Run(pack, nullptr);
  const auto same = bf16.Run(pack, nullptr, &want->choices);
  const auto& logits = want->logits->value;
  Report(GetParam() + " bf16 logits",
         CompareRelative(same->logits->value.data(), logits.data(),
                         static_cast<int64_t>(logits.size()), kLogitsBf16));
  Comparison kl;
  kl.max_err = MeanKl(own->logits->value.data(), logits.data(), pack.tokens(),
                      f32.vocab());
  kl.tol = kKlBf16;
  Report(GetParam() + " bf16 KL", kl);
  int64_t different = 0, all = 0;
  for (size_t layer = 0; layer < want->choices.size(); ++layer)
    for (size_t i = 0; i < want->choices[layer].size(); ++i, ++all)
      different += want->choices[layer][i] != own->choices[layer][i];
  std::printf("%s: %lld of %lld choices differ in bf16\n", GetParam().c_str(),
              static_cast<long long>(different), static_cast<long long>(all));
  EXPECT_LT(different, all / 20);
}

INSTANTIATE_TEST_SUITE_P(Tiny, TinyModel,
                         testing::Values("tiny-mixtral", "tiny-deepseek-v2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace moe::reference
