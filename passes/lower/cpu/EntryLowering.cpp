// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One entry: places of its values, then the kernels of its operations in order.
#include "passes/lower/cpu/BufferPlan.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
class EntryLowering {
public:
  EntryLowering(func::FuncOp entry, Isa isa)
      : entry(entry), b(entry.getContext()), e(b, entry.getLoc(), isa), c(e),
        plan(entry) {}

  LogicalResult run() {
    if (failed(plan.run()))
      return failure();
    Type ptr = e.ptrType();
    b.setInsertionPoint(entry);
    auto function = LLVM::LLVMFuncOp::create(
        b, e.loc, ("moe_entry_" + entry.getName()).str(),
        LLVM::LLVMFunctionType::get(b.getI32Type(), {ptr, ptr, ptr, ptr}));
    Block *block = function.addEntryBlock(b);
    b.setInsertionPointToStart(block);
    c.rt = block->getArgument(0);
    c.arena = block->getArgument(1);
    buffersArg = block->getArgument(2);
    loadDims(block->getArgument(3));
    bindArguments();
    bindSlots();
    for (Value arg : entry.getArguments())
      findSequences(arg);
    if (failed(emitBlock(entry.getBody().front())))
      return failure();
    copyResults();
    LLVM::ReturnOp::create(b, e.loc, ValueRange{e.i32(0)});
    emitWorkspace();
    entry.erase();
    return success();
  }

private:
  /// What bounds of buffers depend on.
  struct Sizes {
    Value tokens, sequences, rankTokens, longest;
  };

  void loadDims(Value dims) {
    Value *fields[] = {&c.tokens,     &c.sequences,        &c.longest,
                       &c.pageLength, &c.pagesPerSequence, &c.pages,
                       &c.rankTokens};
    for (auto [i, field] : llvm::enumerate(fields))
      *field = LLVM::LoadOp::create(b, e.loc, e.i64Type(),
                                    e.offsetBytes(dims, e.i64(8 * i)), 8);
  }

  Value bufferPtr(int64_t index) {
    return e.loadPtr(e.offsetBytes(buffersArg, e.i64(8 * index)));
  }

  /// Buffers in order: arguments but the cache, params, cache, results.
  void bindArguments() {
    Block &body = entry.getBody().front();
    int64_t index = 0;
    Value cache;
    for (Value arg : body.getArguments()) {
      if (isa<nn::CacheType>(arg.getType())) {
        cache = arg;
        continue;
      }
      Value base = bufferPtr(index++);
      auto type = cast<RankedTensorType>(arg.getType());
      c.buffers[arg] = {base, type.getElementType(), rowCount(plan.rows(arg)),
                        plan.rows(arg).bound, BufferPlan::width(type)};
    }
    c.params = bufferPtr(index++);
    if (cache)
      c.scalars[cache] = bufferPtr(index++);
    for (unsigned i = 0; i < entry.getNumResults(); ++i)
      outputs.push_back(bufferPtr(index++));
  }

  /// extent(dims) in i64.
  Value evaluate(const Extent &extent, const Sizes &sizes) {
    Value value = e.i64(extent.constant);
    auto term = [&](int64_t factor, Value size) {
      if (factor)
        value = e.add(value, e.mul(size, e.i64(factor)));
    };
    term(extent.perToken, sizes.tokens);
    term(extent.perSequence, sizes.sequences);
    term(extent.perRankToken, sizes.rankTokens);
    term(extent.perLongest, sizes.longest);
    return value;
  }

  /// Offsets of all slots, then the size of the arena; each a multiple of 64.
  SmallVector<Value> slotOffsets(const Sizes &sizes) {
    SmallVector<Value> offsets{e.i64(0)};
    for (const Extent &bytes : plan.slots()) {
      Value size = e.add(evaluate(bytes, sizes), e.i64(63));
      size = arith::AndIOp::create(b, e.loc, size, e.i64(~int64_t(63)));
      offsets.push_back(e.add(offsets.back(), size));
    }
    return offsets;
  }

  void bindSlots() {
    for (Value offset :
         slotOffsets({c.tokens, c.sequences, c.rankTokens, c.longest}))
      slots.push_back(e.offsetBytes(c.arena, offset));
  }

  Value baseOf(const Storage &storage) {
    if (storage.stack >= 0) {
      nn::LayersOp loop = storage.loop;
      Value layer =
          e.sub(c.layer(loop.getLayerIndex()), e.i64(int64_t(loop.getLower())));
      return e.offsetBytes(baseOf(plan.stackOf(storage)),
                           e.mul(layer, layerBytes(storage)));
    }
    return storage.output >= 0 ? outputs[storage.output] : slots[storage.slot];
  }

