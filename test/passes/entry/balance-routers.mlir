// RUN: moe-opt %s --moe-balance-routers="coef=0.5" --split-input-file --verify-diagnostics | FileCheck %s

// A softmax counts as it is, and choices before the capacity.
// CHECK-LABEL: moe.router @softmax
// CHECK-SAME: %[[SEQS:[a-z0-9]+]]: tensor<?xi32> {moe.input = "seqs"})
// CHECK-SAME: -> (!moe.plan<4, 2>, tensor<?x2xf32>, tensor<f32> {moe.loss = "balance"})
// CHECK: %[[P:.*]] = nn.softmax
// CHECK: %[[IDX:.*]] = moe.select %[[P]]
// CHECK: moe.capacity
// CHECK: %[[L:.*]] = moe.balance_loss {{ *}}expert %[[P]], %[[IDX]] coef(5.000000e-01) per_choice seqs(%[[SEQS]]
// CHECK: moe.return %{{.*}}, %{{.*}}, %[[L]]
moe.router @softmax(%x: tensor<?x8xf32>, %w: tensor<4x8xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  %z = nn.linear %x, %w : tensor<?x8xf32>, tensor<4x8xf32>
  %p = nn.softmax %z axis(1) : tensor<?x4xf32>
  %all = moe.select %p top_k(2) : tensor<?x4xf32>
  %idx = moe.capacity %all experts(4) limit(<factor = 2.5>) : tensor<?x2xi32>
  %s = moe.pick %p, %idx : tensor<?x4xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(4) : tensor<?x2xi32>
  moe.return %plan, %s : !moe.plan<4, 2>, tensor<?x2xf32>
}

// Sigmoids are divided by their sum; sequences that are there are used.
// CHECK-LABEL: moe.router @sigmoid
// CHECK-SAME: %[[S:[a-z0-9]+]]: tensor<?xi32> {moe.input = "seqs"}) -> (
// CHECK: %[[A:.*]] = nn.activate {{ *}}sigmoid
// CHECK: %[[SUM:.*]] = nn.reduce {{ *}}sum %[[A]] axis(1)
// CHECK: %[[SHARE:.*]] = arith.divf %[[A]]
// CHECK: moe.balance_loss {{ *}}expert %[[SHARE]], {{.*}} seqs(%[[S]]
moe.router @sigmoid(%x: tensor<?x8xf32>, %w: tensor<4x8xf32>, %seqs: tensor<?xi32> {moe.input = "seqs"}) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  %z = nn.linear %x, %w : tensor<?x8xf32>, tensor<4x8xf32>
  %p = nn.activate sigmoid %z : tensor<?x4xf32>
  %idx = moe.select %p top_k(2) : tensor<?x4xf32>
  %s = moe.pick %p, %idx : tensor<?x4xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(4) : tensor<?x2xi32>
  moe.return %plan, %s : !moe.plan<4, 2>, tensor<?x2xf32>
}

// Logits go through a softmax.
// CHECK-LABEL: moe.router @logits
// CHECK: %[[Z:.*]] = nn.linear
// CHECK: %[[P:.*]] = nn.softmax %[[Z]] axis(1)
// CHECK: moe.balance_loss {{ *}}expert %[[P]]
moe.router @logits(%x: tensor<?x8xf32>, %w: tensor<4x8xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  %z = nn.linear %x, %w : tensor<?x8xf32>, tensor<4x8xf32>
  %idx = moe.select %z top_k(2) : tensor<?x4xf32>
  %s = moe.pick %z, %idx : tensor<?x4xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(4) : tensor<?x2xi32>
  moe.return %plan, %s : !moe.plan<4, 2>, tensor<?x2xf32>
}

// Groups that were left out have probabilities, too.
// CHECK-LABEL: moe.router @groups
// CHECK: %[[P:.*]] = nn.softmax
// CHECK: %[[KEPT:.*]] = moe.group_mask %[[P]]
// CHECK: %[[IDX:.*]] = moe.select %[[KEPT]]
// CHECK: moe.balance_loss {{ *}}expert %[[P]], %[[IDX]]
moe.router @groups(%x: tensor<?x8xf32>, %w: tensor<4x8xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  %z = nn.linear %x, %w : tensor<?x8xf32>, tensor<4x8xf32>
  %p = nn.softmax %z axis(1) : tensor<?x4xf32>
  %kept = moe.group_mask %p groups(2) keep(1) score(max) fill(0.0) : tensor<?x4xf32>
  %idx = moe.select %kept top_k(2) : tensor<?x4xf32>
  %s = moe.pick %kept, %idx : tensor<?x4xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(4) : tensor<?x2xi32>
  moe.return %plan, %s : !moe.plan<4, 2>, tensor<?x2xf32>
}

// A router with a loss keeps it alone.
// CHECK-LABEL: moe.router @own
// CHECK-NOT: moe.balance_loss
// CHECK: moe.return
moe.router @own(%x: tensor<?x8xf32>, %w: tensor<4x8xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>, tensor<f32> {moe.loss = "z"}) {
  %z = nn.linear %x, %w : tensor<?x8xf32>, tensor<4x8xf32>
  %idx = moe.select %z top_k(2) : tensor<?x4xf32>
  %s = moe.pick %z, %idx : tensor<?x4xf32>, tensor<?x2xi32>
  %l = moe.z_loss %z coef(1.0e-3) : tensor<?x4xf32> -> tensor<f32>
  %plan = moe.make_plan %idx experts(4) : tensor<?x2xi32>
  moe.return %plan, %s, %l : !moe.plan<4, 2>, tensor<?x2xf32>, tensor<f32>
}

// -----

// expected-error@+1 {{has no loss of its own, and does not pick from one set of scores: nothing to balance by}}
moe.router @hashed(%x: tensor<?x8xf32>, %ids: tensor<?xi32> {moe.input = "ids"}, %t: tensor<16x2xi32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  %idx = nn.embedding %ids, %t : tensor<?xi32>, tensor<16x2xi32> -> tensor<?x2xi32>
  %s = nn.fill 0.5 like %idx : tensor<?x2xi32> -> tensor<?x2xf32>
  %plan = moe.make_plan %idx experts(4) : tensor<?x2xi32>
  moe.return %plan, %s : !moe.plan<4, 2>, tensor<?x2xf32>
}

// -----

moe.router @relu(%x: tensor<?x8xf32>, %w: tensor<4x8xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  %z = nn.linear %x, %w : tensor<?x8xf32>, tensor<4x8xf32>
  %p = nn.activate relu %z : tensor<?x4xf32>
  %idx = moe.select %p top_k(2) : tensor<?x4xf32>
  // expected-error@+1 {{reads scores that are no softmax, sigmoid or product with a gate: nothing to balance by}}
  %s = moe.pick %p, %idx : tensor<?x4xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(4) : tensor<?x2xi32>
  moe.return %plan, %s : !moe.plan<4, 2>, tensor<?x2xf32>
}
