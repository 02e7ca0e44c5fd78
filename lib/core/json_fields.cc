// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include <optional>
#include <utility>

#include "lib/core/json.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

// A value and its type for a message: "text 'abc'", "number 1.5", "an object".
std::string Described(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "text " + Quoted(value.get_ref<const std::string&>(), 40);
    case Json::value_t::boolean:
      return value.get<bool>() ? "true" : "false";
    default:
      return "number " + value.dump();
  }
}

std::optional<int64_t> AsInt(const Json& value) {
  if (value.is_number_unsigned()) {
    const uint64_t number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  return std::nullopt;
}

std::optional<double> AsNumber(const Json& value) {
  if (!value.is_number()) return std::nullopt;
  return value.get<double>();
}

std::optional<std::string> AsString(const Json& value) {
  if (!value.is_string()) return std::nullopt;
  return value.get_ref<const std::string&>();
}

// The elements of |array| converted; nothing if one does not convert.
template <typename T>
std::optional<std::vector<T>> Elements(
    const Json& array, std::optional<T> (*convert)(const Json&)) {
  if (!array.is_array()) return std::nullopt;
  std::vector<T> out;
  out.reserve(array.size());
  for (const Json& element : array) {
    std::optional<T> value = convert(element);
    if (!value) return std::nullopt;
    out.push_back(*std::move(value));
  }
  return out;
}

}  // namespace

absl::Status JsonFields::Check() const {
  if (object_.is_object()) return absl::OkStatus();
  return Error(codes_.wrong_type, where_, ": expected an object, found ",
               Described(object_), ".");
}

absl::Status JsonFields::Missing(std::string_view key) const {
  return Error(codes_.missing, where_, ": key ", Quoted(key), " is missing.");
}

absl::Status JsonFields::WrongType(std::string_view key,
                                   std::string_view expected,
                                   const Json& found) const {
  return Error(codes_.wrong_type, where_, ": key ", Quoted(key), ": expected ",
               expected, ", found ", Described(found), ".");
}

const Json* JsonFields::Find(std::string_view key) {
  read_.emplace(key);
  if (!object_.is_object()) return nullptr;
  for (const auto& [name, value] : object_.get_ref<const Json::object_t&>())
    if (name == key) return value.is_null() ? nullptr : &value;
  return nullptr;
}

bool JsonFields::Has(std::string_view key) const {
  if (!object_.is_object()) return false;
  for (const auto& [name, value] : object_.get_ref<const Json::object_t&>())
    if (name == key) return !value.is_null();
  return false;
}

absl::StatusOr<int64_t> JsonFields::Int(std::string_view key, int64_t least,
                                        int64_t most) {
  const Json* value = Find(key);
  if (!value) return Missing(key);
  std::optional<int64_t> number = AsInt(*value);
  if (!number && value->is_number_integer())
    return Error(codes_.out_of_range, where_, ": key ", Quoted(key), ": ",
                 value->dump(), " does not fit a signed 64-bit integer.");
  if (!number) return WrongType(key, "an integer", *value);
  if (*number < least || *number > most)
    return Error(codes_.out_of_range, where_, ": key ", Quoted(key), ": ",
                 *number, " is not between ", least, " and ", most, ".");
  return *number;
}

absl::StatusOr<int64_t> JsonFields::IntOr(std::string_view key,
                                          int64_t fallback, int64_t least,
                                          int64_t most) {
  if (!Find(key)) return fallback;
  return Int(key, least, most);
}

absl::StatusOr<double> JsonFields::Number(std::string_view key) {
  const Json* value = Find(key);
  if (!value) return Missing(key);
  if (std::optional<double> number = AsNumber(*value)) return *number;
  return WrongType(key, "a number", *value);
}

absl::StatusOr<double> JsonFields::NumberOr(std::string_view key,
                                            double fallback) {
  if (!Find(key)) return fallback;
  return Number(key);
}

absl::StatusOr<bool> JsonFields::Bool(std::string_view key) {
  const Json* value = Find(key);
  if (!value) return Missing(key);
  if (!value->is_boolean()) return WrongType(key, "true or false", *value);
  return value->get<bool>();
}

absl::StatusOr<bool> JsonFields::BoolOr(std::string_view key, bool fallback) {
  if (!Find(key)) return fallback;
  return Bool(key);
}

absl::StatusOr<std::string> JsonFields::String(std::string_view key) {
  const Json* value = Find(key);
  if (!value) return Missing(key);
  if (std::optional<std::string> text = AsString(*value))
    return *std::move(text);
  return WrongType(key, "text", *value);
}

absl::StatusOr<std::string> JsonFields::StringOr(std::string_view key,
                                                 std::string_view fallback) {
  if (!Find(key)) return std::string(fallback);
  return String(key);
}

absl::StatusOr<std::vector<int64_t>> JsonFields::Ints(std::string_view key) {
  const Json* value = Find(key);
  if (!value) return Missing(key);
  if (auto numbers = Elements<int64_t>(*value, AsInt))
    return *std::move(numbers);
  return WrongType(key, "an array of integers", *value);
}

absl::StatusOr<std::vector<int64_t>> JsonFields::IntsOrEmpty(
    std::string_view key) {
  if (!Find(key)) return std::vector<int64_t>();
  return Ints(key);
}

absl::StatusOr<std::vector<double>> JsonFields::Numbers(std::string_view key) {
  const Json* value = Find(key);
  if (!value) return Missing(key);
  if (auto numbers = Elements<double>(*value, AsNumber))
    return *std::move(numbers);
  return WrongType(key, "an array of numbers", *value);
}

absl::StatusOr<std::vector<double>> JsonFields::NumbersOrEmpty(
    std::string_view key) {
  if (!Find(key)) return std::vector<double>();
  return Numbers(key);
}

absl::StatusOr<std::vector<std::string>> JsonFields::Strings(
    std::string_view key) {
  const Json* value = Find(key);
  if (!value) return Missing(key);
  if (auto texts = Elements<std::string>(*value, AsString))
    return *std::move(texts);
  return WrongType(key, "an array of texts", *value);
}

absl::StatusOr<std::vector<std::string>> JsonFields::StringsOrEmpty(
    std::string_view key) {
  if (!Find(key)) return std::vector<std::string>();
  return Strings(key);
}

absl::StatusOr<const Json*> JsonFields::Object(std::string_view key) {
  const Json* value = Find(key);
  if (!value) return Missing(key);
  if (!value->is_object()) return WrongType(key, "an object", *value);
  return value;
}

absl::StatusOr<const Json*> JsonFields::Array(std::string_view key) {
  const Json* value = Find(key);
  if (!value) return Missing(key);
  if (!value->is_array()) return WrongType(key, "an array", *value);
  return value;
}

std::vector<std::string> JsonFields::Unread() const {
  std::vector<std::string> out;
  if (object_.is_object())
    for (const auto& [name, value] : object_.get_ref<const Json::object_t&>())
      if (!read_.contains(name)) out.push_back(name);
  return out;
}

}  // namespace moe
