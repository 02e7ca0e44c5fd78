// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Forms of checkpoints beyond the fixtures, and configurations as released.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "dialect/moe/MoeDialect.h"
#include "lib/frontend/layer_kinds.h"
#include "test/frontend/folder.h"

namespace mlir::moe {
namespace {

using ::moe::DType;
using testing::HasSubstr;
using testing::Not;

std::string TextOf(const Folder& folder) {
  std::string line;
  Import imported = folder.Run(&line);
  EXPECT_TRUE(imported.module) << line;
  return imported.module ? imported.Text() : "";
}

TEST(Mixtral, FusedExperts) {
  Folder folder = Folder::Fixture("mixtral-1");
  for (int i : {0, 1}) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    folder.Rename(layer + "block_sparse_moe.gate.weight",
                  layer + "mlp.gate.weight");
    folder.Erase(layer + "block_sparse_moe.experts.");
    folder.tensors[layer + "mlp.experts.gate_up_proj"] = {DType::kF32,
                                                          {5, 34, 20}};
    folder.tensors[layer + "mlp.experts.down_proj"] = {DType::kF32,
                                                       {5, 20, 17}};
  }
  const std::string text = TextOf(folder);
  EXPECT_THAT(text, HasSubstr("\"model.layers.{i}.mlp.gate.weight\""));
  EXPECT_THAT(text,
              HasSubstr("@gate_up : tensor<5x34x20xf32> layers [0, 2] from "
                        "[#nn.source<\"model.layers.{i}.mlp.experts.gate_up_"
                        "proj\", [5, 34, 20]"));
  EXPECT_THAT(text, HasSubstr("[680, 20, 1]"));
  EXPECT_THAT(text, HasSubstr("[340, 17, 1]"));
}

int64_t Count(const std::string& text, const std::string& part) {
  int64_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + 1))
    ++count;
  return count;
}

// Five layers that take turns: a loop of two blocks, then the last alone.
TEST(GptOss, LayersThatTakeTurnsAreOneLoop) {
  const std::string text = TextOf(Folder::Fixture("gpt_oss-6"));
  EXPECT_EQ(Count(text, "nn.layers "), 2);
  EXPECT_THAT(text, HasSubstr("nn.layers 0 to 2"));
  EXPECT_THAT(text, HasSubstr("nn.layers 4 to 5"));
  EXPECT_EQ(Count(text, "nn.attend "), 3);
  EXPECT_EQ(Count(text, "window = 5"), 2);
  EXPECT_EQ(Count(text, "quick_gelu"), 3);
  EXPECT_EQ(Count(text, "{limit = 7.000000e+00 : f64, shift = 1.000000e+00"),
            3);
  EXPECT_THAT(text, HasSubstr("@sinks_0 : tensor<4xf32> layers [0, 2] from "
                              "[#nn.source<\"model.layers.{2i}.self_attn."
                              "sinks\", [4]>]"));
  EXPECT_THAT(text, HasSubstr("\"model.layers.{2i+1}.mlp.experts.down_proj\""));
  EXPECT_THAT(text, Not(HasSubstr("@sinks :")));
}

// Dense layers and mixtures in turns: neither reads tensors of the other.
TEST(Qwen2Moe, DenseLayersAndMixturesTakeTurns) {
  const std::string text = TextOf(Folder::Fixture("qwen2_moe-6"));
  EXPECT_EQ(Count(text, "nn.layers "), 1);
  EXPECT_EQ(Count(text, "moe.layer "), 1);
  EXPECT_EQ(Count(text, "nn.mlp "), 1);
  EXPECT_THAT(text, HasSubstr("\"model.layers.{2i}.mlp.gate_proj.weight\""));
  EXPECT_THAT(text, HasSubstr("\"model.layers.{2i+1}.mlp.gate.weight\""));
}

std::vector<std::string> Loops(const std::string& kinds) {
  std::vector<frontend::LayerKind> layers;
  for (char kind : kinds) layers.push_back({true, kind});
  std::vector<std::string> loops;
  for (const frontend::LayerRange& loop : frontend::periodsOf(layers))
    loops.push_back(kinds.substr(loop.lo, loop.step) + "*" +
                    std::to_string(loop.count()));
  return loops;
}

