// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reads and writes one safetensors file.
//
//   ASSIGN_OR_RETURN(SafetensorsFile file,
//   SafetensorsFile::Open("in.safetensors")); if (const Tensor* ids =
//   file.Find("ids")) Use(ids->dtype, ids->shape, ids->data);
//
//   SafetensorsWriter writer;
//   writer.Add("logits", DType::kF32, {tokens, vocab}, AsBytes(logits));
//   RETURN_IF_ERROR(writer.Write("out.safetensors"));
//
// The reader trusts nothing. Before it hands out one pointer it has checked
// the header length against the file and a limit of 100 MB, every name, dtype
// and shape, that every byte range is in the file and as long as its shape
// says, and that ranges neither overlap nor leave unused bytes. Codes S101 to
// S115, and J101 to J104 for the header's JSON.

#ifndef MOE_LIB_CORE_SAFETENSORS_H_
#define MOE_LIB_CORE_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/core/dtype.h"
#include "lib/core/hash.h"
#include "lib/core/mapped_file.h"

namespace moe {

// One tensor of a file.
struct Tensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t offset = 0;  // of its first byte in the file
  uint64_t bytes = 0;
  // The bytes, row-major, little-endian, in the mapped file; null in
  // header-only mode. May be unaligned: the format allows any offset. Valid
  // while the SafetensorsFile (or Checkpoint) that gave it lives.
  const std::byte* data = nullptr;

  std::span<const std::byte> view() const { return {data, data ? bytes : 0}; }
  // True if |data| may be read through pointers that need this alignment.
  bool IsAligned(size_t alignment) const {
    return reinterpret_cast<uintptr_t>(data) % alignment == 0;
  }
};

struct SafetensorsOptions {
  // Reads the header only and maps nothing: Tensor::data is null.
  bool header_only = false;
  bool follow_links = true;
};

// Immutable after opening, so safe to share between threads. Movable; moving
// keeps Tensor pointers and data valid.
class SafetensorsFile {
 public:
  static absl::StatusOr<SafetensorsFile> Open(
      const std::string& path, const SafetensorsOptions& options = {});
  // As Open, from a file that is open already (its descriptor may be closed
  // afterwards).
  static absl::StatusOr<SafetensorsFile> Read(
      const OpenedFile& file, const SafetensorsOptions& options = {});
  // From memory, which must outlive the result. |where| names it in messages.
  static absl::StatusOr<SafetensorsFile> Parse(std::span<const std::byte> bytes,
                                               std::string_view where);

  // In the order of their bytes in the file.
  std::span<const Tensor> tensors() const { return tensors_; }
  // Null if there is no tensor of that name.
  const Tensor* Find(std::string_view name) const;
  // The strings of "__metadata__".
  const std::map<std::string, std::string>& metadata() const {
    return metadata_;
  }
  // Hash of the header's JSON text: names, dtypes, shapes and offsets.
  const Hash128& header_hash() const { return header_hash_; }
  // Zero for Parse().
  const FileIdentity& identity() const { return identity_; }
  const std::string& path() const { return path_; }

 private:
  SafetensorsFile() = default;
  absl::Status ReadHeader(std::string_view header, uint64_t file_size);

  MappedFile map_;
  std::string path_;
  FileIdentity identity_;
  Hash128 header_hash_;
  std::vector<Tensor> tensors_;
  absl::flat_hash_map<absl::string_view, uint32_t> index_;  // views of names
  std::map<std::string, std::string> metadata_;
};

// Collects tensors and writes them in one go. Not thread-safe.
class SafetensorsWriter {
 public:
  // Fills |out|, which is as long as the tensor.
  using Fill = std::function<absl::Status(std::span<std::byte> out)>;

  // |data| is borrowed until Write() returns.
  void Add(std::string name, DType dtype, std::vector<int64_t> shape,
           std::span<const std::byte> data);
  // |fill| is called once, in Write(): only one such tensor is in memory.
  void AddLazy(std::string name, DType dtype, std::vector<int64_t> shape,
               Fill fill);
  void SetMetadata(std::string key, std::string value);

  // Writes |path| atomically (atomic_file.h). Tensors are laid out by falling
  // dtype size, then in the order added, with the first byte 64-byte aligned
  // and so every tensor aligned to its dtype. I002 if a name is used twice or
  // not allowed, or the bytes do not fit dtype and shape; nothing is written
  // then.
  absl::Status Write(const std::string& path) const;

 private:
  struct Item {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
    std::span<const std::byte> data;
    Fill fill;
  };
  std::vector<Item> items_;
  std::map<std::string, std::string> metadata_;
};

// True for 1 to 1024 bytes of UTF-8 without control characters: what the reader
// accepts and the writer writes.
bool IsTensorName(std::string_view name);
// Most dimensions that the reader accepts and the writer writes.
inline constexpr size_t kTensorRankLimit = 16;

// The bytes of a contiguous container of trivially copyable elements.
template <typename Container>
std::span<const std::byte> AsBytes(const Container& container) {
  return std::as_bytes(std::span(container));
}

}  // namespace moe

#endif  // MOE_LIB_CORE_SAFETENSORS_H_
