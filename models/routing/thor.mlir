// THOR (Zuo et al. 2021, arXiv:2110.04260): experts are drawn, weight 1, no parameters. thor: one draw for each sequence,
// or for the whole batch where `seqs` are [0, T], as in training; thor_token: one for each token. Training runs two passes
// and adds thor_consistency (L14), α·½·(KL(p‖q) + KL(q‖p)) of what the model says in both. Exact for given draws.
#experts = 8 : i64
#vocabulary = 32000 : i64
!plan = !moe.plan<8, 1>
!x = tensor<?x?xf32>
!ints = tensor<?xi32>
!chosen = tensor<?x1xi32>
!weights = tensor<?x1xf32>
!logits = tensor<?x32000xf32>
!token = tensor<?xf32>
!loss = tensor<f32>
#half_alpha = 2.5 : f64

moe.router @thor(%x: !x, %draws: !ints, %seqs: !ints {moe.input = "seqs"}) -> (!plan, !weights) {
  %expert = nn.segment_broadcast %draws like %x seqs(%seqs) : !ints, !x, !ints
  %idx = nn.reshape %expert : !ints -> !chosen
  %w = nn.fill 1.0 like %x : !x -> !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @thor_token(%x: !x, %draws: !ints) -> (!plan, !weights) {
  %idx = nn.reshape %draws : !ints -> !chosen
  %w = nn.fill 1.0 like %x : !x -> !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

func.func @thor_consistency(%a: !logits {nn.name = "logits1"}, %b: !logits {nn.name = "logits2"})
    -> (!loss {nn.name = "loss.L14"}) {
  %p = nn.softmax %a axis(1) : !logits
  %q = nn.softmax %b axis(1) : !logits
  %lp = math.log %p : !logits
  %lq = math.log %q : !logits
  %d = arith.subf %p, %q : !logits
  %ld = arith.subf %lp, %lq : !logits
  %kl = arith.mulf %d, %ld : !logits
  %each = nn.reduce sum %kl axis(1) : !logits
  %sum = nn.reduce sum %each axis(0) : !token
  %alpha = nn.fill #half_alpha like %sum : !loss -> !loss
  %loss = arith.mulf %sum, %alpha : !loss
  return %loss : !loss
}
