// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gradients of operations that move rows: what was copied to several places is
// added up from there, in ascending order.
#include "passes/lower/cpu/RowGrad.h"
#include "passes/lower/cpu/Routing.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

void moe::cpu::parallelColumns(
    Emitter &e, int64_t width,
    function_ref<void(ArrayRef<Value> columns, Value mask)> body) {
  int64_t vectors = width % (4 * kLanes) == 0   ? 4
                    : width % (2 * kLanes) == 0 ? 2
                                                : 1;
  int64_t step = vectors * kLanes;
  e.parallel(e.i64((width + step - 1) / step), 1, [&](Value piece) {
    SmallVector<Value> columns{e.mul(piece, e.i64(step))};
    for (int64_t i = 1; i < vectors; ++i)
      columns.push_back(e.add(columns[0], e.i64(i * kLanes)));
    body(columns,
         width % kLanes ? lanesBefore(e, columns[0], e.i64(width)) : Value());
  });
}

void moe::cpu::clear(EntryContext &c, Value tensor) {
  Emitter &e = c.e;
  const Buffer &x = c.buffer(tensor);
  parallelElements(c, tensor, [&](Value index, Value mask) {
    storeAt(e, x, index, e.splatF32(0), mask);
  });
}

namespace {
using Lanes = SmallVector<Value>;

LogicalResult emitEmbeddingGrad(EntryContext &c, Operation *op) {
  auto grad = cast<nn::EmbeddingGradOp>(op);
  Emitter &e = c.e;
  int64_t width = lastDim(grad.getDy());
  const Buffer &ids = c.buffer(grad.getIds());
  Buffer dy = asRows(c, grad.getDy(), width),
         table = asRows(c, grad.getDtable(), width);
  clear(c, grad.getDtable());
  parallelColumns(e, width, [&](ArrayRef<Value> columns, Value mask) {
    e.loop(e.i64(0), dy.rows, 1, [&](Value token) {
      Value row = e.toI64(loadInt(e, ids, token));
      for (Value column : columns) {
        Value before = e.load(table, row, column, mask);
        e.store(table, row, column,
                e.addF(before, e.load(dy, token, column, mask)), mask);
      }
    });
  });
  return success();
}

/// Sequences that end at one row stand side by side: the last of them writes
/// their sum.
LogicalResult emitLastRowsGrad(EntryContext &c, Operation *op) {
  auto grad = cast<nn::LastRowsGradOp>(op);
  Emitter &e = c.e;
  using P = arith::CmpIPredicate;
  int64_t width = lastDim(grad.getDy());
  const Buffer &ends = c.buffer(grad.getCuSeqlens());
  Buffer dy = asRows(c, grad.getDy(), width),
         dx = asRows(c, grad.getDx(), width);
  clear(c, grad.getDx());
  Value one = e.i64(1), zero = e.i64(0);
  auto end = [&](Value sequence) {
    return e.toI64(loadInt(e, ends, e.add(sequence, one)));
  };
  // The first sequence that ends where the one before |sequence| does, and
  // whether the next ends there too.
  e.loop(zero, dy.rows, 1, ValueRange{zero},
         [&](Value sequence, ValueRange first) {
           Value here = end(sequence), next = e.add(sequence, one);
           Value hasNext = e.cmp(P::slt, next, dy.rows);
           Value there = end(e.select(hasNext, next, sequence));
           Value last = e.select(
               hasNext, e.cmp(P::ne, here, there),
               arith::ConstantOp::create(e.b, e.loc, e.b.getBoolAttr(true)));
           Value writes = arith::AndIOp::create(e.b, e.loc, last,
                                                e.cmp(P::sgt, here, zero));
           e.ifThen(writes, [&] {
             e.lanes(width, [&](Value column, Value mask) {
               Value sum = e.loop(
                   first[0], next, 1, ValueRange{e.splatF32(0)},
                   [&](Value of, ValueRange sum) {
                     return Lanes{e.addF(sum[0], e.load(dy, of, column, mask))};
                   })[0];
               e.store(dx, e.sub(here, one), column, sum, mask);
             });
           });
           return Lanes{e.select(last, next, first[0])};
         });
  return success();
}

LogicalResult emitJoinLayers(EntryContext &c, Operation *op) {
  auto join = cast<nn::JoinLayersOp>(op);
  Emitter &e = c.e;
  const Buffer &y = c.result(op);
  int64_t start = 0;
  for (Value part : join.getXs()) {
    if (!tensorOf(part).hasStaticShape())
      return op->emitOpError("has no code for tensors of dynamic size: ")
             << part.getType();
    const Buffer &x = c.buffer(part);
    parallelElements(c, part, [&](Value index, Value mask) {
      storeAt(e, y, e.add(index, e.i64(start)), loadAt(e, x, index, mask),
              mask);
    });
    start += tensorOf(part).getNumElements();
  }
  return success();
}

/// The rows of one token by a plan.
class Choices {
public:
  Choices(Emitter &e, const PlanBuffers &plan, Value token)
      : e(e), plan(plan), token(token) {}

