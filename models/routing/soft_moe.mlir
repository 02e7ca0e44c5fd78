// Soft MoE (Puigcerver et al. 2023, arXiv:2308.00951): logits z = scale · x̂·μ̂, P slots for each of E experts (μ: a row
// for each slot), x̂ and μ̂ of length 1. dispatch: softmax over the tokens of a sequence; combine: softmax over the slots.
// soft_moe_layer: slots are mixed of tokens, run through their experts, and mixed back. Dense, not causal. Exact;
// soft_moe_noise adds given noise to z.
#experts = 8 : i64
#slots = 16 : i64
#width = 512 : i64
#inner = 2048 : i64
!plan = !moe.plan<8, 16>
!x = tensor<?x?xf32>
!mu = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!token = tensor<?xf32>
!slot = tensor<16xf32>
!seqs = tensor<?xi32>
!scalar = tensor<f32>
!rows = tensor<?x512xf32>
!keys = tensor<16x512xf32>
!slots = tensor<?x16x512xf32>
!expert_of = tensor<16xi32>
!chosen = tensor<?x16xi32>
!h = tensor<?x2048xf32>
!w1 = tensor<2048x512xf32>
!w2 = tensor<512x2048xf32>
!w1s = tensor<8x2048x512xf32>
!w2s = tensor<8x512x2048xf32>
#expert_of = dense<[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]> : !expert_of

moe.router @soft_moe(%x: !x, %mu: !mu, %scale: !scalar, %seqs: !seqs {moe.input = "seqs"}) -> (!scores, !scores) {
  %a = nn.linear %x, %mu : !x, !mu
  %x2 = arith.mulf %x, %x : !x
  %lx = nn.reduce sum %x2 axis(1) : !x
  %ex = nn.fill 1.0e-6 like %lx : !token -> !token
  %lxe = arith.addf %lx, %ex : !token
  %rx = math.rsqrt %lxe : !token
  %m2 = arith.mulf %mu, %mu : !mu
  %lm = nn.reduce sum %m2 axis(1) : !mu
  %em = nn.fill 1.0e-6 like %lm : !slot -> !slot
  %lme = arith.addf %lm, %em : !slot
  %rm = math.rsqrt %lme : !slot
  %sm = nn.broadcast %scale axis(0) : !scalar -> !slot
  %fm = arith.mulf %rm, %sm : !slot
  %fx = nn.broadcast %rx axis(1) : !token -> !scores
  %fs = nn.broadcast %fm like %a : !scores axis(0) : !slot -> !scores
  %ax = arith.mulf %a, %fx : !scores
  %z = arith.mulf %ax, %fs : !scores
  %dispatch = nn.segment_softmax %z seqs(%seqs) : !scores, !seqs
  %combine = nn.softmax %z axis(1) : !scores
  moe.return %dispatch, %combine : !scores, !scores
}

moe.router @soft_moe_noise(%x: !x, %mu: !mu, %scale: !scalar, %noise: !scores, %seqs: !seqs {moe.input = "seqs"})
    -> (!scores, !scores) {
  %a = nn.linear %x, %mu : !x, !mu
  %x2 = arith.mulf %x, %x : !x
  %lx = nn.reduce sum %x2 axis(1) : !x
  %ex = nn.fill 1.0e-6 like %lx : !token -> !token
  %lxe = arith.addf %lx, %ex : !token
  %rx = math.rsqrt %lxe : !token
  %m2 = arith.mulf %mu, %mu : !mu
  %lm = nn.reduce sum %m2 axis(1) : !mu
  %em = nn.fill 1.0e-6 like %lm : !slot -> !slot
  %lme = arith.addf %lm, %em : !slot
  %rm = math.rsqrt %lme : !slot
  %sm = nn.broadcast %scale axis(0) : !scalar -> !slot
  %fm = arith.mulf %rm, %sm : !slot
  %fx = nn.broadcast %rx axis(1) : !token -> !scores
  %fs = nn.broadcast %fm like %a : !scores axis(0) : !slot -> !scores
  %ax = arith.mulf %a, %fx : !scores
  %clean = arith.mulf %ax, %fs : !scores
  %z = arith.addf %clean, %noise : !scores
  %dispatch = nn.segment_softmax %z seqs(%seqs) : !scores, !seqs
  %combine = nn.softmax %z axis(1) : !scores
  moe.return %dispatch, %combine : !scores, !scores
}

func.func @soft_moe_layer(%x: !rows {nn.name = "x"}, %mu: !keys {nn.name = "mu"}, %scale: !scalar {nn.name = "scale"},
    %seqs: !seqs {nn.name = "cu_seqlens"}, %w1s: !w1s {nn.name = "W1"}, %w2s: !w2s {nn.name = "W2"}) -> (!rows {nn.name = "y"}) {
  %dispatch, %combine = moe.route @soft_moe(%x, %mu, %scale, %seqs) : (!rows, !keys, !scalar, !seqs) -> (!scores, !scores)
  %slots = moe.mix %dispatch, %x seqs(%seqs) : !scores, !rows, !seqs
  %experts = arith.constant #expert_of
  %idx = nn.broadcast %experts like %slots : !slots axis(0) : !expert_of -> !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %rows = moe.group %slots, %plan : !slots, !plan
  %out = moe.experts %rows, %plan params(%w1s, %w2s) : (!rows, !plan, !w1s, !w2s) -> !rows {
  ^bb0(%r: !rows, %w1: !w1, %w2: !w2):
    %u = nn.linear %r, %w1 : !rows, !w1
    %h = nn.activate gelu_tanh %u : !h
    %d = nn.linear %h, %w2 : !h, !w2
    moe.yield %d : !rows
  }
  %done = moe.ungroup %out, %plan : !rows, !plan
  %y = moe.unmix %combine, %done seqs(%seqs) : !scores, !slots, !seqs
  return %y : !rows
}
