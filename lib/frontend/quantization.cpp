// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/quantization.h"

#include "lib/core/status_macros.h"
#include "lib/frontend/config.h"

namespace mlir::moe::frontend {

using ::moe::Code;
using ::moe::Error;
using ::moe::Json;

/// The type that config.json names for the weights; bf16 where it names none.
static absl::StatusOr<::moe::DType> readDType(::moe::JsonFields &config) {
  const char *key = config.Has("dtype") ? "dtype" : "torch_dtype";
  ASSIGN_OR_RETURN(std::string name, config.StringOr(key, "bfloat16"));
  if (name == "bfloat16")
    return ::moe::DType::kBF16;
  if (name == "float32")
    return ::moe::DType::kF32;
  if (name == "float16")
    return ::moe::DType::kF16;
  return Error(Code::C109, config.where(), ": key '", key, "' with value ",
               ::moe::Quoted(name),
               " is not supported for quantized weights; supported: bfloat16, "
               "float16, float32.");
}

absl::StatusOr<std::optional<Quantization>>
readQuantization(::moe::JsonFields &config) {
  const Json *json = config.Find("quantization_config");
  if (!json || json->is_null())
    return std::nullopt;
  auto refused = [&] {
    return Error(Code::C110,
                 "config.json: the weights are quantized "
                 "(quantization_config ",
                 shown(*json), "). Use the checkpoint in bf16 or f32.");
  };
  if (!json->is_object())
    return refused();
  auto is = [&](const char *key, const char *value) {
    auto it = json->find(key);
    return it != json->end() && *it == value;
  };
  Quantization out;
  ASSIGN_OR_RETURN(out.dtype, readDType(config));
  if (is("quant_method", "mxfp4")) {
    out.stored = ::moe::StoredNumber::kF4E2M1;
    return out;
  }
  auto block = json->find("weight_block_size");
  if (!is("quant_method", "fp8") || block == json->end() ||
      !block->is_array() || block->size() != 2 ||
      (json->contains("fmt") && !is("fmt", "e4m3")))
    return refused();
  int64_t *sizes[] = {&out.blockRows, &out.blockColumns};
  for (int i = 0; i < 2; ++i) {
    const Json &size = (*block)[i];
    if (!size.is_number_integer() || size.get<int64_t>() < 1 ||
        size.get<int64_t>() > kMaxWidth)
      return refused();
    *sizes[i] = size.get<int64_t>();
  }
  return out;
}

} // namespace mlir::moe::frontend
