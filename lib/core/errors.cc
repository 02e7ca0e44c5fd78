// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/errors.h"

#include <cctype>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/cord.h"

namespace moe {
namespace {

constexpr char kPayload[] = "moe/code";
constexpr size_t kLineLimit = 300;

constexpr CodeInfo kCodes[] = {
#define MOE_ERROR(code, exit, title, page) \
  {Code::code, "MOE-" #code, exit, title, page},
#define MOE_RETIRED(code)
#include "lib/core/error_codes.def"
#undef MOE_ERROR
#undef MOE_RETIRED
};

absl::StatusCode AbslCode(int exit) {
  switch (exit) {
    case kExitUsage:
      return absl::StatusCode::kInvalidArgument;
    case kExitBadInput:
      return absl::StatusCode::kDataLoss;
    case kExitResources:
      return absl::StatusCode::kResourceExhausted;
    case kExitUnsupported:
      return absl::StatusCode::kUnimplemented;
    case kExitLost:
      return absl::StatusCode::kUnavailable;
    case kExitNumerics:
      return absl::StatusCode::kOutOfRange;
    case kExitBug:
      return absl::StatusCode::kInternal;
    case kExitStopped:
    case kExitInterrupted:
      return absl::StatusCode::kCancelled;
    default:
      return absl::StatusCode::kUnknown;
  }
}

// The code point that starts at text[at] and its length; length 0 if the bytes
// there are not UTF-8.
struct Decoded {
  uint32_t point = 0;
  size_t length = 0;
};

Decoded Decode(std::string_view text, size_t at) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(at);
  if (first < 0x80) return {first, 1};
  const size_t length = first >= 0xf0   ? 4
                        : first >= 0xe0 ? 3
                        : first >= 0xc2 ? 2
                                        : 0;
  if (length == 0 || first > 0xf4 || at + length > text.size()) return {};
  uint32_t point = first & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return {};
    point = point << 6 | (byte(at + i) & 0x3fu);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (point < kLeast[length] || point > 0x10ffff ||
      (point >= 0xd800 && point < 0xe000))
    return {};
  return {point, length};
}

// Control characters, line and paragraph separators, the characters that change
// the direction of text, and the byte order mark.
bool IsUnsafe(uint32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x61c ||
         (point >= 0x200b && point <= 0x200f) ||
         (point >= 0x2028 && point <= 0x202e) ||
         (point >= 0x2060 && point <= 0x206f) || point == 0xfeff;
}

// The largest length <= |limit| at which |text|, valid UTF-8, may be cut.
size_t CutBefore(std::string_view text, size_t limit) {
  if (limit >= text.size()) return text.size();
  while (limit > 0 && (static_cast<uint8_t>(text[limit]) & 0xc0) == 0x80)
    --limit;
  return limit;
}

std::optional<Code> PayloadCode(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  if (!payload) return std::nullopt;
  const CodeInfo* info = FindCode(std::string(*payload));
  return info ? std::optional(info->code) : std::nullopt;
}

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

}  // namespace

std::span<const CodeInfo> AllCodes() { return kCodes; }

const CodeInfo& InfoOf(Code code) {
  const CodeInfo* internal = nullptr;
  for (const CodeInfo& info : kCodes) {
    if (info.code == code) return info;
    if (info.code == Code::I002) internal = &info;
  }
  return *internal;
}

const CodeInfo* FindCode(std::string_view name) {
  std::string upper(name);
  for (char& c : upper)
    c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (!upper.starts_with("MOE-")) upper.insert(0, "MOE-");
  for (const CodeInfo& info : kCodes)
    if (upper == info.name) return &info;
  return nullptr;
}

std::string ExplainPage(const CodeInfo& info) {
  std::string out =
      Joined(info.name, ": ", info.title, " (exit code ", info.exit, ")\n\n");
  std::string_view rest = info.page;
  while (!rest.empty()) {
    size_t cut = rest.size();
    if (cut > 78) {
      cut = rest.rfind(' ', 78);
      if (cut == std::string_view::npos) cut = 78;
    }
    out.append(rest.substr(0, cut)).append("\n");
    rest.remove_prefix(cut);
    if (rest.starts_with(' ')) rest.remove_prefix(1);
  }
  return out;
}

absl::Status MakeError(Code code, std::string message) {
  const CodeInfo& info = InfoOf(code);
  absl::Status status(AbslCode(info.exit), message);
  status.SetPayload(kPayload, absl::Cord(info.name));
  return status;
}

std::string Escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  char buffer[16];
  for (size_t i = 0; i < text.size();) {
    const Decoded decoded = Decode(text, i);
    if (decoded.length == 0) {
      std::snprintf(buffer, sizeof buffer, "\\x%02x",
                    static_cast<uint8_t>(text[i]));
      out += buffer;
      ++i;
      continue;
    }
    if (decoded.point == '\n') {
      out += "\\n";
    } else if (decoded.point == '\t') {
      out += "\\t";
    } else if (decoded.point == '\r') {
      out += "\\r";
    } else if (IsUnsafe(decoded.point)) {
      std::snprintf(buffer, sizeof buffer,
                    decoded.point < 0x80 ? "\\x%02x" : "\\u{%04x}",
                    static_cast<unsigned>(decoded.point));
      out += buffer;
    } else {
      out.append(text.substr(i, decoded.length));
    }
    i += decoded.length;
  }
  return out;
}

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = Decode(text, i).length;
    if (length == 0) return false;
    i += length;
  }
  return true;
}

