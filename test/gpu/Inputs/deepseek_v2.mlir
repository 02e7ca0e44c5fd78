// DeepSeek-V2's router: 160 experts in 8 groups of which the best 3 count, best 6, weights times 16; bf16 rows and gate.
func.func @route(%x: tensor<?x256xbf16>, %g: tensor<160x256xbf16>) -> (!moe.plan<160, 6>, tensor<?x6xf32>) {
  %scale = arith.constant dense<16.0> : tensor<6xf32>
  %f = arith.extf %x : tensor<?x256xbf16> to tensor<?x256xf32>
  %z = nn.linear %f, %g : tensor<?x256xf32>, tensor<160x256xbf16>
  %p = nn.softmax %z axis(1) : tensor<?x160xf32>
  %m = moe.group_mask %p groups(8) keep(3) score(max) fill(0.0) : tensor<?x160xf32>
  %idx = moe.select %m top_k(6) : tensor<?x160xf32>
  %s = moe.pick %m, %idx : tensor<?x160xf32>, tensor<?x6xi32>
  %all = nn.broadcast %scale like %s : tensor<?x6xf32> axis(0) : tensor<6xf32> -> tensor<?x6xf32>
  %w = arith.mulf %s, %all : tensor<?x6xf32>
  %plan = moe.make_plan %idx experts(160) : tensor<?x6xi32>
  return %plan, %w : !moe.plan<160, 6>, tensor<?x6xf32>
}
