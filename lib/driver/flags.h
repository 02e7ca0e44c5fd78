// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Command lines: one table of flags gives parsing, errors of one line with the
// nearest flag for a mistyped one, --help, --help-json and --completion.
//
//   std::string output = "-";
//   CommonFlags asked;
//   std::vector<Flag> flags = commonFlags(asked);
//   flags.push_back(textFlag("output", output, "FILE", "where it goes", 'o'));
//   ASSIGN_OR_RETURN(auto inputs, parseFlags(argc, argv, flags));
//   if (asked.any())
//     return print(commonAnswer(asked, tool, flags));
#ifndef MOE_LIB_DRIVER_FLAGS_H
#define MOE_LIB_DRIVER_FLAGS_H

#include "lib/core/json.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <functional>
#include <string>
#include <vector>

namespace mlir::moe {

struct Flag {
  /// Without dashes. Names of one letter take one dash, others two.
  std::string name;
  /// Called for each use, in order, with the value (empty if it takes none).
  std::function<absl::Status(llvm::StringRef)> set;
  bool takesValue = true;
  /// A second name of one letter; 0: none.
  char letter = 0;
  /// How help names the value, and what help says. A flag without help is not
  /// shown.
  std::string value = "", help = "";
  /// The words that the value may be; empty: any.
  std::vector<std::string> allowed = {};
};

/// A flag that sets |slot| to true.
Flag toggleFlag(std::string name, bool &slot, std::string help,
                char letter = 0);
/// A flag that sets |slot| to its value.
Flag textFlag(std::string name, std::string &slot, std::string value,
              std::string help, char letter = 0);
/// A flag that sets |slot| to one of |allowed|; U103 for another.
Flag choiceFlag(std::string name, std::string &slot,
                std::vector<std::string> allowed, std::string help);

/// Handles `--name value`, `--name=value`, `-n value`, and `--`, after which
/// nothing is a flag. Returns the other arguments. U101 for an unknown flag,
/// U102 if a value is missing, U103 for a value where none is taken, else the
/// first error of `set`.
absl::StatusOr<std::vector<std::string>>
parseFlags(int argc, const char *const *argv, llvm::ArrayRef<Flag> flags);

/// What a tool is, in the words of its help.
struct ToolText {
  std::string name;
  /// "INPUT -o OUT.moe [options]"
  std::string form;
  /// Lines between the form and the flags.
  std::string about;
  /// The argument and what it is.
  std::string argument, argumentHelp;
  /// Lines behind the flags: exit codes, examples.
  std::string footer;
};

/// What the flags that every tool has were asked for.
struct CommonFlags {
  bool help = false, helpJson = false, version = false;
  std::string completion;
  bool any() const {
    return help || helpJson || version || !completion.empty();
  }
};

/// --help, --help-json, --completion and --version.
std::vector<Flag> commonFlags(CommonFlags &asked);

/// The text that one of |asked| prints. |flags| is all of the tool's.
absl::StatusOr<std::string> commonAnswer(const CommonFlags &asked,
                                         const ToolText &tool,
                                         llvm::ArrayRef<Flag> flags);

/// |left|, then |text| from |column| on in lines of at most 80 columns.
std::string wrapped(std::string left, llvm::StringRef text, size_t column);
/// Help in 80 columns.
std::string helpText(const ToolText &tool, llvm::ArrayRef<Flag> flags);
/// The same for scripts, in the form of lib/core/completion.h.
::moe::Json helpJson(const ToolText &tool, llvm::ArrayRef<Flag> flags);

} // namespace mlir::moe

#endif
