// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/input.h"

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "lib/driver/crash.h"
#include "lib/driver/diagnostics.h"
#include "lib/driver/nesting.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"

using namespace mlir;
using ::moe::Code;

absl::StatusOr<OwningOpRef<ModuleOp>>
mlir::moe::parseProgram(MLIRContext &context, StringRef text, StringRef where,
                        const LogLine &log) {
  RETURN_IF_ERROR(checkNesting(text, where));
  setCrashStep("the parser");
  setReproducer(text, "moe-opt");
  DiagnosticCollector diagnostics(context, log);
  ParserConfig config(&context, /*verifyAfterParse=*/false);
  auto module = parseSourceString<ModuleOp>(text, config, where);
  if (!module)
    return diagnostics.error(Code::K101, where);
  setCrashStep("the verifier");
  if (failed(verify(*module)))
    return diagnostics.error(Code::K102, where);
  return module;
}
