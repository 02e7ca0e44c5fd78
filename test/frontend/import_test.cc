// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every fixture becomes a module that verifies, survives printing and parsing,
// and reads each element of each tensor exactly once.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "dialect/moe/MoeDialect.h"
#include "lib/core/checkpoint.h"
#include "mlir/IR/OperationSupport.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "test/frontend/folder.h"

namespace mlir::moe {
namespace {

class Fixture : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    imported_ = ImportFrom(FixtureDir(GetParam()));
    ASSERT_TRUE(imported_.module) << imported_.status.message();
  }
  Import imported_;
};

std::string Replaced(std::string text, const std::string& from, int64_t value) {
  if (size_t at = text.find(from); at != std::string::npos)
    text.replace(at, from.size(), std::to_string(value));
  return text;
}

// How often each element of a checkpoint is read.
class Reads {
 public:
  explicit Reads(const ::moe::Checkpoint& checkpoint)
      : checkpoint_(checkpoint) {}

  void Add(nn::ParamOp param) {
    const RankedTensorType type = param.getTensorType();
    const int64_t rank = type.getRank();
    const int64_t columns = rank > 1 ? type.getShape().back() : 1;
    LayerSpan(param, [&](int64_t layer) {
      for (auto source : param.getSources().getAsRange<nn::SourceAttr>()) {
        const int64_t rows =
            source.getRows() ? source.getRows() : param.getRows();
        std::vector<int64_t> strides = source.getStrides().vec();
        if (strides.empty()) strides = {0, columns, 1};
        const std::string pattern = source.getPattern().str();
        const bool per_expert = pattern.find("{e}") != std::string::npos;
        for (int64_t g = 0; g < param.getGroups(); ++g) {
          const std::string name =
              Replaced(Replaced(pattern, "{i}", layer), "{e}", g);
          std::vector<uint8_t>& counts = Counts(name, source, type);
          const int64_t base =
              source.getOffset() + (per_expert ? 0 : g * strides[0]);
          for (int64_t n = 0; n < rows; ++n)
            for (int64_t k = 0; k < columns; ++k)
              ++counts.at(base + n * strides[1] + k * strides[2]);
        }
      }
    });
  }

  void ExpectEachOnce(const std::set<std::string>& twice) const {
    EXPECT_EQ(counts_.size(), checkpoint_.tensors().size());
    for (const auto& [name, counts] : counts_) {
      const uint8_t want = twice.contains(name) ? 2 : 1;
      EXPECT_EQ(std::count(counts.begin(), counts.end(), want),
                static_cast<int64_t>(counts.size()))
          << name;
    }
  }

 private:
  static void LayerSpan(nn::ParamOp param,
                        const std::function<void(int64_t)>& visit) {
    auto layers = param.getLayers();
    for (int64_t i = layers ? (*layers)[0] : 0; i < (layers ? (*layers)[1] : 1);
         ++i)
      visit(i);
  }

  std::vector<uint8_t>& Counts(const std::string& name, nn::SourceAttr source,
                               RankedTensorType type) {
    const ::moe::Tensor* tensor = checkpoint_.Find(name);
    EXPECT_TRUE(tensor) << name;
    EXPECT_EQ(ArrayRef<int64_t>(tensor->shape), source.getShape()) << name;
    EXPECT_EQ(type.getElementType().isBF16(),
              tensor->dtype == ::moe::DType::kBF16)
        << name;
    std::vector<uint8_t>& counts = counts_[name];
    counts.resize(*::moe::ElementCount(tensor->shape));
    return counts;
  }

  const ::moe::Checkpoint& checkpoint_;
  std::map<std::string, std::vector<uint8_t>> counts_;
};

TEST_P(Fixture, ReadsEachElementOnce) {
  auto checkpoint =
      ::moe::Checkpoint::Open(FixtureDir(GetParam()), {.header_only = true});
  ASSERT_TRUE(checkpoint.ok());
  Reads reads(*checkpoint);
  for (auto param : imported_.module->getOps<nn::ParamOp>()) reads.Add(param);
  std::set<std::string> twice;
  if (!checkpoint->Find("lm_head.weight"))
    twice.insert("model.embed_tokens.weight");
  reads.ExpectEachOnce(twice);
}

TEST_P(Fixture, SurvivesPrintingAndParsing) {
  const std::string text = imported_.Text();
  auto parsed = parseSourceString<ModuleOp>(text, imported_.context.get());
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(succeeded(verify(*parsed)));
  EXPECT_TRUE(OperationEquivalence::isEquivalentTo(
      *parsed, *imported_.module, OperationEquivalence::IgnoreLocations));
}

