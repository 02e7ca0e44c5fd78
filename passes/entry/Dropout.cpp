// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Dropout (Srivastava et al. 2014) as GPT places it: on what goes into the first
// layer, and on the branches of each layer before they are added:
//   %d = %y · (u ≥ p ? 1/(1 − p) : 0), u uniform by moe.random
#include "passes/entry/Random.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
class Dropout {
public:
  Dropout(Value key, double rate) : key(key), rate(rate) {}

  /// Lets the readers of |value| read it through dropout.
  void drop(Value value, RandomStream stream, Value layer, int64_t offset) {
    OpBuilder b(value.getContext());
    b.setInsertionPointAfterValue(value);
    Location loc = value.getLoc();
    SmallVector<OpOperand *> readers;
    for (OpOperand &use : value.getUses())
      readers.push_back(&use);
    auto type = cast<RankedTensorType>(value.getType());
    Value x = nn::castElement(b, loc, value, type.clone(b.getF32Type()));
    if (!layer)
      layer = arith::ConstantIndexOp::create(b, loc, 0);
    Value own = LayerKeyOp::create(b, loc, key, layer, offset);
    Value u = RandomOp::create(b, loc, own, x, Distribution::Uniform, stream,
                               /*neutral=*/FloatAttr());
    auto all = [&](double number) {
      return nn::splat(b, loc, x.getType(), x, number);
    };
    Value kept =
        arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGE, u, all(rate));
    Value factor =
        arith::SelectOp::create(b, loc, kept, all(1 / (1 - rate)), all(0));
    Value y =
        nn::castElement(b, loc, arith::MulFOp::create(b, loc, x, factor), type);
    for (OpOperand *reader : readers)
      reader->set(y);
  }

private:
  Value key;
  double rate;
};

/// The branches that one value of a layers loop gets added, from its argument
/// to what the body yields.
class Branches {
public:
  Branches(Value carried, Value yielded) : carried(carried) {
    collect(yielded);
  }
  ArrayRef<Value> get() const { return found; }
  /// Whether attention makes |branch|, and no step before it.
  bool attends(Value branch) {
    Operation *op = branch.getDefiningOp();
    if (!op || !visited.insert(op).second || isStream(branch))
      return false;
    return isa<nn::AttendOp>(op) ||
           llvm::any_of(op->getOperands(),
                        [&](Value operand) { return attends(operand); });
  }

private:
  bool isStream(Value value) const {
    auto add = value.getDefiningOp<arith::AddFOp>();
    return value == carried ||
           (add && (isStream(add.getLhs()) || isStream(add.getRhs())));
  }
  void collect(Value value) {
    auto add = value.getDefiningOp<arith::AddFOp>();
    if (!add || !isStream(value))
      return;
    bool left = isStream(add.getLhs());
    collect(left ? add.getLhs() : add.getRhs());
    found.push_back(left ? add.getRhs() : add.getLhs());
  }

  Value carried;
  SmallVector<Value> found;
  DenseSet<Operation *> visited;
};
} // namespace

LogicalResult entry::addDropout(func::FuncOp function, Value key, double rate) {
  Dropout dropout(key, rate);
  Block &block = function.getBody().front();
  SmallVector<nn::LayersOp> loops(block.getOps<nn::LayersOp>());
  Value first;
  for (nn::LayersOp loop : loops) {
    Block &body = loop.getBody().front();
    auto yielded = body.getTerminator()->getOperands();
    for (auto [init, argument, next] : llvm::zip_first(
             loop.getInits(), body.getArguments().drop_front(), yielded)) {
      Branches branches(argument, next);
      if (branches.get().empty())
        continue;
      if (!first)
        first = init;
      // A body may hold several layers: each branch has numbers of its own.
      OpBuilder b = OpBuilder::atBlockBegin(&body);
      int64_t count = branches.get().size();
      Value layer = arith::MulIOp::create(
          b, loop.getLoc(), loop.getLayerIndex(),
          arith::ConstantIndexOp::create(b, loop.getLoc(), count));
      for (auto [i, branch] : llvm::enumerate(branches.get()))
        dropout.drop(branch,
                     branches.attends(branch) ? RandomStream::MixerDropout
                                              : RandomStream::MlpDropout,
                     layer, i);
    }
  }
  if (!first)
    return function.emitOpError(
        "has no layers that add branches to what they carry: nothing to drop");
  dropout.drop(first, RandomStream::EmbeddingDropout, Value(), 0);
  return success();
}
