// RUN: moe-opt %s --split-input-file --verify-diagnostics --allow-unregistered-dialect

func.func @capacity_c1(%i: tensor<?xi32>) {
  // expected-error@+1 {{moe.capacity expects idx [T, K] with static K, got 'tensor<?xi32>'}}
  %0 = moe.capacity %i experts(4) limit(<factor = 1.0>) : tensor<?xi32>
  return
}

// -----

func.func @capacity_c1(%i: tensor<?x?xi32>) {
  // expected-error@+1 {{moe.capacity expects idx [T, K] with static K, got 'tensor<?x?xi32>'}}
  %0 = moe.capacity %i experts(4) limit(<factor = 1.0>) : tensor<?x?xi32>
  return
}

// -----

func.func @capacity_c2(%i: tensor<?x2xi32>) {
  // expected-error@+1 {{moe.capacity expects experts >= 1}}
  %0 = moe.capacity %i experts(0) limit(<factor = 1.0>) : tensor<?x2xi32>
  return
}

// -----

func.func @capacity_c3(%i: tensor<?x2xi32>, %p: tensor<?x3xf32>) {
  // expected-error@+1 {{moe.capacity expects a priority like 'tensor<?x2xi32>', got 'tensor<?x3xf32>'}}
  %0 = moe.capacity %i experts(4) limit(<factor = 1.0>) priority(%p : tensor<?x3xf32>) : tensor<?x2xi32>
  return
}

// -----

func.func @capacity_c4(%i: tensor<?x2xi32>, %s: tensor<?x1xi32>) {
  // expected-error@+1 {{moe.capacity expects cu_seqlens [B+1], got 'tensor<?x1xi32>'}}
  %0 = moe.capacity %i experts(4) limit(<factor = 1.0>) seqs(%s : tensor<?x1xi32>) : tensor<?x2xi32>
  return
}

// -----

func.func @limit(%i: tensor<?x2xi32>) {
  // expected-error@+1 {{expects a capacity with factor and times above 0}}
  %0 = moe.capacity %i experts(4) limit(<factor = 0.0>) : tensor<?x2xi32>
  return
}

// -----

func.func @limit(%i: tensor<?x2xi32>) {
  // expected-error@+1 {{expects a capacity with factor and times above 0}}
  %0 = moe.capacity %i experts(4) limit(<factor = 1.0, times = -1.0>) : tensor<?x2xi32>
  return
}

// -----

func.func @limit(%i: tensor<?x2xi32>) {
  // expected-error@+1 {{expects a capacity with min >= 1, multiple >= 1 and extra >= 0}}
  %0 = moe.capacity %i experts(4) limit(<factor = 1.0, min = 0>) : tensor<?x2xi32>
  return
}

// -----

func.func @next_choice_c1(%i: tensor<?xi32>) {
  // expected-error@+1 {{moe.next_choice expects idx [T, K] with static K, got 'tensor<?xi32>'}}
  %0 = moe.next_choice %i experts(4) limit(<factor = 1.0>) : tensor<?xi32>
  return
}

// -----

func.func @next_choice_c2(%i: tensor<?x2xi32>) {
  // expected-error@+1 {{moe.next_choice expects experts >= 1}}
  %0 = moe.next_choice %i experts(0) limit(<factor = 1.0>) : tensor<?x2xi32>
  return
}

// -----

func.func @select_tokens_c1(%s: tensor<?x?xf32>) {
  // expected-error@+1 {{moe.select_tokens expects s [T, E] with static E, got 'tensor<?x?xf32>'}}
  %0 = moe.select_tokens %s limit(<factor = 1.0>) : tensor<?x?xf32>
  return
}

// -----

func.func @select_tokens_c2(%s: tensor<?x4xf32>, %c: tensor<i32>) {
  // expected-error@+1 {{moe.select_tokens expects cu_seqlens [B+1], got 'tensor<i32>'}}
  %0 = moe.select_tokens %s limit(<factor = 1.0>) seqs(%c : tensor<i32>) : tensor<?x4xf32>
  return
}

// -----

func.func @mask_choices_c1(%s: tensor<?x4xf32>, %i: tensor<?xi32>) {
  // expected-error@+1 {{moe.mask_choices expects s [T, E] and idx [T, K], got 'tensor<?x4xf32>' and 'tensor<?xi32>'}}
  %0 = moe.mask_choices %s, %i fill(0.0) : tensor<?x4xf32>, tensor<?xi32>
  return
}

