// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A module ready to run: its manifest, and the native code of the highest ISA
// level that both the module and this machine have.
//
//   ASSIGN_OR_RETURN(Module module, Module::Open("out.moe"));
//   const moe_entry_v1* code = module.Native("score");

#ifndef MOE_RUNTIME_MODULE_H_
#define MOE_RUNTIME_MODULE_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/core/module_file.h"
#include "runtime/cpu/elf_module.h"
#include "runtime/cpu/isa.h"
#include "runtime/manifest.h"

namespace moe {

struct ModuleOptions {
  // Exactly this level instead of the highest; M111 if it is not there.
  std::optional<IsaLevel> isa = {};
};

// Immutable after opening, so safe to share between threads. Movable; moving
// keeps manifest and code valid only through the moved-to object.
class Module {
 public:
  // The codes of ModuleFile::Open and ElfModule::Load; D101 on a machine below
  // every level, M111 if the module has no level that this machine runs, M113
  // if code and manifest do not have the same entries.
  static absl::StatusOr<Module> Open(const std::string& path,
                                     const ModuleOptions& options = {});

  const Manifest& manifest() const { return manifest_; }
  const ModuleFile& file() const { return file_; }
  IsaLevel isa() const { return isa_; }

  // Null if the code has no such entry; never null for entries of the manifest
  // and pack entries of its params.
  const moe_entry_v1* Native(std::string_view entry) const {
    return code_.Find(entry);
  }

 private:
  Module(ModuleFile file, Manifest manifest, IsaLevel isa, ElfModule code)
      : file_(std::move(file)),
        manifest_(std::move(manifest)),
        isa_(isa),
        code_(std::move(code)) {}

  ModuleFile file_;
  Manifest manifest_;
  IsaLevel isa_;
  ElfModule code_;
};

}  // namespace moe

#endif  // MOE_RUNTIME_MODULE_H_
