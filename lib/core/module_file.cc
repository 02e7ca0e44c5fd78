// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/module_file.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "lib/core/atomic_file.h"
#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

constexpr size_t kPrefixBytes = 24;  // magic, version, count, file size
constexpr size_t kNameBytes = 32;
constexpr size_t kRowBytes = kNameBytes + 8 + 8 + 16;
constexpr size_t kHashBytes = 16;
constexpr char kRecompile[] = "Compile it again: moe-compile MODEL.mlir -o ";

size_t HeaderBytes(size_t sections) {
  return kPrefixBytes + sections * kRowBytes + kHashBytes;
}

template <typename T>
T ReadLittle(std::span<const std::byte> bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <typename T>
void AppendLittle(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// |offset| rounded up; nothing overflows since files are far below 2^63 bytes.
uint64_t Aligned(uint64_t offset) {
  return (offset + kModuleAlignment - 1) / kModuleAlignment * kModuleAlignment;
}

bool IsSectionName(std::string_view name) {
  return !name.empty() && name.size() < kNameBytes &&
         std::all_of(
             name.begin(), name.end(),
             [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '_' || c == '-';
             });
}

std::string_view TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Hash128 ReadHash(std::span<const std::byte> bytes, size_t at) {
  Hash128 hash;
  std::memcpy(hash.bytes.data(), bytes.data() + at, kHashBytes);
  return hash;
}

}  // namespace

absl::StatusOr<ModuleFile> ModuleFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile map, MappedFile::Open(path));
  ASSIGN_OR_RETURN(ModuleFile module, Parse(map.bytes(), path));
  module.map_ = std::move(map);
  return module;
}

absl::StatusOr<ModuleFile> ModuleFile::Parse(std::span<const std::byte> bytes,
                                             std::string_view where) {
  ModuleFile module;
  module.path_ = std::string(where);
  module.size_ = bytes.size();
  RETURN_IF_ERROR(module.Read(bytes));
  RETURN_IF_ERROR(module.ReadManifest());
  return module;
}

absl::Status ModuleFile::Read(std::span<const std::byte> bytes) {
  const std::string where = ShownPath(path_);
  const std::string_view start = TextOf(bytes).substr(0, kModuleMagic.size());
  if (start != kModuleMagic.substr(0, start.size()) || start.size() < 4)
    return Error(Code::M101, where,
                 ": is not a .moe module. Make one with: "
                 "moe-compile MODEL.mlir -o OUT.moe");
  if (bytes.size() < HeaderBytes(0))
    return Error(Code::M103, where, ": has ", bytes.size(),
                 " bytes, too few for a module (cut short). Copy it again.");
  // Before the hashes: another version may keep them elsewhere.
  const auto version = ReadLittle<uint32_t>(bytes, 8);
  if (version != kModuleVersion)
    return Error(Code::M102, where, ": is a module of version ", version,
                 "; this program reads version ", kModuleVersion, ". ",
                 kRecompile, where);
  const auto size = ReadLittle<uint64_t>(bytes, 16);
  const auto count = ReadLittle<uint32_t>(bytes, 12);
  if (size != bytes.size())
    return Error(Code::M103, where, ": should have ", size, " bytes and has ",
                 bytes.size(),
                 size > bytes.size() ? " (cut short)." : " (too long).",
                 " Copy it again.");
  if (count == 0 || count > kModuleMaxSections ||
      HeaderBytes(count) > bytes.size())
    return Error(Code::M105, where, ": claims ", count,
                 " sections, which cannot be.");
  const size_t hashed = HeaderBytes(count) - kHashBytes;
  hash_ = ReadHash(bytes, hashed);
  if (HashBytes(bytes.first(hashed)) != hash_)
    return Error(Code::M104, where,
                 ": the header is damaged. Copy the file "
                 "again, or compile again.");
  return ReadTable(bytes, count);
}

