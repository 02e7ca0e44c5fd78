// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/train/stored_tensors.h"

#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

int64_t ElementsOf(const StoredPart& part) {
  return part.source->n * part.param->k;
}

absl::Status CheckCovered(const StoredTensor& tensor) {
  int64_t covered = 0;
  for (const StoredPart& part : tensor.parts) covered += ElementsOf(part);
  const int64_t all = *ElementCount(tensor.shape);
  if (covered == all) return absl::OkStatus();
  return Error(Code::W112, "tensor ", Quoted(tensor.name), " has ", all,
               " elements, of which the module holds ", covered,
               ". A checkpoint cannot be written from it.");
}

}  // namespace

absl::StatusOr<std::vector<StoredTensor>> StoredTensors(
    const Manifest& manifest) {
  std::vector<StoredTensor> tensors;
  absl::flat_hash_map<std::string, size_t> places;
  for (const ParamSpec& param : manifest.params)
    for (int64_t layer = 0; layer < param.layers; ++layer)
      for (const SourceSpec& source : param.sources)
        for (int64_t group = 0; group < param.groups; ++group) {
          std::string name =
              source.TensorName(param.first_layer + layer, group);
          if (source.scaled)
            return Error(Code::W112, "tensor ", Quoted(name),
                         " is quantised in the checkpoint, and training "
                         "writes plain numbers");
          const auto [it, added] = places.try_emplace(name, tensors.size());
          if (added)
            tensors.push_back({std::move(name), param.dtype, source.shape, {}});
          tensors[it->second].parts.push_back({&param, &source, layer, group});
        }
  for (const StoredTensor& tensor : tensors)
    RETURN_IF_ERROR(CheckCovered(tensor));
  return tensors;
}

void FillStored(const StoredTensor& tensor, const ParamValues& values,
                DType dtype, std::span<std::byte> out) {
  const auto size = static_cast<size_t>(DTypeSize(dtype));
  for (const StoredPart& part : tensor.parts) {
    const ParamSpec& param = *part.param;
    const SourceSpec& source = *part.source;
    const auto* all = static_cast<const std::byte*>(values(param));
    if (all == nullptr) continue;
    const int64_t row =
        (part.layer * param.groups + part.group) * param.n + source.n0;
    const int64_t base =
        source.offset + (source.PerGroup() ? 0 : part.group * source.stride_g);
    const std::byte* from = all + static_cast<size_t>(row * param.k) * size;
    for (int64_t n = 0; n < source.n; ++n)
      for (int64_t k = 0; k < param.k; ++k, from += size) {
        const int64_t at = base + n * source.stride_n + k * source.stride_k;
        std::memcpy(out.data() + static_cast<size_t>(at) * size, from, size);
      }
  }
}

}  // namespace moe
