// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kernels for operations of the fused phase:
//   %plan, %w = moe.route_permute %x params(%g) { … }
// becomes
//   gpu.module @moe_kernels { llvm.func @moe_route_0(%x, %g, %idx, …) … }
//   %plan, %w = moe.route_permute %x params(%g) {moe.kernels = […]} { … }
#include "passes/lower/gpu/PlanKernels.h"
#include "passes/lower/gpu/RowEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/OperationSupport.h"

namespace mlir::moe::device {
#define GEN_PASS_DEF_LOWERGPU
#include "passes/lower/gpu/Passes.h.inc"
} // namespace mlir::moe::device

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::device;

static constexpr StringLiteral kModule = "moe_kernels";
static constexpr StringLiteral kKernels = "moe.kernels";
/// Shared memory that a kernel has without asking.
static constexpr int64_t kSharedBytes = 48 * 1024;

/// What kernels cannot do whatever the region.
static LogicalResult checkLimits(RoutePermuteOp op) {
  PlanType plan = op.getPlan().getType();
  if (plan.getExperts() > kMaxExperts)
    return op.emitOpError("has code for GPUs up to ")
           << kMaxExperts << " experts, got " << plan.getExperts();
  if (plan.getK() > kMaxChoices)
    return op.emitOpError("has code for GPUs up to ")
           << kMaxChoices << " choices, got " << plan.getK();
  auto x = cast<RankedTensorType>(op.getX().getType());
  if (!x.isDynamicDim(0) || x.isDynamicDim(1))
    return op.emitOpError("has code for GPUs with x [?, D] of a static D, got ")
           << x;
  if (!op.getWeights().getType().getElementType().isF32())
    return op.emitOpError("has code for GPUs with f32 weights, got ")
           << op.getWeights().getType();
  for (Value param : op.getParams())
    if (!cast<RankedTensorType>(param.getType()).hasStaticShape())
      return op.emitOpError("has code for GPUs with parameters of a static "
                            "shape, got ")
             << param.getType();
  return success();
}

namespace {
class Kernels {
public:
  Kernels(ModuleOp program, NVVM::NVVMTargetAttr target)
      : program(program), target(target), b(program.getContext()) {}

  LogicalResult lower(RoutePermuteOp op) {
    if (failed(checkLimits(op)))
      return failure();
    for (RoutePermuteOp other : done)
      if (isSame(op, other)) {
        op->setAttr(kKernels, other->getAttr(kKernels));
        return success();
      }
    int64_t experts = op.getPlan().getType().getExperts(),
            k = op.getPlan().getType().getK();
    WarpEmitter e(b, op.getLoc());
    std::string suffix = "_e" + std::to_string(experts);
    std::string names[] = {
        "moe_route_" + std::to_string(done.size()), "moe_plan_scan" + suffix,
        "moe_plan_place" + suffix + "_k" + std::to_string(k)};
    b.setInsertionPointToEnd(module().getBody());
    if (failed(route(e, op, names[0])))
      return failure();
    if (!module().lookupSymbol(names[1]))
      emitPlanScan(e, names[1], experts);
    if (!module().lookupSymbol(names[2]))
      emitPlanPlace(e, names[2], experts, k);
    SmallVector<Attribute> symbols;
    for (const std::string &name : names)
      symbols.push_back(
          SymbolRefAttr::get(b.getStringAttr(kModule),
                             FlatSymbolRefAttr::get(b.getContext(), name)));
    op->setAttr(kKernels, b.getArrayAttr(symbols));
    done.push_back(op);
    return success();
  }

private:
  gpu::GPUModuleOp module() {
    if (!made) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToEnd(program.getBody());
      made = gpu::GPUModuleOp::create(b, program.getLoc(), kModule,
                                      ArrayRef<Attribute>{target});
    }
    return made;
  }

  static bool isSame(RoutePermuteOp a, RoutePermuteOp c) {
    return a->getOperandTypes() == c->getOperandTypes() &&
           a->getResultTypes() == c->getResultTypes() &&
           OperationEquivalence::isRegionEquivalentTo(
               &a.getBody(), &c.getBody(),
               OperationEquivalence::IgnoreLocations);
  }

