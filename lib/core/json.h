// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Strict JSON for files that may be hostile, and reads of it that cannot throw.
//
//   ASSIGN_OR_RETURN(Json config, ReadJsonFile("DIR/config.json"));
//   JsonFields fields(config, "config.json", kConfigCodes);
//   RETURN_IF_ERROR(fields.Check());
//   ASSIGN_OR_RETURN(int64_t layers, fields.Int("num_hidden_layers", 1,
//   10000)); ASSIGN_OR_RETURN(double eps, fields.NumberOr("rms_norm_eps",
//   1e-6)); for (const std::string& key : fields.Unread()) ...  // keys nobody
//   asked for
//
// Refused, with the byte offset: syntax errors, bytes that are not UTF-8
// (J101), a key twice in one object (J102), nesting deeper than 64 (J103),
// numbers that fit neither 64 bits nor a finite double (J104), text longer than
// the limit (J105). Objects keep the order of their keys in the file.
//
// Json's own operator[], at() and get<>() throw or abort when a type differs:
// on anything that was read from a file use JsonFields or test the type first.

#ifndef MOE_LIB_CORE_JSON_H_
#define MOE_LIB_CORE_JSON_H_

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/core/errors.h"

namespace moe {

using Json = nlohmann::ordered_json;

struct JsonOptions {
  int max_depth = 64;
  uint64_t max_bytes = uint64_t{16} << 20;
  bool follow_links = true;  // ReadJsonFile only
};

// Parses the whole of |text|. |where| names it in messages ("config.json").
absl::StatusOr<Json> ParseJson(std::string_view text, std::string_view where,
                               const JsonOptions& options = {});

// Reads and parses the regular file |path|; F101 … F106 if it cannot be read.
absl::StatusOr<Json> ReadJsonFile(const std::string& path,
                                  const JsonOptions& options = {});

// The value as compact JSON on one line. Never throws: bytes that are not
// UTF-8 become U+FFFD.
std::string DumpJson(const Json& value);

// Which code JsonFields gives for which fault.
struct FieldCodes {
  Code missing;
  Code wrong_type;
  Code out_of_range;
};
inline constexpr FieldCodes kConfigCodes = {Code::C103, Code::C104, Code::C105};
inline constexpr FieldCodes kManifestCodes = {Code::M109, Code::M109,
                                              Code::M109};

// Typed reads of one JSON object. Borrows |object|, which must outlive it.
// A key whose value is null counts as absent. Not thread-safe (it records
// which keys were asked for).
class JsonFields {
 public:
  // |where| starts every message: "config.json", "manifest: entry 'score'".
  JsonFields(const Json& object, std::string where, FieldCodes codes)
      : object_(object), where_(std::move(where)), codes_(codes) {}
  JsonFields(Json&&, std::string, FieldCodes) = delete;

  // OK if the value is an object at all. Call first; the other functions treat
  // anything else as an empty object.
  absl::Status Check() const;

  // The value, or null if absent. Counts as a read.
  const Json* Find(std::string_view key);
  bool Has(std::string_view key) const;

  // The …Or forms give |fallback| for an absent key, and still refuse a wrong
  // type. An integral double such as 1e4 is a number, not an integer.
  absl::StatusOr<int64_t> Int(
      std::string_view key, int64_t least = std::numeric_limits<int64_t>::min(),
      int64_t most = std::numeric_limits<int64_t>::max());
  absl::StatusOr<int64_t> IntOr(
      std::string_view key, int64_t fallback,
      int64_t least = std::numeric_limits<int64_t>::min(),
      int64_t most = std::numeric_limits<int64_t>::max());
  absl::StatusOr<double> Number(std::string_view key);
  absl::StatusOr<double> NumberOr(std::string_view key, double fallback);
  absl::StatusOr<bool> Bool(std::string_view key);
  absl::StatusOr<bool> BoolOr(std::string_view key, bool fallback);
  absl::StatusOr<std::string> String(std::string_view key);
  absl::StatusOr<std::string> StringOr(std::string_view key,
                                       std::string_view fallback);
  // Arrays whose elements all have one type; absent is an error, or empty.
  absl::StatusOr<std::vector<int64_t>> Ints(std::string_view key);
  absl::StatusOr<std::vector<int64_t>> IntsOrEmpty(std::string_view key);
  absl::StatusOr<std::vector<double>> Numbers(std::string_view key);
  absl::StatusOr<std::vector<double>> NumbersOrEmpty(std::string_view key);
  absl::StatusOr<std::vector<std::string>> Strings(std::string_view key);
  absl::StatusOr<std::vector<std::string>> StringsOrEmpty(std::string_view key);
  // An object or array inside, as it is.
  absl::StatusOr<const Json*> Object(std::string_view key);
  absl::StatusOr<const Json*> Array(std::string_view key);

  // Marks a key as known without reading it.
  void Ignore(std::string_view key) { read_.emplace(key); }
  // Keys of the object that were neither read nor ignored, in file order.
  std::vector<std::string> Unread() const;

  const std::string& where() const { return where_; }

 private:
  absl::Status Missing(std::string_view key) const;
  absl::Status WrongType(std::string_view key, std::string_view expected,
                         const Json& found) const;

  const Json& object_;
  std::string where_;
  FieldCodes codes_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace moe

#endif  // MOE_LIB_CORE_JSON_H_
