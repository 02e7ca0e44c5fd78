// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Result types and constraints of the core operations. Comments repeat the
// labels of the operation descriptions.
#include "dialect/nn/NnDialect.h"

#include "llvm/Support/Format.h"

using namespace mlir;
using namespace mlir::nn;

/// `[1.0, 0.5]` with as many digits as f32 needs to come back the same; MLIR's own form of the attribute keeps seven.
static ParseResult parseFloats(OpAsmParser &parser, DenseF32ArrayAttr &values) {
  SmallVector<float> list;
  auto element = [&]() -> ParseResult {
    llvm::APFloat value(llvm::APFloat::IEEEsingle());
    if (parser.parseFloat(llvm::APFloat::IEEEsingle(), value))
      return failure();
    list.push_back(value.convertToFloat());
    return success();
  };
  if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Square, element))
    return failure();
  values = DenseF32ArrayAttr::get(parser.getContext(), list);
  return success();
}

static void printFloats(OpAsmPrinter &printer, Operation *,
                        DenseF32ArrayAttr values) {
  printer << '[';
  llvm::interleaveComma(
      values.asArrayRef(), printer.getStream(),
      [&](float value) { printer.getStream() << llvm::format("%.8e", value); });
  printer << ']';
}

#define GET_OP_CLASSES
#include "dialect/nn/NnOps.cpp.inc"

using Types = SmallVectorImpl<Type>;
using Loc = std::optional<Location>;

