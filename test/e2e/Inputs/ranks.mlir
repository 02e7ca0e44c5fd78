// A layer of 8 experts, 3 for each token, with weights given by the caller.
func.func @layer(%x: tensor<?x16xf32> {nn.name = "x"}, %gate: tensor<8x16xf32> {nn.name = "gate"},
                 %up: tensor<8x24x16xf32> {nn.name = "up"}, %down: tensor<8x16x12xf32> {nn.name = "down"})
    -> (tensor<?x16xf32> {nn.name = "y"}) {
  %z = nn.linear %x, %gate : tensor<?x16xf32>, tensor<8x16xf32>
  %p = nn.softmax %z axis(1) : tensor<?x8xf32>
  %idx = moe.select %p top_k(3) : tensor<?x8xf32>
  %w = moe.pick %p, %idx : tensor<?x8xf32>, tensor<?x3xi32>
  %plan = moe.make_plan %idx experts(8) : tensor<?x3xi32>
  %rows = moe.dispatch %x, %plan : tensor<?x16xf32>, !moe.plan<8, 3>
  %out = moe.experts %rows, %plan params(%up, %down) : (tensor<?x16xf32>, !moe.plan<8, 3>, tensor<8x24x16xf32>, tensor<8x16x12xf32>) -> tensor<?x16xf32> {
  ^bb0(%r: tensor<?x16xf32>, %u: tensor<24x16xf32>, %d: tensor<16x12xf32>):
    %h = nn.linear %r, %u : tensor<?x16xf32>, tensor<24x16xf32>
    %a = nn.glu silu %h : tensor<?x24xf32>
    %o = nn.linear %a, %d : tensor<?x12xf32>, tensor<16x12xf32>
    moe.yield %o : tensor<?x16xf32>
  }
  %y = moe.combine %out, %plan, %w : tensor<?x16xf32>, !moe.plan<8, 3>, tensor<?x3xf32>
  return %y : tensor<?x16xf32>
}
