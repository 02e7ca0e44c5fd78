// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/lower/cpu/BufferPlan.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

static bool isTensor(Value value) {
  return isa<RankedTensorType>(value.getType());
}
static Extent larger(Extent a, Extent b) {
  return {std::max(a.perToken, b.perToken),
          std::max(a.perSequence, b.perSequence),
          std::max(a.constant, b.constant),
          std::max(a.perRankToken, b.perRankToken),
          std::max(a.perLongest, b.perLongest)};
}
/// Size at a usual call, to choose between slots.
static int64_t usual(Extent e) {
  return (e.perToken + e.perRankToken) * 512 + e.perSequence * 4 +
         e.perLongest * 128 + e.constant;
}

int64_t BufferPlan::width(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  int64_t product = 1;
  for (int64_t size : tensor.getShape().drop_front(tensor.getRank() ? 1 : 0))
    product *= ShapedType::isDynamic(size) ? 1 : size;
  return product;
}

static bool needsNoPlace(Operation &op) {
  return isa<nn::ParamGetOp, arith::ConstantOp>(op) ||
         (op.getNumResults() == 1 && op.getResult(0).getType().isIndex());
}

int BufferPlan::newStorage(Extent bytes, int64_t first) {
  storages.push_back({bytes, first, first, -1, -1});
  return storages.size() - 1;
}

void BufferPlan::placeTensor(Value value, int64_t at) {
  bind(value, newStorage(sizeOf(value, 0), at));
}

Extent BufferPlan::sizeOf(Value value, int part) const {
  if (auto plan = dyn_cast<PlanType>(value.getType()))
    return part == 3 ? Extent{0, 0, 4 * (plan.getExperts() + 1)}
                     : planTokens(value).bound.times(4 * plan.getK());
  auto type = cast<RankedTensorType>(value.getType());
  return rows(value).bound.times(width(type) *
                                 Emitter::bytesOf(type.getElementType()));
}

LogicalResult BufferPlan::number(Block &block) {
  for (Operation &op : block) {
    order[&op] = next++;
    if (auto loop = dyn_cast<nn::LayersOp>(op)) {
      if (failed(number(loop.getBody().front())))
        return failure();
      endOrder[&op] = next++;
    }
  }
  return success();
}

const Storage *BufferPlan::sequenceOf(Value cuSeqlens) const {
  auto it = sequenceStorage.find(cuSeqlens);
  return it == sequenceStorage.end() ? nullptr : &storages[it->second];
}

/// Room for the sequence of each token that |op| asks for.
void BufferPlan::placeSequences(Operation &op) {
  Value seqs, tokens;
  if (auto attend = dyn_cast<nn::AttendOp>(op)) {
    seqs = attend.getCuSeqlens();
    tokens = attend.getQ();
  } else if (auto broadcast = dyn_cast<nn::SegmentBroadcastOp>(op)) {
    seqs = broadcast.getCuSeqlens();
    tokens = broadcast.getLike();
  } else if (auto unmix = dyn_cast<UnmixOp>(op)) {
    seqs = unmix.getCuSeqlens();
    tokens = unmix.getA();
  } else if (auto dot = dyn_cast<MixDotOp>(op)) {
    seqs = dot.getCuSeqlens();
    tokens = dot.getX();
  }
  if (!seqs)
    return;
  Operation *maker = seqs.getDefiningOp();
  auto [it, added] = sequenceStorage.try_emplace(seqs, 0);
  if (added)
    it->second = newStorage({}, maker ? order[maker] : 0);
  Storage &storage = storages[it->second];
  storage.bytes = larger(storage.bytes, rows(tokens).bound.times(4));
  storage.last = next;
}

