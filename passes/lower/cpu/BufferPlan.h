// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Where every value of an entry lies: live ranges, shared places, sizes as
// bounds over tokens and sequences.
//
//   BufferPlan plan(entry);
//   if (failed(plan.run())) …
//   plan.place(value)  // arena slot, or an output of the entry
#ifndef MOE_PASSES_LOWER_CPU_BUFFERPLAN_H
#define MOE_PASSES_LOWER_CPU_BUFFERPLAN_H

#include "passes/lower/cpu/Emitter.h"

namespace mlir::moe::cpu {

/// What the rows of a value are counted by at run time.
struct RowsInfo {
  enum Kind {
    Static,
    Tokens,
    Sequences,
    SequencesPlusOne,
    PlanRows,
    Arrived,
    Unknown
  } kind = Static;
  Extent bound;
  Value plan; // PlanRows: the plan; Arrived: `from`, whose last element counts
};

/// A place in memory that one or more values share.
struct Storage {
  Extent bytes;
  int64_t first = 0, last = 0; // operations between which it is in use
  int slot = -1;               // in the arena
  int output = -1;             // or a result of the entry
  /// Or a layer of the stack of another place, |bytes| for each.
  int stack = -1;
  nn::LayersOp loop;
};

class BufferPlan {
public:
  explicit BufferPlan(func::FuncOp entry) : entry(entry) {}
  LogicalResult run();

  /// Rows of a tensor of the entry.
  const RowsInfo &rows(Value tensor) const {
    return rowsOf.find(tensor)->second;
  }
  /// The tokens that a plan is about.
  const RowsInfo &planTokens(Value plan) const {
    return tokensOfPlan.find(plan)->second;
  }
  /// Elements of one row.
  static int64_t width(Type tensor);
  /// Bytes of part |part| of a value at most.
  Extent sizeOf(Value value, int part) const;
  const Storage &stackOf(const Storage &layer) const {
    return storages[layer.stack];
  }
  /// The storage of a tensor, of part |part| of a plan (idx, slot2row, row2slot, offsets), or of the scratch of an operation.
  const Storage &storage(Value value, int part = 0) const {
    return storages[ids.find({value, part})->second];
  }
  bool hasStorage(Value value) const { return ids.count({value, 0}); }
  const Storage *scratch(Operation *op) const;
  /// Where the sequence of each token stands by the boundaries |cuSeqlens|, or null where no operation asks for it.
  const Storage *sequenceOf(Value cuSeqlens) const;
  /// Sizes in bytes of the arena slots, in order.
  ArrayRef<Extent> slots() const { return slotBytes; }
  /// The carried value is computed in the place of the loop state: no copy at the end of an iteration.
  bool inPlace(Value yielded) const { return inPlaceYields.contains(yielded); }

private:
  LogicalResult number(Block &block);
  LogicalResult checkRows(Operation &op);
  LogicalResult place(Operation &op);
  LogicalResult placeLayers(nn::LayersOp op);
  LogicalResult placeSlices(nn::LayersOp op);
  void placeStacks(nn::LayersOp op);
  int layerOf(int stack, nn::LayersOp loop, Extent bytes);
  static int parts(Value value) {
    return isa<PlanType>(getElementOfStack(value.getType())) ? 4 : 1;
  }
  static Type getElementOfStack(Type type) {
    auto stack = dyn_cast<nn::StackType>(type);
    return stack ? stack.getValueType() : type;
  }
  FailureOr<RowsInfo> inferRows(Value result, Operation &op);
  int newStorage(Extent bytes, int64_t first);
  void bind(Value value, int storage, int part = 0) {
    ids[{value, part}] = storage;
  }
  static RowsInfo arrivedRows(AllToAllVOp op);
  Extent mostRows(Value plan, MakePlanOp make);
  void placeSequences(Operation &op);
  void placeTensor(Value value, int64_t order);
  void extendToUses(Value value);
  void useOutputs();
  void shareSlots();
  int64_t orderOfUse(Operation *user, Value value);

  func::FuncOp entry;
  DenseMap<Operation *, int64_t> order, endOrder; // endOrder: of loops
  int64_t next = 0;
  DenseMap<Value, RowsInfo> rowsOf, tokensOfPlan;
  DenseMap<Value, Extent> rowsOfPlan; // at most
  std::vector<Storage> storages;
  DenseMap<std::pair<Value, int>, int> ids;
  DenseMap<Operation *, int> scratchIds;
  DenseSet<Value> inPlaceYields;
  SmallVector<Extent> slotBytes;
  DenseMap<Value, int> sequenceStorage; // by boundaries
  DenseMap<Value, Value> keptBy;        // stacks: what the loop keeps there
};

/// Replaces an entry by its native function and that of its workspace
/// (EntryLowering.cpp).
LogicalResult lowerEntry(func::FuncOp entry, Isa isa);

} // namespace mlir::moe::cpu

#endif
