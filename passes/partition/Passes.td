// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Step phase to local phase: what one rank runs.
#ifndef MOE_PASSES_PARTITION_PASSES_TD
#define MOE_PASSES_PARTITION_PASSES_TD

include "mlir/Pass/PassBase.td"

def PartitionExperts : Pass<"moe-partition-experts", "::mlir::ModuleOp"> {
  let summary = "gives each rank its experts and exchanges rows with the others";
  let description = [{
    One program for all ranks of a mesh: every rank brings its own tokens (dp)
    and holds E/ep experts (ep). Rows go to the rank of their expert by
    `moe.all_to_all_v` and come back, so that a token's result has the bits of
    one rank. Parameters of experts shrink to those of one rank: `nn.param`
    gets `moe.shard`, the number of equal parts of its leading dimension, of
    which rank r holds part r; arguments of functions change their type.
  }];
  let options = [Option<"mesh", "mesh", "std::string", "\"\"",
                        "ranks along each axis, as dp=4,ep=4; missing axes are 1">];
  let dependentDialects = ["::mlir::moe::MoeDialect"];
}

def VerifyLocal : Pass<"verify-local", "::mlir::ModuleOp"> {
  let summary = "closes the local phase: experts see the rows of their own rank alone";
}

#endif
