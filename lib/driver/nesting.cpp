// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/nesting.h"

#include "lib/core/errors.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"

#include <limits>
#include <string>

using llvm::StringRef;
using ::moe::Code;
using ::moe::Error;
using ::moe::Joined;

namespace {
/// Follows brackets, expressions and aliases through text. Comments and strings
/// are skipped; `->`, `>=` and `<=` are no brackets. A `<` that no `>` closes
/// ends with what is around.
class Scanner {
public:
  explicit Scanner(StringRef text) : text(text) {}

  /// Whether the text is within bounds; what() and line() tell where not.
  bool run() {
    while (at < text.size() && problem.empty())
      step();
    endAlias();
    return problem.empty();
  }
  const std::string &what() const { return problem; }
  size_t line() const { return text.take_front(at).count('\n') + 1; }

private:
  struct Alias {
    uint64_t size = 0, depth = 0;
  };
  struct Level {
    char opener;
    int operators = 0;
  };

  static constexpr size_t maxDepth = mlir::moe::maxNesting;

  void step() {
    char c = text[at];
    StringRef rest = text.drop_front(at);
    int before = minuses;
    minuses = 0;
    if (rest.starts_with("//"))
      return skip(rest.find('\n'));
    if (c == '"')
      return skipString();
    if (rest.starts_with("->") || rest.starts_with(">=") ||
        rest.starts_with("<="))
      return skip(2);
    if (c == '#' || c == '!')
      return sigil(rest);
    if (llvm::isAlpha(c) || c == '_')
      return word(rest.take_while(isWordPart));
    ++at;
    switch (c) {
    case '-':
      minuses = before + 1;
      if (minuses > int(maxDepth))
        problem = tooDeep();
      return countOperator();
    case '+':
    case '*':
      return countOperator();
    case ',':
    case '=':
      operators() = 0;
      return;
    case '\n':
      if (inAlias && open.size() == base && at > valueFrom)
        endAlias();
      [[fallthrough]];
    case ' ':
    case '\t':
    case '\r':
      minuses = before;
      return;
    case '(':
    case '[':
    case '{':
    case '<':
      open.push_back({c});
      reach(open.size() - (inAlias ? base : 0));
      return;
    case ')':
      return close('(');
    case ']':
      return close('[');
    case '}':
      return close('{');
    case '>':
      if (!open.empty() && open.back().opener == '<')
        open.pop_back();
      return;
    default:
      return;
    }
  }

  static bool isWordPart(char c) {
    return llvm::isAlnum(c) || c == '_' || c == '$' || c == '.';
  }
  static std::string tooDeep() {
    return Joined("nested deeper than ", mlir::moe::maxNesting, " levels");
  }

  void skip(size_t length) {
    at = length == StringRef::npos ? text.size() : at + length;
  }

  /// A string ends on its line, whether it is closed or not.
  void skipString() {
    for (++at; at < text.size() && text[at] != '"' && text[at] != '\n'; ++at)
      if (text[at] == '\\')
        ++at;
    at = std::min(at + 1, text.size());
  }

  void word(StringRef name) {
    at += name.size();
    if (name == "floordiv" || name == "ceildiv" || name == "mod")
      countOperator();
  }

  /// `#name`, `!name`: an alias unless there is a dot in it; at the outermost
  /// level with `=` behind it a definition.
  void sigil(StringRef rest) {
    StringRef name =
        rest.take_front(1 + rest.drop_front().take_while(isWordPart).size());
    at += name.size();
    if (name.size() == 1 || name.contains('.'))
      return;
    StringRef behind = text.drop_front(at).ltrim(" \t");
    if (open.empty() && behind.starts_with("=") && !behind.starts_with("==")) {
      endAlias();
      inAlias = true;
      aliasName = name.str();
      alias = {};
      base = open.size();
      at = text.size() - behind.size() + 1;
      aliasFrom = at;
      StringRef value = text.drop_front(at).ltrim();
      valueFrom = text.size() - value.size();
      return;
    }
    auto known = aliases.find(name);
    if (known == aliases.end())
      return;
    expand(known->second.size);
    if (inAlias)
      reach(open.size() - base + known->second.depth);
  }

  void endAlias() {
    if (!inAlias)
      return;
    inAlias = false;
    alias.size += at - aliasFrom;
    aliases[aliasName] = alias;
  }

  void reach(uint64_t depth) {
    if (inAlias)
      alias.depth = std::max(alias.depth, depth);
    if (depth > maxDepth)
      problem = tooDeep();
  }

  void expand(uint64_t size) {
    uint64_t &sum = inAlias ? alias.size : expanded;
    sum += size;
    if (sum > mlir::moe::maxExpansion)
      problem = Joined("aliases expand to more than ",
                       mlir::moe::maxExpansion >> 20, " MiB");
  }

  int &operators() { return open.empty() ? outside : open.back().operators; }
  void countOperator() {
    if (++operators() > mlir::moe::maxOperators)
      problem = Joined("an expression of more than ", mlir::moe::maxOperators,
                       " operators");
  }

  void close(char opener) {
    for (size_t i = open.size(); i-- > 0;)
      if (open[i].opener == opener)
        return open.resize(i);
  }

  StringRef text;
  size_t at = 0;
  llvm::SmallVector<Level> open;
  int minuses = 0, outside = 0;
  std::string problem;

  llvm::StringMap<Alias> aliases;
  bool inAlias = false;
  std::string aliasName;
  Alias alias;
  size_t base = 0, aliasFrom = 0, valueFrom = 0;
  uint64_t expanded = 0;
};
} // namespace

absl::Status mlir::moe::checkNesting(StringRef text, StringRef where) {
  std::string file = ::moe::ShownPath(where.str());
  if (text.starts_with("ML\xefR"))
    return Error(Code::K101, file,
                 ": is MLIR bytecode; only the text form is read");
  Scanner scanner(text);
  if (!scanner.run())
    return Error(Code::K104, file, ":", scanner.line(), ": ", scanner.what());
  return absl::OkStatus();
}
