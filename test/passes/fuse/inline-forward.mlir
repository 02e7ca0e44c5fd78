// RUN: moe-opt %s --moe-inline-forward | FileCheck %s

// CHECK-LABEL: func.func @f
// CHECK-SAME: %[[X:.*]]: tensor<?x4xf32>
func.func @f(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  // CHECK-NEXT: %[[R:.*]] = nn.activate relu %[[X]]
  // CHECK-NEXT: %[[S:.*]] = arith.addf %[[R]], %[[X]]
  // CHECK-NEXT: return %[[S]]
  %y = moe.custom_vjp (%x) : (tensor<?x4xf32>) -> tensor<?x4xf32> forward {
  ^bb0(%a: tensor<?x4xf32>):
    %i = moe.custom_vjp (%a) : (tensor<?x4xf32>) -> tensor<?x4xf32> forward {
    ^bb1(%b: tensor<?x4xf32>):
      %r = nn.activate relu %b : tensor<?x4xf32>
      moe.yield %r : tensor<?x4xf32>
    } backward {
    ^bb1(%b: tensor<?x4xf32>, %r: tensor<?x4xf32>, %dr: tensor<?x4xf32>):
      moe.yield %dr : tensor<?x4xf32>
    }
    %s = arith.addf %i, %a : tensor<?x4xf32>
    moe.yield %s : tensor<?x4xf32>
  } backward {
  ^bb0(%a: tensor<?x4xf32>, %r: tensor<?x4xf32>, %dr: tensor<?x4xf32>):
    moe.yield %dr : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}
