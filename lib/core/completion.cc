// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/completion.h"

#include <algorithm>
#include <vector>

#include "lib/core/errors.h"

namespace moe {
namespace {

std::string Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || !found->is_string()
             ? ""
             : found->get<std::string>();
}

const Json& List(const Json& object, const char* key) {
  static const Json* const kNone = new Json(Json::array());
  const auto found = object.find(key);
  return found == object.end() ? *kNone : *found;
}

// "text json" of "{text,json}"; empty if values are not named.
std::string Values(const Json& flag) {
  std::string text = Text(flag, "allowed");
  if (!text.starts_with("{") || !text.ends_with("}")) return "";
  text = text.substr(1, text.size() - 2);
  std::replace(text.begin(), text.end(), ',', ' ');
  return text;
}

std::string Names(const Json& flag, const char* between) {
  std::string text;
  for (const Json& name : List(flag, "names"))
    text += (text.empty() ? "" : between) + name.get<std::string>();
  return text;
}

std::string FlagNames(const Json& object) {
  std::string text;
  for (const Json& flag : List(object, "flags"))
    text += (text.empty() ? "" : " ") + Names(flag, " ");
  return text;
}

// A function name of the tool's name.
std::string Function(std::string tool) {
  std::replace(tool.begin(), tool.end(), '-', '_');
  return "_" + tool;
}

// One branch for each flag of |object| that takes a value.
std::string BashValues(const Json& object, const std::string& command) {
  std::string text;
  for (const Json& flag : List(object, "flags")) {
    if (Text(flag, "value").empty()) continue;
    std::string pattern;
    for (const Json& name : List(flag, "names"))
      pattern += Joined(pattern.empty() ? "" : "|", command, ",",
                        name.get<std::string>());
    const std::string values = Values(flag);
    text += Joined("    ", pattern, ") COMPREPLY=($(compgen ",
                   values.empty() ? "-f" : Joined("-W '", values, "'"),
                   " -- \"$current\")); return ;;\n");
  }
  return text;
}

std::string Bash(const Json& help) {
  const std::string tool = Text(help, "tool"), function = Function(tool);
  std::string commands, branches, values = BashValues(help, "");
  for (const Json& command : List(help, "commands")) {
    const std::string name = Text(command, "name");
    commands += (commands.empty() ? "" : " ") + name;
    branches += Joined("    ", name, ") words='", FlagNames(command), "' ;;\n");
    values += BashValues(command, name);
  }
  std::string find;
  if (!commands.empty()) {
    std::string pattern = commands;
    std::replace(pattern.begin(), pattern.end(), ' ', '|');
    find = Joined("  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n",
                  "    case $word in ", pattern,
                  ") command=$word; break ;; esac\n  done\n");
  }
  return Joined(
      function, "() {\n",
      "  local current=${COMP_WORDS[COMP_CWORD]} word command= words=\n",
      "  local previous=${COMP_WORDS[COMP_CWORD-1]}\n",
      "  if [[ $current == = ]]; then current=\n",
      "  elif [[ $previous == = ]]; then ",
      "previous=${COMP_WORDS[COMP_CWORD-2]}; fi\n", find,
      "  case $command,$previous in\n", values, "  esac\n",
      "  case $command in\n", branches, "    *) words='", commands,
      commands.empty() ? "" : " ", FlagNames(help), "' ;;\n  esac\n",
      "  if [[ $current == -* || ( -n '", commands,
      "' && -z $command ) ]]; then\n",
      "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n  else\n",
      "    COMPREPLY=($(compgen -f -- \"$current\"))\n  fi\n}\n",
      "complete -o filenames -F ", function, " ", tool, "\n");
}

std::string FishQuoted(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\'' || text[i] == '\\') text.insert(i++, 1, '\\');
  return "'" + text + "'";
}

std::string FishFlags(const Json& object, const std::string& start) {
  std::string text;
  for (const Json& flag : List(object, "flags")) {
    text += start;
    for (const Json& item : List(flag, "names")) {
      const std::string name = item.get<std::string>();
      const bool wide = name.starts_with("--");
      text += Joined(wide ? " -l " : " -s ", name.substr(wide ? 2 : 1));
    }
    const std::string values = Values(flag);
    if (!values.empty())
      text += " -x -a " + FishQuoted(values);
    else if (!Text(flag, "value").empty())
      text += " -r";
    text += Joined(" -d ", FishQuoted(Text(flag, "help")), "\n");
  }
  return text;
}

std::string Fish(const Json& help) {
  const std::string start = "complete -c " + Text(help, "tool");
  const Json& commands = List(help, "commands");
  std::string text = FishFlags(
      help, commands.empty() ? start : start + " -n __fish_use_subcommand");
  for (const Json& command : commands) {
    const std::string name = Text(command, "name");
    text += Joined(start, " -n __fish_use_subcommand -f -a ", name, " -d ",
                   FishQuoted(Text(command, "help")), "\n");
    text += FishFlags(
        command, Joined(start, " -n '__fish_seen_subcommand_from ", name, "'"));
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> CompletionScript(const Json& help,
                                             std::string_view shell) {
  const std::string tool = Text(help, "tool");
  if (shell == "bash")
    return Joined("# eval \"$(", tool, " --completion=bash)\"\n", Bash(help));
  if (shell == "zsh")
    return Joined("#compdef ", tool, "\n# ", tool,
                  " --completion=zsh > a folder of $fpath, as _", tool,
                  "\nautoload -U +X bashcompinit && bashcompinit\n",
                  Bash(help));
  if (shell == "fish")
    return Joined("# ", tool, " --completion=fish | source\n", Fish(help));
  return Error(Code::U103, "--completion expects bash, zsh or fish, got ",
               Quoted(shell));
}

}  // namespace moe
