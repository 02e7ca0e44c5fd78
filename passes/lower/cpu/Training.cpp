// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The end of a training step: the loss, the global norm, the update of
// parameters.
#include "passes/lower/cpu/Routing.h"
#include "passes/lower/cpu/Views.h"

#include <limits>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
using Lanes = SmallVector<Value>;

/// Logits and targets of rows.
class Logits {
public:
  Logits(EntryContext &c, Value logits, Value targets)
      : vocab(lastDim(logits)), x(asRows(c, logits, vocab)), e(c.e),
        targets(c.buffer(targets)) {}

  /// Runs |with| for each row that has a target, |without| for others.
  void eachRow(function_ref<void(Value row, Value target)> with,
               function_ref<void(Value row)> without) {
    e.parallel(x.rows, Emitter::grainFor(8 * vocab), [&](Value row) {
      auto [valid, target] = checkedExpert(e, loadInt(e, targets, row), vocab);
      Value at = target;
      e.ifElse(
          valid,
          [&] {
            with(row, at);
            return Lanes();
          },
          [&] {
            without(row);
            return Lanes();
          });
    });
  }

  /// Of several chains: a maximum is the same in any order.
  Value largest(Value row) {
    constexpr int64_t kChains = 4, step = kChains * kLanes;
    Value lowest = e.splatF32(-std::numeric_limits<float>::infinity());
    Lanes chains(kChains, lowest);
    int64_t whole = vocab / step * step;
    if (whole)
      chains = e.loop(e.i64(0), e.i64(whole), step, chains,
                      [&](Value column, ValueRange max) {
                        Lanes next;
                        for (int64_t i = 0; i < kChains; ++i) {
                          Value at = e.add(column, e.i64(i * kLanes));
                          next.push_back(e.maxF(max[i], e.load(x, row, at)));
                        }
                        return next;
                      });
    for (int64_t column = whole; column < vocab; column += kLanes) {
      Value mask =
          vocab - column < kLanes ? e.tailMask(vocab - column) : Value();
      Value lanes = e.load(x, row, e.i64(column), mask);
      chains[0] = e.maxF(chains[0], keep(e, mask, lanes, lowest));
    }
    return e.maxLanes(
        e.maxF(e.maxF(chains[0], chains[1]), e.maxF(chains[2], chains[3])));
  }

  /// The sum of exponentials less |largest|; |use| gets them.
  Value sum(Value row, Value largest,
            function_ref<void(Value column, Value mask, Value p)> use) {
    Value top = e.splat(largest), zero = e.splatF32(0);
    auto step = [&](Value column, Value mask, ValueRange sum) {
      Value p = e.exp(e.subF(e.load(x, row, column, mask), top));
      use(column, mask, p);
      return Lanes{e.addF(sum[0], keep(e, mask, p, zero))};
    };
    return e.sumLanes(e.lanes(vocab, ValueRange{zero}, step)[0]);
  }

  int64_t vocab;
  Buffer x;

private:
  Emitter &e;
  const Buffer &targets;
};

LogicalResult emitCrossEntropy(EntryContext &c, Operation *op) {
  auto loss = cast<nn::CrossEntropyOp>(op);
  Emitter &e = c.e;
  Logits logits(c, loss.getX(), loss.getTargets());
  const Buffer &y = c.result(op);
  auto store = [&](Value row, Value value) {
    e.storeScalar(e.offset(y.base, row, y.element), y.element, value);
  };
  logits.eachRow(
      [&](Value row, Value target) {
        Value largest = logits.largest(row);
        Value sum = logits.sum(row, largest, [](Value, Value, Value) {});
        Value own =
            e.loadScalar(e.address(logits.x, row, target), logits.x.element);
        store(row, e.subF(e.addF(e.log(sum), largest), own));
      },
      [&](Value row) { store(row, e.f32(0)); });
  return success();
}

LogicalResult emitCrossEntropyGrad(EntryContext &c, Operation *op) {
  auto grad = cast<nn::CrossEntropyGradOp>(op);
  Emitter &e = c.e;
  Logits logits(c, grad.getX(), grad.getTargets());
  const Buffer &dy = c.buffer(grad.getDy());
  Buffer dx = asRows(c, grad.getDx(), logits.vocab);
  auto with = [&](Value row, Value target) {
    // Exponentials wait in the result.
    Value sum = logits.sum(row, logits.largest(row),
                           [&](Value column, Value mask, Value p) {
                             e.store(dx, row, column, p, mask);
                           });
    Value scale = e.loadScalar(e.offset(dy.base, row, dy.element), dy.element);
    Value cell = e.address(dx, row, target);
    Value own = e.divF(e.loadScalar(cell, dx.element), sum);
    Value scales = e.splat(scale), sums = e.splat(sum);
    e.lanes(logits.vocab, [&](Value column, Value mask) {
      Value p = e.divF(e.load(dx, row, column, mask), sums);
      e.store(dx, row, column, e.mulF(scales, p), mask);
    });
    e.storeScalar(cell, dx.element, e.mulF(scale, e.subF(own, e.f32(1))));
  };
  logits.eachRow(with, [&](Value row) {
    e.lanes(logits.vocab, [&](Value column, Value mask) {
      e.store(dx, row, column, e.splatF32(0), mask);
    });
  });
  return success();
}

/// Elements that are summed up together, as the operation says.
constexpr int64_t kBlock = 4096;

int64_t blocksOf(Value x) {
  return (tensorOf(x).getNumElements() + kBlock - 1) / kBlock;
}

Extent sumSquaresScratch(Operation *op, const Extent &) {
  int64_t blocks = 0;
  for (Value x : op->getOperands())
    blocks += blocksOf(x);
  return {0, 0, 4 * blocks};
}

