// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operations that move elements, and reductions over one axis.
#include "lib/interpreter/machine.h"
#include "lib/reference/movement.h"
#include "lib/reference/reduce.h"

using namespace mlir;
using namespace mlir::moe;
namespace ref = ::moe::reference;

static int64_t product(llvm::ArrayRef<int64_t> dims) {
  int64_t size = 1;
  for (int64_t dim : dims)
    size *= dim;
  return size;
}

template <typename T>
static Tensor<T> embedding(Call<T> &c, const Tensor<T> &ids,
                           const Tensor<T> &table) {
  int64_t vocab = table.dim(0), d = table.dim(1);
  for (int64_t id : ids.integers())
    if (!c.expect(0 <= id && id < vocab, "ids below " + llvm::Twine(vocab) +
                                             ", got " + llvm::Twine(id)))
      return {};
  if (!table.isFloat()) {
    std::vector<int32_t> y(ids.dim(0) * d);
    ref::Embedding(ids.int32s().data(), table.int32s().data(), ids.dim(0),
                   vocab, d, y.data());
    return Tensor<T>::ints(c.resultElement(), {ids.dim(0), d},
                           {y.begin(), y.end()});
  }
  std::vector<T> y(ids.dim(0) * d);
  ref::Embedding(ids.int32s().data(), table.data(), ids.dim(0), vocab, d,
                 y.data());
  return Tensor<T>::floats(c.resultElement(), {ids.dim(0), d}, std::move(y));
}

/// A tensor around one axis: [outer, n, inner].
template <typename T> struct Axis {
  Axis(const Tensor<T> &x, int64_t axis)
      : outer(product(x.shape().take_front(axis))), n(x.dim(axis)),
        inner(product(x.shape().drop_front(axis + 1))) {}
  int64_t outer, n, inner;
};

template <typename T>
static Tensor<T> softmax(const Tensor<T> &x, int64_t axis) {
  Axis<T> at(x, axis);
  std::vector<T> y(x.size());
  ref::Softmax(x.data(), at.outer, at.n, at.inner, y.data());
  return Tensor<T>::floats(x.element(), x.shape(), std::move(y));
}

template <typename T>
static Tensor<T> reduce(const Tensor<T> &x, nn::ReduceKind kind, int64_t axis) {
  Axis<T> at(x, axis);
  llvm::SmallVector<int64_t> shape(x.shape());
  shape.erase(shape.begin() + axis);
  std::vector<T> y(at.outer * at.inner);
  auto name =
      *ref::ParseReduceKind(std::string_view(nn::stringifyReduceKind(kind)));
  ref::Reduce(name, x.data(), at.outer, at.n, at.inner, y.data());
  return Tensor<T>::floats(x.element(), shape, std::move(y));
}

template <typename T>
static Tensor<T> broadcast(const Tensor<T> &x, int64_t axis, int64_t size) {
  llvm::SmallVector<int64_t> shape(x.shape());
  shape.insert(shape.begin() + axis, size);
  int64_t outer = product(x.shape().take_front(axis)),
          inner = product(x.shape().drop_front(axis));
  if (x.isFloat()) {
    std::vector<T> y(product(shape));
    ref::Broadcast(x.data(), outer, size, inner, y.data());
    return Tensor<T>::floats(x.element(), shape, std::move(y));
  }
  std::vector<int32_t> y(product(shape));
  ref::Broadcast(x.int32s().data(), outer, size, inner, y.data());
  return Tensor<T>::ints(x.element(), shape, {y.begin(), y.end()});
}

template <typename T>
static Tensor<T> broadcast(Call<T> &c, nn::BroadcastOp op) {
  int64_t axis = op.getAxis(),
          size = cast<RankedTensorType>(op.getY().getType()).getDimSize(axis);
  if (Maybe<T> like = c.maybe(op.getLike());
      like && ShapedType::isDynamic(size))
    size = like->dim(0);
  if (!c.expect(size >= 0, "a size of the new axis"))
    return {};
  return broadcast(c[op.getX()], axis, size);
}

template <typename T>
Tensor<T> mlir::moe::slice(Check &c, const Tensor<T> &x, int64_t start,
                           int64_t size) {
  int64_t width = x.rank() ? x.dim(x.rank() - 1) : 0;
  if (!c.expect(0 <= start && 0 < size && start + size <= width,
                "a range of the last axis"))
    return {};
  llvm::SmallVector<int64_t> shape(x.shape());
  shape.back() = size;
  int64_t rows = product(x.shape().drop_back());
  std::vector<T> y(rows * size);
  ref::Slice(x.data(), rows, width, start, size, y.data());
  return Tensor<T>::floats(x.element(), shape, std::move(y));
}

