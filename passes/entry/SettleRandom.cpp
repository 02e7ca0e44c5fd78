// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Random numbers of entries without a key become what they are on average:
//   %own = moe.layer_key %zeros[%i + 0]
//   %u = moe.random uniform stream(jitter) key(%own) like %x neutral(0.5)
// becomes nn.fill 0.5 like %x.
#include "passes/entry/Passes.h"
#include "passes/entry/Random.h"

namespace mlir::moe::entry {
#define GEN_PASS_DEF_SETTLERANDOM
#include "passes/entry/Passes.h.inc"
} // namespace mlir::moe::entry

using namespace mlir;
using namespace mlir::moe;

RankedTensorType entry::keyType(MLIRContext *context) {
  return RankedTensorType::get({6}, IntegerType::get(context, 32));
}

/// Whether |op| stands for a key that is missing.
static bool isMissing(LayerKeyOp op) {
  return op && op.getKey().getDefiningOp<arith::ConstantOp>();
}

bool entry::wantsKey(Operation *op) {
  return op
      ->walk([](LayerKeyOp key) {
        return isMissing(key) ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

void entry::useKey(func::FuncOp function, Value key) {
  function.walk([&](LayerKeyOp op) {
    if (isMissing(op))
      op.getKeyMutable().assign(key);
  });
}

namespace {
struct SettleRandom : entry::impl::SettleRandomBase<SettleRandom> {
  void runOnOperation() override {
    SmallVector<RandomOp> randoms;
    getOperation().walk([&](RandomOp op) {
      if (isMissing(op.getKey().getDefiningOp<LayerKeyOp>()))
        randoms.push_back(op);
    });
    for (RandomOp op : randoms) {
      if (!op.getNeutral()) {
        auto function = op->getParentOfType<func::FuncOp>();
        op.emitOpError("needs random numbers, and @")
            << function.getName() << " has none; give it a neutral value";
        return signalPassFailure();
      }
      OpBuilder b(op);
      auto type = cast<RankedTensorType>(op.getType());
      Value fill = nn::FillOp::create(
          b, op.getLoc(), type, op.getLike(),
          b.getF64FloatAttr(op.getNeutral()->convertToDouble()));
      op.replaceAllUsesWith(fill);
      op.erase();
    }
  }
};
} // namespace
