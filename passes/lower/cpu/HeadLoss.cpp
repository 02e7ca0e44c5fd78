// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// nn.head_loss by chunks of tokens: logits in scratch memory, their gradients
// in the same place, then the chunk's part of dx and dw. The chains of dw go on
// from one chunk to the next.
#include "passes/lower/cpu/HeadLoss.h"
#include "passes/lower/cpu/Routing.h"
#include "passes/lower/cpu/RowProduct.h"
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
/// Logits of a chunk take at most so many bytes where that leaves the fewest
/// tokens: every chunk reads w twice and dw once, and writes dw.
constexpr int64_t kChunkBytes = 16 << 20;
constexpr int64_t kFewestTokens = 48, kMostTokens = 192;

int64_t chunkTokens(int64_t vocab) {
  int64_t tokens = kChunkBytes / (4 * vocab) / 48 * 48;
  return std::clamp(tokens, kFewestTokens, kMostTokens);
}

class HeadLossEmitter {
public:
  HeadLossEmitter(EntryContext &c, nn::HeadLossOp op)
      : c(c), e(c.e), op(op), x(c.buffer(op.getX())), w(c.buffer(op.getW())),
        targets(c.buffer(op.getTargets())), y(c.buffer(op.getY())),
        vocab(tensorOf(op.getW()).getDimSize(0)), k(lastDim(op.getW())),
        f32(e.b.getF32Type()) {
    logits = {c.scratch(op), f32, {}, {}, vocab};
    scale = e.splatF32(float(op.getScale().convertToDouble()));
  }

  void run() {
    int64_t chunk = chunkTokens(vocab);
    // A chunk without tokens still writes zeros to dw.
    Value most = e.maxI(x.rows, e.i64(1));
    e.loop(e.i64(0), most, chunk, [&](Value start) {
      first = start;
      count = e.minI(e.sub(x.rows, start), e.i64(chunk));
      project();
      e.parallel(count, Emitter::grainFor(vocab),
                 [&](Value row) { softmax(row); });
      if (!op.getDy())
        return;
      gradX();
      gradW();
    });
  }

private:
  /// logits = x by w transposed.
  void project() {
    RowProduct p;
    p.y = logits.base;
    p.yElement = f32;
    p.yRow = vocab;
    p.terms = e.i64(k);
    p.fixedTerms = k;
    p.columns = vocab;
    p.turned = &w;
    p.element = w.element;
    products(p, count, -1, k, [&] {
      p.a = {e.address(x, first), x.element, /*row=*/k, /*term=*/1};
    });
  }

  void gradX() {
    const Buffer &dx = c.buffer(op.getDx());
    RowProduct p;
    p.a = {logits.base, f32, /*row=*/vocab, /*term=*/1};
    p.yElement = dx.element;
    p.yRow = k;
    p.terms = e.i64(vocab);
    p.fixedTerms = vocab;
    p.columns = k;
    p.row = [&](Value j) { return e.address(w, j); };
    p.element = w.element;
    products(p, count, -1, vocab, [&] { p.y = e.address(dx, first); });
  }

  void gradW() {
    const Buffer &dw = c.buffer(op.getDw());
    RowProduct p;
    p.a = {logits.base, f32, /*row=*/1, /*term=*/vocab};
    p.y = dw.base;
    p.yElement = f32;
    p.yRow = k;
    p.terms = count;
    p.columns = k;
    p.row = [&](Value j) { return e.address(x, e.add(first, j)); };
    p.element = x.element;
    products(p, e.i64(vocab), vocab, -1, [&] {
      p.add = e.cmp(arith::CmpIPredicate::sgt, first, e.i64(0));
    });
  }

  void products(RowProduct &p, Value rows, int64_t fixedRows,
                int64_t fixedTerms, function_ref<void()> prepare) {
    RowShape shape;
    shape.rows = rows;
    shape.fixedRows = fixedRows;
    shape.mostRows = kMostTokens;
    shape.fixedTerms = fixedTerms;
    shape.columns = p.columns;
    eachRowBlock(e, shape, [&](const RowBlock &block) {
      prepare();
      emitRows(e, p, block);
    });
  }

