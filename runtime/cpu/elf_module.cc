// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/cpu/elf_module.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/cpu/elf_check.h"

namespace moe {
namespace {

constexpr uint32_t kMaxEntries = 1u << 16;

bool WriteAll(int descriptor, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = write(descriptor, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(wrote));
  }
  return true;
}

struct Opened {
  void* handle = nullptr;
  int descriptor = -1;
};

// The loader's words for what went wrong.
std::string LoaderError() {
  const char* text = dlerror();
  return text == nullptr ? "unknown reason" : text;
}

Opened OpenThroughMemory(std::span<const std::byte> object) {
  const int descriptor =
      memfd_create("moe-module", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return {};
  if (WriteAll(descriptor, object)) {
    // Nobody may change the code once it was checked.
    fcntl(descriptor, F_ADD_SEALS,
          F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    const std::string path = Joined("/proc/self/fd/", descriptor);
    if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL))
      return {handle, descriptor};
  }
  close(descriptor);
  return {};
}

absl::StatusOr<Opened> OpenThroughFile(std::span<const std::byte> object,
                                       std::string_view where) {
  const char* folder = getenv("TMPDIR");
  std::string path =
      Joined(folder == nullptr || *folder != '/' ? "/tmp" : folder,
             "/moe-module-XXXXXX");
  const int descriptor = mkostemp(path.data(), O_CLOEXEC);
  if (descriptor < 0)
    return Error(Code::F203, Escaped(path), ": cannot be created (",
                 strerror(errno), "). Set TMPDIR to a writable folder.");
  const bool written = WriteAll(descriptor, object);
  void* handle =
      written ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  const int error = errno;
  const std::string reason = written ? LoaderError() : strerror(error);
  unlink(path.c_str());
  if (handle != nullptr) return Opened{handle, descriptor};
  close(descriptor);
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  if (!written)
    return Error(full ? Code::F201 : Code::F202, Escaped(path),
                 ": cannot be written (", reason,
                 "). Set TMPDIR to a folder with room for ", object.size(),
                 " bytes.");
  return Error(Code::M112, where,
               ": the system does not load it: ", Escaped(reason));
}

absl::StatusOr<const moe_module_v1_table*> ReadTable(void* handle,
                                                     std::string_view where) {
  const auto get =
      reinterpret_cast<moe_module_fn_v1>(dlsym(handle, MOE_MODULE_SYMBOL_V1));
  if (get == nullptr)
    return Error(Code::M112, where, ": does not export ", MOE_MODULE_SYMBOL_V1,
                 ". Compile the model again.");
  const moe_module_v1_table* table = get();
  if (table == nullptr || table->version != MOE_ABI_VERSION ||
      table->size < sizeof(moe_module_v1_table))
    return Error(Code::M110, where, ": its code has ABI version ",
                 table == nullptr ? 0u : table->version, ", this runtime has ",
                 MOE_ABI_VERSION, ". Compile the model again.");
  if (table->entry_count > kMaxEntries ||
      (table->entry_count > 0 && table->entries == nullptr))
    return Error(Code::M113, where, ": its table of entries is damaged");
  for (uint32_t i = 0; i < table->entry_count; ++i)
    if (table->entries[i].name == nullptr || table->entries[i].fn == nullptr)
      return Error(Code::M113, where, ": entry ", i, " of its table is empty");
  return table;
}

}  // namespace

absl::StatusOr<ElfModule> ElfModule::Load(std::span<const std::byte> object,
                                          std::string_view where,
                                          const ElfLoadOptions& options) {
  if (const std::string fault = FindElfFault(object); !fault.empty())
    return Error(Code::M112, where, ": the native object ", fault,
                 ". Compile the model again.");
  Opened opened;
  if (!options.through_file) opened = OpenThroughMemory(object);
  if (opened.handle == nullptr) {
    ASSIGN_OR_RETURN(opened, OpenThroughFile(object, where));
  }
  ElfModule module;
  module.handle_ = opened.handle;
  module.descriptor_ = opened.descriptor;
  ASSIGN_OR_RETURN(module.table_, ReadTable(opened.handle, where));
  return module;
}

ElfModule::ElfModule(ElfModule&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      table_(std::exchange(other.table_, nullptr)) {}

ElfModule& ElfModule::operator=(ElfModule&& other) noexcept {
  if (this != &other) {
    Unload();
    handle_ = std::exchange(other.handle_, nullptr);
    descriptor_ = std::exchange(other.descriptor_, -1);
    table_ = std::exchange(other.table_, nullptr);
  }
  return *this;
}

ElfModule::~ElfModule() { Unload(); }

void ElfModule::Unload() {
  if (handle_ != nullptr) dlclose(handle_);
  if (descriptor_ >= 0) close(descriptor_);
  handle_ = nullptr;
  descriptor_ = -1;
}

const moe_entry_v1* ElfModule::Find(std::string_view name) const {
  for (const moe_entry_v1& entry : entries())
    if (name == entry.name) return &entry;
  return nullptr;
}

}  // namespace moe
