// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Interprets one entry of a program with tensors from files:
//   moe-opt in.mlir --moe-interpret=score --inputs in.safetensors
//     --outputs out.safetensors --weights DIR
#ifndef MOE_LIB_INTERPRETER_INTERPRET_H
#define MOE_LIB_INTERPRETER_INTERPRET_H

#include "mlir/IR/BuiltinOps.h"

#include <string>

namespace mlir::moe {

enum class InterpretPrecision { F32, F64 };

struct InterpretOptions {
  /// Symbol of a func.func, nn.model or moe.router.
  std::string entry;
  /// A safetensors file. The tensor of argument i has the name of its `nn.name`
  /// attribute (`ids`, `positions`, `cu_seqlens` for an nn.model) or `arg<i>`;
  /// a cache is [layers, pages, page length, width], a plan the indices [T, K].
  /// A tensor with the symbol name of an nn.param is that parameter, of all its
  /// layers. May be empty for an entry without arguments.
  std::string inputs;
  /// Written atomically: results by `nn.name` (`logits` for an nn.model) or
  /// `result<i>`, a plan as `<name>.idx`, `.offsets`, `.row2slot` and
  /// `.slot2row`, a stack as `<name>.<layer>`, and each cache argument as it is
  /// afterwards. Empty: nothing is written.
  std::string outputs;
  /// A model folder for parameters that |inputs| does not hold; may be empty.
  std::string weights;
  InterpretPrecision precision = InterpretPrecision::F32;
  /// Ranks that run a partitioned program together. {rank} in |inputs| and
  /// |outputs| stands for the number of each, from 0.
  int ranks = 1;
};

/// Emits a diagnostic and fails if a file cannot be read or written or the
/// program cannot be run (interpreter.h); no output file is made then.
LogicalResult interpretFile(ModuleOp module, const InterpretOptions &options);

} // namespace mlir::moe

#endif
