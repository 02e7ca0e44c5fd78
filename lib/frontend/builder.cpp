// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/builder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

namespace mlir::moe::frontend {

constexpr int64_t kDynamic = ShapedType::kDynamic;

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

ModelBuilder::ModelBuilder(MLIRContext &context, Weights &weights,
                           std::string modelName)
    : context(context), weights(weights), location(UnknownLoc::get(&context)),
      module(ModuleOp::create(location)), builder(&context),
      name(std::move(modelName)) {
  for (char &c : name)
    if (!llvm::isAlnum(c))
      c = '_';
  if (name.empty() || llvm::isDigit(name.front()))
    name.insert(name.begin(), '_');
  builder.setInsertionPointToEnd(module->getBody());
}

static Type elementType(Builder &builder, ::moe::DType dtype) {
  switch (dtype) {
  case ::moe::DType::kBF16:
    return builder.getBF16Type();
  case ::moe::DType::kF16:
    return builder.getF16Type();
  default:
    return builder.getF32Type();
  }
}

/// What the index of a loop over |layers| takes.
DenseI64ArrayAttr ModelBuilder::indices(LayerRange layers) {
  if (layers.step == 1)
    return builder.getDenseI64ArrayAttr({layers.lo, layers.hi});
  return builder.getDenseI64ArrayAttr({0, layers.count()});
}

nn::ScaledAttr ModelBuilder::scaledAttr(const Source &source,
                                        std::optional<LayerRange> layers) {
  if (!source.scales)
    return {};
  const Quantization &q = *weights.quantization();
  Type stored = q.stored == ::moe::StoredNumber::kF8E4M3
                    ? Type(Float8E4M3FNType::get(&context))
                    : Type(Float4E2M1FNType::get(&context));
  return nn::ScaledAttr::get(
      &context, stored,
      builder.getStringAttr(patternOver(source.scales->pattern, layers)),
      source.scales->shape, {q.blockRows, q.blockColumns});
}

Param ModelBuilder::param(llvm::StringRef paramName,
                          llvm::ArrayRef<int64_t> shape,
                          llvm::ArrayRef<Source> sources,
                          std::optional<LayerRange> layers) {
  if (layers && layers->empty())
    return {};
  std::optional<::moe::DType> dtype;
  llvm::SmallVector<Attribute> attrs;
  for (const Source &declared : sources) {
    Source source = weights.withScales(declared, layers);
    absl::StatusOr<::moe::DType> found = weights.use(source, layers);
    if (!found.ok())
      error.Update(found.status());
    else if (dtype && *dtype != *found)
      error.Update(::moe::Error(
          ::moe::Code::W109, ::moe::ShownPath(weights.dir()), ": tensors ",
          ::moe::Quoted(sources.front().pattern), " are ",
          ::moe::DTypeName(*dtype), ", but ", ::moe::Quoted(source.pattern),
          " are ", ::moe::DTypeName(*found),
          ". Convert the checkpoint to one dtype."));
    else
      dtype = *found;
    attrs.push_back(nn::SourceAttr::get(
        &context, builder.getStringAttr(patternOver(source.pattern, layers)),
        source.shape, source.at, source.rows, source.offset, source.strides,
        scaledAttr(source, layers)));
  }
  auto type = RankedTensorType::get(
      shape, elementType(builder, dtype.value_or(::moe::DType::kF32)));
  DenseI64ArrayAttr range = layers ? indices(*layers) : DenseI64ArrayAttr();
  auto op = nn::ParamOp::create(
      builder, location, builder.getStringAttr(paramName), TypeAttr::get(type),
      range, builder.getArrayAttr(attrs));
  Param out{FlatSymbolRefAttr::get(op.getSymNameAttr()), type,
            layers.has_value()};
  if (shape.size() > 1)
    matrices.push_back(out);
  return out;
}

static nn::ScaledAttr scaledOver(nn::ScaledAttr scaled, LayerRange layers) {
  if (!scaled)
    return {};
  MLIRContext *context = scaled.getContext();
  std::string pattern =
      patternOver(scaled.getPattern().getValue().str(), layers);
  return nn::ScaledAttr::get(context, scaled.getStored(),
                             StringAttr::get(context, pattern),
                             scaled.getShape(), scaled.getBlock());
}

Param ModelBuilder::over(Param whole, LayerRange layers) {
  if (!whole || !whole.perLayer)
    return whole;
  auto op = cast<nn::ParamOp>(module->lookupSymbol(whole.symbol.getValue()));
  split.insert(op);
  std::string symbol = op.getSymName().str() + "_" + std::to_string(layers.lo);
  while (module->lookupSymbol(symbol))
    symbol += "_";
  llvm::SmallVector<Attribute> sources;
  for (auto source : op.getSources().getAsRange<nn::SourceAttr>())
    sources.push_back(nn::SourceAttr::get(
        &context,
        builder.getStringAttr(
            patternOver(source.getPattern().getValue().str(), layers)),
        source.getShape(), source.getAt(), source.getRows(), source.getOffset(),
        source.getStrides(), scaledOver(source.getScaled(), layers)));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointAfter(op);
  auto part = nn::ParamOp::create(
      builder, location, builder.getStringAttr(symbol), op.getTypeAttr(),
      indices(layers), builder.getArrayAttr(sources));
  return {FlatSymbolRefAttr::get(part.getSymNameAttr()), whole.type, true};
}

OwningOpRef<ModuleOp> ModelBuilder::take() {
  for (Operation *op : split)
    op->erase();
  split.clear();
  return std::move(module);
}

Param ModelBuilder::vector(llvm::StringRef paramName, llvm::StringRef pattern,
                           int64_t size, std::optional<LayerRange> layers) {
  return param(paramName, {size},
               Source{.pattern = pattern.str(), .shape = {size}}, layers);
}

Param ModelBuilder::matrix(llvm::StringRef paramName, llvm::StringRef pattern,
                           int64_t rows, int64_t columns,
                           std::optional<LayerRange> layers) {
  return param(paramName, {rows, columns},
               Source{.pattern = pattern.str(), .shape = {rows, columns}},
               layers);
}

Param ModelBuilder::gated(llvm::StringRef paramName, llvm::StringRef gate,
                          llvm::StringRef up, int64_t width, int64_t columns,
                          std::optional<LayerRange> layers) {
  llvm::SmallVector<int64_t, 3> part{width}, whole{2 * width};
  if (columns) {
    part.push_back(columns);
    whole.push_back(columns);
  }
  Source first{.pattern = gate.str(), .shape = part, .rows = width};
  Source second{.pattern = up.str(), .shape = part, .at = width, .rows = width};
  return param(paramName, whole, {first, second}, layers);
}

void ModelBuilder::ofRouter(Param gate) {
  llvm::erase_if(matrices,
                 [&](const Param &p) { return p.symbol == gate.symbol; });
}

FlatSymbolRefAttr ModelBuilder::router(llvm::StringRef routerName,
                                       int64_t hidden, int64_t experts,
                                       int64_t k, Param gate, Param bias,
                                       RouterBody body) {
  ofRouter(gate);
  Type f32 = builder.getF32Type();
  Type plan = PlanType::get(&context, experts, k);
  llvm::SmallVector<Type> inputs{RankedTensorType::get({kDynamic, hidden}, f32),
                                 gate.type};
  if (bias)
    inputs.push_back(bias.type);
  auto type = builder.getFunctionType(
      inputs, {plan, RankedTensorType::get({kDynamic, k}, f32)});
  auto op =
      RouterOp::create(builder, location, builder.getStringAttr(routerName),
                       TypeAttr::get(type), ArrayAttr(), ArrayAttr());
  Block *block = new Block();
  op.getBody().push_back(block);
  for (Type input : inputs)
    block->addArgument(input, location);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(block);
  RouterBuilder inner(builder, location);
  auto [idx, combine] =
      body(inner, block->getArgument(0), block->getArgument(1),
           bias ? block->getArgument(2) : Value());
  Value made = MakePlanOp::create(builder, location, idx,
                                  static_cast<uint64_t>(experts));
  ReturnOp::create(builder, location, ValueRange{made, combine});
  return FlatSymbolRefAttr::get(op.getSymNameAttr());
}

//===----------------------------------------------------------------------===//
// The model
//===----------------------------------------------------------------------===//

Value ModelBuilder::begin(Param embed) {
  bool bf16 = llvm::all_of(matrices, [](const Param &p) {
    return p.type.getElementType().isBF16();
  });
  activation = bf16 ? Type(builder.getBF16Type()) : Type(builder.getF32Type());
  Type ints = RankedTensorType::get({kDynamic}, builder.getI32Type());
  Type logits = RankedTensorType::get({kDynamic, embed.type.getDimSize(0)},
                                      builder.getF32Type());
  // Symbols of parameters are taken.
  std::string symbol = name;
  while (module->lookupSymbol(symbol))
    symbol += "_model";
  model = nn::ModelOp::create(
      builder, location, builder.getStringAttr(symbol),
      TypeAttr::get(builder.getFunctionType({ints, ints, ints}, {logits})),
      ArrayAttr(), ArrayAttr());
  Block *block = new Block();
  model.getBody().push_back(block);
  block->addArguments({ints, ints, ints}, {location, location, location});
  builder.setInsertionPointToEnd(block);
  Value table = get(embed, Value());
  Type x =
      RankedTensorType::get({kDynamic, embed.type.getDimSize(1)}, activation);
  return nn::EmbeddingOp::create(builder, location, x, block->getArgument(0),
                                 table);
}

Value ModelBuilder::ropeTable(const RopeTable &rope) {
  return nn::RopeTableOp::create(builder, location, positions(),
                                 builder.getDenseF32ArrayAttr(rope.invFreq),
                                 builder.getF64FloatAttr(rope.scale));
}

Value ModelBuilder::get(Param param, Value layer) {
  return nn::ParamGetOp::create(builder, location, param.type, param.symbol,
                                param.perLayer ? layer : Value());
}

Value ModelBuilder::layers(LayerRange range, Value x,
                           llvm::function_ref<Value(Value, Value)> body) {
  if (range.empty())
    return x;
  bool steps = range.step != 1;
  auto loop = nn::LayersOp::create(
      builder, location, TypeRange{x.getType()},
      builder.getI64IntegerAttr(steps ? 0 : range.lo),
      builder.getI64IntegerAttr(steps ? range.count() : range.hi), UnitAttr(),
      ValueRange{x}, ValueRange{});
  Block *block = new Block();
  loop.getBody().push_back(block);
  Value layer = block->addArgument(builder.getIndexType(), location);
  Value carried = block->addArgument(x.getType(), location);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(block);
  Value y = body(layer, carried);
  nn::YieldOp::create(builder, location, ValueRange{y});
  return loop.getResult(0);
}

Value ModelBuilder::rmsNorm(Value x, Param weight, Value layer, double eps) {
  return nn::RmsNormOp::create(builder, location, x, get(weight, layer),
                               llvm::APFloat(eps));
}

Value ModelBuilder::layerNorm(Value x, Param weight, Param bias, Value layer,
                              double eps) {
  return nn::LayerNormOp::create(builder, location, x, get(weight, layer),
                                 bias ? get(bias, layer) : Value(),
                                 llvm::APFloat(eps));
}

Value ModelBuilder::linear(Value x, Param weight, Param bias, Value layer) {
  return nn::LinearOp::create(builder, location, x, get(weight, layer),
                              bias ? get(bias, layer) : Value());
}

template <typename OpTy>
Value ModelBuilder::withNumber(Value x, double number) {
  Type type = x.getType(),
       wide = cast<RankedTensorType>(type).clone(builder.getF32Type());
  if (type != wide)
    x = arith::ExtFOp::create(builder, location, wide, x);
  Value y = OpTy::create(builder, location, x,
                         constantLike(builder, location, x, number));
  if (type != wide)
    y = arith::TruncFOp::create(builder, location, type, y);
  return y;
}

Value ModelBuilder::scale(Value x, double factor) {
  return factor == 1 ? x : withNumber<arith::MulFOp>(x, factor);
}

Value ModelBuilder::divide(Value x, double divisor) {
  return divisor == 1 ? x : withNumber<arith::DivFOp>(x, divisor);
}

Value ModelBuilder::clamp(Value x, double limit) {
  if (limit == 0)
    return x;
  return withNumber<arith::MaximumFOp>(withNumber<arith::MinimumFOp>(x, limit),
                                       -limit);
}

Value ModelBuilder::mlp(Value h, Param norm, double eps, Value layer,
                        const MlpParams &params) {
  return nn::MlpOp::create(builder, location, h.getType(), h, layer,
                           norm.symbol, builder.getF64FloatAttr(eps),
                           params.gateUp.symbol, params.down.symbol,
                           nn::ActivationAttr::get(&context, params.act),
                           params.gateUpBias.symbol, params.downBias.symbol);
}

Value ModelBuilder::add(Value a, Value b) {
  return arith::AddFOp::create(builder, location, a, b);
}

/// x times sigmoid(gate(rows)), one number for each row.
static Value gateRows(OpBuilder &builder, Location loc, Value rows, Value gate,
                      Value x) {
  Value z = nn::LinearOp::create(builder, loc, rows, gate, Value());
  Value s = nn::ActivateOp::create(builder, loc, z, nn::Activation::Sigmoid);
  auto type = cast<RankedTensorType>(s.getType());
  Value column = nn::ReshapeOp::create(
      builder, loc, RankedTensorType::get({kDynamic}, type.getElementType()),
      s);
  Value wide = nn::BroadcastOp::create(builder, loc, x.getType(), column,
                                       Value(), uint64_t{1});
  return arith::MulFOp::create(builder, loc, wide, x);
}

/// down(glu(gate_up(rows))), the parameters as block arguments behind the rows:
/// matrices first, then biases, then what gates the result.
static void buildMlpBody(OpBuilder &builder, Location loc, Region &region,
                         const MlpParams &params, const Param &rowGate,
                         Type rows, bool perExpert) {
  Block *block = new Block();
  region.push_back(block);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(block);
  Value x = block->addArgument(rows, loc);
  auto argument = [&](const Param &param) -> Value {
    if (!param)
      return {};
    RankedTensorType type = param.type;
    if (perExpert)
      type = RankedTensorType::get(type.getShape().drop_front(),
                                   type.getElementType());
    return block->addArgument(type, loc);
  };
  Value gateUp = argument(params.gateUp), down = argument(params.down);
  Value gateUpBias = argument(params.gateUpBias),
        downBias = argument(params.downBias), gate = argument(rowGate);
  Value g = nn::LinearOp::create(builder, loc, x, gateUp, gateUpBias);
  Value u = nn::GluOp::create(builder, loc, g, params.act,
                              llvm::APFloat(params.limit),
                              llvm::APFloat(params.shift));
  Value y = nn::LinearOp::create(builder, loc, u, down, downBias);
  if (gate)
    y = gateRows(builder, loc, x, gate, y);
  YieldOp::create(builder, loc, ValueRange{y});
}

static ArrayAttr symbolsOf(Builder &builder, const MlpParams &params,
                           const Param &rowGate = {}) {
  llvm::SmallVector<Attribute> symbols;
  for (const Param *param : {&params.gateUp, &params.down, &params.gateUpBias,
                             &params.downBias, &rowGate})
    if (*param)
      symbols.push_back(param->symbol);
  return builder.getArrayAttr(symbols);
}

Value ModelBuilder::moeLayer(Value x, Value layer, const MoeParams &params) {
  ArrayAttr none = builder.getArrayAttr({});
  llvm::SmallVector<Attribute> routing{params.gate.symbol};
  if (params.gateBias)
    routing.push_back(params.gateBias.symbol);
  auto op = LayerOp::create(
      builder, location, x.getType(), x, layer, params.router,
      builder.getArrayAttr(routing), builder.getI64IntegerAttr(params.experts),
      builder.getI64IntegerAttr(params.segments),
      symbolsOf(builder, params.expert),
      params.shared ? symbolsOf(builder, *params.shared, params.sharedGate)
                    : none);
  buildMlpBody(builder, location, op.getBody(), params.expert, {}, x.getType(),
               true);
  if (params.shared)
    buildMlpBody(builder, location, op.getShared(), *params.shared,
                 params.sharedGate, x.getType(), false);
  return op.getResult();
}

void ModelBuilder::end(Value x, Param norm, double eps, Param head) {
  Value logits = nn::HeadOp::create(builder, location,
                                    model.getResultTypes()[0], x, norm.symbol,
                                    builder.getF64FloatAttr(eps), head.symbol);
  nn::ReturnOp::create(builder, location, ValueRange{logits});
}

Value ModelBuilder::toLogits(Value product) {
  Type logits = model.getResultTypes()[0];
  if (product.getType() == logits)
    return product;
  return arith::ExtFOp::create(builder, location, logits, product);
}

void ModelBuilder::finish(Value logits) {
  nn::ReturnOp::create(builder, location, ValueRange{logits});
}

} // namespace mlir::moe::frontend
