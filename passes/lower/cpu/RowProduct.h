// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of gradients, y[r, c] = Σ_j a(r, j)·b(j, c): each output is one
// chain of fused multiply-adds over ascending j from 0. Blocks of b are copied
// to the stack as panels of 32 columns of f32; between blocks of j the sums lie
// in y.
//
//   RowProduct p;            // dx[t, k] = Σ_n dy[t, n]·w[n, k]
//   p.a = {dy.base, dy.element, /*row=*/n, /*term=*/1};
//   p.row = [&](Value j) { return e.address(w, j); };
//   …
//   eachRowBlock(e, shape, [&](const RowBlock &block) { emitRows(e, p, block); });
#ifndef MOE_PASSES_LOWER_CPU_ROWPRODUCT_H
#define MOE_PASSES_LOWER_CPU_ROWPRODUCT_H

#include "passes/lower/cpu/Emitter.h"

namespace mlir::moe::cpu {

/// Element (r, j) is r·row + j·term elements from |base|.
struct StridedRows {
  Value base;
  Type element;
  int64_t row, term; // one of them is 1
};

/// Rows [first, last) by panels [firstPanel, lastPanel) of 32 columns.
struct RowBlock {
  Value group, first, last, firstPanel, lastPanel;
  int64_t panels; // at most
};

/// How a product is cut into work items.
struct RowShape {
  int64_t groups = 1;
  Value rows;             // of each group; null: all of a group are one item,
                          // and first and last of a block are null
  int64_t fixedRows = -1; // where they are known
  int64_t mostRows = 96;  // of an item where they are not
  int64_t fixedTerms = -1;
  int64_t columns;
};

struct RowProduct {
  StridedRows a;
  Value y; // row r is r·yRow elements behind
  Type yElement;
  int64_t yRow;
  Value terms;             // j in [0, terms)
  int64_t fixedTerms = -1; // where they are known
  int64_t columns;
  Value add; // i1: sums go on from those in y, f32; null: never
  /// Row j of b, of |element|; or, with |turned|, b(j, c) is element j of row c
  /// of that buffer.
  std::function<Value(Value j)> row;
  Type element;
  const Buffer *turned = nullptr;
};

/// Runs |body| in parallel over all blocks of rows and panels.
void eachRowBlock(Emitter &e, const RowShape &shape,
                  function_ref<void(const RowBlock &)> body);
/// The code of one block; within a parallel loop.
void emitRows(Emitter &e, const RowProduct &p, const RowBlock &block);

} // namespace mlir::moe::cpu

#endif
