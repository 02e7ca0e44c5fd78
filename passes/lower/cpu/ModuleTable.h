// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The parts of a native module around its entries (moe/abi.h).
#ifndef MOE_PASSES_LOWER_CPU_MODULETABLE_H
#define MOE_PASSES_LOWER_CPU_MODULETABLE_H

#include "passes/lower/cpu/Emitter.h"

namespace mlir::moe::cpu {
/// Adds `moe_entry_pack.SRC.FORMAT` for every stored type and format among the
/// parameters, and their names to |names|. Such an entry packs rows of one
/// source into one group: buffers [src, dst], dims [N, K, n0, stride_n, stride_k, 0].
void addPackEntries(ModuleOp module, Isa isa,
                    SmallVectorImpl<std::string> &names);

/// The same for quantised sources (PackScaled.cpp).
void addScaledEntries(ModuleOp module, Isa isa,
                      SmallVectorImpl<std::string> &names);

/// Adds `moe_module_v1()` and the table of |names| that it returns.
void addModuleTable(ModuleOp module, ArrayRef<std::string> names);
} // namespace mlir::moe::cpu

#endif
