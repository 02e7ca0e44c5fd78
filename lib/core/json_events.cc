// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/json_events.h"

#include <cstddef>
#include <deque>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "lib/core/hash.h"

namespace moe {
namespace {

// Walks over the text and leaves its position where the handler sees it.
class Cursor {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Cursor(const char* at, const char** seen) : at_(at), seen_(seen) {}
  const char& operator*() const { return *at_; }
  Cursor& operator++() {
    *seen_ = ++at_;
    return *this;
  }
  Cursor operator++(int) {
    Cursor before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Cursor& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  const char** seen_;
};

// Keys are remembered by hash: 16 bytes each, however long. Two different keys
// of one hash would be refused as a duplicate, which harms only their author.
using HashPair = std::pair<uint64_t, uint64_t>;

HashPair PairOf(std::string_view key) {
  const Hash128 hash = HashText(key);
  HashPair out{0, 0};
  for (size_t i = 0; i < 8; ++i) {
    out.first = out.first << 8 | hash.bytes[i];
    out.second = out.second << 8 | hash.bytes[i + 8];
  }
  return out;
}

// nlohmann's handler interface, with the checks that it leaves to us.
class Handler {
 public:
  using number_integer_t = Json::number_integer_t;
  using number_unsigned_t = Json::number_unsigned_t;
  using number_float_t = Json::number_float_t;
  using string_t = Json::string_t;
  using binary_t = Json::binary_t;

  Handler(std::string_view text, std::string_view where, int max_depth,
          JsonEvents& events)
      : seen(text.data()),
        text_(text),
        where_(where),
        max_depth_(max_depth),
        events_(events) {}

  bool null() { return Take(events_.Null()); }
  bool boolean(bool value) { return Take(events_.Bool(value)); }
  bool number_integer(number_integer_t value) {
    return Take(value < 0 ? events_.Negative(value)
                          : events_.Unsigned(static_cast<uint64_t>(value)));
  }
  bool number_unsigned(number_unsigned_t value) {
    return Take(events_.Unsigned(value));
  }
  bool number_float(number_float_t value, const string_t& token) {
    // An integer that fits 64 bits does not come here.
    if (token.find_first_of(".eE") == string_t::npos)
      return Take(Error(Code::J104, where_, ": integer ", Quoted(token, 40),
                        " at byte ", Offset(), " does not fit 64 bits."));
    return Take(events_.Float(value));
  }
  bool string(string_t& value) { return Take(events_.String(value)); }
  bool binary(binary_t&) { return Take(Error(Code::J101, where_)); }

  bool start_object(size_t) { return Enter() && Take(events_.StartObject()); }
  bool start_array(size_t) { return Enter() && Take(events_.StartArray()); }
  bool end_object() {
    keys_[depth_].clear();
    --depth_;
    return Take(events_.EndObject());
  }
  bool end_array() {
    --depth_;
    return Take(events_.EndArray());
  }
  bool key(string_t& key) {
    if (keys_[depth_].insert(PairOf(key)).second) return Take(events_.Key(key));
    absl::Status status = events_.DuplicateKey(key, depth_);
    if (status.ok())
      status = Error(Code::J102, where_, ": key ", Quoted(key),
                     " comes twice in one object, again at byte ", Offset(),
                     ". Remove one.");
    return Take(std::move(status));
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) {
    if (error.id == 406)
      return Take(Error(Code::J104, where_, ": number at byte ", Offset(),
                        " does not fit a double."));
    std::string_view what = error.what();
    for (std::string_view lead : {"column ", ": ", "syntax error "})
      if (size_t at = what.find(lead); at != std::string_view::npos)
        what.remove_prefix(at + lead.size());
    return Take(Error(Code::J101, where_, ": not valid JSON at byte ",
                      position > 0 ? position - 1 : 0, ": ",
                      Escaped(what.substr(0, 120)), "."));
  }

  absl::Status status;
  const char* seen;

 private:
  size_t Offset() const { return static_cast<size_t>(seen - text_.data()); }

  bool Take(absl::Status result) {
    status = std::move(result);
    return status.ok();
  }

  bool Enter() {
    if (++depth_ > max_depth_)
      return Take(Error(Code::J103, where_, ": nested deeper than ", max_depth_,
                        " levels at byte ", Offset(), "."));
    if (keys_.size() <= static_cast<size_t>(depth_))
      keys_.resize(static_cast<size_t>(depth_) + 1);
    return true;
  }

  std::string_view text_;
  std::string where_;
  int max_depth_;
  JsonEvents& events_;
  int depth_ = 0;
  std::deque<absl::flat_hash_set<HashPair>> keys_;  // by depth
};

}  // namespace

absl::Status JsonEvents::DuplicateKey(std::string_view, int) {
  return absl::OkStatus();
}

absl::Status ParseJsonEvents(std::string_view text, std::string_view where,
                             const JsonOptions& options, JsonEvents& events) {
  if (text.size() > options.max_bytes)
    return Error(Code::J105, where, ": ", text.size(),
                 " bytes of JSON, more than the limit of ", options.max_bytes,
                 ".");
  // nlohmann's parser takes a zero byte for the end and ignores what follows.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos)
    return Error(Code::J101, where, ": not valid JSON at byte ", zero,
                 ": a zero byte.");
  Handler handler(text, where, options.max_depth, events);
  const bool parsed =
      Json::sax_parse(Cursor(text.data(), &handler.seen),
                      Cursor(text.data() + text.size(), &handler.seen),
                      &handler, nlohmann::detail::input_format_t::json,
                      /*strict=*/true);
  if (!parsed && handler.status.ok())
    return Error(Code::J101, where, ": not valid JSON.");
  return handler.status;
}

}  // namespace moe
