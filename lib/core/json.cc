// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/json.h"

#include <span>
#include <utility>

#include "lib/core/json_events.h"
#include "lib/core/mapped_file.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

// Builds the tree. A container on the stack is the last element of the one
// below, which cannot grow before it is complete, so the pointers stay valid.
class TreeBuilder : public JsonEvents {
 public:
  absl::Status Null() override { return Leaf(nullptr); }
  absl::Status Bool(bool value) override { return Leaf(value); }
  absl::Status Negative(int64_t value) override { return Leaf(value); }
  absl::Status Unsigned(uint64_t value) override { return Leaf(value); }
  absl::Status Float(double value) override { return Leaf(value); }
  absl::Status String(std::string& value) override {
    return Leaf(std::move(value));
  }
  absl::Status StartObject() override {
    open_.push_back(Place(Json::object()));
    return absl::OkStatus();
  }
  absl::Status StartArray() override {
    open_.push_back(Place(Json::array()));
    return absl::OkStatus();
  }
  absl::Status Key(std::string& key) override {
    key_ = std::move(key);
    return absl::OkStatus();
  }
  absl::Status EndObject() override { return Close(); }
  absl::Status EndArray() override { return Close(); }

  Json Release() { return std::move(root_); }

 private:
  absl::Status Leaf(Json value) {
    Place(std::move(value));
    return absl::OkStatus();
  }

  absl::Status Close() {
    open_.pop_back();
    return absl::OkStatus();
  }

  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      auto& array = open_.back()->get_ref<Json::array_t&>();
      return &array.emplace_back(std::move(value));
    }
    // The map's own functions search for the key first; it is known to be new.
    using Pairs = Json::object_t::Container;
    Pairs& pairs = open_.back()->get_ref<Json::object_t&>();
    return &pairs.emplace_back(std::move(key_), std::move(value)).second;
  }

  Json root_;
  std::vector<Json*> open_;
  std::string key_;
};

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view text, std::string_view where,
                               const JsonOptions& options) {
  TreeBuilder builder;
  RETURN_IF_ERROR(ParseJsonEvents(text, where, options, builder));
  return builder.Release();
}

absl::StatusOr<Json> ReadJsonFile(const std::string& path,
                                  const JsonOptions& options) {
  ASSIGN_OR_RETURN(
      OpenedFile file,
      OpenedFile::Open(path, {.follow_links = options.follow_links}));
  ASSIGN_OR_RETURN(std::string text, file.ReadText(options.max_bytes));
  return ParseJson(text, ShownPath(path), options);
}

std::string DumpJson(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace moe
