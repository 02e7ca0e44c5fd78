// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Builds the loops of one entry: values in memory, lanes, reductions.
//
//   Emitter e(builder, loc, isa);
//   e.parallel(rows, grain, [&](Value r) {
//     e.lanes(width, [&](Value offset, Value mask) {
//       e.store(y, r, offset, e.add(e.load(a, r, offset, mask), e.load(b, r, offset, mask)), mask);
//     });
//   });
//
// All integers are i64, all arithmetic is f32 in vectors of 16 lanes on every
// instruction set, so that one order of operations gives the same bits
// everywhere. Memory is reached through bare pointers.
#ifndef MOE_PASSES_LOWER_CPU_EMITTER_H
#define MOE_PASSES_LOWER_CPU_EMITTER_H

#include "passes/lower/cpu/Passes.h"

#include <functional>

namespace mlir::moe::cpu {

constexpr int64_t kLanes = 16;
/// Columns of a packed panel.
constexpr int64_t kPanel = 32;

/// The register block of a matrix product: rows by vectors of 16 lanes.
struct Isa {
  int64_t rows;       // f32: accumulators are rows x vectors
  int64_t vectors;    // vectors of one panel that a block covers, 1 or 2
  bool tiles = false; // AMX for bf16
  static FailureOr<Isa> get(StringRef name);
};

/// A number of rows that is known before a step as a bound over the tokens
/// and sequences of the call and the most tokens of any rank.
struct Extent {
  int64_t perToken = 0, perSequence = 0, constant = 0, perRankToken = 0,
          perLongest = 0; // for each token of the longest sequence
  Extent times(int64_t n) const {
    return {perToken * n, perSequence * n, constant * n, perRankToken * n,
            perLongest * n};
  }
  bool operator==(const Extent &) const = default;
};

/// A tensor in memory: |rows| rows of |width| elements, one behind another.
struct Buffer {
  Value base;        // !llvm.ptr
  Type element;      // f32, bf16, f16, i32, or i1 kept as bytes
  Value rows;        // i64: rows that exist in this call
  Extent bound;      // rows at most
  int64_t width = 1; // elements of a row
};

/// A routing plan in memory, all i32: idx and slot2row [T·K], row2slot [R],
/// offsets [E+1]. R is the last offset.
struct PlanBuffers {
  Buffer idx, slot2row, row2slot, offsets;
  int64_t experts = 0, k = 0;
  const Buffer &part(int i) const {
    const Buffer *parts[] = {&idx, &slot2row, &row2slot, &offsets};
    return *parts[i];
  }
};

/// A packed weight: |groups| blocks of ceil(n / 32) panels.
struct PackedWeight {
  Value base; // !llvm.ptr to the first group
  StringRef format;
  int64_t groups, n, k;
  int64_t panelBytes() const;
  int64_t panels() const { return (n + kPanel - 1) / kPanel; }
};

class Emitter {
public:
  Emitter(OpBuilder &builder, Location loc, Isa isa)
      : b(builder), loc(loc), isa(isa) {}

  OpBuilder &b;
  Location loc;
  Isa isa;

  // Types.
  Type i64Type() { return b.getI64Type(); }
  Type ptrType() { return LLVM::LLVMPointerType::get(b.getContext()); }
  VectorType vec(Type element) { return VectorType::get({kLanes}, element); }
  VectorType vecF32() { return vec(b.getF32Type()); }
  VectorType vecI32() { return vec(b.getI32Type()); }
  VectorType vecI1() { return vec(b.getI1Type()); }

  // Constants.
  Value i64(int64_t value);
  Value i32(int32_t value);
  Value f32(float value);
  Value splatF32(float value);
  Value splatI32(int32_t value);
  Value splat(Value scalar); // to 16 lanes
  Value iota();              // 0 … 15, i32

