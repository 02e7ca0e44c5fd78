// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gradients of products, as products of rows (RowProduct.h):
//   dx[r, k] = Σ_n dy[r, n]·w[n, k]     a row of dy by the rows of w
//   dw[n, k] = Σ_r dy[r, n]·x[r, k]     a column of dy by the rows of x
#include "passes/lower/cpu/HeadLoss.h"
#include "passes/lower/cpu/Routing.h"
#include "passes/lower/cpu/RowProduct.h"
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
/// Rows of a group in a tensor: row r is r·stride elements behind |base|.
struct Rows {
  Value base;
  Type element;
  int64_t stride;
  Value at(Emitter &e, Value row) const {
    return e.offset(base, e.mul(row, e.i64(stride)), element);
  }
};
/// The rows of |buffer| from |first|, their elements from |column|.
Rows rowsOf(Emitter &e, const Buffer &buffer, Value first, Value column = {}) {
  return {e.address(buffer, first, column), buffer.element, buffer.width};
}

/// dx = dy by w, which is row-major [n, k].
RowProduct dxOf(Emitter &e, const Rows &dy, const Rows &w, const Rows &dx,
                int64_t n, int64_t k) {
  RowProduct p;
  p.a = {dy.base, dy.element, /*row=*/dy.stride, /*term=*/1};
  p.y = dx.base;
  p.yElement = dx.element;
  p.yRow = dx.stride;
  p.terms = e.i64(n);
  p.fixedTerms = n;
  p.columns = k;
  p.row = [&e, w](Value j) { return w.at(e, j); };
  p.element = w.element;
  return p;
}

/// dw = dy transposed by x, over |count| rows; row j of x is at |row|(j).
RowProduct dwOf(Emitter &e, const Rows &dy, const Rows &dw, Value count,
                int64_t k, Type element, std::function<Value(Value j)> row) {
  RowProduct p;
  p.a = {dy.base, dy.element, /*row=*/1, /*term=*/dy.stride};
  p.y = dw.base;
  p.yElement = dw.element;
  p.yRow = dw.stride;
  p.terms = count;
  p.columns = k;
  p.row = std::move(row);
  p.element = element;
  return p;
}

/// |w| [.., N, K] as rows of K, which a parameter in rows has too.
Rows matrix(Emitter &e, const Buffer &w, Value group, int64_t n, int64_t k) {
  Value at = e.mul(group, e.i64(n * k));
  return {e.offset(w.base, at, w.element), w.element, k};
}

LogicalResult checkWeight(Operation *op, Value weight) {
  if (tensorOf(weight).hasStaticShape())
    return success();
  return op->emitOpError("has no code for CPUs with a weight of dynamic "
                         "shape: ")
         << weight.getType();
}

/// nn.linear_dx, nn.head_linear_dx: w is [N, K] or [H, N, K].
LogicalResult emitDx(EntryContext &c, Operation *op) {
  Emitter &e = c.e;
  Value weight = op->getOperand(1);
  if (failed(checkWeight(op, weight)))
    return failure();
  int64_t rank = tensorOf(weight).getRank();
  int64_t heads = rank == 3 ? tensorOf(weight).getDimSize(0) : 1;
  int64_t n = tensorOf(weight).getDimSize(rank - 2), k = lastDim(weight);
  const Buffer &dy = c.buffer(op->getOperand(0)), &dx = c.result(op),
               &w = c.buffer(weight);
  RowShape shape;
  shape.groups = heads;
  shape.rows = dy.rows;
  shape.fixedTerms = n;
  shape.columns = k;
  eachRowBlock(e, shape, [&](const RowBlock &block) {
    Value zero = e.i64(0);
    Rows from = rowsOf(e, dy, zero, e.mul(block.group, e.i64(n)));
    Rows to = rowsOf(e, dx, zero, e.mul(block.group, e.i64(k)));
    emitRows(e, dxOf(e, from, matrix(e, w, block.group, n, k), to, n, k),
             block);
  });
  return success();
}

