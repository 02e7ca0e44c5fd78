// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Philox-4x32-10, 16 counters at a time.
#include "passes/lower/cpu/Routing.h"
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
/// Ten rounds over lanes of counters under one key.
class Philox {
public:
  Philox(Emitter &e, Value keyLow, Value keyHigh)
      : e(e), key{keyLow, keyHigh} {}

  /// The first two words of the counters.
  std::pair<Value, Value> words(std::array<Value, 4> x) {
    for (int round = 0; round < 10; ++round) {
      auto [low0, high0] = product(0xD2511F53u, x[0]);
      auto [low1, high1] = product(0xCD9E8D57u, x[2]);
      x = {mix(high1, x[1], roundKey(0, round)), low1,
           mix(high0, x[3], roundKey(1, round)), low0};
    }
    return {x[0], x[1]};
  }

private:
  Value constant(uint32_t value) { return e.splatI32(int32_t(value)); }
  std::pair<Value, Value> product(uint32_t factor, Value x) {
    auto both = arith::MulUIExtendedOp::create(e.b, e.loc, constant(factor), x);
    return {both.getLow(), both.getHigh()};
  }
  Value mix(Value a, Value b, Value c) {
    Value both = arith::XOrIOp::create(e.b, e.loc, a, b);
    return arith::XOrIOp::create(e.b, e.loc, both, c);
  }
  Value roundKey(int word, uint32_t round) {
    constexpr uint32_t kWeyl[] = {0x9E3779B9u, 0xBB67AE85u};
    return e.add(e.splat(key[word]), constant(kWeyl[word] * round));
  }

  Emitter &e;
  Value key[2];
};

LogicalResult emitRandom(EntryContext &c, Operation *op) {
  auto random = cast<RandomOp>(op);
  Emitter &e = c.e;
  OpBuilder &b = e.b;
  const Buffer &key = c.buffer(random.getKey()), &y = c.result(op);
  auto part = [&](int64_t at) { return loadInt(e, key, e.i64(at)); };
  auto wide = [&](Value low, Value high) -> Value {
    Type i64 = e.i64Type();
    Value top = arith::ShLIOp::create(
        b, e.loc, arith::ExtUIOp::create(b, e.loc, i64, high), e.i64(32));
    return arith::OrIOp::create(
        b, e.loc, arith::ExtUIOp::create(b, e.loc, i64, low), top);
  };
  int64_t width = 1;
  for (int64_t size : tensorOf(random.getY()).getShape().drop_front())
    width *= size;
  Value start = e.mul(wide(part(4), part(5)), e.i64(width));
  Value stream = e.add(e.mul(e.toI64(part(3)), e.i64(64)),
                       e.i64(int64_t(random.getStream())));
  stream = e.toI32(stream);
  Value step = part(2), low = part(0), high = part(1);
  parallelElements(c, random.getY(), [&](Value index, Value mask) {
    Value element = e.add(start, index);
    Value base = e.splat(e.toI32(element));
    Value words = e.add(base, e.iota());
    Value carried = e.cmp(arith::CmpIPredicate::ult, words, base);
    Value above =
        e.splat(e.toI32(arith::ShRUIOp::create(b, e.loc, element, e.i64(32))));
    above = e.select(carried, e.add(above, e.splatI32(1)), above);
    auto [r0, r1] = Philox(e, low, high)
                        .words({words, above, e.splat(stream), e.splat(step)});
    auto unit = [&](Value bits) {
      Value number = arith::SIToFPOp::create(
          b, e.loc, e.vecF32(),
          arith::ShRUIOp::create(b, e.loc, bits, e.splatI32(8)));
      return e.mulF(number, e.splatF32(0x1p-24f));
    };
    Value u = unit(r0), v = e.maxF(u, e.splatF32(0x1p-24f));
    auto minusLog = [&](Value x) -> Value {
      return arith::NegFOp::create(b, e.loc, e.log(x));
    };
    switch (random.getDistribution()) {
    case Distribution::Uniform:
      break;
    case Distribution::Exponential:
      u = minusLog(v);
      break;
    case Distribution::Gumbel:
      u = minusLog(minusLog(v));
      break;
    case Distribution::Normal: {
      Value radius = e.sqrt(e.mulF(e.splatF32(2), minusLog(v)));
      Value angle = e.mulF(unit(r1), e.splatF32(6.28318530717958647692f));
      u = e.mulF(radius, e.sinCos(angle).second);
      break;
    }
    }
    storeAt(e, y, index, u, mask);
  });
  return success();
}
LogicalResult emitLayerKey(EntryContext &c, Operation *op) {
  auto own = cast<LayerKeyOp>(op);
  Emitter &e = c.e;
  const Buffer &key = c.buffer(own.getKey()), &y = c.result(op);
  for (int64_t i = 0; i < 6; ++i) {
    Value at = e.i64(i);
    Value word = i == 3 ? e.toI32(e.add(c.layer(own.getLayer()),
                                        e.i64(int64_t(own.getOffset()))))
                        : loadInt(e, key, at);
    storeInt(e, y, at, word);
  }
  return success();
}
} // namespace

void moe::cpu::addRandomKernels(llvm::StringMap<KernelEntry> &table) {
  table[RandomOp::getOperationName()] = {emitRandom};
  table[LayerKeyOp::getOperationName()] = {emitLayerKey};
}
