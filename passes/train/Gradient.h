// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Adds the gradients of its first result to a function:
//
//   Gradient gradient(function);
//   if (failed(gradient.chooseArguments({"x"})) || failed(gradient.chooseParams({}))) …
//   if (failed(gradient.build())) …
#ifndef MOE_PASSES_TRAIN_GRADIENT_H
#define MOE_PASSES_TRAIN_GRADIENT_H

#include "passes/train/Backward.h"

namespace mlir::moe::train {
class Gradient {
public:
  Gradient(func::FuncOp function, Recompute recompute)
      : function(function), recompute(recompute),
        builder(function.getContext()), loc(function.getLoc()),
        block(function.getBody().front()) {}

  /// Arguments by name or number.
  LogicalResult chooseArguments(ArrayRef<std::string> names);
  LogicalResult chooseParams(ArrayRef<std::string> names);
  /// The gradient of the first result is a new argument, or 1 if |seeded|: then
  /// parameters that no gradient reaches get none.
  LogicalResult build(bool seeded = false);
  /// The parameters whose gradients were added, in order.
  ArrayRef<nn::ParamOp> getParams() const { return params; }

private:
  LogicalResult prepare();
  LogicalResult addParams(const BlockGradients &gradients, bool reachedOnly);
  FailureOr<Value> joined(nn::ParamOp param, SmallVector<ParamStack> stacks);
  Value zeros(RankedTensorType type) {
    return nn::splat(builder, loc, type, Value(), 0);
  }
  void addResult(Value value, StringRef name) {
    results.push_back(value);
    names.push_back(("grad." + name).str());
  }
  void finish(bool seeded);

  func::FuncOp function;
  Recompute recompute;
  OpBuilder builder;
  Location loc;
  Block &block;
  SmallVector<unsigned> arguments;
  SmallVector<nn::ParamOp> params;
  /// Results behind those of the entry.
  SmallVector<Value> results;
  SmallVector<std::string> names;
};
} // namespace mlir::moe::train

#endif