// -----

func.func @assign_c1(%s: tensor<?x?xf32>) {
  // expected-error@+1 {{moe.assign expects s [T, E] with static E, got 'tensor<?x?xf32>'}}
  %0 = moe.assign %s : tensor<?x?xf32>
  return
}

// -----

func.func @assign_c2(%s: tensor<10x4xf32>) {
  // expected-error@+1 {{moe.assign expects E to divide T, got 'tensor<10x4xf32>'}}
  %0 = moe.assign %s : tensor<10x4xf32>
  return
}

// -----

func.func @sinkhorn_c1(%s: tensor<?xf32>) {
  // expected-error@+1 {{moe.sinkhorn expects z [T, E] with static E, got 'tensor<?xf32>'}}
  %0 = moe.sinkhorn %s tolerance(0.0) max_iterations(9) : tensor<?xf32>
  return
}

// -----

func.func @sinkhorn_c2(%s: tensor<?x4xf32>) {
  // expected-error@+1 {{moe.sinkhorn expects tolerance >= 0 and max_iterations >= 1}}
  %0 = moe.sinkhorn %s tolerance(-1.0) max_iterations(9) : tensor<?x4xf32>
  return
}

// -----

func.func @sinkhorn_c2(%s: tensor<?x4xf32>) {
  // expected-error@+1 {{moe.sinkhorn expects tolerance >= 0 and max_iterations >= 1}}
  %0 = moe.sinkhorn %s tolerance(0.0) max_iterations(0) : tensor<?x4xf32>
  return
}

// -----

func.func @layer_key_c1(%k: tensor<7xi32>, %i: index) {
  // expected-error@+1 {{moe.layer_key expects a key [6], got 'tensor<7xi32>'}}
  %0 = moe.layer_key %k[%i + 1] : tensor<7xi32>
  return
}

// -----

func.func @random_c1(%k: tensor<5xi32>, %s: tensor<?x4xf32>) {
  // expected-error@+1 {{moe.random expects a key [6], got 'tensor<5xi32>'}}
  %0 = moe.random uniform stream(jitter) key(%k) like %s : tensor<5xi32>, tensor<?x4xf32>
  return
}

// -----

func.func @random_c2(%k: tensor<6xi32>, %s: tensor<?x?xf32>) {
  // expected-error@+1 {{moe.random expects like [T, ..] with static dimensions behind T, got 'tensor<?x?xf32>'}}
  %0 = moe.random uniform stream(jitter) key(%k) like %s : tensor<6xi32>, tensor<?x?xf32>
  return
}

// -----

func.func @custom_vjp_c1(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects forward to take 1 values of the types ('tensor<?x4xf32>')}}
  %0 = moe.custom_vjp (%x) : (tensor<?x4xf32>) -> tensor<?x4xf32> forward {
  ^bb0(%a: tensor<?x5xf32>):
    %r = "test.make"() : () -> tensor<?x4xf32>
    moe.yield %r : tensor<?x4xf32>
  } backward {
  ^bb0(%a: tensor<?x4xf32>, %r: tensor<?x4xf32>, %dr: tensor<?x4xf32>):
    moe.yield %dr : tensor<?x4xf32>
  }
  return
}

// -----

func.func @custom_vjp_c1(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects forward to yield values of the types ('tensor<?x5xf32>')}}
  %0 = moe.custom_vjp (%x) : (tensor<?x4xf32>) -> tensor<?x5xf32> forward {
  ^bb0(%a: tensor<?x4xf32>):
    moe.yield %a : tensor<?x4xf32>
  } backward {
  ^bb0(%a: tensor<?x4xf32>, %r: tensor<?x5xf32>, %dr: tensor<?x5xf32>):
    moe.yield %a : tensor<?x4xf32>
  }
  return
}

// -----

func.func @custom_vjp_c2(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects backward to take 3 values of the types ('tensor<?x4xf32>', 'tensor<?x4xf32>', 'tensor<?x4xf32>')}}
  %0 = moe.custom_vjp (%x) : (tensor<?x4xf32>) -> tensor<?x4xf32> forward {
  ^bb0(%a: tensor<?x4xf32>):
    moe.yield %a : tensor<?x4xf32>
  } backward {
  ^bb0(%a: tensor<?x4xf32>, %dr: tensor<?x4xf32>):
    moe.yield %dr : tensor<?x4xf32>
  }
  return
}

// -----

