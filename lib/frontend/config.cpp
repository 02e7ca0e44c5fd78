// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/config.h"

#include "lib/core/status_macros.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

#include <cmath>
#include <optional>

namespace mlir::moe::frontend {

using ::moe::Code;
using ::moe::Error;
using ::moe::Json;
using ::moe::JsonFields;
using ::moe::Quoted;

// Keys that any decoder's config.json may have.
static constexpr ConfigKey commonKeys[] = {
    {"hidden_size", KeyUse::Used},
    {"vocab_size", KeyUse::Used},
    {"num_hidden_layers", KeyUse::Used},
    {"num_attention_heads", KeyUse::Used},
    {"num_key_value_heads", KeyUse::Used},
    {"num_experts_per_tok", KeyUse::Used},
    {"max_position_embeddings", KeyUse::Used},
    {"hidden_act", KeyUse::Used},
    {"rms_norm_eps", KeyUse::Used},
    {"tie_word_embeddings", KeyUse::Used},
    {"eos_token_id", KeyUse::Used},
    {"model_type", KeyUse::Used},
    {"rope_theta", KeyUse::Used},
    {"rope_scaling", KeyUse::Used},
    {"rope_parameters", KeyUse::Used},
    {"quantization_config", KeyUse::Used},
    {"attention_dropout", KeyUse::Training},
    {"hidden_dropout", KeyUse::Training},
    {"resid_pdrop", KeyUse::Training},
    {"embd_pdrop", KeyUse::Training},
    {"initializer_range", KeyUse::Training},
    {"router_aux_loss_coef", KeyUse::Training},
    {"router_z_loss_coef", KeyUse::Training},
    {"output_router_logits", KeyUse::Training},
    {"architectures", KeyUse::Inert},
    {"auto_map", KeyUse::Inert},
    {"bos_token_id", KeyUse::Inert},
    {"pad_token_id", KeyUse::Inert},
    {"sep_token_id", KeyUse::Inert},
    {"unk_token_id", KeyUse::Inert},
    {"dtype", KeyUse::Inert},
    {"torch_dtype", KeyUse::Inert},
    {"transformers_version", KeyUse::Inert},
    {"use_cache", KeyUse::Inert},
    {"use_return_dict", KeyUse::Inert},
    {"return_dict", KeyUse::Inert},
    {"output_attentions", KeyUse::Inert},
    {"output_hidden_states", KeyUse::Inert},
    {"_name_or_path", KeyUse::Inert},
    {"name_or_path", KeyUse::Inert},
    {"_attn_implementation", KeyUse::Inert},
    {"_attn_implementation_autoset", KeyUse::Inert},
    {"attn_implementation", KeyUse::Inert},
    {"_experts_implementation", KeyUse::Inert},
    {"tokenizer_class", KeyUse::Inert},
    {"torchscript", KeyUse::Inert},
    {"use_bfloat16", KeyUse::Inert},
    {"problem_type", KeyUse::Inert},
    {"id2label", KeyUse::Inert},
    {"label2id", KeyUse::Inert},
    {"task_specific_params", KeyUse::Inert},
    // Splits a matrix product in parts that are then added or joined.
    {"pretraining_tp", KeyUse::Inert},
    {"is_decoder", KeyUse::Inert},
    {"is_encoder_decoder", KeyUse::Only, "false|null"},
    {"add_cross_attention", KeyUse::Only, "false|null"},
    {"cross_attention_hidden_size", KeyUse::Only, "null"},
    {"tie_encoder_decoder", KeyUse::Only, "false|null"},
    {"pruned_heads", KeyUse::Only, "{}|null"},
    {"chunk_size_feed_forward", KeyUse::Inert},
};

const ConfigKey *findKey(llvm::ArrayRef<ConfigKey> keys, llvm::StringRef name) {
  for (llvm::ArrayRef<ConfigKey> table :
       {keys, llvm::ArrayRef<ConfigKey>(commonKeys)})
    for (const ConfigKey &key : table)
      if (key.name == name)
        return &key;
  return nullptr;
}

std::string shown(const Json &value) {
  std::string text = ::moe::Escaped(::moe::DumpJson(value));
  if (text.size() > 60) {
    text.resize(57);
    text += "...";
  }
  return text;
}

absl::Status checkKeys(const Json &config, llvm::ArrayRef<ConfigKey> keys,
                       llvm::StringRef modelType) {
  for (const auto &[name, value] : config.items()) {
    if (name == "compression_config") {
      if (value.is_null())
        continue;
      return Error(Code::C110, "config.json: the weights are quantized (", name,
                   " ", shown(value), "). Use the checkpoint in bf16 or f32.");
    }
    const ConfigKey *key = findKey(keys, name);
    if (!key)
      return Error(
          Code::C108, "config.json: key ", Quoted(name), " with value ",
          shown(value), " is not known for ", std::string_view(modelType),
          " and might change the result. Remove it if it changes nothing.");
    if (key->use != KeyUse::Only)
      continue;
    llvm::SmallVector<llvm::StringRef> allowed;
    key->allowed.split(allowed, '|');
    if (!llvm::is_contained(allowed, ::moe::DumpJson(value)))
      return Error(Code::C109, "config.json: key ", Quoted(name),
                   " with value ", shown(value), " is not supported for ",
                   std::string_view(modelType),
                   "; supported: ", llvm::join(allowed, ", "), ".");
  }
  return absl::OkStatus();
}

std::string describeKeys(const Json &config, const JsonFields &fields,
                         llvm::ArrayRef<ConfigKey> keys) {
  llvm::SmallVector<std::string> training, unused;
  int64_t used = config.size();
  for (const std::string &name : fields.Unread()) {
    const ConfigKey *key = findKey(keys, name);
    if (key && key->use == KeyUse::Only)
      continue; // checked
    --used;
    (key && key->use == KeyUse::Training ? training : unused)
        .push_back(::moe::Escaped(name));
  }
  std::string line = ::moe::Joined(fields.where(), ": ", used, " of ",
                                   config.size(), " keys used");
  if (!training.empty())
    line += "; for training alone: " + llvm::join(training, ", ");
  return line +
         "; not used: " + (unused.empty() ? "none" : llvm::join(unused, ", "));
}

absl::StatusOr<double> readNonNegative(JsonFields &fields, llvm::StringRef key,
                                       double fallback) {
  ASSIGN_OR_RETURN(double value,
                   fields.NumberOr(std::string_view(key), fallback));
  if (!std::isfinite(value) || value < 0)
    return Error(Code::C105, fields.where(), ": key ",
                 Quoted(std::string_view(key)), ": ", value, " is negative.");
  return value + 0.0; // never -0
}

absl::StatusOr<CommonConfig> readCommon(JsonFields &fields, double defaultEps,
                                        llvm::StringRef actKey) {
  CommonConfig out;
  ASSIGN_OR_RETURN(out.vocab, fields.Int("vocab_size", 1, kMaxWidth));
  ASSIGN_OR_RETURN(out.hidden, fields.Int("hidden_size", 1, kMaxWidth));
  ASSIGN_OR_RETURN(out.layers, fields.Int("num_hidden_layers", 1, kMaxLayers));
  ASSIGN_OR_RETURN(out.maxPositions,
                   fields.Int("max_position_embeddings", 1, kMaxPositions));
  ASSIGN_OR_RETURN(out.eps,
                   readNonNegative(fields, "rms_norm_eps", defaultEps));
  ASSIGN_OR_RETURN(out.tied, fields.BoolOr("tie_word_embeddings", false));
  ASSIGN_OR_RETURN(std::string act,
                   fields.StringOr(std::string_view(actKey), "silu"));
  auto known =
      llvm::StringSwitch<std::optional<nn::Activation>>(act)
          .Cases({"silu", "swish"}, nn::Activation::Silu)
          .Case("gelu", nn::Activation::Gelu)
          .Cases({"gelu_new", "gelu_pytorch_tanh"}, nn::Activation::GeluTanh)
          .Case("relu", nn::Activation::Relu)
          .Default(std::nullopt);
  if (!known)
    return Error(Code::C109, fields.where(), ": key ",
                 Quoted(std::string_view(actKey)), " with value ", Quoted(act),
                 " is not supported; supported: silu, swish, gelu, gelu_new, "
                 "gelu_pytorch_tanh, relu.");
  out.act = *known;
  return out;
}

absl::StatusOr<HeadsConfig> readHeads(JsonFields &fields, int64_t hidden) {
  HeadsConfig out;
  ASSIGN_OR_RETURN(out.heads, fields.Int("num_attention_heads", 1, kMaxHeads));
  ASSIGN_OR_RETURN(out.kvHeads, fields.IntOr("num_key_value_heads", out.heads,
                                             1, kMaxHeads));
  if (out.heads % out.kvHeads)
    return Error(Code::C106, fields.where(), ": num_attention_heads ",
                 out.heads, " is not a multiple of num_key_value_heads ",
                 out.kvHeads, ".");
  ASSIGN_OR_RETURN(out.headDim, fields.IntOr("head_dim", 0, 1, kMaxHeadDim));
  if (!out.headDim && hidden % out.heads)
    return Error(Code::C106, fields.where(), ": hidden_size ", hidden,
                 " is not a multiple of num_attention_heads ", out.heads,
                 " and there is no head_dim.");
  if (!out.headDim)
    out.headDim = hidden / out.heads;
  return out;
}

absl::StatusOr<ExpertsConfig>
readExperts(JsonFields &fields, llvm::ArrayRef<llvm::StringRef> countKeys,
            llvm::StringRef widthKey) {
  ExpertsConfig out;
  for (llvm::StringRef key : countKeys) {
    if (!fields.Has(std::string_view(key)))
      continue;
    ASSIGN_OR_RETURN(int64_t count,
                     fields.Int(std::string_view(key), 1, kMaxExperts));
    if (out.count && out.count != count)
      return Error(Code::C106, fields.where(), ": ", out.countKey, " ",
                   out.count, " and ", std::string_view(key), " ", count,
                   " differ.");
    if (!out.count)
      out.countKey = key.str();
    out.count = count;
  }
  if (!out.count)
    return fields.Int(std::string_view(countKeys.front())).status(); // missing
  ASSIGN_OR_RETURN(out.topK, fields.Int("num_experts_per_tok", 1, kMaxExperts));
  if (out.topK > out.count)
    return Error(Code::C106, fields.where(), ": num_experts_per_tok ", out.topK,
                 " is larger than ", out.countKey, " ", out.count, ".");
  ASSIGN_OR_RETURN(out.width,
                   fields.Int(std::string_view(widthKey), 1, kMaxWidth));
  ASSIGN_OR_RETURN(out.map, fields.IntsOrEmpty("expert_map"));
  for (int64_t expert : out.map)
    if (expert < 0 || expert >= out.count)
      return Error(Code::C106, fields.where(), ": expert_map has expert ",
                   expert, ", and ", out.countKey, " is ", out.count, ".");
  return out;
}

absl::Status readEosTokenIds(JsonFields &fields, int64_t vocab,
                             std::vector<int64_t> &ids) {
  const Json *value = fields.Find("eos_token_id");
  if (!value)
    return absl::OkStatus();
  std::vector<int64_t> found;
  if (value->is_array()) {
    ASSIGN_OR_RETURN(found, fields.Ints("eos_token_id"));
  } else {
    ASSIGN_OR_RETURN(int64_t id, fields.Int("eos_token_id"));
    found = {id};
  }
  for (int64_t id : found) {
    if (id < 0 || id >= vocab)
      return Error(Code::C105, fields.where(), ": key 'eos_token_id': ", id,
                   " is not between 0 and vocab_size - 1, ", vocab - 1, ".");
    if (!llvm::is_contained(ids, id))
      ids.push_back(id);
  }
  return absl::OkStatus();
}

} // namespace mlir::moe::frontend
