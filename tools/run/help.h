// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef MOE_TOOLS_RUN_HELP_H_
#define MOE_TOOLS_RUN_HELP_H_

#include <CLI/CLI.hpp>
#include <memory>

#include "lib/core/json.h"

namespace moe::run {

// Help in 80 columns: a flag with the name of its value and its default;
// allowed values are for the flag's own text to name.
std::shared_ptr<CLI::FormatterBase> MakeFormatter();

// Every command with its arguments and flags, for --help-json: the interface
// that scripts rely on.
Json HelpJson(const CLI::App& app);

}  // namespace moe::run

#endif  // MOE_TOOLS_RUN_HELP_H_