  // Integer arithmetic.
  Value add(Value a, Value c) { return arith::AddIOp::create(b, loc, a, c); }
  Value sub(Value a, Value c) { return arith::SubIOp::create(b, loc, a, c); }
  Value mul(Value a, Value c) { return arith::MulIOp::create(b, loc, a, c); }
  Value udiv(Value a, Value c) { return arith::DivUIOp::create(b, loc, a, c); }
  Value urem(Value a, Value c) { return arith::RemUIOp::create(b, loc, a, c); }
  Value minI(Value a, Value c) { return arith::MinSIOp::create(b, loc, a, c); }
  Value maxI(Value a, Value c) { return arith::MaxSIOp::create(b, loc, a, c); }
  Value cmp(arith::CmpIPredicate p, Value a, Value c) {
    return arith::CmpIOp::create(b, loc, p, a, c);
  }
  Value cmpF(arith::CmpFPredicate p, Value a, Value c) {
    return arith::CmpFOp::create(b, loc, p, a, c);
  }
  Value select(Value c, Value a, Value d) {
    return arith::SelectOp::create(b, loc, c, a, d);
  }
  Value toI64(Value i32) {
    return arith::ExtSIOp::create(b, loc, b.getI64Type(), i32);
  }
  Value toI32(Value i64) {
    return arith::TruncIOp::create(b, loc, b.getI32Type(), i64);
  }

  // Float arithmetic, scalar or lanes.
  Value addF(Value a, Value c) { return arith::AddFOp::create(b, loc, a, c); }
  Value subF(Value a, Value c) { return arith::SubFOp::create(b, loc, a, c); }
  Value mulF(Value a, Value c) { return arith::MulFOp::create(b, loc, a, c); }
  Value divF(Value a, Value c) { return arith::DivFOp::create(b, loc, a, c); }
  Value maxF(Value a, Value c) {
    return arith::MaximumFOp::create(b, loc, a, c);
  }
  Value minF(Value a, Value c) {
    return arith::MinimumFOp::create(b, loc, a, c);
  }
  Value fma(Value a, Value c, Value d) {
    return math::FmaOp::create(b, loc, a, c, d);
  }

  // Memory. Pointers advance by bytes or by elements of a storage type.
  Value offsetBytes(Value ptr, Value bytes);
  Value offset(Value ptr, Value elements, Type storage);
  /// Bytes of one stored element.
  static int64_t bytesOf(Type element);
  /// Pointer to element |column| of row |row|.
  Value address(const Buffer &buffer, Value row, Value column = {});
  Value loadPtr(Value ptr);                  // a pointer stored at ptr
  Value loadScalar(Value ptr, Type element); // f32 for floats; i32; i1
  void storeScalar(Value ptr, Type element, Value value);
  /// 16 lanes from |ptr|: f32 lanes of any float storage, i32 lanes, i1 lanes.
  /// Lanes outside |mask| (may be null) are 0 and not read.
  Value loadLanes(Value ptr, Type element, Value mask = {});
  void storeLanes(Value ptr, Type element, Value value, Value mask = {});
  Value load(const Buffer &buffer, Value row, Value column, Value mask = {}) {
    return loadLanes(address(buffer, row, column), buffer.element, mask);
  }
  void store(const Buffer &buffer, Value row, Value column, Value value,
             Value mask = {}) {
    storeLanes(address(buffer, row, column), buffer.element, value, mask);
  }
  /// f32 lanes rounded to the precision of |element| (identity for f32).
  Value roundTo(Value lanes, Type element);
  /// Stack memory of |bytes| in the entry block of the loop body's function.
  Value scratch(int64_t bytes);

  // Control flow. Bodies get the induction value; loops that carry values
  // return the next ones.
  void loop(Value lower, Value upper, int64_t step,
            function_ref<void(Value)> body);
  SmallVector<Value>
  loop(Value lower, Value upper, int64_t step, ValueRange init,
       function_ref<SmallVector<Value>(Value, ValueRange)> body);
  void ifThen(Value condition, function_ref<void()> body);
  SmallVector<Value> ifElse(Value condition,
                            function_ref<SmallVector<Value>()> yes,
                            function_ref<SmallVector<Value>()> no);
  /// Iterations may run on any thread in any order; |grain| of them at least
  /// make a piece of work.
  void parallel(Value count, int64_t grain, function_ref<void(Value)> body);
  /// A good grain for iterations that touch about |elements| elements.
  static int64_t grainFor(int64_t elements) {
    return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, elements));
  }

  /// Runs over |width| columns in chunks of 16; the mask is null for whole
  /// chunks and constant for the last part.
  void lanes(int64_t width, function_ref<void(Value column, Value mask)> body);
  SmallVector<Value>
  lanes(int64_t width, ValueRange init,
        function_ref<SmallVector<Value>(Value column, Value mask, ValueRange)>
            body);
  Value tailMask(int64_t count); // the first |count| lanes

  // Reductions of 16 lanes to a scalar by one fixed tree: lanes 8 apart, 4, 2, 1.
  Value sumLanes(Value lanes);
  Value maxLanes(Value lanes);
  Value maxLanesI32(Value lanes);
  Value minLanesI32(Value lanes);

  // Functions, scalar or lanes (Math.cpp). Denormals are 0.
  Value exp(Value x);
  Value log(Value x);
  Value tanh(Value x);
  Value erf(Value x);
  Value sigmoid(Value x);
  Value sqrt(Value x);
  Value rsqrt(Value x); // 1 / sqrt(x), both correctly rounded
  std::pair<Value, Value> sinCos(Value x);
  Value activation(nn::Activation kind, Value x);