static RankedTensorType shaped(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// Equal, or not known before run time.
static bool agree(int64_t a, int64_t b) {
  return a == b || ShapedType::isDynamic(a) || ShapedType::isDynamic(b);
}

static bool isVector(RankedTensorType type, int64_t size) {
  return type.getRank() == 1 && agree(type.getDimSize(0), size);
}

LogicalResult EmbeddingOp::verify() {
  auto ids = shaped(getIds()), table = shaped(getTable()), y = shaped(getY());
  // embedding C1
  if (ids.getRank() != 1 || table.getRank() != 2)
    return emitOpError("expects ids [T] and a table [V, D], got ")
           << ids << " and " << table;
  // embedding C2
  if (y.getRank() != 2 || !agree(y.getDimSize(0), ids.getDimSize(0)) ||
      y.getDimSize(1) != table.getDimSize(1))
    return emitOpError("expects a result [T, ")
           << table.getDimSize(1) << "], got " << y;
  // embedding C3
  if (table.getElementType().isInteger() != y.getElementType().isInteger())
    return emitOpError("expects integers of a table of integers, got ")
           << y << " of " << table;
  return success();
}

LogicalResult LinearOp::inferReturnTypes(MLIRContext *, Loc loc,
                                         LinearOp::Adaptor a, Types &types) {
  auto x = shaped(a.getX()), w = shaped(a.getW());
  // linear C1
  if (x.getRank() != 2 || w.getRank() != 2 ||
      !agree(x.getDimSize(1), w.getDimSize(1)))
    return emitOptionalError(
        loc, "nn.linear expects x [T, K] and w [N, K], got ", x, " and ", w);
  // linear C2
  if (a.getBias() && !isVector(shaped(a.getBias()), w.getDimSize(0)))
    return emitOptionalError(loc, "nn.linear expects a bias [N] with N = ",
                             w.getDimSize(0), ", got ", a.getBias().getType());
  types.push_back(RankedTensorType::get({x.getDimSize(0), w.getDimSize(0)},
                                        x.getElementType()));
  return success();
}

LogicalResult HeadLinearOp::inferReturnTypes(MLIRContext *, Loc loc,
                                             HeadLinearOp::Adaptor a,
                                             Types &types) {
  auto x = shaped(a.getX()), w = shaped(a.getW());
  // head_linear C1
  if (x.getRank() != 3 || w.getRank() != 3 ||
      x.getDimSize(1) != w.getDimSize(0) || x.getDimSize(2) != w.getDimSize(2))
    return emitOptionalError(
        loc, "nn.head_linear expects x [T, H, K] and w [H, N, K], got ", x,
        " and ", w);
  types.push_back(RankedTensorType::get(
      {x.getDimSize(0), x.getDimSize(1), w.getDimSize(1)}, x.getElementType()));
  return success();
}

LogicalResult RmsNormOp::inferReturnTypes(MLIRContext *, Loc loc,
                                          RmsNormOp::Adaptor a, Types &types) {
  auto x = shaped(a.getX());
  // rms_norm C1
  if (x.getRank() < 1 || !isVector(shaped(a.getW()), x.getShape().back()))
    return emitOptionalError(
        loc, "nn.rms_norm expects a weight [D] for x [.., D], got ",
        a.getW().getType(), " for ", x);
  // rms_norm C2
  if (a.getEps().isNegative())
    return emitOptionalError(loc, "nn.rms_norm expects eps >= 0");
  types.push_back(x);
  return success();
}

LogicalResult LayerNormOp::inferReturnTypes(MLIRContext *, Loc loc,
                                            LayerNormOp::Adaptor a,
                                            Types &types) {
  auto x = shaped(a.getX());
  // layer_norm C1
  if (x.getRank() < 1 || !isVector(shaped(a.getW()), x.getShape().back()) ||
      (a.getBias() && !isVector(shaped(a.getBias()), x.getShape().back())))
    return emitOptionalError(
        loc, "nn.layer_norm expects weight and bias [D] for x [.., D], got ",
        a.getW().getType(), " for ", x);
  // layer_norm C2
  if (a.getEps().isNegative())
    return emitOptionalError(loc, "nn.layer_norm expects eps >= 0");
  types.push_back(x);
  return success();
}

LogicalResult RopeTableOp::inferReturnTypes(MLIRContext *context, Loc loc,
                                            RopeTableOp::Adaptor a,
                                            Types &types) {
  auto positions = shaped(a.getPositions());
  // rope_table C1
  if (positions.getRank() != 1)
    return emitOptionalError(loc, "nn.rope_table expects positions [T], got ",
                             positions);
  // rope_table C2
  if (a.getInvFreq().empty())
    return emitOptionalError(loc,
                             "nn.rope_table expects at least one frequency");
  types.push_back(RankedTensorType::get(
      {positions.getDimSize(0), int64_t(2 * a.getInvFreq().size())},
      Float32Type::get(context)));
  return success();
}

LogicalResult RopeOp::inferReturnTypes(MLIRContext *, Loc loc,
                                       RopeOp::Adaptor a, Types &types) {
  auto x = shaped(a.getX()), table = shaped(a.getTable());
  // rope C1
  if (x.getRank() != 3 || table.getRank() != 2 ||
      !agree(x.getDimSize(0), table.getDimSize(0)) || table.getDimSize(1) % 2)
    return emitOptionalError(
        loc, "nn.rope expects x [T, H, D] and a table [T, d] with even d, got ",
        x, " and ", table);
  // rope C2
  int64_t start = a.getStart();
  if (start < 0 || start > x.getDimSize(2) ||
      table.getDimSize(1) > x.getDimSize(2) - start)
    return emitOptionalError(loc, "nn.rope expects start + d <= D, got ", start,
                             " + ", table.getDimSize(1), " > ",
                             x.getDimSize(2));
  types.push_back(x);
  return success();
}

LogicalResult GluOp::inferReturnTypes(MLIRContext *, Loc loc, GluOp::Adaptor a,
                                      Types &types) {
  auto x = shaped(a.getX());
  // glu C1
  if (x.getRank() != 2 || x.getDimSize(1) % 2)
    return emitOptionalError(loc, "nn.glu expects x [R, 2I], got ", x);
  // glu C2
  if (a.getLimitAttr() && !(a.getLimitAttr().getValueAsDouble() >= 0))
    return emitOptionalError(loc, "nn.glu expects limit >= 0");
  types.push_back(RankedTensorType::get({x.getDimSize(0), x.getDimSize(1) / 2},
                                        x.getElementType()));
  return success();
}

OpFoldResult ActivateOp::fold(FoldAdaptor) {
  return getAct() == Activation::Identity ? getX() : Value();
}

LogicalResult SoftmaxOp::inferReturnTypes(MLIRContext *, Loc loc,
                                          SoftmaxOp::Adaptor a, Types &types) {
  auto x = shaped(a.getX());
  // softmax C1
  if (int64_t(a.getAxis()) < 0 || int64_t(a.getAxis()) >= x.getRank())
    return emitOptionalError(loc, "nn.softmax expects 0 <= axis < ",
                             x.getRank(), ", got ", int64_t(a.getAxis()));
  types.push_back(x);
  return success();
}

LogicalResult ReduceOp::inferReturnTypes(MLIRContext *, Loc loc,
                                         ReduceOp::Adaptor a, Types &types) {
  auto x = shaped(a.getX());
  int64_t axis = a.getAxis();
  // reduce C1
  if (axis < 0 || axis >= x.getRank())
    return emitOptionalError(loc, "nn.reduce expects 0 <= axis < ", x.getRank(),
                             ", got ", axis);
  SmallVector<int64_t> shape(x.getShape());
  shape.erase(shape.begin() + axis);
  types.push_back(RankedTensorType::get(shape, x.getElementType()));
  return success();
}

LogicalResult BroadcastOp::verify() {
  auto x = shaped(getX()), y = shaped(getY());
  int64_t axis = getAxis();
  SmallVector<int64_t> shape(y.getShape());
  // broadcast C1
  if (axis < 0 || axis >= y.getRank() || x.getRank() != y.getRank() - 1 ||
      x.getElementType() != y.getElementType())
    return emitOpError("expects a result of one more axis, got ")
           << x << " to " << y << " at axis " << axis;
  int64_t size = shape[axis];
  shape.erase(shape.begin() + axis);
  if (SmallVector<int64_t>(x.getShape()) != shape)
    return emitOpError("expects a result of one more axis, got ")
           << x << " to " << y << " at axis " << axis;
  // broadcast C2
  if (ShapedType::isDynamic(size) && (axis != 0 || !getLike()))
    return emitOpError("expects `like` rows for a dynamic axis 0");
  return success();
}

LogicalResult ReshapeOp::verify() {
  auto x = shaped(getX()), y = shaped(getY());
  auto elements = [](RankedTensorType type) {
    int64_t product = 1;
    for (int64_t size : type.getShape().drop_front())
      product =
          ShapedType::isDynamic(size) || product < 0 ? -1 : product * size;
    return product;
  };
  // reshape C1
  if (x.getRank() < 1 || y.getRank() < 1 ||
      x.getElementType() != y.getElementType() ||
      x.getDimSize(0) != y.getDimSize(0) || elements(x) != elements(y) ||
      elements(x) < 0)
    return emitOpError("expects equally many elements behind one leading "
                       "dimension, got ")
           << x << " to " << y;
  return success();
}

OpFoldResult ReshapeOp::fold(FoldAdaptor) {
  if (getX().getType() == getY().getType())
    return getX();
  if (auto inner = getX().getDefiningOp<ReshapeOp>()) {
    if (inner.getX().getType() == getY().getType())
      return inner.getX();
    setOperand(inner.getX());
    return getY();
  }
  return {};
}

LogicalResult SliceOp::inferReturnTypes(MLIRContext *, Loc loc,
                                        SliceOp::Adaptor a, Types &types) {
  auto x = shaped(a.getX());
  int64_t start = a.getStart(), size = a.getSize();
  // slice C1
  if (x.getRank() < 1 || start < 0 || size <= 0 ||
      start > x.getShape().back() || size > x.getShape().back() - start)
    return emitOptionalError(loc,
                             "nn.slice expects a range of the last axis of ", x,
                             ", got [", start, ", ", size, "]");
  SmallVector<int64_t> shape(x.getShape());
  shape.back() = size;
  types.push_back(RankedTensorType::get(shape, x.getElementType()));
  return success();
}

OpFoldResult SliceOp::fold(FoldAdaptor) {
  return getX().getType() == getY().getType() ? getX() : Value();
}

LogicalResult ConcatOp::inferReturnTypes(MLIRContext *, Loc loc,
                                         ConcatOp::Adaptor a, Types &types) {
  // concat C1
  if (a.getXs().empty())
    return emitOptionalError(loc, "nn.concat expects at least one operand");
  auto first = shaped(a.getXs().front());
  int64_t width = 0;
  for (Value value : a.getXs()) {
    auto x = shaped(value);
    // concat C2
    if (x.getRank() < 1 || x.getElementType() != first.getElementType() ||
        x.getShape().drop_back() != first.getShape().drop_back())
      return emitOptionalError(
          loc,
          "nn.concat expects operands that differ in the last axis alone, got ",
          first, " and ", x);
    width += x.getShape().back();
  }
  SmallVector<int64_t> shape(first.getShape());
  shape.back() = width;
  types.push_back(RankedTensorType::get(shape, first.getElementType()));
  return success();
}

LogicalResult LastRowsOp::verify() {
  auto x = shaped(getX()), seqs = shaped(getCuSeqlens()), y = shaped(getY());
  // last_rows C1
  if (x.getRank() != 2 || seqs.getRank() != 1 || y.getRank() != 2 ||
      x.getDimSize(1) != y.getDimSize(1) ||
      x.getElementType() != y.getElementType())
    return emitOpError(
               "expects x [T, D], cu_seqlens [B+1] and a result [B, D], got ")
           << x << ", " << seqs << " and " << y;
  return success();
}

void AttendOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  if (!getCache())
    return;
  effects.emplace_back(MemoryEffects::Read::get(),
                       SideEffects::DefaultResource::get());
  effects.emplace_back(MemoryEffects::Write::get(),
                       SideEffects::DefaultResource::get());
}

