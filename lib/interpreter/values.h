// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the interpreter computes with: tensors, routing plans, key-value caches
// and stacks of values by layer.
//
//   auto x = Tensor<float>::floats(Element::F32, {2, 3}, {1, 2, 3, 4, 5, 6});
//   auto ids = Tensor<float>::ints(Element::I32, {2}, {7, 9});
//   Datum<float> value = x;                    // cheap: storage is shared
//   value.tensor().values()[4];                // 5
//
// T is float or double, the type of all floating-point arithmetic. With float,
// elements of a bf16 or f16 tensor are kept rounded to that type; with double
// nothing is rounded, whatever the element type says. Values never change once
// made, apart from Cache, which operations write. Not thread-safe where a cache
// is shared, otherwise safe.
#ifndef MOE_LIB_INTERPRETER_VALUES_H
#define MOE_LIB_INTERPRETER_VALUES_H

#include "lib/reference/routing.h"

#include "mlir/IR/Types.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace mlir::moe {

enum class Element : uint8_t {
  F64,
  F32,
  F16,
  BF16,
  Index,
  I64,
  I32,
  I16,
  I8,
  I1
};

bool isFloat(Element element);
/// Bits of an integer element; index counts as 64.
unsigned integerWidth(Element element);
/// "f32", "i1", "index", …
llvm::StringRef elementName(Element element);
/// The element of a scalar type or of a ranked tensor type; nothing for types
/// that the interpreter has no values of.
std::optional<Element> elementOf(Type type);

/// |value| as a T of an element: rounded to nearest even for bf16 and f16 if T
/// is float, else unchanged.
template <typename T> T roundTo(Element element, T value);
/// |value| wrapped to the width of an integer element: i1 is 0 or 1, other
/// widths are sign-extended.
int64_t wrapTo(Element element, int64_t value);

/// A dense row-major tensor; rank 0 stands for scalars too. Copies share their
/// storage.
template <typename T> class Tensor {
public:
  /// An f32 scalar 0.
  Tensor();
  /// Round (or wrap) |values| to the element type. Their number must be the
  /// product of |shape|.
  static Tensor floats(Element element, llvm::ArrayRef<int64_t> shape,
                       std::vector<T> values);
  static Tensor ints(Element element, llvm::ArrayRef<int64_t> shape,
                     std::vector<int64_t> values);
  static Tensor index(int64_t value) {
    return ints(Element::Index, {}, {value});
  }

  Element element() const { return kind; }
  bool isFloat() const { return mlir::moe::isFloat(kind); }
  llvm::ArrayRef<int64_t> shape() const { return dims; }
  int64_t rank() const { return dims.size(); }
  int64_t dim(int64_t axis) const { return dims[axis]; }
  int64_t size() const;
  /// Elements behind axis 0; 1 for vectors.
  int64_t rowSize() const;

  /// The elements of a floating-point tensor.
  llvm::ArrayRef<T> values() const { return *floatData; }
  const T *data() const { return floatData->data(); }
  /// The elements of an integer tensor.
  llvm::ArrayRef<int64_t> integers() const { return *intData; }
  /// The same as i32, for the reference functions.
  std::vector<int32_t> int32s() const {
    return {intData->begin(), intData->end()};
  }

  /// The same elements in another shape of the same size.
  Tensor reshaped(llvm::ArrayRef<int64_t> shape) const;
  /// The same numbers as another floating-point element, rounded to it.
  Tensor converted(Element element) const;
  /// Rows [begin, end) of axis 0; |drop| removes the axis of one row.
  Tensor rows(int64_t begin, int64_t end, bool drop = false) const;
  /// Tensors of one shape behind a new axis 0 of |parts.size()|, or joined
  /// along axis 0 without a new one. There is at least one.
  static Tensor stacked(llvm::ArrayRef<Tensor> parts);
  static Tensor joined(llvm::ArrayRef<Tensor> parts);
  /// "2x3xf32"
  std::string describe() const;

private:
  Element kind = Element::F32;
  llvm::SmallVector<int64_t, 4> dims;
  std::shared_ptr<const std::vector<T>> floatData;
  std::shared_ptr<const std::vector<int64_t>> intData;
};

/// A paged key-value cache, elements [layer][page][pageLength][width].
template <typename T> struct Cache {
  Cache(Element element, int64_t layers, int64_t pages, int64_t pageLength,
        int64_t width)
      : element(element), layers(layers), pages(pages), pageLength(pageLength),
        width(width), data(layers * pages * pageLength * width) {}
  Element element;
  int64_t layers, pages, pageLength, width;
  std::vector<T> data;
};

using Plan = ::moe::reference::Plan;
using PlanPtr = std::shared_ptr<const Plan>;

/// Any value. `T tensor()` and the like assert that it is of that kind.
template <typename T> class Datum {
public:
  using CachePtr = std::shared_ptr<Cache<T>>;
  using Stack = std::shared_ptr<const std::vector<Datum>>;

  Datum() = default;
  Datum(Tensor<T> tensor) : value(std::move(tensor)) {}
  Datum(PlanPtr plan) : value(std::move(plan)) {}
  Datum(Plan plan) : value(std::make_shared<const Plan>(std::move(plan))) {}
  Datum(CachePtr cache) : value(std::move(cache)) {}
  Datum(Stack stack) : value(std::move(stack)) {}

  bool isTensor() const { return std::holds_alternative<Tensor<T>>(value); }
  bool isPlan() const { return std::holds_alternative<PlanPtr>(value); }
  bool isCache() const { return std::holds_alternative<CachePtr>(value); }
  bool isStack() const { return std::holds_alternative<Stack>(value); }
  const Tensor<T> &tensor() const { return *std::get_if<Tensor<T>>(&value); }
  const Plan &plan() const { return **std::get_if<PlanPtr>(&value); }
  Cache<T> &cache() const { return **std::get_if<CachePtr>(&value); }
  const std::vector<Datum> &stack() const {
    return **std::get_if<Stack>(&value);
  }

  /// Whether a value of |type| may be this: kind, element, rank and static
  /// dimensions agree.
  bool fits(Type type) const;
  std::string describe() const;

private:
  std::variant<Tensor<T>, PlanPtr, CachePtr, Stack> value;
};

} // namespace mlir::moe

#endif
