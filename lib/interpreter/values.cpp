// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/interpreter/values.h"

#include "dialect/moe/MoeDialect.h"
#include "lib/core/dtype.h"

#include "mlir/IR/BuiltinTypes.h"

#include <cassert>
#include <functional>
#include <numeric>

using namespace mlir;
using namespace mlir::moe;

static int64_t product(llvm::ArrayRef<int64_t> dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t(1),
                         std::multiplies<>());
}

bool mlir::moe::isFloat(Element element) {
  return element == Element::F64 || element == Element::F32 ||
         element == Element::F16 || element == Element::BF16;
}

unsigned mlir::moe::integerWidth(Element element) {
  switch (element) {
  case Element::I1:
    return 1;
  case Element::I8:
    return 8;
  case Element::I16:
    return 16;
  case Element::I32:
    return 32;
  default:
    return 64;
  }
}

llvm::StringRef mlir::moe::elementName(Element element) {
  static constexpr llvm::StringLiteral names[] = {
      "f64", "f32", "f16", "bf16", "index", "i64", "i32", "i16", "i8", "i1"};
  return names[static_cast<size_t>(element)];
}

std::optional<Element> mlir::moe::elementOf(Type type) {
  if (auto tensor = dyn_cast<RankedTensorType>(type))
    type = tensor.getElementType();
  if (type.isIndex())
    return Element::Index;
  for (Element element :
       {Element::I64, Element::I32, Element::I16, Element::I8, Element::I1})
    if (type.isSignlessInteger(integerWidth(element)))
      return element;
  if (type.isF64())
    return Element::F64;
  if (type.isF32())
    return Element::F32;
  if (type.isF16())
    return Element::F16;
  if (type.isBF16())
    return Element::BF16;
  return std::nullopt;
}

template <typename T> T mlir::moe::roundTo(Element element, T value) {
  if constexpr (std::is_same_v<T, float>) {
    if (element == Element::BF16)
      return ::moe::FloatFromBFloat16(::moe::BFloat16FromFloat(value));
    if (element == Element::F16)
      return ::moe::FloatFromFloat16(::moe::Float16FromFloat(value));
  }
  return value;
}

int64_t mlir::moe::wrapTo(Element element, int64_t value) {
  unsigned width = integerWidth(element);
  if (width == 1)
    return value & 1;
  unsigned unused = 64 - width;
  return static_cast<int64_t>(static_cast<uint64_t>(value) << unused) >> unused;
}

template <typename T>
Tensor<T>::Tensor() : floatData(std::make_shared<const std::vector<T>>(1)) {}

template <typename T>
Tensor<T> Tensor<T>::floats(Element element, llvm::ArrayRef<int64_t> shape,
                            std::vector<T> values) {
  assert(mlir::moe::isFloat(element) &&
         int64_t(values.size()) == product(shape));
  if (element == Element::BF16 || element == Element::F16)
    for (T &value : values)
      value = roundTo(element, value);
  Tensor out;
  out.kind = element;
  out.dims.assign(shape.begin(), shape.end());
  out.floatData = std::make_shared<const std::vector<T>>(std::move(values));
  return out;
}

template <typename T>
Tensor<T> Tensor<T>::ints(Element element, llvm::ArrayRef<int64_t> shape,
                          std::vector<int64_t> values) {
  assert(!mlir::moe::isFloat(element) &&
         int64_t(values.size()) == product(shape));
  for (int64_t &value : values)
    value = wrapTo(element, value);
  Tensor out;
  out.kind = element;
  out.dims.assign(shape.begin(), shape.end());
  out.floatData = nullptr;
  out.intData = std::make_shared<const std::vector<int64_t>>(std::move(values));
  return out;
}

template <typename T> int64_t Tensor<T>::size() const { return product(dims); }
template <typename T> int64_t Tensor<T>::rowSize() const {
  return rank() ? product(llvm::ArrayRef<int64_t>(dims).drop_front()) : 1;
}

template <typename T>
Tensor<T> Tensor<T>::reshaped(llvm::ArrayRef<int64_t> shape) const {
  assert(product(shape) == size());
  Tensor out = *this;
  out.dims.assign(shape.begin(), shape.end());
  return out;
}