/// nn.linear_dw, nn.head_linear_dw: dy is [T, N] or [T, H, N].
LogicalResult emitDw(EntryContext &c, Operation *op) {
  Emitter &e = c.e;
  Value result = op->getResult(0);
  if (failed(checkWeight(op, result)))
    return failure();
  int64_t rank = tensorOf(result).getRank();
  int64_t heads = rank == 3 ? tensorOf(result).getDimSize(0) : 1;
  int64_t n = tensorOf(result).getDimSize(rank - 2), k = lastDim(result);
  const Buffer &dy = c.buffer(op->getOperand(0)),
               &x = c.buffer(op->getOperand(1)), &dw = c.result(op);
  RowShape shape;
  shape.groups = heads;
  shape.rows = e.i64(n);
  shape.fixedRows = n;
  shape.columns = k;
  eachRowBlock(e, shape, [&](const RowBlock &block) {
    Value zero = e.i64(0);
    Rows from = rowsOf(e, dy, zero, e.mul(block.group, e.i64(n)));
    Value column = e.mul(block.group, e.i64(k));
    emitRows(e,
             dwOf(e, from, matrix(e, dw, block.group, n, k), dy.rows, k,
                  x.element, [&](Value j) { return e.address(x, j, column); }),
             block);
  });
  return success();
}

/// Row |first| of an expert and their number.
std::pair<Value, Value> rowsOfExpert(Emitter &e, const PlanBuffers &plan,
                                     Value expert) {
  Value first = e.toI64(loadInt(e, plan.offsets, expert));
  Value last = e.toI64(loadInt(e, plan.offsets, e.add(expert, e.i64(1))));
  return {first, e.sub(last, first)};
}

LogicalResult emitGroupedDx(EntryContext &c, Operation *op) {
  auto grad = cast<GroupedMatmulDxOp>(op);
  Emitter &e = c.e;
  if (failed(checkWeight(op, grad.getW())))
    return failure();
  int64_t n = tensorOf(grad.getW()).getDimSize(1), k = lastDim(grad.getW());
  const Buffer &dy = c.buffer(grad.getDy()), &dx = c.result(op),
               &w = c.buffer(grad.getW());
  const PlanBuffers &plan = c.plan(grad.getPlan());
  RowShape shape;
  shape.groups = plan.experts;
  shape.fixedTerms = n;
  shape.columns = k;
  eachRowBlock(e, shape, [&](RowBlock block) {
    auto [first, count] = rowsOfExpert(e, plan, block.group);
    block.first = e.i64(0);
    block.last = count;
    emitRows(e,
             dxOf(e, rowsOf(e, dy, first), matrix(e, w, block.group, n, k),
                  rowsOf(e, dx, first), n, k),
             block);
  });
  return success();
}

LogicalResult emitGroupedDw(EntryContext &c, Operation *op) {
  auto grad = cast<GroupedMatmulDwOp>(op);
  Emitter &e = c.e;
  int64_t n = lastDim(grad.getDy()), k = lastDim(grad.getX());
  const Buffer &dy = c.buffer(grad.getDy()), &x = c.buffer(grad.getX()),
               &dw = c.result(op);
  const PlanBuffers &plan = c.plan(grad.getPlan());
  RowShape shape;
  shape.groups = plan.experts;
  shape.rows = e.i64(n);
  shape.fixedRows = n;
  shape.columns = k;
  eachRowBlock(e, shape, [&](const RowBlock &block) {
    auto [start, count] = rowsOfExpert(e, plan, block.group);
    Value first = start;
    auto row = [&](Value j) {
      Value r = e.add(first, j);
      if (grad.getGather())
        r = e.udiv(e.toI64(loadInt(e, plan.row2slot, r)), e.i64(plan.k));
      return e.address(x, r);
    };
    emitRows(e,
             dwOf(e, rowsOf(e, dy, first), matrix(e, dw, block.group, n, k),
                  count, k, x.element, row),
             block);
  });
  return success();
}

