// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/import.h"

#include "lib/core/checkpoint.h"
#include "lib/core/status_macros.h"
#include "lib/frontend/family.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Path.h"

namespace mlir::moe {

using namespace frontend;
using ::moe::Checkpoint;
using ::moe::Code;
using ::moe::Error;
using ::moe::Json;
using ::moe::JsonFields;
using ::moe::Quoted;

std::vector<std::string> supportedModelTypes() {
  std::vector<std::string> out;
  for (const Family *family : allFamilies())
    out.push_back(family->modelType.str());
  return out;
}

static absl::StatusOr<const Family *> findFamily(JsonFields &config) {
  ASSIGN_OR_RETURN(std::string type, config.String("model_type"));
  for (const Family *family : allFamilies())
    if (family->modelType == type)
      return family;
  return Error(Code::C107, "config.json: model_type ", Quoted(type),
               " is not supported; supported: ",
               llvm::join(supportedModelTypes(), ", "), ".");
}

/// Ids that end a text, from config.json and, if there is one, from
/// generation_config.json.
static absl::StatusOr<std::vector<int64_t>>
readEnds(JsonFields &config, const std::string &path, int64_t vocab,
         bool followLinks, std::vector<std::string> &lines) {
  std::vector<int64_t> ids;
  RETURN_IF_ERROR(readEosTokenIds(config, vocab, ids));
  absl::StatusOr<Json> generation = ::moe::ReadJsonFile(
      path + "/generation_config.json", {.follow_links = followLinks});
  if (!generation.ok() && ::moe::HasCode(generation.status(), Code::F101))
    return ids;
  RETURN_IF_ERROR(generation.status());
  JsonFields fields(*generation, "generation_config.json", ::moe::kConfigCodes);
  RETURN_IF_ERROR(fields.Check());
  RETURN_IF_ERROR(readEosTokenIds(fields, vocab, ids));
  lines.push_back(describeKeys(*generation, fields, {}));
  return ids;
}

static std::string describeTensors(const Checkpoint &checkpoint,
                                   const Weights &weights,
                                   const std::vector<std::string> &unused) {
  std::string names;
  for (const std::string &name : llvm::ArrayRef(unused).take_front(5))
    names += (names.empty() ? "" : ", ") + ::moe::Escaped(name);
  if (unused.size() > 5)
    names += ::moe::Joined(" and ", unused.size() - 5, " more");
  return ::moe::Joined("weights: ", weights.usedCount(), " of ",
                       checkpoint.tensors().size(), " tensors used from ",
                       checkpoint.files().size(), " file(s), ",
                       checkpoint.total_bytes(),
                       " bytes; not used: ", names.empty() ? "none" : names);
}

/// Tensors that old writers stored although they follow from the
/// configuration.
static constexpr llvm::StringRef derivedTensors[] = {"rotary_emb.inv_freq"};

static absl::StatusOr<OwningOpRef<ModuleOp>>
import(MLIRContext &context, const std::string &path, const std::string &name,
       bool followLinks, std::vector<std::string> &lines) {
  ASSIGN_OR_RETURN(Json json, ::moe::ReadConfig(path, followLinks));
  JsonFields config(json, "config.json", ::moe::kConfigCodes);
  RETURN_IF_ERROR(config.Check());
  ASSIGN_OR_RETURN(const Family *family, findFamily(config));
  RETURN_IF_ERROR(checkKeys(json, family->keys, family->modelType));
  ASSIGN_OR_RETURN(Checkpoint checkpoint,
                   Checkpoint::Open(path, {.header_only = true,
                                           .follow_links = followLinks}));

  Weights weights(checkpoint);
  ASSIGN_OR_RETURN(std::optional<Quantization> quantization,
                   readQuantization(config));
  weights.setQuantization(quantization);
  ModelBuilder model(context, weights, name);
  ImportContext in{family->modelType, config, weights, model, {}, lines};
  RETURN_IF_ERROR(family->build(in));
  RETURN_IF_ERROR(model.status());
  llvm::SmallVector<llvm::StringRef> harmless(std::begin(derivedTensors),
                                              std::end(derivedTensors));
  if (in.common.tied)
    harmless.push_back("lm_head.weight");
  ASSIGN_OR_RETURN(std::vector<std::string> unused, weights.finish(harmless));
  // Before the keys are counted: it reads one.
  std::vector<std::string> generation;
  ASSIGN_OR_RETURN(
      std::vector<int64_t> ends,
      readEnds(config, path, in.common.vocab, followLinks, generation));
  lines.push_back(describeKeys(json, config, family->keys));
  llvm::append_range(lines, generation);
  lines.push_back(describeTensors(checkpoint, weights, unused));
  if (!checkpoint.unused_files().empty())
    lines.push_back("files not used: " + ::moe::Escaped(llvm::join(
                                             checkpoint.unused_files(), ", ")));

  OwningOpRef<ModuleOp> module = model.take();
  Builder b(&context);
  (*module)->setAttr("moe.name", b.getStringAttr(::moe::Escaped(name)));
  (*module)->setAttr("moe.config", b.getStringAttr(::moe::DumpJson(json)));
  (*module)->setAttr("moe.max_positions",
                     b.getI64IntegerAttr(in.common.maxPositions));
  (*module)->setAttr("moe.eos_token_ids", b.getDenseI64ArrayAttr(ends));
  return module;
}

absl::StatusOr<OwningOpRef<ModuleOp>> importFolder(MLIRContext &context,
                                                   const std::string &path,
                                                   const ImportOptions &options,
                                                   ImportReport *report) {
  context.loadDialect<MoeDialect, nn::NnDialect, arith::ArithDialect>();
  std::string name = options.name;
  if (name.empty()) {
    llvm::StringRef folder =
        llvm::sys::path::filename(llvm::StringRef(path).rtrim('/'));
    name = folder.empty() || folder == "." || folder == ".." ? "model"
                                                             : folder.str();
  }
  ImportReport local;
  auto module = import(context, path, name, options.followLinks,
                       (report ? *report : local).lines);
  if (!module.ok())
    return module.status();
  std::string message;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    if (message.empty())
      message = diagnostic.str();
    return success();
  });
  if (failed(verify(**module)))
    return Error(Code::I002, "the imported module is not valid: ", message);
  return module;
}

} // namespace mlir::moe
