// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What nn.param and its sources mean in numbers.
#ifndef MOE_DIALECT_NN_NNPARAMS_H
#define MOE_DIALECT_NN_NNPARAMS_H

#include "dialect/nn/NnDialect.h"
#include "lib/core/tensor_pattern.h"

#include <optional>
#include <utility>

namespace mlir::nn {

/// A parameter as groups (experts, heads) of [n, k] or of vectors [n].
struct ParamGroups {
  int64_t groups = 1, n = 1, k = 1;
  bool vectors = false;
};
/// A parameter of two dimensions holds a vector for each expert where a pattern
/// has {e}, the last stride of a source is 0 or ranks hold parts of it;
/// elsewhere it is a matrix.
ParamGroups groupsOf(ParamOp param);

/// Numbers of the tensor of |source|, two to a byte counted as two; nothing
/// beyond 63 bits.
std::optional<int64_t> numbersOf(SourceAttr source);
/// Numbers in a row of the matrix that blocks of scales cut.
int64_t scaledColumns(SourceAttr source);

/// "f8e4m3" or "f4e2m1".
StringRef storedName(ScaledAttr scaled);
/// The entry that makes rows of |element| of a scaled source; empty for others.
std::string scaledEntry(SourceAttr source, Type element);

/// The least and the largest layer that |index| may name: the index of a layers
/// loop, a constant, or sums and products of these. Nothing if it is another.
std::optional<std::pair<int64_t, int64_t>> layersOf(Value index);

/// The layer whose tensors |get| reads, by the index of its loop; nothing
/// outside of loops and for parameters without layers.
std::optional<::moe::LayerPlace> placeOf(ParamGetOp get);

} // namespace mlir::nn

#endif
