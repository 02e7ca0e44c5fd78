// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A product of rows with packed weights, and the two ways to compute a block of
// its panels: in vectors (Matmul.cpp) and in tiles (TileProduct.cpp).
#ifndef MOE_PASSES_LOWER_CPU_PRODUCT_H
#define MOE_PASSES_LOWER_CPU_PRODUCT_H

#include "passes/lower/cpu/Emitter.h"

namespace mlir::moe::cpu {

/// One product: rows of x given by address, one block of packed panels.
struct Product {
  PackedWeight w;
  Type xElement, yElement;
  Value rows;                       // i64
  function_ref<Value(Value row)> x; // pointer to row of x
  function_ref<Value(Value row)> y; // pointer to row of y
  const Buffer *bias = nullptr;     // [N] or [E, N]
  Value biasRow;

  /// Adds the bias and stores a vector of outputs of the row at |y| from column
  /// |at|, without columns past N.
  void finish(Emitter &e, Value y, Value at, Value sum) const;
};

/// Whether tiles take the product of |w|.
bool inTiles(const Isa &isa, const PackedWeight &w);

/// All rows by |count| panels from |panels|, whose first column is |column|, in
/// the tile registers: bf16.amx alone. Two rows or more; the bits are those of
/// the vectors.
void emitTiles(Emitter &e, const Product &p, Value panels, Value column,
               Value count);

} // namespace mlir::moe::cpu

#endif
