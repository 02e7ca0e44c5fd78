// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/module.h"

#include <iterator>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

std::string LevelsOf(const ModuleFile& file) {
  std::string names;
  for (IsaLevel level : kIsaLevels)
    if (file.Find(IsaSection(level)) != nullptr)
      names += Joined(names.empty() ? "" : ", ", IsaName(level));
  return names.empty() ? "no processor" : names;
}

absl::StatusOr<IsaLevel> ChooseLevel(const ModuleFile& file,
                                     const ModuleOptions& options) {
  if (options.isa) {
    if (file.Find(IsaSection(*options.isa)) == nullptr)
      return Error(Code::M111, file.path(), ": has code for ", LevelsOf(file),
                   ", not for ", IsaName(*options.isa), ".");
    if (!MachineRuns(*options.isa))
      return Error(Code::M111, file.path(), ": this processor does not run ",
                   IsaName(*options.isa), " code.");
    return *options.isa;
  }
  if (!MachineRuns(IsaLevel::kV3))
    return Error(Code::D101, "this processor lacks AVX2, FMA or F16C, which ",
                 "every module needs.");
  for (auto it = std::rbegin(kIsaLevels); it != std::rend(kIsaLevels); ++it)
    if (file.Find(IsaSection(*it)) != nullptr && MachineRuns(*it)) return *it;
  return Error(Code::M111, file.path(), ": has code for ", LevelsOf(file),
               ", which this processor does not run. Compile again with ",
               "--target cpu:x86-64-v3.");
}

absl::Status CheckEntries(const Manifest& manifest, const ElfModule& code,
                          std::string_view path) {
  for (const EntrySpec& entry : manifest.entries)
    if (code.Find(entry.name) == nullptr)
      return Error(Code::M113, path, ": no code for entry ", Quoted(entry.name),
                   ". Compile the model again.");
  for (const ParamSpec& param : manifest.params) {
    for (const SourceSpec& source : param.sources)
      if (source.scaled && code.Find(source.scaled->pack) == nullptr)
        return Error(Code::M113, path, ": no code for entry ",
                     Quoted(source.scaled->pack), ", which reads ",
                     Quoted(param.name), ". Compile the model again.");
    if (!param.pack.empty() && code.Find(param.pack) == nullptr)
      return Error(Code::M113, path, ": no code for entry ", Quoted(param.pack),
                   ", which packs ", Quoted(param.name),
                   ". Compile the model again.");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Module> Module::Open(const std::string& path,
                                    const ModuleOptions& options) {
  ASSIGN_OR_RETURN(ModuleFile file, ModuleFile::Open(path));
  ASSIGN_OR_RETURN(Manifest manifest, ReadManifest(file));
  ASSIGN_OR_RETURN(const IsaLevel isa, ChooseLevel(file, options));
  ASSIGN_OR_RETURN(
      ElfModule code,
      ElfModule::Load(file.Find(IsaSection(isa))->bytes,
                      Joined(path, ": section ", IsaSection(isa))));
  RETURN_IF_ERROR(CheckEntries(manifest, code, path));
  return Module(std::move(file), std::move(manifest), isa, std::move(code));
}

}  // namespace moe
