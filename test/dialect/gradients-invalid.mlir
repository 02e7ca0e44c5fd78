// RUN: moe-opt %s --split-input-file --verify-diagnostics

func.func @linear_dx_c1(%a: tensor<?x4xf32>, %b: tensor<5x3xf32>) {
  // expected-error@+1 {{nn.linear_dx expects dy [T, N] and w [N, K]}}
  %y = nn.linear_dx %a, %b : tensor<?x4xf32>, tensor<5x3xf32>
  return
}

// -----

func.func @linear_dw_c1(%a: tensor<2x4xf32>, %b: tensor<3x3xf32>) {
  // expected-error@+1 {{nn.linear_dw expects dy [T, N] and x [T, K]}}
  %y = nn.linear_dw %a, %b : tensor<2x4xf32>, tensor<3x3xf32>
  return
}

// -----

func.func @head_linear_dx_c1(%a: tensor<?x2x4xf32>, %b: tensor<2x5x3xf32>) {
  // expected-error@+1 {{nn.head_linear_dx expects dy [T, H, N] and w [H, N, K]}}
  %y = nn.head_linear_dx %a, %b : tensor<?x2x4xf32>, tensor<2x5x3xf32>
  return
}

// -----

func.func @head_linear_dw_c1(%a: tensor<?x2x4xf32>, %b: tensor<?x3x5xf32>) {
  // expected-error@+1 {{nn.head_linear_dw expects dy [T, H, N] and x [T, H, K]}}
  %y = nn.head_linear_dw %a, %b : tensor<?x2x4xf32>, tensor<?x3x5xf32>
  return
}

// -----

func.func @rms_norm_grad_c1(%x: tensor<?x4xf32>, %w: tensor<4xf32>, %dy: tensor<?x5xf32>) {
  // expected-error@+1 {{nn.rms_norm_grad expects x and dy [.., D] and w [D]}}
  %dx, %dw = nn.rms_norm_grad %x, %w, %dy eps(1.0e-6) : tensor<?x4xf32>, tensor<4xf32>, tensor<?x5xf32>
  return
}

// -----

func.func @rms_norm_grad_c2(%x: tensor<?x4xf32>, %w: tensor<4xf32>) {
  // expected-error@+1 {{nn.rms_norm_grad expects eps >= 0}}
  %dx, %dw = nn.rms_norm_grad %x, %w, %x eps(-1.0) : tensor<?x4xf32>, tensor<4xf32>, tensor<?x4xf32>
  return
}

// -----

func.func @layer_norm_grad_c1(%x: tensor<?x4xf32>, %w: tensor<4xf32>, %dy: tensor<?x5xf32>) {
  // expected-error@+1 {{nn.layer_norm_grad expects x and dy [.., D] and w [D]}}
  %dx, %dw, %db = nn.layer_norm_grad %x, %w, %dy eps(1.0e-6) : tensor<?x4xf32>, tensor<4xf32>, tensor<?x5xf32>
  return
}

// -----

func.func @layer_norm_grad_c2(%x: tensor<?x4xf32>, %w: tensor<4xf32>) {
  // expected-error@+1 {{nn.layer_norm_grad expects eps >= 0}}
  %dx, %dw, %db = nn.layer_norm_grad %x, %w, %x eps(-1.0) : tensor<?x4xf32>, tensor<4xf32>, tensor<?x4xf32>
  return
}

// -----

func.func @activate_grad_c1(%a: tensor<?x4xf32>, %b: tensor<?x5xf32>) {
  // expected-error@+1 {{nn.activate_grad expects dy like x}}
  %y = nn.activate_grad silu %a, %b : tensor<?x4xf32>, tensor<?x5xf32>
  return
}

// -----

func.func @glu_grad_c1(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) {
  // expected-error@+1 {{nn.glu_grad expects x [R, 2I] and dy [R, I]}}
  %y = nn.glu_grad silu %a, %b : tensor<?x4xf32>, tensor<?x4xf32>
  return
}

// -----

