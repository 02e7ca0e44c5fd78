// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Imported models, interpreted, against what transformers says of them: logits
// and greedy continuations. Run from the root of the repository.
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/core/safetensors.h"
#include "lib/frontend/import.h"
#include "lib/reference/tolerances.h"
#include "test/interpreter/program.h"

namespace mlir::moe {
namespace {

using Rows = std::vector<std::vector<int64_t>>;

nlohmann::json ReadJson(const std::string& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

class Oracle : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    LoadDialects(context_);
    auto module = importFolder(context_, dir_, {.name = "model"});
    ASSERT_TRUE(module.ok()) << module.status().message();
    module_ = std::move(*module);
    auto folder = ::moe::Checkpoint::Open(dir_);
    ASSERT_TRUE(folder.ok()) << folder.status().message();
    folder_.emplace(std::move(*folder));
  }

  // Logits of all tokens of all rows in one pack.
  template <typename T>
  Tensor<T> Logits(const Rows& rows, ParamProvider<T>& params) {
    std::vector<int64_t> ids, positions, starts = {0};
    for (const auto& row : rows) {
      for (size_t i = 0; i < row.size(); ++i) {
        ids.push_back(row[i]);
        positions.push_back(static_cast<int64_t>(i));
      }
      starts.push_back(static_cast<int64_t>(ids.size()));
    }
    int64_t tokens = ids.size(), ends = starts.size();
    auto out =
        Interpreter<T>(*module_, &params)
            .run("model", {I<T>({tokens}, ids), I<T>({tokens}, positions),
                           I<T>({ends}, starts)});
    EXPECT_TRUE(succeeded(out));
    return succeeded(out) ? (*out)[0].tensor()
                          : Tensor<T>::floats(Element::F32, {0, 1}, {});
  }

  template <typename T>
  void CheckLogits(const char* type) {
    CheckpointParams<T> params(*folder_);
    auto got = Logits<T>(rows_, params);
    auto expect = ::moe::SafetensorsFile::Open(dir_ + "/expect.safetensors");
    ASSERT_TRUE(expect.ok());
    int64_t at = 0;
    for (size_t r = 0; r < rows_.size(); ++r) {
      const ::moe::Tensor* want = expect->Find("logits." + std::to_string(r));
      ASSERT_TRUE(want);
      std::vector<double> values;
      for (uint64_t i = 0; i < want->bytes; i += 4)
        values.push_back(::moe::LoadDouble(want->dtype, want->data + i));
      ASSERT_LE(at + int64_t(values.size()), got.size());
      auto c = ::moe::reference::CompareRelative(
          got.data() + at, values.data(), static_cast<int64_t>(values.size()),
          ::moe::reference::kLogitsF32);
      std::printf("%s %s row %zu %s\n", GetParam().c_str(), type, r,
                  c.Text().c_str());
      EXPECT_TRUE(c.ok()) << c.Text();
      at += static_cast<int64_t>(values.size());
    }
    EXPECT_EQ(at, got.size());
  }

  const std::string dir_ = "test/oracle/fixtures/" + GetParam();
  const Rows rows_ = ReadJson(dir_ + "/ids.json").get<Rows>();
  MLIRContext context_;
  OwningOpRef<ModuleOp> module_;
  std::optional<::moe::Checkpoint> folder_;
};

TEST_P(Oracle, LogitsF32) { CheckLogits<float>("f32"); }
TEST_P(Oracle, LogitsF64) { CheckLogits<double>("f64"); }

TEST_P(Oracle, Greedy) {
  CheckpointParams<float> params(*folder_);
  const Rows want = ReadJson(dir_ + "/greedy.json").get<Rows>();
  Rows rows = rows_, made(rows.size());
  for (size_t step = 0; step < want[0].size(); ++step) {
    auto logits = Logits<float>(rows, params);
    int64_t end = 0;
    for (size_t r = 0; r < rows.size(); ++r) {
      end += static_cast<int64_t>(rows[r].size());
      auto last =
          logits.values().slice((end - 1) * logits.dim(1), logits.dim(1));
      made[r].push_back(std::max_element(last.begin(), last.end()) -
                        last.begin());
    }
    for (size_t r = 0; r < rows.size(); ++r) rows[r].push_back(made[r].back());
  }
  EXPECT_EQ(made, want);
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

}  // namespace
}  // namespace mlir::moe
