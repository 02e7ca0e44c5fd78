// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/interpreter/params.h"

#include "dialect/nn/NnParams.h"
#include "lib/core/scaled.h"
#include "lib/core/tensor_pattern.h"

#include <cstring>

using namespace mlir;
using namespace mlir::moe;

/// The leading index, in the whole parameter, of the part of |rank|.
static int64_t firstOf(nn::ParamOp param, int64_t rank) {
  return param->hasAttr("moe.shard")
             ? rank * param.getTensorType().getDimSize(0)
             : 0;
}

template <typename T>
FailureOr<Tensor<T>> TensorParams<T>::get(nn::ParamOp param,
                                          std::optional<int64_t> layer,
                                          Operation *user) {
  Tensor<T> value = values.lookup(param.getSymName());
  Element element = *elementOf(param.getTensorType());
  if (value.isFloat() != isFloat(element) ||
      (!value.isFloat() && value.element() != element))
    return user->emitOpError("expects numbers like ")
           << elementName(element) << " for @" << param.getSymName() << ", got "
           << value.describe();
  if (layer) {
    auto range = *param.getLayers();
    if (value.rank() == 0 || value.dim(0) != range[1] - range[0])
      return user->emitOpError("expects @")
             << param.getSymName() << " of " << range[1] - range[0]
             << " layers, got " << value.describe();
    value = value.rows(*layer - range[0], *layer - range[0] + 1, /*drop=*/true);
  }
  if (param->hasAttr("moe.shard")) {
    int64_t first = firstOf(param, rank),
            end = first + param.getTensorType().getDimSize(0);
    if (value.rank() == 0 || value.dim(0) < end)
      return user->emitOpError("expects @")
             << param.getSymName() << " of all ranks, got " << value.describe();
    value = value.rows(first, end);
  }
  return value.isFloat() ? value.converted(element) : value;
}

namespace {
/// Where the rows of one source lie in its tensor.
struct Layout {
  int64_t at, rows, k;
  int64_t offset, strideG, strideN, strideK;
  int64_t last(int64_t groups) const {
    return offset + (groups - 1) * strideG + (rows - 1) * strideN +
           (k - 1) * strideK;
  }
};
} // namespace

static FailureOr<Layout> layoutOf(nn::ParamOp param, nn::SourceAttr source,
                                  int64_t groups, Operation *user) {
  nn::ParamGroups whole = nn::groupsOf(param);
  bool perExpert = source.getPattern().getValue().contains("{e}");
  Layout layout;
  layout.at = source.getAt();
  layout.rows = source.getRows() ? source.getRows() : whole.n;
  layout.k = whole.k;
  layout.offset = source.getOffset();
  layout.strideG = perExpert ? 0 : layout.rows * layout.k;
  layout.strideN = layout.k;
  layout.strideK = 1;
  auto strides = source.getStrides();
  if (strides.size() == 3) {
    layout.strideG = strides[0];
    layout.strideN = strides[1];
    layout.strideK = strides[2];
  } else if (!strides.empty()) {
    return user->emitOpError("expects three strides in the sources of @")
           << param.getSymName();
  }
  int64_t size = nn::numbersOf(source).value_or(0);
  if (layout.offset < 0 || layout.strideG < 0 || layout.strideN < 0 ||
      layout.strideK < 0 || layout.last(perExpert ? 1 : groups) >= size)
    return user->emitOpError("expects the sources of @")
           << param.getSymName() << " to lie within their tensors";
  return layout;
}

static ::moe::ScaledLayout scaledLayout(nn::SourceAttr source) {
  nn::ScaledAttr scaled = source.getScaled();
  ::moe::ScaledLayout layout;
  if (nn::storedName(scaled) == "f4e2m1")
    layout.stored = ::moe::StoredNumber::kF4E2M1;
  layout.columns = nn::scaledColumns(source);
  layout.block_rows = scaled.getBlock()[0];
  layout.block_columns = scaled.getBlock()[1];
  return layout;
}

