// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/mutants/mutations.h"

#include "dialect/moe/MoeDialect.h"
#include "mlir/IR/PatternMatch.h"

namespace mlir::moe {
namespace {

template <typename OpTy>
std::vector<OpTy> All(Operation* root) {
  std::vector<OpTy> found;
  root->walk([&](OpTy op) { found.push_back(op); });
  return found;
}

// Puts what |make| builds behind |value| into all other users of it.
void ReplaceUses(Value value, function_ref<Value(OpBuilder&, Location)> make) {
  OpBuilder b(value.getContext());
  b.setInsertionPointAfterValue(value);
  std::vector<OpOperand*> uses;
  for (OpOperand& use : value.getUses()) uses.push_back(&use);
  Value other = make(b, value.getLoc());
  for (OpOperand* use : uses) use->set(other);
}

RankedTensorType TypeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

// The rotation starts with the first dimension of a head, not behind those
// without positions.
void RotateFromStart(ModuleOp module) {
  for (auto rope : All<nn::RopeOp>(module)) rope.setStart(0);
}

void ForgetWindow(ModuleOp module) {
  for (auto attend : All<nn::AttendOp>(module)) attend.setWindow(0);
}

// The scale is that of the dimensions without positions alone.
void ForgetScale(ModuleOp module) {
  for (auto attend : All<nn::AttendOp>(module)) attend.setScale(APFloat(0.5));
}

// The activation is applied to the upper half.
void SwapGateAndUp(ModuleOp module) {
  for (auto glu : All<nn::GluOp>(module)) {
    OpBuilder b(glu);
    Value x = glu.getX();
    const int64_t half = TypeOf(x).getDimSize(1) / 2;
    Value gate = nn::SliceOp::create(b, glu.getLoc(), x, 0, half);
    Value up = nn::SliceOp::create(b, glu.getLoc(), x, half, half);
    glu.getXMutable().assign(
        nn::ConcatOp::create(b, glu.getLoc(), ValueRange{up, gate}));
  }
}

// All layers take one parameter of the first layer of its range.
void ReadFirstLayer(ModuleOp module) {
  for (auto get : All<nn::ParamGetOp>(module)) {
    if (get.getParam() != "shared_down" || !get.getLayer()) continue;
    OpBuilder b(get);
    get.getLayerMutable().assign(
        arith::ConstantIndexOp::create(b, get.getLoc(), 1));
  }
}

// Keys and values of all layers go to the first layer of the cache.
void ShareCacheLayer(ModuleOp module) {
  for (auto attend : All<nn::AttendOp>(module)) {
    OpBuilder b(attend);
    attend.getLayerMutable().assign(
        arith::ConstantIndexOp::create(b, attend.getLoc(), 0));
  }
}

// Prefill gives the logits of the first token of each sequence. All sequences
// of the test have four tokens there: row cu[b + 1] - 1 is shifted by three.
void TakeFirstRow(ModuleOp module) {
  auto prefill = module.lookupSymbol<func::FuncOp>("prefill");
  for (auto last : All<nn::LastRowsOp>(prefill)) {
    OpBuilder b(last);
    Value cu = last.getCuSeqlens();
    auto scalar = RankedTensorType::get({}, b.getI32Type());
    auto splat = [&](int32_t value) -> Value {
      Value c = arith::ConstantOp::create(
          b, last.getLoc(), DenseElementsAttr::get(scalar, value));
      return nn::BroadcastOp::create(b, last.getLoc(), cu.getType(), c, cu,
                                     b.getI64IntegerAttr(0));
    };
    Value shifted = arith::SubIOp::create(b, last.getLoc(), cu, splat(3));
    last.getCuSeqlensMutable().assign(
        arith::MaxSIOp::create(b, last.getLoc(), shifted, splat(0)));
  }
}

// The loop ends one layer early.
void LoseLastLayer(ModuleOp module) {
  for (auto loop : All<nn::LayersOp>(module))
    loop.setUpper(loop.getUpper() - 1);
}

void DropSelectionBias(ModuleOp module) {
  for (auto select : All<SelectOp>(module)) select.getBiasMutable().clear();
}

// An attribute with a default is lost when the operation is built again.
void LoseGroupTop(ModuleOp module) {
  for (auto mask : All<GroupMaskOp>(module)) mask.setTop(1);
}

void KeepOneGroupMore(ModuleOp module) {
  for (auto mask : All<GroupMaskOp>(module)) mask.setKeep(mask.getKeep() + 1);
}

// Both vectors of an expert have one type: argument numbers off by one go
// unnoticed.
void BroadcastOtherVector(ModuleOp module) {
  for (auto first : All<nn::ParamGetOp>(module))
    for (auto second : All<nn::ParamGetOp>(first->getParentOp()))
      if (first.getParam() == "before" && second.getParam() == "after")
        for (auto broadcast : All<GroupedBroadcastOp>(first->getParentOp()))
          if (broadcast.getV() == first.getValue() &&
              second->isBeforeInBlock(broadcast))
            broadcast.getVMutable().assign(second.getValue());
}

void DropExpertBias(ModuleOp module) {
  for (auto product : All<GroupedMatmulOp>(module))
    product.getBiasMutable().clear();
}

// The fold looks through the operation between dispatch and product.
void GatherPastScale(ModuleOp module) {
  for (auto product : All<GroupedMatmulOp>(module)) {
    auto scale = product.getX().getDefiningOp<arith::MulFOp>();
    auto rows = scale ? scale.getLhs().getDefiningOp<DispatchOp>() : nullptr;
    if (!rows) continue;
    product.getXMutable().assign(rows.getX());
    product.setGather(true);
  }
}

// The scores that were picked leave the router, not what was made of them.
void DropNormalisation(ModuleOp module) {
  for (auto route : All<RoutePermuteOp>(module)) {
    Operation* end = route.getBody().front().getTerminator();
    end->setOperand(1, All<PickOp>(route).front().getY());
  }
}

// softmax keeps the order of scores, but not with a bias added.
void SelectBeforeSoftmax(ModuleOp module) {
  for (auto mask : All<GroupMaskOp>(module))
    if (auto softmax = mask.getS().getDefiningOp<nn::SoftmaxOp>())
      mask.getSMutable().assign(softmax.getX());
}

// A value keeps the rounding to bf16 that the model was written with.
void LeaveRounding(ModuleOp module) {
  for (auto norm : All<nn::RmsNormOp>(module))
    ReplaceUses(norm.getY(), [&](OpBuilder& b, Location loc) -> Value {
      auto type = TypeOf(norm.getY());
      Value narrow = arith::TruncFOp::create(
          b, loc, type.clone(b.getBF16Type()), norm.getY());
      return arith::ExtFOp::create(b, loc, type, narrow);
    });
}

// A product stays in f32 up to the norm behind it.
void LoseRounding(ModuleOp module) {
  for (auto norm : All<nn::RmsNormOp>(module)) {
    auto product = norm.getX().getDefiningOp<nn::LinearOp>();
    if (!product) continue;
    OpBuilder b(norm);
    Location loc = norm.getLoc();
    auto wide = [&](Value x) -> Value {
      return arith::ExtFOp::create(b, loc, TypeOf(x).clone(b.getF32Type()), x);
    };
    Value y = nn::LinearOp::create(b, loc, wide(product.getX()), product.getW(),
                                   product.getBias());
    Value n = nn::RmsNormOp::create(b, loc, y, norm.getW(), norm.getEpsAttr());
    norm.getY().replaceAllUsesWith(
        arith::TruncFOp::create(b, loc, norm.getY().getType(), n));
    norm.erase();
  }
}

}  // namespace

const std::vector<Mutation>& Mutations() {
  static const std::vector<Mutation> mutations = {
      {.name = "LeaveRounding",
       .pass = "moe-set-compute",
       .latent = true,
       .before = "bf16",
       .stage = Stage::kCompute,
       .run = Run::kScore,
       .apply = LeaveRounding},
      {.name = "LoseRounding",
       .pass = "moe-set-compute",
       .latent = true,
       .compute = "bf16",
       .stage = Stage::kStep,
       .run = Run::kScore,
       .apply = LoseRounding},
      {.name = "RotateFromStart",
       .pass = "moe-expand-sugar",
       .latent = true,
       .stage = Stage::kStep,
       .run = Run::kScore,
       .apply = RotateFromStart},
      {.name = "ForgetWindow",
       .pass = "moe-expand-sugar",
       .latent = false,
       .stage = Stage::kStep,
       .run = Run::kScore,
       .apply = ForgetWindow},
      {.name = "ForgetScale",
       .pass = "moe-expand-sugar",
       .latent = true,
       .stage = Stage::kStep,
       .run = Run::kScore,
       .apply = ForgetScale},
      {.name = "SwapGateAndUp",
       .pass = "moe-expand-sugar",
       .latent = false,
       .stage = Stage::kStep,
       .run = Run::kScore,
       .apply = SwapGateAndUp},
      {.name = "ReadFirstLayer",
       .pass = "moe-expand-sugar",
       .latent = true,
       .stage = Stage::kStep,
       .run = Run::kScore,
       .apply = ReadFirstLayer},
      {.name = "ShareCacheLayer",
       .pass = "moe-derive-entries",
       .latent = true,
       .stage = Stage::kStep,
       .run = Run::kGenerate,
       .apply = ShareCacheLayer},
      {.name = "TakeFirstRow",
       .pass = "moe-derive-entries",
       .latent = false,
       .stage = Stage::kStep,
       .run = Run::kGenerate,
       .apply = TakeFirstRow},
      {.name = "LoseLastLayer",
       .pass = "canonicalize",
       .latent = false,
       .stage = Stage::kStep,
       .run = Run::kGenerate,
       .apply = LoseLastLayer},
      {.name = "DropSelectionBias",
       .pass = "moe-inline-routers",
       .latent = false,
       .stage = Stage::kStep,
       .run = Run::kScore,
       .apply = DropSelectionBias},
      {.name = "LoseGroupTop",
       .pass = "moe-inline-routers",
       .latent = false,
       .stage = Stage::kStep,
       .run = Run::kScore,
       .apply = LoseGroupTop},
      {.name = "KeepOneGroupMore",
       .pass = "moe-inline-routers",
       .latent = true,
       .stage = Stage::kStep,
       .run = Run::kScore,
       .apply = KeepOneGroupMore},
      {.name = "SelectBeforeSoftmax",
       .pass = "canonicalize",
       .latent = false,
       .stage = Stage::kStep,
       .run = Run::kScore,
       .apply = SelectBeforeSoftmax},
      {.name = "BroadcastOtherVector",
       .pass = "moe-distribute-experts",
       .latent = false,
       .stage = Stage::kFused,
       .run = Run::kScore,
       .apply = BroadcastOtherVector},
      {.name = "DropExpertBias",
       .pass = "moe-distribute-experts",
       .latent = false,
       .stage = Stage::kFused,
       .run = Run::kScore,
       .apply = DropExpertBias},
      {.name = "GatherPastScale",
       .pass = "moe-gather-dispatch",
       .latent = false,
       .stage = Stage::kFused,
       .run = Run::kGenerate,
       .apply = GatherPastScale},
      {.name = "DropNormalisation",
       .pass = "moe-fuse-routing",
       .latent = false,
       .stage = Stage::kRouted,
       .run = Run::kScore,
       .apply = DropNormalisation},
  };
  return mutations;
}

}  // namespace mlir::moe