LogicalResult emitSegmentDx(EntryContext &c, Operation *op) {
  auto grad = cast<nn::SegmentLinearDxOp>(op);
  Emitter &e = c.e;
  int64_t n = lastDim(grad.getDy()), k = lastDim(grad.getW());
  const Buffer &dy = c.buffer(grad.getDy()), &dx = c.result(op),
               &w = c.buffer(grad.getW());
  eachSegment(c, grad.getCuSeqlens(), dy.rows,
              [&](Value sequence, Value first, Value last) {
                RowShape shape;
                shape.rows = e.sub(last, first);
                shape.fixedTerms = n;
                shape.columns = k;
                eachRowBlock(e, shape, [&](const RowBlock &block) {
                  emitRows(e,
                           dxOf(e, rowsOf(e, dy, first),
                                matrix(e, w, sequence, n, k),
                                rowsOf(e, dx, first), n, k),
                           block);
                });
              });
  return success();
}

LogicalResult emitSegmentDw(EntryContext &c, Operation *op) {
  auto grad = cast<nn::SegmentLinearDwOp>(op);
  Emitter &e = c.e;
  int64_t n = lastDim(grad.getDy()), k = lastDim(grad.getX());
  const Buffer &dy = c.buffer(grad.getDy()), &x = c.buffer(grad.getX()),
               &dw = c.result(op);
  RowShape shape;
  shape.rows = e.i64(n);
  shape.fixedRows = n;
  shape.columns = k;
  eachSegment(
      c, grad.getCuSeqlens(), dy.rows,
      [&](Value sequence, Value first, Value last) {
        eachRowBlock(e, shape, [&](const RowBlock &block) {
          auto row = [&](Value j) { return e.address(x, e.add(first, j)); };
          emitRows(e,
                   dwOf(e, rowsOf(e, dy, first), matrix(e, dw, sequence, n, k),
                        e.sub(last, first), k, x.element, row),
                   block);
        });
      });
  return success();
}

/// Columns of an expert in pieces of four vectors, whose sums run side by side.
LogicalResult emitGroupedSum(EntryContext &c, Operation *op) {
  auto sum = cast<GroupedSumOp>(op);
  Emitter &e = c.e;
  constexpr int64_t kVectors = 4, kWidth = kVectors * kLanes;
  const Buffer &rows = c.buffer(sum.getRows()), &y = c.result(op);
  const PlanBuffers &plan = c.plan(sum.getPlan());
  int64_t n = rows.width, pieces = llvm::divideCeil(n, kWidth);
  e.parallel(e.i64(plan.experts * pieces), 4, [&](Value item) {
    Value expert = e.udiv(item, e.i64(pieces));
    Value column = e.mul(e.urem(item, e.i64(pieces)), e.i64(kWidth));
    SmallVector<Value> columns, masks(kVectors);
    for (int64_t v = 0; v < kVectors; ++v) {
      columns.push_back(e.add(column, e.i64(v * kLanes)));
      if (n % kWidth)
        masks[v] = lanesBefore(e, columns[v], e.i64(n));
    }
    auto [first, count] = rowsOfExpert(e, plan, expert);
    SmallVector<Value> zeros(kVectors, e.splatF32(0));
    SmallVector<Value> sums = e.loop(
        first, e.add(first, count), 1, zeros, [&](Value row, ValueRange from) {
          SmallVector<Value> next;
          for (int64_t v = 0; v < kVectors; ++v)
            next.push_back(
                e.addF(from[v], e.load(rows, row, columns[v], masks[v])));
          return next;
        });
    for (int64_t v = 0; v < kVectors; ++v)
      e.store(y, expert, columns[v], sums[v], masks[v]);
  });
  return success();
}
} // namespace

void moe::cpu::addMatmulGradKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::LinearDxOp::getOperationName()] = {emitDx};
  table[nn::HeadLinearDxOp::getOperationName()] = {emitDx};
  table[nn::LinearDwOp::getOperationName()] = {emitDw};
  table[nn::HeadLinearDwOp::getOperationName()] = {emitDw};
  table[GroupedMatmulDxOp::getOperationName()] = {emitGroupedDx};
  table[GroupedMatmulDwOp::getOperationName()] = {emitGroupedDw};
  table[nn::SegmentLinearDxOp::getOperationName()] = {emitSegmentDx};
  table[nn::SegmentLinearDwOp::getOperationName()] = {emitSegmentDw};
  table[GroupedSumOp::getOperationName()] = {emitGroupedSum};
  addHeadLossKernel(table);
}