  Value row(Value choice) {
    Value slot = e.add(e.mul(token, e.i64(plan.k)), choice);
    return e.toI64(loadInt(e, plan.slot2row, slot));
  }
  Value isValid(Value row) {
    return e.cmp(arith::CmpIPredicate::sge, row, e.i64(0));
  }

private:
  Emitter &e;
  const PlanBuffers &plan;
  Value token;
};

LogicalResult emitDispatchGrad(EntryContext &c, Operation *op) {
  auto grad = cast<DispatchGradOp>(op);
  Emitter &e = c.e;
  const PlanBuffers &plan = c.plan(grad.getPlan());
  int64_t width = lastDim(grad.getDx());
  Buffer drows = asRows(c, grad.getDrows(), width),
         dx = asRows(c, grad.getDx(), width);
  e.parallel(
      dx.rows, Emitter::grainFor(width * (plan.k + 1)), [&](Value token) {
        Choices choices(e, plan, token);
        auto general = [&] {
          e.lanes(width, [&](Value column, Value mask) {
            auto step = [&](Value choice, ValueRange sum) {
              Value row = choices.row(choice);
              return e.ifElse(
                  choices.isValid(row),
                  [&] {
                    return Lanes{
                        e.addF(sum[0], e.load(drows, row, column, mask))};
                  },
                  [&] { return Lanes{sum[0]}; });
            };
            Value sum = e.loop(e.i64(0), e.i64(plan.k), 1,
                               ValueRange{e.splatF32(0)}, step)[0];
            e.store(dx, token, column, sum, mask);
          });
          return Lanes();
        };
        // Few choices, all valid: their addresses stay in registers.
        if (plan.k > 16) {
          general();
          return;
        }
        Value all =
            arith::ConstantOp::create(e.b, e.loc, e.b.getBoolAttr(true));
        SmallVector<Value> from;
        for (int64_t k = 0; k < plan.k; ++k) {
          from.push_back(choices.row(e.i64(k)));
          all = arith::AndIOp::create(e.b, e.loc, all,
                                      choices.isValid(from.back()));
        }
        auto straight = [&] {
          e.lanes(width, [&](Value column, Value mask) {
            Value sum = e.splatF32(0);
            for (Value row : from)
              sum = e.addF(sum, e.load(drows, row, column, mask));
            e.store(dx, token, column, sum, mask);
          });
          return Lanes();
        };
        e.ifElse(all, straight, general);
      });
  return success();
}

/// Of moe.combine, whose gradient has a row for each token, and of moe.weigh,
/// whose gradient lies as the rows do.
template <typename GradOp>
LogicalResult emitWeightedGrad(EntryContext &c, Operation *op) {
  constexpr bool byToken = std::is_same_v<GradOp, CombineGradOp>;
  auto grad = cast<GradOp>(op);
  Emitter &e = c.e;
  const PlanBuffers &plan = c.plan(grad.getPlan());
  int64_t width = lastDim(grad.getDy());
  Buffer rows = asRows(c, grad.getRows(), width),
         dy = asRows(c, grad.getDy(), width),
         drows = asRows(c, grad.getDrows(), width),
         w = asRows(c, grad.getW(), plan.k),
         dw = asRows(c, grad.getDw(), plan.k);
  e.parallel(w.rows, Emitter::grainFor(2 * width * plan.k), [&](Value token) {
    Choices choices(e, plan, token);
    e.loop(e.i64(0), e.i64(plan.k), 1, [&](Value choice) {
      Value row = choices.row(choice);
      auto valid = [&] {
        Value weight =
            e.splat(e.loadScalar(e.address(w, token, choice), w.element));
        Value along = e.lanes(
            width, ValueRange{e.splatF32(0)},
            [&](Value column, Value mask, ValueRange sum) {
              Value g = e.load(dy, byToken ? token : row, column, mask);
              e.store(drows, row, column, e.mulF(weight, g), mask);
              return Lanes{e.fma(g, e.load(rows, row, column, mask), sum[0])};
            })[0];
        return Lanes{e.sumLanes(along)};
      };
      Value dot = e.ifElse(choices.isValid(row), valid,
                           [&] { return Lanes{e.f32(0)}; })[0];
      e.storeScalar(e.address(dw, token, choice), dw.element, dot);
    });
  });
  return success();
}
LogicalResult emitWeigh(EntryContext &c, Operation *op) {
  auto weigh = cast<WeighOp>(op);
  Emitter &e = c.e;
  const PlanBuffers &plan = c.plan(weigh.getPlan());
  int64_t width = lastDim(weigh.getRows());
  const Buffer &rows = c.buffer(weigh.getRows()), &y = c.result(op),
               &w = c.buffer(weigh.getW());
  e.parallel(y.rows, Emitter::grainFor(width), [&](Value row) {
    Value slot = e.toI64(loadInt(e, plan.row2slot, row));
    Value weight =
        e.splat(e.loadScalar(e.offset(w.base, slot, w.element), w.element));
    e.lanes(width, [&](Value column, Value mask) {
      e.store(y, row, column, e.mulF(weight, e.load(rows, row, column, mask)),
              mask);
    });
  });
  return success();
}
} // namespace

void moe::cpu::addRowGradKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::EmbeddingGradOp::getOperationName()] = {emitEmbeddingGrad};
  table[nn::LastRowsGradOp::getOperationName()] = {emitLastRowsGrad};
  table[nn::JoinLayersOp::getOperationName()] = {emitJoinLayers};
  table[DispatchGradOp::getOperationName()] = {emitDispatchGrad};
  table[CombineGradOp::getOperationName()] = {emitWeightedGrad<CombineGradOp>};
  table[WeighOp::getOperationName()] = {emitWeigh};
  table[WeighGradOp::getOperationName()] = {emitWeightedGrad<WeighGradOp>};
  addNormGradKernels(table);
  addElementwiseGradKernels(table);
}
