// Mixture of Tokens (Antoniak et al. 2023, arXiv:2310.15961): the tokens of a group are mixed into one slot for each
// expert by merge = softmax over the group of (W·x)/τ, and each token takes emit of what the experts say of its slots:
// emit = merge (mot), or softmax over the experts (mot_experts). `groups` are the boundaries of groups of tokens that stand
// together (as cu_seqlens): parts of a sequence, which is not causal, or, in mot_batch, the tokens of one position in
// several sequences, which `group` numbers. Exact.
#experts = 8 : i64
#groups = 3 : i64
#width = 512 : i64
#inner = 2048 : i64
!plan = !moe.plan<8, 8>
!order = !moe.plan<3, 1>
!x = tensor<?x512xf32>
!gate = tensor<8x512xf32>
!scores = tensor<?x8xf32>
!ints = tensor<?xi32>
!numbers = tensor<?x1xi32>
!slots = tensor<?x8x512xf32>
!none = tensor<?x8xf32>
!chosen = tensor<?x8xi32>
!h = tensor<?x2048xf32>
!w1 = tensor<2048x512xf32>
!w2 = tensor<512x2048xf32>
!w1s = tensor<8x2048x512xf32>
!w2s = tensor<8x512x2048xf32>
#inverse_tau = 1.0 : f64

moe.router @mot(%x: !x, %gate: !gate, %groups: !ints) -> (!scores, !scores) {
  %z = nn.linear %x, %gate : !x, !gate
  %tau = nn.fill #inverse_tau like %z : !scores -> !scores
  %zt = arith.mulf %z, %tau : !scores
  %merge = nn.segment_softmax %zt seqs(%groups) : !scores, !ints
  moe.return %merge, %merge : !scores, !scores
}

moe.router @mot_experts(%x: !x, %gate: !gate, %groups: !ints) -> (!scores, !scores) {
  %z = nn.linear %x, %gate : !x, !gate
  %tau = nn.fill #inverse_tau like %z : !scores -> !scores
  %zt = arith.mulf %z, %tau : !scores
  %merge = nn.segment_softmax %zt seqs(%groups) : !scores, !ints
  %emit = nn.softmax %zt axis(1) : !scores
  moe.return %merge, %emit : !scores, !scores
}

func.func @mot_layer(%x: !x {nn.name = "x"}, %gate: !gate {nn.name = "Wg"}, %groups: !ints {nn.name = "groups", nn.rows = "boundaries"},
    %w1s: !w1s {nn.name = "W1"}, %w2s: !w2s {nn.name = "W2"}) -> (!x {nn.name = "y"}) {
  %merge, %emit = moe.route @mot(%x, %gate, %groups) : (!x, !gate, !ints) -> (!scores, !scores)
  %slots = moe.mix %merge, %x seqs(%groups) : !scores, !x, !ints
  // Slot e of every group goes to expert e: of equal scores, all are taken in ascending order.
  %none = nn.fill 0.0 like %slots : !slots -> !none
  %idx = moe.select %none top_k(#experts) : !none
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %rows = moe.group %slots, %plan : !slots, !plan
  %out = moe.experts %rows, %plan params(%w1s, %w2s) : (!x, !plan, !w1s, !w2s) -> !x {
  ^bb0(%r: !x, %w1: !w1, %w2: !w2):
    %u = nn.linear %r, %w1 : !x, !w1
    %h = nn.activate relu %u : !h
    %d = nn.linear %h, %w2 : !h, !w2
    moe.yield %d : !x
  }
  %done = moe.ungroup %out, %plan : !x, !plan
  %y = moe.unmix %emit, %done seqs(%groups) : !scores, !slots, !ints
  return %y : !x
}

func.func @mot_experts_layer(%x: !x {nn.name = "x"}, %gate: !gate {nn.name = "Wg"}, %groups: !ints {nn.name = "groups", nn.rows = "boundaries"},
    %w1s: !w1s {nn.name = "W1"}, %w2s: !w2s {nn.name = "W2"}) -> (!x {nn.name = "y"}) {
  %merge, %emit = moe.route @mot_experts(%x, %gate, %groups) : (!x, !gate, !ints) -> (!scores, !scores)
  %slots = moe.mix %merge, %x seqs(%groups) : !scores, !x, !ints
  %none = nn.fill 0.0 like %slots : !slots -> !none
  %idx = moe.select %none top_k(#experts) : !none
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %rows = moe.group %slots, %plan : !slots, !plan
  %out = moe.experts %rows, %plan params(%w1s, %w2s) : (!x, !plan, !w1s, !w2s) -> !x {
  ^bb0(%r: !x, %w1: !w1, %w2: !w2):
    %u = nn.linear %r, %w1 : !x, !w1
    %h = nn.activate relu %u : !h
    %d = nn.linear %h, %w2 : !h, !w2
    moe.yield %d : !x
  }
  %done = moe.ungroup %out, %plan : !x, !plan
  %y = moe.unmix %emit, %done seqs(%groups) : !scores, !slots, !ints
  return %y : !x
}

func.func @mot_batch_layer(%x: !x {nn.name = "x"}, %gate: !gate {nn.name = "Wg"}, %group: !ints {nn.name = "group"},
    %groups: !ints {nn.name = "groups", nn.rows = "boundaries"}, %w1s: !w1s {nn.name = "W1"}, %w2s: !w2s {nn.name = "W2"})
    -> (!x {nn.name = "y"}, !scores {nn.name = "dispatch"}, !scores {nn.name = "combine"}) {
  // Tokens of a group are put together, and back.
  %numbers = nn.reshape %group : !ints -> !numbers
  %order = moe.make_plan %numbers experts(#groups) : !numbers
  %together = moe.dispatch %x, %order : !x, !order
  %merge, %emit = moe.route @mot(%together, %gate, %groups) : (!x, !gate, !ints) -> (!scores, !scores)
  %slots = moe.mix %merge, %together seqs(%groups) : !scores, !x, !ints
  %none = nn.fill 0.0 like %slots : !slots -> !none
  %idx = moe.select %none top_k(#experts) : !none
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %rows = moe.group %slots, %plan : !slots, !plan
  %out = moe.experts %rows, %plan params(%w1s, %w2s) : (!x, !plan, !w1s, !w2s) -> !x {
  ^bb0(%r: !x, %w1: !w1, %w2: !w2):
    %u = nn.linear %r, %w1 : !x, !w1
    %h = nn.activate relu %u : !h
    %d = nn.linear %h, %w2 : !h, !w2
    moe.yield %d : !x
  }
  %done = moe.ungroup %out, %plan : !x, !plan
  %mixed = moe.unmix %emit, %done seqs(%groups) : !scores, !slots, !ints
  %one = nn.fill 1.0 like %x : !x -> tensor<?x1xf32>
  %y = moe.combine %mixed, %order, %one : !x, !order, tensor<?x1xf32>
  %dispatch = moe.combine %merge, %order, %one : !scores, !order, tensor<?x1xf32>
  %combine = moe.combine %emit, %order, %one : !scores, !order, tensor<?x1xf32>
  return %y, %dispatch, %combine : !x, !scores, !scores
}
