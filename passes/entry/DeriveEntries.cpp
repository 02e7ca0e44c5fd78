// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Makes the entries score, prefill and decode from the model.
//   nn.model @m(%ids, %positions, %seqs) -> logits
// becomes
//   func.func @score(%ids, %positions, %seqs) -> (logits, routing.idx, routing.weight)
//   func.func @prefill(%ids, %positions, %seqs, %slot, %table, %cache) -> logits of the last tokens
#include "dialect/nn/NnParams.h"
#include "passes/entry/DeriveLoss.h"
#include "passes/entry/Random.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace mlir::moe::entry {
#define GEN_PASS_DEF_DERIVEENTRIES
#include "passes/entry/Passes.h.inc"
} // namespace mlir::moe::entry

using namespace mlir;
using namespace mlir::moe;

/// last_rows(f(x)) is f(last_rows(x)) for a row-wise f.
struct HoistLastRows : OpRewritePattern<nn::LastRowsOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::LastRowsOp op,
                                PatternRewriter &rewriter) const override {
    Operation *inner = op.getX().getDefiningOp();
    if (!inner || inner->getNumRegions() ||
        (!inner->hasTrait<nn::RowWise>() &&
         !OpTrait::hasElementwiseMappableTraits(inner)))
      return failure();
    auto hasRows = [](Value value) {
      auto type = dyn_cast<RankedTensorType>(value.getType());
      return type && type.getRank() && type.isDynamicDim(0);
    };
    auto isRows = [&](Value value) {
      return hasRows(value) &&
             cast<RankedTensorType>(value.getType()).getRank() == 2;
    };
    // All operands with a row for each token, or none.
    if (llvm::any_of(inner->getOperands(),
                     [&](Value v) { return hasRows(v) && !isRows(v); }))
      return failure();
    SmallVector<Value> operands;
    for (Value operand : inner->getOperands()) {
      if (!isRows(operand)) {
        operands.push_back(operand);
        continue;
      }
      operands.push_back(nn::LastRowsOp::create(rewriter, op.getLoc(),
                                                operand.getType(), operand,
                                                op.getCuSeqlens()));
    }
    IRMapping map;
    map.map(inner->getOperands(), operands);
    rewriter.replaceOp(op, rewriter.clone(*inner, map)->getResults());
    return success();
  }
};

static func::FuncOp cloneModel(nn::ModelOp model, StringRef name,
                               ArrayRef<std::pair<StringRef, Type>> extra) {
  OpBuilder b(model);
  Location loc = model.getLoc();
  SmallVector<Type> inputs(model.getArgumentTypes());
  for (auto &[argument, type] : extra)
    inputs.push_back(type);
  auto entry = func::FuncOp::create(
      b, loc, name, b.getFunctionType(inputs, model.getResultTypes()));
  entry->setAttr("nn.entry", b.getStringAttr(name));
  StringRef names[] = {"ids", "positions", "cu_seqlens"};
  for (unsigned i = 0; i < inputs.size(); ++i)
    entry.setArgAttr(i, "nn.name",
                     b.getStringAttr(i < 3 ? names[i] : extra[i - 3].first));
  entry.setResultAttr(0, "nn.name", b.getStringAttr("logits"));
  IRMapping map;
  model.getBody().cloneInto(&entry.getBody(), map);
  for (auto &[argument, type] : extra)
    entry.getBody().addArgument(type, loc);
  Operation *end = entry.getBody().front().getTerminator();
  b.setInsertionPoint(end);
  func::ReturnOp::create(b, loc, end->getOperands());
  end->erase();
  return entry;
}

/// Lets |entry| give |value|, of |layers|, behind its other results.
static void addResult(func::FuncOp entry, Value value, StringRef name,
                      ArrayAttr layers) {
  Operation *end = entry.getBody().front().getTerminator();
  unsigned place = end->getNumOperands();
  end->insertOperands(place, value);
  SmallVector<Attribute> attributes;
  for (unsigned i = 0; i < place; ++i)
    attributes.push_back(DictionaryAttr(entry.getResultAttrDict(i)));
  attributes.push_back(DictionaryAttr::get(entry.getContext()));
  entry.setFunctionType(FunctionType::get(
      entry.getContext(), entry.getArgumentTypes(), end->getOperandTypes()));
  entry.setResAttrsAttr(ArrayAttr::get(entry.getContext(), attributes));
  entry.setResultAttr(place, "nn.name",
                      StringAttr::get(entry.getContext(), name));
  entry.setResultAttr(place, "nn.layers", layers);
}

/// The layer that |route| belongs to, by the index of its loop.
static ::moe::LayerPlace layerOf(RouteOp route) {
  for (Value operand : route->getOperands())
    if (auto get = operand.getDefiningOp<nn::ParamGetOp>())
      if (auto place = nn::placeOf(get))
        return *place;
  return {};
}