std::string Quoted(std::string_view text, size_t max_bytes) {
  // More than this cannot survive the shortening: do not copy a huge name.
  std::string safe =
      Escaped(text.size() <= 2 * max_bytes
                  ? text
                  : std::string(text.substr(0, max_bytes))
                        .append(text.substr(text.size() - max_bytes)));
  if (safe.size() > max_bytes) {
    const size_t head = CutBefore(safe, max_bytes / 2);
    size_t tail = safe.size() - (max_bytes - max_bytes / 2 - 3);
    while (tail < safe.size() &&
           (static_cast<uint8_t>(safe[tail]) & 0xc0) == 0x80)
      ++tail;
    safe = safe.substr(0, head) + "..." + safe.substr(tail);
  }
  return "'" + safe + "'";
}

std::string ShownPath(std::string_view path) {
  constexpr size_t kLimit = 100;
  const bool cut = path.size() > kLimit;
  if (cut) path.remove_prefix(path.size() - kLimit);
  std::string safe = Escaped(path);
  if (safe.size() > kLimit || cut) {
    size_t begin = safe.size() > kLimit - 3 ? safe.size() - (kLimit - 3) : 0;
    while (begin < safe.size() &&
           (static_cast<uint8_t>(safe[begin]) & 0xc0) == 0x80)
      ++begin;
    safe = "..." + safe.substr(begin);
  }
  return safe;
}

absl::Status WithContext(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  absl::Status out(status.code(), Joined(context, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view type, const absl::Cord& payload) {
    out.SetPayload(type, payload);
  });
  return out;
}

Code CodeOf(const absl::Status& status) {
  if (std::optional<Code> code = PayloadCode(status)) return *code;
  switch (status.code()) {
    case absl::StatusCode::kInternal:
      return Code::I002;
    case absl::StatusCode::kResourceExhausted:
      return Code::R101;
    default:
      return Code::R001;
  }
}

bool HasCode(const absl::Status& status, Code code) {
  return !status.ok() && CodeOf(status) == code;
}

int ExitCode(const absl::Status& status) {
  return status.ok() ? static_cast<int>(kExitOk) : InfoOf(CodeOf(status)).exit;
}

std::string FormatError(std::string_view tool, const absl::Status& status) {
  const CodeInfo& info = InfoOf(CodeOf(status));
  std::string line = Joined(Escaped(tool), ": error[", info.name,
                            "]: ", Escaped(MessageOf(status)));
  if (line.size() > kLineLimit) {
    line.resize(CutBefore(line, kLineLimit - 3));
    line += "...";
  }
  return line;
}

std::string FormatErrorJson(std::string_view tool, const absl::Status& status) {
  const CodeInfo& info = InfoOf(CodeOf(status));
  nlohmann::ordered_json out;
  out["tool"] = std::string(tool);
  out["severity"] = "error";
  out["code"] = info.name;
  out["exit"] = info.exit;
  out["title"] = info.title;
  out["message"] = MessageOf(status);
  return out.dump(-1, ' ', true,
                  nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace moe