func.func @custom_vjp_c2(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects backward to yield values of the types ('tensor<?x4xf32>')}}
  %0 = moe.custom_vjp (%x) : (tensor<?x4xf32>) -> tensor<?x4xf32> forward {
  ^bb0(%a: tensor<?x4xf32>):
    moe.yield %a : tensor<?x4xf32>
  } backward {
  ^bb0(%a: tensor<?x4xf32>, %r: tensor<?x4xf32>, %dr: tensor<?x4xf32>):
    moe.yield %dr, %dr : tensor<?x4xf32>, tensor<?x4xf32>
  }
  return
}

// -----

func.func @ungroup_c1(%x: tensor<?x2x4xf32>, %p: !moe.plan<4, 2>) {
  // expected-error@+1 {{moe.ungroup expects rows [R, D], got 'tensor<?x2x4xf32>'}}
  %0 = moe.ungroup %x, %p : tensor<?x2x4xf32>, !moe.plan<4, 2>
  return
}

// -----

func.func @group_c1(%x: tensor<?x3x4xf32>, %p: !moe.plan<4, 2>) {
  // expected-error@+1 {{moe.group expects y [T, K, D] with the K of the plan, got 'tensor<?x3x4xf32>'}}
  %0 = moe.group %x, %p : tensor<?x3x4xf32>, !moe.plan<4, 2>
  return
}

// -----

func.func @plan_seqs_c1(%p: !moe.plan<4, 2>, %c: tensor<?xi32>) {
  // expected-error@+1 {{moe.plan_seqs expects a plan of one expert, got '!moe.plan<4, 2>'}}
  %0 = moe.plan_seqs %p seqs(%c) : !moe.plan<4, 2>, tensor<?xi32>
  return
}

// -----

func.func @plan_seqs_c2(%p: !moe.plan<1, 2>, %c: tensor<?x1xi32>) {
  // expected-error@+1 {{moe.plan_seqs expects cu_seqlens [B+1], got 'tensor<?x1xi32>'}}
  %0 = moe.plan_seqs %p seqs(%c) : !moe.plan<1, 2>, tensor<?x1xi32>
  return
}

// -----

func.func @dispatch_c1(%x: tensor<?x2xi32>, %p: !moe.plan<4, 2>) {
  // expected-error@+1 {{moe.dispatch expects x [T, D] or integers [T], got 'tensor<?x2xi32>'}}
  %0 = moe.dispatch %x, %p : tensor<?x2xi32>, !moe.plan<4, 2>
  return
}

// -----

func.func @mix_c1(%a: tensor<?x?xf32>, %x: tensor<?x4xf32>, %c: tensor<3xi32>) {
  // expected-error@+1 {{moe.mix expects a [T, N] with static N and x [T, D], got 'tensor<?x?xf32>' and 'tensor<?x4xf32>'}}
  %0 = moe.mix %a, %x seqs(%c) : tensor<?x?xf32>, tensor<?x4xf32>, tensor<3xi32>
  return
}

// -----

func.func @mix_c2(%a: tensor<?x6xf32>, %x: tensor<?x4xf32>, %c: tensor<3x1xi32>) {
  // expected-error@+1 {{moe.mix expects cu_seqlens [B+1], got 'tensor<3x1xi32>'}}
  %0 = moe.mix %a, %x seqs(%c) : tensor<?x6xf32>, tensor<?x4xf32>, tensor<3x1xi32>
  return
}

// -----

func.func @unmix_c1(%a: tensor<?x6xf32>, %x: tensor<2x5x4xf32>, %c: tensor<3xi32>) {
  // expected-error@+1 {{moe.unmix expects a [T, N] and s [B, N, D], got 'tensor<?x6xf32>' and 'tensor<2x5x4xf32>'}}
  %0 = moe.unmix %a, %x seqs(%c) : tensor<?x6xf32>, tensor<2x5x4xf32>, tensor<3xi32>
  return
}

// -----

func.func @unmix_c2(%a: tensor<?x6xf32>, %x: tensor<2x6x4xf32>, %c: tensor<3x1xi32>) {
  // expected-error@+1 {{moe.unmix expects cu_seqlens [B+1], got 'tensor<3x1xi32>'}}
  %0 = moe.unmix %a, %x seqs(%c) : tensor<?x6xf32>, tensor<2x6x4xf32>, tensor<3x1xi32>
  return
}

// -----

