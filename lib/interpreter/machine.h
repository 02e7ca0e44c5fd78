// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The inside of the interpreter: environments, and the table from operation
// names to handlers. Each handler file has one function that fills in its part:
//
//   template <typename T>
//   void mlir::moe::addPickHandlers(HandlerTable<T> &table) {
//     table.template add<PickOp>([](Call<T> &c, PickOp op) {
//       return pick(c, c[op.getS()], c[op.getIdx()]);
//     });
//   }
#ifndef MOE_LIB_INTERPRETER_MACHINE_H
#define MOE_LIB_INTERPRETER_MACHINE_H

#include "lib/interpreter/eager.h"
#include "lib/interpreter/params.h"
#include "lib/interpreter/ranks.h"

#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"

#include <functional>

namespace mlir::moe {

template <typename T> using Results = llvm::SmallVector<Datum<T>>;

/// Values by SSA value; looks into |parent| for those of enclosing regions.
template <typename T> class Scope {
public:
  explicit Scope(const Scope *parent = nullptr) : parent(parent) {}
  const Datum<T> &operator[](Value value) const;
  void bind(Value value, Datum<T> datum) { own[value] = std::move(datum); }

private:
  const Scope *parent;
  llvm::DenseMap<Value, Datum<T>> own;
};

template <typename T> class Machine;

/// One execution of one operation.
template <typename T> class Call : public Check {
public:
  Call(Machine<T> &machine, Scope<T> &scope, Operation *op)
      : Check(op), machine(machine), scope(scope) {}

  const Tensor<T> &operator[](Value value) const {
    return scope[value].tensor();
  }
  /// Null for an absent operand.
  Maybe<T> maybe(Value value) const {
    return value ? &scope[value].tensor() : nullptr;
  }
  const Plan &plan(Value value) const { return scope[value].plan(); }
  Element resultElement(unsigned i = 0) const {
    return *elementOf(op->getResult(i).getType());
  }
  /// A parameter, read at |layer| where it has layers.
  Tensor<T> param(FlatSymbolRefAttr name, Value layer);
  /// Runs a region of one block on |args| and gives what it yields. It sees the
  /// values around it unless |isolated|.
  Results<T> region(Region &region, llvm::ArrayRef<Datum<T>> args,
                    bool isolated);

  Machine<T> &machine;
  Scope<T> &scope;
};

template <typename T> class HandlerTable {
public:
  using Handler = std::function<Results<T>(Call<T> &)>;

  /// |handler| takes (Call<T> &, OpTy) and gives a tensor, another datum, or
  /// Results.
  template <typename OpTy, typename Fn> void add(Fn handler) {
    set(OpTy::getOperationName(), [handler](Call<T> &call) -> Results<T> {
      auto result = handler(call, cast<OpTy>(call.op));
      if constexpr (std::is_same_v<decltype(result), Results<T>>)
        return result;
      else
        return {Datum<T>(std::move(result))};
    });
  }
  /// Operations that are no step of their own: terminators, declarations.
  template <typename... OpTys> void addSilent() {
    (set(OpTys::getOperationName(), [](Call<T> &) { return Results<T>(); }),
     ...);
  }
  void set(llvm::StringRef name, Handler handler) {
    handlers[name] = std::move(handler);
  }
  const Handler *find(llvm::StringRef name) const {
    auto it = handlers.find(name);
    return it == handlers.end() ? nullptr : &it->second;
  }
  auto names() const { return handlers.keys(); }

private:
  llvm::StringMap<Handler> handlers;
};

/// Runs blocks and symbols of one module.
template <typename T> class Machine {
public:
  /// |member| is null for a program of one rank.
  Machine(ModuleOp module, ParamProvider<T> *params,
          typename Ranks<T>::Member *member);

  /// Runs |block| on |args|; gives the operands of its terminator.
  FailureOr<Results<T>> runBlock(Block &block, llvm::ArrayRef<Datum<T>> args,
                                 Scope<T> &scope);
  /// Runs the callable |name|; diagnostics about the call itself go to |user|.
  FailureOr<Results<T>> call(Operation *user, StringAttr name,
                             llvm::ArrayRef<Datum<T>> args);
  FailureOr<Tensor<T>> param(Operation *user, FlatSymbolRefAttr name,
                             std::optional<int64_t> layer);

  const ModuleOp module;
  typename Ranks<T>::Member *const member;

private:
  LogicalResult step(Operation &op, Scope<T> &scope);

  ParamProvider<T> *params;
  SymbolTableCollection symbols;
  int depth = 0;
};

/// Runs the rows of each expert of |plan| that has any through |body|, with its
/// slices of |params|; gives all rows, of |type|.
template <typename T>
Tensor<T> experts(Call<T> &c, const Tensor<T> &rows, const Plan &plan,
                  llvm::ArrayRef<Tensor<T>> params, Region &body,
                  RankedTensorType type, bool isolated);

template <typename T> void addStructureHandlers(HandlerTable<T> &table);
template <typename T> void addLinearHandlers(HandlerTable<T> &table);
template <typename T> void addShapeHandlers(HandlerTable<T> &table);
template <typename T> void addAttentionHandlers(HandlerTable<T> &table);
template <typename T> void addRoutingHandlers(HandlerTable<T> &table);
template <typename T> void addChoiceHandlers(HandlerTable<T> &table);
template <typename T> void addSequenceHandlers(HandlerTable<T> &table);
template <typename T> void addLossHandlers(HandlerTable<T> &table);
template <typename T> void addFloatHandlers(HandlerTable<T> &table);
template <typename T> void addIntegerHandlers(HandlerTable<T> &table);
template <typename T> void addSugarHandlers(HandlerTable<T> &table);
template <typename T> void addGradientHandlers(HandlerTable<T> &table);
template <typename T> void addTrainingHandlers(HandlerTable<T> &table);
template <typename T> void addExchangeHandlers(HandlerTable<T> &table);
template <typename T> void addFusedRoutingHandlers(HandlerTable<T> &table);

/// The table of all groups.
template <typename T> const HandlerTable<T> &handlers();

} // namespace mlir::moe

#endif