TEST(Periods, AreAsFewBlocksAsCanBe) {
  using List = std::vector<std::string>;
  EXPECT_EQ(Loops("a"), (List{"a*1"}));
  EXPECT_EQ(Loops("aaaa"), (List{"a*4"}));
  EXPECT_EQ(Loops("abbb"), (List{"a*1", "b*3"}));
  EXPECT_EQ(Loops("aba"), (List{"a*1", "b*1", "a*1"}));
  EXPECT_EQ(Loops("ababab"), (List{"ab*3"}));
  EXPECT_EQ(Loops("ababa"), (List{"ab*2", "a*1"}));
  EXPECT_EQ(Loops("aababab"), (List{"a*1", "ab*3"}));
  EXPECT_EQ(Loops("aaabaaabaaab"), (List{"aaab*3"}));
  EXPECT_EQ(Loops("ccababab"), (List{"c*2", "ab*3"}));
  EXPECT_EQ(Loops("abcabcabca"), (List{"abc*3", "a*1"}));
  EXPECT_EQ(Loops("abcd"), (List{"a*1", "b*1", "c*1", "d*1"}));
}

TEST(JetMoe, OnePlanUsedTwice) {
  const std::string text = TextOf(Folder::Fixture("jetmoe-1"));
  EXPECT_EQ(Count(text, "moe.route "), 1);
  EXPECT_EQ(Count(text, "moe.ungroup "), 1);
  EXPECT_EQ(Count(text, "moe.group "), 1);
  EXPECT_EQ(Count(text, "moe.combine "), 1);
  EXPECT_EQ(Count(text, ", tiled}"), 1);
  EXPECT_EQ(Count(text, "moe.layer "), 1);
}

TEST(DeepSeekV3, BlocksOfFp8) {
  Folder folder = Folder::Fixture("deepseek_v3-1");
  folder.config["quantization_config"] = {{"quant_method", "fp8"},
                                          {"weight_block_size", {8, 5}}};
  for (int i : {0, 1}) {
    const std::string o =
        "model.layers." + std::to_string(i) + ".self_attn.o_proj.weight";
    folder.tensors[o].dtype = DType::kF8E4M3;
    const std::vector<int64_t> shape = folder.tensors[o].shape;
    folder.tensors[o + "_scale_inv"] = {
        DType::kF32, {(shape[0] + 7) / 8, (shape[1] + 4) / 5}};
  }
  const std::string text = TextOf(folder);
  EXPECT_THAT(text, HasSubstr("scaled <f8E4M3FN, \"model.layers.{i}.self_attn."
                              "o_proj.weight_scale_inv\""));
  EXPECT_THAT(text, HasSubstr("block[8, 5]>"));
  // Without the key the dtype is refused.
  folder.config.erase("quantization_config");
  std::string line;
  EXPECT_FALSE(folder.Run(&line).module);
  EXPECT_THAT(line, HasSubstr("[MOE-W110]"));
}

TEST(Mixtral, TiedHeadReadsTheEmbedding) {
  Folder folder = Folder::Fixture("mixtral-1");
  folder.config["tie_word_embeddings"] = true;
  Import imported = folder.Run();
  ASSERT_TRUE(imported.module) << imported.status.message();
  EXPECT_THAT(imported.Text(),
              HasSubstr("@lm_head : tensor<67x20xf32> from "
                        "[#nn.source<\"model.embed_tokens.weight\""));
  EXPECT_THAT(imported.Report(), HasSubstr("not used: lm_head.weight\n"));
}

TEST(Mixtral, HeadDimFollowsFromTheWidth) {
  for (bool null : {false, true}) {
    Folder folder = Folder::Fixture("mixtral-1");
    folder.config.erase("head_dim");
    if (null) folder.config["head_dim"] = nullptr;
    folder.config["num_attention_heads"] = 2;
    folder.config["num_key_value_heads"] = 1;
    for (int i : {0, 1}) {
      const std::string p = "model.layers." + std::to_string(i) + ".self_attn.";
      folder.tensors[p + "q_proj.weight"].shape = {20, 20};
      folder.tensors[p + "k_proj.weight"].shape = {10, 20};
      folder.tensors[p + "v_proj.weight"].shape = {10, 20};
      folder.tensors[p + "o_proj.weight"].shape = {20, 20};
    }
    EXPECT_THAT(TextOf(folder), HasSubstr("heads(2, 1, 10)"));
  }
}

TEST(Mixtral, ExpertCountUnderItsOtherName) {
  Folder folder = Folder::Fixture("mixtral-1");
  folder.config["num_experts"] = folder.config["num_local_experts"];
  EXPECT_THAT(TextOf(folder), HasSubstr("experts(5"));
  folder.config.erase("num_local_experts");
  EXPECT_THAT(TextOf(folder), HasSubstr("experts(5"));
}

