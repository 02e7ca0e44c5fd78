// RUN: moe-opt %s --moe-differentiate="entry=f of=0 recompute=none" --canonicalize --cse | FileCheck %s --check-prefix=NONE
// RUN: moe-opt %s --moe-differentiate="entry=f of=0" --canonicalize --cse | FileCheck %s --check-prefix=SELECTIVE
// RUN: moe-opt %s --moe-differentiate="entry=f of=0 recompute=full" --canonicalize --cse | FileCheck %s --check-prefix=FULL
// RUN: not moe-opt %s --moe-differentiate="entry=f of=0 recompute=some" 2>&1 | FileCheck %s --check-prefix=BAD
// BAD: error: 'func.func' op expects recompute none, selective or full, got some

nn.param @w : tensor<4x6x3xf32> layers [0, 9] from [#nn.source<"{i}.{e}.w", [6, 3]>]
nn.param @v : tensor<4x3x3xf32> layers [0, 9] from [#nn.source<"{i}.{e}.v", [3, 3]>]
nn.param @gate : tensor<4x3xf32> layers [0, 9] from [#nn.source<"{i}.gate", [4, 3]>]

// All that the gradients read is kept.
// NONE-LABEL: func.func @f_grad(
// NONE: nn.yield
// NONE-SAME: : tensor<?x3xf32>, !moe.plan<4, 2>, tensor<?x3xf32>, tensor<?x2xf32>, tensor<?x6xf32>, tensor<?x3xf32>, tensor<?x2xi32>
// NONE: nn.layers 0 to 9 reverse
// NONE-NOT: nn.glu{{ +}}silu
// NONE: moe.weigh_grad

// The input of the layer, what goes into the activation, weights and choices;
// never a row of the width of the model for a choice.
// SELECTIVE-LABEL: func.func @f_grad(
// SELECTIVE: nn.layers 0 to 9(
// SELECTIVE-SAME: -> (tensor<?x3xf32>, !nn.stack<9 x !moe.plan<4, 2>>, tensor<9x?x6xf32>, tensor<9x?x2xf32>, tensor<9x?x2xi32>, tensor<9x?x3xf32>)
// SELECTIVE: nn.layers 0 to 9 reverse
// SELECTIVE-NOT: moe.make_plan
// SELECTIVE-NOT: moe.grouped_matmul %
// SELECTIVE-DAG: nn.glu{{ +}}silu
// SELECTIVE-DAG: nn.glu_grad{{ +}}silu
// SELECTIVE: moe.grouped_matmul_dw

// The input of the layer and the choices.
// FULL-LABEL: func.func @f_grad(
// FULL: nn.layers 0 to 9(
// FULL-SAME: -> (tensor<?x3xf32>, !nn.stack<9 x !moe.plan<4, 2>>, tensor<9x?x3xf32>, tensor<9x?x2xi32>)
// FULL: nn.layers 0 to 9 reverse
// FULL-NOT: moe.make_plan
// FULL-NOT: moe.select
// FULL-DAG: moe.grouped_matmul %
// FULL-DAG: nn.linear %
// FULL: moe.grouped_matmul_dw
func.func @f(%x: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %y = nn.layers 0 to 9 (%x) : (tensor<?x3xf32>) -> tensor<?x3xf32> {
  ^bb0(%i: index, %h: tensor<?x3xf32>):
    %gate = nn.param_get @gate[%i] : tensor<4x3xf32>
    %w = nn.param_get @w[%i] : tensor<4x6x3xf32>
    %v = nn.param_get @v[%i] : tensor<4x3x3xf32>
    %z = nn.linear %h, %gate : tensor<?x3xf32>, tensor<4x3xf32>
    %idx = moe.select %z top_k(2) : tensor<?x4xf32>
    %s = moe.pick %z, %idx : tensor<?x4xf32>, tensor<?x2xi32>
    %plan = moe.make_plan %idx experts(4) : tensor<?x2xi32>
    %rows = moe.dispatch %h, %plan : tensor<?x3xf32>, !moe.plan<4, 2>
    %a = moe.grouped_matmul %rows, %plan, %w : tensor<?x3xf32>, !moe.plan<4, 2>, tensor<4x6x3xf32>
    %g = nn.glu silu %a : tensor<?x6xf32>
    %o = moe.grouped_matmul %g, %plan, %v : tensor<?x3xf32>, !moe.plan<4, 2>, tensor<4x3x3xf32>
    %m = moe.combine %o, %plan, %s : tensor<?x3xf32>, !moe.plan<4, 2>, tensor<?x2xf32>
    %r = arith.addf %h, %m : tensor<?x3xf32>
    nn.yield %r : tensor<?x3xf32>
  }
  return %y : tensor<?x3xf32>
}