/// The sums of blocks of |x|, the first being |first|, to |sums|. Several blocks
/// go side by side: memory is read faster in several places at a time.
void sumBlocks(Emitter &e, const Buffer &x, int64_t n, Value sums,
               int64_t first) {
  constexpr int64_t kTogether = 4;
  Type f32 = e.b.getF32Type();
  auto store = [&](Value block, Value sum) {
    Value at = e.add(block, e.i64(first));
    e.storeScalar(e.offset(sums, at, f32), f32, e.sumLanes(sum));
  };
  auto some = [&](Value block, int64_t count, int64_t elements) {
    Value start = e.mul(block, e.i64(kBlock));
    Lanes totals =
        e.lanes(elements, Lanes(count, e.splatF32(0)),
                [&](Value column, Value mask, ValueRange sum) {
                  Lanes next;
                  for (int64_t i = 0; i < count; ++i) {
                    Value at = e.add(start, e.add(column, e.i64(i * kBlock)));
                    Value v = loadAt(e, x, at, mask);
                    next.push_back(e.fma(v, v, sum[i]));
                  }
                  return next;
                });
    for (int64_t i = 0; i < count; ++i)
      store(e.add(block, e.i64(i)), totals[i]);
  };
  int64_t groups = n / (kTogether * kBlock), whole = n / kBlock;
  if (groups)
    e.parallel(e.i64(groups), 1, [&](Value group) {
      some(e.mul(group, e.i64(kTogether)), kTogether, kBlock);
    });
  for (int64_t block = groups * kTogether; block < whole; ++block)
    some(e.i64(block), 1, kBlock);
  if (n % kBlock)
    some(e.i64(whole), 1, n % kBlock);
}

LogicalResult emitSumSquares(EntryContext &c, Operation *op) {
  Emitter &e = c.e;
  Type f32 = e.b.getF32Type();
  Value sums = c.scratch(op);
  int64_t blocks = 0;
  for (Value tensor : op->getOperands()) {
    sumBlocks(e, c.buffer(tensor), tensorOf(tensor).getNumElements(), sums,
              blocks);
    blocks += blocksOf(tensor);
  }
  Value total = e.loop(e.i64(0), e.i64(blocks), 1, ValueRange{e.f32(0)},
                       [&](Value at, ValueRange sum) {
                         Value block =
                             e.loadScalar(e.offset(sums, at, f32), f32);
                         return Lanes{e.addF(sum[0], block)};
                       })[0];
  e.storeScalar(c.result(op).base, f32, total);
  return success();
}

/// Reads all four tensors of a vector before it writes: the caller may give
/// one place to an operand and its successor.
LogicalResult emitAdamw(EntryContext &c, Operation *op) {
  auto step = cast<nn::AdamwOp>(op);
  Emitter &e = c.e;
  const Buffer &w = c.buffer(step.getW()), &grad = c.buffer(step.getGrad()),
               &m = c.buffer(step.getM()), &v = c.buffer(step.getV()),
               &hyper = c.buffer(step.getHyper()),
               &newW = c.buffer(step.getNewW()),
               &newM = c.buffer(step.getNewM()),
               &newV = c.buffer(step.getNewV());
  auto given = [&](int64_t i) {
    return e.loadScalar(e.offset(hyper.base, e.i64(i), hyper.element),
                        hyper.element);
  };
  Value one = e.f32(1), lr = given(0), beta1 = given(1), beta2 = given(2),
        eps = given(3), correction1 = given(5), correction2 = given(6),
        scale = given(7);
  Value keptMean = beta1, newMean = e.subF(one, beta1), keptSquare = beta2,
        newSquare = e.subF(one, beta2), rate = e.divF(lr, correction1);
  Value kept = step.getDecayed() ? e.subF(one, e.mulF(lr, given(4))) : Value();
  auto all = [&](Value scalar) { return e.splat(scalar); };
  auto update = [&](Value start, int64_t elements) {
    e.lanes(elements, [&](Value column, Value mask) {
      Value at = e.add(start, column);
      Value old = loadAt(e, w, at, mask), g = loadAt(e, grad, at, mask),
            mean = loadAt(e, m, at, mask), square = loadAt(e, v, at, mask);
      g = e.mulF(g, all(scale));
      mean = e.fma(all(newMean), g, e.mulF(all(keptMean), mean));
      square =
          e.fma(e.mulF(all(newSquare), g), g, e.mulF(all(keptSquare), square));
      Value root = e.addF(e.sqrt(e.divF(square, all(correction2))), all(eps));
      Value move = e.divF(e.mulF(all(rate), mean), root);
      storeAt(e, newW, at, e.subF(kept ? e.mulF(old, all(kept)) : old, move),
              mask);
      storeAt(e, newM, at, mean, mask);
      storeAt(e, newV, at, square, mask);
    });
  };
  int64_t n = tensorOf(step.getW()).getNumElements(), whole = n / kBlock;
  if (whole)
    e.parallel(e.i64(whole), Emitter::grainFor(kBlock), [&](Value block) {
      update(e.mul(block, e.i64(kBlock)), kBlock);
    });
  if (n % kBlock)
    update(e.i64(whole * kBlock), n % kBlock);
  return success();
}
} // namespace

void moe::cpu::addTrainingKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::CrossEntropyOp::getOperationName()] = {emitCrossEntropy};
  table[nn::CrossEntropyGradOp::getOperationName()] = {emitCrossEntropyGrad};
  table[nn::SumSquaresOp::getOperationName()] = {emitSumSquares,
                                                 sumSquaresScratch};
  table[nn::AdamwOp::getOperationName()] = {emitAdamw};
}
