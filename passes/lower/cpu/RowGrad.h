// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What sums over rows and the gradients of operations on rows share.
#ifndef MOE_PASSES_LOWER_CPU_ROWGRAD_H
#define MOE_PASSES_LOWER_CPU_ROWGRAD_H

#include "passes/lower/cpu/Views.h"

namespace mlir::moe::cpu {

/// Runs in parallel over |width| columns, for sums over rows in ascending order:
/// |body| gets the first columns of one, two or four neighbouring vectors and
/// their mask (null: all lanes).
void parallelColumns(
    Emitter &e, int64_t width,
    function_ref<void(ArrayRef<Value> columns, Value mask)> body);

/// All elements of |tensor| become 0, in parallel.
void clear(EntryContext &c, Value tensor);

/// The derivative of an activation at |x|, a scalar or lanes (relu: 0 at 0).
Value derivative(Emitter &e, nn::Activation kind, Value x);

/// rms_norm_grad, layer_norm_grad (NormGrad.cpp).
void addNormGradKernels(llvm::StringMap<KernelEntry> &table);
/// activate_grad, glu_grad, reduce_grad (ElementwiseGrad.cpp).
void addElementwiseGradKernels(llvm::StringMap<KernelEntry> &table);

} // namespace mlir::moe::cpu

#endif
