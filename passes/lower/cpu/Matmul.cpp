// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Matrix products with packed weights: nn.linear, nn.head_linear,
// moe.grouped_matmul. A panel of 32 columns is the unit of work; its rows run
// in register blocks over all of k, so that an output is one chain of fused
// multiply-adds whatever the rows, threads or instruction set.
#include "passes/lower/cpu/Pack.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
/// One product: rows of x given by address, one block of packed panels.
struct Product {
  PackedWeight w;
  Type xElement, yElement;
  Value rows;                       // i64
  function_ref<Value(Value row)> x; // pointer to row of x
  function_ref<Value(Value row)> y; // pointer to row of y
  const Buffer *bias = nullptr;     // [N] or [E, N]
  Value biasRow;
};

/// Emits the rows of one panel.
class PanelEmitter {
public:
  PanelEmitter(Emitter &e, const Product &p, Value panelBase, Value column)
      : e(e), p(p), panel(panelBase), column(column) {}

  void run() {
    bool pairs = p.w.format == "bf16.amx";
    // Three accumulators an output in the order of the bf16 unit, one else.
    int64_t block = pairs ? std::max<int64_t>(1, e.isa.rows / 3) : e.isa.rows;
    SmallVector<int64_t> sizes{block};
    if (block > 6)
      sizes.push_back(4);
    else if (block > 2)
      sizes.push_back(2);
    if (sizes.back() != 1)
      sizes.push_back(1);
    for (int64_t first = 0; first < kPanel / kLanes; first += e.isa.vectors) {
      Value start = e.i64(0);
      for (int64_t size : sizes) {
        // Whole blocks of |size| rows from |start|.
        Value count = e.udiv(e.sub(p.rows, start), e.i64(size));
        Value end = e.add(start, e.mul(count, e.i64(size)));
        e.loop(start, end, size,
               [&](Value row) { rows(row, size, first, pairs); });
        start = end;
      }
    }
  }

private:
  void rows(Value row, int64_t count, int64_t first, bool pairs) {
    SmallVector<Value> x;
    for (int64_t i = 0; i < count; ++i)
      x.push_back(p.x(i ? e.add(row, e.i64(i)) : row));
    SmallVector<Value> sums = pairs ? pairChains(x, first) : chains(x, first);
    for (int64_t i = 0; i < count; ++i) {
      Value y = p.y(i ? e.add(row, e.i64(i)) : row);
      for (int64_t v = 0; v < e.isa.vectors; ++v)
        finish(y, first + v, sums[i * e.isa.vectors + v]);
    }
  }

  /// One chain over ascending k for each output.
  SmallVector<Value> chains(ArrayRef<Value> x, int64_t first) {
    Type element =
        p.w.format == "f32.n32" ? Type(e.b.getF32Type()) : e.b.getBF16Type();
    SmallVector<Value> zeros(x.size() * e.isa.vectors, e.splatF32(0));
    return e.loop(
        e.i64(0), e.i64(p.w.k), 1, zeros, [&](Value k, ValueRange sums) {
          SmallVector<Value> next, w;
          Value base = e.offset(panel, e.mul(k, e.i64(kPanel)), element);
          for (int64_t v = 0; v < e.isa.vectors; ++v)
            w.push_back(e.loadLanes(
                e.offset(base, e.i64((first + v) * kLanes), element), element));
          for (auto [i, row] : llvm::enumerate(x)) {
            Value lanes =
                e.splat(e.loadScalar(e.offset(row, k, p.xElement), p.xElement));
            for (int64_t v = 0; v < e.isa.vectors; ++v)
              next.push_back(e.fma(lanes, w[v], sums[i * e.isa.vectors + v]));
          }
          return next;
        });
  }

  /// Per 32 values of k, chains over even and odd k from 0; total += even + odd.
  SmallVector<Value> pairChains(ArrayRef<Value> x, int64_t first) {
    int64_t outputs = x.size() * e.isa.vectors, blocks = p.w.k / 32,
            rest = p.w.k % 32;
    SmallVector<Value> totals(outputs, e.splatF32(0));
    if (blocks)
      totals = e.loop(e.i64(0), e.i64(blocks), 1, totals,
                      [&](Value block, ValueRange sums) {
                        return pairBlock(x, first, block, 16, false, sums);
                      });
    if (rest)
      totals =
          pairBlock(x, first, e.i64(blocks), (rest + 1) / 2, rest % 2, totals);
    return totals;
  }