template <typename T>
Tensor<T> mlir::moe::concatenate(Check &c, llvm::ArrayRef<Tensor<T>> parts) {
  if (!c.expect(!parts.empty() && parts[0].rank() >= 1, "at least one tensor"))
    return {};
  llvm::SmallVector<int64_t> shape(parts[0].shape());
  int64_t width = 0, start = 0, rows = product(parts[0].shape().drop_back());
  for (const Tensor<T> &part : parts) {
    if (!c.expect(part.shape().drop_back() == parts[0].shape().drop_back(),
                  "shapes that differ in the last axis alone, got " +
                      parts[0].describe() + " and " + part.describe()))
      return {};
    width += part.shape().back();
  }
  shape.back() = width;
  auto join = [&](auto &&y, auto elements) {
    for (const Tensor<T> &part : parts) {
      ref::ConcatPart(elements(part).data(), rows, part.shape().back(), start,
                      width, y.data());
      start += part.shape().back();
    }
    return std::move(y);
  };
  if (parts[0].isFloat())
    return Tensor<T>::floats(
        parts[0].element(), shape,
        join(std::vector<T>(rows * width),
             [](const Tensor<T> &x) { return x.values(); }));
  std::vector<int32_t> y = join(std::vector<int32_t>(rows * width),
                                [](const Tensor<T> &x) { return x.int32s(); });
  return Tensor<T>::ints(parts[0].element(), shape, {y.begin(), y.end()});
}

template <typename T>
Tensor<T> mlir::moe::regroup(Check &c, const Tensor<T> &x,
                             llvm::ArrayRef<int64_t> tail) {
  if (!c.expect(x.rank() >= 1, "a leading axis") ||
      !c.same("elements in a row", x.rowSize(), product(tail)))
    return {};
  llvm::SmallVector<int64_t> shape{x.dim(0)};
  llvm::append_range(shape, tail);
  return x.reshaped(shape);
}

template <typename T>
static Tensor<T> lastRows(Call<T> &c, const Tensor<T> &x, const Tensor<T> &cu) {
  if (!c.sequences(cu, x.dim(0)))
    return {};
  int64_t sequences = cu.dim(0) - 1;
  for (int64_t b = 0; b < sequences; ++b)
    if (!c.expect(cu.integers()[b + 1] > 0,
                  "a row before the end of each sequence"))
      return {};
  std::vector<T> y(sequences * x.dim(1));
  ref::LastRows(x.data(), cu.int32s().data(), sequences, x.dim(1), y.data());
  return Tensor<T>::floats(x.element(), {sequences, x.dim(1)}, std::move(y));
}

template <typename T> void mlir::moe::addShapeHandlers(HandlerTable<T> &table) {
  table.template add<nn::EmbeddingOp>([](Call<T> &c, nn::EmbeddingOp op) {
    return embedding(c, c[op.getIds()], c[op.getTable()]);
  });
  table.template add<nn::SoftmaxOp>([](Call<T> &c, nn::SoftmaxOp op) {
    return softmax(c[op.getX()], op.getAxis());
  });
  table.template add<nn::ReduceOp>([](Call<T> &c, nn::ReduceOp op) {
    return reduce(c[op.getX()], op.getKind(), op.getAxis());
  });
  table.template add<nn::BroadcastOp>(
      [](Call<T> &c, nn::BroadcastOp op) { return broadcast(c, op); });
  table.template add<nn::ReshapeOp>([](Call<T> &c, nn::ReshapeOp op) {
    return regroup(
        c, c[op.getX()],
        cast<RankedTensorType>(op.getY().getType()).getShape().drop_front());
  });
  table.template add<nn::SliceOp>([](Call<T> &c, nn::SliceOp op) {
    return slice(c, c[op.getX()], op.getStart(), op.getSize());
  });
  table.template add<nn::ConcatOp>([](Call<T> &c, nn::ConcatOp op) {
    llvm::SmallVector<Tensor<T>> parts;
    for (Value x : op.getXs())
      parts.push_back(c[x]);
    return concatenate<T>(c, parts);
  });
  table.template add<nn::LastRowsOp>([](Call<T> &c, nn::LastRowsOp op) {
    return lastRows(c, c[op.getX()], c[op.getCuSeqlens()]);
  });
}

#define MOE_INSTANTIATE(T)                                                     \
  template Tensor<T> mlir::moe::slice(Check &, const Tensor<T> &, int64_t,     \
                                      int64_t);                                \
  template Tensor<T> mlir::moe::concatenate(Check &,                           \
                                            llvm::ArrayRef<Tensor<T>>);        \
  template Tensor<T> mlir::moe::regroup(Check &, const Tensor<T> &,            \
                                        llvm::ArrayRef<int64_t>);              \
  template void mlir::moe::addShapeHandlers(HandlerTable<T> &);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE
