// Choices beyond the k best, mixtures and losses print as they are read, as text and as bytecode.
// RUN: moe-opt %s --verify-roundtrip | FileCheck %s
// RUN: moe-opt %s --mlir-print-op-generic | moe-opt --verify-roundtrip | FileCheck %s

// CHECK-LABEL: func.func @capacity
// CHECK: moe.capacity %{{.*}} experts(8) limit(<factor = 2.500000e+00 : f64>) choice_major : tensor<?x2xi32>
// CHECK: moe.capacity %{{.*}} experts(8) limit(<factor = 1.000000e+00 : f64, round = floor, times = 2.000000e+00 : f64, min = 4, multiple = 8, extra = 1>) priority(%{{.*}} : tensor<?x2xf32>) seqs(%{{.*}} : tensor<?xi32>) : tensor<?x2xi32>
// CHECK: moe.next_choice %{{.*}} experts(8) limit(<factor = 1.250000e+00 : f64, round = nearest>) : tensor<?x2xi32>
// CHECK: moe.select_tokens %{{.*}} limit(<factor = 2.000000e+00 : f64>) : tensor<?x8xf32>
// CHECK: moe.select_tokens %{{.*}} limit(<factor = 2.000000e+00 : f64>) seqs(%{{.*}} : tensor<?xi32>) : tensor<?x8xf32>
func.func @capacity(%idx: tensor<?x2xi32>, %p: tensor<?x2xf32>, %s: tensor<?x8xf32>, %cu: tensor<?xi32>) {
  %0 = moe.capacity %idx experts(8) limit(<factor = 2.5>) choice_major : tensor<?x2xi32>
  %1 = moe.capacity %idx experts(8) limit(<factor = 1.0, round = floor, times = 2.0, min = 4, multiple = 8, extra = 1>) priority(%p : tensor<?x2xf32>) seqs(%cu : tensor<?xi32>) : tensor<?x2xi32>
  %2 = moe.next_choice %idx experts(8) limit(<factor = 1.25, round = nearest>) : tensor<?x2xi32>
  %3 = moe.select_tokens %s limit(<factor = 2.0>) : tensor<?x8xf32>
  %4 = moe.select_tokens %s limit(<factor = 2.0>) seqs(%cu : tensor<?xi32>) : tensor<?x8xf32>
  return
}

// CHECK-LABEL: func.func @choices
// CHECK: moe.select %{{.*}} bias(%{{.*}} : tensor<8xf32>) top_k(8) above(0.000000e+00) : tensor<?x8xf32>
// CHECK: moe.mask_choices %{{.*}}, %{{.*}} fill(0xFFF0000000000000) : tensor<?x8xf32>, tensor<?x2xi32>
// CHECK: moe.assign %{{.*}} : tensor<16x8xf64>
// CHECK: moe.assign %{{.*}} exact : tensor<?x8xf32>
// CHECK: moe.sinkhorn %{{.*}} tolerance(1.000000e-04) max_iterations(200) : tensor<?x8xf32>
func.func @choices(%s: tensor<?x8xf32>, %b: tensor<8xf32>, %idx: tensor<?x2xi32>, %fixed: tensor<16x8xf64>) {
  %0 = moe.select %s bias(%b : tensor<8xf32>) top_k(8) above(0.0) : tensor<?x8xf32>
  %1 = moe.mask_choices %s, %idx fill(0xFFF0000000000000) : tensor<?x8xf32>, tensor<?x2xi32>
  %2 = moe.assign %s : tensor<?x8xf32>
  %3 = moe.assign %fixed : tensor<16x8xf64>
  %4 = moe.assign %s exact : tensor<?x8xf32>
  %5 = moe.sinkhorn %s tolerance(1.0e-4) max_iterations(200) : tensor<?x8xf32>
  return
}

// CHECK-LABEL: func.func @layer_key
// CHECK: moe.layer_key %{{.*}}[%{{.*}} + 3] : tensor<6xi32>
func.func @layer_key(%key: tensor<6xi32>, %i: index) -> tensor<6xi32> {
  %0 = moe.layer_key %key[%i + 3] : tensor<6xi32>
  return %0 : tensor<6xi32>
}

// CHECK-LABEL: func.func @random
// CHECK: moe.random normal stream({{ ?}}gate_noise) key(%{{.*}}) like %{{.*}} : tensor<6xi32>, tensor<?x8xf32>
// CHECK: moe.random uniform stream({{ ?}}jitter)
// CHECK: moe.random gumbel stream({{ ?}}gumbel)
// CHECK: moe.random exponential stream({{ ?}}rts)
// CHECK: moe.random uniform stream({{ ?}}embedding_dropout) key(%{{.*}}) like %{{.*}} neutral(1.000000e+00)
func.func @random(%key: tensor<6xi32>, %z: tensor<?x8xf32>, %v: tensor<?xf64>) {
  %0 = moe.random normal stream(gate_noise) key(%key) like %z : tensor<6xi32>, tensor<?x8xf32>
  %1 = moe.random uniform stream(jitter) key(%key) like %v : tensor<6xi32>, tensor<?xf64>
  %2 = moe.random gumbel stream(gumbel) key(%key) like %z : tensor<6xi32>, tensor<?x8xf32>
  %3 = moe.random exponential stream(rts) key(%key) like %z : tensor<6xi32>, tensor<?x8xf32>
  %4 = moe.random uniform stream(second_expert) key(%key) like %z : tensor<6xi32>, tensor<?x8xf32>
  %5 = moe.random uniform stream(thor) key(%key) like %z : tensor<6xi32>, tensor<?x8xf32>
  %6 = moe.random uniform stream(shuffle) key(%key) like %z : tensor<6xi32>, tensor<?x8xf32>
  %7 = moe.random uniform stream(expert_dropout) key(%key) like %z : tensor<6xi32>, tensor<?x8xf32>
  %8 = moe.random uniform stream(token_dropout) key(%key) like %z : tensor<6xi32>, tensor<?x8xf32>
  %9 = moe.random uniform stream(embedding_dropout) key(%key) like %z neutral(1.0) : tensor<6xi32>, tensor<?x8xf32>
  %10 = moe.random uniform stream(mixer_dropout) key(%key) like %z neutral(1.0) : tensor<6xi32>, tensor<?x8xf32>
  %11 = moe.random uniform stream(mlp_dropout) key(%key) like %z neutral(1.0) : tensor<6xi32>, tensor<?x8xf32>
  return
}

// CHECK-LABEL: func.func @custom
// CHECK: moe.custom_vjp(%{{.*}}) : (tensor<?x4xf32>) -> tensor<?x4xf32> forward {
// CHECK: } backward {
// CHECK: moe.custom_vjp(%{{.*}}, %{{.*}}) : (tensor<?x4xf32>, tensor<4xf32>) -> (tensor<?x4xf32>, tensor<4xf32>) forward
func.func @custom(%x: tensor<?x4xf32>, %w: tensor<4xf32>) {
  %0 = moe.custom_vjp (%x) : (tensor<?x4xf32>) -> tensor<?x4xf32> forward {
  ^bb0(%a: tensor<?x4xf32>):
    %r = nn.activate relu %a : tensor<?x4xf32>
    moe.yield %r : tensor<?x4xf32>
  } backward {
  ^bb0(%a: tensor<?x4xf32>, %r: tensor<?x4xf32>, %dr: tensor<?x4xf32>):
    moe.yield %dr : tensor<?x4xf32>
  }
  %1:2 = moe.custom_vjp (%x, %w) : (tensor<?x4xf32>, tensor<4xf32>) -> (tensor<?x4xf32>, tensor<4xf32>) forward {
  ^bb0(%a: tensor<?x4xf32>, %b: tensor<4xf32>):
    moe.yield %a, %b : tensor<?x4xf32>, tensor<4xf32>
  } backward {
  ^bb0(%a: tensor<?x4xf32>, %b: tensor<4xf32>, %r: tensor<?x4xf32>, %q: tensor<4xf32>, %dr: tensor<?x4xf32>, %dq: tensor<4xf32>):
    moe.yield %dr, %dq : tensor<?x4xf32>, tensor<4xf32>
  }
  return
}

!one = !moe.plan<1, 1>
!plan = !moe.plan<8, 2>

// CHECK-LABEL: func.func @rows
// CHECK: moe.ungroup %{{.*}}, %{{.*}} : tensor<?x4xf32>, <8, 2>
// CHECK: moe.group %{{.*}}, %{{.*}} : tensor<?x2x4xf32>, <8, 2>
// CHECK: moe.dispatch %{{.*}}, %{{.*}} : tensor<?xi32>, <1, 1>
// CHECK: moe.plan_seqs %{{.*}} seqs(%{{.*}}) : <1, 1>, tensor<5xi32>
func.func @rows(%rows: tensor<?x4xf32>, %plan: !plan, %one: !one, %at: tensor<?xi32>, %cu: tensor<5xi32>) {
  %0 = moe.ungroup %rows, %plan : tensor<?x4xf32>, !plan
  %1 = moe.group %0, %plan : tensor<?x2x4xf32>, !plan
  %2 = moe.dispatch %at, %one : tensor<?xi32>, !one
  %3 = moe.plan_seqs %one seqs(%cu) : !one, tensor<5xi32>
  return
}

// CHECK-LABEL: func.func @mixtures
// CHECK: moe.mix %{{.*}}, %{{.*}} seqs(%{{.*}}) : tensor<?x6xf32>, tensor<?x4xf32>, tensor<3xi32>
// CHECK: moe.unmix %{{.*}}, %{{.*}} seqs(%{{.*}}) : tensor<?x6xf32>, tensor<2x6x4xf32>, tensor<3xi32>
// CHECK: moe.mix_dot %{{.*}}, %{{.*}} seqs(%{{.*}}) : tensor<?x4xf32>, tensor<2x6x4xf32>, tensor<3xi32>
// CHECK: moe.merge_params %{{.*}}, %{{.*}} : tensor<?x8xf32>, tensor<8x4x5xbf16>
// CHECK: moe.merge_params_grad %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x8xf32>, tensor<8x4x5xbf16>, tensor<?x4x5xf32>
func.func @mixtures(%a: tensor<?x6xf32>, %x: tensor<?x4xf32>, %cu: tensor<3xi32>, %w: tensor<?x8xf32>, %param: tensor<8x4x5xbf16>) {
  %0 = moe.mix %a, %x seqs(%cu) : tensor<?x6xf32>, tensor<?x4xf32>, tensor<3xi32>
  %1 = moe.unmix %a, %0 seqs(%cu) : tensor<?x6xf32>, tensor<2x6x4xf32>, tensor<3xi32>
  %2 = moe.mix_dot %x, %0 seqs(%cu) : tensor<?x4xf32>, tensor<2x6x4xf32>, tensor<3xi32>
  %3 = moe.merge_params %w, %param : tensor<?x8xf32>, tensor<8x4x5xbf16>
  %4, %5 = moe.merge_params_grad %w, %param, %3 : tensor<?x8xf32>, tensor<8x4x5xbf16>, tensor<?x4x5xf32>
  return
}

