// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Parallel loops as functions:
//   scf.for %i = %c0 to %n step %c1 { body } {moe.grain = 8}
// becomes
//   llvm.func internal @moe_part_0(%closure, %begin, %end) { captures; scf.for %i = %begin to %end { body } }
//   rt->parallel_for(rt, @moe_part_0, &captures, %n, 8)
#include "passes/lower/cpu/Passes.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"

namespace mlir::moe::cpu {
#define GEN_PASS_DEF_OUTLINEPARALLEL
#include "passes/lower/cpu/Passes.h.inc"
} // namespace mlir::moe::cpu

using namespace mlir;

namespace {
/// Offset of parallel_for in moe_rt_v1: size, version, ctx.
constexpr int64_t kParallelFor = 16;

class Outliner {
public:
  explicit Outliner(ModuleOp module) : module(module), b(module.getContext()) {}

  void outline(scf::ForOp loop, LLVM::LLVMFuncOp function) {
    Location loc = loop.getLoc();
    SetVector<Value> used;
    getUsedValuesDefinedAbove(loop.getRegion(), used);
    SmallVector<Value> captures;
    for (Value value : used)
      if (!value.getDefiningOp<arith::ConstantOp>())
        captures.push_back(value);
    SmallVector<Type> fields;
    for (Value value : captures)
      fields.push_back(value.getType());
    auto closure =
        LLVM::LLVMStructType::getLiteral(module.getContext(), fields);
    LLVM::LLVMFuncOp part = makePart(loop, used, captures, closure);

    // The captures live in one stack cell of the caller.
    auto ptr = LLVM::LLVMPointerType::get(module.getContext());
    b.setInsertionPointToStart(&function.getBody().front());
    Value one = LLVM::ConstantOp::create(b, loc, b.getI64Type(),
                                         b.getI64IntegerAttr(1));
    Value cell = LLVM::AllocaOp::create(b, loc, ptr, closure, one, 64);
    b.setInsertionPoint(loop);
    for (auto [i, value] : llvm::enumerate(captures)) {
      Value field = LLVM::GEPOp::create(b, loc, ptr, closure, cell,
                                        ArrayRef<LLVM::GEPArg>{0, int32_t(i)});
      LLVM::StoreOp::create(b, loc, value, field);
    }
    Value rt = function.getArgument(0);
    Value at =
        LLVM::GEPOp::create(b, loc, ptr, b.getI8Type(), rt,
                            ArrayRef<LLVM::GEPArg>{int32_t(kParallelFor)});
    Value call = LLVM::LoadOp::create(b, loc, ptr, at, 8);
    Value body = LLVM::AddressOfOp::create(b, loc, ptr, part.getSymName());
    Value grain = LLVM::ConstantOp::create(
        b, loc, b.getI64Type(), loop->getAttrOfType<IntegerAttr>("moe.grain"));
    auto type = LLVM::LLVMFunctionType::get(
        LLVM::LLVMVoidType::get(module.getContext()),
        {ptr, ptr, ptr, b.getI64Type(), b.getI64Type()});
    LLVM::CallOp::create(
        b, loc, type,
        ValueRange{call, rt, body, cell, loop.getUpperBound(), grain});
    loop.erase();
  }

private:
  LLVM::LLVMFuncOp makePart(scf::ForOp loop, const SetVector<Value> &used,
                            ArrayRef<Value> captures, Type closure) {
    Location loc = loop.getLoc();
    auto ptr = LLVM::LLVMPointerType::get(module.getContext());
    auto i64 = b.getI64Type();
    b.setInsertionPointToEnd(module.getBody());
    auto type = LLVM::LLVMFunctionType::get(
        LLVM::LLVMVoidType::get(module.getContext()), {ptr, i64, i64});
    auto part =
        LLVM::LLVMFuncOp::create(b, loc, "moe_part_" + std::to_string(count++),
                                 type, LLVM::Linkage::Internal);
    Block *entry = part.addEntryBlock(b);
    b.setInsertionPointToStart(entry);
    IRMapping map;
    for (Value value : used)
      if (auto constant = value.getDefiningOp<arith::ConstantOp>())
        map.map(value, b.clone(*constant)->getResult(0));
    for (auto [i, value] : llvm::enumerate(captures)) {
      Value field =
          LLVM::GEPOp::create(b, loc, ptr, closure, entry->getArgument(0),
                              ArrayRef<LLVM::GEPArg>{0, int32_t(i)});
      map.map(value, LLVM::LoadOp::create(b, loc, value.getType(), field));
    }
    Value step = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(1));
    auto range = scf::ForOp::create(b, loc, entry->getArgument(1),
                                    entry->getArgument(2), step);
    LLVM::ReturnOp::create(b, loc, ValueRange());
    map.map(loop.getInductionVar(), range.getInductionVar());
    b.setInsertionPointToStart(range.getBody());
    for (Operation &op : loop.getBody()->without_terminator())
      b.clone(op, map);
    // Stack cells of the body belong to the function, not to an iteration.
    range.walk([&](LLVM::AllocaOp cell) {
      Operation *size = cell.getArraySize().getDefiningOp();
      if (size && size->getParentRegion() != &part.getBody())
        size->moveBefore(range);
      cell->moveBefore(range);
    });
    return part;
  }

  ModuleOp module;
  OpBuilder b;
  int64_t count = 0;
};

struct OutlineParallel : moe::cpu::impl::OutlineParallelBase<OutlineParallel> {
  void runOnOperation() override {
    SmallVector<scf::ForOp> loops;
    getOperation().walk<WalkOrder::PreOrder>([&](scf::ForOp loop) {
      if (!loop->hasAttr("moe.grain"))
        return WalkResult::advance();
      loops.push_back(loop);
      return WalkResult::skip();
    });
    Outliner outliner(getOperation());
    for (scf::ForOp loop : loops)
      outliner.outline(loop, loop->getParentOfType<LLVM::LLVMFuncOp>());
  }
};
} // namespace