/// The routes of a loop, one for each of its layers: the last, where attention
/// routes too.
static SmallVector<std::pair<::moe::LayerPlace, RouteOp>>
routesOf(nn::LayersOp loop) {
  SmallVector<std::pair<::moe::LayerPlace, RouteOp>> routes;
  for (RouteOp route : loop.getBody().front().getOps<RouteOp>()) {
    if (!isa<PlanType>(route.getResult(0).getType()))
      continue;
    ::moe::LayerPlace place = layerOf(route);
    llvm::erase_if(routes, [&](const auto &other) {
      return other.first.offset == place.offset;
    });
    routes.push_back({place, route});
  }
  return routes;
}

namespace {
/// A value of one layer that the entry gives, stacked over the layers.
struct Exposed {
  std::string name;
  Value value;
};
} // namespace

/// Makes what |expose| says of each route of a layers loop results.
static void exposeRoutes(func::FuncOp entry,
                         llvm::function_ref<SmallVector<Exposed>(
                             OpBuilder &, ArrayRef<int64_t> layers, RouteOp)>
                             expose) {
  SmallVector<nn::LayersOp> loops(
      entry.getBody().front().getOps<nn::LayersOp>());
  for (nn::LayersOp loop : loops) {
    Operation *end = loop.getBody().front().getTerminator();
    OpBuilder b(end);
    SmallVector<Type> types(loop.getResultTypes());
    SmallVector<std::pair<std::string, ArrayAttr>> names;
    for (auto &[place, route] : routesOf(loop)) {
      auto layer = [&place = place](int64_t step) {
        return place.scale * step + place.offset;
      };
      SmallVector<int64_t> layers{layer(loop.getLower()),
                                  layer(int64_t(loop.getUpper()) - 1) + 1};
      if (place.scale != 1)
        layers.push_back(place.scale);
      for (const Exposed &exposed : expose(b, layers, route)) {
        end->insertOperands(end->getNumOperands(), exposed.value);
        types.push_back(nn::LayersOp::stackedType(loop.getNumLayers(),
                                                  exposed.value.getType()));
        names.push_back({exposed.name, b.getI64ArrayAttr(layers)});
      }
    }
    if (names.empty())
      continue;
    b.setInsertionPoint(loop);
    auto wider = nn::LayersOp::create(
        b, loop.getLoc(), types, loop.getLowerAttr(), loop.getUpperAttr(),
        loop.getReverseAttr(), loop.getInits(), loop.getSlices());
    wider.getBody().takeBody(loop.getBody());
    loop.replaceAllUsesWith(
        wider.getResults().take_front(loop.getNumResults()));
    loop.erase();
    auto results = wider.getResults().take_back(names.size());
    for (auto [result, name] : llvm::zip(results, names))
      addResult(entry, result, name.first, name.second);
  }
}

/// Indices and weights of all routes.
static void exposeRouting(func::FuncOp entry) {
  int64_t index = 0;
  exposeRoutes(entry, [&](OpBuilder &b, ArrayRef<int64_t>, RouteOp route) {
    std::string prefix =
        index ? "routing." + std::to_string(index) + "." : "routing.";
    ++index;
    Value idx = PlanIndicesOp::create(b, route.getLoc(), route.getPlan());
    return SmallVector<Exposed>{{prefix + "idx", idx},
                                {prefix + "weight", route.getWeights()}};
  });
}

/// How many tokens each expert got, and states that routers update: results
/// `load.FIRST` and `state.PARAM.FIRST` of the layers from FIRST on, with
/// `.STEP` behind it where they are not neighbours.
static void exposeLoads(func::FuncOp entry) {
  exposeRoutes(entry, [](OpBuilder &b, ArrayRef<int64_t> layers,
                         RouteOp route) {
    std::string range = std::to_string(layers[0]);
    if (layers.size() > 2)
      range += "." + std::to_string(layers[2]);
    SmallVector<Exposed> exposed{
        {"load." + range,
         CountsOp::create(b, route.getLoc(), route.getPlan())}};
    auto router = SymbolTable::lookupNearestSymbolFrom<RouterOp>(
        route, route.getRouterAttr());
    for (unsigned i = 0; i < router.getNumResults(); ++i)
      if (auto of = router.getResultAttrOfType<IntegerAttr>(i, "moe.state"))
        if (auto param =
                route->getOperand(of.getInt()).getDefiningOp<nn::ParamGetOp>())
          exposed.push_back({("state." + param.getParam() + "." + range).str(),
                             route.getResult(i)});
    return exposed;
  });
}

