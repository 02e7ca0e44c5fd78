// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The whole compiler as functions: a program in, a module file out.
//
//   DialectRegistry registry;
//   registerEverything(registry);
//   MLIRContext context(registry);
//   absl::StatusOr<std::string> bytes =
//       compileModule(context, {.input = "model.mlir"});
//
// Each function reads its input anew and leaves nothing behind in the context
// but uniqued types and attributes. Not for several threads with one context.
// Errors are those of input.h, the passes (K102, K103, K109, I003), the
// backend (K106, I002, F201) and K108 or K110 for entries that do not exist.
#ifndef MOE_LIB_DRIVER_COMPILE_H
#define MOE_LIB_DRIVER_COMPILE_H

#include "lib/backend/object.h"
#include "lib/driver/input.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include "absl/status/statusor.h"

#include <string>
#include <vector>

namespace mlir::moe {

/// In the order of the flow.
enum class Phase { Model, Step, Local, Fused, Target };
/// "model", "step", "local", "fused" or "target".
std::optional<Phase> parsePhase(StringRef name);

struct CompileOptions {
  /// A file of MLIR text or a Hugging Face folder.
  std::string input;
  /// For a model "score" and "generate" (prefill and decode); empty: both. For
  /// a program without a model names of its functions; empty: all.
  std::vector<std::string> entries = {};
  /// "FILE@NAME"; empty: the routers of the program.
  std::string router = {};
  /// Ranks along the axes of the mesh, "dp=4,ep=4"; empty: one device.
  std::string mesh = {};
  /// Each gives one section of native code, in rising order; empty: all.
  std::vector<CpuLevel> levels = {};
  /// "f32" or "bf16"; empty: as the program says.
  std::string compute = {};
  /// "none", "selective", "full": what gradients compute again instead of
  /// keeping it. The first is that of @grad; empty: selective.
  std::vector<std::string> recompute = {};
  /// In training, of the branches of layers and of what goes into the first:
  /// the probability that an element is dropped, in [0, 1).
  double dropout = 0;
  /// The coefficient of a balance loss for routers that have no loss; 0: none.
  double balance = 0;
  /// Where lines about what is done go; may be empty.
  LogLine log = {};
  /// Log the time of each step.
  bool verbose = false;
};

/// The program at the end of |phase|. For the target phase it is that of the
/// lowest of the levels.
absl::StatusOr<OwningOpRef<ModuleOp>>
compileTo(MLIRContext &context, Phase phase, const CompileOptions &options);

/// Native code of the lowest of the levels in the given form; an object is not
/// linked.
absl::StatusOr<llvm::SmallVector<char>>
compileNative(MLIRContext &context, NativeForm form,
              const CompileOptions &options);

/// The bytes of a module file.
absl::StatusOr<std::string> compileModule(MLIRContext &context,
                                          const CompileOptions &options);

} // namespace mlir::moe

#endif
