// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of f32 matrices that lie in caches, neither of them packed.
//
//   addProduct(e, {sums, 64}, rows, 4, {weights, 16, 1}, {values, 64}, steps);
#ifndef MOE_PASSES_LOWER_CPU_SMALLPRODUCT_H
#define MOE_PASSES_LOWER_CPU_SMALLPRODUCT_H

#include "passes/lower/cpu/Emitter.h"

namespace mlir::moe::cpu {

/// f32 rows one behind another; |width| is a multiple of 16.
struct Rows {
  Value base;
  int64_t width = 0;
  Value at(Emitter &e, Value row) const {
    return e.offset(base, e.mul(row, e.i64(width)), e.b.getF32Type());
  }
};

/// f32 at row·i + step·j.
struct Cells {
  Value base;
  int64_t row, step;
};

/// out[i] = Σ_j a[i, j]·x[j] for |rows|, a multiple of 16, and the first
/// |vectors| of 16 columns: for each element a chain over j from 0.
void setProduct(Emitter &e, const Rows &out, Value rows, int64_t vectors,
                const Cells &a, const Rows &x, Value steps);
/// As above, the chains starting from what is in |out|.
void addProduct(Emitter &e, const Rows &out, Value rows, int64_t vectors,
                const Cells &a, const Rows &x, Value steps);

} // namespace mlir::moe::cpu

#endif
