// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rotary positions, and attention over the pack or the cache.
#include "lib/reference/attention.h"
#include "lib/interpreter/machine.h"
#include "lib/reference/rope.h"

using namespace mlir;
using namespace mlir::moe;
namespace ref = ::moe::reference;

template <typename T>
static Tensor<T> ropeTable(const Tensor<T> &positions,
                           llvm::ArrayRef<float> invFreq, double scale) {
  int64_t d = 2 * invFreq.size();
  std::vector<T> table(positions.dim(0) * d);
  ref::RopeTable(positions.int32s().data(), positions.dim(0), invFreq.data(), d,
                 static_cast<T>(scale), table.data());
  return Tensor<T>::floats(Element::F32, {positions.dim(0), d},
                           std::move(table));
}

template <typename T>
Tensor<T> mlir::moe::rope(Check &c, const Tensor<T> &x, const Tensor<T> &table,
                          nn::RopePairing pairing, int64_t start) {
  if (!c.expect(x.rank() == 3 && table.rank() == 2,
                "x [T, H, D] and a table [T, d]") ||
      !c.same("rows of the table", table.dim(0), x.dim(0)) ||
      !c.expect(0 <= start && start + table.dim(1) <= x.dim(2) &&
                    table.dim(1) % 2 == 0,
                "rotated dimensions within a head"))
    return {};
  auto pairs = pairing == nn::RopePairing::Half
                   ? ref::RopePairing::kHalf
                   : ref::RopePairing::kInterleaved;
  std::vector<T> y(x.size());
  ref::Rope(x.data(), table.data(), x.dim(0), x.dim(1), x.dim(2), table.dim(1),
            start, pairs, y.data());
  return Tensor<T>::floats(x.element(), x.shape(), std::move(y));
}

template <typename T>
static bool checkShapes(Check &c, const AttendOperands<T> &o) {
  if (!c.expect(o.q.rank() == 3 && o.k.rank() == 3 &&
                    (!o.v || o.v->rank() == 3),
                "q, k and v [T, heads, dims]"))
    return false;
  int64_t tokens = o.q.dim(0), heads = o.k.dim(1);
  return c.same("rows of k", o.k.dim(0), tokens) &&
         c.same("columns of k", o.k.dim(2), o.q.dim(2)) &&
         c.expect(heads > 0 && o.q.dim(1) % heads == 0,
                  "key heads that divide the query heads") &&
         (!o.v || (c.same("rows of v", o.v->dim(0), tokens) &&
                   c.same("heads of v", o.v->dim(1), heads))) &&
         (!o.sinks || c.same("sinks", o.sinks->size(), o.q.dim(1))) &&
         c.same("positions", o.positions.size(), tokens) &&
         c.sequences(o.cuSeqlens, tokens);
}

/// Every record that the tokens write or read lies in the cache.
template <typename T>
static bool checkCache(Check &c, const AttendOperands<T> &o,
                       const ref::AttendShape &shape) {
  const Cache<T> &cache = *o.cache;
  int64_t slots = o.blockTable->dim(0), pages = o.blockTable->dim(1);
  if (!c.expect(0 <= o.layer && o.layer < cache.layers,
                "a layer of the cache, got " + llvm::Twine(o.layer)) ||
      !c.same("elements in a cache record", cache.width,
              ref::RecordWidth(shape, !o.v)) ||
      !c.same("slots", o.slot->size(), shape.sequences))
    return false;
  for (int64_t b = 0; b < shape.sequences; ++b) {
    int64_t slot = o.slot->integers()[b];
    if (!c.expect(0 <= slot && slot < slots, "slots below " +
                                                 llvm::Twine(slots) + ", got " +
                                                 llvm::Twine(slot)))
      return false;
    for (int64_t t = o.cuSeqlens.integers()[b];
         t < o.cuSeqlens.integers()[b + 1]; ++t) {
      int64_t position = o.positions.integers()[t];
      if (!c.expect(0 <= position && position < pages * cache.pageLength,
                    "positions within the pages of a sequence, got " +
                        llvm::Twine(position)))
        return false;
      for (int64_t at = 0; at <= position / cache.pageLength; ++at) {
        int64_t page = o.blockTable->integers()[slot * pages + at];
        if (!c.expect(0 <= page && page < cache.pages,
                      "pages below " + llvm::Twine(cache.pages) + ", got " +
                          llvm::Twine(page)))
          return false;
      }
    }
  }
  return true;
}

