// RUN: moe-opt %s --moe-inline-routers --split-input-file --verify-diagnostics

moe.router @any(%x: tensor<?x?xf32>, %w: tensor<?x?xf32>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
  // expected-error@+1 {{nn.linear expects x [T, K] and w [N, K], got 'tensor<?x16xf32>' and 'tensor<8x15xf32>'}}
  %z = nn.linear %x, %w : tensor<?x?xf32>, tensor<?x?xf32>
  %idx = moe.select %z top_k(2) : tensor<?x?xf32>
  %s = moe.pick %z, %idx : tensor<?x?xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
  moe.return %plan, %s : !moe.plan<8, 2>, tensor<?x2xf32>
}
func.func @misfit(%x: tensor<?x16xf32>, %w: tensor<8x15xf32>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
  %p, %s = moe.route @any(%x, %w) : (tensor<?x16xf32>, tensor<8x15xf32>) -> (!moe.plan<8, 2>, tensor<?x2xf32>)
  return %p, %s : !moe.plan<8, 2>, tensor<?x2xf32>
}
