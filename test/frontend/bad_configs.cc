// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/frontend/bad_config_cases.h"

namespace mlir::moe {
namespace {

using Change = std::function<void(Folder&)>;

Change Set(const char* key, const char* value) {
  return [=](Folder& f) { f.config[key] = ::moe::Json::parse(value); };
}
Change Drop(const char* key) {
  return [=](Folder& f) { f.config.erase(key); };
}
Change Both(Change a, Change b) {
  return [=](Folder& f) {
    a(f);
    b(f);
  };
}
Change Text(const char* text) {
  return [=](Folder& f) { f.config_text = text; };
}
Change Generation(const char* text) {
  return [=](Folder& f) { f.generation_text = text; };
}

}  // namespace

std::vector<BadFolder> BadConfigs() {
  return {
      {"no model_type", "mixtral-1", Drop("model_type"), 3,
       "[MOE-C103]: config.json: key 'model_type' is missing."},
      {"model_type of no family", "mixtral-1", Set("model_type", R"("gemma")"),
       5,
       "[MOE-C107]: config.json: model_type 'gemma' is not supported; "
       "supported: dbrx, deepseek, deepseek_v2, deepseek_v3, ernie4_5_moe, "
       "glm4_moe, gpt_oss, granitemoe, granitemoeshared, jetmoe, llama, "
       "mistral, mixtral, olmoe, phimoe, qwen2_moe, qwen3, qwen3_moe."},
      {"model_type no text", "mixtral-1", Set("model_type", R"(7)"), 3,
       "[MOE-C104]: config.json: key 'model_type': expected text, found number "
       "7."},
      {"dbrx activation no text", "dbrx-1",
       Set("ffn_config",
           R"({"ffn_act_fn": {"name": 3}, "ffn_hidden_size": 12, "moe_num_experts": 4, "moe_top_k": 2})"),
       5,
       "[MOE-C109]: config.json: ffn_config: key 'ffn_act_fn' with value "
       "{\"name\":3} is not supported for dbrx; supported: "
       "{\"name\":\"silu\"}."},
      {"dbrx unknown inner key", "dbrx-1",
       Set("attn_config", R"({"kv_n_heads": 1, "qk_ln": true})"), 5,
       "[MOE-C108]: config.json: attn_config: key 'qk_ln' with value true is "
       "not known for dbrx and might change the result. Remove it if it "
       "changes nothing."},
      {"dbrx heads that do not divide", "dbrx-1", Set("n_heads", R"(3)"), 3,
       "[MOE-C106]: config.json: d_model 20 is not a multiple of n_heads 3."},
      {"layer types of another length", "qwen2_moe-1",
       Set("layer_types", R"(["full_attention"])"), 3,
       "[MOE-C106]: config.json: layer_types [\"full_attention\"] is not a "
       "list of num_hidden_layers 2."},
      {"layer type of another family", "qwen2_moe-1",
       Set("layer_types", R"(["full_attention", "chunked_attention"])"), 5,
       "[MOE-C109]: config.json: key 'layer_types' with value "
       "\"chunked_attention\" is not supported; supported: full_attention, "
       "sliding_attention."},
      {"groups that do not divide experts", "deepseek_v3-1",
       Set("n_group", R"(3)"), 3,
       "[MOE-C106]: config.json: n_routed_experts 8 is not a multiple of "
       "n_group 3."},
      {"too few experts in the groups kept", "deepseek_v3-1",
       Set("topk_group", R"(1)"), 3,
       "[MOE-C106]: config.json: topk_group 1 leaves fewer experts than "
       "num_experts_per_tok 3."},
      {"three experts for SparseMixer", "phimoe-1",
       Set("num_experts_per_tok", R"(3)"), 5,
       "[MOE-C109]: config.json: key 'num_experts_per_tok' with value 3 is not "
       "supported for phimoe; supported: 2."},
      {"nothing rotates", "glm4_moe-1",
       Set("rope_parameters",
           R"({"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0})"),
       3,
       "[MOE-C105]: config.json: rope_parameters: key 'partial_rotary_factor': "
       "0 is not in (0, 1]."},
      {"more experts for a token than there are", "ernie4_5_moe-1",
       Set("moe_k", R"(5)"), 3,
       "[MOE-C106]: config.json: moe_k 5 is larger than moe_num_experts 4."},
      {"heads that are not key heads times experts", "jetmoe-1",
       Set("num_attention_heads", R"(6)"), 3,
       "[MOE-C106]: config.json: num_attention_heads 6 is not "
       "num_key_value_heads 2 times num_experts_per_tok 2."},
      {"another activation in gpt_oss", "gpt_oss-1",
       Set("swiglu_alpha", R"(1.5)"), 5,
       "[MOE-C109]: config.json: key 'swiglu_alpha' with value 1.5 is not "
       "supported for gpt_oss; supported: 1.702."},
      {"a negative limit", "gpt_oss-1", Set("swiglu_limit", R"(-1)"), 3,
       "[MOE-C105]: config.json: key 'swiglu_limit': -1 is negative."},
      {"MXFP4 of uneven width", "gpt_oss-1",
       Set("quantization_config", R"({"quant_method": "mxfp4"})"), 3,
       "[MOE-C106]: config.json: hidden_size 8 and intermediate_size 12 are "
       "not multiples of 32, which MXFP4 needs."},
      {"a multiplier of zero", "granitemoe-1",
       Set("residual_multiplier", R"(0)"), 3,
       "[MOE-C105]: config.json: key 'residual_multiplier': 0 is no scale."},
      {"unknown key", "mixtral-1", Set("attention_sink_size", R"(4)"), 5,
       "[MOE-C108]: config.json: key 'attention_sink_size' with value 4 is not "
       "known for mixtral and might change the result. Remove it if it changes "
       "nothing."},
      {"unknown key of long value", "mixtral-1",
       Set("my_table",
           R"(["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"])"),
       5,
       "[MOE-C108]: config.json: key 'my_table' with value "
       "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"bbbbbbbbbbbbbbbbbbbbbb... is not "
       "known for mixtral and might change the result. Remove it if it changes "
       "nothing."},
      {"key of another family", "mixtral-1", Set("n_group", R"(1)"), 5,
       "[MOE-C108]: config.json: key 'n_group' with value 1 is not known for "
       "mixtral and might change the result. Remove it if it changes nothing."},
      {"quantized", "mixtral-1",
       Set("quantization_config", R"({"quant_method": "fp8"})"), 5,
       "[MOE-C110]: config.json: the weights are quantized "
       "(quantization_config {\"quant_method\":\"fp8\"}). Use the checkpoint "
       "in bf16 or f32."},
      {"quantized in blocks of zero", "mixtral-1",
       Set("quantization_config",
           R"({"quant_method": "fp8", "weight_block_size": [128, 0]})"),
       5,
       "[MOE-C110]: config.json: the weights are quantized "
       "(quantization_config "
       "{\"quant_method\":\"fp8\",\"weight_block_size\":[128,0]}). Use the "
       "checkpoint in bf16 or f32."},
      {"encoder-decoder", "mixtral-1", Set("is_encoder_decoder", R"(true)"), 5,
       "[MOE-C109]: config.json: key 'is_encoder_decoder' with value true is "
       "not supported for mixtral; supported: false, null."},
      {"biases in attention", "mixtral-1", Set("attention_bias", R"(true)"), 5,
       "[MOE-C109]: config.json: key 'attention_bias' with value true is not "
       "supported for mixtral; supported: false, null."},
      {"hidden_size zero", "mixtral-1", Set("hidden_size", R"(0)"), 3,
       "[MOE-C105]: config.json: key 'hidden_size': 0 is not between 1 and "
       "16777216."},
      {"hidden_size negative", "mixtral-1", Set("hidden_size", R"(-8)"), 3,
       "[MOE-C105]: config.json: key 'hidden_size': -8 is not between 1 and "
       "16777216."},
      {"hidden_size text", "mixtral-1", Set("hidden_size", R"("20")"), 3,
       "[MOE-C104]: config.json: key 'hidden_size': expected an integer, found "
       "text '20'."},
      {"hidden_size fraction", "mixtral-1", Set("hidden_size", R"(20.5)"), 3,
       "[MOE-C104]: config.json: key 'hidden_size': expected an integer, found "
       "number 20.5."},
      {"hidden_size too large", "mixtral-1",
       Set("hidden_size", R"(99999999999)"), 3,
       "[MOE-C105]: config.json: key 'hidden_size': 99999999999 is not between "
       "1 and 16777216."},
      {"hidden_size missing", "mixtral-1", Drop("hidden_size"), 3,
       "[MOE-C103]: config.json: key 'hidden_size' is missing."},
      {"hidden_size null", "mixtral-1", Set("hidden_size", R"(null)"), 3,
       "[MOE-C103]: config.json: key 'hidden_size' is missing."},
      {"vocab_size missing", "mixtral-1", Drop("vocab_size"), 3,
       "[MOE-C103]: config.json: key 'vocab_size' is missing."},
      {"no layers", "mixtral-1", Set("num_hidden_layers", R"(0)"), 3,
       "[MOE-C105]: config.json: key 'num_hidden_layers': 0 is not between 1 "
       "and 10000."},
      {"no heads", "mixtral-1", Set("num_attention_heads", R"(0)"), 3,
       "[MOE-C105]: config.json: key 'num_attention_heads': 0 is not between 1 "
       "and 65536."},
      {"positions missing", "mixtral-1", Drop("max_position_embeddings"), 3,
       "[MOE-C103]: config.json: key 'max_position_embeddings' is missing."},
      {"heads do not divide hidden_size", "mixtral-1",
       Both(Drop("head_dim"), Set("num_attention_heads", "3")), 3,
       "[MOE-C106]: config.json: hidden_size 20 is not a multiple of "
       "num_attention_heads 3 and there is no head_dim."},
      {"kv heads do not divide heads", "mixtral-1",
       Both(Set("num_attention_heads", "4"), Set("num_key_value_heads", "3")),
       3,
       "[MOE-C106]: config.json: num_attention_heads 4 is not a multiple of "
       "num_key_value_heads 3."},
      {"odd head_dim", "mixtral-1", Set("head_dim", R"(15)"), 3,
       "[MOE-C106]: config.json: rotary positions need an even number of "
       "dimensions, found 15."},
      {"negative epsilon", "mixtral-1", Set("rms_norm_eps", R"(-1e-5)"), 3,
       "[MOE-C105]: config.json: key 'rms_norm_eps': -1e-05 is negative."},
      {"activation unknown", "mixtral-1", Set("hidden_act", R"("xielu")"), 5,
       "[MOE-C109]: config.json: key 'hidden_act' with value 'xielu' is not "
       "supported; supported: silu, swish, gelu, gelu_new, gelu_pytorch_tanh, "
       "relu."},
      {"tie no truth value", "mixtral-1",
       Set("tie_word_embeddings", R"("yes")"), 3,
       "[MOE-C104]: config.json: key 'tie_word_embeddings': expected true or "
       "false, found text 'yes'."},
      {"experts missing", "mixtral-1", Drop("num_local_experts"), 3,
       "[MOE-C103]: config.json: key 'num_local_experts' is missing."},
      {"experts of two names differ", "mixtral-1", Set("num_experts", R"(6)"),
       3,
       "[MOE-C106]: config.json: num_local_experts 5 and num_experts 6 "
       "differ."},
      {"top-k missing", "mixtral-1", Drop("num_experts_per_tok"), 3,
       "[MOE-C103]: config.json: key 'num_experts_per_tok' is missing."},
      {"top-k larger than experts", "mixtral-1",
       Set("num_experts_per_tok", R"(6)"), 3,
       "[MOE-C106]: config.json: num_experts_per_tok 6 is larger than "
       "num_local_experts 5."},
      {"top-k zero", "mixtral-1", Set("num_experts_per_tok", R"(0)"), 3,
       "[MOE-C105]: config.json: key 'num_experts_per_tok': 0 is not between 1 "
       "and 65536."},
      {"width missing", "mixtral-1", Drop("intermediate_size"), 3,
       "[MOE-C103]: config.json: key 'intermediate_size' is missing."},
      {"window zero", "mixtral-1", Set("sliding_window", R"(0)"), 3,
       "[MOE-C105]: config.json: key 'sliding_window': 0 is not between 1 and "
       "16777216."},
      {"end id outside the vocabulary", "mixtral-1",
       Set("eos_token_id", R"([3, 67])"), 3,
       "[MOE-C105]: config.json: key 'eos_token_id': 67 is not between 0 and "
       "vocab_size - 1, 66."},
      {"end id text", "mixtral-1", Set("eos_token_id", R"("</s>")"), 3,
       "[MOE-C104]: config.json: key 'eos_token_id': expected an integer, "
       "found text '</s>'."},
      {"generation end id outside", "mixtral-1",
       Generation(R"({"eos_token_id": 99})"), 3,
       "[MOE-C105]: generation_config.json: key 'eos_token_id': 99 is not "
       "between 0 and vocab_size - 1, 66."},
      {"generation no object", "mixtral-1", Generation("[]"), 3,
       "[MOE-C104]: generation_config.json: expected an object, found an "
       "array."},
      {"generation no JSON", "mixtral-1", Generation("{"), 3,
       "[MOE-J101]: DIR/generation_config.json: not valid JSON at byte 1: "
       "while parsing object key - unexpected end of input; expected string "
       "literal."},
      {"config no object", "mixtral-1", Text("[1]"), 3,
       "[MOE-C102]: DIR/config.json: expected one JSON object."},
      {"config no JSON", "mixtral-1", Text("{\"model_type\": "), 3,
       "[MOE-J101]: DIR/config.json: not valid JSON at byte 15: while parsing "
       "value - unexpected end of input; expected '[', '{', or a literal."},
      {"config key twice", "mixtral-1",
       Text(R"({"model_type": "mixtral", "model_type": "x"})"), 3,
       "[MOE-J102]: DIR/config.json: key 'model_type' comes twice in one "
       "object, again at byte 38. Remove one."},
      {"rope of an unknown type", "mixtral-1",
       Set("rope_parameters",
           R"({"rope_type": "spiral", "rope_theta": 1e4, "factor": 2.0})"),
       5,
       "[MOE-C109]: config.json: rope_parameters: type 'spiral' is not "
       "supported for mixtral; supported: default, linear, dynamic, yarn, "
       "llama3, longrope."},
      {"longrope of no original length", "mixtral-1",
       Set("rope_parameters", R"({"rope_type": "longrope", "factor": 2.0})"), 3,
       "[MOE-C103]: config.json: rope_parameters: key "
       "'original_max_position_embeddings' is missing."},
      {"longrope with a factor too few", "phimoe-6",
       Set("rope_parameters",
           R"({"rope_type": "longrope", "short_factor": [1, 1, 1],
               "long_factor": [1, 1, 1, 1]})"),
       3,
       "[MOE-C106]: config.json: rope_parameters: key 'short_factor' has 3 "
       "factors for 4 pairs of dimensions."},
      {"longrope of two original lengths", "phimoe-6",
       Set("original_max_position_embeddings", R"(32)"), 3,
       "[MOE-C106]: config.json: original_max_position_embeddings is 32, but "
       "inside the rope parameters it is 48."},
      {"rope unknown key", "mixtral-1",
       Set("rope_parameters",
           R"({"rope_type": "yarn", "factor": 2.0, "temperature": 0.5})"),
       5,
       "[MOE-C108]: config.json: rope_parameters: key 'temperature' with value "
       "0.5 is not known and might change the result. Remove it if it changes "
       "nothing."},
      {"rope per kind of layer", "mixtral-1",
       Set("rope_parameters",
           R"({"full_attention": {"rope_type": "default"}})"),
       5,
       "[MOE-C108]: config.json: rope_parameters: key 'full_attention' with "
       "value {\"rope_type\":\"default\"} is not known and might change the "
       "result. Remove it if it changes nothing."},
      {"rope no object", "mixtral-1", Set("rope_parameters", R"([])"), 3,
       "[MOE-C104]: config.json: rope_parameters: expected an object, found an "
       "array."},
      {"rope two spellings", "mixtral-1",
       Both(Set("rope_scaling", R"({"type": "linear", "factor": 2.0})"),
            Set("rope_theta", "1e4")),
       3,
       "[MOE-C106]: config.json: rope_parameters and rope_scaling are both "
       "given and differ."},
      {"rope two thetas", "mixtral-1", Set("rope_theta", R"(5e5)"), 3,
       "[MOE-C106]: config.json: rope_theta is 5e+05, but inside "
       "rope_parameters it is 10000."},
      {"rope theta negative", "mixtral-1",
       Set("rope_parameters",
           R"({"rope_type": "default", "rope_theta": -1.0})"),
       3,
       "[MOE-C105]: config.json: key 'rope_theta': -1 is not a positive "
       "number."},
      {"rope without type", "mixtral-1",
       Set("rope_parameters", R"({"factor": 2.0})"), 3,
       "[MOE-C103]: config.json: rope_parameters: key 'rope_type' is missing."},
      {"rope two types", "mixtral-1",
       Set("rope_parameters",
           R"({"rope_type": "linear", "type": "yarn", "factor": 2.0})"),
       3,
       "[MOE-C106]: config.json: rope_parameters: rope_type 'linear' and type "
       "'yarn' differ."},
      {"rope linear without factor", "mixtral-1",
       Set("rope_parameters", R"({"rope_type": "linear"})"), 3,
       "[MOE-C103]: config.json: rope_parameters: key 'factor' is missing."},
      {"rope factor zero", "mixtral-1",
       Set("rope_parameters", R"({"rope_type": "yarn", "factor": 0})"), 3,
       "[MOE-C105]: config.json: rope_parameters: key 'factor': 0 is not a "
       "positive number."},
      {"rope yarn of theta 1", "mixtral-1",
       Set("rope_parameters",
           R"({"rope_type": "yarn", "factor": 2.0, "rope_theta": 1.0})"),
       3,
       "[MOE-C105]: config.json: rope_parameters: type 'yarn' needs a "
       "rope_theta above 1, found 1."},
      {"rope llama3 bands", "mixtral-1",
       Set("rope_parameters",
           R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0})"),
       3,
       "[MOE-C106]: config.json: rope_parameters: high_freq_factor 1 is not "
       "above low_freq_factor 4."},
      {"rope llama3 without bands", "mixtral-1",
       Set("rope_parameters", R"({"rope_type": "llama3", "factor": 8.0})"), 3,
       "[MOE-C103]: config.json: rope_parameters: key 'low_freq_factor' is "
       "missing."},
      {"rope dynamic that changes results", "mixtral-1",
       Set("rope_parameters",
           R"({"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 16})"),
       5,
       "[MOE-C109]: config.json: rope_parameters: type 'dynamic' with "
       "original_max_position_embeddings 16 below max_position_embeddings 64 "
       "changes results with the length of a sequence, which is not "
       "supported."},
      {"rope partial", "mixtral-1",
       Set("rope_parameters",
           R"({"rope_type": "default", "partial_rotary_factor": 0.5})"),
       5,
       "[MOE-C109]: config.json: rope_parameters: key 'partial_rotary_factor' "
       "with value 0.5 is not supported for mixtral; supported: 1."},
      {"rope frequencies overflow", "mixtral-1",
       Set("rope_parameters", R"({"rope_type": "linear", "factor": 1e-300})"),
       3,
       "[MOE-C105]: config.json: rope_parameters: these values give "
       "frequencies or scales that are not finite."},
      {"latent rank missing", "deepseek_v2-1", Drop("kv_lora_rank"), 3,
       "[MOE-C103]: config.json: key 'kv_lora_rank' is missing."},
      {"rope dims odd", "deepseek_v2-1", Set("qk_rope_head_dim", R"(7)"), 3,
       "[MOE-C106]: config.json: rotary positions need an even number of "
       "dimensions, found 7."},
      {"kv heads of latent attention", "deepseek_v2-1",
       Set("num_key_value_heads", R"(1)"), 3,
       "[MOE-C106]: config.json: num_key_value_heads 1 differs from "
       "num_attention_heads 2, but latent attention has as many of both."},
      {"topk_method of a later family", "deepseek_v2-1",
       Set("topk_method", R"("noaux_tc")"), 5,
       "[MOE-C109]: config.json: key 'topk_method' with value 'noaux_tc' is "
       "not supported for deepseek_v2; supported: greedy, "
       "group_limited_greedy."},
      {"scoring_func sigmoid", "deepseek_v2-1",
       Set("scoring_func", R"("sigmoid")"), 5,
       "[MOE-C109]: config.json: key 'scoring_func' with value \"sigmoid\" is "
       "not supported for deepseek_v2; supported: \"softmax\", null."},
      {"moe layers not all", "deepseek_v2-1", Set("moe_layer_freq", R"(2)"), 5,
       "[MOE-C109]: config.json: key 'moe_layer_freq' with value 2 is not "
       "supported for deepseek_v2; supported: 1, null."},
      {"groups do not divide experts", "deepseek_v2-1", Set("n_group", R"(3)"),
       3,
       "[MOE-C106]: config.json: n_routed_experts 4 is not a multiple of "
       "n_group 3."},
      {"more groups kept than there are", "deepseek_v2-1",
       Set("topk_group", R"(3)"), 3,
       "[MOE-C106]: config.json: topk_group 3 is larger than n_group 2."},
      {"groups missing", "deepseek_v2-1", Drop("n_group"), 3,
       "[MOE-C103]: config.json: key 'n_group' is missing."},
      {"all layers dense", "deepseek_v2-1",
       Set("first_k_dense_replace", R"(3)"), 3,
       "[MOE-C105]: config.json: key 'first_k_dense_replace': 3 is not between "
       "0 and 2."},
      {"dense width missing", "deepseek_v2-1", Drop("intermediate_size"), 3,
       "[MOE-C103]: config.json: key 'intermediate_size' is missing."},
      {"scaling factor text", "deepseek_v2-1",
       Set("routed_scaling_factor", R"("2")"), 3,
       "[MOE-C104]: config.json: key 'routed_scaling_factor': expected a "
       "number, found text '2'."},
      {"scaling factor too large", "deepseek_v2-1",
       Set("routed_scaling_factor", R"(1e300)"), 3,
       "[MOE-C105]: config.json: key 'routed_scaling_factor': 1e+300 is too "
       "large for f32."},
      {"shared experts negative", "deepseek_v2-1",
       Set("n_shared_experts", R"(-1)"), 3,
       "[MOE-C105]: config.json: key 'n_shared_experts': -1 is not between 0 "
       "and 65536."},
      {"prediction layers", "deepseek_v2-1",
       Set("num_nextn_predict_layers", R"(1)"), 5,
       "[MOE-C109]: config.json: key 'num_nextn_predict_layers' with value 1 "
       "is not supported for deepseek_v2; supported: 0, null."},
  };
}

}  // namespace mlir::moe
