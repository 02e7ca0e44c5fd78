// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Two small models at the model phase that together use every pass from sugar
// to the fused phase.

#ifndef MOE_TEST_MUTANTS_MODELS_H_
#define MOE_TEST_MUTANTS_MODELS_H_

#include <string>

namespace mlir::moe {

// Three layers of grouped-query attention over a window, and experts with
// vectors and biases behind a router of groups, bias and normalisation. f32.
std::string GroupedModel();

// A dense layer, then two with latent attention and shared experts. Activations
// are of |element|.
std::string LatentModel(const std::string& element);

}  // namespace mlir::moe

#endif  // MOE_TEST_MUTANTS_MODELS_H_
