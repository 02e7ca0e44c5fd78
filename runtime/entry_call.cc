// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/entry_call.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/shape_text.h"
#include "runtime/token_ids.h"

namespace moe {
namespace {

constexpr int64_t kUnknown = -1;
constexpr uintptr_t kAlignment = 64;

const TensorView* FindTensor(std::span<const TensorView> tensors,
                             std::string_view name) {
  const auto it = std::find_if(
      tensors.begin(), tensors.end(),
      [&](const TensorView& tensor) { return tensor.name == name; });
  return it == tensors.end() ? nullptr : &*it;
}

bool HasDefault(std::string_view name) {
  return name == "positions" || name == "cu_seqlens";
}

std::span<const int32_t> Ints(const TensorView& tensor) {
  const int64_t count = ElementCount(tensor.shape).value_or(0);
  return {static_cast<const int32_t*>(tensor.data), static_cast<size_t>(count)};
}

absl::Status Misfit(const BufferSpec& buffer, const TensorView& tensor) {
  std::string expected;
  for (const Extent& extent : buffer.shape)
    expected += (expected.empty() ? "" : ", ") + extent.text;
  return Error(Code::R205, "input ", Quoted(buffer.name), " is ",
               DTypeName(tensor.dtype), " ", ShapeText(tensor.shape),
               ", expected ", DTypeName(buffer.dtype), " [", expected, "]");
}

// Fits |tensor| to |buffer|, noting the dims that its shape decides.
absl::Status MatchShape(const BufferSpec& buffer, const TensorView& tensor,
                        Dims& dims) {
  if (tensor.dtype != buffer.dtype ||
      tensor.shape.size() != buffer.shape.size())
    return Misfit(buffer, tensor);
  for (size_t i = 0; i < buffer.shape.size(); ++i) {
    const Extent& extent = buffer.shape[i];
    const int64_t size = tensor.shape[i] - extent.add;
    if (extent.dim == Extent::kConstant ? size != 0 : size < 0)
      return Misfit(buffer, tensor);
    if (extent.dim < 0) continue;
    int64_t& dim = dims[static_cast<size_t>(extent.dim)];
    if (dim != kUnknown && dim != size)
      return Error(Code::R205, "input ", Quoted(buffer.name), " says that ",
                   extent.text, " is ", tensor.shape[i],
                   ", another input says ", dim + extent.add);
    dim = size;
  }
  return absl::OkStatus();
}

// The longest sequence that |cu| describes; R205 if it does not cut |tokens|
// tokens into sequences.
absl::StatusOr<int64_t> Longest(std::span<const int32_t> cu, int64_t tokens) {
  int64_t longest = 0;
  bool good = !cu.empty() && cu.front() == 0 && cu.back() == tokens;
  for (size_t i = 1; good && i < cu.size(); ++i) {
    good = cu[i] >= cu[i - 1];
    longest = std::max<int64_t>(longest, int64_t{cu[i]} - cu[i - 1]);
  }
  if (good) return longest;
  return Error(Code::R205, "input 'cu_seqlens' must rise from 0 to the number ",
               "of tokens, which is ", tokens);
}

absl::StatusOr<Dims> InferDims(const EntrySpec& entry,
                               std::span<const TensorView> inputs) {
  Dims dims;
  dims.fill(kUnknown);
  const TensorView* cu = nullptr;
  for (const BufferSpec& buffer : entry.buffers) {
    if (buffer.role == BufferRole::kCache)
      return Error(Code::R204, "entry ", Quoted(entry.name), " works on a ",
                   "key-value cache, which only a session has: use generate");
    if (buffer.role != BufferRole::kInput) continue;
    const TensorView* tensor = FindTensor(inputs, buffer.name);
    if (tensor == nullptr && HasDefault(buffer.name)) continue;
    if (tensor == nullptr)
      return Error(Code::R204, "entry ", Quoted(entry.name),
                   " needs the input ", Quoted(buffer.name), ", a tensor of ",
                   DTypeName(buffer.dtype));
    RETURN_IF_ERROR(MatchShape(buffer, *tensor, dims));
    if (buffer.name == "cu_seqlens") cu = tensor;
  }
  int64_t& tokens = dims[MOE_DIM_TOKENS];
  tokens = std::max<int64_t>(tokens, 0);
  dims[MOE_DIM_LONGEST] = tokens;
  if (cu != nullptr && cu->dtype == DType::kI32) {
    ASSIGN_OR_RETURN(dims[MOE_DIM_LONGEST], Longest(Ints(*cu), tokens));
  }
  if (dims[MOE_DIM_SEQUENCES] == kUnknown) dims[MOE_DIM_SEQUENCES] = 1;
  for (int64_t& dim : dims) dim = std::max<int64_t>(dim, 0);
  return dims;
}

absl::Status CheckValues(const Engine& engine,
                         std::span<const TensorView> inputs) {
  const std::optional<ModelSpec>& model = engine.manifest().model;
  if (!model) return absl::OkStatus();
  const TensorView* ids = FindTensor(inputs, "ids");
  // Among several ranks one may have no tokens.
  const bool idle = engine.channel() != nullptr && ids != nullptr &&
                    ElementCount(ids->shape) == 0;
  if (ids != nullptr && ids->dtype == DType::kI32 && !idle)
    RETURN_IF_ERROR(CheckIds(Ints(*ids), model->vocab_size, "input 'ids'"));
  const TensorView* positions = FindTensor(inputs, "positions");
  if (positions == nullptr || positions->dtype != DType::kI32)
    return absl::OkStatus();
  for (int32_t position : Ints(*positions)) {
    if (position < 0)
      return Error(Code::R205, "input 'positions' has the value ", position);
    RETURN_IF_ERROR(CheckLength(int64_t{position} + 1, model->max_positions,
                                "input 'positions'"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EntryCall> EntryCall::Prepare(
    const Engine& engine, std::string_view entry,
    std::span<const TensorView> inputs) {
  ASSIGN_OR_RETURN(const EntrySpec* spec, engine.manifest().GetEntry(entry));
  ASSIGN_OR_RETURN(Dims dims, InferDims(*spec, inputs));
  RETURN_IF_ERROR(CheckValues(engine, inputs));
  int64_t& most = dims[MOE_DIM_RANK_TOKENS];
  most = dims[MOE_DIM_TOKENS];
  if (engine.channel() != nullptr) {
    ASSIGN_OR_RETURN(most, engine.channel()->Max(most));
  }
  ASSIGN_OR_RETURN(BoundEntry bound, BoundEntry::Bind(engine, entry, dims));
  EntryCall call(std::move(bound), dims);
  RETURN_IF_ERROR(call.Connect(inputs));
  return call;
}

absl::Status EntryCall::Connect(std::span<const TensorView> inputs) {
  const EntrySpec& spec = entry_.spec();
  positions_.resize(static_cast<size_t>(dims_[MOE_DIM_TOKENS]));
  std::iota(positions_.begin(), positions_.end(), 0);
  cu_seqlens_ = {0, static_cast<int32_t>(dims_[MOE_DIM_TOKENS])};
  for (const BufferSpec& buffer : spec.buffers) {
    if (buffer.role == BufferRole::kOutput) {
      TensorView& out = outputs_.emplace_back();
      out.name = buffer.name;
      out.dtype = buffer.dtype;
      for (const Extent& extent : buffer.shape)
        out.shape.push_back(ExtentSize(extent, dims_.data()));
      out.data = entry_.OutputData(buffer.name);
    }
    if (buffer.role != BufferRole::kInput) continue;
    const TensorView* tensor = FindTensor(inputs, buffer.name);
    const void* data = tensor != nullptr            ? tensor->data
                       : buffer.name == "positions" ? positions_.data()
                                                    : cu_seqlens_.data();
    if (tensor != nullptr &&
        reinterpret_cast<uintptr_t>(data) % kAlignment != 0) {
      const int64_t bytes = ByteCount(tensor->dtype, tensor->shape).value_or(0);
      ASSIGN_OR_RETURN(AnonymousMemory copy,
                       AnonymousMemory::Allocate(bytes, "input"));
      if (bytes > 0) std::memcpy(copy.data(), data, static_cast<size_t>(bytes));
      data = copy.data();
      copies_.push_back(std::move(copy));
    }
    RETURN_IF_ERROR(entry_.SetInput(buffer.name, data));
  }
  for (const TensorView& tensor : inputs) {
    const int i = spec.FindBuffer(tensor.name);
    if (i < 0 ||
        spec.buffers[static_cast<size_t>(i)].role != BufferRole::kInput)
      unused_.push_back(tensor.name);
  }
  return entry_.CheckInputsSet();
}

}  // namespace moe