  /// From token rows to indices, weights and counts of each block.
  LogicalResult route(WarpEmitter &e, RoutePermuteOp op, StringRef name) {
    OpBuilder::InsertionGuard guard(b);
    Type i32 = b.getI32Type(), f32 = b.getF32Type();
    int64_t experts = op.getPlan().getType().getExperts(),
            k = op.getPlan().getType().getK(), inputs = op->getNumOperands(),
            stage = RowEmitter::stageSize(op);
    // As many rows at a time as shared memory has place for, at most 8.
    int64_t warps = 8;
    while (warps > 1 && 4 * (experts + warps * stage) > kSharedBytes)
      warps /= 2;
    if (4 * (experts + warps * stage) > kSharedBytes)
      return op.emitOpError("has no code for GPUs with a gate of ")
             << stage << " rows";
    SmallVector<Access> pointers(inputs, Access::Read);
    pointers.append(3, Access::Write);
    e.kernel(name, pointers, 2, warps * kWarp);
    Value idx = e.argument(inputs), weights = e.argument(inputs + 1),
          counts = e.argument(inputs + 2), tokens = e.argument(inputs + 3),
          perBlock = e.argument(inputs + 4);
    Value seen = e.shared("seen", i32, experts);
    Value stages = e.shared("stage", f32, std::max<int64_t>(stage, 1) * warps);
    Value block = e.block(), warp = e.toI64(e.warp()), lane = e.toI64(e.lane());
    e.overThreads(experts, [&](Value expert) {
      e.store(e.at(seen, expert, i32), i32, e.i32(0));
    });
    e.barrier();
    SmallVector<Value> sources;
    for (int64_t i = 0; i < inputs; ++i)
      sources.push_back(e.argument(i));
    RowEmitter row(e, op, sources,
                   e.at(stages, e.mul(warp, e.i64(stage)), f32));
    Value first = e.mul(block, perBlock);
    Value end = e.minI(e.add(first, perBlock), tokens);
    LogicalResult result = success();
    e.loop(e.add(first, warp), end, warps, [&](Value token) {
      result = row.run(token);
      if (failed(result))
        return;
      Value expert = row.value(op.getYieldedIndices()).regs[0];
      Value weight = row.value(op.getYieldedWeights()).regs[0];
      Value valid = e.cmp(WarpEmitter::kUlt, expert, e.i32(experts));
      Value slot = e.add(e.mul(token, e.i64(k)), lane);
      e.ifThen(e.isBefore(k), [&] {
        e.store(e.at(idx, slot, i32), i32,
                e.select(valid, expert, e.i32(experts)));
        e.store(e.at(weights, slot, f32), f32, weight);
        e.ifThen(valid, [&] {
          LLVM::AtomicRMWOp::create(b, e.loc, LLVM::AtomicBinOp::add,
                                    e.at(seen, e.toI64(expert), i32), e.i32(1),
                                    LLVM::AtomicOrdering::monotonic, "block");
        });
      });
    });
    if (failed(result))
      return failure();
    e.barrier();
    e.overThreads(experts, [&](Value expert) {
      Value at = e.add(e.mul(block, e.i64(experts)), expert);
      e.store(e.at(counts, at, i32), i32, e.load(e.at(seen, expert, i32), i32));
    });
    e.finish();
    return success();
  }

  ModuleOp program;
  NVVM::NVVMTargetAttr target;
  OpBuilder b;
  gpu::GPUModuleOp made;
  SmallVector<RoutePermuteOp> done;
};

struct LowerGpu : device::impl::LowerGpuBase<LowerGpu> {
  using LowerGpuBase::LowerGpuBase;

  void runOnOperation() override {
    // The lowest PTX version with all that kernels use: it sets the oldest
    // driver.
    StringRef features = llvm::StringSwitch<StringRef>(chip)
                             .Case("sm_80", "+ptx70")
                             .Case("sm_90a", "+ptx80")
                             .Default("");
    if (features.empty()) {
      getOperation().emitError("expects chip sm_80 or sm_90a, got ") << chip;
      return signalPassFailure();
    }
    auto target = NVVM::NVVMTargetAttr::get(
        &getContext(), /*optLevel=*/3, "nvptx64-nvidia-cuda", chip, features);
    SmallVector<RoutePermuteOp> all;
    getOperation().walk([&](RoutePermuteOp op) { all.push_back(op); });
    Kernels kernels(getOperation(), target);
    for (RoutePermuteOp op : all)
      if (failed(kernels.lower(op)))
        return signalPassFailure();
  }
};
} // namespace