  /// The loss of a row of logits and, in its place, the gradient.
  void softmax(Value row) {
    Value token = e.add(first, row);
    Value target = loadInt(e, targets, token);
    auto [valid, column] = checkedExpert(e, target, vocab);
    e.ifElse(
        valid,
        [&, column = column]() -> SmallVector<Value> {
          withTarget(row, token, column);
          return {};
        },
        [&]() -> SmallVector<Value> {
          e.storeScalar(e.address(y, token), f32, e.f32(0));
          if (op.getDy())
            e.lanes(vocab, [&](Value at, Value mask) {
              e.store(logits, row, at, e.splatF32(0), mask);
            });
          return {};
        });
  }

  void withTarget(Value row, Value token, Value target) {
    Value lowest = e.splatF32(-std::numeric_limits<float>::infinity());
    Value largest = e.maxLanes(e.lanes(
        vocab, {lowest},
        [&](Value at, Value mask, ValueRange most) -> SmallVector<Value> {
          Value lanes = e.mulF(e.load(logits, row, at, mask), scale);
          return {e.maxF(most[0], keep(e, mask, lanes, lowest))};
        })[0]);
    Value own = e.mulF(e.loadScalar(e.address(logits, row, target), f32),
                       e.f32(float(op.getScale().convertToDouble())));
    Value less = e.splat(largest);
    Value sum = e.sumLanes(e.lanes(
        vocab, {e.splatF32(0)},
        [&](Value at, Value mask, ValueRange sums) -> SmallVector<Value> {
          Value lanes = e.mulF(e.load(logits, row, at, mask), scale);
          lanes = e.exp(e.subF(lanes, less));
          if (op.getDy())
            e.store(logits, row, at, lanes, mask);
          return {e.addF(sums[0], keep(e, mask, lanes, e.splatF32(0)))};
        })[0]);
    e.storeScalar(e.address(y, token), f32,
                  e.subF(e.addF(e.log(sum), largest), own));
    if (op.getDy())
      gradient(row, token, target, sum);
  }

  void gradient(Value row, Value token, Value target, Value sum) {
    Value ownAt = e.address(logits, row, target);
    Value one = e.loadScalar(ownAt, f32),
          d = e.loadScalar(e.address(c.buffer(op.getDy()), token), f32);
    Value factor = e.splat(d), divisor = e.splat(sum);
    e.lanes(vocab, [&](Value at, Value mask) {
      Value lanes = e.divF(e.load(logits, row, at, mask), divisor);
      e.store(logits, row, at, e.mulF(e.mulF(factor, lanes), scale), mask);
    });
    Value hit = e.mulF(d, e.subF(e.divF(one, sum), e.f32(1)));
    e.storeScalar(ownAt, f32,
                  e.mulF(hit, e.f32(float(op.getScale().convertToDouble()))));
  }

  EntryContext &c;
  Emitter &e;
  nn::HeadLossOp op;
  const Buffer &x, &w, &targets, &y;
  int64_t vocab, k;
  Type f32;
  Buffer logits;
  Value scale;
  Value first, count; // tokens of the current chunk
};

LogicalResult emitHeadLoss(EntryContext &c, Operation *op) {
  auto loss = cast<nn::HeadLossOp>(op);
  if (!tensorOf(loss.getW()).hasStaticShape())
    return op->emitOpError("has no code for CPUs with a weight of dynamic "
                           "shape: ")
           << loss.getW().getType();
  HeadLossEmitter(c, loss).run();
  return success();
}

Extent logitsScratch(Operation *op, const Extent &) {
  int64_t vocab = tensorOf(cast<nn::HeadLossOp>(op).getW()).getDimSize(0);
  if (vocab < 0)
    return {};
  return {0, 0, chunkTokens(vocab) * vocab * 4};
}
} // namespace

void moe::cpu::addHeadLossKernel(llvm::StringMap<KernelEntry> &table) {
  table[nn::HeadLossOp::getOperationName()] = {emitHeadLoss, logitsScratch};
}
