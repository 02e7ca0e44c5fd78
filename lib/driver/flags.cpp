// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/flags.h"

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir::moe;
using llvm::StringRef;
using ::moe::Code;
using ::moe::Error;
using ::moe::Quoted;

static std::string shown(StringRef name) {
  return (name.size() == 1 ? "-" : "--") + name.str();
}

static absl::Status unknownFlag(StringRef argument, StringRef name,
                                llvm::ArrayRef<Flag> flags) {
  const Flag *nearest = nullptr;
  unsigned least = 4;
  for (const Flag &flag : flags)
    if (unsigned distance = name.edit_distance(flag.name, true, least);
        distance < least && distance < name.size())
      nearest = &flag, least = distance;
  return Error(Code::U101, "unknown flag ",
               Quoted(argument.split('=').first.str()),
               nearest ? ". Did you mean " + shown(nearest->name) + "?"
                       : ". --help lists all.");
}

Flag mlir::moe::toggleFlag(std::string name, bool &slot, std::string help,
                           char letter) {
  auto set = [&slot](StringRef) {
    slot = true;
    return absl::OkStatus();
  };
  return {.name = name,
          .set = set,
          .takesValue = false,
          .letter = letter,
          .help = help};
}

Flag mlir::moe::textFlag(std::string name, std::string &slot, std::string value,
                         std::string help, char letter) {
  auto set = [&slot](StringRef given) {
    slot = given.str();
    return absl::OkStatus();
  };
  return {
      .name = name, .set = set, .letter = letter, .value = value, .help = help};
}

/// "a, b or c"
static std::string either(llvm::ArrayRef<std::string> words) {
  std::string text = words.front();
  for (const std::string &word : words.drop_front())
    text += (&word == &words.back() ? " or " : ", ") + word;
  return text;
}

Flag mlir::moe::choiceFlag(std::string name, std::string &slot,
                           std::vector<std::string> allowed, std::string help) {
  auto set = [=, &slot](StringRef given) {
    slot = given.str();
    if (llvm::is_contained(allowed, slot))
      return absl::OkStatus();
    return Error(Code::U103, "--", name, " expects ", either(allowed), ", got ",
                 Quoted(given.str()));
  };
  return {.name = name,
          .set = set,
          .value = llvm::join(allowed, "|"),
          .help = help,
          .allowed = allowed};
}

absl::StatusOr<std::vector<std::string>>
mlir::moe::parseFlags(int argc, const char *const *argv,
                      llvm::ArrayRef<Flag> flags) {
  std::vector<std::string> others;
  for (int i = 1; i < argc; ++i) {
    StringRef argument = argv[i];
    if (argument == "--") {
      others.insert(others.end(), argv + i + 1, argv + argc);
      break;
    }
    if (!argument.starts_with("-") || argument == "-") {
      others.push_back(argument.str());
      continue;
    }
    auto [name, value] = argument.ltrim('-').split('=');
    bool letter = name.size() == 1;
    const Flag *flag = llvm::find_if(flags, [&](const Flag &flag) {
      return flag.name == name || (letter && flag.letter == name[0]);
    });
    if (flag == flags.end() || argument.starts_with("--") == letter)
      return unknownFlag(argument, name, flags);
    bool hasValue = argument.contains('=');
    if (!flag->takesValue && hasValue)
      return Error(Code::U103, shown(name), " takes no value, got ",
                   Quoted(value.str()));
    if (flag->takesValue && !hasValue) {
      if (i + 1 == argc)
        return Error(Code::U102, shown(name), " needs a value");
      value = argv[++i];
    }
    RETURN_IF_ERROR(flag->set(value));
  }
  return others;
}
