// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts over ranks:
//   %rows = moe.dispatch %x, %plan
//   %y = moe.experts %rows, %plan params(%w)               // all experts
// becomes
//   %in, %local, %from = moe.all_to_all_v %rows, %plan ranks(P) axis("ep")
//   %own = moe.dispatch %in, %local
//   %z = moe.experts %own, %local params(%w)                // E/P experts
//   %y = moe.all_to_all_v_back %z, %local, %from, %plan axis("ep")
#include "passes/partition/Mesh.h"
#include "passes/partition/Passes.h"

namespace mlir::moe::partition {
#define GEN_PASS_DEF_PARTITIONEXPERTS
#include "passes/partition/Passes.h.inc"
} // namespace mlir::moe::partition

using namespace mlir;
using namespace mlir::moe;

namespace {
/// |type| with the leading dimension of one rank.
RankedTensorType shareOf(RankedTensorType type, int64_t ranks) {
  SmallVector<int64_t> shape(type.getShape());
  shape[0] /= ranks;
  return type.clone(shape);
}

class Partitioner {
public:
  Partitioner(ModuleOp module, int64_t ranks)
      : module(module), ranks(ranks), symbols(module) {}

  LogicalResult run() {
    SmallVector<ExpertsOp> all;
    module.walk([&](ExpertsOp op) { all.push_back(op); });
    // Everything is checked before anything changes.
    for (ExpertsOp op : all)
      if (failed(check(op)))
        return failure();
    for (Value value : sharded)
      shrink(value);
    for (ExpertsOp op : all)
      exchange(op);
    for (auto function : module.getOps<func::FuncOp>())
      if (!function.isExternal())
        function.setType(FunctionType::get(
            module.getContext(), function.getBody().getArgumentTypes(),
            function.getResultTypes()));
    return success();
  }

private:
  LogicalResult check(ExpertsOp op) {
    auto dispatch = op.getRows().getDefiningOp<DispatchOp>();
    if (!dispatch || dispatch.getPlan() != op.getPlan())
      return op.emitOpError("expects rows dispatched by its own plan, to send "
                            "them to the ranks of their experts");
    int64_t experts = op.getPlan().getType().getExperts();
    if (experts % ranks)
      return op.emitOpError("has ") << experts << " experts, which " << ranks
                                    << " ranks cannot share evenly";
    for (Value param : op.getParams())
      if (failed(checkParam(op, param)))
        return failure();
    return success();
  }

  /// A parameter must be split everywhere or nowhere.
  LogicalResult checkParam(ExpertsOp op, Value param) {
    for (Operation *user : param.getUsers())
      if (!isa<ExpertsOp>(user))
        return user->emitOpError("reads a parameter of experts that are spread "
                                 "over ranks");
    auto argument = dyn_cast<BlockArgument>(param);
    bool ofFunction =
        argument && isa<func::FuncOp>(argument.getOwner()->getParentOp());
    if (!ofFunction && !param.getDefiningOp<nn::ParamGetOp>())
      return op.emitOpError("expects parameters read by nn.param_get or given "
                            "to the function, to split them over ranks");
    sharded.insert(param);
    return success();
  }

  void shrink(Value value) {
    if (auto get = value.getDefiningOp<nn::ParamGetOp>()) {
      auto param = symbols.lookup<nn::ParamOp>(get.getParam());
      if (!param->hasAttr(partition::kShard)) {
        param.setType(shareOf(param.getTensorType(), ranks));
        param->setAttr(partition::kShard,
                       Builder(module).getI64IntegerAttr(ranks));
      }
      value.setType(param.getTensorType());
      return;
    }
    value.setType(shareOf(cast<RankedTensorType>(value.getType()), ranks));
  }

  void exchange(ExpertsOp op) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    auto sent = AllToAllVOp::create(b, loc, op.getRows(), op.getPlan(), ranks,
                                    b.getStringAttr("ep"));
    auto own = DispatchOp::create(b, loc, sent.getArrived(), sent.getLocal());
    auto local = ExpertsOp::create(b, loc, op.getY().getType(), own.getRows(),
                                   sent.getLocal(), op.getParams());
    local.getBody().takeBody(op.getBody());
    auto back = AllToAllVBackOp::create(b, loc, local.getY(), sent.getLocal(),
                                        sent.getFrom(), op.getPlan(),
                                        b.getStringAttr("ep"));
    op.getY().replaceAllUsesWith(back.getRows());
    op.erase();
  }

  ModuleOp module;
  int64_t ranks;
  SymbolTable symbols;
  llvm::SetVector<Value> sharded;
};

struct PartitionExperts
    : partition::impl::PartitionExpertsBase<PartitionExperts> {
  using PartitionExpertsBase::PartitionExpertsBase;
  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (mesh.empty())
      return;
    auto parsed = partition::parseMesh(mesh);
    if (!parsed || !partition::isSupported(*parsed)) {
      module.emitError("expects a mesh of ")
          << partition::kMeshForm << ", and " << partition::kMeshSupport
          << "; got '" << mesh << "'";
      return signalPassFailure();
    }
    if (parsed->ep == 1)
      return;
    if (failed(Partitioner(module, parsed->ep).run()))
      return signalPassFailure();
    Builder b(module);
    module->setAttr(
        partition::kMesh,
        b.getDictionaryAttr(
            {b.getNamedAttr("dp", b.getI64IntegerAttr(parsed->dp)),
             b.getNamedAttr("ep", b.getI64IntegerAttr(parsed->ep))}));
  }
};
} // namespace
