// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// PTX from a gpu.module of the LLVM and NVVM dialects.
//
//   ASSIGN_OR_RETURN(std::string ptx, emitPtx(kernels));
#ifndef MOE_LIB_BACKEND_PTX_H
#define MOE_LIB_BACKEND_PTX_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

#include "absl/status/statusor.h"

#include <string>

namespace mlir::moe {

/// The text of |kernels| for the chip and PTX version of its one target. A
/// product and a sum are fused only where the program says fma, and denormals
/// are zero. |kernels| is not changed; its context must not be used by another
/// thread meanwhile. I002 if it has no such target, holds anything that has no
/// PTX, or calls a function that it does not hold.
absl::StatusOr<std::string> emitPtx(gpu::GPUModuleOp kernels);

} // namespace mlir::moe

#endif