  /// Bytes of one layer of a stack: as many for each, whatever they hold.
  Value layerBytes(const Storage &layer) {
    return evaluate(layer.bytes, {c.tokens, c.sequences, c.rankTokens});
  }

  Value rowCount(const RowsInfo &rows) {
    switch (rows.kind) {
    case RowsInfo::Static:
      return e.i64(rows.bound.constant);
    case RowsInfo::Tokens:
      return c.tokens;
    case RowsInfo::Sequences:
      return c.sequences;
    case RowsInfo::SequencesPlusOne:
      return e.add(c.sequences, e.i64(1));
    case RowsInfo::PlanRows: {
      const PlanBuffers &p = c.plan(rows.plan);
      return e.toI64(
          e.loadScalar(e.address(p.offsets, e.i64(p.experts)), b.getI32Type()));
    }
    case RowsInfo::Arrived: {
      auto from = cast<RankedTensorType>(rows.plan.getType());
      Value end = e.offsetBytes(baseOf(plan.storage(rows.plan)),
                                e.i64(4 * (from.getDimSize(0) - 1)));
      return e.toI64(e.loadScalar(end, b.getI32Type()));
    }
    case RowsInfo::Unknown:
      return e.i64(0);
    }
    llvm_unreachable("all kinds handled");
  }

  Buffer bufferOf(Value value) {
    auto type = cast<RankedTensorType>(value.getType());
    const RowsInfo &rows = plan.rows(value);
    return {baseOf(plan.storage(value)), type.getElementType(), rowCount(rows),
            rows.bound, BufferPlan::width(type)};
  }

  /// The sequence of each token by the boundaries |seqs|, where an operation
  /// asks for it.
  void findSequences(Value seqs) {
    const Storage *storage = plan.sequenceOf(seqs);
    if (!storage)
      return;
    Type i32 = b.getI32Type();
    Buffer cu = c.buffer(seqs);
    Buffer sequenceOf{baseOf(*storage), i32, c.tokens, {1, 0, 0}, 1};
    c.sequenceOfToken[seqs] = sequenceOf;
    e.loop(e.i64(0), c.sequences, 1, [&](Value sequence) {
      Value first = e.toI64(e.loadScalar(e.address(cu, sequence), i32));
      Value last =
          e.toI64(e.loadScalar(e.address(cu, e.add(sequence, e.i64(1))), i32));
      e.loop(first, last, 1, [&](Value token) {
        e.storeScalar(e.address(sequenceOf, token), i32, e.toI32(sequence));
      });
    });
  }

  LogicalResult emitBlock(Block &block) {
    for (Operation &op : block.without_terminator())
      if (failed(emit(op)))
        return failure();
    return success();
  }

