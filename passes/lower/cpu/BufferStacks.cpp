// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Values that a layers loop keeps of each layer, and that another one slices.
#include "passes/lower/cpu/BufferPlan.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

/// A place for one layer of the stack |stack|, |bytes| for each layer.
int BufferPlan::layerOf(int stack, nn::LayersOp loop, Extent bytes) {
  int id = newStorage(bytes, order[loop]);
  storages[id].stack = stack;
  storages[id].loop = loop;
  return id;
}

/// Room for the stacks of |op|. What the body computes and yields to one stack
/// is computed there.
void BufferPlan::placeStacks(nn::LayersOp op) {
  Block &body = op.getBody().front();
  DenseSet<int> shared; // with a value of the outside or of the loop itself
  for (Value arg : body.getArguments())
    for (int part = 0; part < 4; ++part)
      if (auto it = ids.find({arg, part}); it != ids.end())
        shared.insert(it->second);
  for (Value stack : op.getStacked()) {
    Value value = keptBy[stack];
    auto type = dyn_cast<RankedTensorType>(stack.getType());
    if (type && type.hasStaticShape())
      rowsOf[stack] = {RowsInfo::Static, {0, 0, type.getDimSize(0)}, {}};
    else if (type)
      rowsOf[stack] = {
          RowsInfo::Unknown, rows(value).bound.times(op.getNumLayers()), {}};
    for (int part = 0; part < parts(value); ++part) {
      Extent bytes = sizeOf(value, part);
      int id = newStorage(bytes.times(op.getNumLayers()), order[op]);
      storages[id].last = endOrder[op];
      bind(stack, id, part);
      auto own = ids.find({value, part});
      Operation *maker = value.getDefiningOp();
      if (own == ids.end() || !maker || maker->getBlock() != &body ||
          storages[own->second].stack >= 0 ||
          !(storages[own->second].bytes == bytes) ||
          !shared.insert(own->second).second)
        continue;
      storages[own->second].stack = id;
      storages[own->second].loop = op;
    }
  }
}

/// Slices of stacks lie where the loop that kept them put them.
LogicalResult BufferPlan::placeSlices(nn::LayersOp op) {
  Block &body = op.getBody().front();
  auto args = body.getArguments().drop_front(1 + op.getInits().size());
  DenseMap<Value, Value> plans; // kept by the other loop: here
  for (auto [slice, arg] : llvm::zip(op.getSlices(), args))
    if (Value kept = keptBy.lookup(slice); kept && isa<PlanType>(arg.getType()))
      plans[kept] = arg;
  for (auto [slice, arg] : llvm::zip(op.getSlices(), args)) {
    Value kept = keptBy.lookup(slice);
    auto type = dyn_cast<RankedTensorType>(arg.getType());
    if (!kept && !(type && type.hasStaticShape() && hasStorage(slice)))
      return op.emitOpError("slices a value that no loop keeps: ")
             << slice.getType();
    if (isa<PlanType>(arg.getType())) {
      // Copies: references move when a map grows.
      RowsInfo tokens = planTokens(kept);
      Extent most = rowsOfPlan[kept];
      tokensOfPlan[arg] = tokens;
      rowsOfPlan[arg] = most;
    } else if (!kept) {
      rowsOf[arg] = {RowsInfo::Static,
                     {0, 0, type.getRank() ? type.getDimSize(0) : 1},
                     {}};
    } else {
      RowsInfo info = rows(kept);
      if (info.kind == RowsInfo::PlanRows &&
          !(info.plan = plans.lookup(info.plan)))
        return op.emitOpError("slices rows of a plan that it does not slice");
      rowsOf[arg] = info;
    }
    for (int part = 0; part < parts(arg); ++part) {
      int stack = ids[{slice, part}];
      storages[stack].last = std::max(storages[stack].last, endOrder[op]);
      bind(arg, layerOf(stack, op, sizeOf(arg, part)), part);
    }
  }
  return success();
}