TEST(Mixtral, WindowAndActivation) {
  Folder folder = Folder::Fixture("mixtral-1");
  EXPECT_THAT(TextOf(folder), HasSubstr("{window = 5 : i64}"));
  folder.config["sliding_window"] = nullptr;
  folder.config["hidden_act"] = "gelu_pytorch_tanh";
  const std::string text = TextOf(folder);
  EXPECT_THAT(text, Not(HasSubstr("{window")));
  EXPECT_THAT(text, HasSubstr("gelu_tanh"));
}

TEST(Mixtral, DefaultsOfAbsentKeys) {
  Folder folder = Folder::Fixture("mixtral-1");
  folder.config.erase("rms_norm_eps");
  folder.config.erase("rope_parameters");
  const std::string text = TextOf(folder);
  EXPECT_THAT(text, HasSubstr("@attn_norm, 1.000000e-05"));
  // 1e6 to the power of -2/16.
  EXPECT_THAT(text, HasSubstr("inv_freq([1.00000000e+00, 1.77827939e-01, "));
}

TEST(Activations, FollowTheMatrices) {
  const std::string bf16 = "-> tensor<?x20xbf16>", f32 = "-> tensor<?x20xf32>";
  Folder folder = Folder::Fixture("mixtral-1");
  EXPECT_THAT(TextOf(folder), HasSubstr(f32));
  folder.Cast(DType::kBF16);
  EXPECT_THAT(TextOf(folder), HasSubstr(bf16));
  // Norms and routers do not count.
  for (int i : {0, 1}) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    folder.tensors[layer + "block_sparse_moe.gate.weight"].dtype = DType::kF32;
    folder.tensors[layer + "input_layernorm.weight"].dtype = DType::kF32;
  }
  EXPECT_THAT(TextOf(folder), HasSubstr(bf16));
  EXPECT_THAT(TextOf(folder), HasSubstr("@gate : tensor<5x20xf32>"));
  folder.tensors["lm_head.weight"].dtype = DType::kF32;
  EXPECT_THAT(TextOf(folder), HasSubstr(f32));
  folder.Cast(DType::kF16);
  EXPECT_THAT(TextOf(folder), HasSubstr(f32));
  EXPECT_THAT(TextOf(folder), HasSubstr("@embed : tensor<67x20xf16>"));
}

TEST(DeepSeekV2, Biases) {
  Folder folder = Folder::Fixture("deepseek_v2-1");
  folder.config["attention_bias"] = true;
  folder.config["mlp_bias"] = true;
  const auto add = [&](int layer, const char* name, int64_t size) {
    folder.tensors["model.layers." + std::to_string(layer) + "." + name +
                   ".bias"] = {DType::kF32, {size}};
  };
  for (int i : {0, 1, 2}) {
    add(i, "self_attn.q_a_proj", 9);
    add(i, "self_attn.kv_a_proj_with_mqa", 22);
    add(i, "self_attn.o_proj", 12);
    const std::string p = i ? "mlp.shared_experts." : "mlp.";
    add(i, (p + "gate_proj").c_str(), i ? 24 : 48);
    add(i, (p + "up_proj").c_str(), i ? 24 : 48);
    add(i, (p + "down_proj").c_str(), 12);
  }
  const std::string text = TextOf(folder);
  for (const char* part :
       {"q_a_bias = @q_a_bias", "kv_a_bias = @kv_a_bias", "o_bias = @o_bias",
        "gate_up_bias = @dense_gate_up_bias", "down_bias = @dense_down_bias",
        "shared([@shared_gate_up, @shared_down, @shared_gate_up_bias, "
        "@shared_down_bias])",
        "@dense_gate_up_bias : tensor<96xf32> layers [0, 1]",
        "@shared_gate_up_bias : tensor<48xf32> layers [1, 3]"})
    EXPECT_THAT(text, HasSubstr(part));
}

TEST(DeepSeekV2, Router) {
  Folder folder = Folder::Fixture("deepseek_v2-2");
  EXPECT_THAT(TextOf(folder), HasSubstr("moe.group_mask"));
  EXPECT_THAT(TextOf(folder), HasSubstr("dense<2.500000e+00>"));
  folder.config.erase("topk_method");
  folder.config.erase("n_group");
  folder.config.erase("routed_scaling_factor");
  folder.config["norm_topk_prob"] = true;
  Import imported = folder.Run();
  ASSERT_TRUE(imported.module) << imported.status.message();
  const std::string text = imported.Text();
  EXPECT_THAT(text, Not(HasSubstr("moe.group_mask")));
  EXPECT_THAT(text, Not(HasSubstr("arith.mulf")));
  EXPECT_THAT(text, Not(HasSubstr("arith.divf")));
  EXPECT_THAT(imported.Report(), HasSubstr("norm_topk_prob is not applied"));
}