LogicalResult AttendOp::verify() {
  auto q = shaped(getQ()), k = shaped(getK()), out = shaped(getOut());
  // attend C1
  if (q.getRank() != 3 || k.getRank() != 3 ||
      q.getDimSize(2) != k.getDimSize(2) || k.getDimSize(1) < 1 ||
      q.getDimSize(1) % k.getDimSize(1))
    return emitOpError("expects q [T, H, dk] and k [T, KV, dk] with KV "
                       "dividing H, got ")
           << q << " and " << k;
  int64_t valueDims = getValueDims(), heads = k.getDimSize(1);
  // attend C2
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
  // attend C3
  if (shaped(getPositions()).getRank() != 1 ||
      shaped(getCuSeqlens()).getRank() != 1)
    return emitOpError("expects positions [T] and cu_seqlens [B+1], got ")
           << getPositions().getType() << " and " << getCuSeqlens().getType();
  // attend C4
  int given = bool(getCache()) + bool(getLayer()) + bool(getSlot()) +
              bool(getBlockTable());
  if (given != 0 && given != 4)
    return emitOpError("expects cache, layer, slot and block_table together");
  int64_t width = heads * k.getDimSize(2) + (getV() ? heads * valueDims : 0);
  if (getCache() && getCache().getType().getWidth() != width)
    return emitOpError("expects a cache of width ")
           << width << ", got " << getCache().getType();
  // attend C5
  if (out.getRank() != 3 || out.getDimSize(1) != q.getDimSize(1) ||
      out.getDimSize(2) != valueDims ||
      out.getElementType() != q.getElementType())
    return emitOpError("expects a result [T, ")
           << q.getDimSize(1) << ", " << valueDims << "], got " << out;
  // attend C6
  if (int64_t(getWindow()) < 0)
    return emitOpError("expects window >= 0, got ") << int64_t(getWindow());
  // attend C7
  if (getSinks() && !isVector(shaped(getSinks()), q.getDimSize(1)))
    return emitOpError("expects sinks [")
           << q.getDimSize(1) << "], got " << getSinks().getType();
  // attend C8
  if (!(getCap().convertToDouble() >= 0))
    return emitOpError("expects cap >= 0, got ") << getCap().convertToDouble();
  return success();
}
