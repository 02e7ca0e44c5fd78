// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operations that copy rows.
#include "passes/lower/cpu/Routing.h"
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
/// |width| elements from |from| to |to|, rounded to the element type of |to|.
void copyRow(Emitter &e, const Buffer &from, Value fromRow, int64_t fromColumn,
             const Buffer &to, Value toRow, int64_t toColumn, int64_t width) {
  e.lanes(width, [&](Value column, Value mask) {
    Value source = fromColumn ? e.add(column, e.i64(fromColumn)) : column;
    Value target = toColumn ? e.add(column, e.i64(toColumn)) : column;
    e.store(to, toRow, target, e.load(from, fromRow, source, mask), mask);
  });
}

Value loadIndex(Emitter &e, const Buffer &indices, Value at) {
  return e.toI64(e.loadScalar(e.offset(indices.base, at, indices.element),
                              indices.element));
}

/// Rows of the result, each a row of |from| that |source| names.
LogicalResult emitGather(EntryContext &c, Operation *op, Value from,
                         function_ref<Value(Value row)> source) {
  Emitter &e = c.e;
  Value to = op->getResult(0);
  int64_t width = tensorOf(to).getRank() > 1 ? lastDim(to) : 1;
  Buffer x = asRows(c, from, width), y = asRows(c, to, width);
  e.parallel(y.rows, Emitter::grainFor(width), [&](Value row) {
    copyRow(e, x, source(row), 0, y, row, 0, width);
  });
  return success();
}

LogicalResult emitEmbedding(EntryContext &c, Operation *op) {
  auto embedding = cast<nn::EmbeddingOp>(op);
  const Buffer &ids = c.buffer(embedding.getIds());
  return emitGather(c, op, embedding.getTable(),
                    [&](Value row) { return loadIndex(c.e, ids, row); });
}

LogicalResult emitLastRows(EntryContext &c, Operation *op) {
  auto last = cast<nn::LastRowsOp>(op);
  Emitter &e = c.e;
  const Buffer &ends = c.buffer(last.getCuSeqlens());
  return emitGather(c, op, last.getX(), [&](Value row) {
    return e.sub(loadIndex(e, ends, e.add(row, e.i64(1))), e.i64(1));
  });
}

LogicalResult emitDispatch(EntryContext &c, Operation *op) {
  auto dispatch = cast<DispatchOp>(op);
  Emitter &e = c.e;
  const PlanBuffers &plan = c.plan(dispatch.getPlan());
  return emitGather(c, op, dispatch.getX(), [&](Value row) {
    return e.udiv(loadIndex(e, plan.row2slot, row), e.i64(plan.k));
  });
}

LogicalResult emitGroup(EntryContext &c, Operation *op) {
  auto group = cast<GroupOp>(op);
  const PlanBuffers &plan = c.plan(group.getPlan());
  return emitGather(c, op, group.getY(), [&](Value row) {
    return loadIndex(c.e, plan.row2slot, row);
  });
}

LogicalResult emitUngroup(EntryContext &c, Operation *op) {
  auto ungroup = cast<UngroupOp>(op);
  Emitter &e = c.e;
  const PlanBuffers &plan = c.plan(ungroup.getPlan());
  int64_t width = lastDim(ungroup.getY());
  Buffer rows = asRows(c, ungroup.getRows(), width),
         y = asRows(c, ungroup.getY(), width);
  e.parallel(y.rows, Emitter::grainFor(width), [&](Value slot) {
    Value row = loadIndex(e, plan.slot2row, slot);
    e.ifElse(
        e.cmp(arith::CmpIPredicate::sge, row, e.i64(0)),
        [&] {
          copyRow(e, rows, row, 0, y, slot, 0, width);
          return SmallVector<Value>();
        },
        [&] {
          e.lanes(width, [&](Value column, Value mask) {
            e.store(y, slot, column, e.splatF32(0), mask);
          });
          return SmallVector<Value>();
        });
  });
  return success();
}

LogicalResult emitSegmentBroadcast(EntryContext &c, Operation *op) {
  auto broadcast = cast<nn::SegmentBroadcastOp>(op);
  const Buffer &sequenceOf = c.sequenceOf(broadcast.getCuSeqlens());
  Value y = broadcast.getY();
  // Whatever lies behind the tokens is one row.
  int64_t width = 1;
  for (int64_t size : tensorOf(y).getShape().drop_front())
    width *= size;
  Emitter &e = c.e;
  Buffer from = asRows(c, broadcast.getX(), width), to = asRows(c, y, width);
  e.parallel(to.rows, Emitter::grainFor(width), [&](Value token) {
    copyRow(e, from, loadIndex(e, sequenceOf, token), 0, to, token, 0, width);
  });
  return success();
}

