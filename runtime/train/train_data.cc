// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/train/train_data.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/mapped_file.h"
#include "lib/core/philox.h"
#include "lib/core/status_macros.h"
#include "runtime/token_ids.h"
#include "runtime/utf8.h"

namespace moe {
namespace {

absl::StatusOr<std::vector<int32_t>> ReadBinary(
    const std::string& path, std::span<const std::byte> bytes,
    const std::string& dtype) {
  const size_t size = dtype == "u32" ? 4 : 2;
  if (bytes.size() % size != 0)
    return Error(Code::R206, ShownPath(path), ": has ", bytes.size(),
                 " bytes, which is no whole number of ", dtype,
                 " ids. Give --ids-dtype.");
  std::vector<int32_t> ids(bytes.size() / size);
  for (size_t i = 0; i < ids.size(); ++i) {
    uint32_t id = 0;
    std::memcpy(&id, bytes.data() + i * size, size);
    ids[i] = static_cast<int32_t>(std::min<uint32_t>(id, INT32_MAX));
  }
  return ids;
}

absl::StatusOr<std::vector<int32_t>> ReadText(
    const std::string& path, std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              bytes.size());
  if (ToValidUtf8(text) != text)
    return Error(Code::R206, ShownPath(path),
                 ": is no UTF-8 text. Token ids come in .bin or .json files.");
  std::vector<int32_t> ids(text.size());
  std::transform(text.begin(), text.end(), ids.begin(), [](char c) {
    return static_cast<int32_t>(static_cast<unsigned char>(c));
  });
  return ids;
}

}  // namespace

absl::StatusOr<TrainData> TrainData::Open(const std::string& path,
                                          const DataOptions& options) {
  if (path.ends_with(".json")) return OpenRows(path, options);
  TrainData data;
  RETURN_IF_ERROR(data.ReadStream(path, options));
  data.Finish();
  return data;
}

absl::StatusOr<TrainData> TrainData::OpenRows(const std::string& path,
                                              const DataOptions& options) {
  TrainData data;
  RETURN_IF_ERROR(data.ReadRows(path, options));
  data.Finish();
  return data;
}

absl::Status TrainData::ReadRows(const std::string& path,
                                 const DataOptions& options) {
  ASSIGN_OR_RETURN(const auto rows, ReadIdsFile(path, options.vocab));
  for (size_t r = 0; r < rows.size(); ++r) {
    const std::vector<int32_t>& row = rows[r];
    if (options.window > 0 && static_cast<int64_t>(row.size()) > options.window)
      return Error(Code::R203, ShownPath(path), ": row ", r, ": has ",
                   row.size(), " tokens, and there is room for ",
                   options.window, ".");
    starts_.push_back(static_cast<int64_t>(ids_.size()));
    lengths_.push_back(static_cast<int64_t>(row.size()));
    ids_.insert(ids_.end(), row.begin(), row.end());
    targets_.insert(targets_.end(), row.begin() + 1, row.end());
    targets_.push_back(-1);
  }
  if (ids_.size() == rows.size())
    return Error(Code::R206, ShownPath(path),
                 ": has no token that follows another");
  return absl::OkStatus();
}

absl::Status TrainData::ReadStream(const std::string& path,
                                   const DataOptions& options) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const bool binary = path.ends_with(".bin");
  ASSIGN_OR_RETURN(ids_, binary
                             ? ReadBinary(path, file.bytes(), options.ids_dtype)
                             : ReadText(path, file.bytes()));
  const auto count = static_cast<int64_t>(ids_.size());
  if (count <= options.window)
    return Error(Code::R206, ShownPath(path), ": has ", count,
                 " tokens, and a row takes ", options.window,
                 " and the one that follows. Give a smaller --seq.");
  RETURN_IF_ERROR(CheckIds(ids_, options.vocab, ShownPath(path)));
  targets_.assign(ids_.begin() + 1, ids_.end());
  targets_.push_back(-1);
  for (int64_t at = 0; at + options.window < count; at += options.window) {
    starts_.push_back(at);
    lengths_.push_back(options.window);
  }
  return absl::OkStatus();
}

void TrainData::Finish() {
  max_row_ = *std::max_element(lengths_.begin(), lengths_.end());
  Hasher hasher;
  hasher.Update(std::as_bytes(std::span(ids_)));
  hasher.Update(std::as_bytes(std::span(starts_)));
  hasher.Update(std::as_bytes(std::span(lengths_)));
  hash_ = hasher.Finish();
}

TrainRow TrainData::Window(int64_t index) const {
  const auto i = static_cast<size_t>(index);
  const auto at = static_cast<size_t>(starts_[i]);
  const auto length = static_cast<size_t>(lengths_[i]);
  return {std::span(ids_).subspan(at, length),
          std::span(targets_).subspan(at, length)};
}

std::vector<TrainRow> TrainData::Windows() const {
  std::vector<TrainRow> rows;
  for (int64_t i = 0; i < windows(); ++i) rows.push_back(Window(i));
  return rows;
}

// A Feistel network over the next even number of bits, walked until it falls
// into the range (Black and Rogaway 2002).
int64_t ShuffledIndex(uint64_t seed, int64_t epoch, int64_t index,
                      int64_t count) {
  const int width = std::bit_width(static_cast<uint64_t>(count - 1));
  const int half = std::max((width + 1) / 2, 1);
  const uint64_t mask = (uint64_t{1} << half) - 1;
  const Philox philox(seed);
  const uint32_t op = RandomOp(0, RandomStream::kDataOrder);
  auto value = static_cast<uint64_t>(index);
  do {
    uint64_t left = value >> half, right = value & mask;
    for (uint32_t round = 0; round < 4; ++round) {
      const PhiloxBlock block = philox({static_cast<uint32_t>(right), round, op,
                                        static_cast<uint32_t>(epoch)});
      left = std::exchange(right, (left ^ block[0]) & mask);
    }
    value = (left << half) | right;
  } while (value >= static_cast<uint64_t>(count));
  return static_cast<int64_t>(value);
}

}  // namespace moe
