// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "lib/core/atomic_file.h"
#include "lib/core/errors.h"
#include "lib/core/json.h"
#include "lib/core/safetensors.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

constexpr size_t kDataAlignment = 64;

std::string QuotedJson(const std::string& text) { return DumpJson(Json(text)); }

}  // namespace

void SafetensorsWriter::Add(std::string name, DType dtype,
                            std::vector<int64_t> shape,
                            std::span<const std::byte> data) {
  items_.push_back(
      {std::move(name), dtype, std::move(shape), data, /*fill=*/nullptr});
}

void SafetensorsWriter::AddLazy(std::string name, DType dtype,
                                std::vector<int64_t> shape, Fill fill) {
  items_.push_back(
      {std::move(name), dtype, std::move(shape), {}, std::move(fill)});
}

void SafetensorsWriter::SetMetadata(std::string key, std::string value) {
  metadata_[std::move(key)] = std::move(value);
}

absl::Status SafetensorsWriter::Write(const std::string& path) const {
  std::vector<size_t> order(items_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return DTypeSize(items_[a].dtype) > DTypeSize(items_[b].dtype);
  });

  std::set<std::string_view> names = {"__metadata__"};
  std::string header = "{";
  if (!metadata_.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata_) {
      if (header.back() != '{') header += ',';
      header += Joined(QuotedJson(key), ":", QuotedJson(value));
    }
    header += '}';
  }
  uint64_t end = 0;
  for (size_t i : order) {
    const Item& item = items_[i];
    const std::optional<int64_t> bytes = ByteCount(item.dtype, item.shape);
    if (!bytes ||
        (!item.fill && item.data.size() != static_cast<uint64_t>(*bytes)))
      return Error(Code::I002, ShownPath(path), ": tensor to write ",
                   Quoted(item.name), " has ", item.data.size(),
                   " bytes, which do not fit its dtype ", DTypeName(item.dtype),
                   " and shape.");
    if (!IsTensorName(item.name) || !names.insert(item.name).second ||
        item.shape.size() > kTensorRankLimit)
      return Error(Code::I002, ShownPath(path), ": tensor to write ",
                   Quoted(item.name),
                   " has a name that is used twice or not allowed, or too many "
                   "dimensions.");
    if (header.size() > 1) header += ',';
    header += Joined(QuotedJson(item.name), ":{\"dtype\":\"",
                     SafetensorsName(item.dtype), "\",\"shape\":[");
    for (size_t d = 0; d < item.shape.size(); ++d)
      header += Joined(d ? "," : "", item.shape[d]);
    const uint64_t begin = end;
    if (__builtin_add_overflow(end, static_cast<uint64_t>(*bytes), &end))
      return Error(Code::I002, ShownPath(path), ": too many bytes to write.");
    header += Joined("],\"data_offsets\":[", begin, ",", end, "]}");
  }
  header += '}';
  while ((8 + header.size()) % kDataAlignment != 0) header += ' ';

  const uint64_t length = header.size();
  ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, 8 + length + end));
  RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(&length, 1))));
  RETURN_IF_ERROR(file.Write(header));
  for (size_t i : order) {
    const Item& item = items_[i];
    if (!item.fill) {
      RETURN_IF_ERROR(file.Write(item.data));
      continue;
    }
    std::vector<std::byte> buffer(
        static_cast<size_t>(*ByteCount(item.dtype, item.shape)));
    RETURN_IF_ERROR(item.fill(buffer));
    RETURN_IF_ERROR(file.Write(buffer));
  }
  return file.Commit();
}

}  // namespace moe
