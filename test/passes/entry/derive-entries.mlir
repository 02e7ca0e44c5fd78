// RUN: moe-opt %inputs/mixtral.mlir --moe-expand-sugar --moe-derive-entries | FileCheck %s
// RUN: moe-opt %inputs/mixtral.mlir --moe-expand-sugar --moe-derive-entries=entries=score | FileCheck %s --check-prefix=SCORE
// RUN: not moe-opt %inputs/mixtral.mlir --moe-expand-sugar --moe-derive-entries=entries=sing 2>&1 | FileCheck %s --check-prefix=BAD

// CHECK-NOT: nn.model
// CHECK-LABEL: func.func @score(
// CHECK-SAME: nn.name = "ids"
// CHECK-SAME: -> (tensor<?x256xf32> {nn.name = "logits"}, tensor<2x?x2xi32> {nn.layers = [0, 2], nn.name = "routing.idx"}
// CHECK: nn.yield %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x128xf32>, tensor<?x2xi32>, tensor<?x2xf32>
// CHECK-NOT: nn.last_rows
// CHECK-LABEL: func.func @prefill(
// CHECK-SAME: !nn.cache<128 x f32> {nn.name = "cache"}
// CHECK: nn.attend {{.*}} cache(
// Only the last tokens reach the final norm and the head.
// CHECK: %[[LAST:.*]] = nn.last_rows
// CHECK: nn.rms_norm %[[LAST]]
// CHECK-LABEL: func.func @decode(
// SCORE: func.func @score
// SCORE-NOT: func.func
// BAD: expects an entry of score, prefill, decode, eval_step, grad, got sing
