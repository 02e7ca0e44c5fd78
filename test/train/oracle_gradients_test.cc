// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Imported models, differentiated and interpreted: loss and the gradient of
// every tensor of the checkpoint against what transformers says of them. Run
// from the root of the repository.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "lib/core/safetensors.h"
#include "lib/frontend/import.h"
#include "lib/reference/tolerances.h"
#include "lib/reference/vjp.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "passes/entry/Passes.h"
#include "passes/train/Passes.h"
#include "test/interpreter/program.h"

namespace mlir::moe {
namespace {

using Rows = std::vector<std::vector<int64_t>>;
using Gradients = std::map<std::string, std::vector<double>>;

nlohmann::json ReadJson(const std::string& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

std::string Replaced(std::string text, const std::string& from, int64_t to) {
  const size_t at = text.find(from);
  return at == std::string::npos
             ? text
             : text.replace(at, from.size(), std::to_string(to));
}

// Adds the gradient of one layer of |param| to those of the checkpoint tensors
// that it is read from.
void AddToSources(nn::ParamOp param, int64_t layer, const double* values,
                  Gradients& gradients) {
  auto shape = param.getTensorType().getShape();
  const int64_t k = shape.size() == 1 ? 1 : shape.back();
  for (auto source : param.getSources().getAsRange<nn::SourceAttr>()) {
    const std::string pattern = source.getPattern().str();
    const bool per_expert = pattern.find("{e}") != std::string::npos;
    const int64_t rows = source.getRows() ? source.getRows() : param.getRows();
    std::vector<int64_t> strides(source.getStrides());
    if (strides.empty()) strides = {rows * k, k, 1};
    int64_t size = 1;
    for (int64_t dim : source.getShape()) size *= dim;
    for (int64_t g = 0; g < param.getGroups(); ++g) {
      auto& tensor =
          gradients[Replaced(Replaced(pattern, "{i}", layer), "{e}", g)];
      tensor.resize(size);
      const int64_t base =
          source.getOffset() + (per_expert ? 0 : g * strides[0]);
      const double* from = values + (g * param.getRows() + source.getAt()) * k;
      for (int64_t n = 0; n < rows; ++n)
        for (int64_t i = 0; i < k; ++i)
          tensor[base + n * strides[1] + i * strides[2]] += from[n * k + i];
    }
  }
}

class OracleGradients : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    LoadDialects(context_);
    auto module = importFolder(context_, dir_, {.name = "model"});
    ASSERT_TRUE(module.ok()) << module.status().message();
    module_ = std::move(*module);
    entry::DeriveEntriesOptions entries;
    entries.entries.push_back("score");
    train::DifferentiateOptions differentiate;
    differentiate.entry = "score";
    PassManager passes(&context_);
    passes.addPass(entry::createExpandSugar());
    passes.addPass(entry::createDeriveEntries(entries));
    passes.addPass(entry::createInlineRouters());
    passes.addPass(train::createDifferentiate(differentiate));
    passes.addPass(createCanonicalizerPass());
    passes.addPass(createCSEPass());
    ASSERT_TRUE(succeeded(passes.run(*module_)));
    auto folder = ::moe::Checkpoint::Open(dir_);
    ASSERT_TRUE(folder.ok()) << folder.status().message();
    folder_.emplace(std::move(*folder));
  }

  // Inputs of one pack of all rows, and the next token of each.
  void Pack(std::vector<Datum<double>>& inputs, std::vector<int32_t>& targets) {
    std::vector<int64_t> ids, positions, starts = {0};
    for (const auto& row : ReadJson(dir_ + "/ids.json").get<Rows>()) {
      for (size_t i = 0; i < row.size(); ++i) {
        ids.push_back(row[i]);
        positions.push_back(static_cast<int64_t>(i));
        targets.push_back(i + 1 < row.size() ? static_cast<int32_t>(row[i + 1])
                                             : -1);
      }
      starts.push_back(static_cast<int64_t>(ids.size()));
    }
    const int64_t tokens = ids.size(), ends = starts.size();
    inputs = {I<double>({tokens}, ids), I<double>({tokens}, positions),
              I<double>({ends}, starts)};
  }

