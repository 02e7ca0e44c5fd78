// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Whether the parameters that sugar names have the sizes that its expansion
// multiplies:
//   nn.mlp %x … gate_up(@gate_up) …
// needs @gate_up of [2I, D] where %x is [T, D]. A program written by hand may
// have others, and the expansion could not say so in the program's words.
#include "passes/entry/Passes.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

/// Far above any model, and products of two stay far below overflow.
static constexpr int64_t maxSize = int64_t{1} << 28;

namespace {
class Check {
public:
  explicit Check(Operation *op) : op(op) {}
  operator LogicalResult() const { return success(good); }

  /// The D of rows [T, D], or 0.
  int64_t width(Value x) {
    auto type = cast<RankedTensorType>(x.getType());
    if (type.getRank() == 2 && !type.isDynamicDim(1))
      return type.getDimSize(1);
    return fail() << "expects rows [T, D] of static D, got " << type, 0;
  }

  void sizes(std::initializer_list<int64_t> values) {
    for (int64_t value : values)
      if (good && (value < 1 || value > maxSize))
        fail() << "expects sizes between 1 and " << maxSize << ", got "
               << value;
  }

  void eps(FloatAttr value) {
    if (good && value.getValue().isNegative())
      fail() << "expects an epsilon >= 0";
  }

  /// A table of rotations [T, d] for at most |most| dimensions.
  void rope(Value table, int64_t most) {
    auto type = cast<RankedTensorType>(table.getType());
    if (good && (type.getRank() != 2 || type.isDynamicDim(1) ||
                 type.getDimSize(1) % 2 || type.getDimSize(1) > most))
      fail() << "expects a table [T, d] with even d <= " << most << ", got "
             << type;
  }

  /// The shape of parameter |name|, of |rank|; empty if it has another.
  ArrayRef<int64_t> shape(FlatSymbolRefAttr name, size_t rank) {
    auto param = SymbolTable::lookupNearestSymbolFrom<nn::ParamOp>(op, name);
    ArrayRef<int64_t> shape = param.getTensorType().getShape();
    if (good && shape.size() != rank)
      fail() << "expects " << name << " of rank " << rank << ", got "
             << param.getTensorType();
    return good ? shape : ArrayRef<int64_t>();
  }

  /// Parameter |name|, if there is one, has exactly |wanted|.
  void param(FlatSymbolRefAttr name, ArrayRef<int64_t> wanted) {
    if (!name || !good || shape(name, wanted.size()) == wanted || !good)
      return;
    auto found = shape(name, wanted.size());
    auto message = fail() << "expects " << name << " of [";
    llvm::interleaveComma(wanted, message);
    message << "], got [";
    llvm::interleaveComma(found, message);
    message << "]";
  }

  InFlightDiagnostic fail() {
    good = false;
    return op->emitOpError();
  }
  bool ok() const { return good; }

private:
  Operation *op;
  bool good = true;
};
} // namespace

static LogicalResult check(nn::AttentionOp op) {
  Check c(op);
  int64_t d = c.width(op.getX()), heads = op.getHeads(),
          kvHeads = op.getKvHeads(), dim = op.getHeadDim();
  c.sizes({heads, kvHeads, dim});
  if (!c.ok())
    return c;
  c.eps(op.getEpsAttr());
  c.rope(op.getRope(), dim);
  c.param(op.getNormAttr(), {d});
  c.param(op.getQAttr(), {heads * dim, d});
  c.param(op.getKAttr(), {kvHeads * dim, d});
  c.param(op.getVAttr(), {kvHeads * dim, d});
  c.param(op.getOAttr(), {d, heads * dim});
  return c;
}

static LogicalResult check(nn::LatentAttentionOp op) {
  Check c(op);
  int64_t d = c.width(op.getX()), heads = op.getHeads(), rank = op.getRank(),
          nope = op.getNopeDim(), rope = op.getRopeDim(),
          value = op.getValueDim(), queries = d;
  c.sizes({heads, rank, nope, rope, value});
  if (!c.ok())
    return c;
  c.eps(op.getEpsAttr());
  c.eps(op.getLatentEpsAttr());
  c.rope(op.getRope(), rope);
  c.param(op.getNormAttr(), {d});
  if (op.getQAAttr() && c.ok()) {
    ArrayRef<int64_t> compressed = c.shape(op.getQAAttr(), 2);
    queries = compressed.empty() ? 0 : compressed[0];
    c.param(op.getQAAttr(), {queries, d});
    c.param(op.getQABiasAttr(), {queries});
    c.param(op.getQNormAttr(), {queries});
  }
  c.param(op.getQAttr(), {heads * (nope + rope), queries});
  c.param(op.getKvAAttr(), {rank + rope, d});
  c.param(op.getKvABiasAttr(), {rank + rope});
  c.param(op.getKvNormAttr(), {rank});
  c.param(op.getKUpAttr(), {heads, rank, nope});
  c.param(op.getVUpAttr(), {heads, value, rank});
  c.param(op.getOAttr(), {d, heads * value});
  c.param(op.getOBiasAttr(), {d});
  return c;
}

static LogicalResult check(nn::MlpOp op) {
  Check c(op);
  int64_t d = c.width(op.getX());
  c.eps(op.getEpsAttr());
  c.param(op.getNormAttr(), {d});
  ArrayRef<int64_t> both = c.shape(op.getGateUpAttr(), 2);
  if (!c.ok())
    return c;
  if (both[0] % 2)
    c.fail() << "expects " << op.getGateUpAttr() << " of [2I, D], got "
             << both[0] << " rows";
  c.param(op.getGateUpAttr(), {both[0], d});
  c.param(op.getGateUpBiasAttr(), {both[0]});
  c.param(op.getDownAttr(), {d, both[0] / 2});
  c.param(op.getDownBiasAttr(), {d});
  return c;
}

static LogicalResult check(nn::HeadOp op) {
  Check c(op);
  int64_t d = c.width(op.getX());
  c.eps(op.getEpsAttr());
  c.param(op.getNormAttr(), {d});
  ArrayRef<int64_t> weight = c.shape(op.getWeightAttr(), 2);
  if (c.ok())
    c.param(op.getWeightAttr(), {weight[0], d});
  return c;
}

static LogicalResult check(moe::LayerOp op) {
  Check c(op);
  c.width(op.getX());
  c.width(op.getY());
  if (!c.ok() || op.getShared().empty())
    return c;
  Operation *last =
      op.getShared().front().empty() ? nullptr : &op.getShared().front().back();
  if (!llvm::hasSingleElement(op.getShared()) || !last ||
      !last->hasTrait<OpTrait::IsTerminator>() || last->getNumOperands() != 1 ||
      last->getOperand(0).getType() != op.getY().getType())
    c.fail() << "expects a shared body of one block that yields "
             << op.getY().getType();
  return c;
}

LogicalResult entry::checkSugar(Operation *op) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<nn::AttentionOp, nn::LatentAttentionOp, nn::MlpOp, nn::HeadOp,
            moe::LayerOp>([](auto sugar) { return check(sugar); })
      .Default(success());
}