func.func @mix_dot_c1(%a: tensor<?x3xf32>, %x: tensor<2x5x4xf32>, %c: tensor<3xi32>) {
  // expected-error@+1 {{moe.mix_dot expects x [T, D] and s [B, N, D], got 'tensor<?x3xf32>' and 'tensor<2x5x4xf32>'}}
  %0 = moe.mix_dot %a, %x seqs(%c) : tensor<?x3xf32>, tensor<2x5x4xf32>, tensor<3xi32>
  return
}

// -----

func.func @mix_dot_c2(%a: tensor<?x4xf32>, %x: tensor<2x6x4xf32>, %c: tensor<3x1xi32>) {
  // expected-error@+1 {{moe.mix_dot expects cu_seqlens [B+1], got 'tensor<3x1xi32>'}}
  %0 = moe.mix_dot %a, %x seqs(%c) : tensor<?x4xf32>, tensor<2x6x4xf32>, tensor<3x1xi32>
  return
}

// -----

func.func @merge_params_c1(%a: tensor<?x3xf32>, %x: tensor<2x5x4xf32>) {
  // expected-error@+1 {{moe.merge_params expects w [B, E] and param [E, ..], got 'tensor<?x3xf32>' and 'tensor<2x5x4xf32>'}}
  %0 = moe.merge_params %a, %x : tensor<?x3xf32>, tensor<2x5x4xf32>
  return
}

// -----

func.func @balance_loss_c1(%p: tensor<?x8xf32>, %i: tensor<?xi32>) {
  // expected-error@+1 {{expects p [T, E] and idx [T, K], got 'tensor<?x8xf32>' and 'tensor<?xi32>'}}
  %0 = moe.balance_loss expert %p, %i coef(1.0) : tensor<?x8xf32>, tensor<?xi32> -> tensor<f32>
  return
}

// -----

func.func @balance_loss_c2(%p: tensor<?x8xf32>, %i: tensor<?x2xi32>) {
  // expected-error@+1 {{expects devices that divide 8 experts and 1 <= limit <= devices, got 3 and 1}}
  %0 = moe.balance_loss device %p, %i coef(1.0) {devices = 3 : i64} : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<f32>
  return
}

// -----

func.func @balance_loss_c2(%p: tensor<?x8xf32>, %i: tensor<?x2xi32>) {
  // expected-error@+1 {{expects devices that divide 8 experts and 1 <= limit <= devices, got 4 and 5}}
  %0 = moe.balance_loss communication %p, %i coef(1.0) {devices = 4 : i64, limit = 5 : i64} : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<f32>
  return
}

// -----

func.func @balance_loss_c3(%p: tensor<?x8xf32>, %i: tensor<?x2xi32>, %c: tensor<i32>) {
  // expected-error@+1 {{expects cu_seqlens [B+1], got 'tensor<i32>'}}
  %0 = moe.balance_loss expert %p, %i coef(1.0) seqs(%c : tensor<i32>) : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<f32>
  return
}

// -----

func.func @balance_loss_c4(%p: tensor<?x8xf32>, %i: tensor<?x2xi32>) {
  // expected-error@+1 {{expects a scalar result of 'f32', got 'tensor<f64>'}}
  %0 = moe.balance_loss expert %p, %i coef(1.0) : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<f64>
  return
}

// -----

func.func @z_loss_c1(%z: tensor<?xf32>) {
  // expected-error@+1 {{expects z [T, E], got 'tensor<?xf32>'}}
  %0 = moe.z_loss %z coef(1.0) : tensor<?xf32> -> tensor<f32>
  return
}

// -----

func.func @z_loss_c2(%z: tensor<?x4xf32>) {
  // expected-error@+1 {{expects a scalar result of 'f32', got 'tensor<1xf32>'}}
  %0 = moe.z_loss %z coef(1.0) : tensor<?x4xf32> -> tensor<1xf32>
  return
}

// -----

func.func @variation_loss_c1(%z: tensor<?x1xf32>) {
  // expected-error@+1 {{expects x [T, E], with at least two experts for an unbiased variance, got 'tensor<?x1xf32>'}}
  %0 = moe.variation_loss %z coef(1.0) unbiased : tensor<?x1xf32> -> tensor<f32>
  return
}

// -----

func.func @variation_loss_c2(%z: tensor<?x4xf32>) {
  // expected-error@+1 {{expects a scalar result of 'f32', got 'tensor<4xf32>'}}
  %0 = moe.variation_loss %z coef(1.0) : tensor<?x4xf32> -> tensor<4xf32>
  return
}