template <typename T>
static void attendCached(const AttendOperands<T> &o,
                         const ref::AttendShape &shape, std::vector<T> &out) {
  Cache<T> &cache = *o.cache;
  ref::PagedLayout layout{cache.pageLength, o.blockTable->dim(1), cache.width};
  Tensor<T> k = o.k.converted(cache.element),
            v = o.v ? o.v->converted(cache.element) : Tensor<T>();
  T *base = cache.data.data() +
            o.layer * cache.pages * cache.pageLength * cache.width;
  ref::AttendPaged(shape, layout, o.q.data(), k.data(),
                   o.v ? v.data() : nullptr, o.positions.int32s().data(),
                   o.cuSeqlens.int32s().data(), o.slot->int32s().data(),
                   o.blockTable->int32s().data(), base, out.data(),
                   o.sinks ? o.sinks->data() : nullptr);
}

template <typename T>
Tensor<T> mlir::moe::attend(Check &c, const AttendOperands<T> &o) {
  if (!c.expect(true, "") || !checkShapes(c, o))
    return {};
  ref::AttendShape shape;
  shape.tokens = o.q.dim(0);
  shape.sequences = o.cuSeqlens.dim(0) - 1;
  shape.heads = o.q.dim(1);
  shape.kv_heads = o.k.dim(1);
  shape.tiled = o.tiled;
  shape.key_dims = o.q.dim(2);
  shape.value_dims = o.v ? o.v->dim(2) : o.valueDims;
  shape.scale = o.scale;
  shape.window = o.window;
  shape.cap = o.cap;
  if (!c.expect(o.v || (0 < o.valueDims && o.valueDims <= shape.key_dims),
                "values within a key"))
    return {};
  std::vector<T> out(shape.tokens * shape.heads * shape.value_dims);
  if (!o.cache)
    ref::Attend(shape, o.q.data(), o.k.data(), o.v ? o.v->data() : nullptr,
                o.cuSeqlens.int32s().data(), out.data(),
                o.sinks ? o.sinks->data() : nullptr);
  else if (checkCache(c, o, shape))
    attendCached(o, shape, out);
  return Tensor<T>::floats(o.q.element(),
                           {shape.tokens, shape.heads, shape.value_dims},
                           std::move(out));
}

template <typename T> static Tensor<T> attendCall(Call<T> &c, nn::AttendOp op) {
  AttendOperands<T> operands;
  operands.q = c[op.getQ()];
  operands.k = c[op.getK()];
  operands.v = c.maybe(op.getV());
  operands.positions = c[op.getPositions()];
  operands.cuSeqlens = c[op.getCuSeqlens()];
  operands.scale = op.getScale().convertToDouble();
  operands.window = op.getWindow();
  operands.valueDims = op.getValueDims();
  operands.sinks = c.maybe(op.getSinks());
  operands.tiled = op.getTiled();
  operands.cap = op.getCap().convertToDouble();
  if (op.getCache()) {
    operands.cache = &c.scope[op.getCache()].cache();
    operands.layer = c[op.getLayer()].integers()[0];
    operands.slot = c.maybe(op.getSlot());
    operands.blockTable = c.maybe(op.getBlockTable());
  }
  return attend(c, operands).converted(c.resultElement());
}

template <typename T>
void mlir::moe::addAttentionHandlers(HandlerTable<T> &table) {
  table.template add<nn::RopeTableOp>([](Call<T> &c, nn::RopeTableOp op) {
    return ropeTable(c[op.getPositions()], op.getInvFreq(),
                     op.getScale().convertToDouble());
  });
  table.template add<nn::RopeOp>([](Call<T> &c, nn::RopeOp op) {
    return rope(c, c[op.getX()], c[op.getTable()], op.getPairing(),
                op.getStart());
  });
  table.template add<nn::AttendOp>(
      [](Call<T> &c, nn::AttendOp op) { return attendCall(c, op); });
}

#define MOE_INSTANTIATE(T)                                                     \
  template Tensor<T> mlir::moe::rope(Check &, const Tensor<T> &,               \
                                     const Tensor<T> &, nn::RopePairing,       \
                                     int64_t);                                 \
  template Tensor<T> mlir::moe::attend(Check &, const AttendOperands<T> &);    \
  template void mlir::moe::addAttentionHandlers(HandlerTable<T> &);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE
