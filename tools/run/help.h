// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef MOE_TOOLS_RUN_HELP_H_
#define MOE_TOOLS_RUN_HELP_H_

#include <CLI/CLI.hpp>
#include <memory>

namespace moe::run {

// Help in 80 columns: a flag with the name of its value and its default;
// allowed values are for the flag's own text to name.
std::shared_ptr<CLI::FormatterBase> MakeFormatter();

}  // namespace moe::run

#endif  // MOE_TOOLS_RUN_HELP_H_
