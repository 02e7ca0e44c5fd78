// GShard top-2 (Lepikhin et al. 2020, arXiv:2006.16668), second-expert policy `threshold`, without capacity:
// p = softmax(W·x); the two largest; w = p / (p1 + p2 + 1e-9); the second is left out unless w2 > 0.2.
// Exact where nothing is dropped. The policy `all` is mixtral.mlir.
#experts = 16 : i64
#k = 2 : i64
!plan = !moe.plan<16, 2>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!per_choice = tensor<2xf32>
!on = tensor<?x2xi1>
!per_choice_i32 = tensor<2xi32>
#eps = dense<1.0e-9> : !per_choice
#least = dense<[-1.0, 0.2]> : !per_choice
#none = dense<16> : !per_choice_i32
#zero = dense<0.0> : !per_choice

moe.router @gshard(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %chosen = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %chosen : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %sums = nn.broadcast %sum axis(1) : !token -> !weights
  %eps = arith.constant #eps
  %epss = nn.broadcast %eps like %s : !weights axis(0) : !per_choice -> !weights
  %den = arith.addf %sums, %epss : !weights
  %n = arith.divf %s, %den : !weights
  %least = arith.constant #least
  %leasts = nn.broadcast %least like %s : !weights axis(0) : !per_choice -> !weights
  %on = arith.cmpf ogt, %n, %leasts : !weights
  %none = arith.constant #none
  %nones = nn.broadcast %none like %chosen : !chosen axis(0) : !per_choice_i32 -> !chosen
  %idx = arith.select %on, %chosen, %nones : !on, !chosen
  %zero = arith.constant #zero
  %zeros = nn.broadcast %zero like %s : !weights axis(0) : !per_choice -> !weights
  %w = arith.select %on, %n, %zeros : !on, !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
