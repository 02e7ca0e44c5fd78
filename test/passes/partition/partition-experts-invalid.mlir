// RUN: moe-opt %s --split-input-file --verify-diagnostics --pass-pipeline='builtin.module(moe-partition-experts{mesh=dp=3,ep=3})'
// RUN: not moe-opt %s --split-input-file --pass-pipeline='builtin.module(moe-partition-experts{mesh=dp=2,ep=4})' 2>&1 | FileCheck %s --check-prefix=FORM
// RUN: not moe-opt %s --split-input-file --pass-pipeline='builtin.module(moe-partition-experts{mesh=ep=2,ep=2})' 2>&1 | FileCheck %s --check-prefix=FORM
// RUN: not moe-opt %s --split-input-file --pass-pipeline='builtin.module(moe-partition-experts{mesh=dp=2,sp=2})' 2>&1 | FileCheck %s --check-prefix=FORM
// FORM: expects a mesh of tp, dp, pp and ep at most once

func.func @uneven(%rows: tensor<?x4xf32>, %idx: tensor<?x2xi32>, %w: tensor<8x4x4xf32>) -> tensor<?x4xf32> {
  %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
  %x = moe.dispatch %rows, %plan : tensor<?x4xf32>, !moe.plan<8, 2>
  // expected-error@+1 {{has 8 experts, which 3 ranks cannot share evenly}}
  %y = moe.experts %x, %plan params(%w) : (tensor<?x4xf32>, !moe.plan<8, 2>, tensor<8x4x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%r: tensor<?x4xf32>, %u: tensor<4x4xf32>):
    %h = nn.linear %r, %u : tensor<?x4xf32>, tensor<4x4xf32>
    moe.yield %h : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @foreign_rows(%rows: tensor<?x4xf32>, %idx: tensor<?x2xi32>, %w: tensor<9x4x4xf32>) -> tensor<?x4xf32> {
  %plan = moe.make_plan %idx experts(9) : tensor<?x2xi32>
  // expected-error@+1 {{expects rows dispatched by its own plan}}
  %y = moe.experts %rows, %plan params(%w) : (tensor<?x4xf32>, !moe.plan<9, 2>, tensor<9x4x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%r: tensor<?x4xf32>, %u: tensor<4x4xf32>):
    %h = nn.linear %r, %u : tensor<?x4xf32>, tensor<4x4xf32>
    moe.yield %h : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @read_elsewhere(%rows: tensor<?x4xf32>, %idx: tensor<?x2xi32>, %w: tensor<9x4x4xf32>) -> (tensor<?x4xf32>, tensor<9x4x4xf32>) {
  %plan = moe.make_plan %idx experts(9) : tensor<?x2xi32>
  %x = moe.dispatch %rows, %plan : tensor<?x4xf32>, !moe.plan<9, 2>
  %y = moe.experts %x, %plan params(%w) : (tensor<?x4xf32>, !moe.plan<9, 2>, tensor<9x4x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%r: tensor<?x4xf32>, %u: tensor<4x4xf32>):
    %h = nn.linear %r, %u : tensor<?x4xf32>, tensor<4x4xf32>
    moe.yield %h : tensor<?x4xf32>
  }
  // expected-error@+1 {{reads a parameter of experts that are spread over ranks}}
  %all = arith.negf %w : tensor<9x4x4xf32>
  return %y, %all : tensor<?x4xf32>, tensor<9x4x4xf32>
}

// -----

func.func @computed(%rows: tensor<?x4xf32>, %idx: tensor<?x2xi32>, %v: tensor<9x4x4xf32>) -> tensor<?x4xf32> {
  %w = arith.negf %v : tensor<9x4x4xf32>
  %plan = moe.make_plan %idx experts(9) : tensor<?x2xi32>
  %x = moe.dispatch %rows, %plan : tensor<?x4xf32>, !moe.plan<9, 2>
  // expected-error@+1 {{expects parameters read by nn.param_get or given to the function}}
  %y = moe.experts %x, %plan params(%w) : (tensor<?x4xf32>, !moe.plan<9, 2>, tensor<9x4x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%r: tensor<?x4xf32>, %u: tensor<4x4xf32>):
    %h = nn.linear %r, %u : tensor<?x4xf32>, tensor<4x4xf32>
    moe.yield %h : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}