  SmallVector<Value> pairBlock(ArrayRef<Value> x, int64_t first, Value block,
                               int64_t pairCount, bool halfPair,
                               ValueRange totals) {
    int64_t vectors = e.isa.vectors, outputs = totals.size();
    Value base = e.offsetBytes(panel, e.mul(block, e.i64(2048)));
    Value k0 = e.mul(block, e.i64(32));
    auto step = [&](Value pair, ValueRange sums, bool oddToo) {
      SmallVector<Value> next(sums.begin(), sums.end()), even, odd;
      for (int64_t v = 0; v < vectors; ++v) {
        Value ptr = e.offsetBytes(
            base, e.add(e.mul(pair, e.i64(64)), e.i64((first + v) * 1024)));
        Value bits = e.loadLanes(ptr, e.b.getI32Type());
        even.push_back(
            float_(arith::ShLIOp::create(e.b, e.loc, bits, e.splatI32(16))));
        odd.push_back(float_(
            arith::AndIOp::create(e.b, e.loc, bits, e.splatI32(0xffff0000))));
      }
      for (auto [i, row] : llvm::enumerate(x)) {
        Value at = e.offset(row, e.add(k0, e.mul(pair, e.i64(2))), p.xElement);
        Value a = e.splat(e.loadScalar(at, p.xElement));
        for (int64_t v = 0; v < vectors; ++v)
          next[i * vectors + v] = e.fma(a, even[v], sums[i * vectors + v]);
        if (!oddToo)
          continue;
        Value c = e.splat(
            e.loadScalar(e.offset(at, e.i64(1), p.xElement), p.xElement));
        for (int64_t v = 0; v < vectors; ++v)
          next[outputs + i * vectors + v] =
              e.fma(c, odd[v], sums[outputs + i * vectors + v]);
      }
      return next;
    };
    SmallVector<Value> sums(2 * outputs, e.splatF32(0));
    int64_t whole = halfPair ? pairCount - 1 : pairCount;
    if (whole)
      sums =
          e.loop(e.i64(0), e.i64(whole), 1, sums,
                 [&](Value pair, ValueRange s) { return step(pair, s, true); });
    if (halfPair)
      sums = step(e.i64(pairCount - 1), sums, false);
    SmallVector<Value> next;
    for (int64_t i = 0; i < outputs; ++i)
      next.push_back(e.addF(totals[i], e.addF(sums[i], sums[outputs + i])));
    return next;
  }

  Value float_(Value bits) {
    return arith::BitcastOp::create(e.b, e.loc, e.vecF32(), bits);
  }

  /// Adds the bias and stores one vector of outputs, without columns past N.
  void finish(Value y, int64_t vector, Value sum) {
    Value at = e.add(column, e.i64(vector * kLanes)), mask;
    if (p.w.n % kPanel) {
      Value left = e.splat(e.toI32(e.sub(e.i64(p.w.n), at)));
      mask = e.cmp(arith::CmpIPredicate::slt, e.iota(), left);
    }
    if (p.bias)
      sum = e.addF(sum, e.load(*p.bias, p.biasRow, at, mask));
    e.storeLanes(e.offset(y, at, p.yElement), p.yElement, sum, mask);
  }

  Emitter &e;
  const Product &p;
  Value panel, column;
};

/// All panels of all groups as work items; |make| gives the product of a group.
void emitGroups(
    Emitter &e, const PackedWeight &w,
    function_ref<void(Value group, function_ref<void(const Product &)>)> make) {
  int64_t grain = std::max<int64_t>(1, 32768 / (w.k * kPanel));
  e.parallel(e.i64(w.groups * w.panels()), grain, [&](Value item) {
    Value group = w.groups == 1 ? e.i64(0) : e.udiv(item, e.i64(w.panels()));
    Value panel = w.groups == 1 ? item : e.urem(item, e.i64(w.panels()));
    Value base = e.offsetBytes(w.base, e.mul(item, e.i64(w.panelBytes())));
    make(group, [&](const Product &p) {
      PanelEmitter(e, p, base, e.mul(panel, e.i64(kPanel))).run();
    });
  });
}

