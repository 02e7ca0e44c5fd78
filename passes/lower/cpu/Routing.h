// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the files of routing and exchange kernels share.
#ifndef MOE_PASSES_LOWER_CPU_ROUTING_H
#define MOE_PASSES_LOWER_CPU_ROUTING_H

#include "passes/lower/cpu/Emitter.h"

#include <limits>

namespace mlir::moe::cpu {
/// Makes |plan| of |slots| choices, |idx| by token, then choice.
void emitPlan(Emitter &e, const PlanBuffers &plan, const Buffer &idx,
              Value slots);

/// Behind every key of a score: chosen already, or no score at all.
constexpr int32_t kGone = std::numeric_limits<int32_t>::min();

/// An f32 score or lanes of them as i32 keys: ascending with the value, NaN
/// largest, zeros of both signs and denormals 0; kGone outside |mask|.
Value keysOf(Emitter &e, Value scores, Value mask = {});

/// Whether |expert| (i32) is below |experts|, and the expert or 0 in i64.
std::pair<Value, Value> checkedExpert(Emitter &e, Value expert,
                                      int64_t experts);

/// The integer at |at| of a buffer of i32.
inline Value loadInt(Emitter &e, const Buffer &x, Value at) {
  return e.loadScalar(e.offset(x.base, at, x.element), x.element);
}
inline void storeInt(Emitter &e, const Buffer &x, Value at, Value value) {
  e.storeScalar(e.offset(x.base, at, x.element), x.element, value);
}

/// Rows one of |experts| takes of |tokens| tokens.
Value capacityRows(Emitter &e, CapacityAttr limit, Value tokens,
                   int64_t experts);

/// Runs |body| over the tokens [first, last) of each sequence of |seqs|, or of
/// the whole call of |tokens| where that is null.
void eachSegment(EntryContext &c, Value seqs, Value tokens,
                 function_ref<void(Value sequence, Value first, Value last)>);

/// The tokens [first, last) of |sequence| by the boundaries |seqs|.
std::pair<Value, Value> tokensOf(EntryContext &c, Value seqs, Value sequence);

/// Runs |body| over [first, last) in order, |taken| being the lanes where the
/// key is among the |limit| largest there, of equal ones the first. |keyAt|
/// gives lanes of keysOf; every lane chooses for itself.
SmallVector<Value> eachOfLargest(
    Emitter &e, Value first, Value last, Value limit,
    function_ref<Value(Value at)> keyAt, ValueRange init,
    function_ref<SmallVector<Value>(Value at, Value taken, ValueRange carried)>
        body);

/// Writes scores [T, E] less the least finite one to |to|, at most 1e30, and 0
/// where a score is not finite; returns the largest of these, f32.
Value writeAboveLeast(Emitter &e, const Buffer &s, const Buffer &to);

/// What a step that cannot go on reports, as the runtime explains it.
enum FailCode : int32_t {
  kTooManyRows = 101,  // a peer announces a rows where there is room for b
  kUnevenTokens = 102, // a tokens cannot be shared equally by b experts
};
/// The step cannot go on: rt->fail(code, a, b).
void emitFail(EntryContext &c, int32_t code, Value a, Value b);

/// assign with `exact`, in the scratch memory of the auction (ExactAssign.cpp).
void emitExactAssignment(EntryContext &c, AssignOp op);

/// make_plan, plan_indices, counts, combine, plan_seqs (Plan.cpp).
void addPlanKernels(llvm::StringMap<KernelEntry> &table);
/// mask_choices, capacity, next_choice, select_tokens (Choices.cpp).
void addChoiceKernels(llvm::StringMap<KernelEntry> &table);
/// assign, sinkhorn (Assign.cpp).
void addAssignKernels(llvm::StringMap<KernelEntry> &table);
/// random (Random.cpp).
void addRandomKernels(llvm::StringMap<KernelEntry> &table);
} // namespace mlir::moe::cpu

#endif