absl::Status ModuleFile::ReadTable(std::span<const std::byte> bytes,
                                   uint32_t count) {
  const std::string where = ShownPath(path_);
  uint64_t end = HeaderBytes(count);
  for (uint32_t i = 0; i < count; ++i) {
    const size_t row = kPrefixBytes + i * kRowBytes;
    const std::string_view padded = TextOf(bytes.subspan(row, kNameBytes));
    const std::string_view name = padded.substr(0, padded.find('\0'));
    const auto offset = ReadLittle<uint64_t>(bytes, row + kNameBytes);
    const auto size = ReadLittle<uint64_t>(bytes, row + kNameBytes + 8);
    if (!IsSectionName(name) ||
        padded.find_first_not_of('\0', name.size()) != padded.npos ||
        Find(name))
      return Error(Code::M105, where, ": section ", i,
                   " has a name that is used twice or not allowed: ",
                   Quoted(padded.substr(0, padded.find_last_not_of('\0') + 1)),
                   ".");
    if (offset != Aligned(end) || offset > bytes.size() ||
        size > bytes.size() - offset)
      return Error(Code::M105, where, ": section ", Quoted(name), " of ", size,
                   " bytes at byte ", offset, " does not follow byte ", end,
                   " of ", bytes.size(), ".");
    for (uint64_t at = end; at < offset; ++at)
      if (bytes[at] != std::byte{0})
        return Error(Code::M107, where, ": byte ", at, " before section ",
                     Quoted(name),
                     " should be zero. Copy the file again, or compile again.");
    ModuleSection section;
    section.name = std::string(name);
    section.offset = offset;
    section.bytes = bytes.subspan(offset, size);
    section.hash = ReadHash(bytes, row + kNameBytes + 16);
    if (HashBytes(section.bytes) != section.hash)
      return Error(Code::M106, where, ": section ", Quoted(name),
                   " is damaged. Copy the file again, or compile again.");
    sections_.push_back(std::move(section));
    end = offset + size;
  }
  if (end != bytes.size())
    return Error(Code::M105, where, ": ", bytes.size() - end,
                 " bytes after the last section.");
  return absl::OkStatus();
}

absl::Status ModuleFile::ReadManifest() {
  const ModuleSection* section = Find(kManifestSection);
  const std::string where = ShownPath(path_);
  if (!section)
    return Error(Code::M108, where, ": has no manifest. ", kRecompile, where);
  ASSIGN_OR_RETURN(manifest_, ParseJson(TextOf(section->bytes),
                                        Joined(where, ": manifest")));
  JsonFields fields(manifest_, Joined(where, ": manifest"), kManifestCodes);
  RETURN_IF_ERROR(fields.Check());
  ASSIGN_OR_RETURN(const int64_t format, fields.Int("format", 0));
  ASSIGN_OR_RETURN(const int64_t abi, fields.Int("abi", 0));
  ASSIGN_OR_RETURN(const std::string producer,
                   fields.StringOr("producer", "an unknown compiler"));
  if (format != kManifestFormat || abi != kModuleAbi)
    return Error(Code::M110, where, ": made by ", Quoted(producer, 40),
                 " with format ", format, " and ABI ", abi,
                 "; this program runs format ", kManifestFormat, " and ABI ",
                 kModuleAbi, ". ", kRecompile, where);
  return absl::OkStatus();
}

const ModuleSection* ModuleFile::Find(std::string_view name) const {
  for (const ModuleSection& section : sections_)
    if (section.name == name) return &section;
  return nullptr;
}

void ModuleWriter::SetManifest(const Json& manifest) {
  manifest_ = manifest.dump(1, ' ', false, Json::error_handler_t::replace);
}

void ModuleWriter::AddSection(std::string name,
                              std::span<const std::byte> bytes) {
  items_.push_back({std::move(name), bytes});
}

absl::StatusOr<std::string> ModuleWriter::Serialize() const {
  std::vector<Item> all;
  all.push_back(
      {std::string(kManifestSection), std::as_bytes(std::span(manifest_))});
  all.insert(all.end(), items_.begin(), items_.end());
  std::set<std::string_view> names;
  uint64_t end = HeaderBytes(all.size());
  std::vector<uint64_t> offsets;
  for (const Item& item : all) {
    if (!IsSectionName(item.name) || !names.insert(item.name).second)
      return Error(Code::I002, "module section name ", Quoted(item.name),
                   " is used twice or not allowed");
    offsets.push_back(Aligned(end));
    end = offsets.back() + item.bytes.size();
  }
  if (manifest_.empty() || all.size() > kModuleMaxSections)
    return Error(Code::I002, "module without manifest, or with ", all.size(),
                 " sections");

  std::string out(kModuleMagic);
  out.reserve(end);
  AppendLittle(out, kModuleVersion);
  AppendLittle(out, static_cast<uint32_t>(all.size()));
  AppendLittle(out, end);
  auto append_hash = [&](const Hash128& hash) {
    out.append(reinterpret_cast<const char*>(hash.bytes.data()), kHashBytes);
  };
  for (size_t i = 0; i < all.size(); ++i) {
    out += all[i].name;
    out.append(kNameBytes - all[i].name.size(), '\0');
    AppendLittle(out, offsets[i]);
    AppendLittle(out, static_cast<uint64_t>(all[i].bytes.size()));
    append_hash(HashBytes(all[i].bytes));
  }
  append_hash(HashText(out));
  for (size_t i = 0; i < all.size(); ++i) {
    out.append(offsets[i] - out.size(), '\0');
    out += TextOf(all[i].bytes);
  }
  return out;
}

absl::Status ModuleWriter::Write(const std::string& path) const {
  ASSIGN_OR_RETURN(const std::string bytes, Serialize());
  return WriteFileAtomically(path, bytes);
}

}  // namespace moe
