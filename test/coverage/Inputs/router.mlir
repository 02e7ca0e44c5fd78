// What routers have besides core operations: losses, and a gradient of their own.
func.func @losses(%z: tensor<?x4xf32>, %idx: tensor<?x2xi32>) -> (tensor<f32>, tensor<f32>, tensor<f32>, tensor<?x4xf32>) attributes {nn.entry = "losses"} {
  %p = moe.custom_vjp (%z) : (tensor<?x4xf32>) -> tensor<?x4xf32> forward {
  ^bb0(%a: tensor<?x4xf32>):
    %s = nn.softmax %a axis(1) : tensor<?x4xf32>
    moe.yield %s : tensor<?x4xf32>
  } backward {
  ^bb0(%a: tensor<?x4xf32>, %s: tensor<?x4xf32>, %ds: tensor<?x4xf32>):
    moe.yield %ds : tensor<?x4xf32>
  }
  %balance = moe.balance_loss device %p, %idx coef(0.01) per_choice {devices = 2 : i64} : tensor<?x4xf32>, tensor<?x2xi32> -> tensor<f32>
  %small = moe.z_loss %z coef(0.001) : tensor<?x4xf32> -> tensor<f32>
  %even = moe.variation_loss %p coef(0.1) unbiased {eps = 1.0e-10} : tensor<?x4xf32> -> tensor<f32>
  return %balance, %small, %even, %p : tensor<f32>, tensor<f32>, tensor<f32>, tensor<?x4xf32>
}
