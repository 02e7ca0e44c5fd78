// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Weights into panels of 32 columns: parameters once, in pack entries of a
// module; values that a program computes or is given, at each product.
#ifndef MOE_PASSES_LOWER_CPU_PACK_H
#define MOE_PASSES_LOWER_CPU_PACK_H

#include "passes/lower/cpu/Emitter.h"

namespace mlir::moe::cpu {

/// The panels of one group.
struct Panels {
  StringRef format; // f32.n32, bf16.n32, bf16.amx
  Value columns;    // K of the product, i64
  Value base;       // !llvm.ptr, zeroed where panels have padding
};

/// Puts row |n| of a weight, K elements of |source| that lie |stride| apart,
/// into its column of a panel.
void packRow(Emitter &e, const Panels &panels, Value n, Value row, Type source,
             Value stride);

/// The columns of 16 vectors of 16 lanes of 32 bits.
SmallVector<Value> transposed(Emitter &e, ArrayRef<Value> rows);

/// The format in which a product with |rows| reads weights of |weight|.
StringRef packedFormat(Value rows, RankedTensorType weight);

/// The packed form of |weight|, an operand of the product |op| with |rows|: of
/// a parameter as the runtime packed it, else (also of a parameter that lies in
/// rows, "raw") packed here into the scratch memory of |op|. A diagnostic where
/// its shape is dynamic.
FailureOr<PackedWeight> packedWeight(EntryContext &c, Operation *op, Value rows,
                                     Value weight);
/// Packs the groups of |w| into its place, from [groups, N, K] of |element| at
/// |source|. Columns past N hold row N - 1 again; nobody reads their sums.
void packGroups(Emitter &e, const PackedWeight &w, Value source, Type element);
/// A weight [N, K] of one sequence after another, packed into the scratch
/// memory of |op| when it is its turn.
PackedWeight segmentWeight(EntryContext &c, Operation *op, Value rows,
                           Value weights);
Extent segmentScratch(Value rows, Value weights);
/// The scratch memory that packedWeight needs.
Extent packScratch(Value rows, Value weight);

} // namespace mlir::moe::cpu

#endif
