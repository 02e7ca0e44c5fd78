// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/nesting.h"

#include "lib/core/errors.h"

#include <string>

using llvm::StringRef;
using ::moe::Code;
using ::moe::Error;

namespace {
/// Follows brackets through text. Comments and strings are skipped; `->`, `>=`
/// and `<=` are no brackets. A `<` that no `>` closes ends with what is around.
class Scanner {
public:
  explicit Scanner(StringRef text) : text(text) {}

  /// Whether the text is within bounds; line() is the offending one if not.
  bool run() {
    while (at < text.size())
      if (!step())
        return false;
    return true;
  }
  size_t line() const { return text.take_front(at).count('\n') + 1; }

private:
  bool step() {
    char c = text[at];
    StringRef rest = text.drop_front(at);
    int before = minuses;
    minuses = 0;
    if (rest.starts_with("//"))
      return skipTo(rest.find('\n'));
    if (c == '"')
      return skipString();
    if (rest.starts_with("->") || rest.starts_with(">=") ||
        rest.starts_with("<=")) {
      at += 2;
      return true;
    }
    ++at;
    switch (c) {
    case '-':
      minuses = before + 1;
      return minuses <= mlir::moe::maxNesting;
    case ' ':
    case '\t':
    case '\n':
    case '\r':
      minuses = before;
      return true;
    case '(':
    case '[':
    case '{':
    case '<':
      open += c;
      return open.size() <= size_t(mlir::moe::maxNesting);
    case ')':
      return close('(');
    case ']':
      return close('[');
    case '}':
      return close('{');
    case '>':
      if (!open.empty() && open.back() == '<')
        open.pop_back();
      return true;
    default:
      return true;
    }
  }

  bool skipTo(size_t length) {
    at = length == StringRef::npos ? text.size() : at + length;
    return true;
  }

  /// A string ends on its line, whether it is closed or not.
  bool skipString() {
    for (++at; at < text.size() && text[at] != '"' && text[at] != '\n'; ++at)
      if (text[at] == '\\')
        ++at;
    at = std::min(at + 1, text.size());
    return true;
  }

  bool close(char opener) {
    size_t match = open.rfind(opener);
    if (match != std::string::npos)
      open.resize(match);
    return true;
  }

  StringRef text;
  size_t at = 0;
  std::string open;
  int minuses = 0;
};
} // namespace

absl::Status mlir::moe::checkNesting(StringRef text, StringRef where) {
  std::string file = ::moe::ShownPath(where.str());
  if (text.starts_with("ML\xefR"))
    return Error(Code::K101, file,
                 ": is MLIR bytecode; only the text form is read");
  Scanner scanner(text);
  if (!scanner.run())
    return Error(Code::K104, file, ":", scanner.line(), ": nested deeper than ",
                 maxNesting, " levels");
  return absl::OkStatus();
}
