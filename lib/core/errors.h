// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Errors with a stable code, an exit code and one line of text.
//
//   absl::Status Check(const std::string& file, uint64_t end, uint64_t size) {
//     if (end > size)
//       return Error(Code::S104, file, ": tensor ends at byte ", end,
//                    " but the file has ", size, " (cut short). Copy it
//                    again.");
//     return absl::OkStatus();
//   }
//   ...
//   if (absl::Status s = Check(file, end, size); !s.ok()) {
//     std::cerr << FormatError("moe-run", s) << "\n";
//     return ExitCode(s);  // 3
//   }
//
// The text says what was expected, what was found and what to do next; it
// starts with the file where there is one. Put names that come from a file or
// from a user through Quoted(). All functions here are thread-safe, keep no
// state, and never throw (out of memory apart).

#ifndef MOE_LIB_CORE_ERRORS_H_
#define MOE_LIB_CORE_ERRORS_H_

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/status/status.h"

namespace moe {

// Process exit codes of every tool.
enum Exit : int {
  kExitOk = 0,
  kExitFailed = 1,       // the work failed
  kExitUsage = 2,        // wrong flags or arguments
  kExitBadInput = 3,     // a bad input file
  kExitResources = 4,    // not enough memory or disk
  kExitUnsupported = 5,  // unsupported model, op or device
  kExitLost = 6,         // a rank or device was lost
  kExitNumerics = 7,     // numerics guard
  kExitBug = 70,         // our bug
  kExitStopped = 75,     // stopped cleanly, resume me
  kExitInterrupted = 130,
};

// Every code of error_codes.def; Code::S104 prints as "MOE-S104". A retired
// code keeps its enumerator, so its number cannot be given out again.
enum class Code : uint16_t {
#define MOE_ERROR(code, exit, title, page) code,
#define MOE_RETIRED(code) code,
#include "lib/core/error_codes.def"
#undef MOE_ERROR
#undef MOE_RETIRED
};

// One row of error_codes.def. The strings are literals.
struct CodeInfo {
  Code code;
  const char* name;  // "MOE-S104"
  int exit;
  const char* title;
  const char* page;  // one paragraph
};

// All codes in use, in file order. Static lifetime.
std::span<const CodeInfo> AllCodes();

// The row of |code|; the row of I002 for a retired code.
const CodeInfo& InfoOf(Code code);

// Looks up "MOE-S104", "S104" or "moe-s104". Null if there is no such code.
const CodeInfo* FindCode(std::string_view name);

// The page that `explain` prints: title, exit code, paragraph, ends in '\n'.
std::string ExplainPage(const CodeInfo& info);

// A status with |code| and |message|. The absl code follows from the exit code.
absl::Status MakeError(Code code, std::string message);

namespace internal_errors {
template <typename T>
void Append(std::string& out, const T& part) {
  if constexpr (std::is_same_v<T, char>) {
    out += part;
  } else if constexpr (std::is_same_v<T, bool>) {
    out += part ? "true" : "false";
  } else if constexpr (std::is_arithmetic_v<T>) {
    char buffer[64];
    out.append(buffer, std::to_chars(buffer, buffer + 64, part).ptr);
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    out += std::string_view(part);
  } else {
    out.append(part.data(), part.size());  // abseil's own string_view
  }
}
}  // namespace internal_errors

// Joins strings, characters, integers and floating-point numbers.
template <typename... Parts>
std::string Joined(const Parts&... parts) {
  std::string out;
  (internal_errors::Append(out, parts), ...);
  return out;
}

// Error(Code::S104, file, ": tensor ends at byte ", end)
template <typename... Parts>
absl::Status Error(Code code, const Parts&... parts) {
  return MakeError(code, Joined(parts...));
}

// |text| made safe for one line of output: control characters, bytes that are
// not UTF-8, and characters that reorder or break lines become \n, \xNN or
// \u{NNNN}. The rest stays as it is.
std::string Escaped(std::string_view text);

// True if all of |text| is well-formed UTF-8.
bool IsUtf8(std::string_view text);

// 'text' in quotes, escaped, and shortened in the middle to |max_bytes|.
std::string Quoted(std::string_view text, size_t max_bytes = 80);

// |path| for the start of a message: escaped, and if longer than 100 bytes only
// its end, after "...".
std::string ShownPath(std::string_view path);

// |status| with "context: " put before its message; its code is kept.
absl::Status WithContext(const absl::Status& status, std::string_view context);

// The code of |status|. A status made without one (by abseil itself, say)
// counts as I002 if internal, R101 if resources ran out, otherwise R001.
// |status| must not be OK.
Code CodeOf(const absl::Status& status);

// True if |status| is an error that carries |code|.
bool HasCode(const absl::Status& status, Code code);

// The process exit code of |status|; 0 if OK.
int ExitCode(const absl::Status& status);

// "moe-run: error[MOE-S104]: text": one line without its newline, at most 300
// bytes, escaped; a longer text ends in "...". |status| must not be OK.
std::string FormatError(std::string_view tool, const absl::Status& status);

// The same for --diagnostics=json: one line of JSON without its newline, keys
// tool, severity, code, exit, title, message (message in full, not shortened).
std::string FormatErrorJson(std::string_view tool, const absl::Status& status);

}  // namespace moe

#endif  // MOE_LIB_CORE_ERRORS_H_
