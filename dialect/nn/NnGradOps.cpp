// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Result types and constraints of the operations of gradients.
#include "dialect/nn/NnDialect.h"

using namespace mlir;
using namespace mlir::nn;

#define GET_OP_CLASSES
#include "dialect/nn/NnGradOps.cpp.inc"

using Types = SmallVectorImpl<Type>;
using Loc = std::optional<Location>;

static RankedTensorType shaped(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// Equal, or not known before run time.
static bool agree(int64_t a, int64_t b) {
  return a == b || ShapedType::isDynamic(a) || ShapedType::isDynamic(b);
}

static bool agree(RankedTensorType a, RankedTensorType b) {
  return a.getRank() == b.getRank() &&
         a.getElementType() == b.getElementType() &&
         llvm::all_of_zip(a.getShape(), b.getShape(),
                          [](int64_t m, int64_t n) { return agree(m, n); });
}

static RankedTensorType weightGrad(ArrayRef<int64_t> shape,
                                   RankedTensorType from) {
  return cast<RankedTensorType>(
      accumulatorType(RankedTensorType::get(shape, from.getElementType())));
}

LogicalResult LinearDxOp::inferReturnTypes(MLIRContext *, Loc loc,
                                           LinearDxOp::Adaptor a,
                                           Types &types) {
  auto dy = shaped(a.getDy()), w = shaped(a.getW());
  // linear_dx C1
  if (dy.getRank() != 2 || w.getRank() != 2 ||
      !agree(dy.getDimSize(1), w.getDimSize(0)))
    return emitOptionalError(
        loc, "nn.linear_dx expects dy [T, N] and w [N, K], got ", dy, " and ",
        w);
  types.push_back(RankedTensorType::get({dy.getDimSize(0), w.getDimSize(1)},
                                        dy.getElementType()));
  return success();
}

LogicalResult LinearDwOp::inferReturnTypes(MLIRContext *, Loc loc,
                                           LinearDwOp::Adaptor a,
                                           Types &types) {
  auto dy = shaped(a.getDy()), x = shaped(a.getX());
  // linear_dw C1
  if (dy.getRank() != 2 || x.getRank() != 2 ||
      !agree(dy.getDimSize(0), x.getDimSize(0)))
    return emitOptionalError(
        loc, "nn.linear_dw expects dy [T, N] and x [T, K], got ", dy, " and ",
        x);
  types.push_back(weightGrad({dy.getDimSize(1), x.getDimSize(1)}, dy));
  return success();
}

LogicalResult HeadLinearDxOp::inferReturnTypes(MLIRContext *, Loc loc,
                                               HeadLinearDxOp::Adaptor a,
                                               Types &types) {
  auto dy = shaped(a.getDy()), w = shaped(a.getW());
  // head_linear_dx C1
  if (dy.getRank() != 3 || w.getRank() != 3 ||
      dy.getShape().drop_front() != w.getShape().drop_back())
    return emitOptionalError(
        loc, "nn.head_linear_dx expects dy [T, H, N] and w [H, N, K], got ", dy,
        " and ", w);
  types.push_back(RankedTensorType::get(
      {dy.getDimSize(0), dy.getDimSize(1), w.getDimSize(2)},
      dy.getElementType()));
  return success();
}

LogicalResult HeadLinearDwOp::inferReturnTypes(MLIRContext *, Loc loc,
                                               HeadLinearDwOp::Adaptor a,
                                               Types &types) {
  auto dy = shaped(a.getDy()), x = shaped(a.getX());
  // head_linear_dw C1
  if (dy.getRank() != 3 || x.getRank() != 3 ||
      !agree(dy.getDimSize(0), x.getDimSize(0)) ||
      dy.getDimSize(1) != x.getDimSize(1))
    return emitOptionalError(
        loc, "nn.head_linear_dw expects dy [T, H, N] and x [T, H, K], got ", dy,
        " and ", x);
  types.push_back(
      weightGrad({dy.getDimSize(1), dy.getDimSize(2), x.getDimSize(2)}, dy));
  return success();
}

LogicalResult SegmentLinearDxOp::inferReturnTypes(MLIRContext *, Loc loc,
                                                  SegmentLinearDxOp::Adaptor a,
                                                  Types &types) {
  auto dy = shaped(a.getDy()), w = shaped(a.getW());
  // segment_linear_dx C1
  if (dy.getRank() != 2 || w.getRank() != 3 ||
      dy.getDimSize(1) != w.getDimSize(1))
    return emitOptionalError(
        loc, "nn.segment_linear_dx expects dy [T, N] and w [B, N, K], got ", dy,
        " and ", w);
  // segment_linear_dx C2
  if (failed(checkBoundaries(loc, "nn.segment_linear_dx", a.getCuSeqlens())))
    return failure();
  types.push_back(RankedTensorType::get({dy.getDimSize(0), w.getDimSize(2)},
                                        dy.getElementType()));
  return success();
}

LogicalResult SegmentLinearDwOp::inferReturnTypes(MLIRContext *, Loc loc,
                                                  SegmentLinearDwOp::Adaptor a,
                                                  Types &types) {
  auto dy = shaped(a.getDy()), x = shaped(a.getX());
  // segment_linear_dw C1
  if (dy.getRank() != 2 || x.getRank() != 2 ||
      !agree(dy.getDimSize(0), x.getDimSize(0)))
    return emitOptionalError(
        loc, "nn.segment_linear_dw expects dy [T, N] and x [T, K], got ", dy,
        " and ", x);
  // segment_linear_dw C2
  if (failed(checkBoundaries(loc, "nn.segment_linear_dw", a.getCuSeqlens())))
    return failure();
  types.push_back(RankedTensorType::get({sequencesOf(shaped(a.getCuSeqlens())),
                                         dy.getDimSize(1), x.getDimSize(1)},
                                        dy.getElementType()));
  return success();
}

static bool isNorm(RankedTensorType x, RankedTensorType w,
                   RankedTensorType dy) {
  return x.getRank() >= 1 && w.getRank() == 1 &&
         agree(w.getDimSize(0), x.getShape().back()) && agree(dy, x);
}

LogicalResult RmsNormGradOp::inferReturnTypes(MLIRContext *, Loc loc,
                                              RmsNormGradOp::Adaptor a,
                                              Types &types) {
  auto x = shaped(a.getX()), w = shaped(a.getW());
  // rms_norm_grad C1
  if (!isNorm(x, w, shaped(a.getDy())))
    return emitOptionalError(
        loc, "nn.rms_norm_grad expects x and dy [.., D] and w [D], got ", x,
        ", ", a.getDy().getType(), " and ", w);
  // rms_norm_grad C2
  if (a.getEps().isNegative())
    return emitOptionalError(loc, "nn.rms_norm_grad expects eps >= 0");
  types.append({x, weightGrad(w.getShape(), x)});
  return success();
}

LogicalResult LayerNormGradOp::inferReturnTypes(MLIRContext *, Loc loc,
                                                LayerNormGradOp::Adaptor a,
                                                Types &types) {
  auto x = shaped(a.getX()), w = shaped(a.getW());
  // layer_norm_grad C1
  if (!isNorm(x, w, shaped(a.getDy())))
    return emitOptionalError(
        loc, "nn.layer_norm_grad expects x and dy [.., D] and w [D], got ", x,
        ", ", a.getDy().getType(), " and ", w);
  // layer_norm_grad C2
  if (a.getEps().isNegative())
    return emitOptionalError(loc, "nn.layer_norm_grad expects eps >= 0");
  types.append({x, weightGrad(w.getShape(), x), weightGrad(w.getShape(), x)});
  return success();
}

LogicalResult ActivateGradOp::inferReturnTypes(MLIRContext *, Loc loc,
                                               ActivateGradOp::Adaptor a,
                                               Types &types) {
  auto x = shaped(a.getX()), dy = shaped(a.getDy());
  // activate_grad C1
  if (!agree(dy, x))
    return emitOptionalError(loc, "nn.activate_grad expects dy like x, got ",
                             dy, " for ", x);
  types.push_back(x);
  return success();
}

LogicalResult GluGradOp::inferReturnTypes(MLIRContext *, Loc loc,
                                          GluGradOp::Adaptor a, Types &types) {
  auto x = shaped(a.getX()), dy = shaped(a.getDy());
  // glu_grad C1
  if (x.getRank() != 2 || dy.getRank() != 2 ||
      !agree(x.getDimSize(0), dy.getDimSize(0)) ||
      x.getDimSize(1) != 2 * dy.getDimSize(1) ||
      x.getElementType() != dy.getElementType())
    return emitOptionalError(
        loc, "nn.glu_grad expects x [R, 2I] and dy [R, I], got ", x, " and ",
        dy);
  types.push_back(x);
  return success();
}

LogicalResult ReduceGradOp::inferReturnTypes(MLIRContext *, Loc loc,
                                             ReduceGradOp::Adaptor a,
                                             Types &types) {
  auto x = shaped(a.getX());
  int64_t axis = a.getAxis();
  // reduce_grad C1
  if (axis < 0 || axis >= x.getRank())
    return emitOptionalError(loc, "nn.reduce_grad expects 0 <= axis < ",
                             x.getRank(), ", got ", axis);
  SmallVector<int64_t> shape(x.getShape());
  shape.erase(shape.begin() + axis);
  auto reduced = RankedTensorType::get(shape, x.getElementType());
  // reduce_grad C2
  if (!agree(shaped(a.getY()), reduced) || !agree(shaped(a.getDy()), reduced))
    return emitOptionalError(loc, "nn.reduce_grad expects y and dy of type ",
                             reduced, ", got ", a.getY().getType(), " and ",
                             a.getDy().getType());
  types.push_back(x);
  return success();
}

LogicalResult AttendGradOp::verify() {
  auto q = shaped(getQ()), k = shaped(getK()), dy = shaped(getDy());
  // attend_grad C1
  if (q.getRank() != 3 || k.getRank() != 3 ||
      q.getDimSize(2) != k.getDimSize(2) || k.getDimSize(1) < 1 ||
      q.getDimSize(1) % k.getDimSize(1))
    return emitOpError("expects q [T, H, dk] and k [T, KV, dk] with KV "
                       "dividing H, got ")
           << q << " and " << k;
  int64_t valueDims = getValueDims(), heads = k.getDimSize(1);
  // attend_grad C2
  if (getV()) {
    auto v = shaped(getV());
    if (v.getRank() != 3 || v.getDimSize(1) != heads || valueDims != 0)
      return emitOpError("expects v [T, KV, dv] and no value_dims, got ") << v;
    valueDims = v.getDimSize(2);
  } else if (heads != 1 || valueDims <= 0 || valueDims > k.getDimSize(2)) {
    return emitOpError(
               "expects one key head and 0 < value_dims <= dk without v, got ")
           << heads << " and " << valueDims;
  }
  // attend_grad C3
  if (dy.getRank() != 3 || dy.getDimSize(1) != q.getDimSize(1) ||
      dy.getDimSize(2) != valueDims)
    return emitOpError("expects dy [T, ")
           << q.getDimSize(1) << ", " << valueDims << "], got " << dy;
  // attend_grad C4
  if (getDq().getType() != q || getDk().getType() != k ||
      getMore().size() != size_t(bool(getV())) + size_t(bool(getSinks())) ||
      (getV() && getDv().getType() != getV().getType()) ||
      (getSinks() &&
       getDsinks().getType() != accumulatorType(getSinks().getType())))
    return emitOpError("expects gradients of the types of q, k, v and sinks");
  // attend_grad C5
  if (int64_t(getWindow()) < 0 || !(getCap().convertToDouble() >= 0))
    return emitOpError("expects window >= 0 and cap >= 0, got ")
           << int64_t(getWindow()) << " and " << getCap().convertToDouble();
  // attend_grad C6
  if (getSinks() && (shaped(getSinks()).getRank() != 1 ||
                     shaped(getSinks()).getDimSize(0) != q.getDimSize(1)))
    return emitOpError("expects sinks [")
           << q.getDimSize(1) << "], got " << getSinks().getType();
  return success();
}

LogicalResult EmbeddingGradOp::verify() {
  auto ids = shaped(getIds()), dy = shaped(getDy()),
       table = shaped(getDtable());
  // embedding_grad C1
  if (ids.getRank() != 1 || dy.getRank() != 2 ||
      !agree(ids.getDimSize(0), dy.getDimSize(0)))
    return emitOpError("expects ids [T] and dy [T, D], got ")
           << ids << " and " << dy;
  // embedding_grad C2
  if (table.getRank() != 2 || table.isDynamicDim(1) ||
      table.getDimSize(1) != dy.getDimSize(1))
    return emitOpError("expects a result [V, ")
           << dy.getDimSize(1) << "], got " << table;
  // embedding_grad C3
  if (table.isDynamicDim(0) != bool(getLike()) ||
      (getLike() && shaped(getLike()).getRank() < 1))
    return emitOpError("expects `like` where the number of rows is dynamic, "
                       "and nowhere else, got ")
           << table;
  return success();
}

LogicalResult LastRowsGradOp::verify() {
  auto dy = shaped(getDy()), seqs = shaped(getCuSeqlens()),
       dx = shaped(getDx());
  // last_rows_grad C1
  if (dy.getRank() != 2 || seqs.getRank() != 1 || dx.getRank() != 2 ||
      dx.getDimSize(1) != dy.getDimSize(1) ||
      dx.getElementType() != dy.getElementType() ||
      !agree(dx.getDimSize(0), shaped(getLike()).getDimSize(0)))
    return emitOpError(
               "expects dy [B, D], cu_seqlens [B+1] and a result [T, D], got ")
           << dy << ", " << seqs << " and " << dx;
  return success();
}

LogicalResult JoinLayersOp::inferReturnTypes(MLIRContext *, Loc loc,
                                             JoinLayersOp::Adaptor a,
                                             Types &types) {
  int64_t layers = 0;
  for (Value value : a.getXs()) {
    // join_layers C1
    if (shaped(value).getRank() < 1 || shaped(value).isDynamicDim(0))
      return emitOptionalError(
          loc, "nn.join_layers expects a static axis 0, got ", value.getType());
    layers += shaped(value).getDimSize(0);
  }
  // join_layers C1
  if (a.getXs().empty())
    return emitOptionalError(loc,
                             "nn.join_layers expects at least one operand");
  auto first = shaped(a.getXs().front());
  // join_layers C2
  for (Value value : a.getXs())
    if (shaped(value).getShape().drop_front() !=
            first.getShape().drop_front() ||
        shaped(value).getElementType() != first.getElementType())
      return emitOptionalError(
          loc,
          "nn.join_layers expects operands that differ in axis 0 alone, got ",
          first, " and ", value.getType());
  SmallVector<int64_t> shape(first.getShape());
  shape.front() = layers;
  types.push_back(RankedTensorType::get(shape, first.getElementType()));
  return success();
}

OpFoldResult JoinLayersOp::fold(FoldAdaptor) {
  return getXs().size() == 1 ? getXs().front() : Value();
}