LogicalResult BufferPlan::place(Operation &op) {
  if (auto loop = dyn_cast<nn::LayersOp>(op))
    return placeLayers(loop);
  if (needsNoPlace(op)) {
    for (Value result : op.getResults())
      if (auto type = dyn_cast<RankedTensorType>(result.getType()))
        rowsOf[result] = {RowsInfo::Static,
                          {0, 0, type.getRank() ? type.getDimSize(0) : 1},
                          {}};
    return success();
  }
  if (failed(checkRows(op)))
    return failure();
  placeSequences(op);
  for (Value result : op.getResults()) {
    if (auto plan = dyn_cast<PlanType>(result.getType())) {
      auto exchange = dyn_cast<AllToAllVOp>(op);
      auto make = dyn_cast<MakePlanOp>(op);
      tokensOfPlan[result] = exchange ? arrivedRows(exchange)
                             : make ? rows(make.getIdx())
                                    : RowsInfo{RowsInfo::Tokens, {1, 0, 0}, {}};
      rowsOfPlan[result] = mostRows(result, make);
      for (int part = 0; part < 4; ++part)
        bind(result, newStorage(sizeOf(result, part), order[&op]), part);
      continue;
    }
    if (!isTensor(result))
      return op.emitOpError("has a result that has no place in memory: ")
             << result.getType();
    auto rows = inferRows(result, op);
    if (failed(rows))
      return failure();
    rowsOf[result] = *rows;
    if (isa<nn::ReshapeOp>(op) && hasStorage(op.getOperand(0)))
      bind(result, ids[{op.getOperand(0), 0}]);
    else
      placeTensor(result, order[&op]);
  }
  auto kernel = kernels().find(op.getName().getStringRef());
  if (kernel != kernels().end() && kernel->second.scratch) {
    Extent bytes = kernel->second.scratch(&op, {1, 0, 0});
    if (!(bytes == Extent{}))
      scratchIds[&op] = newStorage(bytes, order[&op]);
  }
  return success();
}

LogicalResult BufferPlan::placeLayers(nn::LayersOp op) {
  Block &body = op.getBody().front();
  for (auto [init, arg, result] : llvm::zip(
           op.getInits(), body.getArguments().drop_front(), op.getCarried())) {
    if (!isTensor(init))
      return op.emitOpError("carries a value that is no tensor: ")
             << init.getType();
    // A copy: what rows() refers to moves when the map grows.
    RowsInfo own = rows(init);
    rowsOf[result] = own;
    rowsOf[arg] = own;
    // The loop works in the place of its init where nobody else reads that.
    if (init.hasOneUse() && init.getDefiningOp() &&
        !isa<nn::ReshapeOp>(init.getDefiningOp()) && hasStorage(init)) {
      bind(arg, ids[{init, 0}]);
    } else {
      placeTensor(arg, order[op]);
    }
    bind(result, ids[{arg, 0}]);
    storages[ids[{arg, 0}]].last =
        std::max(storages[ids[{arg, 0}]].last, endOrder[op]);
  }
  if (failed(placeSlices(op)))
    return failure();
  for (Operation &inner : body)
    if (!inner.hasTrait<OpTrait::IsTerminator>() && failed(place(inner)))
      return failure();
  // An elementwise end that reads the carried value last may write over it.
  Operation *end = body.getTerminator();
  for (auto [arg, value] : llvm::zip(
           body.getArguments().drop_front().take_front(op.getInits().size()),
           end->getOperands())) {
    Operation *maker = value.getDefiningOp();
    if (!maker || maker->getBlock() != &body ||
        !OpTrait::hasElementwiseMappableTraits(maker) ||
        maker->getNumOperands() > 2 || value.getType() != arg.getType())
      continue;
    bool lastReader = llvm::all_of(arg.getUsers(), [&](Operation *user) {
      return user->getBlock() == &body && order[user] <= order[maker] &&
             !isa<nn::ReshapeOp>(user);
    });
    if (!lastReader || llvm::count(end->getOperands(), value) != 1)
      continue;
    bind(value, ids[{arg, 0}]);
    inPlaceYields.insert(value);
  }
  for (auto [value, result] :
       llvm::zip(end->getOperands().drop_front(op.getInits().size()),
                 op.getStacked())) {
    if (!isTensor(value) && !isa<PlanType>(value.getType()))
      return op.emitOpError("keeps a value that has no place in memory: ")
             << value.getType();
    keptBy[result] = value;
  }
  placeStacks(op);
  return success();
}

int64_t BufferPlan::orderOfUse(Operation *user, Value value) {
  // A use inside a loop of a value from outside lasts until the loop ends.
  Block *home = value.getParentBlock();
  Operation *at = user;
  while (at->getBlock() != home)
    at = at->getParentOp();
  return at == user ? order[at] : endOrder[at];
}

