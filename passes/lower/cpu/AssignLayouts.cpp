// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Chooses how parameters lie in memory:
//   nn.param @q : tensor<128x128xbf16> …   read by nn.linear of f32 rows
// gets {nn.format = "bf16.n32", nn.index = 3}. In a program that trains all are
// raw: each step reads them in more than one order and writes them anew.
#include "passes/lower/cpu/Pack.h"

namespace mlir::moe::cpu {
#define GEN_PASS_DEF_ASSIGNLAYOUTS
#include "passes/lower/cpu/Passes.h.inc"
} // namespace mlir::moe::cpu

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

/// The rows that meet |weight| in a product, or null where |use| is no product.
static Value productRows(OpOperand &use) {
  Operation *op = use.getOwner();
  if (auto linear = dyn_cast<nn::LinearOp>(op);
      linear && use.getOperandNumber() == 1)
    return linear.getX();
  if (auto linear = dyn_cast<nn::HeadLinearOp>(op);
      linear && use.getOperandNumber() == 1)
    return linear.getX();
  if (auto product = dyn_cast<GroupedMatmulOp>(op);
      product && use.getOperandNumber() == 2)
    return product.getX();
  return {};
}

namespace {
struct AssignLayouts : cpu::impl::AssignLayoutsBase<AssignLayouts> {
  /// The format of one use, or failure with a diagnostic.
  FailureOr<StringRef> formatOf(nn::ParamOp param, nn::ParamGetOp get) {
    if (training)
      return get->use_empty() ? StringRef() : StringRef("raw");
    StringRef format;
    for (OpOperand &use : get.getValue().getUses()) {
      Value rows = productRows(use);
      StringRef own = rows ? packedFormat(rows, param.getTensorType()) : "raw";
      if (!format.empty() && format != own)
        return get.emitOpError("reads ")
               << get.getParamAttr() << " as " << format << " and as " << own
               << "; declare two parameters with one source";
      format = own;
    }
    return format;
  }

  void runOnOperation() override {
    training = llvm::any_of(getOperation().getOps<func::FuncOp>(),
                            [](func::FuncOp function) {
                              return function->hasAttr("nn.gradient_of");
                            });
    DenseMap<Operation *, StringRef> formats;
    auto walk = getOperation().walk([&](nn::ParamGetOp get) {
      auto param = SymbolTable::lookupNearestSymbolFrom<nn::ParamOp>(
          get, get.getParamAttr());
      auto format = formatOf(param, get);
      if (failed(format))
        return WalkResult::interrupt();
      if (format->empty())
        return WalkResult::advance();
      auto [it, added] = formats.try_emplace(param, *format);
      if (!added && it->second != *format) {
        get.emitOpError("reads ")
            << get.getParamAttr() << " as " << it->second << " and as "
            << *format << "; declare two parameters with one source";
        return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
    if (walk.wasInterrupted())
      return signalPassFailure();
    Builder b(&getContext());
    int64_t index = 0;
    for (auto param : getOperation().getOps<nn::ParamOp>()) {
      auto it = formats.find(param);
      if (it == formats.end())
        continue;
      param->setAttr("nn.index", b.getI64IntegerAttr(index));
      param->setAttr("nn.format", b.getStringAttr(it->second));
      auto layers = param.getLayers();
      index += layers ? (*layers)[1] - (*layers)[0] : 1;
    }
  }

private:
  bool training = false;
};
} // namespace
