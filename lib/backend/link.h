// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From a relocatable object to the shared object of a module file.
#ifndef MOE_LIB_BACKEND_LINK_H
#define MOE_LIB_BACKEND_LINK_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"

#include <string>

namespace mlir::moe {

/// Links |object| with ld.lld into a shared object without debug information
/// and checks it. Files live in a private temporary folder that is removed.
/// |linker| is the path of the program; empty: findLinker(). Thread-safe.
///
/// K106 if there is no linker or it cannot be run, F201 if the disk is full,
/// F203 if the temporary folder cannot be made, I002 if the linker refuses the
/// object (an undefined symbol) or checkSharedObject() refuses the result.
absl::StatusOr<llvm::SmallVector<char>>
linkSharedObject(llvm::ArrayRef<char> object, llvm::StringRef linker = "");

/// Path of ld.lld: `ld.lld-22` or `ld.lld` of PATH, then that of LLVM's own
/// folder. K106 if there is none.
absl::StatusOr<std::string> findLinker();

/// I002 unless |object| is what the runtime loads: needs no library, leaves no
/// symbol undefined, exports `moe_module_v1` alone, runs nothing when loaded,
/// and has neither thread-local data, text relocations nor an executable stack.
absl::Status checkSharedObject(llvm::ArrayRef<char> object);

} // namespace mlir::moe

#endif