func.func @reduce_grad_c1(%x: tensor<?x4xf32>, %y: tensor<?xf32>) {
  // expected-error@+1 {{nn.reduce_grad expects 0 <= axis < 2, got 2}}
  %dx = nn.reduce_grad max %x, %y, %y axis(2) : tensor<?x4xf32>, tensor<?xf32>, tensor<?xf32>
  return
}

// -----

func.func @reduce_grad_c2(%x: tensor<?x4xf32>, %y: tensor<?x1xf32>) {
  // expected-error@+1 {{nn.reduce_grad expects y and dy of type 'tensor<?xf32>'}}
  %dx = nn.reduce_grad max %x, %y, %y axis(1) : tensor<?x4xf32>, tensor<?x1xf32>, tensor<?x1xf32>
  return
}

// -----

func.func @attend_grad_c1(%q: tensor<?x4x3xf32>, %k: tensor<?x3x3xf32>, %v: tensor<?x3x5xf32>, %s: tensor<?xi32>, %dy: tensor<?x4x5xf32>) {
  // expected-error@+1 {{expects q [T, H, dk] and k [T, KV, dk] with KV dividing H}}
  %dq, %dk, %dv = nn.attend_grad %q, %k, %v seqs(%s) dy(%dy) {scale = 1.0} : tensor<?x4x3xf32>, tensor<?x3x3xf32>, tensor<?x3x5xf32> seqs tensor<?xi32>, tensor<?x4x5xf32> -> tensor<?x4x3xf32>, tensor<?x3x3xf32>, tensor<?x3x5xf32>
  return
}

// -----

func.func @attend_grad_c2(%q: tensor<?x4x3xf32>, %k: tensor<?x2x3xf32>, %s: tensor<?xi32>, %dy: tensor<?x4x5xf32>) {
  // expected-error@+1 {{expects one key head and 0 < value_dims <= dk without v, got 2 and 2}}
  %dq, %dk = nn.attend_grad %q, %k seqs(%s) dy(%dy) {scale = 1.0, value_dims = 2} : tensor<?x4x3xf32>, tensor<?x2x3xf32> seqs tensor<?xi32>, tensor<?x4x5xf32> -> tensor<?x4x3xf32>, tensor<?x2x3xf32>
  return
}

// -----

func.func @attend_grad_c3(%q: tensor<?x4x3xf32>, %k: tensor<?x2x3xf32>, %v: tensor<?x2x5xf32>, %s: tensor<?xi32>, %dy: tensor<?x4x3xf32>) {
  // expected-error@+1 {{expects dy [T, 4, 5]}}
  %dq, %dk, %dv = nn.attend_grad %q, %k, %v seqs(%s) dy(%dy) {scale = 1.0} : tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x5xf32> seqs tensor<?xi32>, tensor<?x4x3xf32> -> tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x5xf32>
  return
}

// -----

func.func @attend_grad_c4(%q: tensor<?x4x3xf32>, %k: tensor<?x2x3xf32>, %v: tensor<?x2x5xf32>, %s: tensor<?xi32>, %dy: tensor<?x4x5xf32>) {
  // expected-error@+1 {{expects gradients of the types of q, k, v and sinks}}
  %dq, %dk, %dv = nn.attend_grad %q, %k, %v seqs(%s) dy(%dy) {scale = 1.0} : tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x5xf32> seqs tensor<?xi32>, tensor<?x4x5xf32> -> tensor<?x4x3xf32>, tensor<?x2x4xf32>, tensor<?x2x5xf32>
  return
}

// -----

func.func @attend_grad_c5(%q: tensor<?x4x3xf32>, %k: tensor<?x2x3xf32>, %v: tensor<?x2x5xf32>, %s: tensor<?xi32>, %dy: tensor<?x4x5xf32>) {
  // expected-error@+1 {{expects window >= 0 and cap >= 0, got -1 and 0.000000e+00}}
  %dq, %dk, %dv = nn.attend_grad %q, %k, %v seqs(%s) dy(%dy) {scale = 1.0, window = -1} : tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x5xf32> seqs tensor<?xi32>, tensor<?x4x5xf32> -> tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x5xf32>
  return
}

