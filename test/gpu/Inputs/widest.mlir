// The largest router that kernels hold: 4096 experts, best 32.
func.func @route(%x: tensor<?x2048xbf16>, %g: tensor<4096x2048xbf16>) -> (!moe.plan<4096, 32>, tensor<?x32xf32>) {
  %f = arith.extf %x : tensor<?x2048xbf16> to tensor<?x2048xf32>
  %z = nn.linear %f, %g : tensor<?x2048xf32>, tensor<4096x2048xbf16>
  %p = nn.softmax %z axis(1) : tensor<?x4096xf32>
  %idx = moe.select %p top_k(32) : tensor<?x4096xf32>
  %s = moe.pick %p, %idx : tensor<?x4096xf32>, tensor<?x32xi32>
  %plan = moe.make_plan %idx experts(4096) : tensor<?x32xi32>
  return %plan, %s : !moe.plan<4096, 32>, tensor<?x32xf32>
}
