// RUN: moe-opt %s --moe-distribute-experts --split-input-file --verify-diagnostics

func.func @no_grouped_form(%x: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %v: tensor<4x4xf32>) -> tensor<?x4xf32> {
  %y = moe.experts %x, %p params(%v) : (tensor<?x4xf32>, !moe.plan<4, 2>, tensor<4x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%t: tensor<?x4xf32>, %s: tensor<4xf32>):
    // expected-error@+1 {{uses a parameter of one expert in a way that has no grouped form}}
    %o = nn.rms_norm %t, %s eps(1.0e-5) : tensor<?x4xf32>, tensor<4xf32>
    moe.yield %o : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}
