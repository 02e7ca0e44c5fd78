// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/weight_binding.h"

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
    ASSIGN_OR_RETURN(const Tensor* tensor, checkpoint.Get(name));
    const std::string& file = checkpoint.FileOf(*tensor).path();
    if (tensor->shape != source.shape)
      return Error(Code::W102, file, ": tensor ", Quoted(name), " has shape ",
                   ShapeText(tensor->shape), ", the module expects ",
                   ShapeText(source.shape),
                   ". Give the folder it was compiled from.");
    if (tensor->dtype != param.dtype)
      return Error(Code::W103, file, ": tensor ", Quoted(name), " is ",
                   DTypeName(tensor->dtype), ", the module expects ",
                   DTypeName(param.dtype), ". Compile this checkpoint.");
    tensors_.push_back(tensor);
    used_.insert(tensor);
  }
  if (param.shards == 1 || !source.PerGroup()) return absl::OkStatus();
  for (int64_t g = 0; g < param.groups * param.shards; ++g) {
    ASSIGN_OR_RETURN(const Tensor* tensor,
                     checkpoint.Get(source.TensorName(layer, g)));
    of_others_.insert(tensor);
  }
  return absl::OkStatus();
}

const Tensor& WeightBinding::Find(const ParamSpec& param,
                                  const SourceSpec& source, int64_t layer,
                                  int64_t group) const {
  // Every layer holds every source, per group or once.
  size_t per_layer = 0, before = 0;
  for (const SourceSpec& other : param.sources) {
    if (&other == &source) before = per_layer;
    per_layer += Count(param, other);
  }
  const size_t at =
      first_[static_cast<size_t>(&param - manifest_->params.data())] +
      static_cast<size_t>(layer - param.first_layer) * per_layer + before;
  return *tensors_[at + static_cast<size_t>(source.PerGroup() ? group : 0)];
}

const std::byte* WeightBinding::Data(const ParamSpec& param,
                                     const SourceSpec& source, int64_t layer,
                                     int64_t group) const {
  const int64_t skipped =
      source.PerGroup() ? 0
                        : (param.FirstGroup(rank_) + group) * source.stride_g;
  return Find(param, source, layer, group).data +
         (source.offset + skipped) * DTypeSize(param.dtype);
}

}  // namespace moe
