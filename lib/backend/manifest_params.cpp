// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "dialect/nn/NnParams.h"
#include "lib/backend/manifest.h"

#include "lib/core/dtype.h"
#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

using namespace mlir;
using namespace mlir::moe;
using ::moe::Code;
using ::moe::Error;
using ::moe::Json;

using Groups = nn::ParamGroups;

/// Ranks that hold equal parts of the leading dimension.
static int64_t shardsOf(nn::ParamOp param) {
  auto shards = param->getAttrOfType<IntegerAttr>("moe.shard");
  return shards ? shards.getInt() : 1;
}

/// Bytes of one group; nothing for a format that is not known here or a size
/// beyond 63 bits.
static std::optional<int64_t> groupBytes(StringRef format, ::moe::DType dtype,
                                         const Groups &g) {
  int64_t columns = llvm::divideCeil(g.n, 32) * 32;
  if (format == "raw")
    return ::moe::ByteCount(dtype, {{g.n, g.k}});
  if (format == "f32.n32")
    return ::moe::ByteCount(::moe::DType::kF32, {{columns, g.k}});
  if (format == "bf16.n32")
    return ::moe::ByteCount(::moe::DType::kBF16, {{columns, g.k}});
  if (format == "bf16.amx")
    return ::moe::ByteCount(
        ::moe::DType::kBF16,
        {{columns, int64_t(llvm::divideCeil(g.k, 32) * 32)}});
  return std::nullopt;
}

static Json describeSource(nn::SourceAttr source, const Groups &g,
                           int64_t shards, Type element) {
  int64_t rows = source.getRows() ? source.getRows() : g.n;
  bool perExpert = source.getPattern().getValue().contains("{e}");
  int64_t strides[] = {rows * g.k, g.k, 1};
  for (auto [i, stride] : llvm::enumerate(source.getStrides().take_front(3)))
    strides[i] = stride;
  Json json = {{"pattern", source.getPattern().str()},
               {"shape", source.getShape().vec()},
               {"n0", source.getAt()},
               {"n", rows},
               {"offset", source.getOffset()},
               {"stride_n", strides[1]},
               {"stride_k", strides[2]}};
  if (!perExpert && g.groups * shards > 1)
    json["stride_g"] = strides[0];
  if (nn::ScaledAttr scaled = source.getScaled())
    json["scaled"] = {{"stored", nn::storedName(scaled).str()},
                      {"pattern", scaled.getPattern().str()},
                      {"shape", scaled.getShape().vec()},
                      {"columns", nn::scaledColumns(source)},
                      {"block", scaled.getBlock().vec()},
                      {"pack", nn::scaledEntry(source, element)}};
  return json;
}

absl::StatusOr<Json> mlir::moe::describeParam(nn::ParamOp param) {
  std::string name = param.getSymName().str();
  auto index = param->getAttrOfType<IntegerAttr>("nn.index");
  auto format = param->getAttrOfType<StringAttr>("nn.format");
  if (!index || !format)
    return Error(Code::I002, "parameter '", name, "' has no place or format");
  std::string element;
  llvm::raw_string_ostream(element) << param.getTensorType().getElementType();
  std::optional<::moe::DType> dtype = ::moe::DTypeFromName(element);
  if (!dtype)
    return Error(Code::I002, "parameter '", name, "' has element type ",
                 element);
  Groups g = nn::groupsOf(param);
  StringRef formatName = format.getValue();
  std::optional<int64_t> bytes = groupBytes(formatName, *dtype, g), all;
  if (bytes)
    all = ::moe::ElementCount({{*bytes, g.groups}});
  if (!all || (g.vectors && formatName != "raw"))
    return Error(Code::I002, "parameter '", name, "' cannot have the format '",
                 formatName.str(), "'");
  std::optional<llvm::ArrayRef<int64_t>> layers = param.getLayers();
  Json shape = Json::array({g.n});
  if (!g.vectors)
    shape.push_back(g.k);
  Json sources = Json::array();
  for (auto source : param.getSources().getAsRange<nn::SourceAttr>())
    sources.push_back(describeSource(source, g, shardsOf(param),
                                     param.getTensorType().getElementType()));
  Json described = {
      {"name", name},
      {"index", index.getInt()},
      {"layers", layers ? (*layers)[1] - (*layers)[0] : 1},
      {"first_layer", layers ? (*layers)[0] : 0},
      {"groups", g.groups},
      {"shape", std::move(shape)},
      {"format", formatName.str()},
      {"dtype", element},
      {"bytes", *all},
      {"group_bytes", *bytes},
      {"pack",
       formatName == "raw" ? "" : "pack." + element + "." + formatName.str()},
      {"sources", std::move(sources)},
  };
  if (shardsOf(param) > 1)
    described["shards"] = shardsOf(param);
  return described;
}
