// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The tensors of a checkpoint, put together from the parameters of a module:
// the way back of what loading does.
//
//   for (const StoredTensor& tensor : StoredTensors(manifest))
//     FillStored(tensor, values, tensor.dtype, out);

#ifndef MOE_RUNTIME_TRAIN_STORED_TENSORS_H_
#define MOE_RUNTIME_TRAIN_STORED_TENSORS_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/core/dtype.h"
#include "runtime/manifest.h"

namespace moe {

// What one source of one layer and group gives a tensor.
struct StoredPart {
  const ParamSpec* param = nullptr;
  const SourceSpec* source = nullptr;
  int64_t layer = 0;  // from the first layer of the parameter
  int64_t group = 0;
};

struct StoredTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<StoredPart> parts;
};

// In the order of parameters, layers and groups. Borrows the manifest. W112 for
// a tensor that is quantised in the checkpoint, or that parameters cover only in
// part.
absl::StatusOr<std::vector<StoredTensor>> StoredTensors(
    const Manifest& manifest);

// Row-major values of all layers of a parameter; null leaves its parts out.
using ParamValues = std::function<const void*(const ParamSpec&)>;

// Writes the tensor, row-major. |out| has room for all of it, and |values| are
// of |dtype| too.
void FillStored(const StoredTensor& tensor, const ParamValues& values,
                DType dtype, std::span<std::byte> out);

}  // namespace moe

#endif  // MOE_RUNTIME_TRAIN_STORED_TENSORS_H_
