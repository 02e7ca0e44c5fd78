// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/backend/link.h"

#include "lib/backend/object.h"
#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

#include "llvm/Object/ELF.h"
#include "llvm/Object/ELFObjectFile.h"

using llvm::StringRef;
using ::moe::Code;
using ::moe::Error;
using namespace llvm::ELF;
using File = llvm::object::ELF64LEFile;

static absl::Status refuse(StringRef what) {
  return Error(Code::I002, "the linked object ", what.str());
}

static absl::Status damaged(llvm::Error error) {
  return refuse("is damaged: " + llvm::toString(std::move(error)));
}

static StringRef tagFault(const File::Elf_Dyn &entry) {
  switch (entry.d_tag) {
  case DT_NEEDED:
    return "needs another library";
  case DT_INIT:
  case DT_FINI:
  case DT_INIT_ARRAY:
  case DT_FINI_ARRAY:
  case DT_PREINIT_ARRAY:
    return "runs code when it is loaded or unloaded";
  case DT_TEXTREL:
    return "has text relocations";
  case DT_FLAGS:
    return entry.d_un.d_val & DF_TEXTREL      ? "has text relocations"
           : entry.d_un.d_val & DF_STATIC_TLS ? "has thread-local storage"
                                              : "";
  default:
    return "";
  }
}

static absl::Status checkDynamic(const File &file) {
  auto entries = file.dynamicEntries();
  if (!entries)
    return damaged(entries.takeError());
  for (const File::Elf_Dyn &entry : *entries)
    if (StringRef fault = tagFault(entry); !fault.empty())
      return refuse(fault);
  return absl::OkStatus();
}

static absl::Status checkSegments(const File &file) {
  auto segments = file.program_headers();
  if (!segments)
    return damaged(segments.takeError());
  for (const File::Elf_Phdr &segment : *segments) {
    if (segment.p_type == PT_TLS)
      return refuse("has thread-local storage");
    if (segment.p_type == PT_GNU_STACK && (segment.p_flags & PF_X))
      return refuse("wants an executable stack");
  }
  return absl::OkStatus();
}

absl::Status mlir::moe::checkSharedObject(llvm::ArrayRef<char> object) {
  StringRef bytes(object.data(), object.size());
  auto parsed = llvm::object::ELFObjectFile<llvm::object::ELF64LE>::create(
      llvm::MemoryBufferRef(bytes, "object"));
  if (!parsed)
    return damaged(parsed.takeError());
  const File &file = parsed->getELFFile();
  if (file.getHeader().e_type != ET_DYN)
    return refuse("is not a shared object");
  RETURN_IF_ERROR(checkSegments(file));
  RETURN_IF_ERROR(checkDynamic(file));
  bool exported = false;
  for (const llvm::object::ELFSymbolRef &symbol :
       parsed->getDynamicSymbolIterators()) {
    auto name = symbol.getName();
    auto entry = parsed->getSymbol(symbol.getRawDataRefImpl());
    if (!name || !entry)
      return damaged(name ? entry.takeError() : name.takeError());
    if ((*entry)->st_shndx == SHN_UNDEF)
      return refuse(("leaves '" + *name + "' undefined").str());
    if (*name != moduleSymbol)
      return refuse(("exports '" + *name + "'").str());
    exported = true;
  }
  return exported ? absl::OkStatus() : refuse("does not export moe_module_v1");
}
