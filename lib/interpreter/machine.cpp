// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/interpreter/machine.h"

#include "dialect/moe/MoeDialect.h"

using namespace mlir;
using namespace mlir::moe;

/// More calls inside each other than any program of ours has.
static constexpr int kMaxDepth = 256;

bool Check::expect(bool holds, const llvm::Twine &what) {
  if (!bad && !holds) {
    op->emitOpError("expects ") << what;
    bad = true;
  }
  return !bad;
}

bool Check::same(llvm::StringRef what, int64_t got, int64_t want) {
  return expect(got == want,
                llvm::Twine(want) + " " + what + ", got " + llvm::Twine(got));
}

template <typename T>
bool Check::sequences(const Tensor<T> &cu, int64_t tokens) {
  if (!expect(cu.rank() == 1 && cu.dim(0) >= 1, "sequence starts [B+1]"))
    return false;
  int64_t last = 0;
  for (int64_t start : cu.integers()) {
    if (!expect(last <= start && start <= tokens,
                "ascending sequence starts of at most " + llvm::Twine(tokens) +
                    ", got " + llvm::Twine(start) + " after " +
                    llvm::Twine(last)))
      return false;
    last = start;
  }
  return true;
}

template <typename T> const Datum<T> &Scope<T>::operator[](Value value) const {
  for (const Scope *scope = this; scope; scope = scope->parent) {
    auto it = scope->own.find(value);
    if (it != scope->own.end())
      return it->second;
  }
  llvm::report_fatal_error("interpreter: a value is used before it is made");
}

template <typename T>
Tensor<T> Call<T>::param(FlatSymbolRefAttr name, Value layer) {
  std::optional<int64_t> index;
  if (layer)
    index = (*this)[layer].integers()[0];
  auto value = machine.param(op, name, index);
  if (succeeded(value))
    return *value;
  fail();
  return {};
}

template <typename T>
Results<T> Call<T>::region(Region &region, llvm::ArrayRef<Datum<T>> args,
                           bool isolated) {
  if (!expect(region.hasOneBlock(), "a region of one block"))
    return {};
  Scope<T> inner(isolated ? nullptr : &scope);
  auto results = machine.runBlock(region.front(), args, inner);
  if (succeeded(results))
    return std::move(*results);
  fail();
  return {};
}

template <typename T> const HandlerTable<T> &mlir::moe::handlers() {
  static const HandlerTable<T> table = [] {
    HandlerTable<T> made;
    addStructureHandlers(made);
    addLinearHandlers(made);
    addShapeHandlers(made);
    addAttentionHandlers(made);
    addRoutingHandlers(made);
    addChoiceHandlers(made);
    addSequenceHandlers(made);
    addLossHandlers(made);
    addFloatHandlers(made);
    addIntegerHandlers(made);
    addSugarHandlers(made);
    addGradientHandlers(made);
    addTrainingHandlers(made);
    addExchangeHandlers(made);
    addFusedRoutingHandlers(made);
    return made;
  }();
  return table;
}

template <typename T>
Machine<T>::Machine(ModuleOp module, ParamProvider<T> *params,
                    typename Ranks<T>::Member *member)
    : module(module), member(member), params(params) {}

template <typename T>
LogicalResult Machine<T>::step(Operation &op, Scope<T> &scope) {
  const auto *handler = handlers<T>().find(op.getName().getStringRef());
  if (!handler)
    return op.emitOpError("has no interpretation");
  for (Type type : op.getResultTypes())
    if (std::is_same_v<T, float> && elementOf(type) == Element::F64)
      return op.emitOpError("computes f64 values, which need f64 precision");
  Call<T> call(*this, scope, &op);
  Results<T> results = (*handler)(call);
  if (call.failed())
    return failure();
  if (results.size() != op.getNumResults())
    return op.emitOpError("was interpreted to ")
           << results.size() << " results";
  for (auto [value, result] : llvm::zip(op.getResults(), results)) {
    if (!result.fits(value.getType()))
      return op.emitOpError("expects a result of type ")
             << value.getType() << ", computed " << result.describe();
    scope.bind(value, std::move(result));
  }
  return success();
}

template <typename T>
FailureOr<Results<T>> Machine<T>::runBlock(Block &block,
                                           llvm::ArrayRef<Datum<T>> args,
                                           Scope<T> &scope) {
  Operation *parent = block.getParentOp();
  if (block.getNumArguments() != args.size())
    return parent->emitOpError("expects ")
           << block.getNumArguments() << " values, got " << args.size();
  for (auto [argument, datum] : llvm::zip(block.getArguments(), args)) {
    if (!datum.fits(argument.getType()))
      return parent->emitOpError("expects argument ")
             << argument.getArgNumber() << " of type " << argument.getType()
             << ", got " << datum.describe();
    scope.bind(argument, datum);
  }
  for (Operation &op : block.without_terminator())
    if (failed(step(op, scope)))
      return failure();
  Results<T> results;
  for (Value value : block.getTerminator()->getOperands())
    results.push_back(scope[value]);
  return results;
}

template <typename T>
FailureOr<Results<T>> Machine<T>::call(Operation *user, StringAttr name,
                                       llvm::ArrayRef<Datum<T>> args) {
  Operation *callee = symbols.lookupSymbolIn(module, name);
  if (!isa_and_nonnull<func::FuncOp, nn::ModelOp, RouterOp>(callee))
    return user->emitOpError("expects ")
           << name << " to name a function, model or router";
  Region &body = callee->getRegion(0);
  if (!body.hasOneBlock())
    return callee->emitOpError("expects a body of one block");
  if (depth == kMaxDepth)
    return user->emitOpError("expects at most ")
           << kMaxDepth << " calls inside each other";
  ++depth;
  Scope<T> scope;
  auto results = runBlock(body.front(), args, scope);
  --depth;
  return results;
}

template <typename T>
FailureOr<Tensor<T>> Machine<T>::param(Operation *user, FlatSymbolRefAttr name,
                                       std::optional<int64_t> layer) {
  auto param = symbols.lookupNearestSymbolFrom<nn::ParamOp>(user, name);
  if (!param)
    return user->emitOpError("expects ") << name << " to name an nn.param";
  if (auto range = param.getLayers()) {
    if (!layer)
      return user->emitOpError("expects a layer for ") << name;
    if (*layer < (*range)[0] || *layer >= (*range)[1])
      return user->emitOpError("expects a layer of ")
             << (*range)[0] << " to " << (*range)[1] << " for " << name
             << ", got " << *layer;
  } else {
    layer.reset();
  }
  if (!params || !params->knows(param))
    return user->emitOpError("has no value for ") << name;
  auto value = params->get(param, layer, user);
  if (failed(value))
    return failure();
  Datum<T> datum(*value);
  if (!datum.fits(param.getTensorType()))
    return user->emitOpError("expects ")
           << name << " of type " << param.getTensorType() << ", got "
           << datum.describe();
  return value;
}

#define MOE_INSTANTIATE(T)                                                     \
  template bool Check::sequences(const Tensor<T> &, int64_t);                  \
  template class mlir::moe::Scope<T>;                                          \
  template class mlir::moe::Call<T>;                                           \
  template class mlir::moe::Machine<T>;                                        \
  template const HandlerTable<T> &mlir::moe::handlers();
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE
