// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a table of flags says about itself.
#include "lib/driver/flags.h"

#include "lib/core/completion.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir::moe;
using llvm::StringRef;

static constexpr size_t column = 25, width = 80;

std::string mlir::moe::wrapped(std::string left, StringRef text,
                               size_t column) {
  size_t at = left.size();
  if (at + 1 > column) {
    left += "\n";
    at = 0;
  }
  left.append(column - at, ' ');
  at = column;
  for (StringRef word : llvm::split(text, ' ')) {
    if (at > column && at + 1 + word.size() > width) {
      left += "\n" + std::string(column, ' ');
      at = column;
    } else if (at > column) {
      left += " ";
      ++at;
    }
    left += word;
    at += word.size();
  }
  return left + "\n";
}

/// "  -o, --output FILE      where it goes"
static std::string entry(StringRef left, StringRef help) {
  return wrapped(("  " + left).str(), help, column);
}

static std::vector<std::string> namesOf(const Flag &flag) {
  std::vector<std::string> names;
  if (flag.letter)
    names.push_back(std::string("-") + flag.letter);
  names.push_back((flag.name.size() == 1 ? "-" : "--") + flag.name);
  return names;
}

std::string mlir::moe::helpText(const ToolText &tool,
                                llvm::ArrayRef<Flag> flags) {
  std::string text = "usage: " + tool.name + " " + tool.form + "\n\n" +
                     tool.about + "\n" +
                     entry(tool.argument, tool.argumentHelp);
  for (const Flag &flag : flags)
    if (!flag.help.empty())
      text += entry(llvm::join(namesOf(flag), ", ") +
                        (flag.takesValue ? " " + flag.value : ""),
                    flag.help);
  return text + "\n" + tool.footer;
}

::moe::Json mlir::moe::helpJson(const ToolText &tool,
                                llvm::ArrayRef<Flag> flags) {
  ::moe::Json list = ::moe::Json::array();
  for (const Flag &flag : flags) {
    if (flag.help.empty())
      continue;
    ::moe::Json item = {{"names", namesOf(flag)}, {"help", flag.help}};
    if (flag.takesValue)
      item["value"] = flag.value;
    if (!flag.allowed.empty())
      item["allowed"] = "{" + llvm::join(flag.allowed, ",") + "}";
    list.push_back(item);
  }
  return {{"tool", tool.name},
          {"arguments",
           {{{"names", {tool.argument}}, {"help", tool.argumentHelp}}}},
          {"flags", list},
          {"commands", ::moe::Json::array()}};
}

std::vector<Flag> mlir::moe::commonFlags(CommonFlags &asked) {
  return {toggleFlag("help", asked.help, "this text", 'h'),
          toggleFlag("help-json", asked.helpJson, "the flags as JSON"),
          choiceFlag("completion", asked.completion, {"bash", "zsh", "fish"},
                     "a script that makes a shell complete flags and values"),
          toggleFlag("version", asked.version, "the version of the tool")};
}

absl::StatusOr<std::string>
mlir::moe::commonAnswer(const CommonFlags &asked, const ToolText &tool,
                        llvm::ArrayRef<Flag> flags) {
  if (asked.help)
    return helpText(tool, flags);
  if (asked.version)
    return tool.name + " 0.1.0\n";
  if (asked.helpJson)
    return ::moe::DumpJson(helpJson(tool, flags)) + "\n";
  return ::moe::CompletionScript(helpJson(tool, flags), asked.completion);
}
