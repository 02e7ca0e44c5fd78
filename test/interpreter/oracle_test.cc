// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Imported models, interpreted, against what transformers says of them, and
// against themselves after each pass. Run from the root of the repository.
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/core/safetensors.h"
#include "lib/frontend/import.h"
#include "lib/reference/tolerances.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "passes/entry/Passes.h"
#include "passes/fuse/Passes.h"
#include "test/interpreter/program.h"

namespace mlir::moe {
namespace {

using Rows = std::vector<std::vector<int64_t>>;

nlohmann::json ReadJson(const std::string& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

std::vector<double> ReadValues(const ::moe::SafetensorsFile& file,
                               const std::string& name) {
  std::vector<double> values;
  const ::moe::Tensor* tensor = file.Find(name);
  if (!tensor) return values;
  const int64_t width = ::moe::DTypeSize(tensor->dtype);
  for (uint64_t i = 0; i < tensor->bytes; i += width)
    values.push_back(::moe::LoadDouble(tensor->dtype, tensor->data + i));
  return values;
}

// Sequences in one pack: ids, positions and where each starts. `done` tokens
// of each come before.
template <typename T>
std::vector<Datum<T>> PackOf(const Rows& rows, const Rows& done = {}) {
  std::vector<int64_t> ids, positions, starts = {0};
  for (size_t r = 0; r < rows.size(); ++r) {
    const int64_t before = done.empty() ? 0 : done[r].size();
    for (size_t i = 0; i < rows[r].size(); ++i) {
      ids.push_back(rows[r][i]);
      positions.push_back(before + static_cast<int64_t>(i));
    }
    starts.push_back(static_cast<int64_t>(ids.size()));
  }
  const int64_t tokens = ids.size(), ends = starts.size();
  return {I<T>({tokens}, ids), I<T>({tokens}, positions), I<T>({ends}, starts)};
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

  void Apply(std::unique_ptr<Pass> pass) {
    PassManager manager(&context_);
    manager.addPass(std::move(pass));
    ASSERT_TRUE(succeeded(manager.run(*module_)));
  }
  // What the fixtures are: f32 whatever the weights are stored as.
  void ComputeInF32() {
    entry::SetComputeOptions options;
    options.dtype = "f32";
    Apply(entry::createSetCompute(options));
  }

  template <typename T>
  Tensor<T> Run(const std::string& entry, std::vector<Datum<T>> inputs,
                ParamProvider<T>& params) {
    auto out = Interpreter<T>(*module_, &params).run(entry, inputs);
    EXPECT_TRUE(succeeded(out)) << entry;
    if (failed(out)) return Tensor<T>::floats(Element::F32, {0, 1}, {});
    return (*out)[0].tensor();
  }

  template <typename T>
  void CheckLogits(const char* type, double tolerance) {
    CheckpointParams<T> params(*folder_);
    auto got = Run<T>("model", PackOf<T>(rows_), params);
    auto expect = ::moe::SafetensorsFile::Open(dir_ + "/expect.safetensors");
    ASSERT_TRUE(expect.ok());
    int64_t at = 0;
    for (size_t r = 0; r < rows_.size(); ++r) {
      auto want = ReadValues(*expect, "logits." + std::to_string(r));
      const int64_t size = want.size();
      ASSERT_TRUE(0 < size && at + size <= got.size());
      auto c = ::moe::reference::CompareRelative(got.data() + at, want.data(),
                                                 size, tolerance);
      std::printf("%s %s row %zu %s\n", GetParam().c_str(), type, r,
                  c.Text().c_str());
      EXPECT_TRUE(c.ok()) << c.Text();
      at += size;
    }
    EXPECT_EQ(at, got.size());
  }

  // The best token of row r of the logits.
  static int64_t Best(const Tensor<float>& logits, int64_t r) {
    auto row = logits.values().slice(r * logits.dim(1), logits.dim(1));
    return std::max_element(row.begin(), row.end()) - row.begin();
  }

  const std::string dir_ = "test/oracle/fixtures/" + GetParam();
  const Rows rows_ = ReadJson(dir_ + "/ids.json").get<Rows>();
  MLIRContext context_;
  OwningOpRef<ModuleOp> module_;
  std::optional<::moe::Checkpoint> folder_;
};

TEST_P(Oracle, LogitsF32) {
  ComputeInF32();
  CheckLogits<float>("f32", ::moe::reference::kLogitsF32);
}

// Nothing is rounded in double, bf16 activations included.
TEST_P(Oracle, LogitsF64) {
  CheckLogits<double>("f64", ::moe::reference::kLogitsF32);
}

// Activations in the dtype of the checkpoint.
TEST_P(Oracle, LogitsAsStored) {
  CheckLogits<float>("as stored", ::moe::reference::kLogitsBf16);
}

TEST_P(Oracle, EachPassKeepsTheBits) {
  for (bool f32 : {true, false}) {
    SetUp();
    if (f32) ComputeInF32();
    CheckpointParams<float> params(*folder_);
    auto inputs = PackOf<float>(rows_);
    const std::vector<float> want =
        Run<float>("model", inputs, params).values();
    auto check = [&](const char* name, std::unique_ptr<Pass> pass) {
      Apply(std::move(pass));
      const char* entry = module_->lookupSymbol("score") ? "score" : "model";
      EXPECT_EQ(Run<float>(entry, inputs, params).values(),
                llvm::ArrayRef(want))
          << "after " << name << (f32 ? " in f32" : " as stored");
    };
    check("expand-sugar", entry::createExpandSugar());
    check("derive-entries", entry::createDeriveEntries());
    check("inline-routers", entry::createInlineRouters());
    check("canonicalize", createCanonicalizerPass());
    check("cse", createCSEPass());
    check("distribute-experts", fuse::createDistributeExperts());
    check("gather-dispatch", fuse::createGatherDispatch());
    check("canonicalize", createCanonicalizerPass());
    check("fuse-routing", fuse::createFuseRouting());
    check("unfuse-routing", fuse::createUnfuseRouting());
  }
}

TEST_P(Oracle, GreedyOverAllTokensAgain) {
  ComputeInF32();
  CheckpointParams<float> params(*folder_);
  const Rows want = ReadJson(dir_ + "/greedy.json").get<Rows>();
  Rows rows = rows_, made(rows.size());
  for (size_t step = 0; step < want[0].size(); ++step) {
    auto logits = Run<float>("model", PackOf<float>(rows), params);
    int64_t end = 0;
    for (size_t r = 0; r < rows.size(); ++r) {
      end += static_cast<int64_t>(rows[r].size());
      made[r].push_back(Best(logits, end - 1));
      rows[r].push_back(made[r].back());
    }
  }
  EXPECT_EQ(made, want);
}

// One prefill, then a token of each row a step, through pages of five records.
TEST_P(Oracle, GreedyThroughTheCache) {
  ComputeInF32();
  Apply(entry::createExpandSugar());
  Apply(entry::createDeriveEntries());
  CheckpointParams<float> params(*folder_);
  const Rows want = ReadJson(dir_ + "/greedy.json").get<Rows>();
  const int64_t steps = want[0].size(), sequences = rows_.size();
  size_t longest = 0;
  for (const auto& row : rows_) longest = std::max(longest, row.size());
  const int64_t length = 5, pages = (longest + steps + length - 1) / length;

  auto decode = module_->lookupSymbol<func::FuncOp>("decode");
  ASSERT_TRUE(decode);
  auto type = cast<nn::CacheType>(decode.getArgumentTypes().back());
  const int64_t layers =
      ReadJson(dir_ + "/config.json").at("num_hidden_layers");
  auto cache = std::make_shared<Cache<float>>(*elementOf(type.getElementType()),
                                              layers, sequences * pages, length,
                                              type.getWidth());
  // The last sequence has the first pages, in falling order.
  std::vector<int64_t> slot, table;
  for (int64_t r = 0; r < sequences; ++r) slot.push_back(r);
  for (int64_t p = sequences * pages - 1; p >= 0; --p) table.push_back(p);

  Rows done(sequences), next = rows_, made(sequences);
  for (int64_t step = 0; step < steps; ++step) {
    auto inputs = PackOf<float>(next, done);
    inputs.push_back(I({sequences}, slot));
    inputs.push_back(I({sequences, pages}, table));
    inputs.push_back(cache);
    auto logits = Run<float>(step ? "decode" : "prefill", inputs, params);
    ASSERT_EQ(logits.dim(0), sequences);
    for (int64_t r = 0; r < sequences; ++r) {
      done[r].insert(done[r].end(), next[r].begin(), next[r].end());
      made[r].push_back(Best(logits, r));
      next[r] = {made[r].back()};
    }
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
