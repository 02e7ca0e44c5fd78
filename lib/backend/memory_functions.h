// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_LIB_BACKEND_MEMORY_FUNCTIONS_H
#define MOE_LIB_BACKEND_MEMORY_FUNCTIONS_H

#include "absl/status/status.h"
#include "llvm/IR/Module.h"

namespace mlir::moe {

/// Adds memcpy, memmove and memset, which code generation may call, to
/// |module|, so that the object needs no library. Those that |module| defines
/// itself stay. The linker drops what nothing calls.
absl::Status addMemoryFunctions(llvm::Module &module);

} // namespace mlir::moe

#endif
