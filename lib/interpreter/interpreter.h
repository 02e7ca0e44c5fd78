// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Runs programs of the model, step, local and fused phases by calling the
// scalar reference operations: the oracle of every pass and kernel.
//
//   TensorParams<double> params;  // params.h
//   Interpreter<double> interpreter(module, &params);
//   auto ids = Tensor<double>::ints(Element::I32, {3}, {1, 2, 3});
//   …
//   auto out = interpreter.run("tiny", {ids, positions, seqs});
//   if (succeeded(out)) (*out)[0].tensor().values();   // logits
//
// T = float: f32 arithmetic as generated code does it (denormals are zero,
// results rounded to bf16 where an operation's result is bf16). T = double:
// nothing is rounded; for gradients by finite differences. f64 tensors need
// double.
#ifndef MOE_LIB_INTERPRETER_INTERPRETER_H
#define MOE_LIB_INTERPRETER_INTERPRETER_H

#include "lib/interpreter/params.h"
#include "lib/interpreter/ranks.h"
#include "lib/interpreter/values.h"

#include "mlir/IR/BuiltinOps.h"

#include <string>

namespace mlir::moe {

/// Not thread-safe; several may run at once on different modules of one
/// context, or on one module without changing it.
template <typename T> class Interpreter {
public:
  /// |module| must be verified, and outlive this, as must |params|, which may
  /// be null for programs without parameters, and |member|, which is this
  /// rank's end in a partitioned program.
  explicit Interpreter(ModuleOp module, ParamProvider<T> *params = nullptr,
                       typename Ranks<T>::Member *member = nullptr);
  ~Interpreter();

  /// Runs the `func.func`, `nn.model` or `moe.router` of that name and gives
  /// its results. Caches among |inputs| are written. Emits a diagnostic, on the
  /// operation at fault, for an operation that has no interpretation, for
  /// inputs of another type, and for values that no program may have (an index
  /// out of range, two lengths of one dimension).
  FailureOr<SmallVector<Datum<T>>> run(llvm::StringRef name,
                                       llvm::ArrayRef<Datum<T>> inputs);

private:
  class Impl;
  std::unique_ptr<Impl> impl;
};

/// Names of all operations that can be interpreted, sorted.
std::vector<std::string> interpretedOps();

} // namespace mlir::moe

#endif
