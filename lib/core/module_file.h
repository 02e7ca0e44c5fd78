// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The module file `.moe`: a manifest and native code in one checked container.
//
//   ModuleWriter writer;
//   writer.SetManifest(manifest);                   // Json, with format and
//   abi writer.AddSection("cpu.x86-64-v3", object);     // bytes, borrowed
//   RETURN_IF_ERROR(writer.Write("out.moe"));
//
//   ASSIGN_OR_RETURN(ModuleFile module, ModuleFile::Open("out.moe"));
//   if (const ModuleSection* code = module.Find("cpu.x86-64-v3"))
//   Load(code->bytes);
//
// Layout, little-endian:
//   0   magic "MOEMOD\r\n"
//   8   u32 version (1)     12  u32 section count     16  u64 file size
//   24  per section: char name[32] (zero padded), u64 offset, u64 size,
//       u8 hash[16] of its bytes
//   …   u8 hash[16] of everything before
//   sections in table order, each at the next multiple of 64; gaps are zero;
//   the last one ends the file.
// Hashes are XXH3-128 in canonical order. Every byte is the magic, the version,
// hashed, or a zero gap that is checked: one changed bit anywhere is an error.
//
// Opening runs nothing and is safe on any bytes. A module holds native code;
// running it means trusting whoever made it. The hashes find damage, not
// malice.

#ifndef MOE_LIB_CORE_MODULE_FILE_H_
#define MOE_LIB_CORE_MODULE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/core/hash.h"
#include "lib/core/json.h"
#include "lib/core/mapped_file.h"

namespace moe {

inline constexpr std::string_view kModuleMagic{"MOEMOD\r\n", 8};
inline constexpr uint32_t kModuleVersion = 1;  // of the container
inline constexpr int64_t kManifestFormat = 1;  // manifest key "format"
inline constexpr int64_t kModuleAbi = 1;       // manifest key "abi"
inline constexpr size_t kModuleAlignment = 64;
inline constexpr size_t kModuleMaxSections = 256;
inline constexpr std::string_view kManifestSection = "manifest";

struct ModuleSection {
  std::string name;
  uint64_t offset = 0;
  std::span<const std::byte> bytes;  // valid while the ModuleFile lives
  Hash128 hash;
};

// A validated module. Immutable, safe to share between threads. Movable; moving
// keeps sections and their bytes valid.
class ModuleFile {
 public:
  // M101 not a module, M102 another version, M103 cut short or too long, M104
  // header damaged, M105 section table wrong, M106 section damaged, M107 gap
  // not zero, M108 no manifest, M109 manifest malformed, M110 another manifest
  // format or ABI.
  static absl::StatusOr<ModuleFile> Open(const std::string& path);
  // From memory, which must outlive the result.
  static absl::StatusOr<ModuleFile> Parse(std::span<const std::byte> bytes,
                                          std::string_view where);

  // An object whose "format" and "abi" are ours. Nothing else was checked: read
  // it with JsonFields and kManifestCodes.
  const Json& manifest() const { return manifest_; }
  // In table order.
  std::span<const ModuleSection> sections() const { return sections_; }
  // Null if there is no such section.
  const ModuleSection* Find(std::string_view name) const;
  // The header hash: covers the whole content, so it identifies the module.
  const Hash128& hash() const { return hash_; }
  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

 private:
  ModuleFile() = default;
  absl::Status Read(std::span<const std::byte> bytes);
  absl::Status ReadTable(std::span<const std::byte> bytes, uint32_t count);
  absl::Status ReadManifest();

  MappedFile map_;
  std::string path_;
  uint64_t size_ = 0;
  Hash128 hash_;
  std::vector<ModuleSection> sections_;
  Json manifest_;
};

// Builds a module. Not thread-safe.
class ModuleWriter {
 public:
  // Becomes the first section, as indented JSON. Required.
  void SetManifest(const Json& manifest);
  // |bytes| are borrowed until Serialize() or Write() returns. Names: 1 to 31
  // characters of a-z, 0-9, '.', '_' and '-', each used once.
  void AddSection(std::string name, std::span<const std::byte> bytes);

  // The whole file. I002 if a name or the number of sections is not allowed or
  // there is no manifest.
  absl::StatusOr<std::string> Serialize() const;
  // Serialize, then written atomically (atomic_file.h).
  absl::Status Write(const std::string& path) const;

 private:
  struct Item {
    std::string name;
    std::span<const std::byte> bytes;
  };
  std::string manifest_;
  std::vector<Item> items_;
};

}  // namespace moe

#endif  // MOE_LIB_CORE_MODULE_FILE_H_