// -----

func.func @attend_grad_c5_cap(%q: tensor<?x4x3xf32>, %k: tensor<?x2x3xf32>, %v: tensor<?x2x5xf32>, %s: tensor<?xi32>, %dy: tensor<?x4x5xf32>) {
  // expected-error@+1 {{expects window >= 0 and cap >= 0, got 0 and -1.000000e+00}}
  %dq, %dk, %dv = nn.attend_grad %q, %k, %v seqs(%s) dy(%dy) {scale = 1.0, cap = -1.0 : f64} : tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x5xf32> seqs tensor<?xi32>, tensor<?x4x5xf32> -> tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x5xf32>
  return
}

// -----

func.func @attend_grad_c6(%q: tensor<?x4x3xf32>, %k: tensor<?x2x3xf32>, %v: tensor<?x2x5xf32>, %s: tensor<?xi32>, %dy: tensor<?x4x5xf32>, %w: tensor<2xf32>) {
  // expected-error@+1 {{expects sinks [4], got 'tensor<2xf32>'}}
  %dq, %dk, %dv, %ds = nn.attend_grad %q, %k, %v seqs(%s) dy(%dy) sinks(%w : tensor<2xf32>) {scale = 1.0} : tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x5xf32> seqs tensor<?xi32>, tensor<?x4x5xf32> -> tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x5xf32>, tensor<2xf32>
  return
}

// -----

func.func @embedding_grad_c1(%ids: tensor<2xi32>, %dy: tensor<3x4xf32>) {
  // expected-error@+1 {{expects ids [T] and dy [T, D]}}
  %t = nn.embedding_grad %ids, %dy : tensor<2xi32>, tensor<3x4xf32> -> tensor<8x4xf32>
  return
}

// -----

func.func @embedding_grad_c2(%ids: tensor<?xi32>, %dy: tensor<?x4xf32>) {
  // expected-error@+1 {{expects a result [V, 4]}}
  %t = nn.embedding_grad %ids, %dy : tensor<?xi32>, tensor<?x4xf32> -> tensor<8x5xf32>
  return
}

// -----

func.func @last_rows_grad_c1(%dy: tensor<?x4xf32>, %s: tensor<?xi32>, %x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects dy [B, D], cu_seqlens [B+1] and a result [T, D]}}
  %dx = nn.last_rows_grad %dy, %s like %x : tensor<?x4xf32>, tensor<?xi32>, tensor<?x4xf32> -> tensor<?x5xf32>
  return
}

// -----

func.func @join_layers_c1(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{nn.join_layers expects a static axis 0}}
  %y = nn.join_layers %x : tensor<?x4xf32>
  return
}

// -----

func.func @join_layers_c2(%x: tensor<2x4xf32>, %z: tensor<2x5xf32>) {
  // expected-error@+1 {{nn.join_layers expects operands that differ in axis 0 alone}}
  %y = nn.join_layers %x, %z : tensor<2x4xf32>, tensor<2x5xf32>
  return
}

// -----

func.func @dispatch_grad_c1(%d: tensor<?x4xf32>, %p: !moe.plan<4, 2>) {
  // expected-error@+1 {{expects drows [R, D] and a result [T, D]}}
  %dx = moe.dispatch_grad %d, %p : tensor<?x4xf32>, !moe.plan<4, 2> -> tensor<?x5xf32>
  return
}

// -----

func.func @combine_grad_c1(%r: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<?x2xf32>, %dy: tensor<?x5xf32>) {
  // expected-error@+1 {{moe.combine_grad expects rows [R, D] and dy [T, D]}}
  %a, %b = moe.combine_grad %r, %p, %w, %dy : tensor<?x4xf32>, !moe.plan<4, 2>, tensor<?x2xf32>, tensor<?x5xf32>
  return
}

// -----

func.func @combine_grad_c2(%r: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<?x3xf32>) {
  // expected-error@+1 {{moe.combine_grad expects weights [T, K] with the K of the plan}}
  %a, %b = moe.combine_grad %r, %p, %w, %r : tensor<?x4xf32>, !moe.plan<4, 2>, tensor<?x3xf32>, tensor<?x4xf32>
  return
}

