// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run inspect: what a module holds. Runs nothing of it.
#include <CLI/CLI.hpp>
#include <memory>

#include "lib/core/errors.h"
#include "lib/core/module_file.h"
#include "lib/core/status_macros.h"
#include "runtime/manifest.h"
#include "runtime/memory_stats.h"
#include "tools/run/command.h"

namespace moe::run {
namespace {

struct InspectFlags {
  CommonFlags common;
  bool params = false;
};

std::string ShapeOf(const BufferSpec& buffer) {
  std::string text = "[";
  for (size_t i = 0; i < buffer.shape.size(); ++i)
    text += Joined(i == 0 ? "" : ", ", Escaped(buffer.shape[i].text));
  return text + "]";
}

std::string EntryText(const EntrySpec& entry) {
  std::string text = Joined("entry ", Escaped(entry.name), "\n");
  for (const BufferSpec& buffer : entry.buffers) {
    if (buffer.role == BufferRole::kParams || buffer.role == BufferRole::kCache)
      continue;
    text += Joined(buffer.role == BufferRole::kInput ? "  in   " : "  out  ",
                   Escaped(buffer.name), " ", DTypeName(buffer.dtype), " ",
                   ShapeOf(buffer), "\n");
  }
  return text;
}

std::string ModelText(const ModelSpec& model) {
  std::string text =
      Joined("model: ", model.layers, " layers, vocabulary ", model.vocab_size,
             ", ", model.experts, " experts, top ", model.top_k, ", ",
             model.moe_layers.size(), " MoE layers, positions ",
             model.max_positions, "\n");
  if (model.kv)
    text += Joined("cache: ", DTypeName(model.kv->dtype), ", ",
                   model.kv->TokenBytes(), " bytes a token\n");
  return text;
}

std::string ParamsText(const Manifest& manifest, bool all) {
  int64_t bytes = 0, tensors = 0;
  std::string lines;
  for (const ParamSpec& param : manifest.params) {
    // Cannot overflow: the manifest was checked, and the sum is for people.
    bytes = static_cast<int64_t>(static_cast<uint64_t>(bytes) +
                                 static_cast<uint64_t>(param.bytes) *
                                     static_cast<uint64_t>(param.layers));
    tensors += param.layers;
    if (all)
      lines += Joined("  ", Escaped(param.name), " x", param.layers, " groups ",
                      param.groups, " [", param.n,
                      param.rank == 2 ? Joined(", ", param.k) : "", "] ",
                      DTypeName(param.dtype), " as ", FormatName(param.format),
                      "\n");
  }
  return Joined("parameters: ", manifest.params.size(), " in ", tensors,
                " slots, ", FormatBytes(bytes), "\n", lines);
}

absl::Status PrintText(const ModuleFile& file, const Manifest& manifest,
                       const InspectFlags& flags) {
  std::string text =
      Joined(Escaped(manifest.name), " by ", Escaped(manifest.producer),
             ", computes ", "in ", Escaped(manifest.compute), ", ",
             FormatBytes(static_cast<int64_t>(file.size())), ", hash ",
             file.hash().Hex(), "\n");
  for (const ModuleSection& section : file.sections())
    text += Joined("section ", section.name, " ",
                   FormatBytes(static_cast<int64_t>(section.bytes.size())),
                   " hash ", section.hash.Hex(), "\n");
  if (manifest.model) text += ModelText(*manifest.model);
  text += ParamsText(manifest, flags.params);
  for (const EntrySpec& entry : manifest.entries) text += EntryText(entry);
  return Print(text);
}

absl::Status Inspect(const InspectFlags& flags) {
  ASSIGN_OR_RETURN(const ModuleFile file,
                   ModuleFile::Open(flags.common.module));
  ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(file));
  if (flags.common.output == "text") return PrintText(file, manifest, flags);
  Json sections = Json::array();
  for (const ModuleSection& section : file.sections())
    sections.push_back({{"name", section.name},
                        {"bytes", section.bytes.size()},
                        {"hash", section.hash.Hex()}});
  return PrintJson({{"path", flags.common.module},
                    {"bytes", file.size()},
                    {"hash", file.hash().Hex()},
                    {"sections", sections},
                    {"manifest", file.manifest()}});
}

}  // namespace

Action AddInspect(CLI::App& app) {
  auto flags = std::make_shared<InspectFlags>();
  app.add_option("MODULE", flags->common.module, "module made by moe-compile")
      ->required();
  app.add_flag("--params", flags->params, "list every parameter");
  AddOutputFlag(app, flags->common, {"text", "json"});
  app.footer(
      "Runs nothing of the module and is safe on any file.\n\n"
      "Example:\n"
      "  moe-run inspect out.moe -o json");
  return [flags] { return Inspect(*flags); };
}

}  // namespace moe::run
