// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/token_ids.h"

#include <charconv>
#include <limits>

#include "lib/core/errors.h"
#include "lib/core/json.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;

absl::StatusOr<std::vector<int32_t>> ReadRow(const Json& row,
                                             int64_t vocab_size,
                                             const std::string& where) {
  if (!row.is_array() || row.empty())
    return Error(Code::R201, where, ": expected an array of token ids, found ",
                 Quoted(DumpJson(row), 40));
  std::vector<int32_t> ids;
  ids.reserve(row.size());
  for (const Json& item : row) {
    if (!item.is_number_integer())
      return Error(Code::R201, where, ": expected a token id, found ",
                   Quoted(DumpJson(item), 40));
    // An unsigned number that fits no int64_t becomes negative here.
    const int64_t id = item.get<int64_t>();
    if (id < 0 || id >= vocab_size)
      return Error(Code::R202, where, ": id ", ids.size(), " is ",
                   DumpJson(item), ", but the vocabulary has ", vocab_size,
                   " tokens");
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

}  // namespace

absl::Status CheckIds(std::span<const int32_t> ids, int64_t vocab_size,
                      std::string_view where) {
  if (ids.empty()) return Error(Code::R201, where, ": has no tokens");
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < 0 || ids[i] >= vocab_size)
      return Error(Code::R202, where, ": id ", i, " is ", ids[i],
                   ", but the vocabulary has ", vocab_size, " tokens");
  return absl::OkStatus();
}

absl::Status CheckLength(int64_t length, int64_t max_positions,
                         std::string_view where) {
  if (max_positions > 0 && length > max_positions)
    return Error(Code::R203, where, ": needs ", length,
                 " positions, and the model has ", max_positions);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::vector<int32_t>>> ReadIdsFile(
    const std::string& path, int64_t vocab_size) {
  ASSIGN_OR_RETURN(const Json json,
                   ReadJsonFile(path, {.max_bytes = kMaxFileBytes}));
  if (!json.is_array() || json.empty())
    return Error(Code::R201, Escaped(path),
                 ": expected [[id, ...], ...], found ",
                 Quoted(DumpJson(json), 40));
  std::vector<std::vector<int32_t>> rows;
  if (!json.front().is_array()) {
    ASSIGN_OR_RETURN(std::vector<int32_t> row,
                     ReadRow(json, vocab_size, Escaped(path)));
    rows.push_back(std::move(row));
    return rows;
  }
  for (const Json& item : json) {
    ASSIGN_OR_RETURN(std::vector<int32_t> row,
                     ReadRow(item, vocab_size,
                             Joined(Escaped(path), ": row ", rows.size())));
    rows.push_back(std::move(row));
  }
  return rows;
}

absl::StatusOr<std::vector<int32_t>> ParseIds(std::string_view text) {
  std::vector<int32_t> ids;
  const char *at = text.data(), *end = text.data() + text.size();
  while (true) {
    int32_t id = 0;
    const auto [stop, error] = std::from_chars(at, end, id);
    if (error != std::errc() || (stop != end && *stop != ','))
      return Error(Code::U103, "expected token ids such as 1,2,3, found ",
                   Quoted(text));
    ids.push_back(id);
    if (stop == end) return ids;
    at = stop + 1;
  }
}

}  // namespace moe