// -----

func.func @weigh_c1(%r: tensor<?x2x3xf32>, %p: !moe.plan<4, 2>, %w: tensor<?x2xf32>) {
  // expected-error@+1 {{moe.weigh expects rows [R, N], got 'tensor<?x2x3xf32>'}}
  %a = moe.weigh %r, %p, %w : tensor<?x2x3xf32>, !moe.plan<4, 2>, tensor<?x2xf32>
  return
}

// -----

func.func @weigh_c2(%r: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<?x3xf32>) {
  // expected-error@+1 {{moe.weigh expects weights [T, K] with the K of the plan, got 'tensor<?x3xf32>'}}
  %a = moe.weigh %r, %p, %w : tensor<?x4xf32>, !moe.plan<4, 2>, tensor<?x3xf32>
  return
}

// -----

func.func @weigh_grad_c1(%r: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<?x2xf32>, %dy: tensor<?x5xf32>) {
  // expected-error@+1 {{moe.weigh_grad expects rows and dy [R, N], got 'tensor<?x4xf32>' and 'tensor<?x5xf32>'}}
  %a, %b = moe.weigh_grad %r, %p, %w, %dy : tensor<?x4xf32>, !moe.plan<4, 2>, tensor<?x2xf32>, tensor<?x5xf32>
  return
}

// -----

func.func @weigh_grad_c2(%r: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<?x3xf32>) {
  // expected-error@+1 {{moe.weigh_grad expects weights [T, K] with the K of the plan, got 'tensor<?x3xf32>'}}
  %a, %b = moe.weigh_grad %r, %p, %w, %r : tensor<?x4xf32>, !moe.plan<4, 2>, tensor<?x3xf32>, tensor<?x4xf32>
  return
}

// -----

func.func @grouped_matmul_dx_c1(%d: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<4x5x3xf32>) {
  // expected-error@+1 {{moe.grouped_matmul_dx expects dy [R, N] and w [4, N, K]}}
  %y = moe.grouped_matmul_dx %d, %p, %w : tensor<?x4xf32>, !moe.plan<4, 2>, tensor<4x5x3xf32>
  return
}

// -----

func.func @grouped_matmul_dw_c1(%d: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %x: tensor<?xf32>) {
  // expected-error@+1 {{moe.grouped_matmul_dw expects dy [R, N] and x [R, K]}}
  %y = moe.grouped_matmul_dw %d, %p, %x : tensor<?x4xf32>, !moe.plan<4, 2>, tensor<?xf32>
  return
}

// -----

func.func @grouped_sum_c1(%r: tensor<?xf32>, %p: !moe.plan<4, 2>) {
  // expected-error@+1 {{moe.grouped_sum expects rows [R, N]}}
  %y = moe.grouped_sum %r, %p : tensor<?xf32>, !moe.plan<4, 2>
  return
}

// -----

func.func @group_mask_grad_c1(%s: tensor<?x8xf32>) {
  // expected-error@+1 {{moe.group_mask_grad expects s and dy [T, E] with groups dividing E}}
  %y = moe.group_mask_grad %s, %s groups(3) keep(1) score(max) : tensor<?x8xf32>, tensor<?x8xf32>
  return
}

// -----

func.func @group_mask_grad_c2(%s: tensor<?x8xf32>) {
  // expected-error@+1 {{moe.group_mask_grad expects 1 <= keep <= groups, got 3 of 2}}
  %y = moe.group_mask_grad %s, %s groups(2) keep(3) score(max) : tensor<?x8xf32>, tensor<?x8xf32>
  return
}

// -----

func.func @group_mask_grad_c3(%s: tensor<?x8xf32>) {
  // expected-error@+2 {{moe.group_mask_grad expects 1 <= top <= 4, got 5}}
  // expected-error@+1 {{failed to infer returned types}}
  %y = moe.group_mask_grad %s, %s groups(2) keep(1) score(max) {top = 5} : tensor<?x8xf32>, tensor<?x8xf32>
  return
}

