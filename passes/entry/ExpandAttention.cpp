// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// nn.attention and nn.latent_attention as core operations.
#include "passes/entry/Passes.h"

using namespace mlir;
using namespace mlir::moe;

static RankedTensorType shaped(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// [T, H·D] as [T, H, D], or back.
static Value reshape(OpBuilder &b, Location loc, Value x,
                     ArrayRef<int64_t> tail) {
  SmallVector<int64_t> shape{shaped(x).getDimSize(0)};
  llvm::append_range(shape, tail);
  return nn::ReshapeOp::create(
      b, loc, RankedTensorType::get(shape, shaped(x).getElementType()), x);
}

static Value linear(OpBuilder &b, Location loc, Value x, Value w,
                    Value bias = {}) {
  return nn::LinearOp::create(b, loc, x, w, bias);
}

Value entry::expandAttention(OpBuilder &b, nn::AttentionOp op) {
  Location loc = op.getLoc();
  auto get = [&](FlatSymbolRefAttr name) {
    return getParam(b, op, name, op.getLayer());
  };
  int64_t heads = op.getHeads(), kvHeads = op.getKvHeads(),
          dim = op.getHeadDim();
  Value n = nn::RmsNormOp::create(b, loc, op.getX(), get(op.getNormAttr()),
                                  op.getEpsAttr());
  auto project = [&](FlatSymbolRefAttr name, int64_t count) {
    return reshape(b, loc, linear(b, loc, n, get(name)), {count, dim});
  };
  auto rotate = [&](Value x) -> Value {
    return nn::RopeOp::create(b, loc, x, op.getRope(), op.getPairing(), 0);
  };
  Value q = rotate(project(op.getQAttr(), heads));
  Value k = rotate(project(op.getKAttr(), kvHeads));
  Value v = project(op.getVAttr(), kvHeads);
  Value a = nn::AttendOp::create(
      b, loc, q.getType(), q, k, v, op.getPositions(), op.getCuSeqlens(),
      Value(), Value(), Value(), Value(), Value(), op.getScaleAttr(),
      op.getWindowAttr(), b.getI64IntegerAttr(0), UnitAttr(), FloatAttr());
  Value o =
      linear(b, loc, reshape(b, loc, a, {heads * dim}), get(op.getOAttr()));
  return arith::AddFOp::create(b, loc, op.getX(), o);
}

Value entry::expandLatentAttention(OpBuilder &b, nn::LatentAttentionOp op) {
  Location loc = op.getLoc();
  auto get = [&](FlatSymbolRefAttr name) {
    return name ? getParam(b, op, name, op.getLayer()) : Value();
  };
  auto norm = [&](Value x, FlatSymbolRefAttr w, FloatAttr eps) -> Value {
    return nn::RmsNormOp::create(b, loc, x, get(w), eps);
  };
  auto slice = [&](Value x, int64_t start, int64_t size) -> Value {
    return nn::SliceOp::create(b, loc, x, start, size);
  };
  auto rotate = [&](Value x, int64_t start) -> Value {
    return nn::RopeOp::create(b, loc, x, op.getRope(), op.getPairing(), start);
  };
  int64_t heads = op.getHeads(), rank = op.getRank(), nope = op.getNopeDim(),
          rope = op.getRopeDim(), value = op.getValueDim();
  Value n = norm(op.getX(), op.getNormAttr(), op.getEpsAttr());

  // Queries, the part without positions taken to the latent space.
  Value q = n;
  if (op.getQAAttr())
    q = norm(linear(b, loc, n, get(op.getQAAttr()), get(op.getQABiasAttr())),
             op.getQNormAttr(), op.getLatentEpsAttr());
  q = reshape(b, loc, linear(b, loc, q, get(op.getQAttr())),
              {heads, nope + rope});
  Value absorbed =
      nn::HeadLinearOp::create(b, loc, slice(q, 0, nope), get(op.getKUpAttr()));
  Value query = nn::ConcatOp::create(
      b, loc, ValueRange{absorbed, slice(rotate(q, nope), nope, rope)});

  // One key for all heads: the latent, then the rotary part.
  Value kv = linear(b, loc, n, get(op.getKvAAttr()), get(op.getKvABiasAttr()));
  Value latent =
      norm(slice(kv, 0, rank), op.getKvNormAttr(), op.getLatentEpsAttr());
  Value turned = rotate(reshape(b, loc, slice(kv, rank, rope), {1, rope}), 0);
  Value key = nn::ConcatOp::create(
      b, loc, ValueRange{reshape(b, loc, latent, {1, rank}), turned});

  auto type = RankedTensorType::get({shaped(q).getDimSize(0), heads, rank},
                                    shaped(q).getElementType());
  Value a = nn::AttendOp::create(
      b, loc, type, query, key, Value(), op.getPositions(), op.getCuSeqlens(),
      Value(), Value(), Value(), Value(), Value(), op.getScaleAttr(),
      b.getI64IntegerAttr(0), b.getI64IntegerAttr(rank), UnitAttr(),
      FloatAttr());
  Value out = nn::HeadLinearOp::create(b, loc, a, get(op.getVUpAttr()));
  Value o = linear(b, loc, reshape(b, loc, out, {heads * value}),
                   get(op.getOAttr()), get(op.getOBiasAttr()));
  return arith::AddFOp::create(b, loc, op.getX(), o);
}