LogicalResult emitLinear(EntryContext &c, Operation *op) {
  auto linear = cast<nn::LinearOp>(op);
  Emitter &e = c.e;
  const Buffer &x = c.buffer(linear.getX()), &y = c.result(op);
  const Buffer *bias = linear.getBias() ? &c.buffer(linear.getBias()) : nullptr;
  auto packed = packedWeight(c, op, linear.getX(), linear.getW());
  if (failed(packed))
    return failure();
  const PackedWeight &w = *packed;
  // A vector is one row to the emitter: its elements are rows of width 1.
  Buffer flat;
  if (bias) {
    flat = *bias;
    flat.width = w.n;
  }
  emitGroups(e, w, [&](Value, function_ref<void(const Product &)> run) {
    auto xRow = [&](Value row) { return e.address(x, row); };
    auto yRow = [&](Value row) { return e.address(y, row); };
    run({w, x.element, y.element, x.rows, xRow, yRow, bias ? &flat : nullptr,
         e.i64(0)});
  });
  return success();
}

LogicalResult emitHeadLinear(EntryContext &c, Operation *op) {
  auto linear = cast<nn::HeadLinearOp>(op);
  Emitter &e = c.e;
  const Buffer &x = c.buffer(linear.getX()), &y = c.result(op);
  auto packed = packedWeight(c, op, linear.getX(), linear.getW());
  if (failed(packed))
    return failure();
  const PackedWeight &w = *packed;
  emitGroups(e, w, [&](Value head, function_ref<void(const Product &)> run) {
    auto xRow = [&](Value row) {
      return e.address(x, row, e.mul(head, e.i64(w.k)));
    };
    auto yRow = [&](Value row) {
      return e.address(y, row, e.mul(head, e.i64(w.n)));
    };
    run({w, x.element, y.element, x.rows, xRow, yRow, nullptr, Value()});
  });
  return success();
}

LogicalResult emitGrouped(EntryContext &c, Operation *op) {
  auto product = cast<moe::GroupedMatmulOp>(op);
  Emitter &e = c.e;
  const Buffer &x = c.buffer(product.getX()), &y = c.result(op);
  const PlanBuffers &plan = c.plan(product.getPlan());
  const Buffer *bias =
      product.getBias() ? &c.buffer(product.getBias()) : nullptr;
  auto packed = packedWeight(c, op, product.getX(), product.getW());
  if (failed(packed))
    return failure();
  const PackedWeight &w = *packed;
  Type i32 = e.b.getI32Type();
  emitGroups(e, w, [&](Value expert, function_ref<void(const Product &)> run) {
    Value first = e.toI64(e.loadScalar(e.address(plan.offsets, expert), i32));
    Value last = e.toI64(
        e.loadScalar(e.address(plan.offsets, e.add(expert, e.i64(1))), i32));
    auto xRow = [&](Value row) {
      Value r = e.add(first, row);
      if (product.getGather())
        r = e.udiv(e.toI64(e.loadScalar(e.address(plan.row2slot, r), i32)),
                   e.i64(plan.k));
      return e.address(x, r);
    };
    auto yRow = [&](Value row) { return e.address(y, e.add(first, row)); };
    run({w, x.element, y.element, e.sub(last, first), xRow, yRow, bias,
         expert});
  });
  return success();
}

/// The rows of products come first, their weights at |weight|.
template <unsigned weight> Extent packOf(Operation *op, const Extent &) {
  return packScratch(op->getOperand(0), op->getOperand(weight));
}
} // namespace

void moe::cpu::addMatmulKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::LinearOp::getOperationName()] = {emitLinear, packOf<1>};
  table[nn::HeadLinearOp::getOperationName()] = {emitHeadLinear, packOf<1>};
  table[moe::GroupedMatmulOp::getOperationName()] = {emitGrouped, packOf<2>};
}
