// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Strict JSON as events, for files too large to hold as a tree.
//
//   class Names : public JsonEvents { … absl::Status Key(std::string &k) … };
//   Names names;
//   RETURN_IF_ERROR(ParseJsonEvents(text, "index.json", {}, names));
//
// The rules, limits and codes are those of json.h.

#ifndef MOE_LIB_CORE_JSON_EVENTS_H_
#define MOE_LIB_CORE_JSON_EVENTS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "lib/core/json.h"

namespace moe {

// Receives the values of one text in order. The first status that is not OK
// ends the parse and is its result. Strings may be moved from.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;

  virtual absl::Status Null() = 0;
  virtual absl::Status Bool(bool value) = 0;
  // Integers: negative ones, and all others.
  virtual absl::Status Negative(int64_t value) = 0;
  virtual absl::Status Unsigned(uint64_t value) = 0;
  virtual absl::Status Float(double value) = 0;
  virtual absl::Status String(std::string& value) = 0;
  virtual absl::Status StartObject() = 0;
  virtual absl::Status Key(std::string& key) = 0;
  virtual absl::Status EndObject() = 0;
  virtual absl::Status StartArray() = 0;
  virtual absl::Status EndArray() = 0;
  // In place of Key() for a key that its object had before. |depth| counts the
  // open objects and arrays. OK stands for the usual error, J102.
  virtual absl::Status DuplicateKey(std::string_view key, int depth);
};

// Parses the whole of |text|.
absl::Status ParseJsonEvents(std::string_view text, std::string_view where,
                             const JsonOptions& options, JsonEvents& events);

}  // namespace moe

#endif  // MOE_LIB_CORE_JSON_EVENTS_H_
