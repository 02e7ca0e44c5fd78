// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Shell completion from the description of a command line that --help-json
// prints:
//
//   {"tool": "moe-run",
//    "flags": [{"names": ["--output", "-o"], "help": "…", "value": "FORM",
//               "allowed": "{text,json}"}],
//    "commands": [{"name": "score", "help": "…", "flags": […]}]}
//
// "value" stands where a flag takes one; of "allowed" only the form {a,b} names
// words. A tool without commands has only flags.
//
//   ASSIGN_OR_RETURN(std::string script, CompletionScript(help, "bash"));
//   // eval "$(moe-run --completion=bash)"

#ifndef MOE_LIB_CORE_COMPLETION_H_
#define MOE_LIB_CORE_COMPLETION_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/core/json.h"

namespace moe {

// The script that makes |shell| (bash, zsh or fish) complete the tool's flags,
// commands and values, and files elsewhere. U103 for another shell.
absl::StatusOr<std::string> CompletionScript(const Json& help,
                                             std::string_view shell);

}  // namespace moe

#endif  // MOE_LIB_CORE_COMPLETION_H_
