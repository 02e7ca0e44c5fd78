// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Small files for tests, made in code.
//
//   TempDir dir;
//   dir.Write("a.safetensors", RawSafetensors("{}", ""));
//   auto file = SafetensorsFile::Open(dir / "a.safetensors");
//   EXPECT_EQ(NameOf(file.status()), "MOE-S101");

#ifndef MOE_TEST_CORE_TEST_FILES_H_
#define MOE_TEST_CORE_TEST_FILES_H_

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "lib/core/errors.h"

namespace moe {

// A folder that is removed with everything in it.
class TempDir {
 public:
  TempDir() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "moe-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const {
    return path_ + "/" + std::string(name);
  }
  void Write(std::string_view name, std::string_view bytes) const {
    std::ofstream(*this / name, std::ios::binary) << bytes;
  }
  std::string Read(std::string_view name) const {
    std::ifstream in(*this / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // The number of files in it, hidden ones too.
  size_t Count() const {
    return static_cast<size_t>(
        std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::string path_;
};

inline std::span<const std::byte> BytesOf(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// |value| as eight little-endian bytes.
inline std::string U64(uint64_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
inline std::string U32(uint32_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// A safetensors file of exactly this header and data.
inline std::string RawSafetensors(std::string_view header,
                                  std::string_view data) {
  return U64(header.size()) + std::string(header) + std::string(data);
}

// The header entry of one tensor.
inline std::string Entry(std::string_view name, std::string_view dtype,
                         std::string_view shape, std::string_view offsets) {
  return Joined("\"", name, "\":{\"dtype\":\"", dtype, "\",\"shape\":[", shape,
                "],\"data_offsets\":[", offsets, "]}");
}

// "ok", or the code of an error.
inline std::string NameOf(const absl::Status& status) {
  return status.ok() ? "ok" : InfoOf(CodeOf(status)).name;
}

}  // namespace moe

#endif  // MOE_TEST_CORE_TEST_FILES_H_
