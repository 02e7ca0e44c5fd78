// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/weight_binding.h"

#include <cmath>
#include <span>
#include <string>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/shape_text.h"

namespace moe {
namespace {

size_t Count(const ParamSpec& param, const SourceSpec& source) {
  return static_cast<size_t>(source.PerGroup() ? param.groups : 1);
}

// A tensor of the shape and dtype that the module expects.
absl::StatusOr<const Tensor*> GetTensor(const Checkpoint& checkpoint,
                                        const std::string& name,
                                        const std::vector<int64_t>& shape,
                                        DType dtype) {
  ASSIGN_OR_RETURN(const Tensor* tensor, checkpoint.Get(name));
  const std::string& file = checkpoint.FileOf(*tensor).path();
  if (tensor->shape != shape)
    return Error(Code::W102, file, ": tensor ", Quoted(name), " has shape ",
                 ShapeText(tensor->shape), ", the module expects ",
                 ShapeText(shape), ". Give the folder it was compiled from.");
  if (tensor->dtype != dtype)
    return Error(Code::W103, file, ": tensor ", Quoted(name), " is ",
                 DTypeName(tensor->dtype), ", the module expects ",
                 DTypeName(dtype), ". Compile this checkpoint.");
  return tensor;
}

absl::Status CheckScales(const Checkpoint& checkpoint, const Tensor& scales,
                         const ScaledSpec& scaled) {
  const int64_t count = *ElementCount(scales.shape);
  for (int64_t i = 0; i < count; ++i)
    if (const float scale = LoadScale(scaled.layout, scales.data, i);
        !std::isfinite(scale))
      return Error(Code::W111, checkpoint.FileOf(scales).path(), ": scale ", i,
                   " of tensor ", Quoted(scales.name), " is ",
                   std::isnan(scale) ? "not a number" : "infinite",
                   ". The file is damaged; get it again.");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<WeightBinding> WeightBinding::Bind(const Manifest& manifest,
                                                  const Checkpoint& checkpoint,
                                                  int rank) {
  WeightBinding binding(manifest, rank);
  for (const ParamSpec& param : manifest.params) {
    binding.first_.push_back(binding.tensors_.size());
    for (int64_t i = 0; i < param.layers; ++i)
      for (const SourceSpec& source : param.sources)
        RETURN_IF_ERROR(binding.BindSource(checkpoint, param, source,
                                           param.first_layer + i));
  }
  return binding;
}

absl::Status WeightBinding::BindSource(const Checkpoint& checkpoint,
                                       const ParamSpec& param,
                                       const SourceSpec& source,
                                       int64_t layer) {
  for (size_t g = 0; g < Count(param, source); ++g) {
    const std::string name = source.TensorName(
        layer, param.FirstGroup(rank_) + static_cast<int64_t>(g));
    ASSIGN_OR_RETURN(
        const Tensor* tensor,
        GetTensor(
            checkpoint, name, source.shape,
            source.scaled ? source.scaled->layout.NumberType() : param.dtype));
    const Tensor* scales = nullptr;
    if (source.scaled) {
      ASSIGN_OR_RETURN(
          scales,
          GetTensor(checkpoint,
                    source.ScaleName(layer, param.FirstGroup(rank_) +
                                                static_cast<int64_t>(g)),
                    source.scaled->shape, source.scaled->layout.ScaleType()));
      RETURN_IF_ERROR(CheckScales(checkpoint, *scales, *source.scaled));
      used_.insert(scales);
    }
    scales_.push_back(scales);
    tensors_.push_back(tensor);
    used_.insert(tensor);
  }
  if (param.shards == 1 || !source.PerGroup()) return absl::OkStatus();
  for (int64_t g = 0; g < param.groups * param.shards; ++g) {
    ASSIGN_OR_RETURN(const Tensor* tensor,
                     checkpoint.Get(source.TensorName(layer, g)));
    of_others_.insert(tensor);
    if (!source.scaled) continue;
    ASSIGN_OR_RETURN(const Tensor* scales,
                     checkpoint.Get(source.ScaleName(layer, g)));
    of_others_.insert(scales);
  }
  return absl::OkStatus();
}

size_t WeightBinding::Place(const ParamSpec& param, const SourceSpec& source,
                            int64_t layer, int64_t group) const {
  // Every layer holds every source, per group or once.
  size_t per_layer = 0, before = 0;
  for (const SourceSpec& other : param.sources) {
    if (&other == &source) before = per_layer;
    per_layer += Count(param, other);
  }
  const size_t at =
      first_[static_cast<size_t>(&param - manifest_->params.data())] +
      static_cast<size_t>(layer - param.first_layer) * per_layer + before;
  return at + static_cast<size_t>(source.PerGroup() ? group : 0);
}

const Tensor& WeightBinding::Find(const ParamSpec& param,
                                  const SourceSpec& source, int64_t layer,
                                  int64_t group) const {
  return *tensors_[Place(param, source, layer, group)];
}

const Tensor& WeightBinding::Scales(const ParamSpec& param,
                                    const SourceSpec& source, int64_t layer,
                                    int64_t group) const {
  return *scales_[Place(param, source, layer, group)];
}

int64_t WeightBinding::First(const ParamSpec& param, const SourceSpec& source,
                             int64_t group) const {
  const int64_t skipped =
      source.PerGroup() ? 0
                        : (param.FirstGroup(rank_) + group) * source.stride_g;
  return source.offset + skipped;
}

const std::byte* WeightBinding::Data(const ParamSpec& param,
                                     const SourceSpec& source, int64_t layer,
                                     int64_t group) const {
  return Find(param, source, layer, group).data +
         First(param, source, group) * DTypeSize(param.dtype);
}

}  // namespace moe