  LogicalResult emit(Operation &op) {
    e.loc = op.getLoc();
    if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
      if (auto index = dyn_cast<IntegerAttr>(constant.getValue());
          index && constant.getType().isIndex())
        c.scalars[constant] = e.i64(index.getInt());
      if (auto dense = dyn_cast<DenseElementsAttr>(constant.getValue()))
        bindConstant(constant, dense);
      return success();
    }
    if (auto get = dyn_cast<nn::ParamGetOp>(op))
      return bindParam(get);
    if (auto loop = dyn_cast<nn::LayersOp>(op))
      return emitLayers(loop);
    if (isa<arith::AddIOp, arith::MulIOp>(op) &&
        op.getResult(0).getType().isIndex()) {
      Value a = c.layer(op.getOperand(0)), b = c.layer(op.getOperand(1));
      c.scalars[op.getResult(0)] =
          isa<arith::AddIOp>(op) ? e.add(a, b) : e.mul(a, b);
      return success();
    }
    for (Value result : op.getResults())
      bindResult(result);
    if (const Storage *scratch = plan.scratch(&op))
      c.scratches[&op] = baseOf(*scratch);
    if (isa<nn::ReshapeOp>(op) && plan.hasStorage(op.getOperand(0)))
      return success();
    auto kernel = kernels().find(op.getName().getStringRef());
    if (kernel != kernels().end()) {
      if (failed(kernel->second.kernel(c, &op)))
        return failure();
      if (op.getNumResults())
        findSequences(op.getResult(0));
      return success();
    }
    if (OpTrait::hasElementwiseMappableTraits(&op))
      return emitElementwise(c, &op);
    return op.emitOpError("has no code for CPUs");
  }

  /// A constant tensor lies in the native module.
  void bindConstant(arith::ConstantOp constant, DenseElementsAttr dense) {
    auto type = dyn_cast<RankedTensorType>(constant.getType());
    if (!type || type.getElementType().isInteger(1))
      return;
    auto array =
        LLVM::LLVMArrayType::get(type.getElementType(), type.getNumElements());
    auto flat = dense.reshape(
        RankedTensorType::get({type.getNumElements()}, type.getElementType()));
    std::string name =
        ("moe_constant_" + entry.getName() + "_" + Twine(constants++)).str();
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(entry);
      LLVM::GlobalOp::create(b, e.loc, array, /*isConstant=*/true,
                             LLVM::Linkage::Internal, name, flat,
                             /*alignment=*/64);
    }
    int64_t rows = type.getRank() ? type.getDimSize(0) : 1;
    c.buffers[constant] = {
        LLVM::AddressOfOp::create(b, e.loc, e.ptrType(), name),
        type.getElementType(),
        e.i64(rows),
        {0, 0, rows},
        BufferPlan::width(type)};
  }

  void bindResult(Value result) {
    auto type = dyn_cast<PlanType>(result.getType());
    if (!type) {
      c.buffers[result] = bufferOf(result);
      return;
    }
    PlanBuffers p;
    Buffer *parts[] = {&p.idx, &p.slot2row, &p.row2slot, &p.offsets};
    const RowsInfo &tokens = plan.planTokens(result);
    Value slotsOfPlan = e.mul(rowCount(tokens), e.i64(type.getK()));
    for (int part = 0; part < 4; ++part) {
      *parts[part] = {baseOf(plan.storage(result, part)), b.getI32Type(),
                      slotsOfPlan, tokens.bound.times(type.getK()), 1};
      if (part == 3)
        *parts[part] = {baseOf(plan.storage(result, part)),
                        b.getI32Type(),
                        e.i64(type.getExperts() + 1),
                        {0, 0, type.getExperts() + 1},
                        1};
    }
    p.experts = type.getExperts();
    p.k = type.getK();
    c.plans[result] = p;
  }

  LogicalResult bindParam(nn::ParamGetOp get) {
    auto param = SymbolTable::lookupNearestSymbolFrom<nn::ParamOp>(
        get, get.getParamAttr());
    auto index = param->getAttrOfType<IntegerAttr>("nn.index");
    auto format = param->getAttrOfType<StringAttr>("nn.format");
    if (!index || !format)
      return get.emitOpError("reads ")
             << get.getParamAttr()
             << ", which has no layout; run moe-assign-layouts first";
    Value slot = e.i64(index.getInt());
    if (Value layer = get.getLayer())
      slot = e.add(slot, e.sub(c.layer(layer), e.i64((*param.getLayers())[0])));
    Value base = e.loadPtr(e.offsetBytes(c.params, e.mul(slot, e.i64(8))));
    auto type = param.getTensorType();
    if (format.getValue() != "raw") {
      int64_t rank = type.getRank();
      c.weights[get.getValue()] = {base, format.getValue(), param.getGroups(),
                                   type.getDimSize(rank - 2),
                                   type.getDimSize(rank - 1)};
    } else {
      c.buffers[get.getValue()] = {base,
                                   type.getElementType(),
                                   e.i64(type.getDimSize(0)),
                                   {0, 0, type.getDimSize(0)},
                                   BufferPlan::width(type)};
    }
    return success();
  }

  /// Copies |bytes| from one place to another.
  void copyBytes(Value to, Value from, Value bytes) {
    Type i8 = b.getI8Type();
    Value step = e.i64(64), whole = e.mul(e.udiv(bytes, step), step);
    e.loop(e.i64(0), whole, 64, [&](Value at) {
      Value lanes = e.loadLanes(e.offsetBytes(from, at), b.getF32Type());
      e.storeLanes(e.offsetBytes(to, at), b.getF32Type(), lanes);
    });
    e.loop(whole, bytes, 1, [&](Value at) {
      Value value =
          LLVM::LoadOp::create(b, e.loc, i8, e.offsetBytes(from, at), 1);
      LLVM::StoreOp::create(b, e.loc, value, e.offsetBytes(to, at), 1);
    });
  }

  Value bytesOf(const Buffer &buffer) {
    return e.mul(buffer.rows,
                 e.i64(buffer.width * Emitter::bytesOf(buffer.element)));
  }

  /// Copies |value| to its layer of |stack|, unless it was computed there.
  void keep(Value stack, Value value, Value layer) {
    bool isPlan = isa<PlanType>(value.getType());
    for (int part = 0; part < (isPlan ? 4 : 1); ++part) {
      const Storage &to = plan.storage(stack, part);
      if (plan.hasStorage(value)) {
        const Storage &from = plan.storage(value, part);
        if (from.stack >= 0 && &plan.stackOf(from) == &to)
          continue;
      }
      Extent bound = plan.sizeOf(value, part);
      Value bytes = evaluate(bound, {c.tokens, c.sequences, c.rankTokens});
      Value at = e.offsetBytes(baseOf(to), e.mul(layer, bytes));
      const Buffer &kept = isPlan ? c.plan(value).part(part) : c.buffer(value);
      copyBytes(at, kept.base, bytesOf(kept));
    }
  }

  /// Plans first: they tell how many rows others have.
  void bindSlices(nn::LayersOp op) {
    auto slices =
        op.getBody().getArguments().drop_front(1 + op.getInits().size());
    for (bool plans : {true, false})
      for (Value slice : slices)
        if (isa<PlanType>(slice.getType()) == plans)
          bindResult(slice);
  }

  LogicalResult emitLayers(nn::LayersOp op) {
    Block &body = op.getBody().front();
    for (auto [init, arg, result] :
         llvm::zip(op.getInits(), body.getArguments().drop_front(),
                   op.getCarried())) {
      Buffer from = c.buffer(init), state = bufferOf(arg);
      if (from.base != state.base)
        copyBytes(state.base, from.base, bytesOf(from));
      c.buffers[arg] = state;
      c.buffers[result] = state;
    }
    int64_t lower = op.getLower(), upper = op.getUpper();
    LogicalResult status = success();
    e.loop(e.i64(lower), e.i64(upper), 1, [&](Value step) {
      Value layer =
          op.getReverse() ? e.sub(e.i64(lower + upper - 1), step) : step;
      c.scalars[op.getLayerIndex()] = layer;
      bindSlices(op);
      status = emitBlock(body);
      if (failed(status))
        return;
      Operation *end = body.getTerminator();
      // Before the carried values change: they may be kept too.
      for (auto [stack, value] :
           llvm::zip(op.getStacked(),
                     end->getOperands().drop_front(op.getInits().size())))
        keep(stack, value, e.sub(layer, e.i64(lower)));
      for (auto [arg, value] :
           llvm::zip(body.getArguments().drop_front(),
                     end->getOperands().take_front(op.getInits().size())))
        if (!plan.inPlace(value) && value != arg)
          copyBytes(c.buffer(arg).base, c.buffer(value).base,
                    bytesOf(c.buffer(arg)));
    });
    for (Value stack : op.getStacked())
      if (auto type = dyn_cast<RankedTensorType>(stack.getType());
          type && type.hasStaticShape())
        c.buffers[stack] = bufferOf(stack);
    return status;
  }

  /// Results that are not computed where they are wanted.
  void copyResults() {
    for (auto [i, value] : llvm::enumerate(
             entry.getBody().front().getTerminator()->getOperands())) {
      bool placed =
          plan.hasStorage(value) && plan.storage(value).output == int(i);
      if (!placed)
        copyBytes(outputs[i], c.buffer(value).base, bytesOf(c.buffer(value)));
    }
  }

  void emitWorkspace() {
    b.setInsertionPoint(entry);
    auto function = LLVM::LLVMFuncOp::create(
        b, e.loc, ("moe_workspace_" + entry.getName()).str(),
        LLVM::LLVMFunctionType::get(e.i64Type(), {e.ptrType()}));
    Block *block = function.addEntryBlock(b);
    b.setInsertionPointToStart(block);
    auto dim = [&](int64_t i) -> Value {
      return LLVM::LoadOp::create(
          b, e.loc, e.i64Type(),
          e.offsetBytes(block->getArgument(0), e.i64(8 * i)), 8);
    };
    LLVM::ReturnOp::create(
        b, e.loc,
        ValueRange{slotOffsets({dim(0), dim(1), dim(6), dim(2)}).back()});
  }

  func::FuncOp entry;
  OpBuilder b;
  Emitter e;
  EntryContext c;
  BufferPlan plan;
  Value buffersArg;
  SmallVector<Value> slots, outputs;
  int constants = 0;
};
} // namespace

LogicalResult moe::cpu::lowerEntry(func::FuncOp entry, Isa isa) {
  return EntryLowering(entry, isa).run();
}