  const std::string dir_ = "test/oracle/fixtures/" + GetParam();
  MLIRContext context_;
  OwningOpRef<ModuleOp> module_;
  std::optional<::moe::Checkpoint> folder_;
};

TEST_P(OracleGradients, LossAndGradients) {
  std::vector<Datum<double>> inputs;
  std::vector<int32_t> targets;
  Pack(inputs, targets);
  CheckpointParams<double> params(*folder_);
  Interpreter<double> interpreter(*module_, &params);
  auto scored = interpreter.run("score", inputs);
  ASSERT_TRUE(succeeded(scored));
  const Tensor<double> logits = (*scored)[0].tensor();
  std::vector<double> dlogits(logits.size());
  const double loss = ::moe::reference::CrossEntropy(
      logits.data(), targets.data(), logits.dim(0), logits.dim(1),
      dlogits.data());
  EXPECT_NEAR(loss, ReadJson(dir_ + "/meta.json").at("loss").get<double>(),
              ::moe::reference::kCurveNats);
  inputs.push_back(D({logits.dim(0), logits.dim(1)}, std::move(dlogits)));
  auto results = interpreter.run("score_grad", inputs);
  ASSERT_TRUE(succeeded(results));

  Gradients got;
  auto function = cast<func::FuncOp>(module_->lookupSymbol("score_grad"));
  for (unsigned i = scored->size(); i < function.getNumResults(); ++i) {
    auto name = function.getResultAttrOfType<StringAttr>(i, "nn.name");
    auto param = module_->lookupSymbol<nn::ParamOp>(
        name.getValue().drop_front(strlen("grad.")));
    ASSERT_TRUE(param) << name.str();
    const Tensor<double>& value = (*results)[i].tensor();
    const int64_t size = param.getTensorType().getNumElements();
    auto layers = param.getLayers();
    for (int64_t at = 0; at < value.size() / size; ++at)
      AddToSources(param, layers ? (*layers)[0] + at : 0,
                   value.data() + at * size, got);
  }

  auto expect = ::moe::SafetensorsFile::Open(dir_ + "/gradients.safetensors");
  ASSERT_TRUE(expect.ok());
  std::map<std::string, std::vector<double>> want;
  double total = 0;
  for (const ::moe::Tensor& tensor : expect->tensors()) {
    auto& values = want[tensor.name];
    for (uint64_t i = 0; i < tensor.bytes; i += 4) {
      values.push_back(::moe::LoadDouble(tensor.dtype, tensor.data + i));
      total += values.back() * values.back();
    }
  }
  // A router that renormalises a single choice has no gradient: what is there
  // is rounding, a millionth of the whole.
  const double floor = 1e-3 * std::sqrt(total);
  double worst = 0;
  std::string worst_name;
  for (const auto& [name, values] : want) {
    ASSERT_EQ(got[name].size(), values.size()) << name;
    auto c = ::moe::reference::CompareGradient(
        got[name].data(), values.data(), static_cast<int64_t>(values.size()),
        floor);
    EXPECT_TRUE(c.ok()) << name << ": " << c.Text();
    if (c.max_err / c.tol > worst) {
      worst = c.max_err / c.tol;
      worst_name = name + ": " + c.Text();
    }
  }
  EXPECT_EQ(got.size(), want.size());
  std::printf("%s gradients of %zu tensors, worst %s\n", GetParam().c_str(),
              want.size(), worst_name.c_str());
}

std::vector<std::string> Fixtures() {
  std::vector<std::string> names;
  for (const char* family : {"mixtral", "deepseek_v2"})
    for (int n = 1; n <= 5; ++n)
      names.push_back(std::string(family) + "-" + std::to_string(n));
  return names;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, OracleGradients,
                         testing::ValuesIn(Fixtures()), [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mlir::moe
