// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/frontend/bad_config_cases.h"

namespace mlir::moe {

using ::moe::DType;

std::vector<BadFolder> BadTensors() {
  return {
      {"head missing", "mixtral-1",
       [](Folder& f) { f.tensors.erase("lm_head.weight"); }, 3,
       "[MOE-W101]: DIR: tensor 'lm_head.weight' [67, 20] is missing, which a "
       "model of this config.json has. Take config.json and weights from one "
       "model."},
      {"norm of a layer missing", "mixtral-1",
       [](Folder& f) {
         f.tensors.erase("model.layers.1.input_layernorm.weight");
       },
       3,
       "[MOE-W101]: DIR: tensor 'model.layers.1.input_layernorm.weight' [20] "
       "is missing, which a model of this config.json has. Take config.json "
       "and weights from one model."},
      {"one matrix of one expert missing", "mixtral-1",
       [](Folder& f) {
         f.tensors.erase("model.layers.1.block_sparse_moe.experts.3.w2.weight");
       },
       3,
       "[MOE-W101]: DIR: tensor "
       "'model.layers.1.block_sparse_moe.experts.3.w2.weight' [20, 17] is "
       "missing, which a model of this config.json has. Take config.json and "
       "weights from one model."},
      {"router missing", "mixtral-1",
       [](Folder& f) {
         f.tensors.erase("model.layers.0.block_sparse_moe.gate.weight");
       },
       3,
       "[MOE-W101]: DIR: tensor 'model.layers.0.block_sparse_moe.gate.weight' "
       "[5, 20] is missing, which a model of this config.json has. Take "
       "config.json and weights from one model."},
      {"tensor too many", "mixtral-1",
       [](Folder& f) {
         f.tensors["model.layers.0.self_attn.q_proj.bias"] = {DType::kF32,
                                                              {16}};
       },
       3,
       "[MOE-W104]: DIR: a model of this config.json has no tensor "
       "'model.layers.0.self_attn.q_proj.bias'. Take config.json and weights "
       "from one model."},
      {"tensors too many", "mixtral-1",
       [](Folder& f) {
         for (const char* n : {"a", "b", "c", "d"})
           f.tensors[n] = {DType::kF32, {2}};
       },
       3,
       "[MOE-W104]: DIR: a model of this config.json has no tensor 'a', 'b' "
       "and 2 more. Take config.json and weights from one model."},
      {"fewer layers", "mixtral-1",
       [](Folder& f) { f.config["num_hidden_layers"] = 1; }, 3,
       "[MOE-C106]: config.json: num_hidden_layers is 1, but the tensors of "
       "DIR have 2 layers. Take config.json and weights from one model."},
      {"more layers", "mixtral-1",
       [](Folder& f) { f.config["num_hidden_layers"] = 3; }, 3,
       "[MOE-C106]: config.json: num_hidden_layers is 3, but the tensors of "
       "DIR have 2 layers. Take config.json and weights from one model."},
      {"fewer experts", "mixtral-1",
       [](Folder& f) { f.config["num_local_experts"] = 4; }, 3,
       "[MOE-C106]: config.json: num_local_experts is 4, but the tensors of "
       "DIR have 5 experts. Take config.json and weights from one model."},
      {"more experts", "mixtral-1",
       [](Folder& f) { f.config["num_local_experts"] = 8; }, 3,
       "[MOE-C106]: config.json: num_local_experts is 8, but the tensors of "
       "DIR have 5 experts. Take config.json and weights from one model."},
      {"transposed matrix", "mixtral-1",
       [](Folder& f) {
         f.tensors["model.layers.1.self_attn.q_proj.weight"].shape = {20, 16};
       },
       3,
       "[MOE-W102]: DIR/model.safetensors: tensor "
       "'model.layers.1.self_attn.q_proj.weight' is [20, 16], expected [16, "
       "20] by config.json. Take config.json and weights from one model."},
      {"another vocabulary", "mixtral-1",
       [](Folder& f) { f.config["vocab_size"] = 68; }, 3,
       "[MOE-W102]: DIR/model.safetensors: tensor 'model.embed_tokens.weight' "
       "is [67, 20], expected [68, 20] by config.json. Take config.json and "
       "weights from one model."},
      {"another head_dim", "mixtral-1",
       [](Folder& f) { f.config["head_dim"] = 32; }, 3,
       "[MOE-W102]: DIR/model.safetensors: tensor "
       "'model.layers.0.self_attn.q_proj.weight' is [16, 20], expected [32, "
       "20] by config.json. Take config.json and weights from one model."},
      {"another width", "mixtral-1",
       [](Folder& f) { f.config["intermediate_size"] = 34; }, 3,
       "[MOE-W102]: DIR/model.safetensors: tensor "
       "'model.layers.0.block_sparse_moe.experts.0.w1.weight' is [17, 20], "
       "expected [34, 20] by config.json. Take config.json and weights from "
       "one model."},
      {"matrix as a vector", "mixtral-1",
       [](Folder& f) { f.tensors["lm_head.weight"].shape = {67 * 20}; }, 3,
       "[MOE-W102]: DIR/model.safetensors: tensor 'lm_head.weight' is [1340], "
       "expected [67, 20] by config.json. Take config.json and weights from "
       "one model."},
      {"tied, but the table is missing", "mixtral-1",
       [](Folder& f) {
         f.config["tie_word_embeddings"] = true;
         f.tensors.erase("model.embed_tokens.weight");
       },
       3,
       "[MOE-W101]: DIR: tensor 'model.embed_tokens.weight' [67, 20] is "
       "missing, which a model of this config.json has. Take config.json and "
       "weights from one model."},
      {"dtypes differ between layers", "mixtral-1",
       [](Folder& f) {
         f.tensors["model.layers.1.self_attn.k_proj.weight"].dtype =
             DType::kBF16;
       },
       5,
       "[MOE-W109]: DIR/model.safetensors: tensor "
       "'model.layers.1.self_attn.k_proj.weight' is bf16, but "
       "'model.layers.0.self_attn.k_proj.weight' is f32. Convert the "
       "checkpoint to one dtype."},
      {"dtypes differ between gate and up", "mixtral-1",
       [](Folder& f) {
         for (int i : {0, 1})
           for (int e : {0, 1, 2, 3, 4})
             f.tensors["model.layers." + std::to_string(i) +
                       ".block_sparse_moe.experts." + std::to_string(e) +
                       ".w3.weight"]
                 .dtype = DType::kF16;
       },
       5,
       "[MOE-W109]: DIR: tensors "
       "'model.layers.{i}.block_sparse_moe.experts.{e}.w1.weight' are f32, but "
       "'model.layers.{i}.block_sparse_moe.experts.{e}.w3.weight' are f16. "
       "Convert the checkpoint to one dtype."},
      {"8-bit weights", "mixtral-1", [](Folder& f) { f.Cast(DType::kF8E4M3); },
       5,
       "[MOE-W110]: DIR/model.safetensors: tensor 'model.embed_tokens.weight' "
       "is f8e4m3; supported: f32, bf16, f16. Convert the checkpoint."},
      {"64-bit weights", "mixtral-1", [](Folder& f) { f.Cast(DType::kF64); }, 5,
       "[MOE-W110]: DIR/model.safetensors: tensor 'model.embed_tokens.weight' "
       "is f64; supported: f32, bf16, f16. Convert the checkpoint."},
      {"integers", "mixtral-1",
       [](Folder& f) { f.tensors["model.norm.weight"].dtype = DType::kI32; }, 5,
       "[MOE-W110]: DIR/model.safetensors: tensor 'model.norm.weight' is i32; "
       "supported: f32, bf16, f16. Convert the checkpoint."},
      {"no tensors", "mixtral-1", [](Folder& f) { f.tensors.clear(); }, 3,
       "[MOE-W101]: DIR: tensor 'model.embed_tokens.weight' [67, 20] is "
       "missing, which a model of this config.json has. Take config.json and "
       "weights from one model."},
      {"query rank missing", "deepseek_v2-1",
       [](Folder& f) { f.config["q_lora_rank"] = nullptr; }, 3,
       "[MOE-W101]: DIR: tensor 'model.layers.0.self_attn.q_proj.weight' [32, "
       "12] is missing, which a model of this config.json has. Take "
       "config.json and weights from one model."},
      {"query rank too many", "deepseek_v2-2",
       [](Folder& f) { f.config["q_lora_rank"] = 9; }, 3,
       "[MOE-W101]: DIR: tensor 'model.layers.0.self_attn.q_a_proj.weight' [9, "
       "40] is missing, which a model of this config.json has. Take "
       "config.json and weights from one model."},
      {"first dense layer is sparse", "deepseek_v2-2",
       [](Folder& f) { f.config["first_k_dense_replace"] = 1; }, 3,
       "[MOE-W101]: DIR: tensor 'model.layers.0.mlp.gate_proj.weight' [24, 40] "
       "is missing, which a model of this config.json has. Take config.json "
       "and weights from one model."},
      {"first sparse layer is dense", "deepseek_v2-1",
       [](Folder& f) { f.config["first_k_dense_replace"] = 0; }, 3,
       "[MOE-W101]: DIR: tensor "
       "'model.layers.0.mlp.experts.0.gate_proj.weight' [24, 12] is missing, "
       "which a model of this config.json has. Take config.json and weights "
       "from one model."},
      {"no shared experts", "deepseek_v2-1",
       [](Folder& f) { f.config["n_shared_experts"] = nullptr; }, 3,
       "[MOE-W104]: DIR: a model of this config.json has no tensor "
       "'model.layers.1.mlp.shared_experts.down_proj.weight', "
       "'model.layers.1.mlp.shared_experts.gate_proj.weight' and 4 more. Take "
       "config.json and weights from one model."},
      {"more shared experts", "deepseek_v2-1",
       [](Folder& f) { f.config["n_shared_experts"] = 2; }, 3,
       "[MOE-W102]: DIR/model.safetensors: tensor "
       "'model.layers.1.mlp.shared_experts.gate_proj.weight' is [24, 12], "
       "expected [48, 12] by config.json. Take config.json and weights from "
       "one model."},
      {"biases missing", "deepseek_v2-1",
       [](Folder& f) { f.config["attention_bias"] = true; }, 3,
       "[MOE-W101]: DIR: tensor 'model.layers.0.self_attn.q_a_proj.bias' [9] "
       "is missing, which a model of this config.json has. Take config.json "
       "and weights from one model."},
      {"mlp biases missing", "deepseek_v2-1",
       [](Folder& f) { f.config["mlp_bias"] = true; }, 3,
       "[MOE-W101]: DIR: tensor 'model.layers.0.mlp.gate_proj.bias' [48] is "
       "missing, which a model of this config.json has. Take config.json and "
       "weights from one model."},
      {"more latent value dims", "deepseek_v2-1",
       [](Folder& f) { f.config["v_head_dim"] = 8; }, 3,
       "[MOE-W102]: DIR/model.safetensors: tensor "
       "'model.layers.0.self_attn.kv_b_proj.weight' is [28, 14], expected [32, "
       "14] by config.json. Take config.json and weights from one model."},
      {"more routed experts", "deepseek_v2-1",
       [](Folder& f) { f.config["n_routed_experts"] = 8; }, 3,
       "[MOE-C106]: config.json: n_routed_experts is 8, but the tensors of DIR "
       "have 4 experts. Take config.json and weights from one model."},
  };
}

}  // namespace mlir::moe
