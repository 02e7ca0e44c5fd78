// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Walks a block backwards and builds the gradients of its values.
//
//   Activity active(block, sources);
//   BlockGradients gradients(builder, active);
//   gradients.add(y, dy);
//   if (failed(gradients.run(block))) …        // a diagnostic was emitted
//   Value dx = gradients.of(x);                // null: nothing reached x
#ifndef MOE_PASSES_TRAIN_BACKWARD_H
#define MOE_PASSES_TRAIN_BACKWARD_H

#include "passes/train/Recompute.h"

#include "llvm/ADT/DenseSet.h"

namespace mlir::moe::train {

/// The values that depend on what is differentiated, by differentiable ways.
class Activity {
public:
  /// |sources| are values of |block| or of loops in it.
  Activity(Block &block, ArrayRef<Value> sources);
  bool operator()(Value value) const { return active.contains(value); }

private:
  void visit(Block &block);
  void visit(nn::LayersOp loop);
  /// Marks |value| if |because| holds; whether that is news.
  bool mark(Value value, bool because);

  llvm::DenseSet<Value> active;
};

/// The gradient of what one read of a parameter gave.
struct ParamRead {
  nn::ParamGetOp op;
  Value gradient;
};

/// Gradients of a parameter at the layers [lower, upper), stacked.
struct ParamStack {
  StringAttr param;
  int64_t lower, upper;
  Value gradients;
};

class BlockGradients {
public:
  /// Operations are built by |builder|, which belongs to the caller, as does
  /// |active|. Loops keep what |recompute| does not let them compute again.
  BlockGradients(OpBuilder &builder, const Activity &active,
                 Recompute recompute)
      : builder(builder), active(active), recompute(recompute) {}

  /// Adds a term to the gradient of |value|.
  void add(Value value, Value term);
  /// The gradient of |value| so far, of its element type or a wider one; null
  /// if nothing reached it.
  Value of(Value value) const { return gradients.lookup(value); }
  void set(Value value, Value gradient) { gradients[value] = gradient; }

  /// Goes through the operations that stand in |block| now, last first. A
  /// layers loop is replaced by one that keeps more.
  LogicalResult run(Block &block);

  OpBuilder &builder;
  const Activity &active;
  const Recompute recompute;
  /// What run() found of parameters: single reads, and loops over them.
  SmallVector<ParamRead> reads;
  SmallVector<ParamStack> stacks;

private:
  LogicalResult step(Operation *op);

  llvm::DenseMap<Value, Value> gradients;
};

/// |x| + |y|, of one shape, in the wider of their element types.
Value sum(OpBuilder &builder, Location loc, Value x, Value y);

/// Erases the operations of |block| that nobody needs.
void eraseDead(Block &block);

/// Lets the gradients of weighted sums of products in |block| do without the
/// products.
void weighInside(Block &block);

/// Builds the backward loop of |loop| from the gradients of its results, adds
/// those of what it reads, and lets it keep what the backward loop needs.
LogicalResult differentiateLoop(nn::LayersOp loop, BlockGradients &outer);

} // namespace mlir::moe::train

#endif
