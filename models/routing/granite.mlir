// Granite 3 MoE (IBM 2024): the K largest logits z = W·x; w = softmax over the chosen z alone; L2 as in transformers (all
// choices, p = softmax(z)). Exact. Also JetMoE and sparse upcycling. Equals mixtral.mlir in real arithmetic, not in
// rounding.
#experts = 40 : i64
#k = 8 : i64
!plan = !moe.plan<40, 8>
!x = tensor<?x?xf32>
!gate = tensor<40x?xf32>
!scores = tensor<?x40xf32>
!chosen = tensor<?x8xi32>
!weights = tensor<?x8xf32>
!loss = tensor<f32>
#balance = 0.01 : f64

moe.router @granite(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "L2"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %idx = moe.select %z top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %w = nn.softmax %s axis(1) : !weights
  %p = nn.softmax %z axis(1) : !scores
  %l2 = moe.balance_loss expert %p, %idx coef(#balance) : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l2 : !plan, !weights, !loss
}