TEST_P(Fixture, UsesEveryParameterAndRouter) {
  Operation* module = *imported_.module;
  for (Operation& op : imported_.module->getBody()->getOperations())
    if (isa<nn::ParamOp, RouterOp>(op)) {
      EXPECT_FALSE(SymbolTable::symbolKnownUseEmpty(&op, module))
          << SymbolTable::getSymbolName(&op).str();
    }
}

TEST_P(Fixture, HasTheAttributesOfTheConfiguration) {
  Operation* module = *imported_.module;
  const Folder folder = Folder::Fixture(GetParam());
  EXPECT_EQ(module->getAttrOfType<StringAttr>("moe.name"), GetParam());
  EXPECT_EQ(module->getAttrOfType<IntegerAttr>("moe.max_positions").getInt(),
            folder.config["max_position_embeddings"].get<int64_t>());
  EXPECT_TRUE(module->getAttrOfType<DenseI64ArrayAttr>("moe.eos_token_ids"));
  auto config = ::moe::ParseJson(
      module->getAttrOfType<StringAttr>("moe.config").str(), "config");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(*config, folder.config);
}

TEST_P(Fixture, IsTheSameEachTime) {
  EXPECT_EQ(ImportFrom(FixtureDir(GetParam()) + "/").Text(), imported_.Text());
}

INSTANTIATE_TEST_SUITE_P(All, Fixture,
                         testing::Values("mixtral-1", "mixtral-2", "mixtral-3",
                                         "mixtral-4", "mixtral-5",
                                         "deepseek_v2-1", "deepseek_v2-2",
                                         "deepseek_v2-3", "deepseek_v2-4",
                                         "deepseek_v2-5", "tiny-mixtral",
                                         "tiny-deepseek-v2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Import, SaysWhatWasReadAndWhatWasNot) {
  Folder folder = Folder::Fixture("mixtral-1");
  folder.generation_text = R"({"eos_token_id": [5, 6], "temperature": 0.5})";
  folder.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {
      ::moe::DType::kF32, {8}};
  Import imported = folder.Run();
  ASSERT_TRUE(imported.module) << imported.status.message();
  EXPECT_EQ(
      imported.Report(),
      "config.json: 17 of 28 keys used; for training alone: "
      "attention_dropout, initializer_range, output_router_logits, "
      "router_aux_loss_coef, router_jitter_noise; not used: architectures, "
      "bos_token_id, dtype, pad_token_id, transformers_version, use_cache\n"
      "generation_config.json: 1 of 2 keys used; not used: temperature\n"
      "weights: 47 of 48 tensors used from 1 file(s), 62992 bytes; not used: "
      "model.layers.0.self_attn.rotary_emb.inv_freq\n");
}

TEST(Import, EndIdsOfBothFilesEachOnce) {
  Folder folder = Folder::Fixture("mixtral-1");
  folder.config["eos_token_id"] = 7;
  folder.generation_text = R"({"eos_token_id": [5, 7]})";
  Import imported = folder.Run();
  ASSERT_TRUE(imported.module) << imported.status.message();
  auto ids =
      (*imported.module)->getAttrOfType<DenseI64ArrayAttr>("moe.eos_token_ids");
  EXPECT_EQ(ids.asArrayRef(), (ArrayRef<int64_t>{7, 5}));
}

TEST(Import, NamesOfModels) {
  const auto symbol = [](const std::string& name) {
    Import imported = ImportFrom(FixtureDir("mixtral-1"), {.name = name});
    EXPECT_TRUE(imported.module) << name;
    return (*imported.module->getOps<nn::ModelOp>().begin()).getName().str();
  };
  EXPECT_EQ(symbol("my model/7b"), "my_model_7b");
  EXPECT_EQ(symbol("7b"), "_7b");
  EXPECT_EQ(symbol("\xff\n"), "__");
  EXPECT_EQ(symbol("lm_head"), "lm_head_model");
  EXPECT_EQ(symbol("mixtral"), "mixtral_model");
}

TEST(Import, ListsModelTypes) {
  EXPECT_EQ(supportedModelTypes(),
            (std::vector<std::string>{
                "dbrx", "deepseek", "deepseek_v2", "deepseek_v3",
                "ernie4_5_moe", "glm4_moe", "gpt_oss", "granitemoe",
                "granitemoeshared", "jetmoe", "llama", "mistral", "mixtral",
                "olmoe", "phimoe", "qwen2_moe", "qwen3", "qwen3_moe"}));
}

}  // namespace
}  // namespace mlir::moe