/// Gives every attention of |entry| the cache.
static void useCache(func::FuncOp entry) {
  Block &body = entry.getBody().front();
  Value seqs = body.getArgument(2), slot = body.getArgument(3),
        table = body.getArgument(4), cache = body.getArgument(5);
  auto loopOf = [](nn::AttendOp op) {
    return op->getParentOfType<nn::LayersOp>();
  };
  DenseMap<Operation *, int64_t> inLoop;
  entry.walk([&](nn::AttendOp op) { ++inLoop[loopOf(op)]; });
  // Layers of the cache in the order of the model.
  DenseMap<Operation *, int64_t> seen;
  int64_t first = 0;
  Operation *current = nullptr;
  entry.walk([&](nn::AttendOp op) {
    OpBuilder b(op);
    auto loop = loopOf(op);
    auto number = [&](int64_t value) -> Value {
      return arith::ConstantIndexOp::create(b, op.getLoc(), value);
    };
    if (current && current != loop) {
      auto before = cast<nn::LayersOp>(current);
      first += before.getNumLayers() * inLoop[before];
    }
    current = loop;
    Value layer;
    if (!loop) {
      layer = number(first++);
    } else {
      int64_t step = inLoop[loop],
              at = first + seen[loop]++ - int64_t(loop.getLower()) * step;
      layer = loop.getLayerIndex();
      if (step != 1)
        layer = arith::MulIOp::create(b, op.getLoc(), layer, number(step));
      if (at != 0)
        layer = arith::AddIOp::create(b, op.getLoc(), layer, number(at));
    }
    op.getCacheMutable().assign(cache);
    op.getLayerMutable().assign(layer);
    op.getSlotMutable().assign(slot);
    op.getBlockTableMutable().assign(table);
  });
  Operation *end = body.getTerminator();
  OpBuilder b(end);
  Value logits = end->getOperand(0);
  end->setOperand(0, nn::LastRowsOp::create(b, end->getLoc(), logits.getType(),
                                            logits, seqs));
}

/// Width of the cache records of the model, or failure where layers differ.
static FailureOr<nn::CacheType> cacheType(nn::ModelOp model) {
  nn::CacheType type;
  auto walk = model.walk([&](nn::AttendOp op) {
    auto k = cast<RankedTensorType>(op.getK().getType());
    int64_t width = k.getDimSize(1) * k.getDimSize(2);
    if (op.getV())
      width += k.getDimSize(1) *
               cast<RankedTensorType>(op.getV().getType()).getDimSize(2);
    auto own =
        nn::CacheType::get(model.getContext(), width, k.getElementType());
    if (type && type != own) {
      op.emitOpError("expects the same cache record in all layers, got ")
          << own << " and " << type;
      return WalkResult::interrupt();
    }
    type = own;
    return WalkResult::advance();
  });
  if (walk.wasInterrupted())
    return failure();
  if (!type)
    return nn::CacheType::get(model.getContext(), 1,
                              Float32Type::get(model.getContext()));
  return type;
}

namespace {
struct DeriveEntries : entry::impl::DeriveEntriesBase<DeriveEntries> {
  using DeriveEntriesBase::DeriveEntriesBase;

  LogicalResult derive(nn::ModelOp model, StringRef name) {
    if (name == "score") {
      exposeRouting(cloneModel(model, name, {}));
      return success();
    }
    if (name == "eval_step" || name == "grad") {
      auto arguments = entry::lossArguments(&getContext());
      bool random = name == "grad" && (dropout > 0 || entry::wantsKey(model));
      if (random)
        arguments.push_back({"key", entry::keyType(&getContext())});
      func::FuncOp entry = cloneModel(model, name, arguments);
      entry::deriveLoss(entry);
      if (name == "grad")
        exposeLoads(entry);
      if (random)
        entry::useKey(entry, entry.getArguments().back());
      if (random && dropout > 0)
        return entry::addDropout(entry, entry.getArguments().back(), dropout);
      return success();
    }
    if (name != "prefill" && name != "decode")
      return model.emitError("expects an entry of score, prefill, decode, "
                             "eval_step, grad, got ")
             << name;
    auto cache = cacheType(model);
    if (failed(cache))
      return failure();
    auto i32 = IntegerType::get(&getContext(), 32);
    int64_t any = ShapedType::kDynamic;
    useCache(
        cloneModel(model, name,
                   {{"slot", RankedTensorType::get({any}, i32)},
                    {"block_table", RankedTensorType::get({any, any}, i32)},
                    {"cache", *cache}}));
    return success();
  }

  void runOnOperation() override {
    SmallVector<std::string> names(entries.begin(), entries.end());
    if (names.empty())
      names = {"score", "prefill", "decode"};
    for (auto model :
         llvm::make_early_inc_range(getOperation().getOps<nn::ModelOp>())) {
      for (StringRef name : names)
        if (failed(derive(model, name)))
          return signalPassFailure();
      model.erase();
    }
    RewritePatternSet patterns(&getContext());
    patterns.add<HoistLastRows>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
