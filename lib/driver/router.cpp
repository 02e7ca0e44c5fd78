// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Puts a router of another file into a program:
//   moe.layer %x router(@softmax, [@gate]) …   with --router mine.mlir@sigmoid
// becomes
//   moe.layer %x router(@sigmoid, [@gate]) …
#include "lib/driver/input.h"

#include "dialect/moe/MoeDialect.h"
#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "lib/driver/diagnostics.h"

#include "mlir/IR/Verifier.h"

using namespace mlir;
using namespace mlir::moe;
using ::moe::Code;
using ::moe::Error;
using ::moe::Joined;
using ::moe::Quoted;

static std::string shown(Type type) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << type;
  return text;
}

static absl::StatusOr<RouterOp> findRouter(ModuleOp file, StringRef path,
                                           StringRef name) {
  std::string names;
  for (auto router : file.getOps<RouterOp>()) {
    if (router.getSymName() == name)
      return router;
    names += (names.empty() ? "'" : ", '") + router.getSymName().str() + "'";
  }
  return Error(Code::K107, ::moe::ShownPath(path.str()), ": no moe.router ",
               Quoted(name.str()), ": the file has ",
               names.empty() ? "none" : names);
}

/// Whether sizes agree where both are static.
static bool sizesAgree(RankedTensorType expected, RankedTensorType found) {
  return expected && found && expected.getRank() == found.getRank() &&
         llvm::all_of(llvm::zip(expected.getShape(), found.getShape()),
                      [](auto pair) {
                        auto [a, b] = pair;
                        return ShapedType::isDynamic(a) ||
                               ShapedType::isDynamic(b) || a == b;
                      });
}

/// The arguments of |router| that a layer gives: the tokens and the parameters.
static SmallVector<unsigned> givenArguments(RouterOp router) {
  SmallVector<unsigned> arguments{0};
  arguments.append(router.getParamArguments());
  return arguments;
}

/// Types of what |layer| gives its router: the tokens, then its parameters.
static SmallVector<RankedTensorType> givenTypes(LayerOp layer) {
  SmallVector<RankedTensorType> types{
      cast<RankedTensorType>(layer.getX().getType())};
  for (auto name : layer.getRouterParams().getAsRange<FlatSymbolRefAttr>())
    types.push_back(
        SymbolTable::lookupNearestSymbolFrom<nn::ParamOp>(layer, name)
            .getTensorType());
  return types;
}

static absl::Status checkFit(RouterOp router, LayerOp layer) {
  std::string name = Joined("router ", Quoted(router.getSymName().str()));
  SmallVector<RankedTensorType> given = givenTypes(layer);
  SmallVector<unsigned> arguments = givenArguments(router);
  if (arguments.size() != given.size())
    return Error(Code::K102, name, " takes the tokens and ",
                 arguments.size() - 1,
                 " parameters, but the model's layers have ", given.size() - 1,
                 " for their router");
  for (auto [i, expected] : llvm::zip(arguments, given)) {
    Type type = router.getArgumentTypes()[i];
    if (!sizesAgree(dyn_cast<RankedTensorType>(type), expected))
      return Error(Code::K102, name, ": argument ", i, " is ", shown(type),
                   ", but the model gives ", shown(expected));
  }
  auto plan = dyn_cast<PlanType>(router.getResultTypes()[0]);
  if (!plan)
    return Error(Code::K102, name, " gives weights and no plan, but a layer ",
                 "needs to know which token goes to which expert");
  if (int64_t(plan.getExperts()) != int64_t(layer.getExperts()))
    return Error(Code::K102, name, " chooses among ", plan.getExperts(),
                 " experts, but the model's layers have ", layer.getExperts());
  return absl::OkStatus();
}

/// Gives the parameters of |router| the element types of the checkpoint.
static absl::Status adoptElements(RouterOp router, LayerOp layer) {
  SmallVector<RankedTensorType> given = givenTypes(layer);
  SmallVector<Type> types(router.getArgumentTypes());
  for (auto [i, type] :
       llvm::drop_begin(llvm::zip_equal(givenArguments(router), given))) {
    types[i] = cast<RankedTensorType>(types[i]).clone(type.getElementType());
    router.getBody().getArgument(i).setType(types[i]);
  }
  router.setFunctionType(
      FunctionType::get(router.getContext(), types, router.getResultTypes()));
  DiagnosticCollector diagnostics(*router.getContext());
  if (failed(verify(router)))
    return diagnostics.error(
        Code::K102, Joined("router ", Quoted(router.getSymName().str())));
  return absl::OkStatus();
}

/// Says where the choice for a token depends on other tokens of the call, later
/// ones too: such a model answers a prompt and its parts differently.
static void warnOfOtherTokens(RouterOp router, const LogLine &log) {
  Operation *found = nullptr;
  router.walk([&](Operation *op) {
    auto softmax = dyn_cast<nn::SoftmaxOp>(op);
    if (isa<CapacityOp, NextChoiceOp, SelectTokensOp, AssignOp, SinkhornOp,
            nn::SegmentReduceOp, nn::SegmentSoftmaxOp>(op) ||
        (softmax && softmax.getAxis() == 0))
      found = found ? found : op;
  });
  if (found && log)
    log(Joined("warning: router ", Quoted(router.getSymName().str()),
               " looks at other tokens (",
               found->getName().getStringRef().str(),
               "): scores of a text and decoding it will differ"));
}

static std::string freshName(ModuleOp module, StringRef name) {
  std::string fresh = name.str();
  for (int i = 1; SymbolTable::lookupSymbolIn(module, fresh); ++i)
    fresh = name.str() + "_" + std::to_string(i);
  return fresh;
}

absl::Status mlir::moe::replaceRouters(ModuleOp module, StringRef router,
                                       const LogLine &log) {
  auto [path, name] = router.rsplit('@');
  if (path.empty() || name.empty())
    return Error(Code::K107, "--router expects FILE@NAME, got ",
                 Quoted(router.str()));
  SmallVector<LayerOp> layers;
  module.walk([&](LayerOp layer) { layers.push_back(layer); });
  if (layers.empty())
    return Error(Code::K102, "--router: the program has no moe.layer");
  ASSIGN_OR_RETURN(OwningOpRef<ModuleOp> file,
                   loadProgram(*module.getContext(), path.str(), log));
  ASSIGN_OR_RETURN(RouterOp found, findRouter(*file, path, name));
  RETURN_IF_ERROR(checkFit(found, layers.front()));
  RETURN_IF_ERROR(adoptElements(found, layers.front()));
  for (LayerOp layer : layers)
    RETURN_IF_ERROR(checkFit(found, layer));
  warnOfOtherTokens(found, log);

  SmallVector<RouterOp> old(module.getOps<RouterOp>());
  std::string fresh = freshName(module, name);
  OpBuilder builder = OpBuilder::atBlockBegin(module.getBody());
  auto own = cast<RouterOp>(builder.clone(*found));
  own.setSymName(fresh);
  for (LayerOp layer : layers)
    layer.setRouterAttr(FlatSymbolRefAttr::get(own.getSymNameAttr()));
  for (RouterOp unused : old)
    if (SymbolTable::symbolKnownUseEmpty(unused, module))
      unused.erase();
  return absl::OkStatus();
}