void BufferPlan::extendToUses(Value value) {
  int64_t last = 0;
  for (Operation *user : value.getUsers())
    last = std::max(last, orderOfUse(user, value));
  for (int part = 0; part < 4; ++part)
    if (auto it = ids.find({value, part}); it != ids.end())
      storages[it->second].last = std::max(storages[it->second].last, last);
}

void BufferPlan::useOutputs() {
  Operation *end = entry.getBody().front().getTerminator();
  for (auto [i, value] : llvm::enumerate(end->getOperands())) {
    if (isa<BlockArgument>(value) || !hasStorage(value))
      continue;
    Storage &storage = storages[ids[{value, 0}]];
    if (storage.output < 0)
      storage.output = i;
  }
}

void BufferPlan::shareSlots() {
  SmallVector<int> byStart;
  for (int i = 0; i < int(storages.size()); ++i)
    if (storages[i].output < 0 && storages[i].stack < 0)
      byStart.push_back(i);
  llvm::stable_sort(byStart, [&](int a, int b) {
    return storages[a].first < storages[b].first;
  });
  SmallVector<int64_t> busyUntil;
  for (int id : byStart) {
    Storage &storage = storages[id];
    int best = -1;
    int64_t bestGrowth = 0;
    for (int slot = 0; slot < int(slotBytes.size()); ++slot) {
      if (busyUntil[slot] >= storage.first)
        continue;
      int64_t growth = usual(larger(slotBytes[slot], storage.bytes)) -
                       usual(slotBytes[slot]);
      int64_t waste = usual(slotBytes[slot]) - usual(storage.bytes);
      int64_t cost = growth > 0 ? growth * 4 : waste;
      if (best < 0 || cost < bestGrowth) {
        best = slot;
        bestGrowth = cost;
      }
    }
    if (best < 0) {
      best = slotBytes.size();
      slotBytes.push_back({});
      busyUntil.push_back(-1);
    }
    slotBytes[best] = larger(slotBytes[best], storage.bytes);
    busyUntil[best] = storage.last;
    storage.slot = best;
  }
}

const Storage *BufferPlan::scratch(Operation *op) const {
  auto it = scratchIds.find(op);
  return it == scratchIds.end() ? nullptr : &storages[it->second];
}

LogicalResult BufferPlan::run() {
  Block &body = entry.getBody().front();
  for (auto [i, arg] : llvm::enumerate(body.getArguments())) {
    StringRef name =
        entry.getArgAttrOfType<StringAttr>(i, "nn.name")
            ? entry.getArgAttrOfType<StringAttr>(i, "nn.name").getValue()
            : "";
    auto mark = entry.getArgAttrOfType<StringAttr>(i, "nn.rows");
    StringRef rows = mark ? mark.getValue() : "";
    auto type = dyn_cast<RankedTensorType>(arg.getType());
    if (!type)
      continue;
    if (!type.getRank() || !type.isDynamicDim(0))
      rowsOf[arg] = {RowsInfo::Static,
                     {0, 0, type.getRank() ? type.getDimSize(0) : 1},
                     {}};
    else if (name == "cu_seqlens" || rows == "boundaries")
      rowsOf[arg] = {RowsInfo::SequencesPlusOne, {0, 1, 1}, {}};
    else if (name == "slot" || rows == "sequences")
      rowsOf[arg] = {RowsInfo::Sequences, {0, 1, 0}, {}};
    else if (name == "block_table")
      rowsOf[arg] = {RowsInfo::Unknown, {}, {}};
    else
      rowsOf[arg] = {RowsInfo::Tokens, {1, 0, 0}, {}};
  }
  if (failed(number(body)))
    return failure();
  for (Operation &op : body)
    if (!op.hasTrait<OpTrait::IsTerminator>() && failed(place(op)))
      return failure();
  entry.walk([&](Block *block) {
    for (Value arg : block->getArguments())
      extendToUses(arg);
    for (Operation &op : *block)
      for (Value result : op.getResults())
        extendToUses(result);
  });
  useOutputs();
  shareSlots();
  return success();
}