LogicalResult emitGroupedBroadcast(EntryContext &c, Operation *op) {
  auto broadcast = cast<GroupedBroadcastOp>(op);
  Emitter &e = c.e;
  const PlanBuffers &plan = c.plan(broadcast.getPlan());
  // The expert of a row is the choice of its slot.
  return emitGather(c, op, broadcast.getV(), [&](Value row) {
    return loadIndex(e, plan.idx, loadIndex(e, plan.row2slot, row));
  });
}

LogicalResult emitSlice(EntryContext &c, Operation *op) {
  auto slice = cast<nn::SliceOp>(op);
  Emitter &e = c.e;
  int64_t width = lastDim(slice.getY());
  Buffer x = asRows(c, slice.getX(), lastDim(slice.getX())),
         y = asRows(c, slice.getY(), width);
  e.parallel(y.rows, Emitter::grainFor(width), [&](Value row) {
    copyRow(e, x, row, slice.getStart(), y, row, 0, width);
  });
  return success();
}

LogicalResult emitConcat(EntryContext &c, Operation *op) {
  auto concat = cast<nn::ConcatOp>(op);
  Emitter &e = c.e;
  Buffer y = asRows(c, concat.getY(), lastDim(concat.getY()));
  SmallVector<Buffer> parts;
  for (Value part : concat.getXs())
    parts.push_back(asRows(c, part, lastDim(part)));
  e.parallel(y.rows, Emitter::grainFor(y.width), [&](Value row) {
    int64_t start = 0;
    for (const Buffer &part : parts) {
      copyRow(e, part, row, 0, y, row, start, part.width);
      start += part.width;
    }
  });
  return success();
}

/// All elements are one constant: nothing to do where elementwise readers know
/// it themselves.
LogicalResult emitSplat(EntryContext &c, Operation *op, TypedAttr splat) {
  Emitter &e = c.e;
  auto knowsSplats = [](Operation *user) {
    return isa<nn::BroadcastOp>(user) ||
           OpTrait::hasElementwiseMappableTraits(user);
  };
  if (llvm::all_of(op->getUsers(), knowsSplats))
    return success();
  const Buffer &y = c.result(op);
  parallelElements(c, op->getResult(0), [&](Value index, Value mask) {
    storeAt(e, y, index, splatLanes(e, splat), mask);
  });
  return success();
}

LogicalResult emitFill(EntryContext &c, Operation *op) {
  return emitSplat(c, op, splatOf(op->getResult(0)));
}

LogicalResult emitBroadcast(EntryContext &c, Operation *op) {
  auto broadcast = cast<nn::BroadcastOp>(op);
  Emitter &e = c.e;
  auto view = AxisView::get(c, op, broadcast.getY(), broadcast.getAxis());
  if (failed(view))
    return failure();
  if (TypedAttr splat = splatOf(broadcast.getX()))
    return emitSplat(c, op, splat);
  const Buffer &x = c.buffer(broadcast.getX()), &y = c.result(op);
  if (view->inner == 1) {
    // One element for a whole row.
    e.parallel(view->outer, Emitter::grainFor(std::max<int64_t>(view->size, 1)),
               [&](Value outer) {
                 Value lanes = e.splat(e.loadScalar(
                     e.offset(x.base, outer, x.element), x.element));
                 Value start = e.mul(outer, view->n);
                 lanesOf(e, view->size, view->n, [&](Value column, Value mask) {
                   storeAt(e, y, e.add(start, column), lanes, mask);
                 });
               });
    return success();
  }
  Buffer from = x, to = y;
  from.width = to.width = view->inner;
  e.parallel(e.mul(view->outer, view->n), Emitter::grainFor(view->inner),
             [&](Value row) {
               copyRow(e, from, e.udiv(row, view->n), 0, to, row, 0,
                       view->inner);
             });
  return success();
}
} // namespace

void moe::cpu::addMovementKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::EmbeddingOp::getOperationName()] = {emitEmbedding};
  table[nn::LastRowsOp::getOperationName()] = {emitLastRows};
  table[nn::SliceOp::getOperationName()] = {emitSlice};
  table[nn::ConcatOp::getOperationName()] = {emitConcat};
  table[nn::BroadcastOp::getOperationName()] = {emitBroadcast};
  table[nn::FillOp::getOperationName()] = {emitFill};
  table[nn::SegmentBroadcastOp::getOperationName()] = {emitSegmentBroadcast};
  table[DispatchOp::getOperationName()] = {emitDispatch};
  table[GroupOp::getOperationName()] = {emitGroup};
  table[UngroupOp::getOperationName()] = {emitUngroup};
  table[GroupedBroadcastOp::getOperationName()] = {emitGroupedBroadcast};
}
