// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run explain: the page of an error code.
#include <CLI/CLI.hpp>
#include <memory>

#include "lib/core/errors.h"
#include "tools/run/command.h"

namespace moe::run {

Action AddExplain(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  app.add_option("CODE", *name, "such as MOE-S104")->required();
  app.footer("Example:\n  moe-run explain MOE-S104");
  return [name]() -> absl::Status {
    if (const CodeInfo* info = FindCode(*name))
      return Print(ExplainPage(*info));
    return Error(Code::U106, "no error has the code ", Quoted(*name),
                 ". Codes look like MOE-S104.");
  };
}

}  // namespace moe::run
