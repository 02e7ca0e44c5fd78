// SMEAR (Muqeeth et al. 2023, arXiv:2306.03745): for each sequence r = the mean of its tokens, layer-normed;
// p = softmax(W·r), one row of weights for a sequence. smear_layer merges the parameters of the experts by p and runs the
// tokens through the one that results. smear_dropout: the rows of W are layer-normed too, given zeros take experts out,
// and what is left is scaled to sum 1 again; smear_bias: with a bias and without that scaling. Dense, not causal (decoders
// take the encoder's mean). Exact.
#experts = 8 : i64
#width = 512 : i64
#inner = 2048 : i64
!x = tensor<?x?xf32>
!gate = tensor<8x?xf32>
!norm = tensor<?xf32>
!scores = tensor<?x8xf32>
!token = tensor<?xf32>
!per_expert = tensor<8xf32>
!seqs = tensor<?xi32>
!rows = tensor<?x512xf32>
!router = tensor<8x512xf32>
!vector = tensor<512xf32>
!h = tensor<?x2048xf32>
!w1s = tensor<8x2048x512xf32>
!w2s = tensor<8x512x2048xf32>
!w1 = tensor<?x2048x512xf32>
!w2 = tensor<?x512x2048xf32>

moe.router @smear(%x: !x, %gate: !gate, %nw: !norm, %nb: !norm, %seqs: !seqs {moe.input = "seqs"}) -> !scores {
  %mean = nn.segment_reduce mean %x seqs(%seqs) : !x, !seqs
  %r = nn.layer_norm %mean, %nw bias(%nb : !norm) eps(1.0e-5) : !x, !norm
  %z = nn.linear %r, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  moe.return %p : !scores
}

moe.router @smear_dropout(%x: !x, %gate: !gate, %nw: !norm, %nb: !norm, %gw: !norm, %gb: !norm, %keep: !scores,
    %seqs: !seqs {moe.input = "seqs"}) -> !scores {
  %mean = nn.segment_reduce mean %x seqs(%seqs) : !x, !seqs
  %r = nn.layer_norm %mean, %nw bias(%nb : !norm) eps(1.0e-5) : !x, !norm
  %g = nn.layer_norm %gate, %gw bias(%gb : !norm) eps(1.0e-5) : !gate, !norm
  %z = nn.linear %r, %g : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %kept = arith.mulf %p, %keep : !scores
  %eps = nn.fill 1.0e-10 like %p : !scores -> !scores
  %left = arith.addf %kept, %eps : !scores
  %sum = nn.reduce sum %left axis(1) : !scores
  %sums = nn.broadcast %sum axis(1) : !token -> !scores
  %w = arith.divf %left, %sums : !scores
  moe.return %w : !scores
}

moe.router @smear_bias(%x: !x, %gate: !gate, %nw: !norm, %nb: !norm, %gw: !norm, %gb: !norm, %bias: !per_expert,
    %keep: !scores, %seqs: !seqs {moe.input = "seqs"}) -> !scores {
  %mean = nn.segment_reduce mean %x seqs(%seqs) : !x, !seqs
  %r = nn.layer_norm %mean, %nw bias(%nb : !norm) eps(1.0e-5) : !x, !norm
  %g = nn.layer_norm %gate, %gw bias(%gb : !norm) eps(1.0e-5) : !gate, !norm
  %z = nn.linear %r, %g bias(%bias : !per_expert) : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %w = arith.mulf %p, %keep : !scores
  moe.return %w : !scores
}

func.func @smear_layer(%x: !rows {nn.name = "x"}, %gate: !router {nn.name = "Wg"}, %nw: !vector {nn.name = "ln_input_w"},
    %nb: !vector {nn.name = "ln_input_b"}, %seqs: !seqs {nn.name = "cu_seqlens"}, %w1s: !w1s {nn.name = "W1"},
    %w2s: !w2s {nn.name = "W2"}) -> (!rows {nn.name = "y"}) {
  %p = moe.route @smear(%x, %gate, %nw, %nb, %seqs) : (!rows, !router, !vector, !vector, !seqs) -> !scores
  %w1 = moe.merge_params %p, %w1s : !scores, !w1s
  %w2 = moe.merge_params %p, %w2s : !scores, !w2s
  %u = nn.segment_linear %x, %w1 seqs(%seqs) : !rows, !w1, !seqs
  %h = nn.activate relu %u : !h
  %y = nn.segment_linear %h, %w2 seqs(%seqs) : !h, !w2, !seqs
  return %y : !rows
}