template <typename T>
FailureOr<Tensor<T>> CheckpointParams<T>::get(nn::ParamOp param,
                                              std::optional<int64_t> layer,
                                              Operation *user) {
  auto [it, isNew] = kept.try_emplace(
      {param.getTensorType().getAsOpaquePointer(),
       param.getSourcesAttr().getAsOpaquePointer(), layer.value_or(-1)});
  if (!isNew)
    return it->second;
  auto abandon = [&, where = it]() -> FailureOr<Tensor<T>> {
    kept.erase(where);
    return failure();
  };
  auto type = param.getTensorType();
  nn::ParamGroups whole = nn::groupsOf(param);
  int64_t groups = whole.groups, rows = whole.n, first = firstOf(param, rank);
  Element element = *elementOf(type);
  if (!isFloat(element) && element != Element::I32) {
    user->emitOpError("expects floats or i32 in @") << param.getSymName();
    return abandon();
  }
  std::vector<T> values(isFloat(element) ? type.getNumElements() : 0);
  std::vector<int64_t> integers(isFloat(element) ? 0 : type.getNumElements());
  std::string name;
  llvm::raw_string_ostream(name) << type.getElementType();
  std::optional<::moe::DType> dtype = ::moe::DTypeFromName(name);
  for (auto source : param.getSources().template getAsRange<nn::SourceAttr>()) {
    auto layout = layoutOf(param, source, first + groups, user);
    if (failed(layout))
      return abandon();
    bool perExpert = source.getPattern().getValue().contains("{e}");
    for (int64_t g = 0; g < groups; ++g) {
      auto found = checkpoint.Get(::moe::ExpandPattern(
          std::string_view(source.getPattern().getValue()), layer, first + g));
      if (!found.ok()) {
        user->emitOpError("cannot read @")
            << param.getSymName() << ": "
            << std::string(found.status().message());
        return abandon();
      }
      const ::moe::Tensor &stored = **found;
      std::optional<::moe::ScaledLayout> scaled;
      const ::moe::Tensor *scales = nullptr;
      if (nn::ScaledAttr attr = source.getScaled()) {
        scaled = scaledLayout(source);
        auto other = checkpoint.Get(::moe::ExpandPattern(
            std::string_view(attr.getPattern().getValue()), layer, first + g));
        if (!other.ok()) {
          user->emitOpError("cannot read @")
              << param.getSymName() << ": "
              << std::string(other.status().message());
          return abandon();
        }
        scales = *other;
        if (llvm::ArrayRef<int64_t>(scales->shape) != attr.getShape() ||
            scales->dtype != scaled->ScaleType() || !scales->data) {
          user->emitOpError("expects ")
              << scales->name << " to hold the scales of @"
              << param.getSymName();
          return abandon();
        }
      }
      if (llvm::ArrayRef<int64_t>(stored.shape) != source.getShape() ||
          (scaled ? !isFloat(element) || stored.dtype != scaled->NumberType()
           : isFloat(element) ? !::moe::IsFloat(stored.dtype)
                              : stored.dtype != ::moe::DType::kI32) ||
          !stored.data) {
        user->emitOpError("expects ")
            << stored.name
            << " to hold numbers in the shape that the source of @"
            << param.getSymName() << " names";
        return abandon();
      }
      int64_t base = layout->offset +
                     (perExpert ? 0 : (first + g) * layout->strideG),
              width = ::moe::DTypeSize(stored.dtype);
      int64_t to = (g * rows + layout->at) * layout->k;
      for (int64_t n = 0; n < layout->rows; ++n) {
        for (int64_t k = 0; k < layout->k; ++k) {
          if (scaled) {
            float value = ::moe::LoadScaled(*scaled, stored.data, scales->data,
                                            base + n * layout->strideN +
                                                k * layout->strideK);
            std::byte rounded[4];
            ::moe::StoreFloat(*dtype, value, rounded);
            values[to++] = ::moe::LoadFloat(*dtype, rounded);
            continue;
          }
          const std::byte *at =
              stored.data +
              (base + n * layout->strideN + k * layout->strideK) * width;
          if (!integers.empty()) {
            int32_t number;
            std::memcpy(&number, at, sizeof number);
            integers[to++] = number;
          } else if constexpr (std::is_same_v<T, float>) {
            values[to++] = ::moe::LoadFloat(stored.dtype, at);
          } else {
            values[to++] = ::moe::LoadDouble(stored.dtype, at);
          }
        }
      }
    }
  }
  it->second =
      isFloat(element)
          ? Tensor<T>::floats(element, type.getShape(), std::move(values))
          : Tensor<T>::ints(element, type.getShape(), std::move(integers));
  return it->second;
}

template <typename T> bool ParamChain<T>::knows(nn::ParamOp param) const {
  return llvm::any_of(providers, [&](ParamProvider<T> *provider) {
    return provider->knows(param);
  });
}

template <typename T>
FailureOr<Tensor<T>> ParamChain<T>::get(nn::ParamOp param,
                                        std::optional<int64_t> layer,
                                        Operation *user) {
  for (ParamProvider<T> *provider : providers)
    if (provider->knows(param))
      return provider->get(param, layer, user);
  return user->emitOpError("has no value for @") << param.getSymName();
}

namespace mlir::moe {
template class TensorParams<float>;
template class TensorParams<double>;
template class CheckpointParams<float>;
template class CheckpointParams<double>;
template class ParamChain<float>;
template class ParamChain<double>;
} // namespace mlir::moe
