// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Model phase to step phase.
#ifndef MOE_PASSES_ENTRY_PASSES_TD
#define MOE_PASSES_ENTRY_PASSES_TD

include "mlir/Pass/PassBase.td"

def SetCompute : Pass<"moe-set-compute", "::mlir::ModuleOp"> {
  let summary = "sets the element type of activations";
  let description = [{
    Activations of the model become f32 or bf16, from the embedding on; routing
    weights, rotary tables and logits stay f32, parameters stay as stored.
  }];
  let options = [Option<"dtype", "dtype", "std::string", "\"f32\"", "f32 or bf16">];
}

def BalanceRouters : Pass<"moe-balance-routers", "::mlir::ModuleOp"> {
  let summary = "gives routers without a loss one that spreads choices evenly";
  let description = [{
    The expert-level balance loss of each sequence, `coef·Σ_e f_e·P_e` with
    `f_e = E·c_e/(K·T)` (DeepSeekMoE, 2024), of the scores that the router
    picks its weights from, before groups of them are left out: a softmax as it
    is, sigmoids divided by their sum, logits by their softmax. Choices count
    before capacity drops some. A router with a loss of its own stays as it is;
    one with other scores is refused.
  }];
  let options = [Option<"coef", "coef", "double", "0.001", "factor of the loss">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::nn::NnDialect"];
}

def ExpandSugar : Pass<"moe-expand-sugar", "::mlir::ModuleOp"> {
  let summary = "expands layers, attention, MLP and head into core operations";
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::moe::MoeDialect", "::mlir::nn::NnDialect"];
}

def DeriveEntries : Pass<"moe-derive-entries", "::mlir::ModuleOp"> {
  let summary = "makes the entries of a program from its model";
  let description = [{
    `score`: logits of all tokens and the routing of all layers. `prefill` and
    `decode`: attention reads and writes the paged cache, and only the last
    token of each sequence reaches the head. `eval_step` and `grad`: the
    cross-entropy of `targets` and the losses of routers; `moe-derive-training`
    adds gradients to the latter. `dropout` of what layers add, and of what goes
    into the first, is for `grad` alone. The model itself goes.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::moe::MoeDialect", "::mlir::nn::NnDialect"];
  let options = [
    ListOption<"entries", "entries", "std::string", "score, prefill, decode (default: these three), eval_step, grad">,
    Option<"dropout", "dropout", "double", "0.0", "of branches and of what goes into the first layer, in grad">
  ];
}

def InlineRouters : Pass<"moe-inline-routers", "::mlir::ModuleOp"> {
  let summary = "replaces applications of routers by their bodies";
  let description = [{
    Dynamic dimensions of a router take the sizes of the operands.
  }];
}

def SettleRandom : Pass<"moe-settle-random", "::mlir::ModuleOp"> {
  let summary = "gives random numbers of entries without a key their neutral value";
  let description = [{
    Training draws random numbers from its key; elsewhere noise, jitter and
    dropout are off: each number of `moe.random` is its `neutral`. One without is
    refused.
  }];
  let dependentDialects = ["::mlir::nn::NnDialect"];
}

def ExpandLosses : Pass<"moe-expand-losses", "::mlir::ModuleOp"> {
  let summary = "writes losses of routers out as reductions";
}

def ReportParameters : Pass<"moe-report-parameters", "::mlir::ModuleOp"> {
  let summary = "prints how many parameters a model has, and uses for a token";
  let description = [{
    One line on stderr for each model: `NAME: T parameters, A active for a
    token`. A tensor that several parameters read is counted once. Of routed
    experts a token uses K of E; everything else is always active, the
    embedding table too.
  }];
}

def VerifyModel : Pass<"verify-model", "::mlir::ModuleOp"> {
  let summary = "closes the model phase: one model, forward operations alone";
}

def VerifyStep : Pass<"verify-step", "::mlir::ModuleOp"> {
  let summary = "closes the step phase: entries of core operations, no sugar";
}

#endif
