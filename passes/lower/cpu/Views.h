// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tensors as the kernels see them: rows, an axis with what lies around it,
// constants that have no place in memory.
//
//   Buffer x = asRows(c, op.getX(), d);            // [.., D] as rows of D
//   auto axis = AxisView::get(c, op.getX(), 1);    // [outer, n, inner]
#ifndef MOE_PASSES_LOWER_CPU_VIEWS_H
#define MOE_PASSES_LOWER_CPU_VIEWS_H

#include "passes/lower/cpu/Emitter.h"

#include <optional>

namespace mlir::moe::cpu {

inline RankedTensorType tensorOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}
/// Size of the last axis; 1 for a scalar.
inline int64_t lastDim(Value value) {
  return tensorOf(value).getRank() ? tensorOf(value).getShape().back() : 1;
}

/// Whether all dimensions but the first are static, as in every buffer.
bool isRows(Value tensor);
/// The elements of |tensor| as rows of |width|, which divides what lies behind
/// the first dimension (or all of a static tensor).
Buffer asRows(EntryContext &c, Value tensor, int64_t width);
/// Lanes of a vector that a row of another tensor meets: elements from |column|.
inline Value loadVector(Emitter &e, const Buffer &vector, Value column,
                        Value mask) {
  return e.loadLanes(e.offset(vector.base, column, vector.element),
                     vector.element, mask);
}

/// A tensor around one axis.
struct AxisView {
  Value outer, n; // i64
  int64_t size;   // n where it is static, else -1
  int64_t inner;  // product of the sizes behind
  /// Failure, with a diagnostic on |op|, where a size behind the first is dynamic.
  static FailureOr<AxisView> get(EntryContext &c, Operation *op, Value tensor,
                                 int64_t axis);
};

/// The value of all elements of a constant, also behind nn.broadcast and
/// nn.reshape; null for other tensors.
TypedAttr splatOf(Value tensor);
/// 16 lanes of |value|: f32 for any float, i32, i1.
Value splatLanes(Emitter &e, TypedAttr value);

/// A constant of the type of |like|, f32 or i32, a scalar or lanes.
Value constantF(Emitter &e, Value like, float value);
Value constantI(Emitter &e, Value like, int32_t value);

/// |value| in the lanes of |mask| (null: all), |other| elsewhere.
inline Value keep(Emitter &e, Value mask, Value value, Value other) {
  return mask ? e.select(mask, value, other) : value;
}
/// The lanes that are in front of |end|, the first being element |at|.
Value lanesBefore(Emitter &e, Value at, Value end);

/// As Emitter::lanes over |n| columns that are known at run time alone where
/// |size| is negative.
SmallVector<Value>
lanesOf(Emitter &e, int64_t size, Value n, ValueRange init,
        function_ref<SmallVector<Value>(Value column, Value mask, ValueRange)>
            body);
void lanesOf(Emitter &e, int64_t size, Value n,
             function_ref<void(Value column, Value mask)> body);
/// As Emitter::lanes, as straight code where it is short.
SmallVector<Value> shortLanes(
    Emitter &e, int64_t width, ValueRange init,
    function_ref<SmallVector<Value>(Value column, Value mask, ValueRange)>
        body);

/// Runs in parallel over all elements of |tensor|, 16 at a time: |index| is the
/// first element from the start of the buffer.
void parallelElements(EntryContext &c, Value tensor,
                      function_ref<void(Value index, Value mask)> body);
/// The 16 elements from |index|.
inline Value loadAt(Emitter &e, const Buffer &x, Value index, Value mask) {
  return e.loadLanes(e.offset(x.base, index, x.element), x.element, mask);
}
inline void storeAt(Emitter &e, const Buffer &y, Value index, Value value,
                    Value mask) {
  e.storeLanes(e.offset(y.base, index, y.element), y.element, value, mask);
}

} // namespace mlir::moe::cpu

#endif