// -----

func.func @segment_linear_dx_c1(%dy: tensor<?x4xf32>, %w: tensor<2x3x5xf32>, %c: tensor<3xi32>) {
  // expected-error@+1 {{nn.segment_linear_dx expects dy [T, N] and w [B, N, K], got 'tensor<?x4xf32>' and 'tensor<2x3x5xf32>'}}
  %0 = nn.segment_linear_dx %dy, %w seqs(%c) : tensor<?x4xf32>, tensor<2x3x5xf32>, tensor<3xi32>
  return
}

// -----

func.func @segment_linear_dx_c2(%dy: tensor<?x3xf32>, %w: tensor<2x3x5xf32>, %c: tensor<i32>) {
  // expected-error@+1 {{nn.segment_linear_dx expects cu_seqlens [B+1], got 'tensor<i32>'}}
  %0 = nn.segment_linear_dx %dy, %w seqs(%c) : tensor<?x3xf32>, tensor<2x3x5xf32>, tensor<i32>
  return
}

// -----

func.func @segment_linear_dw_c1(%dy: tensor<4x3xf32>, %x: tensor<5x2xf32>, %c: tensor<3xi32>) {
  // expected-error@+1 {{nn.segment_linear_dw expects dy [T, N] and x [T, K], got 'tensor<4x3xf32>' and 'tensor<5x2xf32>'}}
  %0 = nn.segment_linear_dw %dy, %x seqs(%c) : tensor<4x3xf32>, tensor<5x2xf32>, tensor<3xi32>
  return
}

// -----

func.func @segment_linear_dw_c2(%dy: tensor<?x3xf32>, %x: tensor<?x2xf32>, %c: tensor<3x1xi32>) {
  // expected-error@+1 {{nn.segment_linear_dw expects cu_seqlens [B+1], got 'tensor<3x1xi32>'}}
  %0 = nn.segment_linear_dw %dy, %x seqs(%c) : tensor<?x3xf32>, tensor<?x2xf32>, tensor<3x1xi32>
  return
}

// -----

func.func @merge_params_grad_c1(%w: tensor<?x3xf32>, %p: tensor<2x5x4xf32>, %dy: tensor<?x5x4xf32>) {
  // expected-error@+1 {{moe.merge_params_grad expects w [B, E] and param [E, ..], got 'tensor<?x3xf32>' and 'tensor<2x5x4xf32>'}}
  %0, %1 = moe.merge_params_grad %w, %p, %dy : tensor<?x3xf32>, tensor<2x5x4xf32>, tensor<?x5x4xf32>
  return
}

// -----

func.func @merge_params_grad_c2(%w: tensor<?x2xf32>, %p: tensor<2x5x4xf32>, %dy: tensor<?x5x3xf32>) {
  // expected-error@+1 {{moe.merge_params_grad expects dy [B, ..] like param, got 'tensor<?x5x3xf32>' and 'tensor<2x5x4xf32>'}}
  %0, %1 = moe.merge_params_grad %w, %p, %dy : tensor<?x2xf32>, tensor<2x5x4xf32>, tensor<?x5x3xf32>
  return
}

// -----

func.func @embedding_grad_c3(%ids: tensor<?xi32>, %dy: tensor<?x4xf32>) {
  // expected-error@+1 {{'nn.embedding_grad' op expects `like` where the number of rows is dynamic, and nowhere else, got 'tensor<?x4xf32>'}}
  %0 = nn.embedding_grad %ids, %dy : tensor<?xi32>, tensor<?x4xf32> -> tensor<?x4xf32>
  return
}

// -----

func.func @embedding_grad_c3_static(%ids: tensor<?xi32>, %dy: tensor<?x4xf32>) {
  // expected-error@+1 {{'nn.embedding_grad' op expects `like` where the number of rows is dynamic, and nowhere else, got 'tensor<9x4xf32>'}}
  %0 = nn.embedding_grad %ids, %dy like(%dy : tensor<?x4xf32>) : tensor<?xi32>, tensor<?x4xf32> -> tensor<9x4xf32>
  return
}