TEST(DeepSeekV2, FusedExpertsNoSharedOnes) {
  Folder folder = Folder::Fixture("deepseek_v2-1");
  folder.config["n_shared_experts"] = nullptr;
  for (int i : {1, 2}) {
    const std::string p = "model.layers." + std::to_string(i) + ".mlp.";
    folder.Erase(p + "experts.");
    folder.Erase(p + "shared_experts.");
    folder.tensors[p + "experts.gate_up_proj"] = {DType::kF32, {4, 48, 12}};
    folder.tensors[p + "experts.down_proj"] = {DType::kF32, {4, 12, 24}};
  }
  const std::string text = TextOf(folder);
  EXPECT_THAT(text, HasSubstr("[576, 12, 1]"));
  EXPECT_THAT(text, Not(HasSubstr("shared(")));
}

// config.json of DeepSeek-V2-Lite and the shapes of its tensors.
TEST(Released, DeepSeekV2Lite) {
  Folder folder;
  folder.config = ::moe::Json::parse(R"({
    "architectures": ["DeepseekV2ForCausalLM"], "attention_bias": false,
    "attention_dropout": 0.0, "auto_map": {"AutoConfig": "x.y"},
    "aux_loss_alpha": 0.001, "bos_token_id": 100000, "eos_token_id": 100001,
    "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 2048,
    "initializer_range": 0.02, "intermediate_size": 10944,
    "kv_lora_rank": 512, "max_position_embeddings": 163840,
    "model_type": "deepseek_v2", "moe_intermediate_size": 1408,
    "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": 64,
    "n_shared_experts": 2, "norm_topk_prob": false, "num_attention_heads": 16,
    "num_experts_per_tok": 6, "num_hidden_layers": 27,
    "num_key_value_heads": 16, "pretraining_tp": 1, "q_lora_rank": null,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06,
    "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40,
      "mscale": 0.707, "mscale_all_dim": 0.707,
      "original_max_position_embeddings": 4096, "type": "yarn"},
    "rope_theta": 10000, "routed_scaling_factor": 1.0,
    "scoring_func": "softmax", "seq_aux": true, "tie_word_embeddings": false,
    "topk_group": 1, "topk_method": "greedy", "torch_dtype": "bfloat16",
    "transformers_version": "4.33.1", "use_cache": true, "v_head_dim": 128,
    "vocab_size": 102400})");
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    folder.tensors[name + ".weight"] = {DType::kBF16, std::move(shape)};
  };
  const auto mlp = [&](const std::string& p, int64_t width) {
    add(p + "gate_proj", {width, 2048});
    add(p + "up_proj", {width, 2048});
    add(p + "down_proj", {2048, width});
  };
  add("model.embed_tokens", {102400, 2048});
  add("lm_head", {102400, 2048});
  add("model.norm", {2048});
  for (int i = 0; i < 27; ++i) {
    const std::string p = "model.layers." + std::to_string(i) + ".";
    add(p + "input_layernorm", {2048});
    add(p + "post_attention_layernorm", {2048});
    add(p + "self_attn.q_proj", {16 * 192, 2048});
    add(p + "self_attn.kv_a_proj_with_mqa", {576, 2048});
    add(p + "self_attn.kv_a_layernorm", {512});
    add(p + "self_attn.kv_b_proj", {16 * 256, 512});
    add(p + "self_attn.o_proj", {2048, 2048});
    if (i == 0) {
      mlp(p + "mlp.", 10944);
      continue;
    }
    add(p + "mlp.gate", {64, 2048});
    mlp(p + "mlp.shared_experts.", 2816);
    for (int e = 0; e < 64; ++e)
      mlp(p + "mlp.experts." + std::to_string(e) + ".", 1408);
  }
  std::string line;
  Import imported = folder.Run(&line);
  ASSERT_TRUE(imported.module) << line;
  const std::string text = imported.Text();
  EXPECT_LT(text.size(), 16000u);  // loops, whatever the number of layers
  // (128 + 64)^-1/2 times the square of 0.1·0.707·ln 40 + 1.
  EXPECT_THAT(text, HasSubstr("scale(0.11472"));
  EXPECT_THAT(text, HasSubstr("nn.layers 0 to 1"));
  EXPECT_THAT(text, HasSubstr("nn.layers 1 to 27"));
  EXPECT_THAT(text, HasSubstr("moe.eos_token_ids = array<i64: 100001>"));
}

}  // namespace
}  // namespace mlir::moe
