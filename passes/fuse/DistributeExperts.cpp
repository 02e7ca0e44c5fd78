// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Runs the bodies of all experts at once:
//   %y = moe.experts %rows, %plan params(%w) { ^bb0(%t, %we): %a = nn.linear %t, %we … moe.yield %a }
// becomes
//   %y = moe.grouped_matmul %rows, %plan, %w
#include "passes/fuse/Passes.h"

#include "mlir/IR/IRMapping.h"

namespace mlir::moe::fuse {
#define GEN_PASS_DEF_DISTRIBUTEEXPERTS
#include "passes/fuse/Passes.h.inc"
} // namespace mlir::moe::fuse

using namespace mlir;
using namespace mlir::moe;

namespace {
class BodyDistribution {
public:
  explicit BodyDistribution(ExpertsOp experts)
      : experts(experts), builder(experts) {
    Block &body = experts.getBody().front();
    map.map(body.getArgument(0), experts.getRows());
    for (auto [slice, param] :
         llvm::zip(body.getArguments().drop_front(), experts.getParams()))
      params[slice] = param;
  }

  LogicalResult run() {
    Block &body = experts.getBody().front();
    for (Operation &op : body.without_terminator())
      if (failed(distribute(op)))
        return failure();
    experts.getY().replaceAllUsesWith(
        map.lookup(body.getTerminator()->getOperand(0)));
    experts.erase();
    return success();
  }

private:
  /// The parameter of all experts that |value| slices, or null.
  Value param(Value value) const {
    return value ? params.lookup(value) : Value();
  }

  LogicalResult distribute(Operation &op) {
    if (auto linear = dyn_cast<nn::LinearOp>(op);
        linear && param(linear.getW()))
      return product(linear);
    // A vector of the expert under all its rows.
    if (auto broadcast = dyn_cast<nn::BroadcastOp>(op);
        broadcast && param(broadcast.getX()) && broadcast.getAxis() == 0) {
      map.map(broadcast.getY(), GroupedBroadcastOp::create(
                                    builder, op.getLoc(),
                                    param(broadcast.getX()), experts.getPlan())
                                    .getResult());
      return success();
    }
    for (Value operand : op.getOperands())
      if (param(operand))
        return op.emitOpError(
            "uses a parameter of one expert in a way that has no grouped form");
    builder.clone(op, map);
    return success();
  }

  LogicalResult product(nn::LinearOp linear) {
    Value bias = linear.getBias();
    if (bias && !param(bias))
      return linear.emitOpError(
          "mixes a weight of the expert with a bias of another value");
    if (param(linear.getX()))
      return linear.emitOpError("multiplies two parameters of the expert");
    auto grouped = GroupedMatmulOp::create(
        builder, linear.getLoc(), map.lookup(linear.getX()), experts.getPlan(),
        param(linear.getW()), param(bias), /*gather=*/false);
    map.map(linear.getY(), grouped.getY());
    return success();
  }

  ExpertsOp experts;
  OpBuilder builder;
  IRMapping map;
  DenseMap<Value, Value> params;
};

} // namespace

LogicalResult fuse::distribute(ExpertsOp experts) {
  return BodyDistribution(experts).run();
}

namespace {
struct DistributeExperts
    : fuse::impl::DistributeExpertsBase<DistributeExperts> {
  void runOnOperation() override {
    SmallVector<ExpertsOp> all;
    getOperation().walk([&](ExpertsOp op) { all.push_back(op); });
    for (ExpertsOp op : all)
      if (failed(fuse::distribute(op)))
        return signalPassFailure();
  }
};
} // namespace