// CHECK-LABEL: func.func @losses
// CHECK: moe.balance_loss expert %{{.*}}, %{{.*}} coef(1.000000e-02) : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<f32>
// CHECK: moe.balance_loss device %{{.*}}, %{{.*}} coef(5.000000e-02) per_choice seqs(%{{.*}} : tensor<?xi32>) {devices = 4 : i64} : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<f32>
// CHECK: moe.balance_loss communication
// CHECK: moe.z_loss %{{.*}} coef(1.000000e-03) : tensor<?x8xf32> -> tensor<f32>
// CHECK: moe.variation_loss %{{.*}} coef(1.000000e+00) unbiased {eps = 1.000000e-10 : f64} : tensor<?x8xf32> -> tensor<f32>
func.func @losses(%p: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %cu: tensor<?xi32>) {
  %0 = moe.balance_loss expert %p, %idx coef(0.01) : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<f32>
  %1 = moe.balance_loss device %p, %idx coef(0.05) per_choice seqs(%cu : tensor<?xi32>) {devices = 4 : i64} : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<f32>
  %2 = moe.balance_loss communication %p, %idx coef(0.02) {devices = 4 : i64, limit = 2 : i64} : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<f32>
  %3 = moe.z_loss %p coef(0.001) : tensor<?x8xf32> -> tensor<f32>
  %4 = moe.variation_loss %p coef(1.0) unbiased {eps = 1.0e-10} : tensor<?x8xf32> -> tensor<f32>
  return
}

// A router with inputs, losses and a state, and a dense one.
// CHECK-LABEL: moe.router @full
// CHECK-SAME: tensor<?xi32> {moe.input = "ids"}
// CHECK-SAME: tensor<6xi32> {moe.input = "key"}
// CHECK-SAME: tensor<f32> {moe.loss = "z"}
// CHECK-SAME: tensor<8xf32> {moe.state = 4 : i64}
moe.router @full(%x: tensor<?x4xf32>, %ids: tensor<?xi32> {moe.input = "ids"}, %key: tensor<6xi32> {moe.input = "key"}, %w: tensor<8x4xf32>, %bias: tensor<8xf32>)
    -> (!moe.plan<8, 2>, tensor<?x2xf32>, tensor<f32> {moe.loss = "z"}, tensor<8xf32> {moe.state = 4 : i64}) {
  %z = nn.linear %x, %w : tensor<?x4xf32>, tensor<8x4xf32>
  %idx = moe.select %z bias(%bias : tensor<8xf32>) top_k(2) : tensor<?x8xf32>
  %s = moe.pick %z, %idx : tensor<?x8xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
  %l = moe.z_loss %z coef(0.001) : tensor<?x8xf32> -> tensor<f32>
  moe.return %plan, %s, %l, %bias : !moe.plan<8, 2>, tensor<?x2xf32>, tensor<f32>, tensor<8xf32>
}
moe.router @dense(%x: tensor<?x4xf32>, %cu: tensor<?xi32> {moe.input = "seqs"}, %at: tensor<?xi32> {moe.input = "positions"}, %w: tensor<8x4xf32>) -> tensor<?x8xf32> {
  %z = nn.linear %x, %w : tensor<?x4xf32>, tensor<8x4xf32>
  moe.return %z : tensor<?x8xf32>
}

// CHECK-LABEL: func.func @routes
// CHECK: moe.route @full(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}) : (tensor<?x4xf32>, tensor<?xi32>, tensor<6xi32>, tensor<8x4xf32>, tensor<8xf32>) -> (!moe.plan<8, 2>, tensor<?x2xf32>, tensor<f32>, tensor<8xf32>)
// CHECK: moe.route @dense
func.func @routes(%x: tensor<?x4xf32>, %ids: tensor<?xi32>, %key: tensor<6xi32>, %w: tensor<8x4xf32>, %bias: tensor<8xf32>) {
  %0:4 = moe.route @full(%x, %ids, %key, %w, %bias) : (tensor<?x4xf32>, tensor<?xi32>, tensor<6xi32>, tensor<8x4xf32>, tensor<8xf32>) -> (!moe.plan<8, 2>, tensor<?x2xf32>, tensor<f32>, tensor<8xf32>)
  %1 = moe.route @dense(%x, %ids, %ids, %w) : (tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32>, tensor<8x4xf32>) -> tensor<?x8xf32>
  return
}