private:
  Value tree(Value lanes, function_ref<Value(Value, Value)> combine);
};

/// What is known while an entry is emitted.
class EntryContext {
public:
  EntryContext(Emitter &e) : e(e) {}
  Emitter &e;

  // Of the call: pointers and dims of the ABI.
  Value rt, arena, params;
  Value tokens, sequences, longest, pageLength, pagesPerSequence, pages,
      rankTokens; // i64

  /// Where the value of |tensor| lies; operands before their users.
  const Buffer &buffer(Value tensor) const;
  const PlanBuffers &plan(Value plan) const;
  /// The sequence of each token by the boundaries |cuSeqlens|, i32 [T].
  const Buffer &sequenceOf(Value cuSeqlens) const {
    return sequenceOfToken.find(cuSeqlens)->second;
  }
  /// Where the (single) result of |op| is to be written.
  const Buffer &result(Operation *op) const { return buffer(op->getResult(0)); }
  /// Memory that lives for this operation alone; asked for by scratchBytes.
  Value scratch(Operation *op) const;
  /// Base pointer of the key-value cache.
  Value cache(Value cache) const;
  /// The layer index in i64, of an index value.
  Value layer(Value index) const;
  PackedWeight weight(Value tensor) const;

  DenseMap<Value, Buffer> buffers, sequenceOfToken;
  DenseMap<Value, PlanBuffers> plans;
  DenseMap<Operation *, Value> scratches;
  DenseMap<Value, Value> scalars; // caches and layer indices
  DenseMap<Value, PackedWeight> weights;
};

/// Emits the loops of one operation.
using Kernel = LogicalResult (*)(EntryContext &, Operation *);
/// Bytes of scratch memory of an operation, over its rows; empty: none.
using ScratchSize = Extent (*)(Operation *, const Extent &tokens);

struct KernelEntry {
  Kernel kernel;
  ScratchSize scratch = nullptr;
};

/// All kernels by operation name; filled by the files of this folder.
const llvm::StringMap<KernelEntry> &kernels();
void addMatmulKernels(llvm::StringMap<KernelEntry> &);
void addElementwiseKernels(
    llvm::StringMap<KernelEntry> &); // nn.activate, nn.glu
void addMovementKernels(
    llvm::StringMap<KernelEntry>
        &); // embedding, slice, concat, last_rows, broadcast, dispatch, grouped_broadcast
void addNormKernels(
    llvm::StringMap<KernelEntry> &); // rms_norm, layer_norm, softmax, reduce
void addRopeKernels(llvm::StringMap<KernelEntry> &);
void addAttentionKernels(llvm::StringMap<KernelEntry> &);
void addRoutingKernels(
    llvm::StringMap<KernelEntry>
        &); // of Routing.cpp, Plan.cpp, Choices.cpp, Assign.cpp, Random.cpp
void addSequenceKernels(llvm::StringMap<KernelEntry> &);
void addExchangeKernels(llvm::StringMap<KernelEntry> &);
void addMatmulGradKernels(
    llvm::StringMap<KernelEntry> &); // of linear, head_linear, grouped products
void addAttentionGradKernels(llvm::StringMap<KernelEntry> &);
void addRowGradKernels(llvm::StringMap<KernelEntry>
                           &); // of norms, activations, reduce, rows moved
void addTrainingKernels(llvm::StringMap<KernelEntry>
                            &); // cross_entropy, head_loss, sum_squares, adamw
/// An elementwise operation of arith or math on tensors (Elementwise.cpp).
LogicalResult emitElementwise(EntryContext &, Operation *);

} // namespace mlir::moe::cpu

#endif