template <typename T> Tensor<T> Tensor<T>::converted(Element element) const {
  if (element == kind)
    return *this;
  return floats(element, dims, *floatData);
}

template <typename T>
Tensor<T> Tensor<T>::rows(int64_t begin, int64_t end, bool drop) const {
  assert(rank() && 0 <= begin && begin <= end && end <= dim(0) &&
         (!drop || end - begin == 1));
  Tensor out = *this;
  int64_t row = rowSize();
  if (drop)
    out.dims.erase(out.dims.begin());
  else
    out.dims[0] = end - begin;
  auto cut = [&](auto &data) {
    using Vector = std::decay_t<decltype(*data)>;
    if (data)
      data = std::make_shared<const Vector>(data->begin() + begin * row,
                                            data->begin() + end * row);
  };
  cut(out.floatData);
  cut(out.intData);
  return out;
}

template <typename T>
Tensor<T> Tensor<T>::joined(llvm::ArrayRef<Tensor> parts) {
  Tensor out = parts.front();
  std::vector<T> floats;
  std::vector<int64_t> integers;
  out.dims[0] = 0;
  for (const Tensor &part : parts) {
    assert(part.kind == out.kind && part.dims.size() == out.dims.size() &&
           part.rowSize() == out.rowSize());
    out.dims[0] += part.dims[0];
    if (part.isFloat())
      floats.insert(floats.end(), part.floatData->begin(),
                    part.floatData->end());
    else
      integers.insert(integers.end(), part.intData->begin(),
                      part.intData->end());
  }
  if (out.isFloat())
    out.floatData = std::make_shared<const std::vector<T>>(std::move(floats));
  else
    out.intData =
        std::make_shared<const std::vector<int64_t>>(std::move(integers));
  return out;
}

template <typename T>
Tensor<T> Tensor<T>::stacked(llvm::ArrayRef<Tensor> parts) {
  llvm::SmallVector<Tensor> raised;
  for (const Tensor &part : parts) {
    llvm::SmallVector<int64_t> shape{1};
    llvm::append_range(shape, part.dims);
    raised.push_back(part.reshaped(shape));
  }
  return joined(raised);
}

template <typename T> std::string Tensor<T>::describe() const {
  std::string text;
  for (int64_t size : dims)
    text += std::to_string(size) + "x";
  return text + elementName(kind).str();
}

template <typename T> bool Datum<T>::fits(Type type) const {
  if (auto want = dyn_cast<PlanType>(type))
    return isPlan() && plan().experts == want.getExperts() &&
           plan().top_k == want.getK();
  if (auto want = dyn_cast<nn::CacheType>(type))
    return isCache() && cache().width == want.getWidth() &&
           cache().element == elementOf(want.getElementType());
  if (auto want = dyn_cast<nn::StackType>(type))
    return isStack() && int64_t(stack().size()) == want.getLayers() &&
           llvm::all_of(stack(), [&](const Datum &item) {
             return item.fits(want.getValueType());
           });
  if (!isTensor() || tensor().element() != elementOf(type))
    return false;
  auto want = dyn_cast<RankedTensorType>(type);
  if (!want)
    return tensor().rank() == 0;
  if (want.getRank() != tensor().rank())
    return false;
  for (auto [formal, actual] : llvm::zip(want.getShape(), tensor().shape()))
    if (!ShapedType::isDynamic(formal) && formal != actual)
      return false;
  return true;
}

template <typename T> std::string Datum<T>::describe() const {
  if (isTensor())
    return tensor().describe();
  if (isPlan())
    return "a plan of " + std::to_string(plan().experts) + " experts and k " +
           std::to_string(plan().top_k);
  if (isCache())
    return "a cache of width " + std::to_string(cache().width) + " and " +
           elementName(cache().element).str();
  return "a stack of " + std::to_string(stack().size());
}

namespace mlir::moe {
template float roundTo(Element, float);
template double roundTo(Element, double);
template class Tensor<float>;
template class Tensor<double>;
template class Datum<float>;
template class Datum<double>;
} // namespace mlir::moe
